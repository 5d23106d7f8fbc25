#!/bin/bash
# test: coppice pack of IDX files, plain and gzipped: pixels, labels, every kind of damage; MNIST where it is given
source "$ROOT/tests/lib.sh"

be32() { printf '%b' "$(printf '\\x%02x\\x%02x\\x%02x\\x%02x' $(($1 >> 24 & 255)) $(($1 >> 16 & 255)) $(($1 >> 8 & 255)) $(($1 & 255)))"; }
values() { for v in "$@"; do printf '%b' "$(printf '\\x%02x' "$v")"; done; }
# images N H W: N images, pixel k of image i is (16 i + k) mod 256
images() {
	printf '\0\0\x08\x03'
	be32 "$1" && be32 "$2" && be32 "$3"
	values $(awk -v n="$1" -v m=$(($2 * $3)) 'BEGIN { for (i = 0; i < n; i++) for (k = 0; k < m; k++) print (16 * i + k) % 256 }')
}
labels() { # labels N VALUE...
	printf '\0\0\x08\x01'
	be32 "$1"
	shift
	values "$@"
}
fresh() { # a folder `src` that is as it should be
	rm -rf src
	mkdir src
	images 5 2 3 >src/train-images-idx3-ubyte
	labels 5 0 1 2 1 0 >src/train-labels-idx1-ubyte
	images 2 2 3 | gzip >src/t10k-images-idx3-ubyte.gz
	labels 2 2 0 | gzip >src/t10k-labels-idx1-ubyte.gz
}
# refuse NAME PATTERN: packing `src` ends with code 2 and one line that matches, and leaves nothing behind
refuse() {
	local name=$1 pattern=$2 said status
	mkdir -p out
	said=$(coppice pack src out/d.h5 2>&1 >/dev/null)
	status=$?
	if [ "$status" -eq 2 ] && grep -qE -- "$pattern" <<<"$said" && [ "$(wc -l <<<"$said")" -eq 1 ] && [ -z "$(ls -A out)" ]; then
		ok "$name"
	else
		no "$name: exit code $status, '$said', left: $(ls -A out)"
		rm -rf out
	fi
}

fresh
cat >expected <<'END'
d.h5: 5 training and 2 test images of 2x3x1 in 3 classes
fingerprint fd8b9d663db7be29

channel    mean     std
      0  0.1353  0.0890

class  train  test
0          2     1
1          2     0
2          1     1
END
same "plain and gzipped files together" expected coppice pack src d.h5
mv src/train-images-idx3-ubyte src/train-images.idx3-ubyte
gzip src/train-labels-idx1-ubyte
mv src/t10k-labels-idx1-ubyte.gz src/test-labels.idx1-ubyte.gz
expect "the other usual names, the same data" 0 "fingerprint fd8b9d663db7be29" coppice pack src d.h5 --force
if has_python; then
	cat >look.py <<'END'
import h5py, numpy
f = h5py.File("d.h5", "r")
want = (16 * numpy.arange(5)[:, None] + numpy.arange(6)).reshape(5, 2, 3, 1)
assert (f["train/images"][:] == want).all() and (f["test/images"][:] == want[:2]).all()
assert list(f["train/labels"]) == [0, 1, 2, 1, 0] and list(f["test/labels"]) == [2, 0]
assert [c.decode() for c in f["classes"]] == ["0", "1", "2"]
def fnv(data, h=0xCBF29CE484222325):
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 % 2**64
    return h
words = [2, 3, 1, 3]
for split in "train", "test":
    x, y = f[split + "/images"][:], f[split + "/labels"][:].astype("<i4")
    words += [len(x), fnv(x.tobytes()), fnv(y.tobytes())]
assert "%016x" % fnv(numpy.array(words, "<u8").tobytes()) == f.attrs["fingerprint"]
END
	check "h5py finds each pixel and label, and the fingerprint is what the layout says" "$PYTHON" look.py
else
	skip "h5py finds each pixel and label" "no python3 with h5py and numpy"
fi

