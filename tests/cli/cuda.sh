#!/bin/bash
# test: training on a GPU that the host stands in for: as the CPU, again, resumed, side by side, short of memory
# With GPU=1: on a GPU that is there.
source "$ROOT/tests/lib.sh"
near() { "$BUILD/tests/tools/near_tensors" "$@"; }
real=${GPU:-0}

if [ $real = 0 ] && [ ! -e "$BUILD/emulated/coppice-cuda.so" ]; then
	skip "a GPU on the host" "no module for it was built"
	exit
fi
[ $real = 1 ] || export COPPICE_MODULES=$BUILD/emulated

expect "doctor finds it" 0 'GPU +yes .*compute capability' coppice doctor
expect "and its libraries" 0 'CUDA +yes .*\(driver\), .*\(runtime\);' coppice doctor
COPPICE_EMULATED_DEVICES=0 CUDA_VISIBLE_DEVICES= expect "doctor without a device" 0 'GPU +no .*no GPU is to be seen here' coppice doctor
# what a site may have that will not do: exit code 3 with 'cuda', the CPU with 'auto'
lacks() { # lacks NAME PATTERN VARIABLE=VALUE: where that is in the environment
	expect "doctor with $1" 0 "GPU +no .*$2" env $3 coppice doctor
	expect "cuda with $1" 3 "device 'cuda': .*$2" env $3 coppice bench --device cuda lenet
}
if [ $real = 0 ]; then
	lacks "an old driver" "the NVIDIA driver has CUDA 12.2, this module wants [0-9.]+: update" COPPICE_EMULATED_DRIVER=12020
	lacks "no driver" "no NVIDIA driver is here" COPPICE_EMULATED_DRIVER=0
	lacks "an old library" "loops that are newer are needed" COPPICE_EMULATED_LIBRARY=old
fi

# the module for real GPUs, where there is none
if [ -e "$BUILD/coppice-cuda.so" ] && ! ldconfig -p | grep -q libcuda.so.1; then
	COPPICE_MODULES=$BUILD expect "the real module says what lacks" 0 'GPU +no .*no NVIDIA driver is here' coppice doctor
else
	skip "the real module without a driver" "it was not built, or there is a driver"
fi

# network NAME MODEL: an experiment in NAME.json
network() {
	cat >$1.json <<END
{"name": "$1", "model": $2,
 "data": {"path": "glyphs", "validation": 10, "glyphs": {"train": 74, "test": 21, "seed": 3},
          "augment": {"crop_padding": 2, "flip": true}},
 "train": {"epochs": 2, "batch": 16, "optimizer": {"name": "sgd", "lr": 0.02, "momentum": 0.9, "weight_decay": 1e-3}},
 "sweep": {"quantiles": [0.5, 0.9], "reset": ["0ep", "1ep"]},
 "device": {"kind": "cuda", "threads": 1}}
END
}
network lenet '{"name": "lenet", "hidden": [12]}'
network conv '{"name": "graph", "layers": [
  {"op": "conv", "out": 4, "kernel": 3, "stride": 2, "padding": 1, "bias": false}, {"op": "batch_norm"}, {"op": "relu6", "name": "a"},
  {"op": "conv", "out": 4, "kernel": 3, "padding": 1, "groups": 4, "bias": false}, {"op": "batch_norm"}, {"op": "relu"},
  {"op": "conv", "out": 4, "kernel": 1, "bias": true},
  {"op": "add", "inputs": ["a", "conv_7"], "name": "sum"}, {"op": "max_pool", "kernel": 2, "stride": 2},
  {"op": "dropout", "rate": 0.2}, {"op": "flatten"}, {"op": "linear", "out": 10}]}'

COPPICE_EMULATED_DEVICES=0 CUDA_VISIBLE_DEVICES= expect "cuda without a device" 3 "device 'cuda': no GPU is to be seen here" \
	coppice run lenet.json -o none
