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

# The network of an experiment: the images are the dataset's, those asked for, or the usual ones.
model_json() { printf '{"model": %s, "data": {"path": "%s"}}' "$1" "${2:-none.h5}" >model.json; }
expect "a network" 0 '^fc2 +linear +- +relu_3 +100x1x1 +30100 +0 +30\.0k$' coppice show "$ROOT/configs/demo.json"
expect "its totals" 0 '^total( +-){4} +266610 +0 +266\.2k$' coppice show "$ROOT/configs/demo.json"
model_json '{"name": "lenet", "hidden": []}' glyphs.h5
expect "images of the dataset" 0 '^images +28x28x1$|^images from +dataset .glyphs.h5.$' coppice show model.json
expect "their number of features" 0 '^total( +-){4} +7850 +0 +7\.8k$' coppice show model.json
model_json '{"name": "mobilenet_v2"}'
expect "the usual images" 0 "^images from +the usual ones of 'mobilenet_v2': there is no dataset 'none.h5'" coppice show model.json
expect "MobileNetV2 at 64" 0 '^total( +-){4} +3504872 +34112 +25\.7M$' coppice show model.json
expect "MobileNetV2 at 224" 0 '^total( +-){4} +3504872 +34112 +300\.8M$' coppice show --input 3x224x224 --classes 1000 model.json
expect "groups and strides" 0 '^block2_depthwise_conv +conv +3x3, stride 2, 96 groups +relu6_[0-9]+ +96x16x16 +864 +0 ' coppice show model.json
expect "other classes" 0 '^total( +-){4} +2236682 +34112 ' coppice show --classes 10 model.json
expect "two inputs" 0 '^add_[0-9]+ +add +- +block3_project_bn, block2_project_bn +24x16x16 ' coppice show model.json
for bad in 3x64 3x64x64x1 3x64x 0x64x64 axbxc 3x64x99999 ''; do
	expect "--input '$bad'" 2 'CHANNELSxHEIGHTxWIDTH' coppice show --input "$bad" model.json
done
expect "--classes 1" 2 '\-\-classes' coppice show --classes 1 model.json
expect "--input for a dataset" 2 "'glyphs.h5' is no experiment and no run" coppice show --input 3x64x64 glyphs.h5
model_json '{"name": "resnet", "depth": 21}'
expect "a depth that is none" 2 "'model.depth' is 21, but must be 20, 32, 44, 56 or 110" coppice show model.json
model_json '{"name": "resnet", "hidden": [10]}'
expect "a key of another network" 2 "'model.hidden' is for the network lenet" coppice show model.json
model_json '{"name": "vgg"}' glyphs.h5
expect "images that are too small" 2 "'model.json': 'vgg' for images of 1x8x8 .*16 x 16 pixels at least" coppice show --input 1x8x8 model.json
model_json '{"name": "graph", "layers": [{"op": "conv", "name": "c1", "kernal": 3}]}'
expect "a layer's key that is none" 2 "layer 1 of 'model.layers', 'c1': 'kernal' is no key of 'conv' \(did you mean 'kernel'\?\)" coppice show model.json
model_json '{"name": "graph", "layers": [{"op": "conv", "out": 4, "kernel": [3, 1], "stride": 2}, {"op": "global_avg_pool"}, {"op": "linear", "name": "fc", "out": "classes"}]}'
expect "a network of one's own" 0 '^conv_1 +conv +3x1, stride 2 +input +4x15x16 +40 +0 ' coppice show model.json
expect "its resolved layers" 0 '"kernel": +\[3, 1\]' coppice show model.json
if has_python; then
	expect "JSON adds up" 0 '^True$' bash -c 'coppice show --json model.json | "$1" -c "
import json, sys
rows = json.load(sys.stdin)[\"layers\"]
print(all(sum(r[k] for r in rows[:-1]) == rows[-1][k] for k in (\"parameters\", \"statistics\", \"macs\")))"' - "$PYTHON"
fi
coppice plan --no-timing "$ROOT/configs/demo.json" -o planned >/dev/null 2>&1 || no "a run"
expect "a run's network" 0 '^total( +-){4} +266610 +0 +266\.2k$' coppice show planned

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
