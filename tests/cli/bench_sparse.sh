#!/bin/bash
# test: coppice bench --sparse: masks and what they leave, figures of every row, as text and as JSON; what is refused
source "$ROOT/tests/lib.sh"

expect "on a GPU" 2 "--sparse is of the CPU" coppice bench --sparse --device cuda
expect "what has nothing sparse" 2 "'memory' has nothing sparse" coppice bench --sparse lenet memory
expect "a checkpoint alone" 2 "--checkpoint goes with --sparse" coppice bench --checkpoint c.h5 lenet
expect "a checkpoint of no network" 2 "--checkpoint is of one network: name it" coppice bench --sparse --checkpoint c.h5
expect "a checkpoint of two" 2 "--checkpoint is of one network: name it" coppice bench --sparse --checkpoint c.h5 lenet conv4
expect "a checkpoint that is not there" 2 "'c.h5'" coppice bench --threads 1 --sparse --checkpoint c.h5 lenet

heavy "the benchmarks" && exit
cat >e.json <<'JSON'
{"data": {"glyphs": {"train": 600, "test": 100}}, "train": {"epochs": 2, "batch": 60}, "device": {"threads": 1}}
JSON
check "a checkpoint" bash -c 'coppice plan e.json -o run --no-timing && coppice train run'
c=run/dense/0/final.h5
expect "a checkpoint of another network" 2 "'$c' for Conv-4: the checkpoint is of another network" \
	coppice bench --threads 1 --sparse --checkpoint $c conv4
expect "no checkpoint" 2 "'e.json'" coppice bench --threads 1 --sparse --checkpoint e.json lenet
if ! "$PYTHON" -c 'import h5py, numpy' 2>/dev/null; then
	skip "the figures" "no python3 with h5py"
	exit
fi
coppice bench --sparse --threads 1 --steps 3 --batch 16 --json --checkpoint $c lenet >given.json 2>errors || no "coppice bench --sparse: $(cat errors)"
coppice bench --sparse --threads 1 --steps 2 --batch 4 --json resnet20 convolutions >own.json 2>errors || no "coppice bench --sparse: $(cat errors)"
check "it says what it trained" grep -q '^ResNet-20: trained to a loss of [0-9.]*$' errors
cat >look.py <<'PYTHON'
import h5py, json, math, numpy as np
cuts = [0, .8, .9, .95, .98, .99]
parts = ['conv', 'conv_lists', 'depthwise', 'linear', 'update', 'data', 'others']

def look(j, network, batch, layers):
    assert j['threads'] == 1 and j['coppice'] and j['processor'] and j['gflops'] > 0, j
    rows = j['benchmarks']
    assert [(r['masks'], r['sparsity']) for r in rows] == [('global', q) for q in cuts] + [('uniform', q) for q in cuts[1:]]
    for r in rows:
        assert r['network'] == network and r['batch'] == batch and r['threads'] == 1 and r['layers'] == layers, r
        assert math.isclose(r['rate'], batch / r['seconds'], rel_tol=1e-9) and r['dense_rate'] > 0, r
        assert math.isclose(r['ratio'], r['rate'] / r['dense_rate'], rel_tol=1e-9), r
        assert all(-0.01 < r[p] < 1 for p in parts) and abs(sum(r[p] for p in parts) - 1) < 1e-9, r
        assert 0 <= r['lists'] <= layers and (r['lists'] == 0) <= (r['conv_lists'] == 0), r
    # all there, all whole; hardly anything there, all lists
    assert rows[0]['lists'] == rows[0]['dead_rows'] == rows[0]['dead_columns'] == rows[0]['conv_lists'] == 0
    assert rows[-1]['lists'] >= layers - 2 and rows[-1]['dead_rows'] > 0
    return rows

with h5py.File('run/dense/0/final.h5') as f:
    w = [f[f'params/fc{i}/weight'][()] for i in (1, 2, 3)]
    order = np.argsort(np.abs(np.concatenate([x.ravel() for x in w])), kind='stable')
def dead(cut):
    keep = np.ones(len(order), bool)
    keep[order[:cut]] = False
    rows = columns = at = 0
    for x in w:
        m = keep[at:at + x.size].reshape(x.shape)
        at += x.size
        rows += int((~m.any(axis=1)).sum())
        columns += int((~m.any(axis=0)).sum())
    return rows, columns
for r in look(json.load(open('given.json')), 'LeNet-300-100', 16, 3):
    assert r['conv'] == r['conv_lists'] == r['depthwise'] == 0 < r['linear'], r
    total = 784 * 300 + 300 * 100 + 100 * 10
    if r['masks'] == 'global':
        cut = int(r['sparsity'] * total + 0.5)
        assert r['survivors'] == total - cut and (r['dead_rows'], r['dead_columns']) == dead(cut), (r, dead(cut))
    else:
        assert abs(r['survivors'] - total * (1 - r['sparsity'])) < 3, r

j = json.load(open('own.json'))
rows = look(j, 'ResNet-20', 4, 22)
assert rows[0]['conv'] > 0 and rows[-1]['conv_lists'] > 0, rows
assert len(j['layers']) == 14
at = [50, 60, 70, 75, 80, 90]
for r in j['layers']:
    assert r['layer'].startswith('1x1 ') and r['layer'].endswith('batch 4') and r['dense_seconds'] > 0 and r['threads'] == 1, r
    s, even = [r[f'at_{q}'] for q in at], r['break_even']
    assert all(x > 0 for x in s), r
    if s[-1] < 1:
        assert even is None, r
    elif even == 0.5:
        assert all(x >= 1 for x in s), r
    else:
        k = sum(100 * even > q for q in at)
        assert s[k - 1] < 1 and all(x >= 1 for x in s[k:]), r
        assert math.isclose((100 * even - at[k - 1]) / (at[k] - at[k - 1]), (1 - s[k - 1]) / (s[k] - s[k - 1]), abs_tol=1e-6), r
print('as it should be')
PYTHON
expect "the figures" 0 '^as it should be$' "$PYTHON" look.py
expect "the table" 0 '^LeNet-300-100 +16 +1 +uniform +99 ' coppice bench --sparse --threads 1 --steps 1 --batch 16 --checkpoint $c lenet
