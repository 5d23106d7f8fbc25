#!/bin/bash
# test: coppice quantile against numpy.quantile on files of every kind, its bounds on memory, and its bad input
source "$ROOT/tests/lib.sh"

names=(float32 float64 float16 bigendian deflated tinychunks bigchunks keras links one ties zeros denormals infinities \
	bfloat16 large)
if ! has_python; then
	for name in "${names[@]}"; do skip "$name" "no python3 with h5py and numpy"; done
	exit 0
fi

# Makes the files, and checks a JSON answer against numpy: check.py FILE SCOPE
cat >make.py <<'EOF'
import h5py, numpy as np
rng = np.random.default_rng(7)

def write(name, fill):
    with h5py.File(name + '.h5', 'w') as f:
        fill(f)

def normal(shape, kind='f4'):
    return (rng.normal(size=shape) * np.exp(rng.normal())).astype(kind)

def one(name, data, **options):
    write(name, lambda f: f.create_dataset('layer/weight', data=data, **options))

one('float32', normal((300, 784)))
one('float64', normal((211, 97), 'f8'))
one('float16', normal((64, 3, 3, 32), 'f2'))
one('bigendian', normal((300, 77), '>f4'))
one('deflated', normal((123, 45, 6)), chunks=(10, 45, 4), compression='gzip', shuffle=True, fletcher32=True)
one('tinychunks', normal((150, 200)), chunks=(1, 2))
one('bigchunks', normal((3, 5000, 300)), chunks=(2, 5000, 300), compression='gzip', compression_opts=1)
one('one', normal((1, 1)))
one('ties', rng.integers(-2, 3, size=(50, 40)).astype('f4'))
one('zeros', np.where(rng.random((100, 100)) < 0.9, np.float32(-0.0), normal((100, 100))))
one('denormals', (rng.integers(0, 50, size=(40, 40)) * np.float32(1.4e-45)).astype('f4'))
one('infinities', np.where(rng.random((30, 30)) < 0.6, np.inf, -1).astype('f4'))
one('large', normal((1000, 10000)))

def keras(f):
    for layer in ('dense', 'dense_1', 'block/conv2d'):
        g = f.create_group('model_weights/%s/%s' % (layer, layer))
        g['kernel:0'] = normal((31, 17))
        g['bias:0'] = normal((17,))
    f['model_weights'].attrs['layer_names'] = np.array([b'dense', b'dense_1'])
    f['optimizer_weights/iterations:0'] = np.int64(7)
    f['optimizer_weights/half'] = normal((9, 9), 'f2')
write('keras', keras)

def links(f):
    f['a/w'] = normal((20, 30))
    f['b/double'] = normal((20, 30), 'f8')
    f['a/hard'] = f['a/w']
    f['a/soft'] = h5py.SoftLink('/a/w')
    f['a/loop'] = f['/']
    f['a/dangling'] = h5py.SoftLink('/nowhere')
    f['a/outside'] = h5py.ExternalLink('float32.h5', '/layer/weight')
    f['scalar'] = np.float32(-2.5)
    f['empty'] = np.zeros((0, 3), 'f4')
    f['null'] = h5py.Empty('f4')
    f['whole'] = np.arange(10)
    f['text'] = 'abc'
write('links', links)

def brain(f):  # bfloat16 is float32's upper half
    t = h5py.h5t.IEEE_F32LE.copy()
    t.set_fields(15, 7, 8, 0, 7)
    t.set_size(2)
    t.set_ebias(127)
    space = h5py.h5s.create_simple((4000,))
    d = h5py.h5d.create(f.id, b'brain', t, space)
    x = (normal((4000,)).view('u4') & 0xffff0000).view('f4')
    d.write(h5py.h5s.ALL, h5py.h5s.ALL, x)
write('bfloat16', brain)

def nan(f):
    x = normal((40, 50, 60))
    x[31, 7, 59] = np.nan
    f.create_dataset('deep/er/weight', data=x, chunks=(7, 8, 9))
write('nan', nan)

with h5py.File('wide.h5', 'w') as f:
    f['long'] = np.zeros((4, 4), np.longdouble)
