#!/bin/bash
# test: a site's limits on a real cluster: arrays, bundles, throttles, full queues, two who submit, grids that grow
# alone: which task meets a full disk first, and what it can still write there, is a matter of time
. "$ROOT/tests/lib.sh"
. "$ROOT/tests/slurm/common.sh"
. "$ROOT/tests/slurm/runs.sh"

coppice pack --synthetic glyphs --train 60 --test 40 d.h5 >/dev/null 2>&1 || no "packing"
cat >e.json <<'END'
{
  "name": "e", "model": {"hidden": [8]}, "data": {"path": "d.h5"},
  "train": {"epochs": 1, "batch": 6, "optimizer": {"lr": 0.05}},
  "sweep": {"quantiles": [0.1, 0.3, 0.5, 0.7], "reset": ["0ep", "2it", "4it", "6it", "8it"]},
  "slurm": {"time": "00:05:00", "cpus": 1, "mem": "100M", "max_running": 0, "max_attempts": 1}
}
END
wide=(--set 'sweep.quantiles=[0.1, 0.3, 0.5, 0.7, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95]'
	--set 'sweep.reset=["0ep", "2it", "4it", "6it", "8it", "1it", "3it", "5it", "7it", "9it"]')
six=(--set 'sweep.reset=["0ep", "2it", "4it", "6it", "8it", "9it", "7it", "5it", "3it"]') # 36 cells

# fake NAME: what runs in place of sbatch, from stdin, with $n the how-manyth call it is; `real` is sbatch itself
fake() {
	mkdir -p "$1"
	{
		echo '#!/bin/bash'
		echo "real=$(command -v sbatch) count=$PWD/$1/count"
		echo '[ "$1" != --version ] || exec $real "$@"'
		echo 'n=$(($(cat $count 2>/dev/null || echo 0) + 1)); echo $n >$count'
		cat
		echo 'exec $real "$@"'
	} >"$1/sbatch"
	chmod +x "$1/sbatch"
}
by_commands() { COPPICE_SLURM=sbatch "$@"; }
through() { COPPICE_SLURM=sbatch PATH=$PWD/$1:$PATH "${@:2}"; } # through FAKE COMMAND...

# the reference: all 100 cells on this machine
plan local "${wide[@]}"
check "100 cells on this machine" coppice submit local --local --jobs 2

# a grid that grows beyond an array: what is done stays
plan grown
check "20 cells of the grid" coppice submit grown
check "are done" ends grown 20
contents() { find grown/cells grown/dense -name '*.h5' -printf '%p %i %T@\n' | sort; }
contents >before
plan grown "${wide[@]}"
expect "80 more where an array has 31 tasks at most" 0 'submitted 5 jobs .*1 dense, 80 cells' coppice submit grown
check "are done, too" ends grown 100
contents >after
check "nothing that was there was made anew" test -z "$(comm -23 before after)"
check "each cell was submitted once" each_once grown 100
check "and begun once" never_again grown
check "the same bits as a fresh run of the larger grid" same_points local grown

# bundles: one failing cell leaves the others of its task alone
for how in false true; do
	run=bundle-$how
	plan $run --set slurm.cells_per_task=4 --set slurm.concurrent=$how --set slurm.cpus=2
	mkdir -p $run/cells/000005.h5/in-the-way
	expect "five tasks of four cells, concurrent $how" 0 '20 cells' coppice submit $run
	check "a task is four cells" grep -q 'ArrayTaskId=0-4' <<<"$(scontrol show job "$(squeue --noheader --format=%F --name=$run.cells | head -n 1)")"
done
for how in false true; do
	run=bundle-$how
	check "all but one are done, concurrent $how" ends $run 19
	check "the other has failed, and why" status_has $run "^cell 5 +failed .*000005.h5"
	rm -r $run/cells/000005.h5
	expect "redo takes it alone" 0 '0 dense, 1 cells' coppice redo $run
done
for how in false true; do
	check "bundles, concurrent $how: all are done" ends bundle-$how 20
	check "and the same bits" same_points local bundle-$how
done

# throttles: no more than max_running at once, of dense runs and several arrays of cells together
plan few "${six[@]}" --set sweep.replicates=3 --set 'sweep.quantiles=[0.5]' --set slurm.max_running=3
expect "several arrays, three cells at once" 0 '3 dense, 27 cells' coppice submit few
check "are done" ends few 27 &
waiting=$!
most=0
while kill -0 $waiting 2>/dev/null; do
	n=$(queue_of few --states=RUNNING | grep -cE '\.(dense|cells)$')
	[ "$n" -le "$most" ] || most=$n
	sleep 0.1
