#!/bin/bash
# test: coppice pack that cannot finish (signals, a full disk, no permission) leaves nothing behind
source "$ROOT/tests/lib.sh"

# with job control a job in the background does not ignore SIGINT
set -m
for sig in INT TERM HUP; do
	mkdir "$sig"
	coppice pack --synthetic glyphs --train 20000000 "$sig/g.h5" >/dev/null 2>&1 &
	pid=$!
	for _ in $(seq 100); do
		[ -n "$(ls -A "$sig")" ] && break
		sleep 0.05
	done
	begun=$(ls -A "$sig")
	kill -"$sig" $pid
	wait $pid
	status=$?
	if [ -n "$begun" ] && [ $status -eq $((128 + $(kill -l "$sig"))) ] && [ -z "$(ls -A "$sig")" ]; then
		ok "SIG$sig ends it and removes '$begun'"
	else
		no "SIG$sig: begun '$begun', exit code $status, left '$(ls -A "$sig")'"
	fi
done
set +m

mkdir full
if [ "$(id -u)" -ne 0 ]; then
	skip "a full disk" "mounting a small one needs root"
elif ! mount -t tmpfs -o size=1m tmpfs full 2>/dev/null; then
	skip "a full disk" "no tmpfs can be mounted here"
else
	trap 'umount full' EXIT
	expect "a full disk" 1 "cannot write .*'full/g.h5': No space left on device" coppice pack --synthetic glyphs full/g.h5
	expect "a disk too small for one chunk" 1 "No space left on device" \
		coppice pack --synthetic glyphs --train 10 --test 10 full/g.h5
	check "nothing is left on it" test -z "$(ls -A full)"
	umount full
	trap - EXIT
fi

if [ "$(id -u)" -eq 0 ]; then
	skip "a folder that may not be written" "root may write everywhere"
else
	mkdir locked && chmod 555 locked
	expect "a folder that may not be written" 1 "cannot create 'locked/g.h5'" coppice pack --synthetic glyphs locked/g.h5
fi
