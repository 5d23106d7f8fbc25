#!/bin/bash
# test: coppice mask make, apply, shuffle, show and compare, against masks made with numpy
source "$ROOT/tests/lib.sh"

if ! has_python; then
	skip "masks" "no python3 with h5py and numpy"
	exit 0
fi

cat >make.py <<'EOF'
import h5py, numpy as np
rng = np.random.default_rng(11)

def checkpoint(path, tensors, slots=('momentum', 'adam_v'), complete=1):
    with h5py.File(path, 'w') as f:
        f.attrs['format'] = 'coppice-checkpoint'
        f.attrs['version'] = 1
        f.attrs['step'] = 1234
        f.attrs['epoch'] = 1.5
        f.attrs['experiment'] = '{"name": "x"}'
        f.attrs['experiment_hash'] = 'abc'
        names = h5py.string_dtype()
        for group in ('params',) + tuple('optimizer/' + s for s in slots):
            f.create_dataset('order/' + group, data=[t[0] for t in tensors], dtype=names)
            for name, data, prunable in tensors:
                f[group + '/' + name] = data if group == 'params' else rng.normal(size=data.shape).astype('f4')
                f[group + '/' + name].attrs['prunable'] = prunable
        if complete:
            f.attrs['complete'] = 1

def normal(*shape):
    return rng.normal(size=shape).astype('f4')

# names out of alphabetical order; ties, zeros of both signs, and a bias that is smaller than all weights
ties = rng.integers(-3, 4, size=(12, 30)).astype('f4')
ties[0, :5] = -0.0
tensors = [('z/weight', ties, 1), ('z/bias', normal(12) * 1e-6, 0), ('conv/weight', normal(8, 5, 3, 3), 1),
           ('a/weight', normal(10, 12), 1)]
checkpoint('c.h5', tensors)
checkpoint('half.h5', tensors, complete=0)
checkpoint('first.h5', [(n, np.sign(d) * rng.choice([-1, 1, 1, 0], d.shape).astype('f4') * normal(*d.shape) ** 2, p)
                        for n, d, p in tensors])
checkpoint('other.h5', [('z/weight', normal(30, 12), 1)])
checkpoint('fewer.h5', tensors[:3])
checkpoint('bias.h5', [('z/bias', normal(12), 0)])
broken = normal(8, 5, 3, 3)
broken[3, 1, 0, 2] = np.nan
checkpoint('nan.h5', [('conv/weight', broken, 1)])
EOF
cat >check.py <<'EOF'
import h5py, json, numpy as np, sys
how, value, scope, path = sys.argv[1], float(sys.argv[2]), sys.argv[3], sys.argv[4]
c, m = h5py.File('c.h5'), h5py.File(path)
names = ['z/weight', 'conv/weight', 'a/weight']
w = [np.abs(c['params/' + n][()]).ravel() for n in names]
assert sorted(m['masks']) == ['a', 'conv', 'z'] and list(m['masks/z']) == ['weight']

def cut(a):  # of equal magnitudes, the first
    k = int(np.floor(value * a.size + 0.5))
    mask = np.ones(a.size, 'u1')
    mask[np.argsort(a, kind='stable')[:k]] = 0
    return mask

if how == 'threshold':
    want = np.concatenate(w) > value
elif scope == 'layer':
    want = np.concatenate([cut(a) for a in w])
else:
    want = cut(np.concatenate(w))
got = np.concatenate([m['masks/' + n][()].ravel() for n in names])
assert got.dtype == np.uint8 and (got == want).all(), (got != want).sum()
assert m['masks/conv/weight'].shape == (8, 5, 3, 3)
all_w = np.concatenate(w)
a = m.attrs
assert a['format'] == 'coppice-mask' and a['version'] == 1 and a['complete'] == 1
assert a['total'] == want.size and a['nnz'] == want.sum() and a['criterion'] == 'magnitude' and a['scope'] == scope
if how == 'threshold':
    assert a['threshold'] == value and abs(a['quantile'] - (1 - want.mean())) < 1e-12
else:
    assert a['quantile'] == value
    assert a['threshold'] == (all_w[want == 0].max() if (want == 0).any() else 0)

