#!/bin/bash
# Fuzzes each target for FUZZ_SECONDS (600) seconds, one after the other, from its seeds and from what earlier runs found
# (build/fuzz/corpus). A crash ends it: the input is kept in build/fuzz, and becomes a seed when it is mended.
# TARGETS="idx json image" chooses; FUZZ_SECONDS=0 only runs the seeds.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${BUILD:-build}/fuzz
export ASAN_OPTIONS="allocator_may_return_null=1:detect_leaks=1:${ASAN_OPTIONS:-}"
for target in ${TARGETS:-idx json image}; do
	mkdir -p "$out/corpus/$target"
	if [ "${FUZZ_SECONDS:-600}" -eq 0 ]; then
		"$out/fuzz_$target" tests/fuzz/seeds/"$target"/* >"$out/$target.log" 2>&1 || { tail -n 40 "$out/$target.log"; exit 1; }
		echo "$target: all seeds pass"
		continue
	fi
	dictionary=()
	[ -e "tests/fuzz/$target.dict" ] && dictionary=(-dict="tests/fuzz/$target.dict")
	if ! "$out/fuzz_$target" -max_total_time="${FUZZ_SECONDS:-600}" -max_len=4096 -timeout=20 -print_final_stats=1 -close_fd_mask=1 \
		"${dictionary[@]}" -artifact_prefix="$out/$target-" "$out/corpus/$target" "tests/fuzz/seeds/$target" >"$out/$target.log" 2>&1; then
		tail -n 40 "$out/$target.log"
		exit 1
	fi
	grep -E 'cov: ' "$out/$target.log" | tail -n 1
	echo "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$out/$target.log") executions in ${FUZZ_SECONDS:-600} s, no finding"
done
