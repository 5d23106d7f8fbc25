#!/bin/bash
# test: coppice bench: every benchmark does its work and has its figures, as text and as JSON; what is refused
source "$ROOT/tests/lib.sh"

expect "no benchmark: the list" 2 "'fast' is no benchmark; there are 'networks', 'lenet', .*'quantile', 'pack'" coppice bench fast
expect "pack without a folder" 2 "'pack' wants a folder" coppice bench memory pack
expect "pack of a folder that is not there" 2 "'nowhere'" coppice bench --threads 1 pack nowhere
mkdir empty
expect "pack of an empty folder" 2 "'empty' holds no images" coppice bench --threads 1 pack empty
for option in steps batch elements size; do
	expect "--$option 0" 2 "--$option wants a whole number in 1" coppice bench --$option 0
done
expect "--steps of a word" 2 "--steps wants a whole number" coppice bench --steps many
expect "a device that is none" 2 "--device is one of cpu, cuda, not 'gpu'" coppice bench --device gpu
expect "a precision that the CPU has not" 2 "the CPU computes in fp32 only" coppice bench --precision bf16 lenet
expect "a benchmark of the CPU" 2 "'pack' is a benchmark of the CPU" coppice bench --device cuda pack .
expect "a benchmark of a GPU" 2 "'kernels' is a benchmark of a GPU" coppice bench kernels

heavy "the benchmarks" && exit
expect "a failure within a benchmark" 1 "^coppice: (out of memory|the size of)" \
	bash -c 'ulimit -v 1500000 && coppice bench --threads 1 --elements 3999999999 quantile'
if ! has_python; then
	skip "the benchmarks" "no python3"
	exit
fi
mkdir images
for i in 1 2 3 4 5; do "$BUILD/tests/tools/make_jpeg" 200 $((100 + i)) $i >images/$i.jpg; done
coppice bench --threads 1 --steps 1 --batch 16 --elements 1000 --size 16 --json networks memory quantile pack images convolutions \
	>out.json 2>errors || no "coppice bench: $(cat errors)"
cat >look.py <<'PYTHON'
import json, math, sys
j = json.load(open(sys.argv[1]))
assert j['threads'] == 1 and j['coppice'] and j['processor'] and j['kernels'], j
for key in 'gflops', 'library_gflops', 'kernel_gflops', 'read_gbs', 'copy_gbs':
    assert j[key] > 0, key
assert j['gflops'] == max(j['library_gflops'], j['kernel_gflops'])
rows = {r['benchmark'].split(',')[0]: r for r in j['benchmarks']}
networks = {n + ' step': macs for n, macs in [
    ('LeNet-300-100', 0.2662e6), ('Conv-2', 43.3e6), ('Conv-4', 97.9e6), ('Conv-6', 153.6e6), ('ResNet-20', 40.8e6),
    ('VGG-16', 313.2e6), ('MobileNetV2', 25.7e6)]}
assert list(rows)[:7] == list(networks), list(rows)
for name, row in rows.items():
    assert row['threads'] == 1 and row['seconds'] > 0 and row['rate'] > 0 and row['unit'], row
for name, macs in networks.items():
    row = rows[name]
    assert math.isclose(row['rate'], 16 / row['seconds'], rel_tol=1e-9), row
    assert math.isclose(row['share'], row['floor_seconds'] / row['seconds'], rel_tol=1e-9), row
    # forward, weights' gradient and, but for the first layer, the data's
    most = 6 * 16 * macs / j['gflops'] / 1e9
    assert (0.7 if name[0] == 'L' else 0.97) * most < row['floor_seconds'] < 1.01 * most, (name, row['floor_seconds'] / most)
    assert row['arena'] < row['memory'] < 4e9 and 0 <= row['data_wait'] < 1, row
assert [r['unit'] for r in j['benchmarks'][7:11]] == ['GB/s', 'GB/s', 'elements/s', 'images/s']
pieces = {r['benchmark']: r for r in j['benchmarks'][11:]}
assert len(pieces) == len(j['benchmarks']) - 11
for name, row in pieces.items():
    assert 'batch 16' in name and row['unit'] == ('GB/s' if 'depthwise' in name else 'GFLOP/s'), row
    assert row['unit'] == 'GB/s' or math.isclose(row['share'], row['rate'] / j['gflops'], rel_tol=1e-6), row