shown = json.load(sys.stdin)
assert shown['total'] == want.size and shown['nnz'] == want.sum() and shown['scope'] == scope
rows = {t['tensor']: t for t in shown['tensors']}
assert [t['tensor'] for t in shown['tensors']] == names + ['total']
for n in names:
    k = m['masks/' + n][()]
    units = k.reshape(k.shape[0], k.shape[1], -1)
    assert rows[n]['weights'] == k.size and rows[n]['kept'] == k.sum() and rows[n]['density'] == k.mean(), n
    assert rows[n]['dead outputs'] == (units.sum((1, 2)) == 0).sum(), n
    assert rows[n]['dead inputs'] == (units.sum((0, 2)) == 0).sum(), n
EOF
"$PYTHON" make.py || { no "making the checkpoints"; exit 1; }

makes() { # makes HOW VALUE SCOPE
	# not through a pipe: the file must be there before it is looked at
	coppice mask make --force c.h5 m.h5 --$1 $2 --scope $3 --json >made.json && "$PYTHON" check.py $1 $2 $3 m.h5 <made.json &&
		coppice mask show m.h5 --json | "$PYTHON" check.py $1 $2 $3 m.h5
}
for q in 0 0.1 0.35 0.5 0.964 0.999 1; do
	check "quantile $q" makes quantile $q global
	check "quantile $q by layer" makes quantile $q layer
done
check "sparsity" makes sparsity 0.9 global
check "threshold, itself included" makes threshold 1 global
check "threshold 0 cuts zeros" makes threshold 0 global

coppice mask make c.h5 m90.h5 -q 0.9 >/dev/null
coppice mask make c.h5 m50.h5 -q 0.5 >/dev/null
coppice mask make c.h5 m0.h5 -q 0 >/dev/null
coppice mask make c.h5 m100.h5 -q 1 >/dev/null
expect "show" 0 '^total +- +840 +84 +0\.1000 ' coppice mask show m90.h5
expect "show tells how it was made" 0 '^quantile 0\.9, threshold [0-9.]+, scope global, criterion magnitude$' coppice mask show m90.h5

# How many go of which tensor, and that these are the smallest; a rate is FACTOR times the quantile.
cat >shares.py <<'EOF'
import h5py, numpy as np, sys
path, q, scope, rates = sys.argv[1], float(sys.argv[2]), sys.argv[3], dict(r.split('=') for r in sys.argv[4:])
c, m = h5py.File('c.h5'), h5py.File(path)
names = ['z/weight', 'conv/weight', 'a/weight']
w = {n: np.abs(c['params/' + n][()]) for n in names}
rated = {n: float(rates[n.split('/')[0]]) for n in names if n.split('/')[0] in rates}
rest = [n for n in names if n not in rated]
cut = {n: int(np.floor(f * q * w[n].size + 0.5)) for n, f in rated.items()}
total = sum(w[n].size for n in rest)
goal = int(np.floor(q * total + 0.5))
if scope == 'uniform':
    whole = names[0] if names[0] in rest else None
    open_ = total - (w[whole].size if whole else 0)
    share = {n: 0 if n == whole else goal * w[n].size / open_ for n in rest}
elif scope == 'erk':  # the scale by trying, finer and finer
    low, high = 0, 1e6
    for _ in range(100):
        e = (low + high) / 2
        kept = {n: min(w[n].size, e * sum(w[n].shape)) for n in rest}
        low, high = (e, high) if sum(kept.values()) < total - goal else (low, e)
    share = {n: w[n].size - kept[n] for n in rest}
else:
    order = np.sort(np.concatenate([w[n].ravel() for n in rest]))
    kept = {n: m['masks/' + n][()] for n in rest}
    assert sum((k == 0).sum() for k in kept.values()) == goal
    assert all((w[n][kept[n] == 1] >= order[goal - 1]).all() and (w[n][kept[n] == 0] <= order[goal - 1]).all() for n in rest)
if scope != 'global':
    share = {n: round(s, 9) for n, s in share.items()}
    cut.update({n: int(s) for n, s in share.items()})
    for n in sorted(rest, key=lambda n: int(share[n]) - share[n])[:goal - sum(cut[n] for n in rest)]:
        cut[n] += 1
    assert sum(cut[n] for n in rest) == goal
