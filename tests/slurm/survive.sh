#!/bin/bash
# test: one sweep on a real cluster through all that kills: cells, steps, nodes, the controller; and queues that forget
. "$ROOT/tests/lib.sh"
CLUSTER_MIN_JOB_AGE=2
export CLUSTER_MIN_JOB_AGE
. "$ROOT/tests/slurm/common.sh"

cat >e.json <<'END'
{"name": "s", "model": {"hidden": [32]},
 "data": {"path": "glyphs", "validation": 100, "glyphs": {"train": 600, "test": 200, "seed": 5}},
 "train": {"epochs": 1000, "batch": 50, "optimizer": {"lr": 0.05, "momentum": 0.9}},
 "sweep": {"quantiles": [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], "reset": ["3it"]},
 "slurm": {"time": "00:10:00", "cpus": 1, "mem": "300M"},
 "device": {"threads": 1, "checkpoint_minutes": 0.015}}
END
sed 's/, 0.7, 0.8, 0.9//; s/"cpus": 1,/"cpus": 1, "max_running": 2,/' e.json >few.json

cluster() { "$ROOT/tests/slurm/cluster.sh" "$1" "$cluster" "$2"; }
cells_of() { squeue --noheader --name=s.cells --format=%F | sort -nu | tail -n 1; } # the last array of cells
task_is() { [[ $(squeue --noheader --jobs="$1" --format='%T %r') == $2* ]]; }
node_of() { squeue --noheader --jobs="${job}_$1" --format=%N; }
log_of() { echo "run/logs/s.cells-${job}_$1.out"; }
says() { grep -qE "$2" "$(log_of "$1")"; }
field() { sed -nE "s/.*\"$2\":[[:space:]]*\"?([a-z0-9]+).*/\1/p" "$run/state/00000$1.json" 2>/dev/null; } # field CELL NAME
# begun CELL ATTEMPTS
begun() { [ "$(field "$1" attempts)" -ge "$2" ] && [ "$(field "$1" state)" = running ]; }
goes_on() { says $1 "cell $1: going on from step"; }
gone() { [[ ! -e /proc/$1 || $(ps -o stat= -p $1) == Z* ]]; }
usr1_waits() { ((0x$(sed -n 's/^ShdPnd:\s*//p' "/proc/$1/status") & 0x200)); }
parent() { ps -o ppid= -p "$1" | tr -d ' '; }
# hold CELL...: notes in pid[] who computes them, and stops each under way, where it has saved something: so a cell lasts
# for as long as it is needed, on any machine
hold() {
	local k l left="$*" late=$((SECONDS + 300))
	while [ -n "$left" ] && [ $SECONDS -lt $late ]; do
		for k in $left; do
			[ -e $run/state/00000$k.h5 ] || continue
			pid[k]=$(field $k pid)
			kill -STOP "${pid[k]}" || return 1
			left=$(for l in $left; do [ $l = $k ] || echo -n "$l "; done)
		done
		sleep 0.05
	done
	[ -z "$left" ]
}
hold_next() { # hold_next CELL: the same of its second attempt, as soon as that has begun; in next[]
	if until_true 60 begun "$1" 2 && next[$1]=$(field "$1" pid) && kill -STOP "${next[$1]}"; then
		ok "cell $1 is begun again"
	else
		no "cell $1 is begun again"
	fi
}

coppice plan e.json -o alone --no-timing --set device.checkpoint_minutes=5 >/dev/null || no "planning"
check "the sweep on this machine, undisturbed" coppice submit alone --local
coppice plan e.json -o run --no-timing >/dev/null && cp -r alone/dense run/ || no "planning to run"
coppice plan few.json -o few --no-timing >/dev/null && cp -r alone/dense few/ || no "planning a few"
run=run
coppice submit run >/dev/null
job=$(cells_of)
pid=() next=()
hold 0 1 2 3 4 5 6 || no "seven cells are caught under way"
sleep 5 # so long slurmctld may take to note in its files what it knows

# slurmctld is killed. A cell that fails meanwhile must get back into the queue; the rest waits for nobody.
cluster kill slurmctld
kill -KILL "${pid[0]}"
failed() { [ "$(field "$1" state)" = failed ]; }
until_true 10 failed 0 || no "the cell's end is noted"
coppice status run >status.out 2>&1 &
status=$!
coppice submit few >submit.out 2>&1 &
submit=$!
coppice redo run >redo.out 2>&1 &
redo=$!
coppice status few >few.out 2>&1 &
few=$!
coppice cancel run >cancel.out 2>&1 &
cancel=$!
check "a task that cannot be requeued waits" until_true 30 says 0 "waits for SLURM's controller"
wait $status
check "without a controller status ends well" test $? = 0
check "says so" grep -q 'the queue could not be asked .*Unable to contact slurm controller' status.out
check "and what files know" grep -q '6 of 7 cells running' status.out
check "of the cell that died too" grep -qE '^cell 0 +failed .*ended by signal 9' status.out
wait $few
check "so does status of what was never submitted" grep -q 'the queue could not be asked .*Unable to contact' few.out
wait $cancel
check "cancel fails" test $? = 1
check "and says that it ended no jobs" grep -q "were not ended, for it cannot be asked .*Unable to contact" cancel.out
wait $submit
check "submit fails" test $? = 1
check "and says why" grep -q "Unable to contact slurm controller" submit.out
check "with nothing submitted by halves" test ! -e few/jobs/submitted.json
wait $redo
check "so does redo" test $? = 1
check "and says what it could not do" grep -q 'the queue cannot be asked: .*Unable to contact' redo.out
cluster revive slurmctld
back=$EPOCHSECONDS
until_true 60 task_is "${job}_3" RUNNING || no "the controller is back"

