#!/bin/bash
# test: the tests of the kernels under NVIDIA's compute-sanitizer: addresses, and races within a block
source "$ROOT/tests/lib.sh"
for p in compute-sanitizer /usr/local/cuda/bin/compute-sanitizer; do
	sanitizer=$(command -v $p) && break
done
if [ -z "$sanitizer" ]; then
	skip "compute-sanitizer" "it is not installed"
	exit
fi
for t in "$BUILD"/gpu/test_*; do
	name=${t##*/test_}
	check "$name: memcheck" "$sanitizer" --tool memcheck --report-api-errors no --error-exitcode 9 "$t"
	# what cuDNN's and cuBLASLt's kernels do within a block is theirs
	[ $name = products ] || check "$name: racecheck" "$sanitizer" --tool racecheck --error-exitcode 9 "$t"
done