for n, k in cut.items():
    want = np.ones(w[n].size, 'u1')
    want[np.argsort(w[n].ravel(), kind='stable')[:k]] = 0
    assert (m['masks/' + n][()].ravel() == want).all(), (n, k)
assert m.attrs['scope'] == scope and m.attrs['total'] == 840
EOF
shares() { # shares QUANTILE SCOPE [LAYER=FACTOR...]
	local rates=() r
	for r in "${@:3}"; do rates+=(--rate "$r"); done
	coppice mask make --force c.h5 s.h5 -q $1 --scope $2 "${rates[@]}" >/dev/null && "$PYTHON" shares.py s.h5 "$@"
}
for q in 0 0.05 0.31 0.5; do
	check "uniform, quantile $q" shares $q uniform
	check "erk, quantile $q" shares $q erk
done
check "erk, quantile 0.93" shares 0.93 erk
check "uniform where the first layer has a rate" shares 0.9 uniform z=0.5
check "erk with two rates" shares 0.6 erk conv=0 a=1.25
check "global with a rate" shares 0.6 global conv=0.5

# The criteria that need no images, by sorting: the score of each weight, then its place.
cat >criteria.py <<'EOF'
import h5py, numpy as np, sys
path, q, criterion = sys.argv[1], float(sys.argv[2]), sys.argv[3]
c, first, m = h5py.File('c.h5'), h5py.File('first.h5'), h5py.File(path)
names = ['z/weight', 'conv/weight', 'a/weight']
last, before = ([f['params/' + n][()].astype('f8') for n in names] for f in (c, first))
got = [m['masks/' + n][()].ravel() for n in names]
score = {'change': [np.abs(a - b) for a, b in zip(last, before)],
         'magnitude-same-sign': [np.where(np.sign(a) == np.sign(b), np.abs(a), 0) for a, b in zip(last, before)]}
assert m.attrs['criterion'] == criterion and m.attrs['nnz'] == sum(k.sum() for k in got) == 840 - int(q * 840 + 0.5)
if criterion in score:
    s = np.concatenate([x.ravel() for x in score[criterion]])
    want = np.ones(840, 'u1')
    want[np.argsort(s, kind='stable')[:int(q * 840 + 0.5)]] = 0
    assert (np.concatenate(got) == want).all() and m.attrs['threshold'] == s[want == 0].max()
else:
    magnitude = np.concatenate([np.abs(x).ravel() for x in last])
    cut = np.argsort(magnitude, kind='stable')[:int(q * 840 + 0.5)]
    each = [int(((cut >= a) & (cut < b)).sum()) for a, b in ((0, 360), (360, 720), (720, 840))]
    assert ([int((k == 0).sum()) for k in got] == each) == (criterion == 'random-layerwise')
    want = np.ones(840, 'u1')
    want[cut] = 0
    assert 0.2 < (np.concatenate(got) != want).mean() < 0.8
EOF
criterion() { # criterion NAME [OPTION...]
	coppice mask make --force c.h5 s.h5 -q 0.45 --criterion "$@" >/dev/null && "$PYTHON" criteria.py s.h5 0.45 "$1"
}
check "by change" criterion change --init first.h5
check "by magnitude of the same sign" criterion magnitude-same-sign --init first.h5
check "at random" criterion random
check "at random, as many of each tensor as magnitude cuts" criterion random-layerwise --seed 3
expect "which is said" 0 'scope erk, criterion random$' coppice mask make --force c.h5 s.h5 -q 0.45 --criterion random --scope erk

cat >applied.py <<'EOF'
import h5py, numpy as np
c, m, out = h5py.File('c.h5'), h5py.File('m90.h5'), h5py.File('out.h5')
for group in ('params', 'optimizer/momentum', 'optimizer/adam_v'):
    for n in ('z/weight', 'conv/weight', 'a/weight'):
        want = np.where(m['masks/' + n][()] == 1, c[group + '/' + n][()], np.float32(0))
        assert (out[group + '/' + n][()].view('u4') == want.view('u4')).all(), (group, n)
    assert (out[group + '/z/bias'][()] == c[group + '/z/bias'][()]).all()
