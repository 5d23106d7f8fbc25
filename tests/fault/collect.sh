#!/bin/bash
# test: collect, report and redo on this machine, with one library call that fails
source "$ROOT/tests/lib.sh"
source "$ROOT/tests/fault/common.sh"

coppice run e.json -o whole >/dev/null 2>&1 || no "run"
rm -f whole/results.* whole/report.html whole/cells/.*
title=collect
begin whole
reference coppice collect run
faults write=32 rename sync open read=24 alloc=32 hdf5-alloc -- coppice collect run

title=report
cp -a whole collected
coppice collect collected >/dev/null 2>&1 || no "collect"
begin collected
reference coppice report run
faults write rename sync open read alloc hdf5-alloc=8 -- coppice report run

title="redo --local"
cp -a collected partial
rm partial/cells/00000[12].h5
begin partial
reference coppice redo run --local
faults write=20 rename sync open read=12 alloc lock process -- coppice redo run --local