expect "the CPU has no bf16" 2 "the CPU computes in fp32 only" \
	coppice run lenet.json -o none --set device.kind=cpu --set device.precision=bf16

sweep() { coppice run "$1.json" -o "$2" "${@:3}" >"$2.out" 2>&1 || { no "run $2"; tail -n 5 "$2.out" | sed 's/^/# /'; }; }
for n in lenet conv; do
	sweep $n $n-cpu --set device.kind=cpu
	sweep $n $n-gpu
	check "$n: losses as on the CPU" near 1e-3 {$n-cpu,$n-gpu}/dense/0/result.h5
	check "$n: and weights" near 1e-3 {$n-cpu,$n-gpu}/dense/0/final.h5
	sweep $n $n-again
	check "$n: the same bits again, the dense run" same_dense 4 $n-gpu $n-again
	for c in 0 1 2 3; do
		check "$n: and cell $c" same_tensors {$n-gpu,$n-again}/cells/00000$c.h5
	done
done
# began and ended, of cells in the order in which they began: none begins before the one before it has ended
in_turn() {
	for f in $1/cells/*.h5; do
		coppice show --json $f | sed -nE 's/^\s*"(began|ended)":\s*([0-9.]+).*/\2/p' | xargs
	done | sort | awk '$1 < ended {exit 1} {ended = $2}'
}
check "cells have the GPU one after another" in_turn conv-gpu
expect "a result names the device" 0 'fp32' coppice show conv-gpu/cells/000000.h5

# saved after every step, and killed at some
coppice plan conv.json -o killed --no-timing --set device.checkpoint_minutes=0 >/dev/null 2>&1 || no "plan killed"
killed=0
for turn in 1 2 3; do hit 0.0$turn killed/state/dense-0.h5 coppice train killed; done
expect "killed $killed times, the dense run comes to its end" 0 '' coppice train killed
check "with the same bits" same_dense 4 conv-gpu killed
most() { coppice show "$1/dense/0/result.h5" --json | grep '"gpu_memory":[[:space:]]*[1-9]'; }
check "and the same memory" [ "$(most conv-gpu)" = "$(most killed)" ]
[ $killed -ge 1 ] || [ $real = 1 ] || no "it was never killed"

# four cells in one process, which begin at two steps
coppice plan conv.json -o together --no-timing --set slurm.cells_per_task=4 --set slurm.concurrent=true >/dev/null 2>&1 ||
	no "plan together"
coppice train together >/dev/null 2>&1 || no "train together"
SLURM_ARRAY_TASK_ID=0 expect "four cells at once" 0 'task: 4 of 4 cells done' coppice task together --concurrent
for c in 0 1 2 3; do
	check "cell $c is what it is alone" same_tensors {conv-gpu,together}/cells/00000$c.h5
done

# one that fails leaves its neighbours alone
coppice plan conv.json -o apart --no-timing --set slurm.cells_per_task=4 --set slurm.concurrent=true \
	--set slurm.max_attempts=1 >/dev/null 2>&1 || no "plan apart"
coppice train apart >/dev/null 2>&1 || no "train apart"
truncate -s 3000 apart/dense/0/step-00000004.h5
SLURM_ARRAY_TASK_ID=0 expect "two of four fail" 0 'task: 2 of 4 cells done, .* 2 failed' coppice task apart --concurrent
for c in 0 2; do
	check "cell $c is done all the same" same_tensors {conv-gpu,apart}/cells/00000$c.h5
done
expect "status says why of the others" 0 'cell 1 +failed .*step-00000004.h5' coppice status apart

sweep conv streamed --set device.data=stream
check "images read from the file: the same bits" same_dense 4 conv-gpu streamed
expect "bf16 trains" 0 '' coppice run conv.json -o narrow --set device.precision=bf16
check "and stays near" near 0.1 {conv-gpu,narrow}/dense/0/result.h5