for a in ('step', 'epoch', 'experiment', 'experiment_hash', 'format', 'complete'):
    assert out.attrs[a] == (1 if a == 'complete' else c.attrs[a]), a
EOF
check "apply" coppice mask apply m90.h5 c.h5 out.h5
check "what apply wrote" "$PYTHON" applied.py
zeros=$(coppice quantile out.h5 --json -q 0.5 | grep '"zeros"' | tr -dc 0-9)
# of the weights that are kept none is 0 at this quantile
[ "$zeros" = 756 ] && ok "the applied checkpoint has as many zeros as were cut" || no "zeros: $zeros of 756"

cat >compared.py <<'EOF'
import h5py, json, numpy as np, sys
a, b = h5py.File(sys.argv[1]), h5py.File(sys.argv[2])
got = json.load(sys.stdin)
def figures(x, y):
    both = int((x & y).sum())
    least, either = int(min(x.sum(), y.sum())), int((x | y).sum())
    return [int(x.sum()), int(y.sum()), both, both / least if least else None, both / either if either else None]
names = ['z/weight', 'conv/weight', 'a/weight']
rows = {t['tensor']: t for t in got['tensors']}
def check(name, x, y):
    t = rows[name]
    assert [t['kept by A'], t['kept by B'], t['by both'], t['overlap'], t['jaccard']] == figures(x, y), (name, t)
masks = [[f['masks/' + n][()].ravel() for n in names] for f in (a, b)]
for n, x, y in zip(names, *masks):
    check(n, x, y)
check('total', *(np.concatenate(m) for m in masks))
EOF
compares() { coppice mask compare $1 $2 --json | "$PYTHON" compared.py $1 $2; }
coppice mask make c.h5 layer.h5 -q 0.6 --scope layer >/dev/null
check "compare" compares m50.h5 layer.h5
check "compare a mask with itself" compares m90.h5 m90.h5
check "compare with one that keeps nothing" compares m90.h5 m100.h5
check "compare two that keep nothing" compares m100.h5 m100.h5
expect "a larger mask holds the smaller" 0 '^total +840 +420 +84 +84 +1\.0000 +0\.2000$' coppice mask compare m50.h5 m90.h5

# several masks, each with each
cat >matrix.py <<'EOF'
import h5py, json, numpy as np, sys
got, files = json.load(sys.stdin), sys.argv[1:]
if isinstance(got, list):  # a run's cells of one quantile
    assert len(got) == 1
    got = got[0]
masks = []
for path in files:
    with h5py.File(path) as f:
        names = sorted(n + '/weight' for n in f['masks'])
        masks.append(np.concatenate([f['masks/' + n][()].ravel() for n in names]).astype(bool))
assert got['weights'] == masks[0].size and [m['kept'] for m in got['masks']] == [int(m.sum()) for m in masks]
for i, a in enumerate(masks):
    for j, b in enumerate(masks):
        both, least, either = int((a & b).sum()), int(min(a.sum(), b.sum())), int((a | b).sum())
        assert got['overlap'][i][j] == (both / least if least else None), (i, j)
        assert got['jaccard'][i][j] == (both / either if either else None), (i, j)
EOF
matrix() { coppice mask compare "$@" --json | "$PYTHON" matrix.py "$@"; }
check "compare several" matrix m50.h5 layer.h5 m90.h5 m0.h5 m100.h5
expect "compare several, as a table" 0 '^ +2 +m90.h5 +84 +0\.200 +1\.000 +0\.100$' coppice mask compare m50.h5 m90.h5 m0.h5
expect "compare several by overlap" 0 '^ +2 +m90.h5 +84 +1\.000 +1\.000 +1\.000$' coppice mask compare m50.h5 m90.h5 m0.h5 --measure overlap

