#!/bin/bash
# test: training and cells killed at any moment end with the same bits; asked to stop they save and say so
source "$ROOT/tests/lib.sh"

cat >sgd.json <<'END'
{
  "name": "sgd", "model": {"hidden": [40, 24]},
  "data": {"path": "glyphs", "validation": 40, "glyphs": {"train": 360, "test": 80, "seed": 3}},
  "train": {"epochs": 3, "batch": 20, "optimizer": {"lr": 0.05, "nesterov": true, "weight_decay": 1e-4},
            "schedule": {"name": "cosine", "warmup": "5it"}},
  "sweep": {"quantiles": [0.6, 0.9], "reset": ["0ep", "7it", "1ep"]}
}
END
sed 's/"sgd"/"adam"/; s/"lr": 0.05, "nesterov": true/"name": "adam", "lr": 0.002/' sgd.json >adam.json
CELL=4 # quantile 0.9, reset 7it

for kind in sgd adam; do
	coppice plan $kind.json -o $kind-alone --no-timing >/dev/null 2>&1 &&
		coppice train $kind-alone -t 1 2>/dev/null && coppice cell $kind-alone $CELL -t 1 2>/dev/null ||
		no "the undisturbed run of $kind"
	coppice plan $kind.json -o $kind-hit --set device.checkpoint_minutes=0 --no-timing >/dev/null 2>&1
done

killed=0
: >log
for threads in 1 2; do
	[ $threads = 1 ] && kind=sgd || kind=adam
	run=$kind-hit
	bad=
	for moment in - 0 0.03 0.1 0.2 0.33 0.5; do
		rm -rf $run/dense $run/state
		if [ $moment = - ]; then
			hit 0 - coppice train $run -t $threads
			hit 0.02 - coppice train $run -t $threads
		else
			hit $moment $run/state/dense-0.h5 coppice train $run -t $threads
		fi
		coppice train $run -t $threads >>log 2>&1 || bad="$bad $moment (failed)"
		same_dense 5 $kind-alone $run >differs 2>&1 || { bad="$bad $moment"; cat differs; }
	done
	[ -z "$bad" ] && ok "coppice train killed at seven moments, $threads threads, $kind: the same bits" ||
		no "coppice train, $threads threads, killed at$bad: other bits"

	bad=
	for moment in - 0 0.03 0.1 0.2 0.33; do
		rm -rf $run/cells $run/state
		if [ $moment = - ]; then
			hit 0 - coppice cell $run $CELL -t $threads
			hit 0.02 - coppice cell $run $CELL -t $threads
		else
			hit $moment $run/state/00000$CELL.h5 coppice cell $run $CELL -t $threads
		fi
		coppice cell $run $CELL -t $threads >>log 2>&1 || bad="$bad $moment (failed)"
		same_tensors $kind-alone/cells/00000$CELL.h5 $run/cells/00000$CELL.h5 >differs 2>&1 ||
			{ bad="$bad $moment"; cat differs; }
	done
	[ -z "$bad" ] && ok "coppice cell killed at six moments, $threads threads, $kind: the same bits" ||
		no "coppice cell, $threads threads, killed at$bad: other bits"
done
resumed=$(grep -c 'going on from step' log)
[ $killed -ge 15 ] && [ $resumed -ge 12 ] && ok "they were killed while they worked, and went on where they were" ||
	no "only $killed were killed and $resumed went on: too few to prove anything"

# again and again, with other numbers of threads
rm -rf sgd-hit/dense sgd-hit/state
killed=0
for turn in 1 2 3 4 5 6 7 8; do
	[ ! -e sgd-hit/dense/0/result.h5 ] && hit 0.06 sgd-hit/state/dense-0.json coppice train sgd-hit -t $((turn % 3 + 1))
done
coppice train sgd-hit -t 2 >>log 2>&1
[ $killed -ge 2 ] || no "it was killed $killed times only"
check "killed $killed times in a row with 1 to 3 threads in turn: the same bits" same_dense 5 sgd-alone sgd-hit

