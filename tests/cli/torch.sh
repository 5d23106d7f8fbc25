#!/bin/bash
# test: beside PyTorch from the same weights: ten training steps of each network, and scores of criteria
source "$ROOT/tests/lib.sh"

TORCH=
for p in /usr/bin/python3 python3; do
	if "$p" -c 'import h5py, numpy, torch' 2>/dev/null; then
		TORCH=$p
		break
	fi
done
if [ -z "$TORCH" ]; then
	skip "ten steps of each network beside PyTorch" "no python3 with torch and h5py"
	exit
fi
heavy "ten steps of each network beside PyTorch" && exit

# make_data FILE IMAGES SIDE: a dataset of coarse squares under noise, with labels that mean nothing
make_data() {
	"$TORCH" - "$@" <<'END'
import sys
import h5py, numpy
path, n, side = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
draw = numpy.random.RandomState(7)
label = draw.randint(0, 10, n)
coarse = draw.randint(0, 256, (n, 4, 4, 3))
images = coarse.repeat(side // 4, 1).repeat(side // 4, 2) + draw.randint(-40, 41, (n, side, side, 3))
images = images.clip(0, 255).astype(numpy.uint8)
with h5py.File(path, "w") as f:
    for split in "train", "test":
        f[split + "/images"], f[split + "/labels"] = images, label.astype(numpy.int32)
    f.create_dataset("classes", data=[b"%d" % k for k in range(10)], dtype=h5py.string_dtype())
    f.attrs["mean"] = (images / 255).mean((0, 1, 2)).astype(numpy.float32)
    f.attrs["std"] = (images / 255).std((0, 1, 2)).astype(numpy.float32)
    f.attrs["fingerprint"] = "%016x" % (1000 * n + side)
    f.attrs["format"], f.attrs["version"], f.attrs["coppice"] = "coppice-dataset", 1, "a test"
    f.attrs["complete"] = 1
END
}

# beside NAME IMAGES SIDE LR MODEL [OPTION...]: ten steps, an epoch each, by both
beside() {
	local name=$1 images=$2 side=$3 lr=$4 model=$5
	local data=data-$2-$3.h5
	shift 5
	cat >$name.json <<END
{"name": "$name", "model": $model, "data": {"path": "$data"},
 "sweep": {"reset": ["1it"]},
 "train": {"epochs": 10, "batch": $images,
           "optimizer": {"lr": $lr, "momentum": 0.9, "weight_decay": 1e-3}}}
END
	[ -e $data ] || make_data $data $images $side
	coppice plan $name.json -o $name --no-timing "$@" >/dev/null && coppice train $name -t 2 2>log ||
		{ no "$name: training"; sed 's/^/# /' log; return; }
	if "$TORCH" "$ROOT/tests/tools/torch_net.py" $name $data >found 2>&1; then
		ok "$name: ten steps beside PyTorch"
	else
		no "$name: ten steps beside PyTorch"
	fi
	sed 's/^/# /' found
}

# scores NAME IMAGES SIDE: by derivatives, of the run that beside made
scores() {
	local c data=data-$2-$3.h5
	for c in snip grasp synflow gradient-weight; do
		if "$BUILD/tests/tools/score_weights" $1 $c 1 scores >tensors 2>log &&
			"$TORCH" "$ROOT/tests/tools/torch_scores.py" $1 $data scores $c <tensors >found 2>&1; then
			ok "$1: scores of $c beside PyTorch"
		else
			no "$1: scores of $c beside PyTorch"
			sed 's/^/# /' log
		fi
		sed 's/^/# /' found
	done
}

beside lenet 60 16 0.05 '{"name": "lenet"}'
scores lenet 60 16
beside lenet-nesterov 60 16 0.05 '{"name": "lenet"}' --set train.optimizer.nesterov=true
beside conv2 20 16 0.01 '{"name": "conv2"}'
scores conv2 20 16
beside vgg11 40 16 0.01 '{"name": "vgg", "depth": 11, "width": 0.25}'
beside resnet20 40 16 0.002 '{"name": "resnet", "depth": 20, "width": 0.5}'
scores resnet20 40 16
# at its beginning a small one is so steep that even this rate takes the loss down by a seventh
beside mobilenet_v2 40 32 0.000003 '{"name": "mobilenet_v2", "width": 0.25}'
