#!/bin/bash
# test: iterative pruning on a real cluster: what each round cuts, what it rewinds to, a chain that breaks and is mended
. "$ROOT/tests/lib.sh"
. "$ROOT/tests/slurm/common.sh"
. "$ROOT/tests/slurm/runs.sh"

if [ -d "$SHARED/data/mnist" ]; then
	check "packing MNIST" coppice pack "$SHARED/data/mnist" d.h5
	batch=600
else
	check "packing glyphs" coppice pack --synthetic glyphs --train 1200 --test 200 d.h5
	batch=20
fi
# the last reset point is the end of training: nothing is trained behind it, so the weights there tell the rewinding
cat >e.json <<END
{
  "name": "e", "model": {"hidden": [32]}, "data": {"path": "d.h5"},
  "train": {"epochs": 1, "batch": $batch, "optimizer": {"lr": 0.05}},
  "sweep": {"quantiles": [0.2], "rounds": 5, "reset": ["0ep", "5it", "0.5ep", "1ep"]},
  "slurm": {"time": "00:05:00", "cpus": 1, "mem": "400M", "max_running": 0, "max_attempts": 1}
}
END

plan local
check "20 cells on this machine" coppice submit local --local --jobs 2

# exact to a weight: each round cuts a fifth of what the one before left, the smallest of its trained weights
exactly_cut() {
	"$PYTHON" - "$1" <<'END'
import csv, h5py, math, sys
import numpy as np
from fractions import Fraction
run = sys.argv[1]
def flat(f, group, names):
    return np.concatenate([f[group + "/" + n][()].ravel() for n in names])
rows = list(csv.DictReader(open(f"{run}/results.csv")))
cell = {(int(r["round"]), int(r["reset_step"])): r for r in rows}
steps = sorted({s for _, s in cell})
assert len(rows) == 20 and len(steps) == 4, (len(rows), steps)
with h5py.File(f"{run}/dense/0/final.h5") as f:
    order = [n if isinstance(n, str) else n.decode() for n in f["order/params"][()]]
    names = [n for n in order if f["params/" + n].attrs["prunable"]]
    dense, end = flat(f, "params", names), int(f.attrs["step"])
    tail = {n: f["params/" + n][()] for n in order if n not in names}
assert end == steps[-1]
total = dense.size
for step in steps:
    weights, kept = dense, np.ones(total, bool)
    for k in range(1, 6):
        cut = math.floor((1 - Fraction(4, 5) ** k) * total + Fraction(1, 2))
        # those that were cut before come first, then by magnitude, then by place
        first = np.lexsort((np.arange(total), np.abs(weights), kept))[:cut]
        expected = np.ones(total, bool)
        expected[first] = False
        r = cell[k, step]
        where = f"round {k}, step {step}"
        assert int(r["nnz"]) == total - cut and int(r["total"]) == total, (where, r["nnz"], total - cut)
        with h5py.File(f"{run}/cells/{int(r['index']):06d}.h5") as f:
            mask = flat(f, "masks", names).astype(bool)
            weights = flat(f, "params", names)
            history = f["history/step"][()]
            if step == end:
                assert (weights == dense * expected).all(), f"{where}: not rewound"
                assert all((f["params/" + n][()] == t).all() for n, t in tail.items()), f"{where}: biases"
        assert mask.sum() == total - cut and (mask == expected).all(), f"{where}: not the smallest"
        assert not (mask & ~kept).any(), f"{where}: what was cut came back"
        assert (weights[~mask] == 0).all(), f"{where}: a cut weight is not 0"
        assert history[0] == step and history[-1] == end, (where, history)
        kept = mask
END
}

# one array a round, each waiting for the one before task by task
scontrol update partition=main state=down
plan held
expect "five rounds" 0 'submitted 7 jobs .*1 dense, 20 cells' coppice submit held
arrays=$(squeue --noheader --name=held.cells --format=%F | sort -nu)
check "five arrays" test "$(wc -w <<<"$arrays")" -eq 5
before=
for id in $arrays; do
	depends=$(squeue --noheader --jobs="$id" --format=%E | head -n 1)
	[ -z "$before" ] || check "array $id depends on $before task by task: $depends" grep -qE "^aftercorr:${before}_\*" <<<"$depends"
	before=$id
done
check "cancelling" coppice cancel held
check "leaves none" left_none held
scontrol update partition=main state=up

# undisturbed
plan rounds
check "submitting" coppice submit rounds
# another, of which a cell of the second round fails
plan broken
mkdir -p broken/cells/000005.h5/in-the-way
check "submitting another" coppice submit broken
check "all rounds are done" ends rounds 20
check "the same bits as here" same_points local rounds
if has_python; then check "sparsities, masks and weights in every round" exactly_cut rounds; else skip "exact" "no h5py"; fi

check "of the other all chains but one are done" ends broken 16
check "the cell has failed, and why" status_has broken '^cell 5 +failed .*000005.h5'
check "its successor waits, and why" status_has broken '^cell 9 +waiting .*waits for cell 5 of the round before: failed'
check "and those behind that" status_has broken '3 of 20 cells waiting'
expect "redo fails again where nothing is mended" 0 '0 dense, 4 cells' coppice redo broken
check "and it says so" until_true 20 left_none broken
check "as before" status_has broken '^cell 5 +failed .*000005.h5'
rm -r broken/cells/000005.h5
expect "redo takes exactly that chain" 0 '0 dense, 4 cells' coppice redo broken
check "it is done" ends broken 20
check "with the same bits" same_points local broken

# a chain of which only a part fits the queue
plan few --set slurm.max_submitted=3 --set 'sweep.reset=["0ep", "1ep"]'
expect "the dense run and two rounds of five fit" 0 '8 cells wait for room' coppice submit few
check "the others follow" ends few 10
check "each was submitted once" each_once few 10
check "the same bits" same_points local few

# cancelled under way, with two chains at once
plan cancelled --set slurm.max_running=2
check "submitting" coppice submit cancelled
until_true 60 test -e cancelled/cells/000000.h5 || no "a cell is done"
check "cancelling under way" coppice cancel cancelled
check "nothing is left in the queue" until_true 20 left_none cancelled
check "redo goes on" coppice redo cancelled
check "to the end" ends cancelled 20
check "to the same bits" same_points local cancelled
