#!/bin/bash
# test: the slurm scheduler on a real cluster, through libslurm and through sbatch: the same jobs, the same answers
. "$ROOT/tests/lib.sh"
. "$ROOT/tests/slurm/common.sh"
schedule=$BUILD/tests/schedule

cat >toy.sbatch <<'EOF'
#!/bin/bash
#SBATCH --job-name=overridden --time=00:05:00 -c 2
#SBATCH --mem=300M
#SBATCH --gres=gpu:1 # a fake one
#SBATCH --comment="two words"
#SBATCH --output=%x-%a.out
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:USR1@120

echo "arguments: $# <$1> <$2>"
pwd; umask; nice; ulimit -a
env
EOF
cat >plain.sbatch <<'EOF'
#!/bin/bash
#SBATCH --time=40
#SBATCH --mem-per-cpu=300M --gpus=1
#SBATCH --output=plain.out --open-mode=truncate
env
EOF
printf '#!/bin/bash\n#SBATCH --output=/dev/null\nsleep 60\n' >sleep.sbatch
printf '#!/bin/bash\n#SBATCH --output=/dev/null\nexit "$1"\n' >exit.sbatch
printf '#!/bin/bash\n#SBATCH --nice=77 --output=/dev/null\n' >nice.sbatch
printf '#!/bin/bash\n#SBATCH --gres=gpu:3 --output=/dev/null\n' >gpus.sbatch
printf '#!/bin/bash\n#SBATCH --partition=nowhere\n' >nowhere.sbatch

# What a job of one way may have other than the same job of the other way.
same_but_numbers() {
	sed -E -e '/^(COPPICE_SLURM|SLURM_JOB_?ID|SLURM_ARRAY_JOB_ID|SLURM_TASK_PID|SLURM_JOB_NODELIST|SLURM_NODELIST|SLURMD_NODENAME|SLURM_TOPOLOGY_ADDR|SLURM_GTIDS|HOSTNAME|_)=/d' \
		-e '/^(CUDA_VISIBLE_DEVICES|GPU_DEVICE_ORDINAL|ROCR_VISIBLE_DEVICES|SLURM_JOB_GPUS|SHLVL)=/d' \
		-e 's/(JobId|ArrayJobId|Priority|SubmitTime|EligibleTime|LastSchedEval|AccrueTime|StartTime|Scheduler)=[^ ]*//g' "$1" | sort
}

for way in module sbatch; do
	export COPPICE_SLURM=$way
	"$schedule" here >"here.$way"
	"$schedule" limits >"limits.$way"
	# nothing may start before it was looked at
	scontrol update partition=main state=down
	job=$("$schedule" submit "toy" toy.sbatch 3 2 - ok 'one two' '$HOME')
	plain=$("$schedule" submit "plain" plain.sbatch 0 0 - ok)
	scontrol show job "${job}_2" >"array.$way"
	scontrol show job "$plain" >"single.$way"
	"$schedule" query "$plain" "$job" | sed -E "s/^$job /A /; s/^$plain /P /; s/ [A-Za-z]*$//" | sort >"query.$way"
	scontrol update partition=main state=up
	wait_for "$job" "$plain"
	for out in toy-0 toy-1 toy-2 plain; do
		same_but_numbers $out.out >"$out.$way" 2>/dev/null
	done
	rm -f toy-?.out plain.out
	same_but_numbers "array.$way" >"array.$way.same"
	same_but_numbers "single.$way" >"single.$way.same"
	"$schedule" query "$job" "$plain" | cut -d' ' -f2-4 | sort >"ended.$way"
done
unset COPPICE_SLURM

check "libslurm is found" grep -q '^libslurm, built for [0-9]' here.module
check "sbatch is found" grep -qx sbatch here.sbatch
check "the limits are the cluster's" grep -qE '^31 10000 [0-9.]+ coppice_' limits.module
check "sbatch's limits are the same" diff limits.module limits.sbatch
check "a job array is the same either way" diff array.module.same array.sbatch.same
check "a job is the same either way" diff single.module.same single.sbatch.same
for out in toy-0 toy-1 toy-2 plain; do
	check "$out gets the same environment, limits and folder" diff "$out.module" "$out.sbatch"
done
check "arguments arrive whole" grep -qx 'arguments: 2 <one two> <$HOME>' toy-2.module
check "the job has its cores" grep -qx SLURM_CPUS_PER_TASK=2 toy-2.module
check "options of the script are honoured" grep -q 'Comment=two words' array.module
check "two run at once" grep -q 'ArrayTaskThrottle=2' array.module
check "the queue's answer names every task" diff query.module - <<<$'A 0 queued PENDING\nA 1 queued PENDING\nA 2 queued PENDING\nP -1 queued PENDING'
check "the queue's answer is the same" diff query.module query.sbatch
check "ended tasks are known for a while" diff ended.module - <<<$'-1 ended COMPLETED\n0 ended COMPLETED\n1 ended COMPLETED\n2 ended COMPLETED'
check "they are the same" diff ended.module ended.sbatch

