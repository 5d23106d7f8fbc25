#!/bin/bash
# test: what an array task runs: bundles of cells, failures and their attempts, signals, work that is taken over
source "$ROOT/tests/lib.sh"
unset "${!SLURM_@}"

cat >e.json <<'END'
{"name": "e", "model": {"hidden": [24]},
 "data": {"path": "glyphs", "validation": 40, "glyphs": {"train": 360, "test": 100, "seed": 3}},
 "train": {"epochs": 2, "batch": 20, "optimizer": {"lr": 0.05}},
 "sweep": {"quantiles": [0.5, 0.9], "reset": ["0ep", "7it", "2ep"], "replicates": 2},
 "slurm": {"cells_per_task": 5}}
END
task() { # task N ARGUMENT...: as SLURM would start task N
	local n=$1
	shift
	env SLURM_ARRAY_JOB_ID=${job:-77} SLURM_ARRAY_TASK_ID=$n coppice task "$@"
}
# spawn N ARGUMENT...: the same for the background, where the shell's own process becomes it
spawn() {
	local n=$1
	shift
	SLURM_ARRAY_JOB_ID=77 SLURM_ARRAY_TASK_ID=$n exec coppice task "$@"
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
for ((i = 0; i < 12; i++)); do coppice cell alone $i 2>/dev/null || no "cell $i alone"; done
check "the script's array has a task for five cells" grep -qxF '#SBATCH --array=0-2' alone/jobs/cells.sbatch
check "and says so to the program" grep -qF -- '--per-task "${4:-5}"' alone/jobs/cells.sbatch
check "concurrent leaves no trace where it is not wanted" bash -c '! grep -q concurrent alone/jobs/cells.sbatch'
coppice plan e.json -o other --no-timing --set slurm.concurrent=true --set slurm.max_running=7 >/dev/null
check "concurrent stands in the script" grep -qxF 'options+=(--concurrent)' other/jobs/cells.sbatch
check "so many tasks at once that no more than max_running cells are" grep -qxF '#SBATCH --array=0-2%1' other/jobs/cells.sbatch
for s in alone other; do check "the scripts of $s are shell" bash -n $s/jobs/cells.sbatch; done

# fresh RUN [EXPERIMENT [FROM]]: a planned run with the dense runs of FROM
fresh() {
	rm -rf "$1"
	coppice plan ${2:-e}.json -o "$1" --no-timing >/dev/null && cp -r ${3:-alone}/dense "$1/"
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

# one that fails leaves its neighbours alone, and is tried again in the same job, no more than three times
fresh fails
mkdir -p "$(file fails 7)"
why="cell 7: cannot write '.*000007.h5'"
expect "a cell that fails wants to be run again" 75 "task: cell 7 failed, 1 of 3 attempts, and is to be run again: $why" task 1 fails
check "its neighbours have the same bits as alone" same_cells alone fails 5 6 8 9
expect "status shows it" 0 '^cell 7 +failed .*000007.h5' coppice status fails
expect "and again" 75 'task: 4 of 5 cells done, 0 stopped, 0 not begun, 1 to be tried again, 0 failed' task 1 fails
expect "the third time is the last" 0 "task: cell 7 failed for good, 3 times in the same way: $why" task 1 fails
cp fails/state/000007.json before
expect "the job does not try it again" 0 "task: cell 7 has failed for good in this job: $why" task 1 fails
check "indeed not" cmp before fails/state/000007.json
expect "where none is done it is the failure's code" 1 'task: 0 of 1 cells done' task 7 fails --per-task 1
job=78 expect "another job does" 75 'task: cell 7 failed, 1 of 3 attempts' task 1 fails
rmdir "$(file fails 7)"
job=78 expect "and when the cause is mended, well" 0 'task: 5 of 5 cells done' task 1 fails
check "with the same bits" same_cells alone fails {5..9}
check "no state is left of what is done" test -z "$(ls fails/state | grep -v catalog)"
mv fails/dense/0/final.h5 .
expect "bad input is tried again too" 75 'task: 0 of 3 cells done, 0 stopped, 0 not begun, 3 to be tried again' task 0 fails --per-task 3
mkdir -p "$(file fails 1)"
mv final.h5 fails/dense/0/
expect "another failure counts from one" 75 'task: cell 1 failed, 1 of 3 attempts' task 1 fails --per-task 1
expect "twice" 75 'task: cell 1 failed, 2 of 3 attempts' task 1 fails --per-task 1
rm fails/dense/0/final.h5
expect "until it is back, where the first counts anew" 75 'task: cell 1 failed, 1 of 3 attempts' task 1 fails --per-task 1
for _ in 1 2; do task 0 fails --per-task 3 2>/dev/null; done
expect "bad input has its own code" 2 'task: 0 of 3 cells done, 0 stopped, 0 not begun, 0 to be tried again, 3 failed' task 0 fails --per-task 3
sed -i 's/"max_attempts":[^,]*/"max_attempts": 1/' fails/experiment.json
job=79 expect "max_attempts" 2 'task: 0 of 2 cells done, .* 0 to be tried again, 2 failed' task 0 fails --per-task 2

# cells that take a while: as long with a sanitizer, which makes a step several times slower
epochs=400
[ -z "${SAN-}" ] || epochs=80
sed 's/"epochs": 2,/"epochs": '$epochs',/; s/\["0ep", "7it", "2ep"\]/["0ep", "7it"]/; s/"replicates": 2/"replicates": 1/' e.json >long.json
coppice plan long.json -o undisturbed --no-timing >/dev/null
task 0 undisturbed --dense 2>/dev/null || no "the long dense run"
task 0 undisturbed 2>/dev/null || no "the long cells"

state() { printf '%s/state/%06d.json' "$1" "$2"; }
owner() { sed -nE 's/.*"pid":[[:space:]]*([0-9]+).*/\1/p' "$(state $1 $2)" 2>/dev/null; }
gone() { [ "$(ps -o stat= -p "$1" 2>/dev/null | cut -c1)" = "" ] || [ "$(ps -o stat= -p "$1" | cut -c1)" = Z ]; }
# soon COMMAND...: until it succeeds
soon() {
	local _
	for _ in $(seq 3000); do
		"$@" && return
		sleep 0.02
	done
	return 1
}
# ended NAME CODE PID: what was started ends with this exit code
ended() {
	wait "$3"
	local status=$?
	[ $status -eq "$2" ] && ok "$1" || no "$1: exit code $status, not $2"
}

# child_of PID RUN CELL: whether a child of this process has the cell
child_of() {
	local o
	o=$(owner $2 $3)
	[ -n "$o" ] && [ "$(ps -o ppid= -p "$o" | tr -d ' ')" = "$1" ]
}

# deaths by a signal that nobody sent through the task
death() { # death SIGNAL TEXT CODE: kills cell 1 of a bundle of two
	spawn 0 killed --per-task 2 --concurrent 2>log &
	local pid=$!
	soon child_of $pid killed 1
	kill -$1 "$(owner killed 1)"
	ended "a cell that dies of $1: exit code $3" $3 $pid
	expect "status says how it ended by $1" 0 "^cell 1 +failed .*ended by signal $2" coppice status killed
}
fresh killed long undisturbed
death ABRT '6 \(Aborted\)' 75
check "its neighbour is done" same_cells undisturbed killed 0
death KILL '9 \(Killed\)' 75
check "another signal counts from one" grep -q '"failures":[[:space:]]*1,' "$(state killed 1)"
death KILL '9 \(Killed\)' 75
death KILL '9 \(Killed\)' 0
check "it was tried four times" grep -q '"attempts":[[:space:]]*4,' "$(state killed 1)"
job=80 expect "another job completes it" 0 'task: 2 of 2 cells done' task 0 killed --per-task 2
check "with the same bits" same_cells undisturbed killed 0 1

# asked to stop at random moments, until all is done
RANDOM=7
for how in "" --concurrent; do
	fresh stopped long undisturbed
	stops=0 codes=
	for turn in $(seq 40); do
		spawn 0 stopped $how >>log 2>&1 &
		pid=$!
		sleep 0.$((RANDOM % 60 + 10))
		kill -$( ((turn % 2)) && echo USR1 || echo TERM) $pid 2>/dev/null
		wait $pid
		code=$?
		[ $code -eq 0 ] && break
		[ $code -eq 75 ] && stops=$((stops + 1)) || codes="$codes $code"
	done
	[ $stops -ge 2 ] && [ -z "$codes" ] && ok "USR1 and TERM at $stops moments ${how:---in-turn}: 75 each time" ||
		no "$how: stopped $stops times, other codes:$codes"
	task 0 stopped $how >>log 2>&1
	check "then the same bits" same_cells undisturbed stopped {0..3}
	check "requests to stop are no failures, and leave nothing" test -z "$(ls stopped/state)"
done

# a task that is killed takes its cells with it
fresh orphans long undisturbed
spawn 0 orphans --per-task 2 --concurrent 2>log &
pid=$!
for c in 0 1; do soon child_of $pid orphans $c; done
cells="$(owner orphans 0) $(owner orphans 1)"
kill -KILL $pid
wait $pid 2>/dev/null
for c in $cells; do check "a killed task leaves no cell behind" soon gone $c; done
expect "and is run again" 0 'task: 2 of 2 cells done' task 0 orphans --per-task 2
check "to the same bits" same_cells undisturbed orphans 0 1

# taken over: a second process for the same cell; the second is held up until the first has noticed
sed 's/"epochs": '$epochs',/"epochs": '$((3 * epochs))',/' long.json >longer.json
coppice plan longer.json -o slow --no-timing >/dev/null
coppice train slow 2>/dev/null
coppice cell slow 1 2>/dev/null
fresh taken longer slow
coppice cell taken 1 2>first.log &
first=$!
soon test -e "$(state taken 1)"
coppice cell taken 1 2>second.log &
second=$!
took() { [ "$(owner taken 1)" = $second ]; }
soon took || no "the second process takes the cell over"
kill -STOP $second
ended "the first ends with 1" 1 $first
expect "and says who took over" 0 "coppice: cell 1 was taken over by process $second on " cat first.log
check "it left the state alone" took
check "and wrote no result" test ! -e "$(file taken 1)"
kill -CONT $second
ended "the second goes on to the end" 0 $second
check "with the same bits as undisturbed" same_cells slow taken 1

# a process that was held up while another did all of its work
fresh late longer slow
coppice cell late 1 2>first.log &
first=$!
soon test -e "$(state late 1)"
kill -STOP $first
coppice cell late 1 2>/dev/null || no "the second does it all"
touch mark
kill -CONT $first
ended "the first finds it done" 0 $first
expect "and says so" 0 'cell 1 is done: another process has finished it meanwhile' cat first.log
check "it did not write it again" test "$(file late 1)" -ot mark
check "nothing is left of it" test -z "$(ls late/state)"

# four at once: one is left
fresh many longer slow
pids=
for n in 1 2 3 4; do
	coppice cell many 1 2>many-$n.log &
	pids="$pids $!"
	sleep 0.$((RANDOM % 30))
done
done=0
for pid in $pids; do wait $pid && done=$((done + 1)); done
check "of four at least one comes to the end ($done)" test $done -ge 1
check "with the same bits" same_cells slow many 1
check "those that ended were taken over" test "$(cat many-*.log | grep -c 'was taken over by process')" -eq $((4 - done))
check "and left nothing" test -z "$(ls many/state)"
