# shellcheck shell=bash
# For the tests that make one library call fail, in turn. Source it after tests/lib.sh; shim.c has the kinds of calls.
#
#   begin RUN                      what every try starts from: a copy of this folder, which may be missing, as ./run
#   reference COMMAND              runs the command undisturbed, for what all results are compared with
#   faults KIND[=MOST] ... -- COMMAND   makes the command's calls of these kinds fail, in turn
#
# Of each try is asked: an exit code other than 0 with a message, or, where the call did not matter, 0 and the right
# result; no signal; under final names nothing but whole files; and the same command again, undisturbed, ends as if
# nothing had been. Of more than MOST calls (16) a sample is taken, in which no way to a call comes twice before all
# have come; COPPICE_FAULT_SEED makes it another one, COPPICE_FAULT_ALL takes all.
seed=${COPPICE_FAULT_SEED:-1}
all=${COPPICE_FAULT_ALL:-}
unset "${!COPPICE_FAULT_@}" "${!SLURM_@}" COPPICE_TASK
shim=$BUILD/tests/fault_shim.so
here=$PWD
# in memory, where syncing costs nothing
work=$(mktemp -d /dev/shm/coppice-fault.XXXXXX 2>/dev/null || mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
workers=2
export OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1

cat >e.json <<'JSON'
{"name": "e", "model": {"hidden": [8]},
 "data": {"path": "glyphs", "validation": 10, "glyphs": {"train": 50, "test": 20, "seed": 3}},
 "train": {"epochs": 2, "batch": 10, "optimizer": {"lr": 0.05}},
 "sweep": {"quantiles": [0.5, 0.9], "reset": ["0ep", "1ep"]}, "device": {"threads": 1}}
JSON

begin() {
	from=$here/$1
	rm -rf "${work:?}"/*
}

# fresh FOLDER: the beginning once more, in FOLDER/run
fresh() {
	if [ -d "$1" ]; then
		rm -rf "${1:?}/run"
	else
		mkdir "$1"
		ln -s "$here"/*.json "$1/"
	fi
	[ ! -e "$from" ] || cp -a "$from" "$1/run"
	: >"$1/stamp"
	: >"$1/log"
}

# What is kept for good, and so must be whole: not the states of work and who submits, nor what is only locked, or lists
# what was sent.
files() { # files FOLDER [FIND'S CONDITION...]
	(cd "$1/run" 2>/dev/null &&
		find . -type f ! -path './state/*' ! -name '.*' ! -path './logs/*' ! -path ./jobs/lock \
			! -path './jobs/*.list' ! -path ./jobs/submitter.json "${@:2}" | sort)
}

reference() {
	fresh "$work/reference"
	(cd "$work/reference" && "$@" >out 2>err </dev/null) || {
		no "undisturbed: $*"
		sed 's/^/#   /' "$work/reference/err"
	}
	list=$(files "$work/reference")
}

# figures CSV: without what tells of time and place
figures() {
	awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) keep[i] = $i ~ /^(index|quantile|reset|nnz|t.*_top1|test_loss)$/ }
		{ for (i = 1; i <= NF; i++) if (keep[i]) printf "%s,", $i; print "" }' "$1"
}

# page FOLDER: its report without the time at which it was made
page() {
	sed -E 's/[0-9]+:[0-9]+ UTC//' "$1/run/report.html"
}

# agrees FILE A B: the same contents, but for times and the folder's name
agrees() {
	cmp -s "$2/run/$1" "$3/run/$1" && return
	case $1 in
	*.h5) same_tensors "$2/run/$1" "$3/run/$1" >/dev/null 2>&1 ;;
	*.json | *.sbatch) cmp -s <(sed "s|$2/|/|g" "$2/run/$1") <(sed "s|$3/|/|g" "$3/run/$1") ;;
	*.html) cmp -s <(page "$2") <(page "$3") ;;
	*.csv) cmp -s <(figures "$2/run/$1") <(figures "$3/run/$1") ;;
	*) false ;;
	esac
}

# sound FOLDER: what is new under a final name is what it would have been undisturbed
sound() {
	local f
	for f in $(files "$1" -newer ../stamp); do
		agrees "$f" "$1" "$work/reference" || {
			echo "$f is not what it should be"
			return 1
		}
	done
}

# complete FOLDER [crash]: all is there, as it would have been undisturbed, and nothing beside it
complete() {
	local there left
	there=$(files "$1")
	[ "$there" = "$list" ] || {
		echo "other files are there:" $(diff <(echo "$list") <(echo "$there"))
		return 1
	}
	sound "$1" || return 1
	# who crashes cannot clean up; 'collect' does
	left=$(find "$1/run" -name '*.damaged' -o -name '*.tmp' -o -name submitter.json)
	[ "${2:-}" != crash ] || left=
	[ -z "$left" ] || {
		echo "left behind: $left"
		return 1
	}
}

# attempt FOLDER KIND N COMMAND...: one call fails. Prints "error", "nothing" or "crash", or "BAD" and why.
attempt() {
	local w=$1 kind=$2 n=$3 code why how
	shift 3
	fresh "$w"
	(cd "$w" && timeout 20 env COPPICE_FAULT_KIND="$kind" COPPICE_FAULT_CALL="$n" COPPICE_FAULT_LOG=log \
		LD_PRELOAD="$shim" "$@" >out 2>err </dev/null) 2>/dev/null
	code=$?
	if [ $code -eq 0 ]; then
		how=nothing
		why=$(complete "$w") || {
			echo "BAD exit code 0, but $why"
			return
		}
	elif [ $code -lt 124 ]; then
		how=error
		grep -qE '^(coppice: |libgomp: )..' "$w/err" || {
			echo "BAD exit code $code without a message that says what failed: $(tail -n 1 "$w/err")"
			return
		}
	elif [ "$kind" = hdf5-alloc ]; then
		how=crash # the library's own: it must leave nothing wrong behind
	else
		echo "BAD exit code $code"
		return
	fi
	# 4: what is there was collected, and what is missing was named
	[ $code -eq 4 ] || why=$(sound "$w") || {
		echo "BAD $how, and $why"
		return
	}
	(cd "$w" && "$@" >out 2>err.again </dev/null)
	code=$?
	if [ $code -ne 0 ] && ! grep -qE "${done_already:-^$}" "$w/err.again"; then
		echo "BAD $how: the next time exit code $code: $(tail -n 1 "$w/err.again")"
	elif ! why=$(complete "$w" $how); then
		echo "BAD $how: after the next time $why"
	else
		echo "$how"
	fi
}

# chosen COUNT-FILE MOST: the calls to try
chosen() {
	if [ -n "$all" ]; then
		cut -d' ' -f1 "$1"
	else
		shuf --random-source=<(yes "$seed") "$1" | awk '{ print seen[$2]++, $1 }' | sort -sn -k1,1 |
			head -n "$2" | cut -d' ' -f2 | sort -n
	fi
}

# tries K KIND COMMAND...: every `workers`-th call of the list, from the Kth
tries() {
	local k=$1 n how place
	shift
	awk -v k="$k" -v of=$workers 'NR % of == k' "$work/list" | while read -r n; do
		how=$(attempt "$work/$k" "$1" "$n" "${@:2}")
		read -r _ _ place <"$work/$k/log"
		echo "$n $how | $place"
	done >"$work/said.$k"
}

# faults_of KIND MOST COMMAND...
faults_of() {
	local kind=$1 most=$2 k sum
	shift 2
	fresh "$work/count"
	rm -f "$work/calls" "$work"/said*
	(cd "$work/count" && env COPPICE_FAULT_KIND="$kind" COPPICE_FAULT_COUNT="$work/calls" LD_PRELOAD="$shim" \
		"$@" >out 2>err </dev/null)
	chosen "$work/calls" "$most" >"$work/list"
	for ((k = 0; k < workers; k++)); do
		tries $k "$kind" "$@" &
	done
	wait
	sort -n "$work"/said.* >"$work/said"
	sum="$(wc -l <"$work/list") of $(wc -l <"$work/calls") calls: $(grep -c ' error' "$work/said") errors"
	sum="$sum, $(grep -c ' nothing' "$work/said") did not matter"
	[ "$kind" != hdf5-alloc ] || sum="$sum, $(grep -c ' crash' "$work/said") crashes of HDF5"
	if [ ! -s "$work/list" ]; then
		no "$title, $kind: no such call"
	elif grep -q ' BAD ' "$work/said"; then
		no "$title, $kind: $sum (seed $seed)"
		grep ' BAD ' "$work/said" | head -n 20 | sed 's/^/#   call /'
	else
		ok "$title, $kind: $sum (seed $seed)"
	fi
}

faults() {
	local kinds=() kind most
	while [ "$1" != -- ]; do
		kinds+=("$1")
		shift
	done
	shift
	for kind in "${kinds[@]}"; do
		most=${kind#*=}
		[ "$most" != "$kind" ] || most=16
		faults_of "${kind%=*}" "$most" "$@"
	done
}
