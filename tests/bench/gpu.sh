#!/bin/bash
# bench: on a GPU, coppice beside PyTorch (eager and compiled), in turn: training steps, quantiles, 16 tickets at once
# Prints a table in Markdown. Goals: 3 times PyTorch compiled for MobileNetV2 at batch 96, 2.5 times it at 1024 and for
# ResNet-20, in bf16; 16 tickets at once 4 times as fast as one after another; quantiles of 10^8 in a millisecond.
# PyTorch's convolutions are TF32 unless it is told otherwise, so that is what its fp32 is held against.
# ROUNDS=… (3) NETWORKS=… BATCHES=… IMAGES=… ELEMENTS=… TICKETS=… (16) EPOCHS=… STEPS=… change what is done.
ROOT=${ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
BUILD=${BUILD:-build}
[[ $BUILD = /* ]] || BUILD=$ROOT/$BUILD
source "$ROOT/tests/lib.sh"
why=$("$BUILD/coppice" doctor | sed -n 's/^GPU  *no  *//p')
if [ -n "$why" ]; then
	skip "coppice on a GPU beside PyTorch" "$why"
	exit
fi
peer=$SHARED/peers/bench_torch.py
python=$(for p in python3 /usr/bin/python3; do "$p" -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null && echo "$p" && break; done)
if [ -z "$python" ] || [ ! -e "$peer" ]; then
	skip "PyTorch on the GPU" "no PyTorch that sees it, or no $peer: coppice alone follows"
	peer=
	python=$(command -v python3) || { "$BUILD/coppice" bench --device cuda; exit; }
fi
scratch=$(mktemp -d "${TMPDIR:-/tmp}/coppice-bench.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

# random images as CIFAR-10's binary batches, for the tickets
mkdir "$scratch/cifar"
for ((i = 0; i < 10; i++)); do echo "class$i"; done >"$scratch/cifar/batches.meta.txt"
for f in data_batch_{1..5} test_batch; do
	"$python" - "$scratch/cifar/$f.bin" <<'PYTHON'
import os, sys
with open(sys.argv[1], 'wb') as f:
    for i in range(int(os.environ.get("IMAGES", "2560"))):
        f.write(bytes([i % 10]) + os.urandom(3072))
PYTHON
done
"$BUILD/coppice" pack "$scratch/cifar" "$scratch/random.h5" >/dev/null || exit 1

# shellcheck disable=SC2016
"$python" - "$BUILD/coppice" "$peer" "$scratch" <<'EOF2'
import datetime, json, os, statistics, subprocess, sys, time
coppice, peer, scratch = sys.argv[1:4]
env = os.environ.get
rounds, elements, tickets, epochs = int(env('ROUNDS', '3')), int(env('ELEMENTS', '100000000')), int(env('TICKETS', '16')), int(env('EPOCHS', '3'))
steps = env('STEPS')
shapes = [(n, b) for n in env('NETWORKS', 'mobilenet_v2 resnet20').split()
          for b in env('BATCHES', '96 1024' if n == 'mobilenet_v2' else '128 1024').split()]
goals = {('mobilenet_v2', '96'): 3, ('mobilenet_v2', '1024'): 2.5, ('resnet20', '128'): 2.5, ('resnet20', '1024'): 2.5}

def run(argv):
    p = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if p.returncode:
        print(f'not ok {" ".join(argv)} ended with exit code {p.returncode}')
        print(''.join('#   ' + line + '\n' for line in p.stderr.splitlines()[-5:]), end='', flush=True)
        return None
    return p.stdout

def ours(network, batch, precision):
    out = run([coppice, 'bench', network, '--device', 'cuda', '--precision', precision, '--batch', batch, '--json'] +
              (['--steps', steps] if steps else []))
    return json.loads(out) if out else None

def theirs(network, batch, *options):
    if not peer:
        return None
    out = run([sys.executable, peer, '--model', network, '--batch', batch, '--device', 'cuda', '--steps', steps or '100', *options])
    return json.loads(out.splitlines()[-1]) if out else None

def median(found, key):
    values = [key(f) for f in found if f]
    return statistics.median(values) if values else None

def figure(value, form='{:,.0f}'):
    return '-' if value is None else form.format(value)

def ratio(a, b):
    return '-' if a is None or not b else f'{a / b:.2f}'

def smi():
    try:
        return subprocess.run(['nvidia-smi', '--query-gpu=driver_version', '--format=csv,noheader'], capture_output=True,
                              text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return 'of unknown version'

verdicts = []
def judge(reached, what):
    if reached is not None:
        verdicts.append(('ok ' if reached else 'not ok ') + what)

first = ours('lenet', '60', 'fp32')
version = None
if peer:
    import torch
    version = torch.__version__
print(f'{datetime.date.today()}: {first["gpu"] if first else "?"}; driver {smi()}; memory {figure(first and first["gpu_copy_gbs"])} GB/s '
      f'copied; coppice {first["coppice"] if first else "?"}; PyTorch {version or "not here"}; medians of {rounds} rounds in turn\n')
print('| images a second | precision | coppice | share of the floor | GPU memory, MB | PyTorch | compiled | ratio | ratio to compiled | goal |')
print('|---|---|---|---|---|---|---|---|---|---|', flush=True)
for network, batch in shapes:
    for precision, options in ('fp32', None), ('tf32', ()), ('bf16', ('--bf16',)):
        a, eager, compiled = [], [], []
        for _ in range(rounds):
            a.append(ours(network, batch, precision))
            if options is not None:
                eager.append(theirs(network, batch, *options))
                compiled.append(theirs(network, batch, '--compile', *options))
        rate, share, memory = (median(a, lambda f, k=k: f['benchmarks'][0][k] or 0) for k in ('rate', 'share', 'memory'))
        e, c = (median(x, lambda f: f['images_per_second']) for x in (eager, compiled))
        goal = goals.get((network, batch)) if precision == 'bf16' else None
        print(f'| {network}, batch {batch} | {precision} | {figure(rate)} | {figure(share, "{:.0%}")} | '
              f'{figure(memory and memory / 1e6)} | {figure(e)} | {figure(c)} | {ratio(rate, e)} | {ratio(rate, c)} | {goal or "-"} |', flush=True)
        if goal and rate and c:
            judge(rate >= goal * c, f'{network}, batch {batch}: {rate / c:.2f} times PyTorch compiled (goal {goal})')

def quantiles():
    out = run([coppice, 'bench', 'quantile', '--device', 'cuda', '--elements', str(elements), '--json'])
    return json.loads(out)['benchmarks'][0] if out else None

def sort():
    if not peer:
        return None
    x = torch.randn(elements, device='cuda')
    took = []
    for _ in range(4):
        torch.cuda.synchronize()
        begun = time.perf_counter()
        x.abs().sort()
        torch.cuda.synchronize()
        took.append(time.perf_counter() - begun)
    del x
    torch.cuda.empty_cache()
    return statistics.median(took[1:])

pairs = [(quantiles(), sort()) for _ in range(rounds)]
q, s = median([p[0] for p in pairs], lambda f: f['seconds']), median([p[1] for p in pairs], lambda f: f)
print(f'\n| nine quantiles of {elements:.0e} | coppice, ms | share of the floor | torch.sort, ms | ratio |\n|---|---|---|---|---|')
print(f'| | {figure(q and q * 1e3, "{:.3f}")} | {figure(median([p[0] for p in pairs], lambda f: f["share"]), "{:.0%}")} | '
      f'{figure(s and s * 1e3, "{:.3f}")} | {ratio(s, q)} |', flush=True)
judge(None if q is None or elements != 10**8 else q <= 1e-3, f'nine quantiles in {q or 0:.2g} s (goal 0.001)')

def at_once(name, network, batch, precision, concurrent):
    """Seconds in which all tickets are trained."""
    folder = f'{scratch}/{name}'
    e = {'name': 'tickets', 'model': network, 'data': {'path': scratch + '/random.h5', 'augment': {'crop_padding': 4, 'flip': True}},
         'train': {'epochs': epochs, 'batch': batch, 'optimizer': {'name': 'sgd', 'lr': 0.01, 'momentum': 0.9}},
         'sweep': {'quantiles': [round(0.95 * (i + 1) / tickets, 4) for i in range(tickets)], 'reset': ['0ep'], 'keep_weights': False},
         'device': {'kind': 'cuda', 'precision': precision}, 'slurm': {'cells_per_task': tickets, 'concurrent': concurrent}}
    json.dump(e, open(folder + '.json', 'w'))
    if run([coppice, 'plan', folder + '.json', '-o', folder, '--no-timing']) is None or run([coppice, 'train', folder]) is None:
        return None
    os.environ['SLURM_ARRAY_TASK_ID'] = '0'
    if run([coppice, 'task', folder] + (['--concurrent'] if concurrent else [])) is None:
        return None
    took = [json.loads(run([coppice, 'show', '--json', f'{folder}/cells/{i:06d}.h5']))['seconds'] for i in range(tickets)]
    return max(took) if concurrent else sum(took)

print(f'\n| {tickets} tickets, {epochs} epochs of random images | one after another, s | at once, s | ratio | goal |\n|---|---|---|---|---|')
networks = {'resnet20': {'name': 'resnet', 'depth': 20}, 'mobilenet_v2': {'name': 'mobilenet_v2'}}
for network, batch in ('resnet20', 128), ('mobilenet_v2', 96):
    if network not in [n for n, _ in shapes]:
        continue
    turns = [(at_once(f'{network}-{r}-a', networks[network], batch, 'bf16', False),
              at_once(f'{network}-{r}-b', networks[network], batch, 'bf16', True)) for r in range(rounds)]
    a, b = (median([t[i] for t in turns], lambda f: f) for i in (0, 1))
    print(f'| {network}, 32x32, batch {batch}, bf16 | {figure(a, "{:.1f}")} | {figure(b, "{:.1f}")} | {ratio(a, b)} | 4 |', flush=True)
    if a and b:
        judge(a >= 4 * b, f'{network}: {tickets} tickets at once {a / b:.2f} times as fast (goal 4)')
print('\n' + '\n'.join(verdicts))
EOF2
printf '\n'
"$BUILD/coppice" bench --device cuda ${ELEMENTS:+--elements $ELEMENTS} kernels
"$BUILD/coppice" bench --device cuda --precision bf16 ${ELEMENTS:+--elements $ELEMENTS} kernels
