#!/bin/bash
# test: every build of the kernels gives what the float64 reference gives, and the program says which one ran
source "$ROOT/tests/lib.sh"
heavy "the kernels for other processors" && exit

for set in avx2 plain; do
	check "layers with the kernels '$set' against float64" env COPPICE_KERNELS=$set "$BUILD/tests/test_engine"
	wanted=$set
	[ "$set" = avx2 ] && ! grep -q '\bavx2\b' /proc/cpuinfo && wanted=plain
	check "doctor names the kernels '$wanted'" grep -Eq "^kernels +yes +$wanted," \
		<(COPPICE_KERNELS=$set coppice doctor 2>/dev/null)
done
check "an unknown name changes nothing" cmp <(coppice doctor 2>/dev/null | grep kernels) \
	<(COPPICE_KERNELS=nonsense coppice doctor 2>/dev/null | grep kernels)