with h5py.File('none.h5', 'w') as f:
    f['ints'] = np.arange(100)
with h5py.File('flat.h5', 'w') as f:
    f['bias'] = np.arange(100, dtype='f4')

def ours(f):
    f.attrs['format'] = 'coppice-checkpoint'
    f.attrs['version'] = 1
    f.attrs['complete'] = 1
    for name, value, prunable in (('fc/weight', np.arange(12).reshape(3, 4), 1), ('fc/bias', np.arange(100, 103), 0)):
        f['params/' + name] = value.astype('f4')
        f['params/' + name].attrs['prunable'] = prunable
    f['buffers/bn/mean'] = np.full(2, 1000, 'f4')
    f['optimizer/momentum/fc/weight'] = np.full((3, 4), 5000, 'f4')
write('ours', ours)
EOF
cat >check.py <<'EOF'
import h5py, json, numpy as np, sys
name, scope = sys.argv[1:3]
answer = json.load(sys.stdin)
tensors = {}
def add(path, d):
    if isinstance(d, h5py.Dataset) and d.dtype.kind == 'f' and d.shape is not None:
        if scope == 'all' or d.ndim >= 2:
            tensors['/' + path] = np.abs(d[()].astype(d.dtype.newbyteorder('='))).ravel()
with h5py.File(name, 'r') as f:
    f.visititems(add)

def value(v):
    return np.inf if v is None else v

def compare(where, a, got):
    assert got['count'] == a.size, (where, got['count'], a.size)
    assert got['zeros'] == np.count_nonzero(a == 0), where
    if a.size == 0:
        return
    assert value(got['min']) == a.min() and value(got['max']) == a.max(), where
    mean = a.astype('f8').mean()
    assert value(got['mean']) == mean or abs(got['mean'] - mean) <= 1e-12 * mean, (where, got['mean'], mean)
    q = np.array([p['quantile'] for p in got['quantiles']])
    mine = np.array([value(p['magnitude']) for p in got['quantiles']])
    with np.errstate(invalid='ignore'):
        theirs = np.quantile(a, q)
    order = np.sort(a)
    for i in range(len(q)):
        at = q[i] * (a.size - 1)
        if at == int(at):
            assert mine[i] == order[int(at)], ('order statistic', where, q[i], mine[i], order[int(at)])
        if np.isnan(theirs[i]):  # numpy subtracts infinities
            assert mine[i] == order[min(int(at) + 1, a.size - 1)], (where, q[i], mine[i])
        else:
            ulp = np.spacing(np.float32(theirs[i])) if np.isfinite(theirs[i]) else 0
            assert mine[i] == theirs[i] or abs(mine[i] - theirs[i]) <= ulp, (where, q[i], mine[i], theirs[i])

whole = np.concatenate(list(tensors.values()))
compare('total', whole, answer['total'])
assert len(tensors) <= len(answer['tensors'])
for got in answer['tensors']:
    if got['count'] or got['tensor'] in tensors:
        compare(got['tensor'], tensors[got['tensor']], got)
EOF
"$PYTHON" make.py || { no "making the files"; exit 1; }

against_numpy() { # against_numpy FILE SCOPE
	coppice quantile "$1" --grid 0:1:0.03125 -q 0.6,0.65,0.013 --per-tensor --json --scope "$2" | "$PYTHON" check.py "$1" "$2"
}
for name in "${names[@]}"; do
	check "$name agrees with numpy" against_numpy $name.h5 all
done
check "tensors of rank 2 and more are prunable in a foreign file" against_numpy keras.h5 prunable

for threads in 1 2 3; do
	coppice quantile large.h5 --grid 0.01:0.99:0.01 --threads $threads --json >large.$threads
done
check "1 and 2 threads give the same bits" cmp large.1 large.2
check "1 and 3 threads give the same bits" cmp large.1 large.3

