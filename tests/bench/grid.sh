#!/bin/bash
# bench: a grid of 10,000 cells of no epochs: plan, submit to a real SLURM cluster, status, collect, report; seconds and peaks of memory
# Goals: plan and status 2 s, submit through libslurm 5 s, collect 30 s and 200 MB. The cells' files are the one of a cell
# that ran, with the other cells' places in the grid and counts; it is the files that count here, not what made them.
# CELLS=… (10000, a multiple of 10) changes the size. Where others are at work, seconds are shown, but not judged.
ROOT=${ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
BUILD=${BUILD:-$ROOT/build}
source "$ROOT/tests/lib.sh"
export PATH=$BUILD:$PATH
cells=${CELLS:-10000}
scratch=$(mktemp -d "${TMPDIR:-/tmp}/coppice-bench.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
make -s -C "$ROOT" BUILD="$BUILD" "$BUILD/tests/tools/fill_cells" || { no "building fill_cells"; exit 1; }
cd "$scratch" || exit 1

# measure NAME GOAL-SECONDS GOAL-MB COMMAND...: '-' where there is no goal; its output goes to ./log
cat >measure.py <<'EOF'
import os, subprocess, sys, time
name, seconds, megabytes, argv = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
def running():
    return int(open('/proc/loadavg').read().split()[3].split('/')[0]) - 1
others = []
for _ in range(20):
    others.append(running())
    time.sleep(0.025)
busy = sum(others) / len(others)
start = time.perf_counter()
with open('log', 'w') as log:
    p = subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT)
    _, status, usage = os.wait4(p.pid, 0)
took, code = time.perf_counter() - start, os.waitstatus_to_exitcode(status)
print(f'{name}: {took:.2f} s ({usage.ru_utime + usage.ru_stime:.2f} s of processors), {usage.ru_maxrss / 1024:.0f} MB'
      + (f', beside {busy:.1f} others at work' if busy > 0.5 else ''), flush=True)
if code:
    print(f'not ok {name}: exit code {code}')
    sys.exit(''.join('#   ' + line for line in open('log').readlines()[-5:]))
if seconds != '-':
    reached, what = took <= float(seconds), f'{name} of {os.environ["CELLS"]} cells in {seconds} s'
    if not reached and busy > 0.5:
        print(f'ok {what} # SKIP not judged beside {busy:.1f} others at work')
    else:
        print(('ok' if reached else 'not ok') + ' ' + what)
if megabytes != '-':
    print(('ok' if usage.ru_maxrss / 1024 <= float(megabytes) else 'not ok') + f' {name} within {megabytes} MB')
EOF
measure() { CELLS=$cells "$PYTHON" measure.py "$@"; }
says() { # says NAME PATTERN: of what the last one printed
	grep -qE -- "$2" log && ok "$1" || { no "$1"; tail -n 5 log | sed 's/^/#   /'; }
}

quantiles=$(awk -v n=$((cells / 10)) 'BEGIN { for (i = 1; i <= n; i++) printf "%s%.6f", (i == 1 ? "" : ", "), 0.99 * i / n }')
cat >e.json <<END
{"name": "grid", "model": {"hidden": [16]},
 "data": {"path": "glyphs", "validation": 60, "glyphs": {"train": 600, "test": 200}},
 "train": {"epochs": 0, "batch": 60},
 "sweep": {"quantiles": [$quantiles], "reset": ["0ep"], "replicates": 10, "keep_weights": false},
 "slurm": {"time": "00:05:00", "cpus": 1, "mem": "100M"}}
END
measure "plan" 2 - coppice plan e.json -o run
measure "status of nothing" 2 - coppice status run

# a partition that is down takes jobs and begins none
if reason=$("$ROOT/tests/slurm/cluster.sh" available); then
	cluster=$(mktemp -d /tmp/coppice-slurm.XXXXXX)
	trap '"$ROOT/tests/slurm/cluster.sh" stop "$cluster"; rm -rf "$cluster" "$scratch"' EXIT
	if settings=$(CLUSTER_MAX_ARRAY_SIZE=$((cells + 1)) CLUSTER_MAX_JOB_COUNT=$((2 * cells)) \
		"$ROOT/tests/slurm/cluster.sh" start "$cluster"); then
		eval "$settings"
		export COPPICE_MODULES=$BUILD
		scontrol update partitionname=main state=down
		measure "submit" 5 - coppice submit run
		says "all of them are submitted" "submitted [0-9]+ jobs .*: 10 dense, $cells cells"
		check "and wait" test "$(squeue --noheader --array --format=%K | grep -c '^[0-9]')" -ge "$cells"
		measure "status of what waits" 2 - coppice status run
		says "as the queue tells" "$cells of $cells cells (queued|waiting)"
		measure "cancel" - - coppice cancel run
	else
		no "the cluster starts"
	fi
else
	skip "submit" "no SLURM cluster can be started here: $reason"
fi

coppice train run >log 2>&1 && coppice cell run 3 >>log 2>&1 || { no "a cell to copy"; cat log; }
fill_cells=$BUILD/tests/tools/fill_cells
"$fill_cells" run 3 || no "the cells' files"
measure "status, nothing known" 2 - coppice status run
says "it sees them all" "$cells of $cells cells done"
measure "status again" 2 - coppice status run
measure "collect" 30 200 coppice collect run
says "it reads them all" "^$cells cells read, 0 kept"
measure "collect again" 5 200 coppice collect run
says "it reads nothing" "^0 cells read, $cells kept"
find run/cells -name '*7[0-9].h5' -delete
"$fill_cells" run 3 || no "a tenth of the cells' files"
measure "collect after a tenth has changed" - 200 coppice collect run
says "it reads these" "^$((cells / 10)) cells read"
measure "report" - 200 coppice report run
ls -l run/results.h5 run/report.html | awk '{ printf "%s: %.1f MB\n", $NF, $5 / 1e6 }'
