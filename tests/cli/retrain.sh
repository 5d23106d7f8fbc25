#!/bin/bash
# test: each way to retrain, by each criterion: killed at any moment it ends with the same bits, on any number of threads
source "$ROOT/tests/lib.sh"
heavy "every way to retrain" && exit

cat >e.json <<'END'
{
  "name": "e",
  "model": {"name": "graph", "layers": [
    {"op": "conv", "name": "conv1", "out": 8, "kernel": 5, "stride": 2, "bias": false},
    {"op": "batch_norm", "name": "bn1"}, {"op": "relu"},
    {"op": "conv", "name": "conv2", "out": 8, "kernel": 3, "stride": 2},
    {"op": "batch_norm", "name": "bn2"}, {"op": "relu"}, {"op": "flatten"},
    {"op": "linear", "name": "fc", "out": "classes"}]},
  "data": {"path": "glyphs", "validation": 40, "glyphs": {"train": 360, "test": 80, "seed": 3},
           "augment": {"crop_padding": 1}},
  "train": {"epochs": 3, "batch": 20, "optimizer": {"name": "adam", "lr": 0.002},
            "schedule": {"name": "cosine", "final_lr": 0.0001}},
  "sweep": {"quantiles": [0.7], "reset": ["7it"], "children": 2, "score_batches": 3,
            "criterion": ["magnitude", "grasp", "synflow"],
            "retrain": ["rewind", "lr-rewind", "fine-tune"],
            "controls": ["reinit", "reinit-sign", "shuffle", "random"]}
}
END
coppice plan e.json -o alone --no-timing >/dev/null 2>&1 && coppice train alone -t 1 2>/dev/null || no "the dense run"
for i in $(seq 0 41); do
	coppice cell alone $i -t 1 2>/dev/null || no "cell $i"
done
coppice plan e.json -o hit --set device.checkpoint_minutes=0 --no-timing >/dev/null 2>&1
mkdir -p hit/dense && cp -r alone/dense/0 hit/dense/

# all of the first criterion's, and some of the others'
killed=0
bad=
: >log
for i in $(seq 0 13) 14 18 29 33; do
	file=$(printf %06d $i)
	hit 0.02 hit/state/$file.h5 coppice cell hit $i -t 2
	hit 0 hit/state/$file.h5 coppice cell hit $i -t 1
	coppice cell hit $i -t 3 >>log 2>&1 || bad="$bad $i (failed)"
	same_tensors alone/cells/$file.h5 hit/cells/$file.h5 >differs 2>&1 || { bad="$bad $i"; cat differs; }
done
[ -z "$bad" ] && ok "18 cells killed and gone on with, on 1 to 3 threads: the same bits" || no "other bits:$bad"
resumed=$(grep -c 'going on from step' log)
[ $killed -ge 15 ] && [ $resumed -ge 10 ] && ok "they were killed while they worked, and went on" ||
	no "only $killed were killed and $resumed went on: too few to prove anything"

# as far as the ways go: what is trained, and what the learning rate is
if has_python; then
	"$PYTHON" - <<'END' && ok "steps and rates are those of the way" || no "steps and rates"
import glob, h5py
seen = {}
for f in sorted(glob.glob("alone/cells/*.h5")):
    with h5py.File(f) as h:
        word = lambda k: h.attrs[k] if isinstance(h.attrs[k], str) else h.attrs[k].decode()
        step, lr = h["history/step"][()], h["history/lr"][()]
        masks = {n: h["masks/" + n + "/weight"][()] for n in ("conv1", "conv2", "fc")}
        seen[word("criterion"), word("retrain"), int(h.attrs["child"])] = (step, lr, masks, int(h.attrs["nnz"]))
assert len(seen) == 42, len(seen)
total, reset = 3 * 16, 7
for (criterion, way, child), (step, lr, masks, nnz) in seen.items():
    first = {"fine-tune": total, "reinit": 0, "reinit-sign": 0}.get(way, reset)
    last = {"fine-tune": 2 * total - reset}.get(way, total)
    assert step[0] == first and step[-1] == last, (criterion, way, step)
    if way == "fine-tune":
        assert (lr[1:] == lr[1]).all() and 1e-4 < lr[1] < 2e-4, lr
    else:
        assert lr[-1] < 2e-4 and (lr[1:-1] > lr[2:]).all(), (way, lr)
    assert sum(m.sum() for m in masks.values()) == nnz == seen["magnitude", "rewind", 0][3]
    ticket = seen[criterion, "rewind", 0][2]
    same = all((masks[n] == ticket[n]).all() for n in masks)
    assert same == (way not in ("shuffle", "random")), (criterion, way)
    if way == "shuffle":
        assert all(masks[n].sum() == ticket[n].sum() for n in masks), (criterion, way)
    twin = seen[criterion, way, 1 - child]
    assert all((masks[n] == twin[2][n]).all() for n in masks), "children of one mask"
for a, b in (("magnitude", "grasp"), ("grasp", "synflow"), ("magnitude", "synflow")):
    assert any((seen[a, "rewind", 0][2][n] != seen[b, "rewind", 0][2][n]).any() for n in masks), (a, b)
END
else
	skip "steps and rates are those of the way" "no h5py"
fi
same_tensors alone/cells/000000.h5 alone/cells/000001.h5 >/dev/null 2>&1 && no "children end alike" || ok "children end elsewhere"
expect "the words are in the log" 0 'quantile 0.7, reset 7it, grasp, fine-tune, child 1: test top-1' \
	bash -c 'rm alone/cells/000019.h5; coppice cell alone 19'
mkdir -p hit/cells/000019.h5/in-the-way
coppice cell hit 19 >/dev/null 2>&1 && no "a cell without a place for its result"
expect "status says which ticket failed" 0 '^cell 19 +failed +0.7 +7it +grasp, fine-tune, child 1 ' coppice status hit
