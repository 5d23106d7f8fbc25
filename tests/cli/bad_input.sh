#!/bin/bash
# test: bad input: exit code 2, a message that says what and where, and nothing half-written under a final name
source "$ROOT/tests/lib.sh"

cat >good.json <<'END'
{
  "name": "good", "model": {"hidden": [8]},
  "data": {"path": "d.h5"},
  "train": {"epochs": 2, "batch": 20,
            "optimizer": {"lr": 0.05}},
  "sweep": {"quantiles": [0.5, 0.9], "reset": ["0ep", "1ep"]}
}
END
coppice pack --synthetic glyphs --train 100 --test 40 d.h5 >/dev/null || no "pack"

# refuse NAME PATTERN COMMAND...: exit code 2, the message, one line of it, and no run's folder
refuse() {
	local name=$1 pattern=$2 out status
	shift 2
	rm -rf new
	out=$("$@" 2>&1)
	status=$?
	if [ $status -ne 2 ]; then
		no "$name: exit code $status, not 2"
	elif ! grep -qE -- "$pattern" <<<"$out"; then
		no "$name: no '$pattern' in the output"
	elif [ -e new/experiment.json ] || [ -e new/cells.json ]; then
		no "$name: a plan was left behind"
	elif [ "$(grep -c '^coppice' <<<"$out")" -ne 1 ]; then
		no "$name: not one message"
	else
		ok "$name"
		return
	fi
	echo "$out" | tail -n 5 | sed 's/^/#   /'
}
# edited NAME PATTERN SED: plans good.json after an edit
edited() {
	sed "$3" good.json >bad.json
	cmp -s good.json bad.json && no "$1: the edit changed nothing"
	refuse "$1" "$2" coppice plan bad.json -o new
}
# set_to NAME PATTERN KEY=VALUE [KEY=VALUE]
set_to() { refuse "$1" "$2" coppice plan good.json -o new --set "$3" ${4:+--set "$4"}; }

check "the experiment that is spoiled below is good" coppice plan good.json -o run --no-timing

edited "unknown key" "^coppice: 'bad.json' line 4: 'train.epoch' is no key that exists \(did you mean 'train.epochs'\?\)$" 's/"epochs"/"epoch"/'
edited "unknown key at the root" "line 2: 'nam' .*did you mean 'name'" 's/"name"/"nam"/'
edited "unknown group" "line 4: 'trian' .*did you mean 'train'" 's/"train"/"trian"/'
edited "key in the wrong group" "line 4: 'train.lr' .*did you mean 'train.optimizer.lr'" 's/"epochs"/"lr": 1, "epochs"/'
edited "group in the wrong group" "line 2: 'optimizer' .*did you mean 'train.optimizer'" 's/"name": "good"/"optimizer": {"lr": 1}/'
edited "key twice" "line 4: 'train.epochs' is there twice" 's/"epochs": 2/"epochs": 2, "epochs": 3/'
edited "group twice" "line 7: 'data' is there twice" 's/^}$/, "data": {}}/'
edited "text for a number" "line 4: 'train.epochs' must be a whole number" 's/"epochs": 2/"epochs": "2"/'
edited "fraction for a whole number" "line 4: 'train.epochs' is 2.5, but must be a whole number" 's/"epochs": 2/"epochs": 2.5/'
edited "number for a text" "line 2: 'name' must be a string" 's/"good"/1/'
edited "number for a list" "line 6: 'sweep.quantiles' must be a list" 's/\[0.5, 0.9\]/0.5/'
edited "texts for a list of numbers" "line 6: 'sweep.quantiles' must be a number" 's/\[0.5, 0.9\]/["0.5"]/'
edited "numbers for a list of texts" "line 6: 'sweep.reset' must be a list of strings" 's/\["0ep", "1ep"\]/[0, 1]/'
edited "value for a group" "line 3: 'data' must be an object" 's/{"path": "d.h5"}/"d.h5"/'
edited "null" "line 4: 'train.epochs' must be a whole number" 's/"epochs": 2/"epochs": null/'
edited "choice that does not exist" "line 5: 'train.optimizer.name' is 'adamw', but must be one of sgd\|adam" 's/"lr": 0.05/"name": "adamw"/'
edited "quantile 1.2" "line 6: 'sweep.quantiles' is 1.2, but must lie in 0..1" 's/0.9\]/1.2]/'
edited "negative quantile" "line 6: 'sweep.quantiles' is -0.5" 's/0.5, /-0.5, /'
edited "a quantile twice" "'sweep.quantiles' holds 0.5 twice" 's/0.9\]/0.5]/'
edited "no quantiles" "'sweep.quantiles' and 'sweep.reset' need one value" 's/0.5, 0.9//'
edited "reset after the last epoch" "'sweep.reset' holds '3ep', which is after the last epoch \(2 epochs, 10 steps\)" 's/1ep/3ep/'
edited "reset after the last step" "'sweep.reset' holds '11it', which is after" 's/1ep/11it/'
edited "reset points that are the same step" "'sweep.reset' holds '0ep' and '0it', which are the same step 0" 's/1ep/0it/'
edited "reset without a unit" "'sweep.reset' holds '1', which is no point in training" 's/1ep/1/'
edited "broken JSON" "'bad.json' line 4: not valid JSON" 's/"epochs": 2,/"epochs" 2,/'
edited "JSON that goes on" "'bad.json' line 7: not valid JSON" 's/^}$/} extra/'
edited "a list" "'bad.json' line 1: must be an object" 's/.*/[]/; 2,$d'
edited "batch larger than the data" "'train.batch' is 200, but" 's/"batch": 20/"batch": 200/'
edited "a name that is no file name" "'name' is 'a/b'" 's/"good"/"a\/b"/'
edited "more validation than images" "'data.validation' is 100, but dataset '.*d.h5' has only 100" 's/"path"/"validation": 100, "path"/'
edited "missing dataset" "cannot open dataset '.*/no.h5': no such file \(make one with 'coppice pack'\)" 's/d.h5/no.h5/'
set_to "--set of an unknown key" "^coppice: --set: 'train.epoch' is no key that exists \(did you mean 'train.epochs'" train.epoch=3
set_to "--set without a value" "--set wants KEY=VALUE, not 'train.epochs'" train.epochs
set_to "--set of a wrong type" "--set: 'train.epochs' must be a whole number" train.epochs=many
set_to "--set out of range" "--set: 'train.optimizer.momentum' is 2, but must lie in 0..1" train.optimizer.momentum=2
set_to "rates that are no object" "'sweep.rates': rates want an object of layers and factors" 'sweep.rates=[0.5]'
set_to "a negative rate" "'sweep.rates': the rate of 'fc2' must be a number of 0 or more" 'sweep.rates={"fc2": -1}'
set_to "a rate of no layer" "rate of 'fc9': .*nearest is 'fc[12]'" 'sweep.rates={"fc9": 0.5}'
set_to "a rate that asks for too much" "rate of 'fc2': 3 times 0.5 is more than all of it" 'sweep.rates={"fc2": 3}'
set_to "a first layer that cannot stay whole" "scope 'uniform' keeps 'fc1/weight' whole" sweep.scope=uniform
set_to "--set of a group" "--set: 'train' is a group of keys" train=1
check "--set takes a word, a number or a quoted string for a text" coppice plan good.json -o words --no-timing \
	--set name=7 --set 'slurm.mem="4G"' --set slurm.time=01:00:00 --set train.epochs=1 --set train.epochs=2