done
wait $waiting
check "never more than three, and three at times ($most)" test "$most" -eq 3

# a part is refused: it is written down what went, and the next submit does the rest
fake refusing <<<'[ $n != 3 ] || { echo "sbatch: error: Batch job submission failed: Access/permission denied" >&2; exit 1; }'
plan part "${six[@]}"
expect "the third job is refused" 1 "part.cells.*permission denied" through refusing coppice submit part
check "two are written down" [ "$(grep -c '"id"' part/jobs/submitted.json)" = 2 ]
expect "submitting again does the rest" 0 'submitted 2 jobs .*0 dense, 5 cells, then collect' coppice submit part
check "all are done" ends part 36
check "each cell was submitted once" each_once part 36
fake no-collect <<<'[ $n != 3 ] || { echo "sbatch: error: Batch job submission failed: Access/permission denied" >&2; exit 1; }'
plan gather
expect "the job that collects is refused" 1 "gather.collect.*permission denied" through no-collect coppice submit gather
expect "submitting again sends it alone" 0 'submitted 1 jobs .*0 dense, 0 cells, then collect' coppice submit gather
check "it collects" ends gather 20
check "each cell was submitted once" each_once gather 20

# a queue of the experiment's own: what does not fit follows by itself
plan eight --set slurm.max_submitted=8
expect "eight of 20 cells fit" 0 '7 cells$|, 8 cells$' coppice submit eight
expect "by hand meanwhile nothing more" 0 'cells wait for room|submitted' coppice submit eight
most=0
until_true 60 collected eight 20 &
waiting=$!
while kill -0 $waiting 2>/dev/null; do
	n=$(queue_of eight | grep -cE '\.(dense|cells)$')
	[ "$n" -le "$most" ] || most=$n
	sleep 0.2
done
wait $waiting
check "all follow, and are collected" collected eight 20
check "never more than eight were in the queue ($most)" test "$most" -le 8
check "each cell was submitted once" each_once eight 20
check "the same bits" same_points local eight

# what comes to nothing does not keep the job that submits the rest waiting for room
plan half --set slurm.max_submitted=4 --set sweep.replicates=2
mkdir -p half/dense/1/final.h5/in-the-way
plan none --set slurm.max_submitted=1
mkdir -p none/dense/0/final.h5/in-the-way
plan chain --set slurm.max_submitted=2 --set sweep.rounds=3 --set 'sweep.reset=["0ep", "2it"]' --set 'sweep.quantiles=[0.3]'
mkdir -p chain/cells/000001.h5/in-the-way
for run in half none chain; do
	expect "a queue too short for it all" 0 'cells wait for room in the queue: a job that follows' coppice submit $run
done
check "the other dense run's cells all follow, and are collected" ends half 20
check "the rest is told why it cannot" grep -q '^20 cells cannot come: dense run 1 failed: .*final.h5.*coppice redo' half/logs/half.next-*.out
check "a round that failed leaves the other chain alone" ends chain 3
check "and says why" grep -qE '^[12] cells cannot come: cell [0-9]+ waits for cell 1 of the round before: (failed|lost)' chain/logs/chain.next-*.out
check "with nothing left to wait for" until_true 60 left_none none
check "collecting follows all the same" [ -e none/logs/none.collect-*.out ]
check "nothing was taken for a queue that is full" test -z "$(grep -l 'takes no more' {half,none,chain}/logs/*)"
rm -r {half/dense/1,none/dense/0}/final.h5 chain/cells/000001.h5
for run in half none chain; do
	expect "redo takes what is missing" 0 'submitted' coppice redo $run
done
check "all are done: half" ends half 40
check "all are done: none" ends none 20
check "all are done: chain" ends chain 6

# two who submit at once
scontrol update partition=main state=down
for i in 1 2 3; do
	plan two-$i "${wide[@]}"
	coppice submit two-$i >first 2>&1 &
	waiting=$!
	coppice submit two-$i >second 2>&1
	second=$?
	wait $waiting
	first=$?
	check "two submit at once: one does ($first, $second)" test $((first == 0)) -ne $((second == 0))
	check "the other hears why" grep -qE 'somebody else is submitting|submitted already' first second
	check "each cell was submitted once" each_once two-$i 100
	coppice cancel two-$i >/dev/null || no "cancelling two-$i"
	check "cancel leaves none" left_none two-$i
