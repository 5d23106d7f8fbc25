# What the test scripts share; source it first. Each check prints one TAP line.
set -uo pipefail
# h5py and numpy belong to the system's python on Debian, whatever else comes first in PATH
PYTHON=python3
for p in /usr/bin/python3 python3; do
	if "$p" -c 'import h5py, numpy' 2>/dev/null; then
		PYTHON=$p
		break
	fi
done
SHARED=${COPPICE_SHARED:-$ROOT/../shared}

ok() { echo "ok $*"; }
no() { echo "not ok $*"; }
skip() { echo "ok $1 # SKIP $2"; } # skip NAME WHY
check() { # check NAME COMMAND...: the command succeeds
	local name=$1 out
	shift
	if out=$("$@" 2>&1); then ok "$name"; else
		no "$name"
		echo "# $*" "$out"
	fi
}

# expect NAME CODE PATTERN COMMAND...: exit code, and an extended regular expression that stdout or stderr must match
expect() {
	local name=$1 code=$2 pattern=$3 out status
	shift 3
	out=$("$@" 2>&1)
	status=$?
	if [ "$status" -ne "$code" ]; then
		no "$name: exit code $status, expected $code"
		echo "# $*"
		echo "$out" | tail -n 20 | sed 's/^/#   /'
	elif ! grep -qE -- "$pattern" <<<"$out"; then
		no "$name: no '$pattern' in the output"
		echo "$out" | tail -n 20 | sed 's/^/#   /'
	else
		ok "$name"
	fi
}

# same NAME EXPECTED-FILE COMMAND...: stdout is the file's, exit code 0
same() {
	local name=$1 expected=$2 out
	shift 2
	if out=$("$@" 2>/dev/null) && out=$(diff "$expected" - <<<"$out"); then ok "$name"; else
		no "$name"
		echo "$out" | head -n 40 | sed 's/^/#   /'
	fi
}

has_python() { "$PYTHON" -c 'import h5py, numpy' 2>/dev/null; }

# heavy NAME: whether a sanitizer makes this test too slow to be worth it; then it is skipped
heavy() {
	[ -n "${SAN:-}" ] || return 1
	skip "$1" "too slow under the sanitizers ($SAN)"
}

# same_tensors A B: parameters, optimizer state, masks, history and figures of two files are the same bits
same_tensors() { "$BUILD/tests/tools/same_tensors" "$1" "$2"; }

# same_dense N A B: the N files of two dense runs are the same bits, and no other file is there
same_dense() {
	local f n=0
	for f in "$2"/dense/0/*.h5; do
		same_tensors "$f" "$3/dense/0/${f##*/}" || return 1
		n=$((n + 1))
	done
	[ $n -eq $1 ] && [ "$(ls "$2/dense/0")" = "$(ls "$3/dense/0")" ]
}

# wait_for FILE PID: until FILE is there or PID is gone
wait_for() {
	while kill -0 $2 2>/dev/null && [ ! -e "$1" ]; do
		sleep 0.01
	done
}

# hit SECONDS STATE COMMAND...: starts it, waits for STATE (or not, where it is -), then SECONDS, and kills it. What it
# says goes into ./log; adds to `killed` where it was still there.
hit() {
	local after=$1 state=$2 pid
	shift 2
	"$@" >>log 2>&1 &
	pid=$!
	[ "$state" = - ] || wait_for "$state" $pid
	sleep "$after"
	kill -KILL $pid 2>/dev/null
	wait $pid 2>/dev/null
	[ $? -eq 137 ] && killed=$((killed + 1))
}