for line in '"name": *"7"' '"mem": *"4G"' '"time": *"01:00:00"' '"epochs": *2'; do
	check "it understood them, the last of two counting: $line" grep -qE "${line/: /:[[:space:]]}" words/experiment.json
done
refuse "missing experiment" "cannot open 'none.json': No such file" coppice plan none.json -o new
refuse "experiment that is a folder" "cannot read 'run': Is a directory" coppice plan run -o new
mkdir a-file-is-there && touch a-file-is-there/new
refuse "run's folder that is a file" "cannot make folder '.*a-file-is-there/new'" coppice plan good.json -o a-file-is-there/new

# datasets
head -c 20000 d.h5 >cut.h5
set_to "truncated dataset" "cut.h5': .*truncated" data.path=cut.h5
: >empty.h5
set_to "empty dataset" "cannot read as HDF5 '.*empty.h5'" data.path=empty.h5
echo "not HDF5 at all" >text.h5
set_to "a batch that ranks cannot share" "'train.batch' is 20, which 3 ranks \('device.ranks'\) cannot share evenly: take a multiple of 3" device.ranks=3
set_to "too many ranks" "'device.ranks' is 17, but must lie in 1..16" device.ranks=17
set_to "two ways of moving images" "'data.augment.resized_crop' and 'data.augment.crop_padding' both move images: choose one" data.augment.resized_crop=true data.augment.crop_padding=4
set_to "boxes of no area" "data.augment.scale_min' .*0.001" data.augment.resized_crop=true data.augment.scale_min=0
set_to "fewer loader threads than none" "device.loader_threads' .*-1" device.loader_threads=-2
set_to "dataset that is text" "cannot read as HDF5 '.*text.h5'" data.path=text.h5
set_to "dataset that is a folder" "cannot read as HDF5 '.*run'|'.*run'.*directory" data.path=run
if has_python; then
	"$PYTHON" - <<'END'
