#!/bin/bash
# bench: ResNet-20 on CIFAR-10 on a GPU: the grid of Renda, Frankle & Carbin 2020, 5 densities x 6 rewind points, once
# Prints a page in Markdown, for docs/reference-grid.md: test top-1 beside the published one. MINUTES=… stops it by then,
# saved, and prints what is done; begun again it goes on. FOLDER=… (build/reference) has its files, AT_ONCE=… (30) cells
# train side by side, PRECISION=… (fp32), CIFAR=… a folder that is unpacked already. EPOCHS=… to try this
# script: so many epochs, rewound to their beginning alone.
ROOT=${ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
BUILD=${BUILD:-build}
[[ $BUILD = /* ]] || BUILD=$ROOT/$BUILD
source "$ROOT/tests/lib.sh"
coppice=$BUILD/coppice
folder=${FOLDER:-$BUILD/reference}
archive=$SHARED/data/cifar10-jpeg.tar.zst
deadline=$((SECONDS + ${MINUTES:-1000000} * 60))
why=$("$coppice" doctor | sed -n 's/^GPU  *no  *//p')
[ -e "$folder/cifar10.h5" ] || [ -n "${CIFAR:-}" ] || [ -e "$archive" ] || why="no $archive"
if [ -n "$why" ]; then
	skip "the reference grid" "$why" >&2
	exit
fi
mkdir -p "$folder" || exit 1

if [ ! -e "$folder/cifar10.h5" ]; then
	if [ -z "${CIFAR:-}" ]; then
		CIFAR=$folder/cifar10
		mkdir -p "$CIFAR" && tar --zstd -xf "$archive" -C "$CIFAR" || exit 1
	fi
	"$coppice" pack "$CIFAR" "$folder/cifar10.h5" >&2 || exit 1
fi
settings=("data.path=$folder/cifar10.h5" 'sweep.reset=["0ep","12ep","32ep","52ep","92ep","172ep"]' sweep.replicates=1
	sweep.keep_weights=false device.kind=cuda "device.precision=${PRECISION:-fp32}")
if [ -n "${EPOCHS:-}" ]; then
	settings+=("train.epochs=$EPOCHS" 'train.schedule.milestones=["1ep"]' 'sweep.reset=["0ep"]')
fi
run=$folder/run
config=$ROOT/configs/resnet20-cifar10.json
[ -e "$config" ] || config=$ROOT/share/coppice/configs/resnet20-cifar10.json # in a bundle
if [ ! -e "$run" ]; then
	"$coppice" plan "$config" -o "$run" --no-timing "${settings[@]/#/--set=}" >&2 || exit 1
fi

# within COMMAND...: until the deadline, then it is asked to save and end
within() {
	local left=$((deadline - SECONDS))
	[ $left -gt 0 ] || return 124
	timeout --signal=TERM --kill-after=120 $left "$@" >&2
}
within "$coppice" train "$run"
code=$?
cells=$(sed -n 's/^ *"cells": *\([0-9]*\).*/\1/p' <("$coppice" show --json "$run") | head -n 1)
for ((task = 0; code == 0 && task * ${AT_ONCE:-30} < ${cells:-30}; task++)); do
	SLURM_ARRAY_TASK_ID=$task within "$coppice" task "$run" --concurrent --per-task "${AT_ONCE:-30}"
	code=$?
done
case $code in
0) ;;
75 | 124 | 137) code=75 ;; # saved, or killed before it had: begun again it goes on either way
*) exit $code ;;
esac

# figure FILE NAME: a number or a text of a result
figure() { "$coppice" show --json "$1" | sed -nE "s/^[[:space:]]*\"$2\":[[:space:]]*\"?([^\"]*[^\",])\"?,?\$/\1/p" | head -n 1; }
dense=$run/dense/0/result.h5
[ -e "$dense" ] || { echo "the dense run is not done yet: begun again, this goes on" >&2; exit 75; }
echo "# ResNet-20 on CIFAR-10: the reference grid"
echo
echo "$(date -u +%Y-%m-%d), $("$coppice" --version), $(figure "$dense" device). Test top-1 in percent, one run each; behind it the published medians of 3"
echo "(Renda, Frankle & Carbin 2020, from their released results). The dense run: $(figure "$dense" test_top1 |
	awk '{printf "%.2f", 100 * $1}'), published 91.71 +- 0.23; trained in $(figure "$dense" seconds | awk '{printf "%.0f", $1}') s."
[ -z "${EPOCHS:-}" ] || printf '\n**Of %s epochs: to try the script, no results.**\n' "$EPOCHS"
for f in "$run"/cells/*.h5; do
	[ ! -e "$f" ] || echo "$(figure "$f" quantile) $(figure "$f" reset) $(figure "$f" test_top1) $(figure "$f" seconds)"
done | awk '
	BEGIN {
		n = split("0 12 32 52 92 172", at, " ")
		split(".512 .328 .210 .168 .107", density, " ")
		published[1] = "90.69 91.77 91.85 91.64 91.50 91.44"
		published[2] = "90.18 91.38 91.57 91.74 91.29 90.85"
		published[3] = "89.18 91.21 91.16 90.97 90.89 89.33"
		published[4] = "88.71 90.65 90.59 90.66 90.53 88.34"
		published[5] = "87.06 89.01 89.15 89.26 88.71 84.81"
	}
	{ top1[sprintf("%.3f %s", 1 - $1, $2)] = sprintf("%.2f", 100 * $3); done++; if ($4 > longest) longest = $4 }
	END {
		printf "\n| density |"
		for (k = 1; k <= n; k++) printf " epoch %s |", at[k]
		printf "\n|---|"
		for (k = 1; k <= n; k++) printf "---|"
		for (i = 1; i <= 5; i++) {
			split(published[i], other, " ")
			printf "\n| %s |", density[i]
			for (k = 1; k <= n; k++) {
				mine = top1["0" density[i] " " at[k] "ep"]
				printf " %s (%s) |", mine == "" ? "-" : mine, other[k]
			}
		}
		printf "\n\n%d of 30 cells are done; the longest took %.0f s.\n", done, longest
	}'
[ $code = 0 ] || echo "stopped for want of time: begun again, this goes on" >&2
exit $code
