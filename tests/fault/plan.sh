#!/bin/bash
# test: plan, with one library call that fails: into a new folder, and into one that is a run already
source "$ROOT/tests/lib.sh"
source "$ROOT/tests/fault/common.sh"

title="plan into a new folder"
plan=(coppice plan e.json -o run --no-timing)
begin none
reference "${plan[@]}"
faults write=40 rename=24 sync open read=20 alloc=40 hdf5-alloc -- "${plan[@]}"

sed 's/\[0.5, 0.9\]/[0.5, 0.7, 0.9]/' e.json >more.json
coppice plan e.json -o planned --no-timing >/dev/null || no "plan"
title="plan more into a run"
plan=(coppice plan more.json -o run --no-timing)
begin planned
reference "${plan[@]}"
faults write rename sync open read alloc -- "${plan[@]}"