done
fake slow <<<'[ $n != 1 ] || { touch ${0%/*}/here; sleep 2; }'
plan two-4
through slow coppice submit two-4 >/dev/null &
waiting=$!
until_true 10 test -e slow/here
expect "while somebody submits nobody else does" 1 "somebody else is submitting '.*two-4' just now: process [0-9]+ of '$(id -un)' on '$(hostname)'" coppice submit two-4
wait $waiting
check "who was first goes on" test $? -eq 0
check "each cell was submitted once" each_once two-4 20
coppice cancel two-4 >/dev/null || no "cancelling two-4"
rm slow/{here,count}
plan two-5
through slow coppice submit two-5 >/dev/null &
waiting=$!
until_true 10 test -e slow/here
check "cancel while somebody submits" coppice cancel two-5
wait $waiting
check "who submits ends before it" test $? -eq 0
check "and nothing of it is left" left_none two-5
rm slow/{here,count}
plan two-6
through slow coppice submit two-6 >/dev/null &
waiting=$!
until_true 10 test -e slow/here
expect "the job that submits the rest waits for a person" 0 'nothing is missing' coppice submit two-6 --rest
wait $waiting
check "who submits ends before it" test $? -eq 0
check "each cell was submitted once" each_once two-6 20
coppice cancel two-6 >/dev/null || no "cancelling two-6"

# a submitter that is killed before it could note what it sent
fake dying <<<'[ $n != 2 ] || { $real "$@"; kill -KILL $PPID; exit; }'
plan dying
through dying coppice submit dying >/dev/null 2>&1
check "the cells are not in its record" [ "$(grep -c '"id"' dying/jobs/submitted.json)" = 1 ]
check "status knows them" status_has dying '20 of 20 cells queued'
expect "submitting again sends only what follows" 0 'submitted 1 jobs .*0 dense, 0 cells, then collect' coppice submit dying
# a copy of the folder holds the numbers of these jobs, which are not its own
cp -r dying copied
plan copied
check "status of a copied folder does not take the jobs for its own" status_has copied '1 of 1 dense runs lost'
expect "nor does cancel" 0 'ended 0 jobs' coppice cancel copied
check "status knows them still" status_has dying '20 of 20 cells queued'
COPPICE_SLURM=sbatch expect "nor through scancel" 0 'ended 0 jobs' coppice cancel copied
check "all are there" [ "$(queue_of dying | wc -l)" -eq 22 ]
check "cancel takes all out" coppice cancel dying
check "and nothing is left" left_none dying
scontrol update partition=main state=up

# jobs by hand know their cells by the script as it was when they were submitted
fake blind </dev/null
printf '#!/bin/bash\n[ "$1" != write ] || exit 1\nexec %s "$@"\n' "$(command -v scontrol)" >blind/scontrol
chmod +x blind/scontrol
scontrol update partition=main state=down
plan hand --set slurm.cells_per_task=4
dense=$(sbatch --parsable hand/jobs/dense.sbatch)
sbatch --dependency="afterok:$dense" --array=0-1 hand/jobs/cells.sbatch >/dev/null
plan hand --set slurm.cells_per_task=2
check "two tasks of four are eight cells, whatever was planned since" status_has hand '^ +8 of 20 cells queued'
check "and so through squeue" by_commands status_has hand '^ +8 of 20 cells queued'
check "without the script it may be any cell" through blind status_has hand '20 of 20 cells queued'
expect "then nothing is submitted twice" 0 '0 dense, 0 cells' through blind coppice submit hand
expect "submitting adds the twelve" 0 '0 dense, 12 cells' coppice submit hand
scontrol update partition=main state=up
check "all are done" ends hand 20
check "each once" never_again hand

