#!/bin/bash
# test: coppice collect again and again: only new files are read, with the same result as reading all; damaged files are named, shown and done anew
source "$ROOT/tests/lib.sh"
cat >e.json <<'JSON'
{"name": "e", "model": {"hidden": [12]},
 "data": {"path": "glyphs", "validation": 40, "glyphs": {"train": 240, "test": 60, "seed": 3}},
 "train": {"epochs": 2, "batch": 20, "optimizer": {"lr": 0.05}},
 "sweep": {"quantiles": [0.5, 0.8, 0.9], "reset": ["0ep", "5it"], "replicates": 2}}
JSON
coppice plan e.json -o run --no-timing >/dev/null 2>&1 || no "plan"
coppice train run >/dev/null 2>&1 || no "train"
cells() { for c in "$@"; do coppice cell run $c >/dev/null 2>&1 || no "cell $c"; done; }

cells 0 1 2 3 7
expect "the first cells" 4 "^5 cells read, 0 kept from the results before" coppice collect run
expect "nothing new" 4 "^0 cells read, 5 kept" coppice collect run
cells 4 5 6 8 9 10 11
expect "the others" 0 "^7 cells read, 5 kept" coppice collect run
expect "nothing is opened that was before" 0 "^0 cells read, 12 kept" coppice collect run
if command -v strace >/dev/null && [ -z "${SAN:-}" ] && strace -qq -o /dev/null true 2>/dev/null; then
	strace -f -e trace=open,openat -o opened coppice collect run >/dev/null 2>&1
	check "as the system calls say" bash -c '! grep -q "cells/0" opened && grep -q results.h5 opened'
else
	skip "as the system calls say" "no strace"
fi

# whether results.h5, made in several steps, is what one step gives: tensor for tensor
as_anew() {
	cp run/results.h5 steps.h5
	rm run/results.h5 run/state/results
	coppice collect run >log 2>&1
	grep -q " 0 kept" log || cat log
	"$PYTHON" - steps.h5 run/results.h5 <<'PYTHON'
import h5py, numpy as np, sys
a, b = (h5py.File(name) for name in sys.argv[1:])
def sets(f):
    out = {}
    f.visititems(lambda n, o: out.__setitem__(n, o) if isinstance(o, h5py.Dataset) else None)
    return out
x, y = sets(a), sets(b)
assert set(x) == set(y) and len(x) > 100, (set(x) ^ set(y), len(x))
for n in x:
    assert x[n].dtype == y[n].dtype and x[n].shape == y[n].shape, n
    assert list(x[n][()].ravel()) == list(y[n][()].ravel()) if x[n].dtype == object else x[n][()].tobytes() == y[n][()].tobytes(), n
def facts(o):
    return {k: str(v) for k, v in o.attrs.items()} # a NaN is none else's equal
assert facts(a) == facts(b) and a.attrs["complete"] == 1
for r in a["dense"]:
    assert facts(a["dense"][r]) == facts(b["dense"][r]), r
PYTHON
}
has_python && check "the same as in one step" as_anew
has_python || skip "the same as in one step" "no python3 with h5py"

# cut short; a bit of what it holds; a bit of its root; and one that comes too late for the catalog to see it
flip() { # FILE WHERE: the lowest bit of a byte
	printf "$(printf '\\x%02x' $(($(od -An -tu1 -j$2 -N1 "$1") ^ 1)))" | dd of="$1" bs=1 seek=$2 conv=notrunc status=none
}
places() { # FILE BYTES: where in it they are
	LC_ALL=C grep -obUaP "$2" "$1" | cut -d: -f1 | tr -cd '0-9\n'
}
cp -r run kept
truncate -s 3000 run/cells/000002.h5
# epochs 1.0 and 2.0 as doubles, wherever they are: HDF5 leaves bits of its memory in its files
for at in $(places run/cells/000005.h5 '\x00{6}\xf0\x3f\x00{7}\x40'); do flip run/cells/000005.h5 $((at + 13)); done
flip run/cells/000009.h5 8
for c in 2 5 9; do cmp -s {kept,run}/cells/00000$c.h5 && no "cell $c was not damaged"; done
coppice status run >before 2>&1
check "cut short, or no HDF5: status sees it" grep -q "10 of 12 cells done" before
expect "collect names the one cut short" 4 "cell 2 counts as missing: .*000002.h5" coppice collect run
expect "the one whose root is damaged" 4 "cell 9 counts as missing: .*000009.h5" coppice collect run
expect "the one whose history is" 4 "cell 5 counts as missing: .*'.*000005.h5' is damaged: what it holds is not" coppice collect run
expect "as missing" 4 "^missing: 2 5 9$" coppice collect run
expect "and keeps the others" 4 "^0 cells read, 9 kept" coppice collect run
expect "from then on status sees that, too" 0 "^ *3 of 12 cells lost" coppice status run
expect "with the reason" 0 "^cell 5 .*damaged: what it holds" coppice status run
expect "redo does them" 0 "12 of 12 cells are done" coppice redo run --local
expect "only they are read" 0 "^3 cells read, 9 kept|^0 cells read, 12 kept" coppice collect run
bad=
for f in kept/cells/*.h5; do same_tensors $f run/cells/${f##*/} >/dev/null || bad="$bad ${f##*/}"; done
[ -z "$bad" ] && ok "with the same bits" || no "with other bits:$bad"
has_python && check "after all that the same as in one step" as_anew

# results that are not what was written are not gone on with
flip run/results.h5 20000
expect "damaged results are made anew" 0 "^12 cells read, 0 kept" coppice collect run
echo nonsense >run/state/results
expect "where nothing is remembered, too" 0 "^12 cells read, 0 kept" coppice collect run
rm run/cells/000011.h5
expect "a file that is gone is told of" 4 "1 cells of the results before are left out: their files are gone" coppice collect run
if [ -x "$SHARED/verify/verify_run.py" ] && has_python; then
	check "the run from outside" "$PYTHON" "$SHARED/verify/verify_run.py" run
else
	skip "the run from outside" "no verify_run.py, or no python3 with h5py"
fi
