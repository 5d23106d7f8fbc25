#!/bin/bash
# test: what is there is not overwritten, and what was moved, edited or left behind is noticed
source "$ROOT/tests/lib.sh"
tiny=(--set train.epochs=1 --set data.glyphs.train=600 --set data.glyphs.test=200 --set data.validation=100
	--set 'model.hidden=[20]' --set 'sweep.quantiles=[0.5,0.9]' --set 'sweep.reset=["0ep"]')
demo=$ROOT/configs/demo.json
check "a run to look at" coppice run "$demo" -o run "${tiny[@]}"
final=run/dense/0/final.h5

before=$(md5sum <$final)
expect "a mask does not replace its checkpoint" 2 "exists \(--force replaces it\)" coppice mask make -q 0.5 $final $final
coppice mask make -q 0.5 $final mask.h5 >/dev/null
expect "nor does a masked checkpoint" 2 "exists" coppice mask apply mask.h5 $final $final
check "the checkpoint is as it was" test "$before" = "$(md5sum <$final)"
check "--force replaces" coppice mask make --force -q 0.9 $final mask.h5
expect "a page does not replace results" 2 "is no HTML" coppice report run -o run/results.h5

# a terminal's Ctrl-C reaches a cell twice: from the terminal, and from the program that started it
coppice plan "$demo" -o long "${tiny[@]}" --set train.epochs=2000 --no-timing >/dev/null
coppice train long >/dev/null 2>&1 &
pid=$!
until [ -e long/dense/0/init.h5 ]; do sleep 0.05; done
kill -STOP $pid
kill -INT $pid
kill -TERM $pid
kill -CONT $pid
wait $pid
check "INT and TERM together save" test $? -eq 75
expect "and status says stopped" 0 "dense 0 +stopped" coppice status long

cp -r run moved
rm moved/cells/000001.h5
expect "a copy's scripts are not sent" 2 "moved or copied; plan again" coppice submit --print moved
check "planned again they are" coppice plan "$demo" -o moved "${tiny[@]}" --no-timing
expect "and name the copy" 0 "/moved/jobs/cells.sbatch" coppice submit --print moved
lists=$(ls moved/jobs | wc -l)
coppice submit --print moved >/dev/null
check "printing again leaves nothing more" test "$lists" = "$(ls moved/jobs | wc -l)"
sed -i 's/"quantile":\t0.9/"quantile":\t0.8/' moved/cells.json
expect "an edited grid is noticed" 2 "cell 1 is not what experiment.json says" coppice status moved

# the list of a grid that has grown is lost: results say which cells they are
cp -r run grown
three=("${tiny[@]}" --set 'sweep.quantiles=[0.5,0.7,0.9]')
coppice run "$demo" -o grown "${three[@]}" >/dev/null 2>&1 || no "a grid that has grown"
cp grown/cells.json list
rm grown/cells.json
expect "status names the remedy" 2 "'coppice plan' makes it again.*cells.json" coppice status grown
expect "a list that is lost is made again" 0 "cells.json.*: 3 of 3 cells keep the numbers" \
	coppice plan "$demo" -o grown "${three[@]}" --no-timing
check "the same one" cmp list grown/cells.json
expect "and nothing else is" 0 "^ *3 of 3 cells done" coppice status grown
echo '{' >grown/cells.json
truncate -s 3000 grown/cells/000001.h5
expect "one that is damaged, beside a damaged result" 0 "2 of 3 cells keep the numbers" \
	coppice plan "$demo" -o grown "${three[@]}" --no-timing
check "the same again" cmp list grown/cells.json

touch "run/cells/.000001.h5.$(hostname).99999999.1.tmp" "run/cells/.000001.h5.elsewhere.1.1.tmp"
coppice collect run >/dev/null
check "what a killed process left is swept" test ! -e "run/cells/.000001.h5.$(hostname).99999999.1.tmp"
check "what another host may be writing stays" test -e run/cells/.000001.h5.elsewhere.1.1.tmp
sleep 0.05
touch run/cells
expect "report says that cells are newer" 0 "coppice collect run" coppice report run

if has_python; then
	"$PYTHON" - <<'EOF'
import h5py, numpy as np
with h5py.File('run/data.h5') as f, h5py.File('float.h5', 'w') as g:
    for k, v in f.attrs.items():
        g.attrs[k] = v
    for name in ('test', 'classes', 'train/labels'):
        f.copy(name, g, name)
    g['train/images'] = f['train/images'][:].astype('f4') / 255
with h5py.File('part.h5', 'w') as f:
    f['x'] = np.ones(5, 'f4')
layout = h5py.VirtualLayout(shape=(10,), dtype='f4')
layout[:5] = h5py.VirtualSource('part.h5', 'x', shape=(5,))
layout[5:] = h5py.VirtualSource('gone.h5', 'x', shape=(5,))
with h5py.File('virtual.h5', 'w') as f:
    f.create_virtual_dataset('v', layout)
EOF
	expect "images of floats are refused" 2 "is float32, and must be uint8" coppice plan "$demo" -o f "${tiny[@]}" --set data.path=float.h5
	expect "missing parts of a virtual dataset are named" 2 "takes values from 'gone.h5'" coppice quantile --scope all virtual.h5

	# a bit of a bias: too small for a checksum of its own
	cat >flip.py <<'EOF'
import h5py, sys
path, name = sys.argv[1:]
with h5py.File(path) as f:
    wanted = f[name][()].tobytes()
data = bytearray(open(path, 'rb').read())
assert data.count(wanted) == 1, name
data[data.index(wanted) + 5] ^= 0x10
open(path, 'wb').write(data)
EOF
	name=$("$PYTHON" -c 'import h5py; f = h5py.File("run/dense/0/final.h5"); print("params/" + f["order/params"].asstr()[1])')
	cp -r run kept
	rm run/cells/000001.h5
	"$PYTHON" flip.py $final "$name"
	expect "a mask of a checkpoint with a flipped bias" 2 "final.h5' is damaged: what params holds" coppice mask make -q 0.5 $final no.h5
	expect "a cell finds it, and moves it aside" 2 "moved aside.*final.h5' is damaged: what params holds" coppice cell run 1
	check "it lies beside its place" test -e $final.damaged -a ! -e $final -a ! -e run/cells/000001.h5
	expect "status says why" 0 "cell 1 +failed .*is damaged" coppice status run
	expect "redo makes both again" 0 "2 of 2 cells are done" coppice redo run --local
	check "the same checkpoint" same_tensors $final kept/dense/0/final.h5
	check "and the same cell" same_tensors run/cells/000001.h5 kept/cells/000001.h5
else
	skip "odd HDF5 files" "no python3 with h5py"
fi
