# shellcheck shell=bash
# For the tests on a cluster: starts one in $cluster, stops it when the script ends. Source it after tests/lib.sh.
if ! reason=$("$ROOT/tests/slurm/cluster.sh" available); then
	skip "${0##*/}" "no SLURM cluster can be started here: $reason"
	exit 0
fi
# short: its sockets lie in it
cluster=$(mktemp -d /tmp/coppice-slurm.XXXXXX)
stop_cluster() {
	"$ROOT/tests/slurm/cluster.sh" stop "$cluster" || no "the cluster stops"
	rm -rf "$cluster"
}
trap stop_cluster EXIT
trap 'exit 1' INT TERM
unset "${!SLURM_@}" "${!SBATCH_@}" COPPICE_SLURM
if ! settings=$("$ROOT/tests/slurm/cluster.sh" start "$cluster"); then
	no "the cluster starts"
	exit 1
fi
eval "$settings"
export COPPICE_MODULES=$BUILD

# until_true SECONDS COMMAND...: runs it until it succeeds; five times as long on a machine that is busy with other things
until_true() {
	local limit=$((SECONDS + 5 * $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $limit ] || return 1
		sleep 0.1
	done
}

# has_left JOB...: none of these jobs waits or runs any more
has_left() {
	local job
	for job; do
		[ -z "$(squeue --noheader --jobs "$job" 2>/dev/null)" ] || return 1
	done
}

# wait_for JOB...: until they have left the queue
wait_for() { until_true 60 has_left "$@" || no "jobs $* end in time"; }

# start_soon TASK: one that was requeued need not wait until its credentials have expired; but they count as revoked
# for the whole of the second in which the last attempt ended, and a task started within it would fail
start_soon() { scontrol update job="$1" StartTime=now+2; }
