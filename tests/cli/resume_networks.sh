#!/bin/bash
# test: ResNet-20 and MobileNetV2 killed at random moments, with 1, 2 and 4 threads in turn, end with the same bits
source "$ROOT/tests/lib.sh"
heavy "networks that are killed end with the same bits" && exit

cat >resnet.json <<'END'
{
  "name": "resnet", "model": {"name": "resnet", "depth": 20, "width": 0.5},
  "data": {"path": "glyphs", "validation": 16, "glyphs": {"train": 116, "test": 20, "seed": 5},
           "augment": {"crop_padding": 2, "flip": true}},
  "train": {"epochs": 3, "batch": 20, "optimizer": {"lr": 0.05, "weight_decay": 1e-4},
            "schedule": {"name": "cosine", "warmup": "3it"}},
  "sweep": {"quantiles": [0.8], "reset": ["0ep", "7it"]}
}
END
sed 's/"name": "resnet", "depth": 20/"name": "mobilenet_v2", "dropout": 0.2/; s/"resnet"/"mobilenet_v2"/' \
	resnet.json >mobilenet_v2.json
CELL=1 # quantile 0.8, reset 7it
RANDOM=20
: >log

# seconds COMMAND...: how long it takes, in milliseconds, into `took`; its own exit code
seconds() {
	local from=${EPOCHREALTIME/./}
	"$@" >>log 2>&1 || return
	took=$(((${EPOCHREALTIME/./} - from) / 1000))
}

# hit_often KIND OF RUN FOLDER: six times a `coppice KIND RUN OF` is killed at a random moment of as long as it takes
# undisturbed (`took`), with 1, 2 and 4 threads in turn, and begins anew after the third; then it is let be
hit_often() {
	local turn moment threads=(1 2 4) limit=$took
	killed=0
	for turn in 0 1 2 3 4 5; do
		[ $turn = 3 ] && rm -rf $3/state $3/$4
		moment=$((limit * (RANDOM % 1000) / 1000))
		hit $((moment / 1000)).$(printf %03d $((moment % 1000))) - coppice $1 $3 $2 -t ${threads[turn % 3]}
	done
	coppice $1 $3 $2 -t 2 >>log 2>&1
}

for net in resnet mobilenet_v2; do
	coppice plan $net.json -o $net-alone --no-timing >/dev/null 2>>log &&
		coppice plan $net.json -o $net-hit --no-timing --set device.checkpoint_minutes=0 >/dev/null 2>>log &&
		seconds coppice train $net-alone -t 1 || { no "$net undisturbed"; tail -n 3 log; continue; }
	hit_often train '' $net-hit dense
	check "$net killed $killed times while it trained, 1 to 4 threads: the same bits" same_dense 4 $net-alone $net-hit
	[ $killed -ge 2 ] || no "$net was killed $killed times only: too few to prove anything"
	seconds coppice cell $net-alone $CELL -t 1
	hit_often cell $CELL $net-hit cells
	check "a cell of $net killed $killed times: the same bits" same_tensors $net-{alone,hit}/cells/00000$CELL.h5
	[ $killed -ge 2 ] || no "a cell of $net was killed $killed times only: too few to prove anything"
done
resumed=$(grep -c 'going on from step' log)
[ $resumed -ge 6 ] && ok "they went on where they were, $resumed times" || no "only $resumed went on where they were"