import h5py, shutil
shutil.copy("d.h5", "labels.h5"); shutil.copy("d.h5", "half.h5"); shutil.copy("d.h5", "version.h5"); shutil.copy("d.h5", "notest.h5")
with h5py.File("notest.h5", "r+") as f: del f["test"]
with h5py.File("labels.h5", "r+") as f: f["train/labels"][17] = 10
with h5py.File("half.h5", "r+") as f: del f.attrs["complete"]
with h5py.File("version.h5", "r+") as f: f.attrs["version"] = 2
END
	set_to "labels that exceed the classes" "labels.h5': label 10 of train image 17 is not one of 10 classes" data.path=labels.h5
	refuse "such labels without timing" "label 10 of train image 17" coppice plan good.json -o new --no-timing --set data.path=labels.h5
	set_to "dataset without test images" "notest.h5' has no test images" data.path=notest.h5
	set_to "dataset that is not complete" "half.h5' is not complete" data.path=half.h5
	set_to "dataset of another version" "version.h5' has layout version 2" data.path=version.h5
else
	skip "labels that exceed the classes" "no python3 with h5py"
fi
mkdir empty
refuse "pack an empty folder" "empty" coppice pack empty e.h5
check "it leaves no dataset" test ! -e e.h5

# runs
refuse "a RUN of another experiment" "run'.*another experiment.*train.optimizer.lr" coppice plan good.json -o run --set train.optimizer.lr=0.1
refuse "a RUN of another grid" "sweep.quantiles" coppice plan good.json -o run --set 'sweep.quantiles=[0.1]'
check "where it runs may change" coppice plan good.json -o run --no-timing --set device.threads=1 --set slurm.cpus=2
for c in train cell status collect submit redo cancel; do
	refuse "coppice $c of what is no run" "'.*empty' is no planned run" coppice $c empty $([ $c = cell ] && echo 0)
	refuse "coppice $c of what is not there" "'.*nowhere' is no planned run" coppice $c nowhere $([ $c = cell ] && echo 0)
	refuse "coppice $c without a RUN" "folder is needed" coppice $c
done
refuse "report without results" "'empty' has no results yet" coppice report empty
refuse "cell beyond the grid" "cell 4 does not exist: '.*run' has cells 0 to 3" coppice cell run 4
refuse "cell that is no number" "INDEX wants a whole number .*, not 'x'" coppice cell run x
refuse "negative cell" "INDEX wants a whole number|unrecognized|invalid" coppice cell run -1
refuse "no INDEX and no task" "no INDEX was given, and this is no task of an array" env -u SLURM_ARRAY_TASK_ID -u COPPICE_TASK coppice cell run
refuse "a task beyond the grid" "cell 7 does not exist" env SLURM_ARRAY_TASK_ID=7 coppice cell run
refuse "replicate that does not exist" "replicate 3 does not exist" coppice train run -r 3
refuse "threads out of range" "--threads wants a whole number in 0..4096, not '-1'" coppice train run --threads=-1
refuse "cell without its dense run" "cell 0: the dense run's checkpoint is needed \('coppice train' makes it\): cannot open '.*final.h5'" coppice cell run 0
expect "status says so" 0 "cell 0 +failed .*dense run's checkpoint is needed" coppice status run
coppice train run 2>/dev/null || no "train"
mv run/dense/0/final.h5 kept.h5
head -c 3000 kept.h5 >run/dense/0/final.h5
refuse "cell with a truncated checkpoint" "cell 0: .*dense/0/final.h5'" coppice cell run 0
coppice plan good.json -o other --no-timing --set train.optimizer.lr=0.2 >/dev/null && coppice train other 2>/dev/null
cp other/dense/0/final.h5 run/dense/0/final.h5
refuse "cell with a checkpoint of another experiment" "cell 0: checkpoint '.*final.h5' belongs to another experiment" coppice cell run 0
check "no cell is there" test -z "$(ls run/cells 2>/dev/null)"
mv kept.h5 run/dense/0/final.h5
check "with the right one it goes" coppice cell run 0
coppice cell other 0 2>/dev/null || coppice cell other 0
cp other/cells/000000.h5 run/cells/000001.h5
expect "a cell of another experiment is not taken for ours" 4 "cell 1 counts as missing: .*000001.h5' belongs to another experiment" coppice collect run
sed -i 's/"index":.*1,/"index": 7,/' run/cells.json
refuse "a damaged grid" "cells.json': cell 1 is not what experiment.json says" coppice status run
echo '{' >run/cells.json
refuse "a broken grid" "cells.json' line" coppice status run

# commands
refuse "unknown command" "'stauts' is no command \(did you mean 'status'\?\)" coppice stauts
refuse "unknown option" "unrecognized option" coppice plan --fast
refuse "two runs" "one run at a time" coppice status run other
expect "no command" 2 "Usage: coppice COMMAND" coppice
left=$(find . -name '.*.tmp' | wc -l)
[ "$left" -eq 0 ] && ok "no temporary files are left" || no "$left temporary files are left"
