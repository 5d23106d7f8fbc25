#!/bin/bash
# test: what an array task runs: bundles of cells in turn and at once, with the same bits as cell by cell
source "$ROOT/tests/lib.sh"
unset "${!SLURM_@}"

cat >e.json <<'END'
{"name": "e", "model": {"hidden": [24]},
 "data": {"path": "glyphs", "validation": 40, "glyphs": {"train": 360, "test": 100, "seed": 3}},
 "train": {"epochs": 2, "batch": 20, "optimizer": {"lr": 0.05}},
 "sweep": {"quantiles": [0.5, 0.9], "reset": ["0ep", "7it", "2ep"], "replicates": 2},
 "slurm": {"cells_per_task": 5}}
END
cells=12
task() { # task N ARGUMENT...: as SLURM would start task N
	local n=$1
	shift
	env SLURM_ARRAY_JOB_ID=${job:-77} SLURM_ARRAY_TASK_ID=$n coppice task "$@"
}
file() { printf '%s/cells/%06d.h5' "$1" "$2"; }
# same_cells A B CELL...: these are there, with the same bits
same_cells() {
	local a=$1 b=$2 c
	shift 2
	for c; do same_tensors "$(file $a $c)" "$(file $b $c)" || return 1; done
}
# only RUN CELL...: the run has these cells and no others
only() {
	local run=$1
	shift
	[ "$(ls "$run/cells" 2>/dev/null)" = "$(for c; do printf '%06d.h5\n' $c; done)" ]
}

coppice plan e.json -o alone --no-timing >/dev/null
expect "the dense run of a replicate" 0 'task: dense run 0 is done' task 0 alone --dense
expect "and of the other" 0 'task: 1 of 1 dense runs done' task 1 alone --dense
expect "there is no third" 2 'task 2 has no cells' task 2 alone --dense
for ((i = 0; i < cells; i++)); do coppice cell alone $i 2>/dev/null || no "cell $i alone"; done
check "the script's array has a task for five cells" grep -qxF '#SBATCH --array=0-2' alone/jobs/cells.sbatch
check "and says so to the program" grep -qF -- '--per-task "${4:-5}"' alone/jobs/cells.sbatch
check "concurrent leaves no trace where it is not wanted" bash -c '! grep -q concurrent alone/jobs/cells.sbatch'
coppice plan e.json -o other --no-timing --set slurm.concurrent=true --set slurm.max_running=7 >/dev/null
check "concurrent stands in the script" grep -qxF 'options+=(--concurrent)' other/jobs/cells.sbatch
check "so many tasks at once that no more than max_running cells are" grep -qxF '#SBATCH --array=0-2%1' other/jobs/cells.sbatch
for s in alone other; do check "the scripts of $s are shell" bash -n $s/jobs/cells.sbatch; done

# fresh RUN: a planned run with the dense runs of `alone`
fresh() {
	rm -rf "$1"
	coppice plan e.json -o "$1" --no-timing >/dev/null && cp -r alone/dense "$1/"
}

fresh turn
expect "a bundle in turn" 0 'task: 5 of 5 cells done' task 1 turn
check "is these five" only turn 5 6 7 8 9
expect "the last bundle is what is left" 0 'task: 2 of 2 cells done' task 2 turn
expect "and the first" 0 'task: 5 of 5 cells done' task 0 turn
check "in turn: the same bits as alone" same_cells alone turn {0..11}
expect "what is done is left alone" 0 'cell 3 is done' task 0 turn
expect "a task beyond the array" 2 'task 3 has no cells: there are 12, 5 a task' task 3 turn

fresh once
expect "all at once" 0 'task: 5 of 5 cells done' task 0 once --concurrent
expect "with threads" 0 'task: 5 of 5 cells done' task 1 once --concurrent --threads 2
check "at once: the same bits as alone" same_cells alone once {0..9}

fresh list
printf '3\n11\n0\n7\n5\n2\n' >cells.list
expect "lines of a list" 0 'task: 2 of 2 cells done' task 1 list --list cells.list --offset 1 --count 4 --per-task 2
check "are these" only list 5 7
expect "a part of the grid" 0 'task: 3 of 3 cells done' task 0 list --offset 8 --count 3 --per-task 4
check "is these" only list 5 7 8 9 10
expect "without a count all of the list" 0 'task: 2 of 2 cells done' task 1 list --list cells.list --per-task 4
check "are these too" only list 2 5 7 8 9 10
expect "COPPICE_TASK does as well" 0 'cell 2 is done' env COPPICE_TASK=5 coppice task list --list cells.list --per-task 1
expect "a list that is too short" 2 "'cells.list' has no cell on line 7" task 1 list --list cells.list --count 8 --per-task 4
expect "a line that is no cell" 2 "line 2 is no cell: 'x'" task 0 list --list <(printf '1\nx\n') --per-task 2
expect "a cell beyond the grid" 2 "cell 12 does not exist" task 0 list --list <(echo 12)
expect "no task" 2 'this is no task of an array' coppice task list
expect "a number that does not fit" 2 'task 9223372036854775807 has no cells' task 9223372036854775807 list

# one that fails leaves its neighbours alone
fresh fails
mkdir -p "$(file fails 7)"
expect "a cell that fails" 0 'task: 4 of 5 cells done, 0 stopped, 0 not begun, 1 failed' task 1 fails
check "its neighbours have the same bits as alone" same_cells alone fails 5 6 8 9
expect "where none is done it is the failure's code" 1 'task: 0 of 1 cells done' task 7 fails --per-task 1
mv fails/dense/0/final.h5 .
expect "bad input has its own" 2 'task: 0 of 5 cells done, 0 stopped, 0 not begun, 5 failed' task 0 fails
