#!/bin/bash
# test: a sweep on this machine: plan, submit --local, status, collect, redo, cancel, run; the same bits on every way
source "$ROOT/tests/lib.sh"

cat >e.json <<'END'
{"name": "e", "model": {"hidden": [24]},
 "data": {"path": "glyphs", "validation": 40, "glyphs": {"train": 360, "test": 100, "seed": 3}},
 "train": {"epochs": 2, "batch": 20, "optimizer": {"lr": 0.05}},
 "sweep": {"quantiles": [0.5, 0.9], "reset": ["0ep", "7it", "2ep"], "replicates": 2}}
END
cells=12

expect "plan tells the grid" 0 "^e: 12 cells = 2 quantiles x 3 reset points x 2 replicates" coppice plan e.json -o run
expect "plan again, as JSON" 0 '"cells":[[:space:]]+12' coppice plan e.json -o run --json --no-timing
expect "status before anything ran" 0 "12 of 12 cells waiting" coppice status run
expect "collect before anything ran" 4 "missing: 0-11" coppice collect run

coppice submit run --print >printed 2>/dev/null || no "submit --print"
check "an sbatch line for the dense runs, the cells of each, and collect" test "$(grep -c '^[a-z0-9]*=\$(sbatch ' printed)" -eq 4
check "cells wait for their dense run" grep -qE -- '^cells2=.*--array=0-5(%[0-9]+)? .*--dependency=afterok:\$\{dense\}_1' printed
check "collecting waits for cells" grep -qE -- '^collect=.*--dependency=afterany:\$\{?cells' printed
check "it is shell" bash -n printed
check "nothing was begun" test "$(ls run/state)" = results

coppice submit run --local --jobs 2 >out 2>&1
[ $? -eq 0 ] && ok "submit --local --jobs 2" || { no "submit --local"; tail -n 5 out | sed 's/^/# /'; }
expect "status: all done" 0 "12 of 12 cells done" coppice status run
expect "status --json" 0 '"done":[[:space:]]*12' coppice status run --json
expect "collect" 0 "12 of 12 cells are done" coppice collect run
check "a line a cell and a head in results.csv" test "$(wc -l <run/results.csv)" -eq $((cells + 1))
check "no state is left of what is done" test -z "$(ls run/state | grep -vxE 'catalog|results')"
expect "nothing is left to submit" 0 "12 of 12 cells are done" coppice submit run --local

# a cell that is gone, one that is damaged, one that is damaged further in
stamps() { stat -c '%n %y %i' run/cells/*.h5 run/dense/*/*.h5 | grep -vE "/($1)\.h5"; }
stamps none >whole
cp -r run kept
rm run/cells/000005.h5
expect "collect names the one that is gone" 4 "^missing: 5$" coppice collect run
truncate -s 2000 run/cells/000007.h5
printf '\xff\xff\xff\xff' | dd of=run/cells/000008.h5 bs=1 seek=0 conv=notrunc status=none
: >run/cells/000010.h5
expect "status: those that do not validate are lost" 0 "^ *3 of 12 cells lost" coppice status run
for c in 7 8 10; do
	expect "status says why of cell $c" 0 "^cell $c +lost .*its file does not validate" coppice status run
done
expect "collect warns of them" 4 "cell 7 counts as missing: .*000007.h5" coppice collect run
expect "and names them" 4 "^missing: 5 7-8 10$" coppice collect run
stamps "000005|000007|000008|000010" >before
expect "redo --local does them" 0 "12 of 12 cells are done" coppice redo run --local --jobs 2
stamps "000005|000007|000008|000010" >after
check "it left all others alone" cmp before after
bad=
for f in kept/cells/*.h5; do same_tensors $f run/cells/${f##*/} >/dev/null || bad="$bad ${f##*/}"; done
[ -z "$bad" ] && ok "what was redone has the same bits" || no "redone with other bits:$bad"

