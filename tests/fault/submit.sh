#!/bin/bash
# test: submit, redo and cancel on a real SLURM cluster, with one library call that fails: each cell is sent once
source "$ROOT/tests/lib.sh"
source "$ROOT/tests/fault/common.sh"
source "$ROOT/tests/slurm/common.sh"
trap 'rm -rf "$work"; stop_cluster' EXIT
export COPPICE_SLURM=module
# what is sent waits, so that it can be counted
scontrol update partition=main state=down

# queue FOLDER: what the queue has of this run, "SCRIPT TASKS"
queue() {
	squeue --noheader --array --states=PENDING,RUNNING --format='%o' | awk -v run="$(realpath "$1/run")/" \
		'index($1, run) == 1 { sub(".*/", "", $1); n[$1]++ } END { for (s in n) print s, n[s] }' | sort
}
jobs() {
	squeue --noheader --states=PENDING,RUNNING --format='%F %o' |
		awk -v run="$(realpath "$1/run" 2>/dev/null)/" 'index($2, run) == 1 { print $1 }' | sort -u
}

# Each try has a folder of its own, since the queue remembers those of before. What is sent stays there for `cancel`.
fresh() {
	mkdir -p "$1"
	ln -sf "$here"/*.json "$1/"
	jobs "$1" | xargs -r scancel
	rm -f "$1/run"
	ln -s "$(mktemp -d "$work/run.XXXXXX")" "$1/run"
	(cd "$1" && coppice plan e.json -o run --no-timing --set slurm.cpus=1 --set slurm.mem=100M \
		--set slurm.gpus=0 >/dev/null 2>&1 && "${before[@]}" >/dev/null 2>&1)
	: >"$1/log"
}
# complete FOLDER: the queue has what is wanted in the end
complete() {
	local got
	got=$(queue "$1" | xargs)
	[ "$got" = "$wanted" ] || {
		echo "the queue has: $got"
		return 1
	}
}
# what is written down can be read, and nothing was sent twice
sound() {
	local task
	(cd "$1" && coppice status run >status 2>&1) || {
		echo "status says: $(tail -n 1 "$1/status")"
		return 1
	}
	for task in $(queue "$1" | tr ' ' :); do
		case $task in
		cells.sbatch:[1-4] | dense.sbatch:1 | collect.sbatch:1) ;;
		*)
			echo "the queue has ${task/:/ }"
			return 1
			;;
		esac
	done
}
reference() { :; }

done_already='is submitted already: 0 running, 5 queued'
title=submit
before=(true)
wanted="cells.sbatch 4 collect.sbatch 1 dense.sbatch 1"
faults slurm slurm-lost write=16 rename=10 sync=6 open=10 read=12 alloc=24 lock -- coppice submit run

title="submit through sbatch"
export COPPICE_SLURM=sbatch
faults process alloc=12 write=8 -- coppice submit run
export COPPICE_SLURM=module

title=cancel
before=(coppice submit run)
wanted=
faults slurm slurm-lost -- coppice cancel run
