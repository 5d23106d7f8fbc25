#!/bin/bash
# test: coppice pack of folders with images that cannot be read: all are named, --skip-broken leaves them out, hostile ones end in an error
source "$ROOT/tests/lib.sh"

red=iVBORw0KGgoAAAANSUhEUgAAAAQAAAAECAIAAAAmkwkpAAAAEElEQVR42mP4z8AARwzEcQCukw/xOF6MEQAAAABJRU5ErkJggg==
jpeg=/9j/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMUFRUVDA8XGBYUGBIUFRT/2wBDAQMEBAUEBQkFBQkUDQsNFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBT/wAARCAAEAAQDASIAAhEBAxEB/8QAFQABAQAAAAAAAAAAAAAAAAAAAAf/xAAUEAEAAAAAAAAAAAAAAAAAAAAA/8QAFAEBAAAAAAAAAAAAAAAAAAAAAP/EABQRAQAAAAAAAAAAAAAAAAAAAAD/2gAMAwEAAhEDEQA/AKGAD//Z
png() { base64 -d <<<$red; }
jpg() { base64 -d <<<$jpeg; }
fresh() {
	rm -rf src out
	mkdir -p src/train/{ash,oak} src/test/{ash,oak} out
	for n in 1 2 3; do
		png >src/train/ash/$n.png
		jpg >src/train/oak/$n.jpg
	done
	png >src/test/ash/1.png
	jpg >src/test/oak/1.jpg
}
# pack OPTION...: into out/d.h5; what it said is in `said`, its exit code in `status`
pack() {
	said=$(coppice pack "$@" src out/d.h5 2>&1)
	status=$?
}
claim() { # claim NAME COMMAND...: the command succeeds; else what was said is shown
	local name=$1
	shift
	if "$@"; then ok "$name"; else
		no "$name: exit code $status, left '$(ls -A out)'"
		sed 's/^/#   /' <<<"$said"
	fi
}
refused() { [ $status -eq 2 ] && [ -z "$(ls -A out)" ] && grep -qE -- "$1" <<<"$said"; }

fresh
truncate -s -9 src/train/oak/2.jpg
: >src/train/ash/3.png
png >src/test/oak/2.jpg
for threads in 1 2 5; do
	pack --threads $threads
	claim "$threads threads: three are broken, and all are named in order" refused "3 of the 9 images of 'src' are broken"
	grep -oE "'src/[^']*'" <<<"$said" >names
	claim "$threads threads: in order" diff names - <<'END'
'src/train/ash/3.png'
'src/train/oak/2.jpg'
'src/test/oak/2.jpg'
END
done
pack --skip-broken --json
claim "--skip-broken packs the rest" test $status -eq 0
claim "and warns" grep -qF "warning: left out of 'src': 3 broken images of 9" <<<"$said"
claim "and counts what it packed" grep -qE '"train":[[:space:]]*4' <<<"$said"
expect "the dataset knows" 0 'skipped +3' coppice show out/d.h5
if has_python; then
	check "as an attribute" "$PYTHON" -c "
import h5py
f = h5py.File('out/d.h5')
assert f.attrs['skipped'] == 3 and list(f['train/labels']) == [0, 0, 1, 1] and list(f['test/labels']) == [0, 1]"
else
	skip "as an attribute" "no python3 with h5py and numpy"
fi
fresh
pack --skip-broken
claim "nothing broken, nothing skipped" bash -c "! coppice show out/d.h5 | grep -q skipped"

fresh
: >src/train/ash/1.png
pack
claim "one broken image is told in one line" [ "$(wc -l <<<"$said")" -eq 1 ]
claim "which names it and says what to do" refused "'src/train/ash/1.png' is empty \(--skip-broken leaves it out\)"
for n in $(seq 60); do : >src/train/ash/z$n.png; done
pack
claim "of many the first dozens are named" [ "$(grep -c "is empty" <<<"$said")" -eq 48 ]
claim "and the others counted" refused "^coppice: warning: and 13 more"
rm src/train/*/*
for class in ash oak; do : >src/train/$class/1.png; done
pack --skip-broken
claim "nothing but broken images" refused "no training image of 'src' can be read: 'src/train/ash/1.png' is empty"
fresh
rm src/train/ash/2.png
"$BUILD/tests/tools/make_jpeg" 20 20 >src/train/ash/2.jpg
pack --skip-broken
claim "an image of another size is not broken" refused "'src/train/ash/2.jpg' is 20x20, the first image .* is 4x4 \(--size"

# Whatever else may lie in a class.
hostile() { # hostile NAME PATTERN: refused with and without --size; left out with --skip-broken
	pack
	claim "$1" refused "$2"
	pack --size 3 --threads 3
	claim "$1, with --size" refused "$2"
	pack --size 3 --skip-broken
	claim "$1, left out" test $status -eq 0 -a -e out/d.h5
}
fresh && jpg | head -c 200 >src/train/oak/3.jpg && hostile "truncated" "cannot decode 'src/train/oak/3.jpg': .*[Pp]remature end"
fresh && : >src/train/oak/3.jpg && hostile "zero bytes" "'src/train/oak/3.jpg' is empty"
fresh && png >src/train/oak/3.jpg && hostile "a PNG named .jpg" "'src/train/oak/3.jpg' is a PNG, not a JPEG"
fresh && mkdir src/train/oak/x.jpg && hostile "a folder named x.jpg" "'src/train/oak/x.jpg' is a folder"
fresh && ln -s x.jpg src/train/oak/x.jpg && hostile "a link in a circle" "'src/train/oak/x.jpg': Too many levels"
fresh && mkfifo src/train/oak/x.jpg && hostile "a pipe" "'src/train/oak/x.jpg' is no ordinary file"
fresh && jpg | sed 's/\xff\xc0\x00\x11\x08\x00\x04\x00\x04/\xff\xc0\x00\x11\x08\xff\xdc\xff\xdc/' >src/train/oak/3.jpg &&
	hostile "65500x65500 announced" "65500x65500"
fresh && head -c 5000 /dev/zero >src/train/oak/x.png && hostile "zeros" "neither a PNG nor a JPEG"
if [ "$(id -u)" -eq 0 ]; then
	skip "a file that may not be read" "root may read everything"
else
	fresh && chmod 000 src/train/oak/3.jpg && hostile "a file that may not be read" "cannot open 'src/train/oak/3.jpg': Permission"
fi

# Odd, but images.
fresh
"$BUILD/tests/tools/make_jpeg" 1 1 >src/train/oak/x.jpg
"$BUILD/tests/tools/make_jpeg" 20000 40 >src/train/oak/y.jpg
"$BUILD/tests/tools/make_jpeg" 40 20000 >src/train/oak/z.jpg
for resize in crop stretch; do
	pack --size 8 --resize $resize
	claim "one pixel, and 20,000 wide and high: $resize" test $status -eq 0
	rm -f out/*
done
expect "--resize without --size" 2 "says how: --size S is wanted" coppice pack --resize stretch src out/d.h5
expect "a way that there is not" 2 "--resize wants crop or stretch, not 'fill'" coppice pack --size 8 --resize fill src out/d.h5
