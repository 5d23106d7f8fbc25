#!/bin/bash
# test: array tasks of several cells on a real cluster: failures are tried again by the task itself, cancelled ones are not
. "$ROOT/tests/lib.sh"
. "$ROOT/tests/slurm/common.sh"

coppice pack --synthetic glyphs --train 600 --test 200 glyphs.h5 >/dev/null 2>&1 || no "packing"
cat >bundle.json <<'END'
{"name": "bundle", "model": {"hidden": [32]},
 "data": {"path": "glyphs.h5", "validation": 100},
 "train": {"epochs": 2, "batch": 50, "optimizer": {"lr": 0.05}},
 "sweep": {"quantiles": [0.5, 0.9], "reset": ["0ep", "5it"]},
 "slurm": {"time": "00:05:00", "cpus": 1, "mem": "300M", "cells_per_task": 2, "max_attempts": 2}}
END
sed 's/"epochs": 2/"epochs": 1500/; s/"cpus": 1/"cpus": 2, "concurrent": true/' bundle.json >long.json

for e in bundle long; do
	coppice plan $e.json -o $e-alone --no-timing >/dev/null
	coppice train $e-alone 2>/dev/null || no "the dense run of $e alone"
done
for c in 0 1 2 3; do coppice cell bundle-alone $c 2>/dev/null || no "cell $c alone"; done
COPPICE_TASK=1 coppice task long-alone 2>/dev/null || no "the long cells alone"
fresh() { # fresh RUN EXPERIMENT: planned, with the dense run that is there
	coppice plan $2.json -o $1 --no-timing >/dev/null && cp -r $2-alone/dense $1/
}
same_cells() { # same_cells A B CELL...
	local a=$1 b=$2 c
	shift 2
	for c; do same_tensors $a/cells/00000$c.h5 $b/cells/00000$c.h5 || return 1; done
}
task_is() { [[ $(squeue --noheader --states=all --jobs="$1" --format='%T %r') == $2* ]]; }
restarts() { scontrol show job "$1" | grep -oE 'Restarts=[0-9]+'; }
fails() { # fails RUN CELL TIMES: it is noted as failed so often in a row
	grep -q '"state":[[:space:]]*"failed"' $1/state/00000$2.json && grep -q "\"failures\":[[:space:]]*$3," $1/state/00000$2.json
}
owner() { sed -nE 's/.*"pid":[[:space:]]*([0-9]+).*/\1/p' $1/state/00000$2.json 2>/dev/null; }

# a cell of the array's last task fails twice
fresh run bundle
mkdir -p run/cells/000003.h5
job=$(sbatch --parsable run/jobs/cells.sbatch)
check "a task with a failed cell goes back into the queue" until_true 30 task_is "${job}_1" 'PENDING BeginTime'
until_true 30 task_is "${job}_0" COMPLETED || no "the other task ends"
check "alone: the array's other task does not" test "$(restarts "${job}_0")" = Restarts=0
check "the cell has failed once" fails run 3 1
start_soon "${job}_1"
check "after max_attempts failures it ends well, for its neighbour is done" until_true 60 task_is "${job}_1" COMPLETED
check "the cell has failed twice" fails run 3 2
why='^cell 3 +failed .*000003.h5'
expect "status says why" 0 "$why" coppice status run
coppice status run --failed >rows
check "of what failed alone where that is asked for" test "$(grep -cE "^cell|^dense" rows) $(grep -cE "$why" rows)" = "1 1"
expect "collecting gathers the others and names it" 4 '^missing: 3$' coppice collect run
rmdir run/cells/000003.h5
expect "when the cause is mended redo submits it" 0 'submitted 2 jobs .*0 dense, 1 cells' coppice redo run
all_done() { coppice status run | grep -q '4 of 4 cells done'; }
check "and it is done" until_true 60 all_done
expect "collecting has all of them" 0 '4 of 4 cells are done' coppice collect run
check "all with the same bits as cell by cell" same_cells bundle-alone run 0 1 2 3
check "no state is left" test -z "$(compgen -G 'run/state/0*')"

# a cell that is killed, in a bundle at once; and one that is cancelled
fresh long long
job=$(sbatch --parsable --array=1 long/jobs/cells.sbatch)
until_true 30 test -e long/state/000002.json || no "the cell is begun"
kill -KILL "$(owner long 2)"
check "a cell that is killed is tried again" until_true 60 task_is "${job}_1" 'PENDING BeginTime'
check "it is noted how it ended" grep -q 'ended by signal 9 (Killed)' long/state/000002.json
start_soon "${job}_1"
until_true 60 grep -q '"attempts":[[:space:]]*2,' long/state/000002.json || no "the cell is begun again"
scancel "${job}_1"
check "what is cancelled ends" until_true 60 task_is "${job}_1" CANCELLED
sleep 3
check "and stays so" task_is "${job}_1" CANCELLED
check "it has saved" grep -q '"state":[[:space:]]*"stopped"' long/state/000002.json
printf '3\n2\n' >long/jobs/mine.list
job=$(sbatch --parsable --array=0 long/jobs/cells.sbatch "$PWD/long/jobs/mine.list" 0 2)
until_true 90 task_is "$job" COMPLETED || no "the list is done in time"
check "a list does the rest, with the same bits" same_cells long-alone long 2 3
