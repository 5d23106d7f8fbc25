#!/bin/bash
# Runs the tests: run.sh [unit] [cli] [fault] [slurm] [extra]; without arguments all of them. run.sh gpu: those that
# want a GPU. A unit test is a program, the others are scripts; each prints TAP ("ok NAME", "not ok NAME", "ok NAME #
# SKIP why"). Scripts run in an empty folder of their own with the built program first in PATH; where SAN names
# sanitizers, the heavy ones skip. The last line is 'N passed, N failed, N skipped'; exits 1 on failure.
set -uo pipefail
cd "$(dirname "$0")/.."
root=$PWD
build=$root/${BUILD:-build}
groups=("$@")
[ $# -gt 0 ] || groups=(unit cli fault slurm extra)
passed=0 failed=0 skipped=0
scratch=$(mktemp -d "${TMPDIR:-/tmp}/coppice-check.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

tally() { # tally NAME FILE STATUS: what a test printed, and its exit code
	local name=$1 file=$2 status=$3 ok no skip
	skip=$(grep -cE '^ok .*# *(SKIP|skip)' "$file")
	ok=$(($(grep -cE '^ok ' "$file") - skip))
	# cmocka calls a skipped test "not ok": the test itself has said "ok NAME # SKIP WHY" before
	no=$(grep -E '^not ok ' "$file" | grep -cvE '# SKIP')
	if [ "$status" -ne 0 ] && [ "$no" -eq 0 ] || [ $((ok + no + skip)) -eq 0 ]; then
		no=$((no + 1))
		echo "not ok $name ended with exit code $status"
		tail -n 30 "$file" | sed 's/^/    /'
	elif [ "$no" -gt 0 ]; then
		grep -vE '^ok ' "$file" | tail -n 80 | sed "s/^/    /"
	fi
	grep -E '^ok .*# *(SKIP|skip)' "$file" | sed "s/^ok /  skipped: $name: /"
	passed=$((passed + ok)) failed=$((failed + no)) skipped=$((skipped + skip))
}

run_one() { # run_one NAME COMMAND...
	local name=$1 started=$SECONDS status
	shift
	mkdir -p "$scratch/$name"
	(cd "$scratch/$name" && env PATH="$build:$PATH" ROOT="$root" BUILD="$build" CMOCKA_MESSAGE_OUTPUT=TAP \
		ASAN_OPTIONS="allocator_may_return_null=1:${ASAN_OPTIONS:-}" \
		timeout --kill-after=10 "${TEST_LIMIT:-1200}" "$@" </dev/null >"$scratch/$name.out" 2>&1)
	status=$?
	echo "$name ($((SECONDS - started)) s)"
	tally "$name" "$scratch/$name.out" $status
	rm -rf "${scratch:?}/$name"
}

for group in "${groups[@]}"; do
	case $group in
	unit)
		for src in tests/unit/test_*.c; do
			name=$(basename "$src" .c)
			run_one "unit-$name" "$build/tests/$name"
		done
		for src in tests/gpu/test_*.c; do
			name=$(basename "$src" .c)
			run_one "kernels-${name#test_}" "$build/tests/gpu_$name"
		done
		if [ -x "$build/tests/cuda_plans" ]; then
			run_one cuda-plans "$build/tests/cuda_plans"
		else
			run_one cuda-plans echo "ok plans # SKIP built without CUDA or cuDNN, or with sanitizers"
		fi
		;;
	extra)
		run_one lint bash -c 'make -s -C "$ROOT" lint && echo "ok lint" || echo "not ok lint"'
		TEST_LIMIT=3600 run_one sanitize bash -c 'make -s -C "$ROOT" sanitize && echo "ok sanitize" || echo "not ok sanitize"'
		;;
	gpu)
		why=$("$build/coppice" doctor | sed -n 's/^GPU  *no  *//p')
		if [ -n "$why" ] || [ ! -d "$build/gpu" ]; then
			run_one gpu echo "ok what wants a GPU # SKIP ${why:-built without CUDA}"
			continue
		fi
		for program in "$build"/gpu/test_*; do
			run_one "gpu-${program##*/test_}" "$program"
		done
		for name in feed networks training; do
			program=$build/tests/gpu_test_$name # not in a bundle
			[ ! -x "$program" ] || run_one "gpu-$name" env COPPICE_MODULES="$build" "$program"
		done
		run_one gpu-steps bash "$root/tests/gpu/steps.sh"
		run_one gpu-cells env GPU=1 bash "$root/tests/cli/cuda.sh"
		TEST_LIMIT=3600 run_one gpu-sanitizer bash "$root/tests/gpu/sanitizer.sh"
		;;
	*)
		for script in tests/"$group"/*.sh; do
			name=$(basename "$script" .sh)
			[ -e "$script" ] && [ "$(head -c 2 "$script")" = '#!' ] && grep -q '^# test:' "$script" || continue
			run_one "$group-$name" bash "$root/$script"
		done
		;;
	esac
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
