#!/bin/bash
# test: coppice pack of SPLIT/CLASS/IMAGE: order, grey and RGB, --size, every kind of bad input; CIFAR-10 where it is given
source "$ROOT/tests/lib.sh"

# 4x4 pixels each but for `wide`, which has 6x4: grey 51; red 255,0,0; green 0,204,0; wide 0,0,102; jpeg 153,153,153
pic() {
	case $1 in
	grey) echo iVBORw0KGgoAAAANSUhEUgAAAAQAAAAECAAAAACMmsGiAAAADklEQVR42mMwBgIGVAIAH/QDMQ2W3cMAAAAASUVORK5CYII= ;;
	red) echo iVBORw0KGgoAAAANSUhEUgAAAAQAAAAECAIAAAAmkwkpAAAAEElEQVR42mP4z8AARwzEcQCukw/xOF6MEQAAAABJRU5ErkJggg== ;;
	green) echo iVBORw0KGgoAAAANSUhEUgAAAAQAAAAECAIAAAAmkwkpAAAAD0lEQVR42mNgOMOAQMRxAEvDDMEz8PVVAAAAAElFTkSuQmCC ;;
	wide) echo iVBORw0KGgoAAAANSUhEUgAAAAYAAAAECAIAAAAiZtkUAAAAEElEQVR42mNgYEjDQGQKAQBiKwmRPqmRuAAAAABJRU5ErkJggg== ;;
	jpeg) echo /9j/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMUFRUVDA8XGBYUGBIUFRT/2wBDAQMEBAUEBQkFBQkUDQsNFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBT/wAARCAAEAAQDASIAAhEBAxEB/8QAFQABAQAAAAAAAAAAAAAAAAAAAAf/xAAUEAEAAAAAAAAAAAAAAAAAAAAA/8QAFAEBAAAAAAAAAAAAAAAAAAAAAP/EABQRAQAAAAAAAAAAAAAAAAAAAAD/2gAMAwEAAhEDEQA/AKGAD//Z ;;
	esac | base64 -d
}
fresh() {
	rm -rf src
	mkdir -p src/train/{ash,Birch,oak} src/test/{ash,oak}
	pic red >src/train/ash/10.png
	pic green >src/train/ash/9.png
	pic jpeg >src/train/Birch/b.JPEG
	pic grey >src/train/oak/a.png
	pic red >src/train/oak/b.PNG
	pic green >src/test/oak/x.png
	pic jpeg >src/test/ash/y.jpg
	touch src/train/.DS_Store src/train/oak/.hidden src/README
}
refuse() { # refuse NAME PATTERN [OPTION...]: packing `src` ends with code 2 and one line that matches; nothing is left
	local name=$1 pattern=$2 said status
	shift 2
	mkdir -p out
	said=$(coppice pack "$@" src out/d.h5 2>&1 >/dev/null)
	status=$?
	if [ "$status" -eq 2 ] && grep -qE -- "$pattern" <<<"$said" && [ "$(wc -l <<<"$said")" -eq 1 ] && [ -z "$(ls -A out)" ]; then
		ok "$name"
	else
		no "$name: exit code $status, '$said', left: $(ls -A out)"
		rm -rf out
	fi
}
look() { # look NAME FILE PYTHON: the expression holds; x, y: training images and labels, t, u: test, k: classes
	if ! has_python; then
		skip "$1" "no python3 with h5py and numpy"
		return
	fi
	check "$1" "$PYTHON" -c "
import h5py, numpy
f = h5py.File('$2', 'r')
x, y, t, u = (f[n][:] for n in ('train/images', 'train/labels', 'test/images', 'test/labels'))
k = [c.decode() for c in f['classes']]
assert $3, (k, x.shape, y, x[:, 0, 0], u, t[:, 0, 0])"
}

fresh
cat >expected <<'END'
d.h5: 5 training and 2 test images of 4x4x3 in 3 classes
fingerprint d7e1ba19d4e82a31

channel    mean     std
      0  0.5600  0.4079
      1  0.3200  0.3250
      2  0.1600  0.2332

class  train  test
Birch      1     0
ash        2     1
oak        2     1
END
same "classes and images in the order of their bytes" expected coppice pack src d.h5
look "each pixel has its place" d.h5 "k == ['Birch', 'ash', 'oak'] and list(y) == [0, 1, 1, 2, 2] and list(u) == [1, 2] \
and (x == x[:, :1, :1]).all() and x[:, 0, 0].tolist() == [[153] * 3, [255, 0, 0], [0, 204, 0], [51] * 3, [255, 0, 0]] \
and t[:, 0, 0].tolist() == [[153] * 3, [0, 204, 0]]"
mv src/test src/val
expect "val stands in for test" 0 'fingerprint d7e1ba19d4e82a31' coppice pack src d.h5 --force
expect "--channels 1" 0 'of 4x4x1 in 3 classes' coppice pack src grey.h5 --channels 1
look "luma by ITU-R 601" grey.h5 "x[:, 0, 0, 0].tolist() == [153, 76, 120, 51, 76]"
for f in src/train/*/* src/val/*/*; do rm "$f" && pic grey >"${f%.*}.png"; done
expect "all grey stay grey" 0 'of 4x4x1 in 3 classes' coppice pack src d.h5 --force
expect "--channels 3 makes them RGB" 0 'of 4x4x3 in 3 classes' coppice pack src d.h5 --force --channels 3
fresh
pic wide >src/train/ash/9.png
expect "--size crops and scales" 0 'of 2x2x3 in 3 classes' coppice pack src small.h5 --size 2
look "and keeps the colours" small.h5 "x[2].reshape(-1, 3).tolist() == [[0, 0, 102]] * 4 and x[1, 1, 1].tolist() == [255, 0, 0]"

