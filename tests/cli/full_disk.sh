#!/bin/bash
# test: a full disk: exit code 1, a message that names the file, and nothing but whole files under final names
source "$ROOT/tests/lib.sh"

if [ "$(id -u)" -ne 0 ]; then
	skip "a full disk" "only root can mount a small one"
	exit
fi
mkdir small
if ! mount -t tmpfs -o size=1m tmpfs small 2>/dev/null; then
	skip "a full disk" "a tmpfs cannot be mounted here"
	exit
fi
trap 'umount small' EXIT

cat >e.json <<'END'
{"name": "e", "model": {"hidden": [8]}, "data": {"path": "d.h5"},
 "train": {"epochs": 2, "batch": 20, "optimizer": {"lr": 0.05}},
 "sweep": {"quantiles": [0.5, 0.9], "reset": ["0ep", "1ep"]}}
END
coppice pack --synthetic glyphs --train 100 --test 40 d.h5 >/dev/null || no "pack"

# room KILOBYTES: fills the disk until that much is left
room() {
	rm -f small/filling
	local free
	free=$(df --output=avail -k small | tail -n 1)
	head -c $(((free - $1) * 1024)) /dev/zero >small/filling
}
# finals: everything on the disk under a final name, with its contents, but for what is noted on the way
finals() { find small -type f ! -name filling ! -path '*/state/*.json' ! -path '*/state/catalog' -exec md5sum {} + | sort -k 2; }

# full NAME COMMAND...: fails for want of room and changes nothing
full() {
	local name=$1 before out status
	shift
	before=$(finals)
	out=$("$@" 2>&1)
	status=$?
	if [ $status -ne 1 ]; then
		no "$name: exit code $status, not 1"
	elif ! grep -qE "^coppice: .*'.*small/.*No space left on device" <<<"$out"; then
		no "$name: no file and reason in the message"
	elif [ "$before" != "$(finals)" ]; then
		no "$name: something was left behind"
		diff <(echo "$before") <(finals) | sed 's/^/#   /'
	else
		ok "$name"
		return
	fi
	echo "$out" | tail -n 5 | sed 's/^/#   /'
}

full "pack" coppice pack --synthetic glyphs --train 4000 --test 1000 small/big.h5
full "plan with built-in digits" coppice plan e.json -o small/glyphs --set data.path=glyphs --no-timing
room 0
full "plan on a disk that is full" coppice plan e.json -o small/run --no-timing
room 8
expect "plan with room for some of its files" 1 "'.*small/run/.*No space left" coppice plan e.json -o small/run --no-timing
expect "what it left is not taken for a run" 2 "small/run' is no planned run" coppice status small/run
check "and holds no temporary file" test -z "$(find small -name '.*.tmp')"
room 500
coppice plan e.json -o small/run --no-timing >/dev/null || no "plan with room enough"
room 0
full "train with no room at all" coppice train small/run
room 12
full "train with room for the ledger alone" coppice train small/run
room 100
out=$(coppice train small/run 2>&1)
[ $? -eq 1 ] && grep -q "dense/0/.*No space left on device" <<<"$out" && ok "train with room for the first checkpoint" ||
	{ no "train with room for the first checkpoint"; echo "# $out"; }
check "the first checkpoint is whole" coppice show small/run/dense/0/init.h5
expect "status says why" 0 "^dense 0 +failed .*No space left on device" coppice status small/run
rm small/filling
check "with room again it goes on" coppice train small/run
coppice plan e.json -o away --no-timing >/dev/null && coppice train away 2>/dev/null
check "to the same bits" same_tensors away/dense/0/final.h5 small/run/dense/0/final.h5
room 0
full "cell with no room at all" coppice cell small/run 0
room 16
full "cell with room for the ledger alone" coppice cell small/run 0
room 200
check "cell with room" coppice cell small/run 0
room 4
full "collect" coppice collect small/run
full "mask make" coppice mask make small/run/dense/0/final.h5 small/m.h5 -q 0.5
room 200
expect "collect with room" 4 "1 of 4 cells are done" coppice collect small/run
room 4
full "collect again: the old results stay" coppice collect small/run
full "report" coppice report small/run
