#!/bin/bash
# test: coppice pack of CIFAR-10's and CIFAR-100's binary batches: every byte in its place, and what is refused
source "$ROOT/tests/lib.sh"
if ! has_python; then
	skip "CIFAR's binary batches" "no python3 with h5py and numpy"
	exit
fi

cat >make.py <<'PYTHON'
import numpy, os
draw = numpy.random.default_rng(5)
def batch(path, n, classes, coarse):
    label = draw.integers(0, classes, (n, 1), dtype='u1')
    more = [draw.integers(0, 20, (n, 1), dtype='u1')] if coarse else []
    numpy.hstack(more + [label, draw.integers(0, 256, (n, 3072), dtype='u1')]).tofile(path)
os.makedirs('ten')
for i in range(1, 6):
    batch(f'ten/data_batch_{i}.bin', 17 + i, 10, False)
batch('ten/test_batch.bin', 9, 10, False)
open('ten/batches.meta.txt', 'w').write(''.join(f'class{i}\n' for i in range(10)) + '\n')
open('ten/readme.html', 'w').write('not read')
os.makedirs('hundred')
batch('hundred/train.bin', 210, 100, True)
batch('hundred/test.bin', 30, 100, True)
open('hundred/fine_label_names.txt', 'w').write(''.join(f'fine{i}\r\n' for i in range(100)))
open('hundred/coarse_label_names.txt', 'w').write(''.join(f'coarse{i}\n' for i in range(20)))
PYTHON
"$PYTHON" make.py || no "making batches"
cat >look.py <<'PYTHON'
import glob, h5py, numpy, sys
folder, labels, names = sys.argv[1], int(sys.argv[2]), sys.argv[3]
f = h5py.File(folder + '.h5')
files = {'train': sorted(glob.glob(folder + '/data_batch_*.bin')) or [folder + '/train.bin'],
         'test': glob.glob(folder + '/test*.bin')}
for split in files:
    raw = numpy.concatenate([numpy.fromfile(n, 'u1').reshape(-1, labels + 3072) for n in files[split]])
    assert (f[split + '/labels'][:] == raw[:, labels - 1]).all()
    want = raw[:, labels:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    assert f[split + '/images'].shape == want.shape and (f[split + '/images'][:] == want).all()
assert [c.decode() for c in f['classes']] == [l for l in open(folder + '/' + names).read().split()]
PYTHON
expect "CIFAR-10's batches" 0 "^ten.h5: 100 training and 9 test images of 32x32x3 in 10 classes" coppice pack ten ten.h5
check "every byte in its place" "$PYTHON" look.py ten 1 batches.meta.txt
expect "CIFAR-100's" 0 "^hundred.h5: 210 training and 30 test images of 32x32x3 in 100 classes" coppice pack hundred hundred.h5
check "every byte, and the fine labels" "$PYTHON" look.py hundred 2 fine_label_names.txt

refuse() { # refuse NAME PATTERN FOLDER [OPTION...]
	local name=$1 pattern=$2 from=$3
	shift 3
	mkdir -p out
	expect "$name" 2 "$pattern" coppice pack "$@" "$from" out/d.h5
	check "$name: nothing is left" test -z "$(ls -A out)"
}
refuse "--size is for images" "'ten' holds binary batches: --size" ten --size 16
broken() { rm -rf src && cp -r ten src; }
broken && rm src/data_batch_3.bin && refuse "a batch that is missing" "cannot open 'src/data_batch_3.bin'" src
broken && rm src/data_batch_1.bin && refuse "the first that is missing" "cannot open 'src/data_batch_1.bin'" src
broken && rm src/batches.meta.txt && refuse "no names" "cannot open 'src/batches.meta.txt'" src
broken && echo more >>src/batches.meta.txt && refuse "a name too many" "'src/batches.meta.txt' names 11 classes, not 10" src
broken && printf 'a\0b' >src/batches.meta.txt && refuse "names that are no text" "'src/batches.meta.txt' is no text" src
broken && truncate -s -1 src/test_batch.bin && refuse "a record cut short" "'src/test_batch.bin' has 27656 bytes, which are not whole records of 3073" src
broken && : >src/data_batch_5.bin && refuse "an empty batch" "'src/data_batch_5.bin' is empty" src
broken && printf '\x0a' | dd of=src/data_batch_2.bin bs=1 seek=$((3073 * 4)) conv=notrunc 2>/dev/null &&
	refuse "a label out of range" "'src/data_batch_2.bin': label 10 of image 4 is not one of 10 classes" src
broken && rm src/data_batch_4.bin && mkdir src/data_batch_4.bin && refuse "a folder named as a batch" "'src/data_batch_4.bin' is no ordinary file" src
