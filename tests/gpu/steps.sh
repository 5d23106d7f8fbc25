#!/bin/bash
# test: ten steps of each network on a GPU beside the CPU; again, killed and side by side: the same bits
# NETWORKS="lenet conv2 …" (all of them) and IMAGES=… (64) change what is trained.
source "$ROOT/tests/lib.sh"
near() { "$BUILD/tests/tools/near_tensors" "$@"; }

# random images as CIFAR-10's binary batches: a label, then 3x32x32
images=${IMAGES:-64}
mkdir cifar
for ((i = 0; i < 10; i++)); do echo "class$i"; done >cifar/batches.meta.txt
for f in data_batch_{1..5} test_batch; do
	for ((i = 0; i < images; i++)); do
		printf '%b' "\\x0$((i % 10))"
		head -c 3072 /dev/urandom
	done >cifar/$f.bin
	[ $f = data_batch_1 ] && images=$((images / 4)) # as many in the others together
done
coppice pack cifar random.h5 >log 2>&1 || { no "random images"; tail -n 3 log; exit; }

declare -A model=(
	[lenet]='"name": "lenet"' [conv2]='"name": "conv2"' [conv4]='"name": "conv4"' [conv6]='"name": "conv6"'
	[resnet20]='"name": "resnet", "depth": 20' [vgg16]='"name": "vgg", "depth": 16' [mobilenet_v2]='"name": "mobilenet_v2"')
# a step an epoch, so that each has its row in the history; two cells of a later step, two of an earlier one
experiment() {
	cat >$1.json <<END
{"name": "$1", "model": {${model[$1]}},
 "data": {"path": "random.h5", "augment": {"crop_padding": 4, "flip": true}},
 "train": {"epochs": 10, "batch": $batch, "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4}},
 "sweep": {"quantiles": [0.5, 0.9], "reset": ["0ep", "5ep"]},
 "device": {"kind": "cuda"}}
END
}
batch=$((${IMAGES:-64} * 2))

# train NAME FOLDER KEY=VALUE...: the dense run in FOLDER
train() {
	local name=$1 folder=$2 settings=() s
	shift 2
	for s in "$@"; do settings+=(--set "$s"); done
	coppice plan $name.json -o $folder --no-timing "${settings[@]}" >log 2>&1 && coppice train $folder >>log 2>&1 && return
	no "$folder: $(tail -n 1 log)"
	return 1
}

for n in ${NETWORKS:-lenet conv2 conv4 conv6 resnet20 vgg16 mobilenet_v2}; do
	experiment $n
	train $n $n-cpu device.kind=cpu && train $n $n-gpu || continue
	check "$n: ten steps follow the CPU's, fp32" near 1e-3 {$n-cpu,$n-gpu}/dense/0/result.h5
	train $n $n-tf32 device.precision=tf32 && check "$n: and TF32" near 1e-2 {$n-cpu,$n-tf32}/dense/0/result.h5
	train $n $n-bf16 device.precision=bf16 && check "$n: and bf16" near 5e-2 {$n-cpu,$n-bf16}/dense/0/result.h5
	train $n $n-again && check "$n: the same bits again" same_dense 4 $n-gpu $n-again
	train $n $n-narrow device.precision=bf16 && check "$n: and in bf16" same_dense 4 $n-bf16 $n-narrow
	COPPICE_CUDA_FUSED=0 train $n $n-apart device.precision=bf16 &&
		check "$n: and near convolutions that are not fused" near 5e-2 {$n-apart,$n-bf16}/dense/0/result.h5

	coppice plan $n.json -o $n-killed --no-timing --set device.checkpoint_minutes=0 >log 2>&1 || no "plan $n-killed"
	killed=0
	for turn in 1 2 3; do hit 0.0$turn $n-killed/state/dense-0.h5 coppice train $n-killed; done
	coppice train $n-killed >>log 2>&1
	check "$n: killed $killed times, the same bits" same_dense 4 $n-gpu $n-killed

	for c in 0 1 2 3; do coppice cell $n-gpu $c >>log 2>&1 || no "$n: cell $c: $(tail -n 1 log)"; done
	train $n $n-together slurm.cells_per_task=4 slurm.concurrent=true || continue
	SLURM_ARRAY_TASK_ID=0 expect "$n: four cells at once" 0 '4 of 4 cells done' coppice task $n-together --concurrent
	for c in 0 1 2 3; do
		check "$n: cell $c is what it is alone" same_tensors {$n-gpu,$n-together}/cells/00000$c.h5
	done
done
