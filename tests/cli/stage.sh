#!/bin/bash
# test: device.stage: copied once for many cells, the same bits as without, and work that goes on where it cannot be used
source "$ROOT/tests/lib.sh"

cat >e.json <<'END'
{"name": "e", "model": {"hidden": [24]},
 "data": {"path": "d.h5", "validation": 40},
 "train": {"epochs": 2, "batch": 20, "optimizer": {"lr": 0.05}},
 "sweep": {"quantiles": [0.5, 0.9], "reset": ["0ep", "7it"]},
 "device": {"checkpoint_minutes": 0}}
END
coppice pack --synthetic glyphs --train 360 --test 100 d.h5 >/dev/null 2>&1 || no "pack"
coppice plan e.json -o plain --no-timing >/dev/null && coppice submit plain --local >/dev/null 2>&1 || no "the sweep without a stage"

# same_cells RUN: the dense run's files and the four cells have the same bits as without a stage
same_cells() {
	local f
	same_dense 4 plain "$1" || return 1
	for f in plain/cells/*.h5; do same_tensors "$f" "$1/cells/${f##*/}" || return 1; done
	[ "$(ls plain/cells)" = "$(ls "$1/cells")" ]
}
# said RUN PATTERN: how many lines of its logs match
said() { cat "$1"/logs/*.out | grep -cE -- "$2"; }

export NODE_STAGE=$PWD/node
mine=$NODE_STAGE/sweeps/coppice-$(id -u)
coppice plan e.json -o staged --set 'device.stage=${NODE_STAGE}/sweeps' --no-timing >/dev/null || no "plan with a stage"
expect "the variable is left for the task" 0 'NODE_STAGE\}/sweeps' grep '"stage"' staged/experiment.json
check "planning makes no folder" test ! -e node
coppice submit staged --local --jobs 4 >out 2>&1 && ok "a sweep with a stage, four cells at once" || { no "submit"; tail -n 5 out | sed 's/^/# /'; }
check "the same bits as without" same_cells staged
check "the dataset was copied once" test "$(said staged "^staged '.*/d.h5' in '$mine' \([0-9.]+ MB in [0-9.]+ s\)$")" -eq 1
check "and found by the other four" test "$(said staged "^found '.*/d.h5' in the stage '$mine'$")" -eq 4
check "each checkpoint was copied once" test "$(said staged "^staged '.*/dense/0/.*h5'")" -eq 3
check "and found by the others: two of each reset point, four that need final.h5" test "$(said staged "^found '.*/dense/0/.*h5'")" -eq 5
check "nobody warned" test "$(said staged warning)" -eq 0
check "the folder is the user's alone" test "$(stat -c %a "$mine")" = 700
copies() { find "$mine" -name '*.h5'; }
check "four copies, and nothing half-made" test "$(copies | wc -l) $(find "$mine" -name '.*' -type f | wc -l)" = "4 0"
check "status and results say nothing of it" bash -c '! coppice show staged/cells/000000.h5 --json | grep -v "\"experiment\"" | grep -i "sweeps/coppice"'

# a copy whose bytes rotted behind the file system's back: HDF5 tells, the original is read, and the copy is made anew
largest=$(copies | xargs ls -S | head -n 1)
touch -r "$largest" time
chmod u+w "$largest"
printf '\xff\x01\xff\x01' | dd of="$largest" bs=1 seek=$(($(stat -c %s "$largest") / 2)) conv=notrunc status=none
touch -r time "$largest"
rm staged/cells/000003.h5
expect "a rotten copy is passed over" 0 "warning: '.*' is read where it is, its copy is discarded: .*$mine" coppice cell staged 3
check "with the same bits" same_cells staged
rm staged/cells/000003.h5
expect "and copied anew by the next" 0 "^staged '" coppice cell staged 3
check "with the same bits again" same_cells staged

# a dataset that is read image by image while it rots: the task fails, and the next one does not believe the copy
slowly='coppice cell streamed 3'
coppice plan e.json -o streamed --set 'device.stage=${NODE_STAGE}' --set device.data=stream --no-timing >/dev/null
coppice train streamed >/dev/null 2>&1
copy=$(find "$NODE_STAGE/coppice-$(id -u)" -name '*.h5')
touch -r "$copy" time
chmod u+w "$copy"
rot() { "$PYTHON" -c 'import h5py, sys
f = h5py.File(sys.argv[1])["train/images"].id
print(*{f.get_chunk_info(i).byte_offset + 99 for i in range(f.get_num_chunks())})' "$copy"; }
if has_python; then
	for at in $(rot); do printf '\xff\x01\xff\x01' | dd of="$copy" bs=1 seek=$at conv=notrunc status=none; done
	touch -r time "$copy"
	expect "an image that rotted in the copy" 2 "cell 3: '$copy' is damaged" $slowly
	expect "makes the next task copy again" 0 "^staged '.*/d.h5'" $slowly
	check "with the same bits" same_tensors {plain,streamed}/cells/000003.h5
	rm streamed/cells/000003.h5
	mkdir -p streamed/cells/000003.h5
	expect "a task that fails of something else" 1 "cell 3: .*000003.h5" $slowly
	rmdir streamed/cells/000003.h5
	expect "leaves a copy that is good" 0 "^found '.*/d.h5'" $slowly
else
	skip "an image that rotted in the copy" "no h5py"
fi

# where it cannot be used
again() { rm -f staged/cells/000003.h5 && coppice cell staged 3; }
check_again() { check "$1: the same bits" same_cells staged; }
expect "a variable that is not set" 0 "warning: nothing is staged: .*the variable NODE_STAGE is not set here" \
	env -u NODE_STAGE bash -c 'rm staged/cells/000003.h5; coppice cell staged 3'
check_again "a variable that is not set"
expect "a stage that cannot be made" 0 "warning: nothing is staged: cannot make folder '/dev/null" env NODE_STAGE=/dev/null \
	bash -c 'rm staged/cells/000003.h5; coppice cell staged 3'
chmod 755 "$mine"
expect "a folder that is open to others" 0 "warning: nothing is staged: folder '$mine' is open to others" again
check_again "a folder that is open to others"
chmod 700 "$mine"
if [ "$(id -u)" -eq 0 ] && mkdir small && mount -t tmpfs -o size=1m tmpfs small 2>/dev/null; then
	trap 'umount small' EXIT
	export NODE_STAGE=$PWD/small
	expect "a disk that is too small" 0 "warning: '.*/d.h5' is read where it is: no room in '.*/small/" again
	check_again "a disk that is too small"
else
	skip "a disk that is too small" "a tmpfs cannot be mounted here"
fi

# what a planner is told
expect "a relative stage is a warning" 0 "warning: 'device.stage' is 'tmp/x', which is relative" \
	coppice plan e.json -o relative --set device.stage=tmp/x --no-timing
expect "another stage is no other experiment" 0 '^e: 4 cells' coppice plan e.json -o staged --no-timing --set device.stage=/tmp/x
expect "an absolute one is not warned of" 1 '^$' bash -c 'coppice plan e.json -o staged --no-timing --set device.stage=/tmp/x 2>&1 | grep warning'
