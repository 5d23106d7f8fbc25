#!/bin/bash
# test: energy from made-up counters: the task's share, over a restart, of a dense run and a cell, with GPUs and without
source "$ROOT/tests/lib.sh"

cat >e.json <<'END'
{"name": "e", "model": {"hidden": [16]},
 "data": {"path": "glyphs", "glyphs": {"train": 360, "test": 100, "seed": 3}},
 "train": {"epochs": 12, "batch": 20, "optimizer": {"lr": 0.05}},
 "sweep": {"quantiles": [0.5], "reset": ["0ep"]}, "device": {"threads": 1, "checkpoint_minutes": 0}}
END

unset CUDA_VISIBLE_DEVICES
export COPPICE_POWERCAP=$PWD/power COPPICE_NVML=$BUILD/tests/fake_nvml.so FAKE_NVML=$PWD/gpus
mkdir -p power/intel-rapl:0
echo package-0 >power/intel-rapl:0/name
echo 1000000000 >power/intel-rapl:0/max_energy_range_uj

put() { echo "$2" >"$1.new" && mv "$1.new" "$1"; } # put FILE TEXT: never half there
counter() { put power/intel-rapl:0/energy_uj "$1"; }
joules() { # joules FILE WANTED
	"$BUILD/coppice" show "$1" --json | awk -v want="$2" '
		/"joules"/ { gsub(/[^0-9.e+-]/, "", $2); seen = 1; if ($2 - want > 1e-6 || want - $2 > 1e-6) bad = $2 }
		END { if (!seen || bad != "") { print "joules are " bad ", not " want; exit 1 } }'
}
share() { # share JOULES: of all cores of the node one is the task's
	awk -v j="$1" -v n="$(getconf _NPROCESSORS_ONLN)" 'BEGIN { printf "%.9f", j / n }'
}

# under_way FILE COMMAND...: starts it and waits until it has saved FILE, so that it counts; $pid
under_way() {
	local file=$1 before
	before=$(stat -c %y.%i "$file" 2>/dev/null)
	shift
	"$@" >>log 2>&1 &
	pid=$!
	while kill -0 $pid 2>/dev/null && [ "$(stat -c %y.%i "$file" 2>/dev/null)" = "$before" ]; do sleep 0.01; done
}
again() { # until FILE is saved once more
	local before
	before=$(stat -c %y.%i "$1")
	while kill -0 $pid 2>/dev/null && [ "$(stat -c %y.%i "$1" 2>/dev/null)" = "$before" ]; do sleep 0.01; done
}

counter 5000000
coppice plan e.json -o run --no-timing >/dev/null
expect "doctor: counters of a processor" 0 "energy +yes +counters of 1 processor package, of no GPU" coppice doctor
under_way run/state/dense-0.h5 coppice train run
counter 25000000
wait $pid && check "the dense run's share of 20 J" joules run/dense/0/result.h5 "$(share 20)" || no "train"

# interrupted twice: asked to save, then killed after it has saved; what others take in between is not its own
counter 999000000
under_way run/state/000000.h5 coppice cell run 0
counter 999000000
kill -TERM $pid
wait $pid
[ $? -eq 75 ] && ok "stopped" || no "not stopped"
under_way run/state/000000.h5 coppice cell run 0
counter 4000000 # the counter has begun again
again run/state/000000.h5
again run/state/000000.h5
{
	kill -KILL $pid
	wait $pid
} 2>/dev/null
counter 50000000
under_way run/state/000000.h5 coppice cell run 0
counter 53000000
wait $pid && check "8 J over three attempts" joules run/cells/000000.h5 "$(share 8)" || no "cell"

# with a GPU that two cells share
put gpus "GPU-a 1000"
rm run/cells/000000.h5
export CUDA_VISIBLE_DEVICES=0
expect "doctor: and of a GPU" 0 "counters of 1 processor package, of 1 GPU$" coppice doctor
under_way run/state/000000.h5 coppice cell run 0 --together 2
put gpus "GPU-a 9000"
wait $pid && check "half of the GPU's 8 J" joules run/cells/000000.h5 4 || no "cell with a GPU"
check "and half of a GPU" bash -c 'coppice show run/cells/000000.h5 --json | grep -q "\"gpus\":[[:space:]]*0.5"'

# how busy they were: of an attempt that was stopped and of the one that went on
rm run/cells/000000.h5
number() { coppice show "$1" --json | awk -v name="\"$2\"" '$1 ~ name { gsub(/[^0-9.e+nul-]/, "", $2); print $2; exit }'; }
between() { awk -v v="$(number "$1" $2)" -v a=$3 -v b=$4 'BEGIN { if (v == "" || v < a || v > b) { print "it is " v; exit 1 } }'; }
put gpus "GPU-a 9000 100"
under_way run/state/000000.h5 coppice cell run 0
kill -TERM $pid
wait $pid
[ $? -eq 75 ] && ok "stopped with a busy GPU" || no "not stopped"
cp run/state/000000.h5 saved.h5
put gpus "GPU-a 9000 20"
expect "gone on with one that is less busy" 0 "" coppice cell run 0
check "between the two" between run/cells/000000.h5 gpu_utilisation 0.201 0.999
rm run/cells/000000.h5
expect "all of it with that" 0 "" coppice cell run 0
check "20 %" between run/cells/000000.h5 gpu_utilisation 0.1999 0.2001
expect "in percent" 0 'gpu utilisation +20.00 %' coppice show run/cells/000000.h5
check "no memory of a GPU on the CPU" [ "$(number run/cells/000000.h5 gpu_memory)" = null ]

# what was saved by a version that knew nothing of this
cat >older.py <<'PYTHON'
# older.py FILE: as it was before there were gpu_watched, gpu_busy and gpu_memory
import h5py, numpy, sys
def fnv(h, data):
    for b in data:
        h = (h ^ b) * 0x100000001b3 % 2 ** 64
    return h
sums = 'sum_loss sum_top1 sum_top5 sum_images seconds stepping waiting images joules'.split()
columns = 'epoch step lr train_loss train_top1 val_loss val_top1 val_top5 seconds'.split()
with h5py.File(sys.argv[1], 'r+') as f:
    def digest(names):
        h = fnv(0xcbf29ce484222325, f.attrs['identity'].encode())
        h = fnv(h, numpy.array([f.attrs[n] for n in names]).tobytes())
        return '%016x' % fnv(h, numpy.array([f['history'][c][:] for c in columns]).T.tobytes())
    later = ['gpu_watched', 'gpu_busy', 'gpu_memory']
    assert f['history'].attrs['digest'] == digest(sums + later)
    for n in later:
        del f.attrs[n]
    f['history'].attrs.modify('digest', digest(sums))
PYTHON
if has_python; then
	rm run/cells/000000.h5
	check "a saved state of before" "$PYTHON" older.py saved.h5
	cp saved.h5 run/state/000000.h5
	expect "is taken up" 0 'going on from step [1-9]' coppice cell run 0
	check "and what it did not tell does not count" between run/cells/000000.h5 gpu_utilisation 0.1999 0.2001
else
	skip "a saved state of before" "no python3 with h5py"
fi

# without counters
rm -r power gpus run/cells/000000.h5
expect "no counter" 0 "" coppice cell run 0
check "no joules" bash -c 'coppice show run/cells/000000.h5 --json | grep -q "\"joules\":[[:space:]]*null"'
unset CUDA_VISIBLE_DEVICES
expect "doctor: no counters" 0 "energy +no +counters of no processor, of no GPU" coppice doctor
