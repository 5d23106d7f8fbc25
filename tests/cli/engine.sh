#!/bin/bash
# test: results say which layers were computed from lists of their survivors: cells, show, collect, results.csv
source "$ROOT/tests/lib.sh"

cat >e.json <<'JSON'
{"model": {"hidden": [40, 20]}, "data": {"glyphs": {"train": 600, "test": 100}},
 "train": {"epochs": 1, "batch": 60}, "sweep": {"quantiles": [0.1, 0.995], "reset": ["0ep"]}, "device": {"threads": 1}}
JSON
for engine in auto sparse dense timed; do
	check "a sweep, $engine" bash -c "coppice run e.json -o $engine --set device.engine=$engine"
done
shown() { coppice show "$1" | awk -v key="$2" '$1 == key {$1 = ""; print substr($0, 2)}'; }
# at 10% every layer is whole, at 99.5% every one a list
check "auto, little cut" [ "$(shown auto/cells/000000.h5 engine)" = dense ]
check "auto, much cut" [ "$(shown auto/cells/000001.h5 engine)" = "sparse 3 of 3 layers" ]
check "sparse" [ "$(shown sparse/cells/000000.h5 engine)" = "sparse 3 of 3 layers" ]
check "dense" [ "$(shown dense/cells/000001.h5 engine)" = dense ]
check "timed: as it came out" grep -qE "^(dense|sparse [1-3] of 3 layers)$" <(shown timed/cells/000001.h5 engine)
check "a dense run" [ "$(shown auto/dense/0/result.h5 engine)" = dense ]
expect "the layers, shown" 0 '^ *fc1/weight +31,?360 +[0-9]+ +[0-9.]+ +yes$' coppice show auto/cells/000001.h5
expect "no layer is a list" 0 '^ *fc1/weight +31,?360 +[0-9]+ +[0-9.]+ +no$' coppice show dense/cells/000001.h5
check "results.csv" [ "$(grep -cE '",sparse 3 of 3 layers,$' auto/results.csv)$(grep -cE '",dense,$' auto/results.csv)" = 11 ]
expect "how fast they ran beside the dense run" 0 '^ *0.995 +0\.50 +1 +[0-9.]+ +[0-9.]+ +[0-9.]+$' coppice report sparse
if ! "$PYTHON" -c 'import h5py' 2>/dev/null; then
	skip "the files as h5py reads them" "no python3 with h5py"
	exit
fi
cat >look.py <<'PYTHON'
import h5py
want = {'auto': [0, 1], 'sparse': [1, 1], 'dense': [0, 0]}
for run, sparse in want.items():
    with h5py.File(f'{run}/results.h5') as r:
        engine = [e.decode() for e in r['cells']['engine']]
        assert r['cells'].dtype.names[-3:] == ('device', 'engine', 'job'), r['cells'].dtype.names
        for i, s in enumerate(sparse):
            with h5py.File(f'{run}/cells/{i:06}.h5') as c:
                assert c.attrs['engine'] == engine[i] == ('sparse 3 of 3 layers' if s else 'dense'), (run, i, engine)
                for f in c['layers'], r[f'layers/{i:06}']:
                    assert list(f['sparse'][()]) == [s] * 3 and list(f) == ['name', 'nnz', 'sparse', 'total'], (run, i)
        assert r['dense/0'].attrs['device'] == r['cells']['device'][0].decode()
print('as it should be')
PYTHON
expect "the files as h5py reads them" 0 '^as it should be$' "$PYTHON" look.py

# A file of before there was the note: attribute and column are not there, and the digest is of what is.
cat >older.py <<'PYTHON'
import h5py, struct, sys
with h5py.File(sys.argv[1], 'r+') as f:
    del f.attrs['engine'], f['layers/sparse'], f.attrs['criterion'], f.attrs['retrain'], f.attrs['child']
    for n in 'step', 'val_top1', 'test_top1':
        del f.attrs['early_stop_' + n]
    h = 0xcbf29ce484222325
    def add(b):
        global h
        for x in b:
            h = (h ^ x) * 0x100000001b3 & 0xffffffffffffffff
    names = ('index replicate round same_as quantile threshold reset reset_step total nnz test_top1 test_top5 test_loss val_top1 '
             'seconds images_per_second data_wait began ended joules cores gpus gpu_utilisation gpu_memory restarts host device job')
    add(f.attrs['experiment_hash'].encode())
    for n in names.split():
        v = f.attrs[n]
        add(v.encode() if isinstance(v, str) else v.tobytes())
    columns = 'epoch step lr train_loss train_top1 val_loss val_top1 val_top5 seconds'.split()
    for row in zip(*(f['history'][c][()] for c in columns)):
        add(struct.pack('9d', *row))
    for name, total, nnz in zip(f['layers/name'], f['layers/total'], f['layers/nnz']):
        add(name + struct.pack('qq', total, nnz))
    f.attrs['digest'] = f'{h:016x}'
PYTHON
check "a cell as an older version left it" "$PYTHON" older.py auto/cells/000001.h5
check "it is shown" [ "$(shown auto/cells/000001.h5 engine)" = "" ]
expect "its layers, too" 0 '^ *fc1/weight +31,?360 +[0-9]+ +[0-9.]+ +-$' coppice show auto/cells/000001.h5
check "it is collected" bash -c 'rm auto/results.h5 && coppice collect auto && coppice show auto'
expect "nothing is said of its engine, and what was there only is taken for granted" 0 '^2 b.. 0 magnitude rewind 0$' "$PYTHON" -c "import h5py; r = h5py.File('auto/results.h5')
print(len(r['cells']), r['cells']['engine'][1], int('sparse' in r['layers/000001']),
    r['cells']['criterion'][1].decode(), r['cells']['retrain'][1].decode(), r['cells']['child'][1])"