# All at once, as each of them takes SLURM its time. The array's last task has a time limit shorter than its cell.
scontrol update job="${job}_6" TimeLimit=1
# one is requeued by hand
scontrol requeue "${job}_1"
kill -CONT "${pid[1]}"
# a node is lost, which is what slurmctld calls one without slurmd after SlurmdTimeout; its processes are still there
node=$(node_of 4)
check "two tasks are on the node to be lost" test "$node" = "$(node_of 5)"
cluster kill "$node"
scontrol update node="$node" state=down reason=lost
# a slurmstepd is killed, which SLURM finds out when the node's slurmd tells what it has; another task runs there too
stepd=$(parent "$(parent "$(parent "${pid[2]}")")")
check "the process to be killed is a slurmstepd" grep -q slurmstepd "/proc/$stepd/comm"
# the kernel ends a process group that nobody controls any more where one of it is stopped at that moment
kill -CONT "${pid[2]}"
kill -KILL "$stepd"
until_true 10 gone "$stepd" || no "the slurmstepd ends"
kill -STOP "${pid[2]}"
check "two tasks are on its node" test "$(node_of 2)" = "$(node_of 3)"
hold_next 4
for k in 0 1; do check "cell $k goes on from where it was" until_true 60 goes_on $k; done
first_ends() { # first_ends CELL: of two processes that have it
	kill -CONT "${pid[$1]}"
	check "the first process of cell $1 finds that it has no say any more" until_true 30 gone "${pid[$1]}"
	check "and says who has" says $1 "cell $1 was taken over by process ${next[$1]}"
}
first_ends 4
check "and the other's cell is done elsewhere" until_true 60 test -e run/cells/000005.h5
kill -CONT "${pid[5]}"
check "its first process ends when it finds that" until_true 30 gone "${pid[5]}"
check "and is content" says 5 'cell 5 is done: another process has finished it meanwhile'
cluster revive "$node"
# only of a task that has run for 20 s, or that long after its own start, does SLURM believe a node that has none
sleep $((back + 22 > EPOCHSECONDS ? back + 22 - EPOCHSECONDS : 0))
cluster kill "$(node_of 2)"
cluster revive "$(node_of 2)"
check "USR1 comes before the time limit" until_true 40 usr1_waits "${pid[6]}"
kill -CONT "${pid[6]}"
check "the cell saves" until_true 30 says 6 'saved at step'
for k in 2 6; do hold_next $k; done
first_ends 2
check "neither a slurmd's end nor the array's last task disturbed cell 3" test "$(field 3 pid) $(field 3 attempts)" = "${pid[3]} 1"

kill -CONT "${pid[3]}" "${next[@]}"
all_done() { coppice status run | grep -q '7 of 7 cells done'; }
check "in the end all are done" until_true 120 all_done
check "and collected" until_true 60 test -s run/results.csv
for k in {0..6}; do
	check "cell $k has the same bits as undisturbed" same_tensors alone/cells/00000$k.h5 run/cells/00000$k.h5
	check "and was run to the end once" test "$(cat run/logs/s.cells* | grep -c "cell $k: quantile .* test top-1")" = 1
done
check "no state is left" test -z "$(compgen -G 'run/state/0*')"

# What SLURM has forgotten: a cell that is done, one that was killed with all its task, and two that never began
expect "what could not be submitted can be when the controller is back" 0 'submitted 2 jobs .*4 cells' coppice submit few
run=few
job=$(cells_of)
hold 0 1 || no "two cells are caught under way"
scancel "${job}_2" "${job}_3"
task=$(parent "${pid[0]}")
script=$(parent "$task")
kill -STOP "$task" "$script" # so that none is there for a moment longer and says how another ended
kill -KILL "$script" "$task" "${pid[0]}"
kill -CONT "${pid[1]}"
forgotten() { ! scontrol show job "$job"; }
check "SLURM forgets the job" until_true 90 forgotten
coppice status few >status.out 2>&1
check "what was done is done" grep -qE '^ +1 of 4 cells done' status.out
check "the others are lost, none is thought to run" grep -qE '^ +3 of 4 cells lost' status.out
check "the killed one is known to have begun" grep -qE '^cell 0 +lost .*attempt 1 on .* ended without a result' status.out
check "the cancelled ones not to have" grep -qE "^cell 3 +lost .*job $job left the queue without a result" status.out
rm -f few/results.csv
expect "redo submits these" 0 '0 dense, 3 cells' coppice redo few
check "and they are collected" until_true 60 test -s few/results.csv
expect "completely" 0 '4 of 4 cells done' coppice status few
for k in {0..3}; do check "cell $k has the same bits here" same_tensors alone/cells/00000$k.h5 few/cells/00000$k.h5; done
