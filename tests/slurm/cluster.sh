#!/bin/bash
# A real SLURM cluster of four nodes on loopback, for the tests: no systemd, cgroups, database or /etc/slurm.
#
#   cluster.sh start DIR    start it with everything it owns under DIR (a fresh folder) and print, on stdout only,
#                           what the caller should eval: export SLURM_CONF=DIR/slurm.conf
#   cluster.sh stop DIR     end all its processes, jobs included, and check that they are gone; may be repeated
#   cluster.sh kill DIR ONE     SIGKILL for one daemon of it, slurmctld or the slurmd of a node, n1 to n4; jobs go on
#   cluster.sh revive DIR ONE   start that daemon again: it finds its state where the last one left it
#   cluster.sh available    exit 0 if start can work here; else exit 77 and print the reason in one line
#
# From the environment: CLUSTER_MIN_JOB_AGE     seconds until a finished job is forgotten (300)
#                       CLUSTER_GRACE_TIME      seconds a preempted job has after its USR1 (5); slurmctld looks at
#                                               the clock once in 30 s only, so 0 is what makes a test quick
#                       CLUSTER_REQUEUE_WAIT    seconds a requeued job waits (5; a site's default is 120)
#                       CLUSTER_MAX_ARRAY_SIZE  one more than the highest index of an array's task (31)
#                       CLUSTER_MAX_JOB_COUNT   jobs and tasks in the queue at most, ended ones too (10000)
#                       CLUSTER_START_LIMIT     seconds until start gives up (60)
#
# Nodes n1..n4 have 2 CPUs and 2 fake GPUs each. Partition 'urgent' preempts 'main' (the default) by requeueing. A job
# told with --signal=USR1 (B:USR1 for its batch script) gets that at once, and TERM when the grace time is over. One
# that ends by itself before that counts as completed or failed and is not requeued.
set -euo pipefail

die() {
    echo "cluster.sh: $1" >&2
    exit "${2:-1}"
}

# Prints why no cluster can be started here; nothing if one can.
available() {
    local program
    for program in munged slurmctld slurmd sbatch scontrol sinfo ps pgrep; do
        command -v "$program" >/dev/null || { echo "no program '$program'"; return 77; }
    done
    # As whom all daemons below run.
    [ "$(id -u)" = 0 ] || { echo "not root"; return 77; }
    slurmd -C >/dev/null 2>&1 || { echo "'slurmd -C' fails"; return 77; }
}

# The first of five neighbouring ports nobody listens on. They lie below the range the kernel hands out itself, and
# the search begins at a place of this process's own, so that two starts at the same moment do not meet.
free_ports() {
    local base port try
    for try in {0..199}; do
        base=$((20000 + ($$ + 7 * try) % 1500 * 8))
        for port in $(seq "$base" $((base + 4))); do
            if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then continue 2; fi
        done
        echo "$base"
        return
    done
    die "no free ports"
}