# asked to stop
rm -rf sgd-hit/dense sgd-hit/state sgd-hit/cells
coppice train sgd-hit 2>log &
pid=$!
wait_for sgd-hit/state/dense-0.h5 $pid
kill -TERM $pid
wait $pid
status=$?
[ $status -eq 75 ] && ok "SIGTERM: exit code 75" || no "SIGTERM: exit code $status, not 75"
check "it says at which step it was saved" grep -qE 'dense run 0 was asked to stop: saved at step [0-9]+' log
expect "status knows it" 0 '^dense 0 +stopped .* saved at step' coppice status sgd-hit
expect "run again it goes on" 0 'dense run 0: going on from step [0-9]+' coppice train sgd-hit
check "and ends with the same bits" same_dense 5 sgd-alone sgd-hit
coppice cell sgd-hit $CELL 2>log &
pid=$!
wait_for sgd-hit/state/00000$CELL.h5 $pid
kill -USR1 $pid
wait $pid
status=$?
[ $status -eq 75 ] && ok "SIGUSR1 for a cell: exit code 75" || no "SIGUSR1 for a cell: exit code $status, not 75"
expect "status knows it too" 0 "^cell $CELL +stopped .* saved at step" coppice status sgd-hit
coppice cell sgd-hit $CELL 2>/dev/null
check "run again it ends with the same bits" same_tensors sgd-{alone,hit}/cells/00000$CELL.h5
expect "what is done is left alone" 0 "cell $CELL is done" coppice cell sgd-hit $CELL

# batches that ranks share; a killed one may go on with other threads
sed 's/"sgd"/"ranks"/; s/"sweep"/"device": {"ranks": 2}, "sweep"/' sgd.json >ranks.json
coppice plan ranks.json -o ranks-alone --no-timing >/dev/null 2>&1 && coppice train ranks-alone -t 1 2>/dev/null &&
	coppice cell ranks-alone $CELL -t 1 2>/dev/null || no "the undisturbed run of two ranks"
expect "coppice show tells of the ranks" 0 'ranks' coppice show ranks-alone/experiment.json
coppice plan ranks.json -o ranks-hit --set device.checkpoint_minutes=0 --no-timing >/dev/null 2>&1
killed=0
: >ranks.log
for turn in 1 2 3 4; do
	[ ! -e ranks-hit/dense/0/result.h5 ] &&
		hit 0.06 ranks-hit/state/dense-0.h5 coppice train ranks-hit -t $((turn % 3 + 1))
done
coppice train ranks-hit -t 3 >>ranks.log 2>&1
[ $killed -ge 1 ] && grep -q 'going on from step' ranks.log || no "two ranks were killed $killed times only"
check "two ranks killed $killed times, with 1 to 3 threads: the same bits" same_dense 5 ranks-alone ranks-hit
coppice cell ranks-hit $CELL -t 2 2>/dev/null
check "and a cell of theirs" same_tensors ranks-{alone,hit}/cells/00000$CELL.h5
same_tensors {sgd,ranks}-alone/dense/0/final.h5 >differs 2>&1
[ $? = 1 ] && ok "one rank has other bits" || no "two ranks have the bits of one: $(cat differs)"
coppice plan ranks.json -o ranks-gpus --set slurm.gpus=1 --no-timing >/dev/null 2>&1
check "a dense run's task asks for as many GPUs as it has ranks" grep -q 'gres=gpu:2$' ranks-gpus/jobs/dense.sbatch
check "a cell's for one" grep -q 'gres=gpu:1$' ranks-gpus/jobs/cells.sbatch

# a checkpoint lost in the middle: the dense run begins again rather than leave it out
rm -rf sgd-hit/dense sgd-hit/state
hit 0.2 sgd-hit/dense/0/step-00000016.h5 coppice train sgd-hit
rm -f sgd-hit/dense/0/step-00000007.h5
coppice train sgd-hit 2>/dev/null
check "a checkpoint that was lost on the way is made again" same_dense 5 sgd-alone sgd-hit
