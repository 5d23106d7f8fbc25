#!/bin/bash
# test: every seed of the fuzzers, those that once crashed among them, passes (make fuzz looks for new ones)
source "$ROOT/tests/lib.sh"
for target in idx json image; do
	expect "$target" 0 '^[1-9][0-9]* inputs$' "$BUILD/tests/fuzz_$target" "$ROOT/tests/fuzz/seeds/$target"/*
done
