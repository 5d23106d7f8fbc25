#!/bin/bash
# bench: training steps of LeNet-300-100, ResNet-20 and MobileNetV2 on two threads: coppice and PyTorch in turn
# Goals: 2.0, 1.2 and 2.0 times PyTorch's images a second (medians of the rounds); MobileNetV2 in 0.75 of its memory.
# PyTorch runs channels last and with its allocator tuned, which is worth up to a factor of two to it.
# ROUNDS=… (5) NETWORKS=… THREADS=… (2) change what is done; STEPS=… how many steps each of them times. Where others are
# at work, threads that wait for each other are slowed beyond measure: then speeds are shown, but not judged.
ROOT=${ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
BUILD=${BUILD:-$ROOT/build}
source "$ROOT/tests/lib.sh"
source "$ROOT/tests/bench/beside.sh"
networks=${NETWORKS:-lenet resnet20 mobilenet_v2}
if [ ! -e "$peer" ] || [ -z "$python" ]; then
	skip "the networks beside PyTorch" "no PyTorch, or no $peer"
	# shellcheck disable=SC2086
	"$BUILD/coppice" bench --threads "$threads" $networks
	exit
fi

count_others
# shellcheck disable=SC2086
exec "$python" - "$BUILD/coppice" "$peer" "${ROUNDS:-5}" "${STEPS:-}" "$threads" "$busy" $networks <<'EOF'
import json, os, statistics, subprocess, sys
coppice, peer, rounds, steps, threads, busy = sys.argv[1], sys.argv[2], int(sys.argv[3]), *sys.argv[4:7]
networks = sys.argv[7:]
goals = {'lenet': (2.0, None), 'resnet20': (1.2, None), 'mobilenet_v2': (2.0, 0.75)}
extra = ['--steps', steps] if steps else []
tuned = dict(os.environ, MALLOC_MMAP_THRESHOLD_='4294967296', MALLOC_TRIM_THRESHOLD_='17179869184',
             MALLOC_TOP_PAD_='268435456')

def run(argv, env):
    """What it printed, as JSON, and the peak of its memory in bytes."""
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=env, text=True) as p:
        text = p.stdout.read()
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
    if p.returncode:
        sys.exit(f'not ok {argv[0]} ended with exit code {p.returncode}')
    return json.loads(text), usage.ru_maxrss * 1024

def ours(network):
    # the row's memory is that of the process that trained; another one measured the floors
    j, _ = run([coppice, 'bench', network, '--threads', threads, '--json'] + extra, os.environ)
    row = j['benchmarks'][0]
    return row['rate'], row['memory'], row['share'], j['gflops'], row['arena']

def theirs(network):
    j, memory = run([sys.executable, peer, '--model', network] + extra, tuned)
    return j['images_per_second'], memory, j['torch']

def verdict(reached, what, disturbed=''):
    if disturbed:
        print(f'ok {what} # SKIP not judged beside {disturbed} others at work')
    else:
        print(('ok' if reached else 'not ok') + ' ' + what)

def median(rounds, i):
    return statistics.median(r[i] for r in rounds)

for network in networks:
    a, b = [], []
    for turn in range(rounds):
        a.append(ours(network))
        b.append(theirs(network))
        print(f'{network}, round {turn + 1}: coppice {a[-1][0]:.0f} images/s, {a[-1][2]:.0%} of {a[-1][3]:.0f} GFLOP/s, '
              f'{a[-1][1] / 1e6:.0f} MB; PyTorch {b[-1][0]:.0f} images/s, {b[-1][1] / 1e6:.0f} MB; '
              f'ratio {a[-1][0] / b[-1][0]:.2f}', flush=True)
    speed, memory = median(a, 0) / median(b, 0), median(a, 1) / median(b, 1)
    print(f'{network}, {threads} threads, medians of {rounds}: coppice {median(a, 0):.0f} images/s in {median(a, 1) / 1e6:.0f} MB '
          f'(activations and workspace {median(a, 4) / 1e6:.1f}), PyTorch {b[0][2]} {median(b, 0):.0f} images/s in '
          f'{median(b, 1) / 1e6:.0f} MB; ratio {speed:.2f}, of memory {memory:.2f}')
    goal, most = goals.get(network, (None, None))
    if goal:
        verdict(speed >= goal, f'{network}: {speed:.2f} times PyTorch (goal {goal})', busy)
    if most:
        verdict(memory <= most, f"{network}: {memory:.2f} of PyTorch's memory (goal {most})")
EOF
