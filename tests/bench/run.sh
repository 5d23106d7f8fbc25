#!/bin/bash
# What holds coppice against other programs, one after the other, with what it ran on. cifar.sh, which trains for some
# ten minutes, runs by itself.
set -euo pipefail
cd "$(dirname "$0")/../.."
build/coppice doctor | sed -n '1,5p'
date -u +%Y-%m-%d
for name in quantile networks sparse pack grid; do
	printf '\n== %s\n' "$name"
	bash "tests/bench/$name.sh"
done
