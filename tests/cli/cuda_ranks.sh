#!/bin/bash
# test: GPUs that share each batch, the host standing in for them: as the CPU's ranks, again, resumed, and one that fails
source "$ROOT/tests/lib.sh"

if [ ! -e "$BUILD/emulated/coppice-cuda.so" ]; then
	skip "GPUs on the host" "no module for them was built"
	exit
fi
export COPPICE_MODULES=$BUILD/emulated COPPICE_EMULATED_DEVICES=3

cat >three.json <<'END'
{"name": "three", "model": {"name": "graph", "layers": [
   {"op": "conv", "out": 4, "kernel": 3, "stride": 2, "padding": 1, "bias": false}, {"op": "batch_norm"}, {"op": "relu6"},
   {"op": "max_pool", "kernel": 2}, {"op": "dropout", "rate": 0.2}, {"op": "flatten"}, {"op": "linear", "out": 10}]},
 "data": {"path": "glyphs", "validation": 10, "augment": {"crop_padding": 2, "flip": true},
          "glyphs": {"train": 85, "test": 21, "seed": 3}},
 "train": {"epochs": 2, "batch": 15, "optimizer": {"lr": 0.02, "weight_decay": 1e-3}},
 "sweep": {"quantiles": [0.5], "reset": ["0ep", "3it"]},
 "device": {"kind": "cuda", "ranks": 3, "threads": 1}}
END

cat >near.py <<'PYTHON'
# near.py A B TOLERANCE: histories, final weights and running statistics of two dense runs are near each other
import h5py, numpy, sys
a, b, tolerance = sys.argv[1], sys.argv[2], float(sys.argv[3])
worst, seen = 0, 0
def far(x, y):
    x, y = numpy.array(x, 'f8'), numpy.array(y, 'f8')
    return numpy.abs(x - y).max() / max(numpy.abs(x).max(), 1e-30)
with h5py.File(a + '/dense/0/final.h5') as f, h5py.File(b + '/dense/0/final.h5') as g:
    def look(name, d):
        global worst, seen
        if isinstance(d, h5py.Dataset) and d.dtype.kind == 'f':
            worst, seen = max(worst, far(d, g[name])), seen + 1
    f.visititems(look)
with h5py.File(a + '/dense/0/result.h5') as f, h5py.File(b + '/dense/0/result.h5') as g:
    for n in 'train_loss', 'val_loss':
        worst = max(worst, far(f['history/' + n][1:], g['history/' + n][1:]))
print('near' if seen > 6 and worst < tolerance else 'far', seen, worst)
PYTHON

sweep() { coppice run three.json -o "$1" "${@:2}" >"$1.out" 2>&1 || { no "run $1"; tail -n 5 "$1.out" | sed 's/^/# /'; }; }
sweep cpu --set device.kind=cpu
sweep gpu
if has_python; then
	expect "three GPUs: as three ranks of the CPU" 0 '^near' "$PYTHON" near.py cpu gpu 1e-4
else
	skip "three GPUs: as three ranks of the CPU" "no python3 with h5py"
fi
COPPICE_EMULATED_SEED=7 sweep again --set device.checkpoint_minutes=0
check "the same bits again, saved after every step" same_dense 4 gpu again
for c in 0 1; do
	check "and cell $c, of one GPU" same_tensors {gpu,again}/cells/00000$c.h5
done
COPPICE_EMULATED_BYTES=200000000 sweep sent
check "images sent with each batch: the same bits" same_dense 4 gpu sent
COPPICE_EMULATED_BYTES=200000000 sweep streamed --set device.data=stream
check "and read from the file: the same bits" same_dense 4 gpu streamed

coppice plan three.json -o killed --no-timing --set device.checkpoint_minutes=0 >/dev/null 2>&1 || no "plan"
killed=0
for turn in 1 2 3; do
	[ ! -e killed/dense/0/result.h5 ] && hit 0.05 killed/state/dense-0.h5 coppice train killed
done
[ $killed -ge 1 ] || no "it was killed $killed times"
expect "killed $killed times, the dense run comes to its end" 0 '' coppice train killed
check "with the same bits" same_dense 4 gpu killed

# what lacks, and what fails
COPPICE_EMULATED_DEVICES=2 expect "fewer GPUs than ranks" 3 "'device.ranks' is 3: there is no GPU 2: 2 can be seen here" \
	coppice run three.json -o fewer
COPPICE_EMULATED_GROUP=none expect "no NCCL" 3 'several GPUs need NCCL, which cannot be opened' coppice run three.json -o none
for after in 0 1 6 7; do
	COPPICE_EMULATED_GROUP=$after expect "a GPU that fails at its mean $after ends all, and is the one that is told of" 1 \
		'the last GPU of 3 fails, as it was told to' timeout 60 coppice run three.json -o failed-$after
done
expect "a loss that is not finite" 1 "the loss is no longer finite" timeout 60 coppice run three.json -o infinite \
	--set train.optimizer.lr=1e3 --set train.optimizer.weight_decay=1 --set train.epochs=6