expect "show several" 0 '^total +840 +0\.5000 +0\.1000 +0\.0000$' coppice mask show m50.h5 m90.h5 m100.h5
expect "show what collapsed" 0 '^collapsed in m100.h5: z/weight, conv/weight, a/weight$' coppice mask show m50.h5 m100.h5
coppice mask make c.h5 gone.h5 -q 0.4 --rate a=2.5 >/dev/null
expect "show what collapsed in one mask" 0 '^collapsed: a/weight$' coppice mask show gone.h5
coppice mask show m50.h5 gone.h5 --json >shown.json
check "show several as JSON" "$PYTHON" -c "
import json
a, b = json.load(open('shown.json'))
assert [a['file'], b['file']] == ['m50.h5', 'gone.h5'] and a['collapsed'] == [] and b['collapsed'] == ['a/weight']
assert a['tensors'][-1]['kept'] == 420"

# masks of chance
cat >shuffled.py <<'EOF'
import h5py, numpy as np, sys
was, got, anew = h5py.File(sys.argv[1]), h5py.File(sys.argv[2]), len(sys.argv) > 3
names = ['z/weight', 'conv/weight', 'a/weight']
a, b = ([f['masks/' + n][()] for n in names] for f in (was, got))
assert got.attrs['nnz'] == was.attrs['nnz'] == sum(k.sum() for k in b) and got.attrs['quantile'] == was.attrs['quantile']
assert np.isnan(got.attrs['threshold'])
assert all((x != y).any() for x, y in zip(a, b))
assert anew == any(x.sum() != y.sum() for x, y in zip(a, b))
EOF
check "shuffle" coppice mask shuffle m50.h5 shuffled.h5
check "what shuffle wrote" "$PYTHON" shuffled.py m50.h5 shuffled.h5
expect "shuffle says so" 0 '^quantile 0.5, scope global, criterion magnitude, shuffled$' coppice mask show shuffled.h5
check "shuffle again" coppice mask shuffle m50.h5 again.h5 --seed 1
check "shuffle with another seed" coppice mask shuffle m50.h5 shuffled2.h5 --seed 2
jaccard() { coppice mask compare $1 $2 | awk '/^total/ {print $7}'; }
check "the same seed gives the same mask" test "$(jaccard shuffled.h5 again.h5)" = 1.0000
check "another seed another" test "$(jaccard shuffled.h5 shuffled2.h5)" != 1.0000
check "draw anew" coppice mask shuffle m50.h5 anew.h5 --anew
check "what was drawn anew" "$PYTHON" shuffled.py m50.h5 anew.h5 anew
expect "shuffle over a file that is there" 2 "'again.h5' exists" coppice mask shuffle m50.h5 again.h5
expect "shuffle a checkpoint" 2 "'c.h5' is no coppice-mask" coppice mask shuffle c.h5 no.h5

# the cells of a run
cat >exp.json <<'EOF'
{"name": "masks", "model": {"hidden": [12]}, "data": {"glyphs": {"train": 200, "test": 20}},
 "train": {"epochs": 2, "batch": 20}, "sweep": {"quantiles": [0.5, 0.8], "reset": ["0ep", "1ep"], "replicates": 2, "controls": ["shuffle"]}}
EOF
check "a run" coppice run exp.json -o RUN
cells() { # cells QUANTILE CELL...
	coppice mask compare RUN -q $1 --json | "$PYTHON" matrix.py $(printf 'RUN/cells/%06d.h5 ' "${@:2}")
}
check "compare a run's cells of one quantile" cells 0.8 2 3 6 7 10 11 14 15
check "compare those of the other" cells 0.5 0 1 4 5 8 9 12 13
expect "compare a run's cells as tables" 0 '^quantile 0.8$' coppice mask compare RUN
# the reset points of a one-shot sweep share their masks, the shuffled ones too: tables have the first of equal ones
expect "rows are named" 0 '^ +6 +replicate 0, reset 0ep, shuffle \(\+1 equal\) +[0-9]+ +0\.[0-9]+ +1\.000( +0\.[0-9]+){2}$' \
	coppice mask compare RUN -q 0.8
expect "rows say what they are in JSON" 0 '"retrain":.*"shuffle"' coppice mask compare RUN -q 0.8 --json
expect "a quantile that the run has not" 2 "no cell of 'RUN' has the quantile '0.7'" coppice mask compare RUN -q 0.7

