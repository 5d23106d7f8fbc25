#!/bin/bash
# test: coppice pack of folders: the same bytes for any number of threads, bounded memory, interrupted it leaves nothing; ImageNet's layout
source "$ROOT/tests/lib.sh"

make=$BUILD/tests/tools/make_jpeg
mkdir -p pool
for n in $(seq 12); do "$make" $((300 + 20 * n)) $((420 - 10 * n)) "$n" >pool/$n.jpg; done
"$make" 300 200 7 grey >pool/grey.jpg
"$make" 300 200 7 cmyk >pool/cmyk.jpg
"$make" 300 200 7 progressive >pool/progressive.jpg
# grow FOLDER N: N images in three classes, as links to the few that there are; a tenth of them for the test
grow() {
	local folder=$1 n=$2 i class=(n01440764 n01560419 n02000001)
	mkdir -p "$folder"/train/{n01440764,n01560419,n02000001} "$folder"/val/n01440764
	for ((i = 0; i < n; i++)); do
		ln pool/$((i % 12 + 1)).jpg "$folder/train/${class[i % 3]}/i$i.JPEG"
		[ $((i % 10)) -ne 0 ] || ln pool/$((i % 12 + 1)).jpg "$folder/val/n01440764/i$i.JPEG"
	done
	for kind in grey cmyk progressive; do ln pool/$kind.jpg "$folder/train/n02000001/$kind.JPEG"; done
}

grow small 60
for threads in 1 2 3 8; do
	coppice pack --size 32 --threads $threads small $threads.h5 >$threads.out 2>&1 || no "$threads threads"
done
for threads in 2 3 8; do check "$threads threads: the bytes of one" cmp 1.h5 $threads.h5; done
expect "train/nWNID and val/nWNID" 0 "^1.h5: 63 training and 6 test images of 32x32x3 in 3 classes" cat 1.out
expect "more threads than images" 0 "63 training" coppice pack --size 32 --threads 200 small many.h5
check "and their bytes" cmp 1.h5 many.h5
expect "no threads" 2 "--threads wants a whole number in 1..4096" coppice pack --size 32 --threads 0 small none.h5
mkdir small/test && ln pool/1.jpg small/test/ILSVRC2012_test_00000001.JPEG
expect "a test folder without classes gives way to val" 0 "63 training and 6 test" coppice pack --size 32 small flat.h5
check "and changes nothing" cmp 1.h5 flat.h5
expect "stretched" 0 "63 training" coppice pack --size 32 --resize stretch small stretched.h5
expect "is something else" 1 "differ" cmp 1.h5 stretched.h5
if has_python; then
	check "four inks and grey become RGB" "$PYTHON" -c "
import h5py
x = h5py.File('1.h5')['train/images'][:].astype(int)
names = sorted(['i%d.JPEG' % i for i in range(2, 60, 3)] + ['grey.JPEG', 'cmyk.JPEG', 'progressive.JPEG'])
part = x[-len(names):]
grey = part[names.index('grey.JPEG')]
assert (grey[..., 0] == grey[..., 1]).all() and (grey[..., 0] == grey[..., 2]).all() and grey.std() > 5
assert part[names.index('cmyk.JPEG')].std() > 5"
else
	skip "four inks and grey become RGB" "no python3 with h5py and numpy"
fi

if ! has_python; then
	skip "memory does not grow with the images" "no python3"
elif ! heavy "memory does not grow with the images"; then
	cat >peak.py <<'PYTHON'
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
PYTHON
	grow few 200
	grow many 4000
	a=$("$PYTHON" peak.py coppice pack --size 64 --threads 2 few few.h5)
	b=$("$PYTHON" peak.py coppice pack --size 64 --threads 2 many many.h5 --force)
	# 4000 images of 64x64x3 are 47 MiB
	if [ "$b" -lt $((a + 6144)) ]; then
		ok "memory does not grow with the images: $((a / 1024)) MiB for 200, $((b / 1024)) MiB for 4000"
	else
		no "memory grows with the images: $a KiB for 200, $b KiB for 4000"
	fi
fi

# With job control a job in the background does not ignore SIGINT.
[ -d few ] || grow few 200
set -m
for sig in INT TERM HUP; do
	for threads in 1 3; do
		mkdir "$sig$threads"
		# large, so that it lasts
		coppice pack --size 1000 --threads $threads few "$sig$threads/d.h5" >/dev/null 2>&1 &
		pid=$!
		for _ in $(seq 200); do
			[ -n "$(ls -A "$sig$threads")" ] && break
			sleep 0.02
		done
		begun=$(ls -A "$sig$threads")
		sleep 0.1
		kill -"$sig" $pid
		wait $pid
		status=$?
		if [ -n "$begun" ] && [ $status -eq $((128 + $(kill -l "$sig"))) ] && [ -z "$(ls -A "$sig$threads")" ]; then
			ok "SIG$sig with $threads threads ends it and removes what was begun"
		else
			no "SIG$sig, $threads threads: begun '$begun', exit code $status, left '$(ls -A "$sig$threads")'"
		fi
	done
done
set +m
