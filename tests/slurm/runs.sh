# shellcheck shell=bash
# For the tests on a cluster that watch whole runs; source it after common.sh. They plan ./e.json.

# plan RUN [OPTION...]: its jobs are named RUN.dense, RUN.cells, ... after the folder's last name
plan() { coppice plan e.json -o "$1" --no-timing --set "name=${1##*/}" "${@:2}" >/dev/null || no "planning $1"; }

# collected RUN N: the last collect found N cells, and no job of the run is left
collected() { [ "$(wc -l <"$1/results.csv")" -eq $(($2 + 1)) ] && left_none "$1"; }
left_none() { [ -z "$(queue_of "${1##*/}")" ]; }
ends() { until_true 60 collected "$1" "$2"; }

# queue_of RUN [OPTION...]: a line for each task or job of the run that is in the queue, "STATE NAME"
queue_of() { squeue --noheader --array --format='%T %j' "${@:2}" | awk -v run="$1." 'index($2, run) == 1'; }
status_has() { coppice status "$1" | grep -qE -- "$2"; }
reason_has() { coppice status "$1" --json | grep -qE -- "$2"; }

# same_points A B: each cell of B has the bits of A's cell of that point, whatever their numbers
same_points() {
	local a b n=0
	awk -F, 'FNR == 1 { delete c; for (i = 1; i <= NF; i++) c[$i] = i; next }
		{ k = $c["replicate"] "," $c["round"] "," $c["quantile"] "," $c["reset_step"] "," $c["criterion"] "," $c["retrain"] "," $c["child"] }
		NR == FNR { first[k] = $1; next }
		{ print k in first ? first[k] : "-", $1 }' "$1/results.csv" "$2/results.csv" >pairs
	while read -r a b; do
		same_tensors "$1/cells/$(printf %06d "$a").h5" "$2/cells/$(printf %06d "$b").h5" || return 1
		n=$((n + 1))
	done <pairs
	[ $n -gt 0 ]
}

# submissions RUN: how often each cell was submitted, "TIMES CELL"; and that the queue was sent no other jobs
submissions() {
	"$PYTHON" - "$1" <<'END'
import collections, json, subprocess, sys
run = sys.argv[1]
jobs = json.load(open(f"{run}/jobs/submitted.json"))
times = collections.Counter()
for j in jobs:
    if j["role"] != "cells":
        continue
    lines = open(f"{run}/jobs/{j['list']}").read().split() if j["list"] else range(10**6)
    times.update(int(i) for i in lines[j["offset"]:j["offset"] + j["count"]])
for cell, n in sorted(times.items()):
    print(n, cell)
queue = subprocess.run(["squeue", "--noheader", "--states=all", "--format=%F %j"], capture_output=True, text=True).stdout
known = {j["id"] for j in jobs}
unknown = {line for line in queue.splitlines() if line.split()[1].startswith(run + ".") and line.split()[0] not in known}
if unknown:
    print("unknown", unknown)
END
}
each_once() { [ "$(submissions "$1" | cut -d' ' -f1 | sort | uniq -c | xargs)" = "$2 1" ]; } # each_once RUN CELLS
never_again() { awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "restarts") c = i; next } $c != 0 { exit 1 }' "$1/results.csv"; }
