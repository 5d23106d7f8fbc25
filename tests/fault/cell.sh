#!/bin/bash
# test: train and cell, with one library call that fails
source "$ROOT/tests/lib.sh"
source "$ROOT/tests/fault/common.sh"

coppice plan e.json -o planned --no-timing >/dev/null || no "plan"
title=train
begin planned
reference coppice train run
faults write=24 rename sync open read alloc=32 hdf5-alloc -- coppice train run

cp -a planned trained
coppice train trained 2>/dev/null || no "train"
title=cell
begin trained
reference coppice cell run 3
faults write=32 rename sync open read=24 alloc=32 hdf5-alloc -- coppice cell run 3
faults process -- coppice cell run 3 --threads 2
