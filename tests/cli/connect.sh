#!/bin/bash
# test: coppice connect: lines between the children of a small sweep, against the cells and against averaged weights; killed, stopped, with cells missing
source "$ROOT/tests/lib.sh"
cat >e.json <<'JSON'
{"name": "children", "model": {"name": "lenet", "hidden": [24, 12]},
 "data": {"path": "glyphs", "glyphs": {"train": 600, "test": 300}},
 "train": {"epochs": 3, "batch": 20, "optimizer": {"name": "adam", "lr": 0.0012}},
 "device": {"kind": "cpu", "threads": 1},
 "sweep": {"quantiles": [0, 0.8], "reset": ["0ep", "1ep"], "children": 2, "replicates": 2}}
JSON
coppice run e.json -o run >/dev/null 2>&1 || no "run"
expect "eight pairs" 0 '^8 pairs measured, 0 were there' coppice connect run --points 3
expect "which are there" 0 '^0 pairs measured, 8 were there' coppice connect run --points 3
check "a file each" bash -c '[ $(ls run/connect | grep -c "^0000[01][0-9]-0000[01][0-9].h5$") -eq 8 ] && [ $(ls run/connect | wc -l) -eq 8 ]'
coppice connect run --points 3 >table 2>/dev/null
check "a row each, and one a place" bash -c \
	'[ $(grep -cE "^ +[01]  magnitude  rewind .* 0-1 .* (yes|no)$" table) -eq 8 ] && [ $(grep -cE "^magnitude  rewind .* 2 +2 " table) -eq 4 ]'
expect "coppice show" 0 '^second +1$' coppice show run/connect/000000-000001.h5
expect "shows the instability" 0 '^test error instability +[0-9.]+ %$' coppice show run/connect/000000-000001.h5
expect "shows the points" 0 '^0\.5000  +[0-9]+\.[0-9]{2}  +[0-9.]+$' bash -c 'coppice show run/connect/000000-000001.h5 | sed "s/^ *//"'

if has_python; then
	cat >lines.py <<'PYTHON'
import glob, h5py, json, numpy as np, sys
said = json.load(open(sys.argv[1]))
data = h5py.File("run/data.h5")
mean, std = data.attrs["mean"], data.attrs["std"]
x = ((data["test/images"][:].astype(float) / 255 - mean) / std).reshape(len(data["test/images"]), -1)
label = data["test/labels"][:]
def test(w): # error and loss of LeNet, in double
    a = x
    for k, layer in enumerate(("fc1", "fc2", "fc3")):
        a = a @ w[layer + "/weight"].T + w[layer + "/bias"]
        if k < 2:
            a = np.maximum(a, 0)
    a -= a.max(axis=1, keepdims=True)
    loss = np.log(np.exp(a).sum(axis=1)) - a[np.arange(len(a)), label]
    return np.mean(a.argmax(axis=1) != label), loss.mean()
def weights(cell):
    return {f"{l}/{t}": cell[f"params/{l}/{t}"][:].astype(float) for l in cell["params"] for t in cell[f"params/{l}"]}
files = sorted(glob.glob("run/connect/*.h5"))
rose = []
for path in files:
    f = h5py.File(path)
    ends = [h5py.File(f"run/cells/{f.attrs[k]:06d}.h5") for k in ("first", "second")]
    assert [e.attrs["child"] for e in ends] == [0, 1] and f.attrs["complete"] == 1
    for key in ("replicate", "quantile", "reset_step", "nnz", "total", "experiment_hash"):
        assert all(e.attrs[key] == f.attrs[key] for e in ends), key
    error, loss = f["test_error"][:], f["test_loss"][:]
    assert list(f["alpha"]) == [0, 0.5, 1] and f.attrs["statistics"] == "none" and "train_error" not in f
    for i, e in zip((0, 2), ends): # the ends are the cells, to the bit
        assert error[i] == 1 - e.attrs["test_top1"] and loss[i] == e.attrs["test_loss"], path
    a, b = map(weights, ends)
    e, l = test({k: (a[k] + b[k]) / 2 for k in a})
    assert abs(error[1] - e) <= 1.01 / len(label) and abs(loss[1] - l) < 1e-4, (path, error[1], e, loss[1], l)
    assert abs(f.attrs["test_error_instability"] - (error.max() - (error[0] + error[2]) / 2)) < 1e-15
    rose.append(loss[1])
    row, = [p for p in said["pairs"] if (p["first"], p["second"]) == (f.attrs["first"], f.attrs["second"])]
    assert row["test_error"]["points"] == list(error) and row["stable"] == (f.attrs["test_error_instability"] < 0.02)