# query_is PATTERN JOB: one line of the answer matches
query_is() { "$schedule" query "$2" | grep -qE "$1"; }

for way in module sbatch; do
	export COPPICE_SLURM=$way
	bad=$("$schedule" submit bad exit.sbatch 2 0 - ok 1)
	good=$("$schedule" submit good exit.sbatch 2 0 - ok 0)
	after=$("$schedule" submit after exit.sbatch 2 0 "$bad" ok 0)
	any=$("$schedule" submit any exit.sbatch 0 0 "$bad:$good" any 0)
	wait_for "$bad" "$good" "$after" "$any"
	check "$way: after a failure the next job is cancelled" query_is " 1 ended CANCELLED" "$after"
	check "$way: one that comes after any end runs, after several jobs" query_is " -1 ended COMPLETED" "$any"
	check "$way: a failed task is told" query_is " 0 ended FAILED NonZeroExitCode" "$bad"
	stuck=$(sbatch --parsable --dependency="afterok:$bad" exit.sbatch 0)
	check "$way: what can never start is stuck" until_true 20 query_is " stuck PENDING DependencyNeverSatisfied" "$stuck"
	run=$("$schedule" submit run sleep.sbatch 4 0 - ok)
	check "$way: running tasks are told" until_true 20 query_is " 3 running RUNNING" "$run"
	check "$way: cancelling" "$schedule" cancel "$run"
	"$schedule" cancel "$stuck"
	wait_for "$run" "$stuck"
	check "$way: every task is cancelled" [ "$("$schedule" query "$run" | grep -c ' ended CANCELLED')" = 4 ]
	check "$way: cancelling what has ended" "$schedule" cancel "$run"
	check "$way: cancelling what was never there" "$schedule" cancel 999999
	check "$way: a job that is gone is not in the answer" [ -z "$("$schedule" query 999999)" ]
	check "$way: nor do others miss" [ "$("$schedule" query 999999 "$good" | wc -l)" = 2 ]
	expect "$way: more tasks than the site allows" 1 "cannot submit 'x': .*[Ii]nvalid job array" \
		"$schedule" submit x exit.sbatch 32 0 - ok 0
	expect "$way: more GPUs than there are" 1 "cannot submit 'x': " "$schedule" submit x gpus.sbatch 0 0 - ok
	expect "$way: no such partition" 1 "cannot submit 'x': .*partition" "$schedule" submit x nowhere.sbatch 0 0 - ok
	expect "$way: no script" 2 "missing.sbatch" "$schedule" submit x missing.sbatch 0 0 - ok
	expect "$way: a dependency is a number" 2 "'1;id' is no number of a SLURM job" "$schedule" submit x exit.sbatch 0 0 '1;id' ok
	expect "$way: a job is a number" 2 "'-u root' is no number of a SLURM job" "$schedule" cancel '-u root'
done

export COPPICE_SLURM=module
nice=$("$schedule" submit nice nice.sbatch 0 0 - ok 2>said)
check "what the module does not know goes through sbatch" grep -q "through sbatch, which knows what '--nice=77' means" said
check "and arrives" grep -q 'Nice=77' <<<"$(scontrol show job "$nice")"
nice=$(SBATCH_TIMELIMIT=7 "$schedule" submit nice exit.sbatch 0 0 - ok 0 2>said)
check "so do options in the environment" grep -q 'for the sake of SBATCH_TIMELIMIT' said
check "and arrive" grep -q 'TimeLimit=00:07:00' <<<"$(scontrol show job "$nice")"

# a job that submits: nothing of its own may reach the next one
printf '#!/bin/bash\n#SBATCH --output=inner-%%j.out\nenv\n' >inner.sbatch
printf '#!/bin/bash\n#SBATCH --output=outer.out --mem=200M -c 2\n%s submit inner inner.sbatch 0 0 - ok >inner.id\n' "$schedule" >outer.sbatch
for way in module sbatch; do
	outer=$(COPPICE_SLURM=$way "$schedule" submit outer outer.sbatch 1 0 - ok)
	wait_for "$outer"
	inner=$(<inner.id)
	wait_for "$inner"
	check "$way: a job submitted by a job has its own number" grep -qx "SLURM_JOB_ID=$inner" "inner-$inner.out"
	expect "$way: and nothing of the first one's" 1 '' grep -E 'SLURM_(ARRAY_|CPUS_PER_TASK|MEM_PER_NODE)' "inner-$inner.out"
done

mkdir none
expect "without the module" 3 'coppice-slurm.so' env COPPICE_MODULES=none COPPICE_SLURM=module "$schedule" limits
expect "it is sbatch" 0 '^sbatch$' env -u COPPICE_SLURM COPPICE_MODULES=none "$schedule" here
expect "without a cluster there is none" 1 '^no SLURM here$' env -u COPPICE_SLURM SLURM_CONF=/no/such "$schedule" here
