#!/bin/bash
# The house's rules, checked: floors, foreign headers, format, headers that stand alone, no printing in the library.
# Prints one line a finding; exits 1 on any.
set -euo pipefail
cd "$(dirname "$0")/.."
bad=0
complain() { echo "lint: $*"; bad=1; }

# A folder may include itself and those below it. data and sched are neighbours that may not meet.
declare -A may=(
	[base]="base"
	[store]="base store"
	[data]="base store data"
	[sched]="base sched"
	[compute]="base store compute"
	[nn]="base store data compute nn"
	[prune]="base store data compute nn prune"
	[sweep]="base store data sched compute nn prune sweep"
	[report]="base store data sched compute nn prune sweep report"
)
while IFS=: read -r file line text; do
	floor=${file#lib/}
	floor=${floor%%/*}
	target=$(sed 's/.*"\([a-z]*\)\/.*/\1/' <<<"$text")
	[[ " ${may[$floor]} " == *" $target "* ]] || complain "$file:$line: $floor/ may not include $target/"
done < <(grep -nH '^#include "[a-z]*/' lib/*/*.[ch])

# A foreign header is included in exactly one folder.
foreign() { # foreign PATTERN FOLDER...
	local pattern=$1 found
	shift
	found=$(grep -nE "^#include <($pattern)" -r lib bin kernels $([ -d cuda ] && echo cuda) || true)
	for ok in "$@"; do
		found=$(grep -v "^$ok" <<<"$found" || true)
	done
	[ -z "$found" ] || complain "foreign header outside its folder: $found"
}
foreign 'hdf5|H5' lib/store/
foreign 'cblas|openblas' lib/compute/
foreign 'jpeglib|png\.h|zlib|jerror' lib/data/
foreign 'slurm' lib/sched/slurm_module.c
foreign 'cuda|cudnn|cublas|nccl' kernels/ cuda/

# No printing and no exit in the library (mem.c and err.c say why they end the program).
out=$(grep -nE '(^|[^a-z_])(printf|fputs|puts|exit|abort)\(|fprintf\(std' lib/*/*.c | grep -vE '^lib/base/(mem|err)\.c' || true)
[ -z "$out" ] || complain "the library prints or exits: $out"
out=$(grep -nE '(^|[^a-z_])(atoi|atof|strcpy|strcat|sprintf|gets)\(' lib/*/*.c bin/*.c || true)
[ -z "$out" ] || complain "unchecked function: $out"

if command -v clang-format >/dev/null; then
	mapfile -t sources < <(git ls-files '*.c' '*.h' '*.cu' '*.cpp')
	clang-format --dry-run -Werror "${sources[@]}" >/dev/null 2>&1 ||
		for f in "${sources[@]}"; do
			clang-format --dry-run -Werror "$f" >/dev/null 2>&1 || complain "$f: not in the house's format (make format)"
		done
else
	echo "lint: no clang-format here: the format was not checked"
fi

for h in $(git ls-files 'lib/*.h' 'bin/*.h'); do
	# shellcheck disable=SC2086
	gcc -std=c11 -D_GNU_SOURCE -Ilib -Ibin ${DEP_CFLAGS:-} -fsyntax-only -x c "$h" 2>/dev/null || complain "$h: does not stand alone"
done

exit $bad