assert len(set(rose)) == len(files) == len(said["pairs"]) == 8 and len(said["places"]) == 4 and said["missing"] == []
for p in said["places"]:
    v = [r["test_error"]["instability"] for r in said["pairs"] if (r["quantile"], r["reset"]) == (p["quantile"], p["reset"])]
    assert len(v) == 2 and abs(p["instability"]["mean"] - np.mean(v)) < 1e-12
PYTHON
	coppice connect run --points 3 --json >said.json 2>/dev/null
	check "ends are the cells, midpoints the averaged weights" "$PYTHON" lines.py said.json
else
	skip "ends are the cells, midpoints the averaged weights" "no python3 with h5py"
fi

# Other options are other measurements.
expect "the training split" 0 '^8 pairs measured' coppice connect run --points 3 --train=100
expect "is in the table" 0 'in training' coppice connect run --points 3 --train=100
expect "30 points by default" 0 '"points":.*(, [0-9.e-]+){29}\]' coppice connect run --json
expect "are measured anew" 0 '^0 pairs measured, 8 were there' coppice connect run --points=30 --threads 2

# Killed after some lines, stopped, and taken up again.
cp -r run other
coppice connect run --points 300 --json >whole.json 2>/dev/null || no "300 points"
rm -r other/connect
coppice connect other --points 300 >/dev/null 2>&1 &
wait_for other/connect/000000-000001.h5 $!
kill -9 $!
wait $! 2>/dev/null
left=$(ls other/connect | wc -l)
check "killed between lines ($left are there)" test "$left" -ge 1 -a "$left" -lt 9
coppice connect other --points 300 >/dev/null 2>log &
pid=$!
while kill -0 $pid 2>/dev/null && [ "$(ls other/connect | wc -l)" -le "$left" ]; do sleep 0.01; done
kill -TERM $pid
wait $pid
code=$?
[ $code -eq 75 ] || [ $code -eq 0 ] && ok "stopped (exit code $code)" || no "stopped: exit code $code: $(cat log)"
expect "goes on" 0 '^[0-7] pairs measured, [1-8] were there' coppice connect other --points 300
coppice connect other --points 300 --json >again.json 2>/dev/null
check "the same lines" cmp whole.json again.json
check "nothing half-written" bash -c '! ls -A other/connect | grep -q tmp'

# A line whose file is damaged is measured anew; cells that are missing or damaged are named.
truncate -s 3000 other/connect/000000-000001.h5
expect "a damaged line" 0 '^1 pairs measured, 7 were there' coppice connect other --points 300
rm other/cells/000003.h5
expect "a missing cell" 4 '^missing: 3$' coppice connect other --points 300
expect "the others are there" 4 '^0 pairs measured, 7 were there' coppice connect other --points 300
truncate -s 5000 other/cells/000008.h5
expect "a damaged cell" 4 '^missing: 3 8$' coppice connect other --points 300
expect "in JSON" 4 '"missing":	\[3, 8\]' coppice connect other --points 300 --json
expect "says why" 4 'cell 8 counts as missing: .*000008.h5' coppice connect other --points 300
if has_python; then
	# the weights are not those of their digest, which nobody sees before they are read
	"$PYTHON" -c 'import h5py; h5py.File("other/cells/000010.h5", "r+")["params"].attrs["digest"] = "0" * 16'
	expect "weights that are damaged" 4 'cell 10 counts as missing: .*is damaged' coppice connect other --points 300
else
	skip "weights that are damaged" "no python3 with h5py"
fi
rm -r other/cells
expect "no cell at all" 4 '8 of 8 pairs lack a cell' coppice connect other

coppice plan e.json -o alone --set sweep.children=1 --no-timing >/dev/null 2>&1
expect "no children" 2 "no cell of '.*alone' has children" coppice connect alone
expect "no weights to connect" 2 "'sweep.children' needs 'sweep.keep_weights'" coppice plan e.json -o bare --set sweep.keep_weights=false --no-timing
coppice plan e.json -o bare --no-timing >/dev/null 2>&1
sed -i 's/"keep_weights":[^,}]*/"keep_weights": false/' bare/experiment.json
expect "no weights, in a run that was planned so before" 2 "hold no weights" coppice connect bare
expect "one point is no line" 2 '' coppice connect run --points 1
