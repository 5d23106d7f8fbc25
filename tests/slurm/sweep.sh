#!/bin/bash
# test: a whole sweep on a real cluster: through libslurm, by pasted sbatch lines, refused, cancelled, redone, interrupted
. "$ROOT/tests/lib.sh"
. "$ROOT/tests/slurm/common.sh"

coppice pack --synthetic glyphs --train 600 --test 200 glyphs.h5 >/dev/null 2>&1 || no "packing"
cat >toy.json <<'EOF'
{
  "name": "toy",
  "model": {"name": "lenet", "hidden": [32]},
  "data": {"path": "glyphs.h5", "validation": 100},
  "train": {"epochs": 1, "batch": 50, "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9}},
  "sweep": {"quantiles": [0.5, 0.9], "reset": ["0ep", "5it"]},
  "slurm": {"time": "00:05:00", "cpus": 1, "gpus": 0, "mem": "300M", "max_running": 3, "extra": ["--comment=mine"],
            "prologue": ["export COPPICE_TEST_PROLOGUE=1"]}
}
EOF
sed 's/"epochs": 1/"epochs": 3000/; s/\[0.5, 0.9\]/[0.9]/' toy.json >long.json

# cells_equal A B: both runs have the same cells, and all their weights and masks have the same bits
cells_equal() {
	"$PYTHON" - "$1" "$2" <<'EOF'
import h5py, os, sys
a, b = (sorted(os.listdir(r + "/cells")) for r in sys.argv[1:3])
a, b = ([n for n in names if n.endswith(".h5") and not n.startswith(".")] for names in (a, b))
assert a == b and a, (a, b)
def tensors(f):
    found = {}
    f.visititems(lambda n, o: found.update({n: o[()].tobytes()}) if isinstance(o, h5py.Dataset) and
                 n.split("/")[0] in ("params", "masks") else None)
    return found
for name in a:
    with h5py.File(f"{sys.argv[1]}/cells/{name}") as f, h5py.File(f"{sys.argv[2]}/cells/{name}") as g:
        p, q = tensors(f), tensors(g)
        assert p and p == q, f"{name}: {[k for k in p if p[k] != q.get(k)]}"
EOF
}
check_cells() { # check_cells NAME A B
	if has_python; then check "$1" cells_equal "$2" "$3"; else skip "$1" "no h5py"; fi
}

status_has() { coppice status "$1" | grep -qE "$2"; }
jobs_of() { squeue --noheader --states=all --name="$1" --format=%F | sort -nu | tail -n 1; }
task_state() { squeue --noheader --states=all --jobs="$1" --format='%T %r'; }
task_is() { [[ $(task_state "$1") == $2* ]]; }
collected() { until_true 60 test -s "$1/results.csv"; }

# the reference
coppice plan toy.json -o local >/dev/null || no "planning"
check "the sweep on this machine" coppice submit local --local

# through libslurm
coppice plan toy.json -o module >/dev/null
expect "submitting" 0 'submitted 3 jobs .*1 dense, 4 cells' env COPPICE_SLURM=module coppice submit module
check "the results are collected by the last job" collected module
check "all cells are done" status_has module '4 of 4 cells done'
check_cells "through libslurm: the same bits as here" local module
check "the job has the experiment's options" grep -q 'Comment=mine' <<<"$(scontrol show job "$(jobs_of toy.cells)")"
check "and its throttle" grep -q 'ArrayTaskThrottle=3' <<<"$(scontrol show job "$(jobs_of toy.cells)")"
check "logs carry the job's name" test -s "module/logs/toy.cells-$(jobs_of toy.cells)_3.out"
check "the prologue stands in the script" grep -qx 'export COPPICE_TEST_PROLOGUE=1' module/jobs/cells.sbatch
expect "no line of the script is left half filled" 1 '^$' grep -E '@[A-Z]+@|^#SBATCH.*=$|gpu' module/jobs/{dense,cells,collect}.sbatch
expect "submitting again when all is done" 0 'nothing is missing' coppice submit module

# the printed lines, pasted; from another folder
coppice plan toy.json -o pasted >/dev/null
coppice submit pasted --print >lines
check "three lines are printed" [ "$(grep -c '=$(sbatch --parsable ' lines)" = 3 ]
(cd / && . "$OLDPWD/lines") || no "pasting the lines"
check "pasted lines: the results are collected" collected pasted
check_cells "pasted lines: the same bits as here" local pasted

# the scripts alone, by hand
coppice plan toy.json -o hand >/dev/null
dense=$(sbatch --parsable hand/jobs/dense.sbatch)
cells=$(sbatch --parsable --dependency="afterok:$dense" hand/jobs/cells.sbatch)
sbatch --dependency="afterany:$cells" hand/jobs/collect.sbatch >/dev/null
check "by hand: the results are collected" collected hand
check_cells "by hand: the same bits as here" local hand

# refused, cancelled; all while nothing may start
scontrol update partition=main state=down
coppice plan toy.json -o held >/dev/null
expect "submitting through sbatch" 0 'submitted 3 jobs' env COPPICE_SLURM=sbatch coppice submit held
expect "a second time is refused" 2 'submitted already.* 5 queued|submitted already.* queued' coppice submit held
check "status tells what is queued" status_has held '4 of 4 cells queued'
check "cancelling" coppice cancel held
check "nothing is left in the queue" [ -z "$(squeue --noheader)" ]
scontrol update partition=main state=up

# redone: one cell is missing
rm module/cells/000002.h5 module/results.csv
check "status misses the cell" status_has module '3 of 4 cells done'
expect "redo submits it alone" 0 '0 dense, 1 cells' coppice redo module
check "it is collected" collected module
check_cells "it has the same bits" local module

# a grid of 32 cells where an array has 31 tasks at most
sed 's/\[0.5, 0.9\]/[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]/; s/"0ep", "5it"/"0ep", "2it", "5it", "8it"/' toy.json >wide.json
coppice plan wide.json -o wide >/dev/null
expect "a grid larger than an array" 0 'submitted 4 jobs .*32 cells' coppice submit wide
check "is split" collected wide
check "and done" status_has wide '32 of 32 cells done'

# interrupted: the array's last task gets USR1, then a job of a higher partition takes all nodes
coppice plan long.json -o undisturbed >/dev/null
coppice submit undisturbed --local >/dev/null 2>&1 || no "the long sweep on this machine"
coppice plan long.json -o long >/dev/null
coppice submit long >/dev/null
log_of() { echo "long/logs/toy.cells-${job}_$1.out"; }
until_true 60 task_is "$(jobs_of toy.dense)" COMPLETED
job=$(jobs_of toy.cells)
until_true 20 grep -q 'epoch 20 ' "$(log_of 1)" || no "the last task gets under way"
# the first one must last until it is preempted
until_true 20 grep -q 'epoch 20 ' "$(log_of 0)" && first=$(sed -nE 's/.*"pid":[[:space:]]*([0-9]+).*/\1/p' long/state/000000.json) &&
	kill -STOP "$first" || no "the first task is held under way"
scancel --signal=USR1 --batch "${job}_1"
check "after USR1 the last task waits in the queue" until_true 10 task_is "${job}_1" 'PENDING BeginTime'
check "the other goes on" task_is "${job}_0" RUNNING
check "it says where it was saved" grep -q 'saved at step' "$(log_of 1)"
# it waits so that the nodes forget its credential (two minutes on most sites); nothing here needs that
start_soon "${job}_1"
until_true 30 task_is "${job}_1" RUNNING || no "the task is started again"
until_true 20 task_is "${job}_0" RUNNING || no "the first task is still running"
urgent=$(sbatch --parsable --partition=urgent --nodes=4 --exclusive --output=/dev/null --wrap 'sleep 0.5')
kill -CONT "$first"
check "a preempted task waits in the queue" until_true 20 task_is "${job}_0" PENDING
check "and saved its state" grep -q 'saved at step' "$(log_of 0)"
until_true 10 has_left "$urgent"
start_soon "${job}_0"
start_soon "${job}_1"
check "both are done in the end" until_true 90 status_has long '2 of 2 cells done'
check "and collected" collected long
check_cells "interrupted twice: the same bits as undisturbed" undisturbed long