train=train-images-idx3-ubyte train_labels=train-labels-idx1-ubyte
test=t10k-images-idx3-ubyte test_labels=t10k-labels-idx1-ubyte
fresh && truncate -s -1 src/$train
refuse "truncated images" "'src/$train' is truncated"
fresh && truncate -s 9 src/$train
refuse "truncated header" "'src/$train' is truncated"
fresh && truncate -s -3 src/$test.gz
refuse "truncated gzip file" "'src/$test.gz' is truncated"
fresh && truncate -s 20 src/$test_labels.gz
refuse "gzip file cut in its data" "'src/$test_labels.gz' is truncated"
fresh && printf 'XXXX' | dd of=src/$test.gz bs=1 seek=$(($(stat -c %s src/$test.gz) - 8)) conv=notrunc 2>/dev/null
refuse "gzip checksum" "'src/$test.gz' is damaged"
fresh && : >src/$train
refuse "empty images" "'src/$train' is empty"
fresh && printf '\0\0\x08' >src/$train
refuse "three bytes" "'src/$train' is truncated"
fresh && echo 'not an IDX file at all' >src/$train
refuse "foreign magic" "'src/$train' is no IDX file: it starts with 6e6f7420"
fresh && printf '\x0d' | dd of=src/$train bs=1 seek=2 conv=notrunc 2>/dev/null
refuse "floats" "'src/$train' holds values of type 0x0d"
fresh && cp src/$train_labels src/$train
refuse "labels named as images" "'src/$train' has 1 dimension, 3 expected: these are no images"
fresh && cp src/$train src/$train_labels
refuse "images named as labels" "'src/$train_labels' has 3 dimensions, 1 expected: these are no labels"
fresh && printf x >>src/$train
refuse "trailing data" "'src/$train' goes on after the last value"
fresh && printf x >>src/$train_labels
refuse "trailing labels" "'src/$train_labels' goes on after the last value"
fresh && labels 4 0 1 2 1 >src/$train_labels
refuse "fewer labels than images" "'src/$train_labels' has 4 labels for the 5 images of 'src/$train'"
fresh && labels 2 3 0 | gzip >src/$test_labels.gz
refuse "a test label that is no class" "'src/$test_labels.gz': label 3 of item 0 is not one of the training labels 0..2"
fresh && labels 5 0 1 2 250 0 >src/$train_labels
refuse "labels with a gap" "'src/$train_labels' has a label 250 but no label 3"
fresh && labels 5 0 0 0 0 0 >src/$train_labels
refuse "one class only" "'src/$train_labels' has the label 0 only"
fresh && images 2 3 2 | gzip >src/$test.gz
refuse "test images of another size" "'src/$test.gz' has images of 3x2, those of 'src/$train' are 2x3"
fresh && images 0 2 3 >src/$train
refuse "no images" "'src/$train': dimension 0 is 0"
fresh && (printf '\0\0\x08\x03' && be32 5 && be32 70000 && be32 2) >src/$train
refuse "images too large" "'src/$train': images of 70000x2 are not supported"
fresh && (printf '\0\0\x08\x01' && be32 2147483647 && values 1 0) >src/$train_labels
refuse "a header that lies about the count" "'src/$train_labels' is truncated"
fresh && rm src/$train_labels
refuse "no training labels" "'src' has no file '$train_labels' .*'src/$train'"
fresh && rm src/$test.gz
refuse "no test images" "'src' has no file 't10k-images-idx3-ubyte'"
fresh && rm src/$train && mkdir src/$train
refuse "a folder in place of a file" "'src/$train' is no file"
fresh && rm src/$train && ln -s $train src/$train
refuse "a link to itself" "'src'.*no file '$train'"
fresh
expect "--size is for images" 2 "'src' holds IDX files" coppice pack --size 3 src out/d.h5
rm -r src && mkdir src
refuse "an empty folder" "'src' holds neither IDX files"
rm -r src && echo >src
refuse "a file" "'src' is no folder"

mnist=$SHARED/data/mnist
if [ ! -d "$mnist" ]; then
	skip "MNIST" "no folder of MNIST's files"
elif ! has_python; then
	skip "MNIST" "no python3 with h5py and numpy"
else
	coppice pack "$mnist" mnist.h5 >told || no "MNIST is packed"
	check "MNIST: counts and shape" grep -q '^mnist.h5: 60000 training and 10000 test images of 28x28x1 in 10 classes' told
	check "MNIST: mean 0.1307, std 0.3081" grep -qE '^ +0  0\.1307  0\.3081$' told
	cat >look.py <<'END'
import gzip, h5py, hashlib, numpy, sys
f = h5py.File("mnist.h5", "r")
def idx(name):
    return gzip.open(sys.argv[1] + "/" + name + "-ubyte.gz").read()
raw = idx("train-images-idx3")
assert hashlib.md5(raw).hexdigest() == "6bbc9ace898e44ae57da46a324031adb"
assert f["train/images"][:].tobytes() == raw[16:]
assert f["test/images"][:].tobytes() == idx("t10k-images-idx3")[16:]
for split, name in ("train", "train"), ("test", "t10k"):
    want = numpy.frombuffer(idx(name + "-labels-idx1")[8:], numpy.uint8)
    assert (f[split + "/labels"][:] == want).all()
v = f["train/images"][:].astype(numpy.float64) / 255
assert abs(f.attrs["mean"][0] - v.mean()) < 1e-7 and abs(f.attrs["std"][0] - v.std()) < 1e-7
END
	check "MNIST: numpy's own reading of the files agrees in every pixel and label" "$PYTHON" look.py "$mnist"
fi