# convolutions that take with them what is around them, and those that do not
network fused '{"name": "graph", "layers": [
  {"op": "conv", "out": 8, "kernel": 3, "stride": 2, "padding": 1, "bias": false}, {"op": "batch_norm"}, {"op": "relu6"},
  {"op": "conv", "out": 8, "kernel": 3, "stride": 2, "padding": 1, "bias": false}, {"op": "batch_norm"}, {"op": "relu"},
  {"op": "conv", "out": 8, "kernel": 1, "bias": true}, {"op": "relu"}, {"op": "flatten"}, {"op": "linear", "out": 10}]}'
# fused FOLDER PRECISION KEY=VALUE...: the dense run
fused() {
	local settings=(--set "device.precision=$2") s
	for s in "${@:3}"; do settings+=(--set "$s"); done
	coppice plan fused.json -o $1 --no-timing "${settings[@]}" >log 2>&1 && coppice train $1 >>log 2>&1 && return
	no "$1: $(tail -n 1 log)"
}
for p in tf32 bf16; do
	fused $p $p
	fused $p-again $p
	COPPICE_CUDA_FUSED=0 fused $p-apart $p
	check "fused convolutions, $p: near those that are not" near 0.05 {$p-apart,$p}/dense/0/result.h5
	check "fused convolutions, $p: the same bits again" same_dense 4 $p $p-again
done
for c in 0 1 2 3; do coppice cell bf16 $c >log 2>&1 || no "cell $c: $(tail -n 1 log)"; done
fused bf16-together bf16 slurm.cells_per_task=4 slurm.concurrent=true
SLURM_ARRAY_TASK_ID=0 expect "fused, four cells at once" 0 '4 of 4 cells done' coppice task bf16-together --concurrent
for c in 0 1 2 3; do
	check "cell $c is what it is alone" same_tensors {bf16,bf16-together}/cells/00000$c.h5
done
if [ $real = 1 ] && coppice show conv-gpu/dense/0/result.h5 | grep -q 'gpu utilisation *-$'; then
	skip "what it took of the GPU" "NVML tells nothing of this GPU"
elif [ $real = 1 ]; then
	expect "what it took of the GPU" 0 'gpu utilisation +[0-9.]+ %' coppice show conv-gpu/dense/0/result.h5
fi
[ $real = 0 ] || exit 0
sweep lenet crowded -j 4
at_once() { ! in_turn "$@"; }
check "with -j 4 they share it" at_once crowded
check "the difference is of TF32's sums" near 1e-3 tf32{-apart,}/dense/0/final.h5
for parts in "" r s b rs bs; do
	COPPICE_EMULATED_FUSED=$parts fused some-$parts bf16
	check "of them, '$parts': near" near 0.05 {bf16-apart,some-$parts}/dense/0/result.h5
done
check "without any: the same bits as without asking" same_dense 4 bf16-apart some-
check "reading alone: the same bits" same_dense 4 bf16-apart some-r
differ() { ! same_tensors "$@"; }
check "all of them: other bits" differ {bf16-apart,bf16}/dense/0/final.h5

# what it took of the GPU, which an NVML of the tests' own tells; memory is the module's to tell
cat >took.py <<'PYTHON'
# took.py RUN UTILISATION: what the dense run, each cell, and the results of a run say of the GPU. Prints the memory of
# the dense run.
import glob, h5py, math, sys
run, wanted = sys.argv[1], float(sys.argv[2])
def check(a, what):
    share, memory = float(a['gpu_utilisation']), float(a['gpu_memory'])
    # two cells at once share it
    assert a['gpus'] == 1 or a['gpus'] == 0.5 and 'dense' not in what, (what, a['gpus'])
    assert math.isnan(share) if math.isnan(wanted) else abs(share - wanted) < 1e-9, (what, share)
    assert memory == int(memory) and 1e4 < memory < 1e9, (what, memory)
    return share, memory
