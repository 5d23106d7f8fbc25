#!/bin/bash
# test: status in odd states: silent hosts, dense runs to be extended, a grid that grows meanwhile; what plan refuses
. "$ROOT/tests/lib.sh"

coppice pack --synthetic glyphs --train 600 --test 200 glyphs.h5 >/dev/null 2>&1 || no "packing"
cat >e.json <<'END'
{"name": "odd", "model": {"hidden": [16]},
 "data": {"path": "glyphs.h5", "validation": 100},
 "train": {"epochs": 2, "batch": 50, "optimizer": {"lr": 0.05}},
 "sweep": {"quantiles": [0.5, 0.9], "reset": ["0ep"]},
 "slurm": {"time": "00:05:00", "cpus": 1, "mem": "300M"}}
END
plan() { coppice plan e.json -o "$@" --no-timing >/dev/null; }
state_of() { # state_of CELL UPDATED: as a process on another host would have written it
	cat >"run/state/00000$1.json" <<-END
	{"state": "running", "attempts": 1, "host": "elsewhere", "job": "", "pid": 5, "started": 1, "updated": $2, "step": 3, "total": 20}
	END
}

expect "cells at once beyond max_running" 2 "'slurm.cells_per_task' = 4 cells at once, more than 'slurm.max_running' = 2" \
	coppice plan e.json -o no --set slurm.concurrent=true --set slurm.cells_per_task=4 --set slurm.max_running=2
for option in --array=3 -o/tmp/x '--signal=B:USR1@10'; do
	expect "an option that the scripts need: $option" 2 "'slurm.extra' holds '$option'" \
		coppice plan e.json -o no --set "slurm.extra=[\"$option\"]"
done
check "nothing was planned" test ! -e no

plan run || no "planning"
coppice train run 2>/dev/null || no "the dense run"
mkdir -p run/state
state_of 0 "$(date +%s)"
state_of 1 "$(($(date +%s) - 3600))"
expect "who was heard of lately runs" 0 '^cell 0 +running .*on elsewhere, which cannot be asked from here' coppice status run
expect "who was not for an hour is lost" 0 '^cell 1 +lost .*nothing was heard of it on elsewhere for 60 minutes' coppice status run
expect "redo does what is lost" 4 "missing: 0$" coppice redo run --local
expect "and nothing else" 0 '1 of 2 cells done' coppice status run
state_of 0 "$(($(date +%s) - 3600))"
expect "until the other is lost, too" 0 "" coppice redo run --local
expect "watching ends where nothing moves" 0 '2 of 2 cells done' timeout 20 coppice status --watch=1 run

plan run --set 'sweep.reset=["0ep", "1ep"]' || no "growing"
expect "a dense run that lacks a checkpoint is not lost" 0 \
	'1 of 1 dense runs waiting \(its checkpoint of step 10 is missing: to be made from those that are there\)' coppice status run
cp run/dense/0/result.h5 result.h5
truncate -s 2000 run/dense/0/result.h5
expect "one with a damaged result is" 0 '^dense 0 +lost .*its file does not validate: ' coppice status run
cp result.h5 run/dense/0/result.h5
expect "both are mended by redo" 0 "" coppice redo run --local
expect "all is done" 0 '4 of 4 cells done' coppice status run

# a cell that is the same as another, whose copy was not made
plan twins --set 'sweep.quantiles=[0.5, 0.500001]' || no "planning twins"
coppice submit twins --local >/dev/null 2>&1 || no "computing twins"
rm twins/cells/000001.h5
touch twins/cells/000000.h5
expect "a copy may come" 0 '1 of 2 cells waiting \(the same as cell 0, whose result is not copied yet\)' coppice status twins
touch -d '1 hour ago' twins/cells/000000.h5
expect "but not for an hour" 0 '^cell 1 +lost .*the same as cell 0, whose result could not be copied' coppice status twins
expect "redo makes it" 0 "" coppice redo twins --local
expect "all is done" 0 '2 of 2 cells done' coppice status twins

printf '[{"scheduler": "sl' >run/jobs/submitted.json
for command in status 'redo --local' cancel; do
	expect "$command, where the list of jobs is damaged" 2 'list of submitted jobs is damaged \(remove it: ' coppice $command run
done
rm run/jobs/submitted.json
expect "and removed" 0 '4 of 4 cells done' coppice status run

# the grid grows while the dense run is under way
sed 's/"epochs": 2/"epochs": 60/' e.json >long.json
coppice plan long.json -o long --no-timing >/dev/null || no "planning the long one"
coppice train long 2>train.log &
train=$!
for ((i = 0; i < 400; i++)); do
	[ -e long/dense/0/init.h5 ] && break
	sleep 0.05
done
kill -STOP $train
check "the dense run is under way" test ! -e long/dense/0/final.h5
coppice plan long.json -o long --no-timing --set 'sweep.reset=["0ep", "2ep"]' >/dev/null || no "growing the long one"
kill -CONT $train
wait $train
check "it ends well" test $? = 0
check "and made what the larger grid needs" grep -q 'the checkpoint of step 20 is missing' train.log
coppice plan long.json -o whole --no-timing --set 'sweep.reset=["0ep", "2ep"]' >/dev/null && coppice train whole 2>/dev/null
for f in init step-00000020 final; do
	check "with the same bits: $f" same_tensors long/dense/0/$f.h5 whole/dense/0/$f.h5
done
expect "nothing is left to do for it" 0 'dense run 0 is done' coppice train long