def work(name):
    row = pieces[name]
    return row['rate'] * row['seconds'] * 1e9
def near(a, b):
    return math.isclose(a, b, rel_tol=1e-6)
assert near(work('3x3 16 to 32 stride 2, 32x32, batch 16, forward'), 2 * 9 * 16 * 32 * 16 * 16 * 16)
assert near(work('3x3 16 to 32 stride 2, 32x32, batch 16, backward'), 4 * 9 * 16 * 32 * 16 * 16 * 16)
assert near(work('3x3 3 to 16, 32x32, batch 16, backward'), 2 * 9 * 3 * 16 * 32 * 32 * 16)
assert near(work('3x3 depthwise 96 stride 2, 32x32, batch 16, forward'), 4 * 96 * (32 * 32 + 16 * 16) * 16)
assert all(r['memory'] is None for r in j['benchmarks'][7:])
print('as it should be')
PYTHON
expect "figures of every benchmark" 0 '^as it should be$' "$PYTHON" look.py out.json

# On a GPU, which the host stands in for.
if [ -e "$BUILD/emulated/coppice-cuda.so" ]; then
	export COPPICE_MODULES=$BUILD/emulated
	for precision in fp32 bf16; do
		coppice bench --device cuda --precision $precision --steps 2 --batch 2 --elements 20000 --json lenet conv2 kernels \
			memory quantile >gpu-$precision.json 2>errors || no "coppice bench --device cuda: $(cat errors)"
	done
	cat >gpu.py <<'PYTHON'
import json, math, sys
for name, element in ('fp32', 4), ('bf16', 2):
    j = json.load(open(f'gpu-{name}.json'))
    assert j['gpu_copy_gbs'] > 0 and name in j['gpu'] and 'gflops' not in j, j
    rows = j['benchmarks']
    floors = {'LeNet-300-100 step': None, 'Conv-2 step': 8 * 2 * 2 * 64 * 32 * 32 * element,
              'masked SGD': 20.125 * 16 * 16 * 96, 'normalise and ReLU6': 2 * element * 16 * 16 * 96,
              'nine quantiles': 8 * 20000}
    found = {r['benchmark'].split(', ')[0]: r for r in rows}
    assert len(found) == len(rows) >= 15, list(found)
    for r in rows:
        assert r['seconds'] > 0 and r['rate'] > 0, r
        assert r['floor_seconds'] is None or math.isclose(r['share'], r['floor_seconds'] / r['seconds'], rel_tol=1e-9)
    for what, floor in floors.items():
        got = found[what]['floor_seconds']
        assert got is None if floor is None else math.isclose(got, floor / j['gpu_copy_gbs'] * 1e-9, rel_tol=1e-6), what
    assert found['Conv-2 step']['memory'] > found['Conv-2 step']['arena'] > 0
print('as it should be')
PYTHON
	expect "figures of a GPU" 0 '^as it should be$' "$PYTHON" gpu.py
	expect "the table of a GPU" 0 '^memory: [0-9.]+ GB/s copied$' coppice bench --device cuda --elements 20000 memory
	COPPICE_EMULATED_DEVICES=0 expect "no GPU" 3 "device 'cuda': no GPU is to be seen" coppice bench --device cuda lenet
	unset COPPICE_MODULES
else
	skip "figures of a GPU" "no module for the host was built"
fi

# A process for each: what a large one took does not show in a small one that comes after it.
coppice bench --threads 1 --steps 1 --json mobilenet_v2 lenet >out.json 2>errors || no "coppice bench: $(cat errors)"
expect "the memory of each by itself" 0 '^True$' "$PYTHON" -c \
	'import json; a, b = json.load(open("out.json"))["benchmarks"]; print(b["memory"] < 1e8 < a["memory"])'
expect "the table" 0 '^LeNet-300-100 step, 1x28x28, batch 60 +1 .* images/s ' coppice bench --threads 1 --steps 3 lenet
expect "speed of large products, on top" 0 '^speed of large products: [0-9]+ GFLOP/s \(OpenBLAS [0-9]+, the kernels [0-9]+\)$' \
	coppice bench --threads 1 memory
