#!/bin/bash
# bench: CIFAR-10 from its JPEGs to a trained ResNet-20, configs/resnet20-rewind.json without its cells
# Goal: a test top-1 of 0.86 at least; exits 1 below. Some ten minutes on two cores. THREADS=… less than all; CIFAR=… a
# folder that is unpacked already; EPOCHS=… GOAL=… to try this script.
ROOT=${ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
BUILD=${BUILD:-$ROOT/build}
source "$ROOT/tests/lib.sh"
archive=$SHARED/data/cifar10-jpeg.tar.zst
goal=${GOAL:-0.86}
if [ -z "${CIFAR:-}" ] && [ ! -e "$archive" ]; then
	skip "ResNet-20 on CIFAR-10" "no $archive"
	exit
fi
for v in OPENBLAS_CORETYPE OPENBLAS_L2_SIZE; do
	[ -n "${!v:-}" ] && echo "$v=${!v} is left out: OpenBLAS chooses" && unset $v
done
scratch=$(mktemp -d "${TMPDIR:-/tmp}/coppice-bench.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
threads=()
[ -n "${THREADS:-}" ] && threads=(--threads "$THREADS")
settings=(--set "data.path=$scratch/cifar10.h5")
if [ -n "${EPOCHS:-}" ]; then
	settings+=(--set "train.epochs=$EPOCHS" --set train.schedule.warmup=0ep --set 'sweep.reset=["0ep"]')
fi

if [ -z "${CIFAR:-}" ]; then
	CIFAR=$scratch/cifar10
	mkdir "$CIFAR" && tar --zstd -xf "$archive" -C "$CIFAR" || exit 1
fi
"$BUILD/coppice" doctor | sed -n '1,5p'
date -u +%Y-%m-%d
started=$(date +%s.%N)
"$BUILD/coppice" pack "${threads[@]}" "$CIFAR" "$scratch/cifar10.h5" | sed -n 1p || exit 1
echo "packed in $(awk "BEGIN {printf \"%.1f\", $(date +%s.%N) - $started}") s"
"$BUILD/coppice" plan "$ROOT/configs/resnet20-rewind.json" -o "$scratch/run" "${settings[@]}" || exit 1
started=$(date +%s.%N)
"$BUILD/coppice" train "${threads[@]}" "$scratch/run" || exit 1
seconds=$(awk "BEGIN {printf \"%.0f\", $(date +%s.%N) - $started}")

"$BUILD/coppice" show "$scratch/run/dense/0/result.h5" --json >"$scratch/result.json" || exit 1
figure() { sed -nE "s/^[[:space:]]*\"$1\":[[:space:]]*([0-9.e+-]+).*/\1/p" "$scratch/result.json"; }
top1=$(figure test_top1)
printf 'ResNet-20 on CIFAR-10: test top-1 %s, top-5 %s, loss %.4f; %s s in all, %.0f images/s, %.1f%% waiting for data\n' \
	"$top1" "$(figure test_top5)" "$(figure test_loss)" "$seconds" "$(figure images_per_second)" \
	"$(awk "BEGIN {print 100 * \"$(figure data_wait)\"}")"
awk "BEGIN {exit !(${top1:-0} >= $goal)}" && ok "test top-1 is $goal at least" && exit
no "test top-1 is $goal at least"
exit 1