# what was lost without a word, and waits without a job that would submit it
plan mute --set 'slurm.prologue=["exit 3"]'
check "a task that ends before its program" coppice submit mute
check "status names its end and its log" until_true 20 status_has mute '^dense 0 +lost .*ended as FAILED.* without a result; its log: .*/logs/mute.dense-[0-9]+_0.out'
until_true 20 left_none mute
scontrol update partition=main state=down
plan alone --set slurm.max_submitted=8
check "a queue of eight" coppice submit alone
check "status knows what will submit the rest" status_has alone '^a job that follows will submit what waits'
scancel --name=alone.next
check "and that nothing will" until_true 10 status_has alone "^no job in the queue will submit 13 cells that wait: 'coppice submit' does"
check "submitting does" coppice submit alone
check "then it will again" status_has alone '^a job that follows will submit what waits'
coppice cancel alone >/dev/null || no "cancelling alone"
scontrol update partition=main state=up

# what waits for ever
plan never
mkdir -p never/dense/0/final.h5/in-the-way
dense=$(sbatch --parsable never/jobs/dense.sbatch)
cells=$(sbatch --parsable --dependency="afterok:$dense" never/jobs/cells.sbatch)
check "cells that a failed dense run keeps waiting" until_true 20 status_has never '20 of 20 cells never-satisfied'
check "and why" status_has never '^cell 3 +never-satisfied .*DependencyNeverSatisfied'
check "what the dense run died of" status_has never '^dense 0 +failed .*final.h5'
rm -r never/dense/0/final.h5
expect "redo submits them anew" 0 '1 dense, 20 cells' coppice redo never
check "and takes the others out" [ -z "$(squeue --noheader --jobs="$cells")" ]
check "all are done" ends never 20

# what file systems do to results
mkdir small
if [ "$(id -u)" -eq 0 ] && mount -t tmpfs -o size=3m tmpfs small 2>/dev/null; then
	trap 'umount small/sick/cells 2>/dev/null; umount small; stop_cluster' EXIT
	plan small/sick --set 'sweep.quantiles=[0.3, 0.7]'
	coppice train small/sick 2>/dev/null || no "the dense run"
	head -c $((($(df --output=avail -k small | tail -n 1) - 110) * 1024)) /dev/zero >small/filling
	check "cells on a disk that is full" coppice submit small/sick
	check "they end" until_true 60 left_none sick
	check "status says what has failed" status_has small/sick '^cell [0-9] +failed .*cells/.*No space left on device'
	rm small/filling
	check "redo with room again" coppice redo small/sick
	check "all are done" ends small/sick 10

	truncate -s 5000 small/sick/cells/000003.h5
	check "a result that was cut off is found" status_has small/sick "^cell 3 +lost .*does not validate"
	expect "collect names it" 4 '9 of 10 cells are done' coppice collect small/sick
	expect "redo takes it alone" 0 '0 dense, 1 cells' coppice redo small/sick
	check "it is done again" ends small/sick 10

	rm small/sick/cells/000004.h5
	printf '\377\376' | dd of=small/sick/dense/0/final.h5 bs=1 seek=$(($(stat -c %s small/sick/dense/0/final.h5) / 3)) conv=notrunc status=none
	expect "redo beside a checkpoint of which bytes have changed" 0 '0 dense, 1 cells' coppice redo small/sick
	check "the cell finds it" until_true 60 status_has small/sick "^cell 4 +failed .*final.h5"
	until_true 20 left_none sick
	expect "redo makes it again" 0 '1 dense, 1 cells' coppice redo small/sick
	check "and the cell" ends small/sick 10

	rm small/sick/cells/000001.h5
	mount --bind small/sick/cells small/sick/cells && mount -o remount,bind,ro small/sick/cells || no "cells/ as read-only"
	check "redo in a folder that cannot be written" coppice redo small/sick
	check "status says so" until_true 60 status_has small/sick '^cell 1 +failed .*cells/.*Read-only file system'
	until_true 20 left_none sick
	umount small/sick/cells
	expect "redo when it can" 0 '0 dense, 1 cells' coppice redo small/sick
	check "all are done" ends small/sick 10
	check "the same bits in the end" same_points local small/sick
	umount small
	trap stop_cluster EXIT
else
	skip "what file systems do to results" "a small one cannot be mounted here"
fi

# a site's queue that is full
stop_cluster
export CLUSTER_MAX_JOB_COUNT=24 CLUSTER_MIN_JOB_AGE=2
. "$ROOT/tests/slurm/common.sh"
plan full "${six[@]}"
expect "what fits" 0 'cells wait for room in the queue: a job that follows' coppice submit full
check "the rest follows by itself, and is collected" ends full 36
check "each cell was submitted once" each_once full 36
check "the same bits" same_points local full
