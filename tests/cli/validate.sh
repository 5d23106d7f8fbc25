#!/bin/bash
# test: train.validate_every: rows of the history where they should be, a line an epoch in the log, the same bits, the hash
source "$ROOT/tests/lib.sh"
if ! has_python; then
	skip "train.validate_every" "no python with h5py"
	exit 0
fi

# 320 images to train on: 16 steps an epoch, 48 in all
cat >e.json <<'END'
{"name": "e", "model": {"hidden": [24]},
 "data": {"path": "glyphs", "validation": 40, "glyphs": {"train": 360, "test": 100, "seed": 3}},
 "train": {"epochs": 3, "batch": 20, "optimizer": {"lr": 0.05}},
 "sweep": {"quantiles": [0.8], "reset": ["0ep", "7it", "3ep"]}}
END
plan() { coppice plan e.json --no-timing -o "$@" >/dev/null 2>&1; }
plan each && plan often --set train.validate_every=10it || no "plan"
check "the default is no new experiment" plan each --set train.validate_every=1ep
expect "another value is" 2 "train.validate_every" coppice plan e.json --no-timing -o each --set train.validate_every=10it
expect "no point in training" 2 "'train.validate_every' holds 'often'" coppice plan e.json -o new --set train.validate_every=often
expect "less than a step" 2 "'train.validate_every' is '0it', which is less than a step" \
	coppice plan e.json -o new --set train.validate_every=0it
for run in each often; do
	coppice submit $run --local >$run.log 2>&1 && coppice collect $run >/dev/null 2>&1 || no "the sweep '$run'"
done
cat >rows.py <<'PYTHON'
import h5py, numpy, sys
want = {
    "each": {"dense/0/result": [0, 16, 32, 48], "cells/000000": [0, 16, 32, 48], "cells/000001": [7, 16, 32, 48],
             "cells/000002": [48]},
    "often": {"dense/0/result": [0, 10, 20, 30, 40, 48], "cells/000000": [0, 10, 20, 30, 40, 48],
              "cells/000001": [7, 10, 20, 30, 40, 48], "cells/000002": [48]},
}
for run, files in want.items():
    for name, steps in files.items():
        with h5py.File(f"{run}/{name}.h5") as f:
            h = f["history"]
            assert h["step"][:].tolist() == steps, (run, name, h["step"][:])
            assert numpy.array_equal(h["epoch"][:], numpy.array(steps) / 16)
            assert numpy.isnan(h["train_loss"][0]) and numpy.isfinite(h["train_loss"][1:]).all()
            assert numpy.isfinite(h["val_loss"][:]).all() and (numpy.diff(h["seconds"][:]) >= 0).all()
            # each row's mean over its steps: together that of the epochs
            n = numpy.diff(steps)
            with h5py.File(f"each/{name}.h5") as e:
                m = numpy.diff(e["history/step"][:])
                a, b = (h["train_loss"][1:] * n).sum(), (e["history/train_loss"][1:] * m).sum()
                assert abs(a - b) <= 1e-9 * abs(b), (name, a, b)
                assert h["val_loss"][-1] == e["history/val_loss"][-1]
                assert all((f[k][:] == e[k][:]).all() for k in ("params/fc1/weight", "masks/fc1/weight") if k in f)
    with h5py.File(f"{run}/results.h5") as f:
        assert f["history/000001/step"][:].tolist() == files["cells/000001"]
        assert f["dense/0/step"][:].tolist() == files["dense/0/result"]
PYTHON
expect "rows where they should be, and the same weights" 0 '^$' "$PYTHON" rows.py
lines() { grep -hoE "$1: epoch [0-9.]+ of 3" often.log often/logs/* 2>/dev/null | sort -u | wc -l; }
check "a line an epoch" test "$(lines 'dense run 0')" -eq 3
check "of cells, too" test "$(lines 'cell 1')" -eq 3

# early stop: the first row of least validation loss, in files and tables
tested="--set train.validate_every=10it --set train.test_early_stop=true"
coppice plan e.json --no-timing -o tested $tested >/dev/null 2>&1 && coppice submit tested --local >tested.log 2>&1 &&
	coppice collect tested >/dev/null 2>&1 || no "the sweep 'tested'"
expect "another experiment" 2 "train.test_early_stop" coppice plan e.json --no-timing -o often $tested
cat >stop.py <<'PYTHON'
import csv, h5py, numpy
for run in "often", "tested":
    table = list(csv.DictReader(open(f"{run}/results.csv")))
    results = h5py.File(f"{run}/results.h5")
    for name in "dense/0/result", "cells/000000", "cells/000001", "cells/000002":
        f = h5py.File(f"{run}/{name}.h5")
        h, loss = f["history"], f["history/val_loss"][:]
        at = int(numpy.argmin(loss))
        assert f.attrs["early_stop_step"] == h["step"][at] and f.attrs["early_stop_val_top1"] == h["val_top1"][at]
        assert ("test_top1" in h) == (run == "tested")
        if run == "tested":
            lowest = numpy.minimum.accumulate(numpy.r_[numpy.inf, loss])[:-1]
            assert numpy.array_equal(~numpy.isnan(h["test_top1"][:]), loss < lowest)
            assert f.attrs["early_stop_test_top1"] == h["test_top1"][at]
            if at == len(loss) - 1:
                assert h["test_top1"][at] == f.attrs["test_top1"]
        else:
            assert numpy.isnan(f.attrs["early_stop_test_top1"])
        for key in "early_stop_step", "early_stop_val_top1", "early_stop_test_top1":
            v = f.attrs[key]
            if name.startswith("cells"):
                said = table[int(name[6:])][key]
                assert said == "" if numpy.isnan(v) else float(said) == v, (run, name, key)
                got = results["cells"][key][int(name[6:])]
            else:
                got = results["dense/0"].attrs[key]
            assert got == v or numpy.isnan(v) and numpy.isnan(got), (run, name, key)
PYTHON
expect "early stop in files and tables" 0 '^$' "$PYTHON" stop.py
expect "it is shown" 0 '^early stop step +[0-9]+$' coppice show tested/cells/000000.h5
expect "the test's column, too" 0 'seconds +test_top1$' coppice show tested/cells/000000.h5
expect "where it is there" 0 'seconds$' coppice show often/cells/000000.h5

# killed at any moment
coppice plan e.json --no-timing -o hit $tested --set device.checkpoint_minutes=0 >/dev/null 2>&1
killed=0
bad=
for moment in 0 0.02 0.05 0.1; do
	rm -rf hit/dense hit/state
	hit $moment hit/state/dense-0.h5 coppice train hit
	coppice train hit 2>>log || bad="$bad $moment (failed)"
	same_tensors {tested,hit}/dense/0/result.h5 >differs 2>&1 || { bad="$bad $moment"; cat differs; }
done
[ -z "$bad" ] && ok "killed at four moments: the same rows" || no "killed at$bad: other rows"

# what would come to nothing
expect "no test at an early stop that nobody looks for" 2 "'train.test_early_stop' needs 'data.validation'" \
	coppice plan e.json -o none --no-timing --set train.test_early_stop=true --set data.validation=0
tune='--set sweep.controls=["fine-tune"] --set train.schedule.name=cosine'
expect "fine-tuning with the end of a cosine is warned of" 0 "^coppice: warning: 'fine-tune' trains with the schedule's last learning rate, [0-9.e-]+, " \
	coppice plan e.json -o cosine --no-timing $tune
coppice plan e.json -o tuned --no-timing $tune --set sweep.fine_tune_lr=0.01 >out 2>&1
check "and not with a rate of its own" bash -c '! grep fine-tune out | grep warning'
