#!/bin/bash
# LeNet-300-100 training, batch 60, SGD with momentum, two threads: coppice and PyTorch in turn, five rounds, the ratio
# of the medians. PyTorch runs with its memory allocator tuned, which is worth up to a factor of two to it.
set -euo pipefail
cd "$(dirname "$0")/../.."
peer=${COPPICE_SHARED:-../shared}/peers/bench_torch.py
python=/usr/bin/python3
[ -x "$python" ] || python=python3
export OMP_NUM_THREADS=2
# a kernel forced on OpenBLAS would slow both programs, and not alike
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
ours=() theirs=()
if [ ! -e "$peer" ] || ! "$python" -c 'import torch' 2>/dev/null; then
	echo "lenet: no PyTorch or no $peer here: coppice alone"
	build/coppice bench lenet --threads 2
	exit 0
fi
field() { "$python" -c 'import json, sys; print(eval(sys.argv[1], {"j": json.load(sys.stdin)}))' "$1"; }
median() { printf '%s\n' "$@" | sort -g | sed -n "$((($# + 1) / 2))p"; }
for _ in 1 2 3 4 5; do
	ours+=("$(build/coppice bench lenet --threads 2 --json | field 'j["benchmarks"][0]["rate"]')")
	theirs+=("$(MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=268435456 \
		"$python" "$peer" --model lenet | field 'j["images_per_second"]')")
done
a=$(median "${ours[@]}") b=$(median "${theirs[@]}")
echo "lenet-300-100, batch 60, 2 threads: coppice $a images/s, PyTorch $b images/s (medians of 5 in turn)"
echo "ratio $(awk "BEGIN {printf \"%.2f\", $a / $b}") (goal 1.5)"