grid=$(coppice quantile one.h5 --grid 0.10:0.99:0.01 --json | grep -c '"quantile"')
[ "$grid" = 90 ] && ok "a grid has its end" || no "a grid of 90 quantiles has $grid"
expect "grid points are the decimals meant" 0 '^total +0\.15 ' coppice quantile one.h5 --grid 0.1:0.3:0.05
expect "quantiles have a default" 0 '^total +0\.98 ' coppice quantile one.h5
expect "without a mark it says what is prunable" 0 'no tensor of .keras.h5. is marked prunable' coppice quantile keras.h5
expect "of our own, prunable parameters" 0 '^total +12 +1 +0 +11 +5\.5$' coppice quantile ours.h5
expect "of our own, all parameters and buffers" 0 '^total +17 +1 +0 +1000 ' coppice quantile ours.h5 --scope all
expect "a tensor by itself" 0 '^/params/fc/weight +0\.5 +5\.5$' coppice quantile ours.h5 --per-tensor -q 0.5

expect "NaN is an error that says where" 2 "nan.h5': '/deep/er/weight' holds NaN at \[31, 7, 59\]" coppice quantile nan.h5
expect "quantile above 1" 2 "'1.2'" coppice quantile one.h5 -q 0.5,1.2
expect "quantile that is no number" 2 "'x'" coppice quantile one.h5 -q x
expect "empty quantile" 2 "''" coppice quantile one.h5 -q 0.5,,0.6
expect "grid of two numbers" 2 'FROM:TO:STEP' coppice quantile one.h5 --grid 0.1:0.5
expect "grid without a step" 2 "STEP.*'0'" coppice quantile one.h5 --grid 0.1:0.5:0
expect "grid backwards" 2 "TO.*'0.1'" coppice quantile one.h5 --grid 0.5:0.1:0.1
expect "grid too fine" 2 'more than 10000' coppice quantile one.h5 --grid 0:1:0.00001
expect "unknown scope" 2 "'some'" coppice quantile one.h5 --scope some
expect "missing file" 2 "'nowhere.h5'" coppice quantile nowhere.h5
expect "a file that is no HDF5" 2 "'make.py'" coppice quantile make.py
expect "no float tensors" 2 "'none.h5' holds no float tensors" coppice quantile none.h5
expect "nothing prunable" 2 "'flat.h5' is prunable .*--scope all" coppice quantile flat.h5
expect "numbers wider than float64 are left out, and said so" 2 'left out 1 dataset' coppice quantile wide.h5
head -c 300000 float32.h5 >cut.h5
expect "truncated file" 2 "'cut.h5'" coppice quantile cut.h5
"$PYTHON" - <<'EOF'
with open('deflated.h5', 'r+b') as f:
    f.seek(40000)
    f.write(b'\x55' * 64)
EOF
expect "damaged chunk" 2 "'/layer/weight'.*'deflated.h5'" coppice quantile deflated.h5

# Memory: 600 MB in one chunked and one contiguous tensor against a file of one number.
cat >big.py <<'EOF'
import h5py, numpy as np
block = np.random.default_rng(1).normal(size=(1 << 20,)).astype('f4')
with h5py.File('big.h5', 'w') as f:
    a = f.create_dataset('contiguous', (75, 1 << 20), 'f4')
    b = f.create_dataset('chunked', (75, 1 << 20), 'f4', chunks=(1, 1 << 18))
    for i in range(75):
        a[i] = block * (i + 1)
        b[i] = block / (i + 1)
EOF
cat >peak.py <<'EOF'
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
EOF
if [ -n "${SAN:-}" ]; then
	skip "600 MB within 64 MiB" "the sanitizers ($SAN) take memory of their own"
elif [ "$(df --output=avail -k . | tail -n 1)" -gt 2000000 ]; then
	"$PYTHON" big.py
	small=$("$PYTHON" peak.py coppice quantile one.h5 --grid 0.10:0.99:0.01)
	large=$("$PYTHON" peak.py coppice quantile big.h5 --grid 0.10:0.99:0.01)
	grown=$((large - small))
	if [ $grown -le 65536 ]; then ok "600 MB within 64 MiB ($grown KiB more)"; else no "600 MB took $grown KiB more"; fi
	rm -f big.h5
else
	skip "600 MB within 64 MiB" "less than 2 GB of disk left"
fi