files = glob.glob(run + '/cells/*.h5')
with h5py.File(run + '/dense/0/result.h5') as f:
    dense = check(f.attrs, 'dense')
cells = [check(h5py.File(n).attrs, n) for n in sorted(files)]
with h5py.File(run + '/results.h5') as f:
    names = f['cells'].dtype.names
    assert names.index('gpu_memory') == names.index('gpu_utilisation') + 1 == names.index('gpus') + 2
    assert repr([check(r, 'row') for r in f['cells']]) == repr(cells) and len(cells) == 4
    assert repr(check(f['dense/0'].attrs, 'dense of results')) == repr(dense)
    print(int(dense[1]))
PYTHON
took() { memory=$("$PYTHON" took.py "$@" 2>took.err); }
unset CUDA_VISIBLE_DEVICES
export COPPICE_NVML=$BUILD/tests/fake_nvml.so FAKE_NVML=$PWD/gpus
echo "GPU-a 5000 40" >gpus
sweep conv cpu-beside --set device.kind=cpu
sweep conv watched
if has_python && took watched 0.4; then
	ok "utilisation and memory of the dense run and each cell"
elif has_python; then
	no "utilisation and memory: $(tail -n 1 took.err)"
else
	skip "utilisation and memory" "no python3 with h5py"
fi
expect "shown of a cell" 0 'gpu utilisation +40.00 %' coppice show watched/cells/000000.h5
expect "and its memory" 0 'gpu memory +[0-9.]+ [kMG]B' coppice show watched/cells/000000.h5
expect "and in the report" 0 'GPU-hours \(40% utilised, [0-9.]+ [kMG]B of memory\)' coppice report watched
expect "and as JSON" 0 '"gpu_utilisation":[[:space:]]*0\.(4|39999)' coppice report watched --json
check "and in results.csv" awk -F, '
	NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i }
	NR > 1 && sprintf("%.6f", $at["gpu_utilisation"]) == "0.400000" && $at["gpu_memory"] > 1e4 { good++ }
	END { exit good != 4 }' watched/results.csv
expect "on the CPU there is none" 0 'gpu memory +-$' coppice show cpu-beside/cells/000000.h5
expect "nor its utilisation" 0 'gpu utilisation +-$' coppice show cpu-beside/cells/000000.h5
rm gpus
sweep conv unwatched
if has_python; then
	check "memory is known without NVML" took unwatched nan
fi

# where memory is short, which only a GPU can be that is none: cells in turn, and images sent with each batch
export COPPICE_EMULATED_BYTES=200000000
rm -rf together/cells
SLURM_ARRAY_TASK_ID=0 expect "short of memory: one after the other" 0 'only 1 of 4 cells fit the GPU at once' \
	coppice task together --concurrent
for c in 0 1 2 3; do
	check "cell $c is what it is alone" same_tensors {conv-gpu,together}/cells/00000$c.h5
done
sweep conv sent
check "images sent with each batch: the same bits" same_dense 4 conv-gpu sent
if has_python && took sent nan && [ "$memory" -gt 10000 ]; then
	coppice plan conv.json -o enough --no-timing >/dev/null 2>&1 || no "plan enough"
	COPPICE_EMULATED_BYTES=$((memory - 1)) expect "a byte less than it says that it took is too little" 1 \
		'out of GPU memory' coppice train enough
	COPPICE_EMULATED_BYTES=$memory expect "and that is enough" 0 '' coppice train enough
else
	no "memory where images are sent: $(tail -n 1 took.err)"
fi
sweep conv streamed-short --set device.data=stream
check "and read from the file: the same bits" same_dense 4 conv-gpu streamed-short
unset COPPICE_EMULATED_BYTES

COPPICE_EMULATED_BYTES=200000 expect "out of memory says how much" 1 'out of GPU memory: .* are wanted for .* are free; the batch is 16, about [0-9]+ would fit' \
	coppice run conv.json -o small