write_conf() {
    local dir=$1 name=$2 port=$3
    # What is not said (accounting, task plugin, MPI: none; scheduler: backfill) is SLURM's default.
    # ClusterName: also the mark by which stop() knows this cluster's processes; never used twice, as ports are.
    # cred_expire: a requeued job waits until its credential has expired, two minutes by default. On any cluster
    #   `scontrol update job=ID StartTime=now+2` ends that wait soon; `scontrol release` does not.
    # CommunicationParameters: listen on loopback only.
    # SchedulerParameters: by default all pending jobs are looked at once in 30 to 60 s only, and new ones wait 3 s.
    cat >"$dir/slurm.conf" <<-CONF
	ClusterName=$name
	SlurmctldHost=localhost
	SlurmctldPort=$port
	SlurmUser=root
	CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
	AuthType=auth/munge
	AuthInfo=socket=$dir/munge/socket,cred_expire=${CLUSTER_REQUEUE_WAIT:-5}
	StateSaveLocation=$dir/state
	SlurmctldPidFile=$dir/run/slurmctld.pid
	SlurmctldLogFile=$dir/log/slurmctld.log
	SlurmdPidFile=$dir/run/slurmd.%n.pid
	SlurmdLogFile=$dir/log/slurmd.%n.log
	SlurmdSpoolDir=$dir/spool.%n
	SlurmdParameters=config_overrides
	ProctrackType=proctrack/linuxproc
	SelectType=select/cons_tres
	SelectTypeParameters=CR_Core_Memory
	DefMemPerCPU=100
	GresTypes=gpu
	SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
	PreemptType=preempt/partition_prio
	PreemptMode=REQUEUE
	JobRequeue=1
	SlurmctldParameters=preempt_send_user_signal
	ReturnToService=2
	KillWait=2
	InactiveLimit=30
	MaxArraySize=${CLUSTER_MAX_ARRAY_SIZE:-31}
	MaxJobCount=${CLUSTER_MAX_JOB_COUNT:-10000}
	MinJobAge=${CLUSTER_MIN_JOB_AGE:-300}
	NodeName=n[1-4] NodeHostname=localhost NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + 4))] \
	    CPUs=2 RealMemory=4000 Gres=gpu:2 State=UNKNOWN
	PartitionName=main Nodes=n[1-4] Default=YES PriorityTier=1 GraceTime=${CLUSTER_GRACE_TIME:-5} \
	    DefaultTime=10 MaxTime=60
	PartitionName=urgent Nodes=n[1-4] PriorityTier=10 PreemptMode=OFF DefaultTime=10 MaxTime=60
	CONF
    # SLURM sets CUDA_VISIBLE_DEVICES only for GPUs that have a device file; any will do.
    echo "NodeName=n[1-4] Name=gpu File=/dev/null,/dev/zero" >"$dir/gres.conf"
    # Nothing above uses cgroups, but where there are none slurmd fails looking for their kind.
    echo "CgroupPlugin=cgroup/v1" >"$dir/cgroup.conf"
}

# Daemons detach by themselves but would keep what they inherit: a pipe held open makes $(cluster.sh start) hang.
daemon() {
    (
        for fd in {3..9}; do exec {fd}>&-; done
        SLURM_CLUSTER_NAME=$name exec "$@" </dev/null >>"$dir/log/start.log" 2>&1
    ) || die "cannot start '$1'"
}

