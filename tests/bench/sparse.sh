#!/bin/bash
# bench: training with masks on two threads: coppice and PyTorch with the mask applied after each step, in turn
# Masks are drawn at random, each tensor's for itself, in both; ours leave one path. Goals, times PyTorch's images a second (medians of the
# rounds): MobileNetV2 at 90, 95 and 99% 3.5, 4.5 and 6; ResNet-20 2.5, 4 and 8; LeNet-300-100 at 95% 3.
# PyTorch runs channels last and with its allocator tuned. The ratio to masks by magnitude stands beside: it is against
# the same figure of PyTorch, whose dense products take as long with any mask.
# ROUNDS=… (3) NETWORKS=… THREADS=… (2) change what is done; STEPS=… how many steps each of them times;
# CHECKPOINT_lenet=FILE, CHECKPOINT_resnet20 and CHECKPOINT_mobilenet_v2 the weights that masks by magnitude are made
# from. Where others are at work, threads that wait for each other are slowed beyond measure: then speeds are shown, but
# not judged.
ROOT=${ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
BUILD=${BUILD:-$ROOT/build}
source "$ROOT/tests/lib.sh"
source "$ROOT/tests/bench/beside.sh"
networks=${NETWORKS:-mobilenet_v2 resnet20 lenet}
if [ ! -e "$peer" ] || [ -z "$python" ]; then
	skip "training with masks beside PyTorch" "no PyTorch, or no $peer"
	# shellcheck disable=SC2086
	"$BUILD/coppice" bench --sparse --threads "$threads" $networks
	exit
fi

count_others
# shellcheck disable=SC2086
exec "$python" - "$BUILD/coppice" "$peer" "${ROUNDS:-3}" "${STEPS:-}" "$threads" "$busy" $networks <<'PYTHON'
import json, os, statistics, subprocess, sys
coppice, peer, rounds, steps, threads, busy = sys.argv[1], sys.argv[2], int(sys.argv[3]), *sys.argv[4:7]
networks = sys.argv[7:]
goals = {'mobilenet_v2': {0.9: 3.5, 0.95: 4.5, 0.99: 6}, 'resnet20': {0.9: 2.5, 0.95: 4, 0.99: 8}, 'lenet': {0.95: 3}}
extra = ['--steps', steps] if steps else []
tuned = dict(os.environ, MALLOC_MMAP_THRESHOLD_='4294967296', MALLOC_TRIM_THRESHOLD_='17179869184',
             MALLOC_TOP_PAD_='268435456')

def run(argv, env):
    p = subprocess.run(argv, stdout=subprocess.PIPE, env=env, text=True)
    if p.returncode:
        sys.exit(f'not ok {argv[0]} ended with exit code {p.returncode}')
    return json.loads(p.stdout)

def ours(network):
    """Rows by kind of mask and sparsity."""
    given = os.environ.get('CHECKPOINT_' + network)
    j = run([coppice, 'bench', '--sparse', network, '--threads', threads, '--json'] + extra +
            (['--checkpoint', given] if given else []), os.environ)
    return {(r['masks'], r['sparsity']): r for r in j['benchmarks']}

def theirs(network, q):
    return run([sys.executable, peer, '--model', network, '--mask', str(q)] + extra, tuned)['images_per_second']

def median(values):
    known = [v for v in values if v is not None]
    return statistics.median(known) if known else float('nan')

for network in networks:
    if network not in goals:
        sys.exit(f'not ok {network} has no goals; there are {", ".join(goals)}')
    mine, peers = [], {q: [] for q in goals[network]}
    for turn in range(rounds):
        mine.append(ours(network))
        for q in peers:
            peers[q].append(theirs(network, q))
            row = mine[-1]['uniform', q]
            if row['rate'] is not None:
                print(f'{network} at {q:.0%}, round {turn + 1}: coppice {row["rate"]:.0f} images/s, {row["lists"]} of '
                      f'{row["layers"]} layers lists; PyTorch {peers[q][-1]:.0f}; ratio {row["rate"] / peers[q][-1]:.2f}', flush=True)
    for q, goal in goals[network].items():
        them = median(peers[q])
        of = {m: median([r[m, q]['rate'] for r in mine]) for m in ('uniform', 'global')}
        dense = {m: median([r[m, q]['ratio'] for r in mine]) for m in of}
        ratio = {m: of[m] / them for m in of}
        print(f'{network} at {q:.0%}, {threads} threads, medians of {rounds}: coppice {of["uniform"]:.0f} images/s (masks by '
              f'magnitude {of["global"]:.0f}), PyTorch {them:.0f}; ratio {ratio["uniform"]:.2f} ({ratio["global"]:.2f}), to '
              f'coppice dense {dense["uniform"]:.2f} ({dense["global"]:.2f})')
        # at random, so few may be left that nothing gets through
        judged = ratio['uniform'] if ratio['uniform'] == ratio['uniform'] else ratio['global']
        what = f'{network} at {q:.0%}: {judged:.2f} times PyTorch (goal {goal})'
        if judged != judged:
            print(f'ok {network} at {q:.0%} # SKIP the masks leave nothing that an image could pass; CHECKPOINT_{network}=FILE of a longer training may')
        elif busy:
            print(f'ok {what} # SKIP not judged beside {busy} others at work')
        else:
            print(('ok ' if judged >= goal else 'not ok ') + what)
PYTHON