refuse "images of two sizes" "'src/train/ash/9.png' is 6x4, the first image 'src/train/Birch/b.JPEG' is 4x4 \(--size"
fresh && rm src/train/Birch/b.JPEG && pic grey >src/train/Birch/a.png
refuse "grey first, then colours" "'src/train/ash/10.png' has colours, the first image 'src/train/Birch/a.png' has none"
fresh && rm src/train/oak/*
refuse "an empty class" "the class 'src/train/oak' has no images"
fresh && rm src/test/oak/*
refuse "an empty test class" "the class 'src/test/oak' has no images"
fresh && pic red >src/train/oak/c.jpg
refuse "a PNG named .jpg" "'src/train/oak/c.jpg' is a PNG, not a JPEG as its name says"
fresh && pic jpeg >src/test/oak/x.png
refuse "a JPEG named .png" "'src/test/oak/x.png' is a JPEG, not a PNG as its name says"
fresh && : >src/train/oak/c.png
refuse "a file of no bytes" "'src/train/oak/c.png' is empty"
fresh && echo "hello" >src/train/oak/c.png
refuse "a text named .png" "'src/train/oak/c.png' is neither a PNG nor a JPEG"
fresh && truncate -s -20 src/train/oak/b.PNG
refuse "a truncated PNG" "'src/train/oak/b.PNG': it is truncated"
fresh && truncate -s -9 src/train/Birch/b.JPEG
refuse "a truncated JPEG" "cannot decode 'src/train/Birch/b.JPEG': .*[Pp]remature end"
fresh && printf '\x00' | dd of=src/train/oak/a.png bs=1 seek=45 conv=notrunc 2>/dev/null
refuse "a damaged PNG" "cannot decode 'src/train/oak/a.png': "
fresh && mkdir src/train/oak/x.jpg
refuse "a folder named x.jpg" "'src/train/oak/x.jpg' is a folder, not an image"
fresh && ln -s c.png src/train/oak/c.png
refuse "a link to itself" "cannot open 'src/train/oak/c.png': Too many levels"
fresh && ln -s nowhere src/train/oak/c.png
refuse "a link to nothing" "cannot open 'src/train/oak/c.png': No such file"
fresh && ln -s pine src/train/pine
refuse "a class that links to itself" "cannot open 'src/train/pine': Too many levels"
fresh && mkfifo src/train/oak/c.png
refuse "a pipe" "'src/train/oak/c.png' is no ordinary file"
fresh && touch src/train/oak/notes.txt
refuse "a foreign file in a class" "'src/train/oak/notes.txt' is not named as an image"
fresh && touch src/train/labels.csv
refuse "a file among the classes" "'src/train/labels.csv' is no folder"
fresh && mkdir src/test/pine && pic red >src/test/pine/a.png
refuse "a test class that is not trained" "the class 'src/test/pine' has no training images"
fresh && rm -r src/train/{ash,Birch} src/test/ash
refuse "one class only" "'src/train' has 1 folder: two classes are needed"
fresh && rm -r src/test
refuse "no test split" "'src' has no folder 'test' or 'val'"
fresh && rm -r src/train
refuse "no training split" "'src' has no folder 'train'"
fresh && rm -r src/test/*
refuse "an empty test split" "'src/test' has no images"
fresh
mkdir -p out
expect "a size of nothing" 2 "--size wants a whole number" coppice pack --size 0 src out/d.h5
expect "two channels" 2 "--channels wants 1 or 3" coppice pack --channels 2 src out/d.h5
check "nothing is left behind" test -z "$(ls -A out)"

cifar=$SHARED/data/cifar10-jpeg.tar.zst
if [ ! -e "$cifar" ]; then
	skip "CIFAR-10" "no archive of its images"
elif ! command -v zstd >/dev/null; then
	skip "CIFAR-10" "no zstd to unpack it"
else
	rm -rf src
	mkdir src
	tar --zstd -C src --wildcards -xf "$cifar" 'train/cat/000*' 'train/dog/000*' 'train/ship/001*' 'test/dog/00*' 'test/cat/000*'
	count=$(find src/train -name '*.jpg' | wc -l)
	expect "CIFAR-10: part of it" 0 "^cifar.h5: $count training .* of 32x32x3 in 3 classes" coppice pack src cifar.h5
	python=$(for p in "$PYTHON" python3; do "$p" -c 'import PIL, h5py' 2>/dev/null && echo "$p" && break; done)
	if [ -z "$python" ]; then
		skip "CIFAR-10: the pixels are Pillow's" "no python3 with Pillow and h5py"
	else
		cat >look.py <<'END'
import glob, h5py, numpy, PIL.Image
f = h5py.File("cifar.h5", "r")
for split in "train", "test":
    names = sorted(glob.glob("src/%s/*/*" % split))
    want = numpy.stack([numpy.asarray(PIL.Image.open(n).convert("RGB")) for n in names])
    worst = numpy.abs(f[split + "/images"][:].astype(int) - want).max()
    assert worst <= 1, worst
END
		check "CIFAR-10: the pixels are Pillow's" "$python" look.py
	fi
fi