start() {
    local dir name node port reason
    reason=$(available) || die "cannot start: $reason" 77
    dir=$(realpath -m "$1")
    [[ $dir =~ ^[A-Za-z0-9/._-]+$ ]] || die "'$dir' has characters that slurm.conf cannot hold"
    [ ${#dir} -le 75 ] || die "'$dir' is too long for the sockets in it"
    mkdir -p "$dir"
    [ -z "$(ls -A "$dir")" ] || die "'$dir' is not empty"

    # The caller may itself be a job of another cluster.
    unset "${!SLURM_@}" "${!SBATCH_@}" "${!SINFO_@}"
    umask 022
    mkdir "$dir"/{munge,state,run,log}
    port=$(free_ports)
    name=coppice_${port}_$EPOCHSECONDS
    write_conf "$dir" "$name" "$port"
    # Whatever ends this before its time: show why, and leave nothing running.
    trap 'tail -n 15 "$dir"/log/* >&2; stop "$dir"' EXIT
    trap 'exit 1' INT TERM

    (umask 077 && head -c 1024 /dev/urandom >"$dir/munge/key")
    # As root, not as user munge, who could not enter a folder of mode 700 above DIR; nor would munged, without --force.
    daemon munged --force --key-file="$dir/munge/key" --socket="$dir/munge/socket" --seed-file="$dir/munge/seed" \
        --pid-file="$dir/run/munged.pid" --log-file="$dir/log/munged.log"
    daemon slurmctld -f "$dir/slurm.conf"
    for node in n1 n2 n3 n4; do
        daemon slurmd -f "$dir/slurm.conf" -N "$node"
    done

    SECONDS=0
    export SLURM_CONF=$dir/slurm.conf
    until [ "$(timeout 5 sinfo -h -N -p main -o %T 2>/dev/null | xargs)" = "idle idle idle idle" ]; do
        [ $SECONDS -lt "${CLUSTER_START_LIMIT:-60}" ] || die "nodes not idle after $SECONDS s"
        sleep 0.2
    done
    trap - EXIT INT TERM
    echo "export SLURM_CONF=$SLURM_CONF"
}

# The pids of the cluster in DIR. Daemons and jobs have its name in their environment, from daemon() above and from
# SLURM; slurmstepd paints its title over that, but works in the folder of its slurmd's log. A job may have started
# something with an empty environment: so children count too.
members() {
    local name level pid all=''
    name=$(sed -n 's/^ClusterName=//p' "$1/slurm.conf")
    level=$(grep -lzxF "SLURM_CLUSTER_NAME=$name" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3 | paste -sd,) || true
    for pid in $(pgrep -x slurmstepd); do
        [ "$(readlink "/proc/$pid/cwd")" != "$1/log" ] || level+=,$pid
    done
    level=${level#,}
    while [ -n "$level" ]; do
        all+=,$level
        level=$(pgrep -d, -P "$level") || true
    done
    echo "${all//,/ }"
}

# Those of the given pids that run; a zombie whose parent does not collect it is as good as gone.
living() {
    [ $# = 0 ] || { ps -o pid=,stat= -p "$*" || true; } | awk '$2 !~ /^Z/ { print $1 }'
}

stop() {
    local dir pids='' try signal=TERM
    [ -f "$1/slurm.conf" ] || return 0
    dir=$(realpath "$1")
    for try in {1..100}; do
        # Looked up anew each time: jobs fork, and a dying daemon may still start one.
        # shellcheck disable=SC2046,SC2086
        pids=$(living $pids $(members "$dir"))
        [ -n "$pids" ] || return 0
        # Two seconds for a daemon to end by itself; slurmstepd, waiting for its slurmctld, never would.
        [ "$try" -le 10 ] || signal=KILL
        # shellcheck disable=SC2086
        kill -s $signal $pids 2>/dev/null || true
        sleep 0.2
    done
    die "cannot stop '$1': still running: ${pids//$'\n'/ }"
}

# Where a daemon of the cluster in DIR says its pid.
pid_file() {
    case $2 in
    slurmctld) echo "$1/run/slurmctld.pid" ;;
    n[1-4]) echo "$1/run/slurmd.$2.pid" ;;
    *) die "there is no '$2' in '$1'" ;;
    esac
}

kill_one() {
    local file pid
    file=$(pid_file "$(realpath "$1")" "$2")
    pid=$(<"$file") || die "'$2' does not run"
    kill -KILL "$pid" || die "'$2' does not run"
    while [ -n "$(living "$pid")" ]; do sleep 0.05; done
    rm -f "$file"
}

revive_one() {
    local dir name file
    dir=$(realpath "$1")
    file=$(pid_file "$dir" "$2")
    [ ! -e "$file" ] || die "'$2' runs"
    name=$(sed -n 's/^ClusterName=//p' "$dir/slurm.conf")
    unset "${!SLURM_@}" "${!SBATCH_@}"
    umask 022
    case $2 in
    slurmctld) daemon slurmctld -f "$dir/slurm.conf" ;;
    *) daemon slurmd -f "$dir/slurm.conf" -N "$2" ;;
    esac
}

case "${1:-} $#" in
"start 2") start "$2" ;;
"stop 2") stop "$2" ;;
"kill 3") kill_one "$2" "$3" ;;
"revive 3") revive_one "$2" "$3" ;;
"available 1") available ;;
*) die "usage: cluster.sh start DIR | stop DIR | kill DIR ONE | revive DIR ONE | available" 2 ;;
esac
