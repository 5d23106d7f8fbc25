#!/bin/bash
# Runs the tests: run.sh [unit] [cli] [fault] [slurm] [extra]; without arguments all of them. run.sh gpu: those that
# want a GPU. A unit test is a program, the others are scripts; each prints TAP ("ok NAME", "not ok NAME", "ok NAME #
# SKIP why"). Scripts run in an empty folder of their own with the built program first in PATH; where SAN names
# sanitizers, the heavy ones skip. JOBS of them run at once (as many as there are processors, 4 at most); what each says
# is shown whole, in their order; a script with a line '# alone: WHY' has nothing beside it. TEST_LIMIT is how many
# seconds one may take (1200). The last line is 'N passed, N failed, N skipped'; exits 1 on failure.
set -uo pipefail
cd "$(dirname "$0")/.."
root=$PWD
build=$root/${BUILD:-build}
groups=("$@")
[ $# -gt 0 ] || groups=(unit cli fault slurm extra)
cores=$(nproc)
jobs=${JOBS:-$((cores < 4 ? cores : 4))}
passed=0 failed=0 skipped=0
# of each suite, in the order in which they began; pids of those that run
names=() pids=() began=() took=() ended=() shown=0
scratch=$(mktemp -d "${TMPDIR:-/tmp}/coppice-check.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'end_all; exit 130' INT TERM HUP

end_all() { # ends what runs: each `timeout` passes it on to all of its suite
	[ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null
	wait
}

ending() { # ending STATUS: in words
	case $1 in
	124) echo "exceeded its time limit" ;;
	12[89] | 1[3-9]? | 2*) echo "was ended by signal $(kill -l "$1" 2>/dev/null || echo $(($1 - 128)))" ;;
	*) echo "ended with exit code $1" ;;
	esac
}

tally() { # tally NAME FILE STATUS: what a test printed, and its exit code
	local name=$1 file=$2 status=$3 ok no skip
	skip=$(grep -cE '^ok .*# *(SKIP|skip)' "$file")
	ok=$(($(grep -cE '^ok ' "$file") - skip))
	# cmocka calls a skipped test "not ok": the test itself has said "ok NAME # SKIP WHY" before
	no=$(grep -E '^not ok ' "$file" | grep -cvE '# SKIP')
	if [ "$status" -ne 0 ] && [ "$no" -eq 0 ] || [ $((ok + no + skip)) -eq 0 ]; then
		no=$((no + 1))
		echo "not ok $name $(ending "$status")"
		tail -n 30 "$file" | sed 's/^/    /'
	elif [ "$no" -gt 0 ]; then
		grep -vE '^ok ' "$file" | tail -n 80 | sed "s/^/    /"
	fi
	grep -E '^ok .*# *(SKIP|skip)' "$file" | sed "s/^ok /  skipped: $name: /"
	passed=$((passed + ok)) failed=$((failed + no)) skipped=$((skipped + skip))
}

show() { # those that have ended, but none before its turn
	local name
	while [ -n "${ended[shown]-}" ]; do
		name=${names[shown]}
		echo "$name (${took[shown]} s)"
		tally "$name" "$scratch/$name.out" "${ended[shown]}"
		rm -rf "${scratch:?}/$name" "$scratch/$name.out"
		shown=$((shown + 1))
	done
}

gather() { # takes note of those that have ended; fails where none has
	local i before=${#pids[@]}
	for i in "${!pids[@]}"; do
		kill -0 "${pids[i]}" && continue
		wait "${pids[i]}"
		ended[i]=$? took[i]=$((SECONDS - began[i]))
		unset "pids[i]"
	done
	[ ${#pids[@]} -lt $before ]
} 2>/dev/null

until_left() { # until_left N: waits until N run at most
	while [ ${#pids[@]} -gt "$1" ]; do
		gather || wait -n 2>/dev/null
		show
	done
}

# says how its command ended where that was by a signal; waits for it where `timeout` ends both
shell='trap : TERM; "$@"; exit $?'

run_one() { # run_one NAME COMMAND...: in the background, when there is room
	local name=$1 setting=()
	shift
	until_left $((jobs - 1))
	# threads that spin while they wait take the time of the suite beside them
	[ "$jobs" -eq 1 ] || setting=(OMP_WAIT_POLICY=passive)
	mkdir -p "$scratch/$name"
	set -m # without it what runs in the background ignores SIGINT
	(cd "$scratch/$name" && exec env "${setting[@]}" PATH="$build:$PATH" ROOT="$root" BUILD="$build" \
		CMOCKA_MESSAGE_OUTPUT=TAP ASAN_OPTIONS="allocator_may_return_null=1:${ASAN_OPTIONS:-}" \
		timeout --kill-after=10 "${TEST_LIMIT:-1200}" sh -c "$shell" sh "$@") \
		</dev/null >"$scratch/$name.out" 2>&1 &
	set +m
	pids[${#names[@]}]=$! began[${#names[@]}]=$SECONDS
	names+=("$name")
}

run_alone() { # run_alone NAME COMMAND...: with nothing beside it
	until_left 0
	run_one "$@"
	until_left 0
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
		# it runs several at once itself
		TEST_LIMIT=3600 run_alone sanitize bash -c 'make -s -C "$ROOT" sanitize && echo "ok sanitize" || echo "not ok sanitize"'
		;;
	gpu)
		until_left 0
		jobs=1 # each wants the GPU to itself
		why=$("$build/coppice" doctor | sed -n 's/^GPU  *no  *//p')
		if [ -n "$why" ] || [ ! -d "$build/gpu" ]; then
			run_one gpu echo "ok what wants a GPU # SKIP ${why:-built without CUDA}"
			continue
		fi
		modules=$build
		[ -e "$modules/coppice-cuda.so" ] || modules=$root/lib/coppice # in a bundle
		for program in "$build"/gpu/test_*; do
			run_one "gpu-${program##*/test_}" "$program"
		done
		for name in feed networks training; do
			run_one "gpu-$name" env COPPICE_MODULES="$modules" "$build/tests/gpu_test_$name"
		done
		run_one gpu-steps bash "$root/tests/gpu/steps.sh"
		run_one gpu-cells env GPU=1 bash "$root/tests/cli/cuda.sh"
		TEST_LIMIT=3600 run_one gpu-sanitizer bash "$root/tests/gpu/sanitizer.sh"
		;;
	*)
		for script in tests/"$group"/*.sh; do
			name=$(basename "$script" .sh)
			[ -e "$script" ] && [ "$(head -c 2 "$script")" = '#!' ] && grep -q '^# test:' "$script" || continue
			how=run_one
			! grep -q '^# alone: ' "$script" || how=run_alone
			$how "$group-$name" bash "$root/$script"
		done
		;;
	esac
done
until_left 0
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