# a sweep cuts what mask make cuts with the same scope and rates; in rounds a rate is that of each round
check "a sweep with a scope and rates" coppice run exp.json -o ERK --set sweep.scope=erk --set 'sweep.rates={"fc2": 0.5}' \
	--set 'sweep.controls=[]' --set sweep.replicates=1 --set 'sweep.reset=["0ep"]'
for cell in 0:0.5 1:0.8; do
	coppice mask make --force ERK/dense/0/final.h5 erk.h5 -q ${cell#*:} --scope erk --rate fc2=0.5 >/dev/null
	check "cell ${cell%:*} has the mask of mask make" test "$(jaccard ERK/cells/00000${cell%:*}.h5 erk.h5)" = 1.0000
done
check "rounds with a rate" coppice run exp.json -o ROUNDS --set 'sweep.rates={"fc2": 0.5}' --set sweep.rounds=2 \
	--set 'sweep.quantiles=[0.4]' --set 'sweep.controls=[]' --set sweep.replicates=1 --set 'sweep.reset=["0ep"]'
# fc2 has 120 weights: 24 go, then 0.2 of the rest, 1 - 0.8^2 in all
expect "the first round" 0 '^fc2/weight +10x12 +120 +96 ' coppice mask show ROUNDS/cells/000000.h5
expect "the second round" 0 '^fc2/weight +10x12 +120 +77 ' coppice mask show ROUNDS/cells/000001.h5

rm RUN/cells/000010.h5
expect "a cell that is not done" 0 '1 of 16 cells are not done' coppice mask compare RUN -q 0.8
check "the others are compared" cells 0.8 2 3 6 7 11 14 15
mkdir empty
expect "no run" 2 "'.*empty' is no planned run" coppice mask compare empty

coppice mask make other.h5 other-mask.h5 -q 0.5 >/dev/null
coppice mask make fewer.h5 fewer-mask.h5 -q 0.5 >/dev/null
expect "compare other shapes" 2 "'z/weight' is 12x30 in 'm50.h5' and 30x12 in 'other-mask.h5'" coppice mask compare m50.h5 other-mask.h5
expect "compare other tensors" 2 "'m50.h5' has 'a/weight', 'fewer-mask.h5' does not" coppice mask compare fewer-mask.h5 m50.h5
expect "apply to another network" 2 "'z/weight' is 30x12 in 'other-mask.h5'" coppice mask apply other-mask.h5 c.h5 no.h5
expect "apply a mask that lacks a tensor" 2 "'c.h5' has 'a/weight', 'fewer-mask.h5' does not" coppice mask apply fewer-mask.h5 c.h5 no.h5
expect "apply a checkpoint" 2 "'c.h5' is no coppice-mask" coppice mask apply c.h5 c.h5 no.h5
expect "make from a mask" 2 "'m50.h5' is no coppice-checkpoint" coppice mask make m50.h5 no.h5 -q 0.5
expect "NaN among the weights" 2 "'nan.h5': 'conv/weight' holds NaN at \[3, 1, 0, 2\]" coppice mask make nan.h5 no.h5 -q 0.5
expect "nothing prunable" 2 "'bias.h5' has no prunable weights" coppice mask make bias.h5 no.h5 -q 0.5
expect "an incomplete checkpoint" 2 "'half.h5' is not complete" coppice mask make half.h5 no.h5 -q 0.5
expect "quantile above 1" 2 "'1.2'" coppice mask make c.h5 no.h5 -q 1.2
expect "negative threshold" 2 "'-1'" coppice mask make c.h5 no.h5 --threshold=-1
expect "two ways at once" 2 'not two' coppice mask make c.h5 no.h5 -q 0.5 -t 1
expect "no way given" 2 '--quantile, --threshold or --sparsity' coppice mask make c.h5 no.h5
expect "unknown scope" 2 "--scope wants one of global\|layer\|uniform\|erk, not 'some'" coppice mask make c.h5 no.h5 -q 0.5 --scope some
expect "missing file" 2 "'nowhere.h5'" coppice mask show nowhere.h5
expect "too few files" 2 "'m50.h5' with which other file" coppice mask compare m50.h5
expect "a quantile of files" 2 "among the cells of a run" coppice mask compare m50.h5 m90.h5 -q 0.5
expect "compare several of which one is another network's" 2 "'z/weight' is 12x30 in 'm50.h5' and 30x12 in 'other-mask.h5'" \
	coppice mask compare m50.h5 m90.h5 other-mask.h5
expect "show several of which one is another network's" 2 "'m50.h5' has 'a/weight', 'fewer-mask.h5' does not" \
	coppice mask show m50.h5 fewer-mask.h5
expect "a measure that does not exist" 2 "--measure wants one of jaccard\|overlap, not 'dice'" coppice mask compare m50.h5 m90.h5 --measure dice
expect "a rate without a factor" 2 "--rate wants LAYER=FACTOR, not 'z'" coppice mask make c.h5 no.h5 -q 0.5 --rate z
expect "a rate of no layer" 2 "'c.h5': rate of 'zz': .*the nearest is 'z'" coppice mask make c.h5 no.h5 -q 0.5 --rate zz=1
expect "a rate that asks for too much" 2 "rate of 'z': 3 times 0.5" coppice mask make c.h5 no.h5 -q 0.5 --rate z=3
expect "a rate with a threshold" 2 "goes without --rate" coppice mask make c.h5 no.h5 -t 1 --rate z=1
expect "a criterion with a threshold" 2 "goes without --rate and --criterion" coppice mask make c.h5 no.h5 -t 1 --criterion random
expect "a criterion that wants images" 2 "'snip' wants the network and its images: plan a sweep with --set sweep.criterion=snip" \
	coppice mask make c.h5 no.h5 -q 0.5 --criterion snip
expect "a criterion that wants the network" 2 "'synflow' wants the network" coppice mask make c.h5 no.h5 -q 0.5 --criterion synflow --init first.h5
expect "a criterion without the initial weights" 2 "'change' wants the initial weights too: --init" coppice mask make c.h5 no.h5 -q 0.5 --criterion change
expect "initial weights for nothing" 2 "'random' looks at no initial weights" coppice mask make c.h5 no.h5 -q 0.5 --criterion random --init first.h5
expect "initial weights of another network" 2 "'z/weight' is 12x30 in 'c.h5' and 30x12 in 'other.h5'" \
	coppice mask make c.h5 no.h5 -q 0.5 --criterion change --init other.h5
expect "a criterion that does not exist" 2 "--criterion wants one of magnitude\|.*, not 'size'" coppice mask make c.h5 no.h5 -q 0.5 --criterion size
expect "a first tensor that cannot stay whole" 2 "'z/weight' whole: 480 weights are left to cut, not '588'" \
	coppice mask make c.h5 no.h5 -q 0.7 --scope uniform
expect "too many files" 2 "'no.h5' is one file too many" coppice mask make m50.h5 c.h5 no.h5
expect "unknown action" 2 "no action 'prune'" coppice mask prune
expect "no action" 2 'Usage: coppice mask' coppice mask
expect "help" 0 'make +CHECKPOINT MASK.h5' coppice mask --help
expect "an output folder that is not there" 1 "'no/m.h5'" coppice mask make c.h5 no/m.h5 -q 0.5

"$PYTHON" - <<'EOF'
import h5py, shutil
def spoil(name, change):
    shutil.copy('m50.h5', name)
    with h5py.File(name, 'r+') as f:
        change(f)
def two(f):
    f['masks/z/weight'][3, 4] = 2
def flip(f):
    f['masks/z/weight'][3, 4] = 1 - f['masks/z/weight'][3, 4]
def lose(f):
    del f['masks/conv']
spoil('two.h5', two)
spoil('flip.h5', flip)
spoil('lose.h5', lose)
EOF
expect "a byte that is neither 0 nor 1" 2 "'z/weight' in 'two.h5' holds 2 at \[94\]" coppice mask show two.h5
expect "counts that are not the masks'" 2 "'flip.h5' says that it keeps 420 of 840" coppice mask show flip.h5
expect "a mask that is lost" 2 "'lose.h5' has no dataset 'masks/conv/weight'" coppice mask show lose.h5
[ ! -e no.h5 ] && ok "failures leave nothing" || no "a failure left no.h5"
[ -z "$(find . -name '.*.h5*')" ] && ok "no temporary files are left" || no "temporary files are left"
