#!/bin/bash
# test: what plan says a sweep will cost, against the files and hours of real runs; asking, refusing, --yes, --from-history
source "$ROOT/tests/lib.sh"

cat >e.json <<'END'
{"name": "e", "model": {"hidden": [100]},
 "data": {"path": "glyphs", "validation": 40, "glyphs": {"train": 1240, "test": 100, "seed": 3}},
 "train": {"epochs": 3, "batch": 20, "optimizer": {"lr": 0.05}},
 "sweep": {"quantiles": [0.5, 0.8, 0.98], "reset": ["0ep", "1ep"]}}
END
fact() { sed -nE "s/^\s*\"$1\":\s*\"?([^\",]*)\"?,?\$/\1/p" "$2"; } # fact NAME FILE
near() { # near SHARE A B: A lies within SHARE of B
	awk -v s="$1" -v a="$2" -v b="$3" 'BEGIN { exit !(b > 0 && a > b * (1 - s) && a < b * (1 + s)) }'
}

# the estimate of bytes, of a plain network, a convolutional one, and without weights
size() { # size NAME ARGUMENTS...: plans, runs, compares
	local name=$1
	shift
	coppice plan e.json -o $name --no-timing --json "$@" >$name.json || no "plan $name"
	coppice run e.json -o $name "$@" >/dev/null 2>&1 || no "run $name"
	check "$name: $(fact bytes $name.json | cut -d. -f1) bytes were foreseen, $(du -sb $name | cut -f1) there are" \
		near 0.3 "$(fact bytes $name.json)" "$(du -sb $name | cut -f1)"
}
size plain
size conv --set model.name=resnet --set model.depth=20 --set model.width=0.25 --set 'model.hidden=[300,100]' \
	--set data.glyphs.train=100 --set train.epochs=1 --set train.optimizer.name=adam --set train.optimizer.lr=0.001 --set 'sweep.quantiles=[0.9]'
size bare --set sweep.keep_weights=false --set 'model.hidden=[10]' --set train.epochs=20

# nothing is asked below the limit; beyond it somebody has to agree
expect "hours and disk are told" 0 "time +about [0-9.e-]+ core-hours; about .* with 20 tasks of 4 cores at once" \
	coppice plan e.json -o run
expect "and where the speed was measured" 0 "images/s with [0-9]+ threads?, timed on this machine" coppice plan e.json -o run
few=(--set cost.ask_hours=1e-9)
expect "without a terminal it is refused" 2 "'e' takes about [0-9.e-]+ core-hours, .*'cost.ask_hours'.*--yes" \
	coppice plan e.json -o not/there "${few[@]}"
check "and nothing is written" test ! -e not
expect "--yes agrees" 0 "planned into" coppice plan e.json -o agreed "${few[@]}" --yes
check "then it is written" test -e agreed/experiment.json
expect "GPU-hours where tasks take GPUs" 2 "about [0-9.e-]+ GPU-hours" coppice plan e.json -o not "${few[@]}" --set slurm.gpus=2
expect "many hours read well" 2 "about [1-9][0-9]{0,2}(,[0-9]{3})+ core-hours, and beyond 10,000 " \
	coppice plan e.json -o not --set train.epochs=1000000 --set sweep.replicates=10000
expect "'run' does not ask" 0 "report.html" coppice run e.json -o agreed "${few[@]}"
expect "what is done costs nothing" 0 "1 and 6 done already; left: = 0 steps" coppice plan e.json -o agreed "${few[@]}"

# GPUs that tasks of SLURM would lack, or that nobody would use
planned() { # planned NAME KEY=VALUE...: what plan says beside the plan itself
	local settings=() s
	for s in "${@:2}"; do settings+=(--set "$s"); done
	coppice plan e.json -o "$1" --no-timing "${settings[@]}" 2>&1 >/dev/null
}
expect "a GPU that no task asks for" 0 "'device.kind' is cuda, but 'slurm.gpus' is 0" planned lacks device.kind=cuda
expect "more than a cell uses" 0 "'slurm.gpus' is 2, but a task's cells use one GPU" planned more slurm.gpus=2
expect "one for the CPU" 0 "'slurm.gpus' is 1, but 'device.kind' is cpu" planned idle slurm.gpus=1 device.kind=cpu
quiet() { ! planned "$@" | grep slurm.gpus; }
check "one that is asked for" quiet asked device.kind=cuda slurm.gpus=1
check "in words of the site's own" quiet words device.kind=cuda 'slurm.extra=["--gpus-per-node=1"]'
check "nor where there may be none" quiet auto