# a checkpoint that cells need is gone: the dense run is done again
rm run/dense/1/step-00000007.h5 run/cells/000010.h5
expect "redo makes a lost checkpoint again" 0 "12 of 12 cells are done" coppice redo run --local
check "with the same bits" same_tensors {kept,run}/dense/1/step-00000007.h5
check "and so the cell" same_tensors {kept,run}/cells/000010.h5

# every way gives the same bits: one command for all, and cell by cell
coppice run e.json -o once --jobs 2 >out 2>/dev/null && ok "coppice run" || no "coppice run"
check "it ends with the heat map and the paths" grep -qE 'once/report.html' out
check "the heat map has its columns" grep -qE '0ep +7it +2ep' out
coppice plan e.json -o single --no-timing >/dev/null
coppice train single -r 1 -t 1 2>/dev/null
coppice train single -t 2 2>/dev/null
bad=
for ((i = cells - 1; i >= 0; i--)); do
	if ((i % 2)); then
		env SLURM_ARRAY_TASK_ID=$i coppice cell single -t 1 2>/dev/null
	else
		coppice cell single $i -t 2 2>/dev/null
	fi
	f=cells/$(printf '%06d' $i).h5
	same_tensors {run,once}/$f >/dev/null && same_tensors {run,single}/$f >/dev/null || bad="$bad $i"
done
[ -z "$bad" ] && ok "submit, run and cell by cell: the same bits" || no "these cells depend on the way:$bad"
check "replicates are different networks" bash -c '! "$BUILD/tests/tools/same_tensors" run/dense/0/final.h5 run/dense/1/final.h5'
expect "run again has nothing to do" 0 "12 of 12 cells are done" coppice run e.json -o once
check "a cell rewound to the last epoch is the dense network, cut" test "$(
	coppice show run/cells/000005.h5 --json | grep -c '"epoch"')" -eq 1

# a list of cells, as redo gives it to arrays
printf '3\n11\n' >list
rm single/cells/000011.h5
expect "a line of a list names the cell" 0 "cell 11: quantile 0.9" env COPPICE_TASK=1 coppice cell single --list list
expect "a line beyond the list" 2 "'list' has no cell on line 3" env COPPICE_TASK=2 coppice cell single --list list

# a cell that fails leaves the others to go on
coppice plan e.json -o fails --no-timing >/dev/null
coppice train fails 2>/dev/null
mkdir -p fails/cells/000004.h5
coppice submit fails --local --jobs 2 >out 2>&1
status=$?
[ $status -eq 4 ] && ok "a cell that cannot be written: exit code 4" || no "exit code $status, not 4"
expect "status names it and why" 0 "^cell 4 +failed .*000004.h5" coppice status fails
expect "the other eleven are done" 0 "11 of 12 cells done" coppice status fails

# cancel ends what runs here
coppice plan e.json -o long --no-timing --set train.epochs=20000 --set 'sweep.reset=["0ep"]' >/dev/null
coppice submit long --local --jobs 2 >out 2>&1 &
pid=$!
while kill -0 $pid 2>/dev/null && [ ! -e long/state/dense-0.json ]; do sleep 0.02; done
expect "a second submission is refused while it runs" 1 "somebody else is submitting|is submitted already" coppice submit long --local
expect "status: running" 0 "^dense 0 +running" coppice status long
expect "cancel" 0 "ended [1-9][0-9]* jobs and processes" coppice cancel long
for _ in $(seq 1000); do
	kill -0 $pid 2>/dev/null || break
	sleep 0.02
done
if kill -0 $pid 2>/dev/null; then
	no "the submission did not end"
	kill $pid
else
	wait $pid
	status=$?
	[ $status -eq 75 ] && ok "the submission ends too, with exit code 75" || no "the submission's exit code is $status, not 75"
fi
check "it did not begin what came next" test ! -e long/dense/1
check "nobody is said to submit" test ! -e long/jobs/submitter.json
expect "status: stopped, with the step" 0 "^dense 0 +stopped .*saved at step" coppice status long
