#!/bin/bash
# All benchmarks that hold coppice against another program, one after the other, with what they ran on.
set -euo pipefail
cd "$(dirname "$0")/../.."
build/coppice doctor | sed -n '1,5p'
date -u +%Y-%m-%d
for script in tests/bench/*.sh; do
	[ "$script" = tests/bench/run.sh ] && continue
	printf '\n== %s\n' "$(basename "$script" .sh)"
	bash "$script"
done