if command -v script >/dev/null; then
	terminal() { # terminal ANSWER ARGUMENTS...: on a terminal of its own
		local answer=$1
		shift
		printf '%s\n' "$answer" | script -qec "coppice plan e.json $*" /dev/null
	}
	expect "a terminal is asked" 0 "core-hours and lasts .* go on\? \[y/N\]" terminal y -o asked "${few[@]}"
	check "yes plans" test -e asked/experiment.json
	for answer in n '' 'no, y' maybe; do
		expect "'$answer' does not" 1 "nothing was planned" terminal "$answer" -o unasked "${few[@]}"
		check "nothing is written" test ! -e unasked
	done
	expect "--yes is not asked" 0 "planned into" terminal '' -o unasked "${few[@]}" --yes
else
	skip "asking on a terminal" "no 'script' here"
fi

# the speed of an earlier run
expect "--from-history" 0 "images/s with [0-9]+ threads?, as in 'plain'" coppice plan e.json -o run --from-history plain
coppice plan e.json -o run --from-history plain --json >history.json
check "as JSON" test "$(fact speed_from history.json)" = "as in 'plain'"
check "all figures" test "$(fact cells history.json) $(fact dense history.json) $(fact tasks history.json) $(
	fact tasks_at_once history.json) $(fact steps history.json)" = "6 1 6 20 1080"
for f in images_per_second threads core_hours wall_seconds bytes parameters prunable multiply_accumulates; do
	check "$f" awk -v v="$(fact $f history.json)" 'BEGIN { exit !(v > 0) }'
done
check "no GPUs" test "$(fact gpu_hours history.json)" = 0
expect "of another network" 2 "'conv' tells nothing .*: model.name, .*model.depth, model.width differ" coppice plan e.json -o other --from-history conv
expect "of another batch" 2 "train.batch differ" coppice plan e.json -o other --from-history plain --set train.batch=31
expect "of no run" 2 "'e.json' is no planned run|e.json" coppice plan e.json -o other --from-history e.json
coppice plan e.json -o fresh --no-timing >/dev/null
expect "of one without results" 2 "'.*fresh' has no results that tell a speed" coppice plan e.json -o other --from-history fresh
check "and nothing is written" test ! -e other
expect "without timing the hours are not known" 0 "not known: no steps were timed" coppice plan e.json -o fresh --no-timing
expect "and nobody is asked" 0 "planned into" coppice plan e.json -o fresh --no-timing "${few[@]}"
expect "but told" 0 "the limit of .* core-hours \('cost.ask_hours'\) was not checked: no speed is known" \
	coppice plan e.json -o fresh --no-timing "${few[@]}"
expect "a limit of nothing asks about what is not known" 2 "'e' takes an unknown number of core-hours, and beyond 0 " \
	coppice plan e.json -o none --no-timing --set cost.ask_hours=0
check "and nothing is written" test ! -e none
expect "--yes agrees to that, too" 0 "planned into" coppice plan e.json -o none --no-timing --set cost.ask_hours=0 --yes
expect "where nothing is left nobody is asked" 0 "= 0 steps" \
	coppice plan e.json -o agreed --no-timing --set cost.ask_hours=0

# what is done is what validates: a damaged result, and a folder in the way, are not
cp -r plain worn
truncate -s 3000 worn/cells/000001.h5
rm worn/cells/000004.h5
mkdir worn/cells/000004.h5
expect "a damaged result and a folder are not done" 0 "of them 1 and 4 done already" coppice plan e.json -o worn --no-timing
echo x >worn/dense/0/result.h5
expect "nor is a dense run without a readable result" 0 "of them 0 and 4 done already; left: = 480 steps" \
	coppice plan e.json -o worn --no-timing
expect "a new reset point has the dense run go back" 0 "of them 0 and 6 done already; left: = 240 steps" \
	coppice plan e.json -o plain --no-timing --set 'sweep.reset=["0ep", "1ep", "2ep"]'

