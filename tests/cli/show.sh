#!/bin/bash
# test: coppice show on datasets, results, experiments, foreign HDF5 files, and on what it cannot show
source "$ROOT/tests/lib.sh"
"$BUILD/tests/test_report" run 4 3 1 2 1 'tiny' || no "made-up results"
coppice pack --synthetic glyphs --train 60 --test 20 glyphs.h5 >/dev/null || no "a dataset"

expect "no file" 2 'which FILE' coppice show
expect "two files" 2 "not 'b' too" coppice show a b
expect "a file that is not there" 2 "cannot open 'none.h5': No such file" coppice show none.h5
echo text >text.txt
expect "no HDF5" 2 "cannot read as HDF5 'text.txt'" coppice show text.txt
head -c 2000 run/results.h5 >cut.h5
expect "a truncated file" 2 "cut.h5" coppice show cut.h5
mkdir folder
expect "a folder that is no run" 2 "folder" coppice show folder

expect "dataset" 0 '^image +28x28x1$' coppice show glyphs.h5
expect "its classes" 0 '^9 +6 +2$' coppice show glyphs.h5
expect "results" 0 '^missing +10, 11$' coppice show run/results.h5
expect "experiment" 0 '^experiment hash +[0-9a-f]{16}$' coppice show "$ROOT/configs/lenet-mnist.json"
echo '{"sweep": {"quantile": [0.5]}}' >typo.json
expect "an experiment with a typing error" 2 'quantile' coppice show typo.json

for f in glyphs.h5 run/results.h5 "$ROOT/configs/lenet-mnist.json"; do
	check "JSON of ${f##*/}" bash -c 'coppice show --json "$1" | "$2" -m json.tool' - "$f" "$PYTHON"
done

if has_python; then
	"$PYTHON" - <<'PYTHON'
import h5py, numpy as np
with h5py.File("foreign.h5", "w") as f:
    f["a/half"] = np.zeros((3, 4), "f2")
    f["word"] = "text"
    f["nothing"] = h5py.Empty("f4")
    f["seven"] = np.zeros((1,) * 7)
    f["pairs"] = np.zeros(2, dtype=[("x", "i4"), ("y", "f8")])
    f["loop"] = h5py.SoftLink("/a")
    f["gone"] = h5py.ExternalLink("nowhere.h5", "/x")
with h5py.File("glyphs.h5", "r") as f, h5py.File("mislabelled.h5", "w") as g:
    for k in f:
        f.copy(k, g)
    for k, v in f.attrs.items():
        g.attrs[k] = v
    g["test/labels"][3] = 10
with h5py.File("run/results.h5", "r") as f, h5py.File("unfinished.h5", "w") as g:
    for k in f:
        f.copy(k, g)
    for k, v in f.attrs.items():
        if k != "complete":
            g.attrs[k] = v
PYTHON
	expect "half floats" 0 '^a/half +float16 +3x4$' coppice show foreign.h5
	expect "seven dimensions" 0 '^seven +float64 +1x1x1x1x1x1x1$' coppice show foreign.h5
	expect "compounds" 0 '^pairs +compound of 2 +2$' coppice show foreign.h5
	expect "a null space" 0 '^nothing +float32 +null$' coppice show foreign.h5
	expect "a label without a class" 2 "mislabelled.h5.*label 10" coppice show mislabelled.h5
	expect "an unfinished file" 2 "unfinished.h5.*not complete" coppice show unfinished.h5
else
	skip "foreign HDF5 files" "no h5py"
fi
