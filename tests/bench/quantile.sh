#!/bin/bash
# bench: nine exact quantiles of 10^8 float32 in memory beside numpy.quantile, in turn; then a 2 GB file with its peak of memory
# Goals: at least 10 times faster, at most 0.15 s on two cores; at most 64 MiB more than for a file of one number.
# N=… TURNS=… change the size and the number of turns; FILE_MB=… the size of the file.
ROOT=${ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
BUILD=${BUILD:-$ROOT/build}
source "$ROOT/tests/lib.sh"
if ! has_python; then
	skip "quantiles beside numpy" "no python3 with h5py and numpy"
	exit 0
fi
scratch=$(mktemp -d "${TMPDIR:-/tmp}/coppice-bench.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

libs=$(sed -n 's/^DEP_LIBS = //p' "$BUILD/config.mk")
# shellcheck disable=SC2086
gcc -std=c11 -D_GNU_SOURCE -O3 -fopenmp -I"$ROOT/lib" -o "$scratch/memory" "$ROOT/tests/bench/quantile_memory.c" \
	"$BUILD/libcoppice.a" $libs || { no "building the program"; exit 1; }

N=${N:-100000000} TURNS=${TURNS:-5} "$PYTHON" - "$scratch" <<'EOF'
import numpy as np, os, statistics, subprocess, sys, time
scratch, n, turns = sys.argv[1], int(os.environ['N']), int(os.environ['TURNS'])
q = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
x = np.random.default_rng(1).standard_normal(n, dtype='f4')
x.tofile(scratch + '/raw')
magnitude = np.abs(x)
del x
ratios, ours, theirs = [], [], []
for turn in range(turns):
    start = time.perf_counter()
    want = np.quantile(magnitude, q)
    theirs.append(time.perf_counter() - start)
    out = subprocess.run([scratch + '/memory', scratch + '/raw', '3'] + [repr(v) for v in q], check=True,
                         capture_output=True, text=True).stdout.split()
    ours.append(float(out[0]))
    ratios.append(theirs[-1] / ours[-1])
got = np.array([float(v) for v in out[1:]])
right = bool((np.abs(got - want) <= np.spacing(want.astype('f4'))).all())
fast, short = statistics.median(ratios) >= 10, statistics.median(ours) <= 0.15
print(f'{n} float32 in memory: coppice {statistics.median(ours):.3f} s, numpy {statistics.median(theirs):.3f} s, '
      f'ratio {statistics.median(ratios):.1f} (goal 10), floor of two readings {8 * n / 50e9:.3f} s at 50 GB/s')
print(('ok' if right else 'not ok') + ' the quantiles are numpy\'s')
print(('ok' if fast else 'not ok') + ' at least 10 times faster than numpy')
print(('ok' if short or n > 100000000 else 'not ok') + ' at most 0.15 s')
EOF
rm -f "$scratch/raw"

FILE_MB=${FILE_MB:-2048} "$PYTHON" - "$scratch" "$BUILD/coppice" <<'EOF'
import h5py, numpy as np, os, resource, subprocess, sys, time
scratch, coppice, megabytes = sys.argv[1], sys.argv[2], int(os.environ['FILE_MB'])
block = np.random.default_rng(2).standard_normal(1 << 20, dtype='f4')
with h5py.File(scratch + '/one.h5', 'w') as f:
    f['w'] = np.ones((1, 1), 'f4')
with h5py.File(scratch + '/big.h5', 'w') as f:
    rows = megabytes // 8
    a = f.create_dataset('contiguous', (rows, 1 << 20), 'f4')
    b = f.create_dataset('chunked', (rows, 1 << 20), 'f4', chunks=(1, 1 << 18))
    for i in range(rows):
        a[i] = block * (i + 1)
        b[i] = block / (i + 1)
def peak(name):
    code = ('import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, '
            'stderr=subprocess.DEVNULL); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)')
    start = time.perf_counter()
    out = subprocess.run([sys.executable, '-c', code, coppice, 'quantile', scratch + '/' + name, '--grid',
                          '0.1:0.9:0.1'], check=True, capture_output=True, text=True).stdout
    return int(out), time.perf_counter() - start
small, _ = peak('one.h5')
large, seconds = peak('big.h5')
grown = (large - small) / 1024
print(f'{megabytes} MB file: {seconds:.2f} s ({2 * megabytes / 1024 / seconds:.1f} GB/s over two readings), '
      f'{grown:.1f} MiB more than a file of one number (goal 64)')
print(('ok' if grown <= 64 else 'not ok') + ' the file within 64 MiB')
EOF
