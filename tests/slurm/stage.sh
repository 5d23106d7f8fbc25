#!/bin/bash
# test: staging on a real cluster: the tasks of a node share one copy, each node has its own, the bits are the same
. "$ROOT/tests/lib.sh"
. "$ROOT/tests/slurm/common.sh"

coppice pack --synthetic glyphs --train 600 --test 200 d.h5 >/dev/null 2>&1 || no "packing"
cat >e.json <<'EOF'
{
  "name": "e", "model": {"hidden": [32]}, "data": {"path": "d.h5"},
  "train": {"epochs": 1, "batch": 50, "optimizer": {"lr": 0.05}},
  "sweep": {"quantiles": [0.3, 0.6, 0.9], "reset": ["0ep", "5it"]},
  "slurm": {"time": "00:05:00", "cpus": 1, "mem": "300M", "max_running": 0}
}
EOF
coppice plan e.json -o local --no-timing >/dev/null && coppice submit local --local >/dev/null 2>&1 || no "the sweep on this machine"

# all nodes of this cluster are one machine; the name of the node keeps their folders apart
on_node() {
	coppice plan e.json -o staged --no-timing --set "device.stage=$PWD/\$SLURMD_NODENAME/scratch" \
		--set "slurm.extra=[\"--nodelist=$1\"]" >/dev/null || no "planning for $1"
}
collected() { [ -s staged/results.csv ]; }
# said PATTERN: how many lines of the tasks' logs match
said() { cat staged/logs/*.out | grep -cE -- "$1"; }
same_cells() {
	local f
	for f in local/cells/*.h5; do same_tensors "$f" "staged/cells/${f##*/}" || return 1; done
}

on_node n1
check "submitting" coppice submit staged
check "the sweep ends" until_true 60 collected
expect "all cells are done" 0 '6 of 6 cells done' coppice status staged
check "the dataset was copied once for the seven tasks of the node" test "$(said "^staged '.*/d.h5'")" -eq 1
check "six found it" test "$(said "^found '.*/d.h5' in the stage '$PWD/n1/scratch/coppice-[0-9]+'")" -eq 6
check "each of the three checkpoints was copied once" test "$(said "^staged '.*/dense/0/.*h5' in '$PWD/n1/")" -eq 3
check "no task warned" test "$(said warning)" -eq 0
check "the same bits as here without a stage" same_cells

# another node makes its own copy
rm staged/cells/00000{1,2}.h5 staged/results.csv
on_node n2
check "redo on another node" coppice redo staged
check "it ends" until_true 60 collected
check "that node has its own copy" test "$(find n2/scratch -name '*.h5' | wc -l) $(said "^staged '.*/d.h5'")" = "4 2"
check "the same bits there" same_cells
