#!/bin/bash
# test: coppice pack --synthetic glyphs: the table, the file as h5py sees it, refusals that leave nothing behind
source "$ROOT/tests/lib.sh"

cat >expected <<'END'
g.h5: 40 training and 21 test images of 28x28x1 in 10 classes
fingerprint 3fc681d85053caf2

channel    mean     std
      0  0.1361  0.2548

class  train  test
0          4     3
1          4     2
2          4     2
3          4     2
4          4     2
5          4     2
6          4     2
7          4     2
8          4     2
9          4     2
END
same "the table of what was packed, and the golden fingerprint of seed 7" expected \
	coppice pack --synthetic glyphs --train 40 --test 21 --seed 7 g.h5
check "nothing but the dataset is in the folder" test "$(ls -A)" = "$(printf 'expected\ng.h5')"

if has_python; then
	cat >look.py <<'END'
import h5py, numpy, sys
f = h5py.File(sys.argv[1], "r")
x, y = f["train/images"], f["train/labels"]
assert x.dtype == numpy.uint8 and x.shape == (40, 28, 28, 1), (x.dtype, x.shape)
assert y.dtype == numpy.int32 and list(y[:]) == [i % 10 for i in range(40)]
assert f["test/images"].shape == (21, 28, 28, 1) and f["test/labels"].shape == (21,)
assert [c.decode() for c in f["classes"]] == [str(i) for i in range(10)]
assert f.attrs["format"] == "coppice-dataset" and f.attrs["complete"] == 1 and f.attrs["version"] == 1
assert f.attrs["mean"].dtype == numpy.float32 and f.attrs["mean"].shape == (1,)
v = x[:].astype(numpy.float64) / 255
assert abs(f.attrs["mean"][0] - v.mean()) < 1e-7 and abs(f.attrs["std"][0] - v.std()) < 1e-7
assert len(f.attrs["fingerprint"]) == 16
END
	check "h5py reads the layout, and numpy agrees on mean and std" "$PYTHON" look.py g.h5
else
	skip "h5py reads the layout" "no python3 with h5py and numpy"
fi

coppice pack --synthetic glyphs --train 40 --test 21 --seed 7 again.h5 >/dev/null
print() { coppice pack --synthetic glyphs --train 40 --test 21 "$@" --force --json tmp.h5 2>/dev/null | grep fingerprint; }
check "the seed decides" test "$(print --seed 7)" != "$(print --seed 8)"
check "the same seed, the same fingerprint" test "$(print --seed 7)" = "$(print --seed 7)"
expect "--json has the counts" 0 '"test":[[:space:]]*21,' coppice pack --synthetic glyphs --train 40 --test 21 --json j.h5

mkdir bad && cd bad || exit 1
echo precious >old.h5
expect "an existing file is kept" 2 "'old.h5' exists \(--force replaces it\)" coppice pack --synthetic glyphs old.h5
check "and is unchanged" grep -q precious old.h5
expect "--force replaces it" 0 '^old.h5: 5 training' coppice pack --synthetic glyphs --train 5 --test 5 --force old.h5
rm old.h5
expect "an output folder that is not there" 2 "no folder 'nowhere'" coppice pack --synthetic glyphs nowhere/g.h5
mkdir folder
expect "an output that is a folder" 2 "'folder': it is a folder" coppice pack --synthetic glyphs folder
rmdir folder
expect "another kind of synthetic data" 2 "'gliphs'.*'glyphs'" coppice pack --synthetic gliphs g.h5
expect "no training images" 2 "--train wants a whole number" coppice pack --synthetic glyphs --train 0 g.h5
expect "a seed that is no number" 2 "--seed wants a whole number" coppice pack --synthetic glyphs --seed 1x g.h5
expect "no arguments" 2 "SRC and DATA.h5" coppice pack
expect "one argument" 2 "SRC and DATA.h5" coppice pack g.h5
expect "a source beside --synthetic" 2 "no SRC" coppice pack --synthetic glyphs src g.h5
expect "--seed without --synthetic" 2 "--seed is for --synthetic" coppice pack --seed 3 src g.h5
expect "--size with --synthetic" 2 "--size is for folders" coppice pack --synthetic glyphs --size 3 g.h5
expect "a source that is not there" 2 "cannot open 'nosuch'" coppice pack nosuch g.h5
check "nothing is left behind" test -z "$(ls -A)"
