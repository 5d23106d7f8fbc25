#!/bin/bash
# bench: the 63 JPEGs of ImageNet, 24 times over, to 64x64: coppice pack on two threads beside Pillow with draft decoding on two processes, in turn
# Goal: at least 1.3 times Pillow's images a second (medians of 5). Coppice's time is that of the whole command.
ROOT=${ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
BUILD=${BUILD:-$ROOT/build}
source "$ROOT/tests/lib.sh"
sample=$SHARED/data/imagenet-sample
if [ ! -d "$sample" ]; then
	skip "packing beside Pillow" "no $sample"
	exit 0
fi
python=$(for p in /usr/bin/python3 "$PYTHON"; do "$p" -c 'import PIL, h5py, numpy' 2>/dev/null && echo "$p" && break; done)
if [ -z "$python" ]; then
	skip "packing beside Pillow" "no python3 with Pillow, h5py and numpy"
	exit 0
fi
scratch=$(mktemp -d "${TMPDIR:-/tmp}/coppice-bench.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
# a class for each of the first four digits of the WordNet number; one copy is the test split
sample=$(cd "$sample" && pwd)
for file in "$sample"/*.JPEG; do
	name=$(basename "$file" .JPEG)
	class=${name:0:5}
	mkdir -p "$scratch/tree/train/$class" "$scratch/tree/val/$class"
	for copy in $(seq "${COPIES:-24}"); do ln -s "$file" "$scratch/tree/train/$class/${name}_$copy.JPEG"; done
	ln -s "$file" "$scratch/tree/val/$class/$name.JPEG"
done
median() { printf '%s\n' "$@" | sort -g | sed -n "$((($# + 1) / 2))p"; }
ours=() theirs=() our_time=() their_time=()
TIMEFORMAT='%R %U %S'
for _ in 1 2 3 4 5; do
	read -r n seconds spent <<<"$("$python" "$ROOT/tests/bench/pack_pillow.py" "$scratch/tree" 64 2 "$scratch/pillow.h5")"
	theirs+=("$(awk "BEGIN {print $n / $seconds}")")
	their_time+=("$(awk "BEGIN {print 1000 * $spent / $n}")")
	{ time "$BUILD/coppice" pack --force --size 64 --threads 2 "$scratch/tree" "$scratch/coppice.h5" >/dev/null; } 2>"$scratch/time"
	read -r seconds user system <"$scratch/time"
	ours+=("$(awk "BEGIN {print $n / $seconds}")")
	our_time+=("$(awk "BEGIN {print 1000 * ($user + $system) / $n}")")
done
a=$(median "${ours[@]}") b=$(median "${theirs[@]}")
ratio=$(awk "BEGIN {printf \"%.2f\", $a / $b}")
printf '%d JPEGs to 64x64, two threads: coppice %.0f images/s, Pillow %s %.0f images/s (medians of 5 in turn), ratio %s (goal 1.3)\n' \
	"$n" "$a" "$("$python" -c 'import PIL; print(PIL.__version__)')" "$b" "$ratio"
printf 'processor time an image: coppice %.2f ms, Pillow %.2f ms (this ratio holds on a busy machine, too)\n' \
	"$(median "${our_time[@]}")" "$(median "${their_time[@]}")"
if awk "BEGIN {exit !($ratio >= 1.3)}"; then ok "at least 1.3 times Pillow"; else no "at least 1.3 times Pillow"; fi
