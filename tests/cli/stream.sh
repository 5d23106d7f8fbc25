#!/bin/bash
# test: images read from the file as they are wanted, by any number of threads: the same bits, stopped and taken up too
source "$ROOT/tests/lib.sh"

cat >e.json <<'END'
{
  "name": "stream", "model": {"hidden": [20]},
  "data": {"path": "glyphs", "validation": 40, "glyphs": {"train": 700, "test": 300, "seed": 3},
           "augment": {"resized_crop": true, "scale_min": 0.5}},
  "train": {"epochs": 3, "batch": 20, "optimizer": {"lr": 0.05}},
  "sweep": {"quantiles": [0.6], "reset": ["7it"]}
}
END
# run RUN [KEY=VALUE...]: plans with these keys, trains, does the cell
run() {
	local run=$1 sets=() k
	shift
	for k in "$@"; do sets+=(--set "$k"); done
	coppice plan e.json -o "$run" --no-timing "${sets[@]}" >/dev/null 2>>log && coppice train "$run" 2>>log &&
		coppice cell "$run" 0 2>>log
}
same() { same_tensors "$1/dense/0/final.h5" "$2/dense/0/final.h5" && same_tensors "$1/cells/000000.h5" "$2/cells/000000.h5"; }

run memory device.data=memory device.loader_threads=-1 || no "a run in memory"
for threads in -1 0 1 3; do
	run stream$threads device.data=stream device.loader_threads=$threads || no "a run with device.loader_threads=$threads"
	check "from the file, $threads threads: the same bits" same memory stream$threads
done
run ahead device.data=memory device.loader_threads=2
check "from memory, 2 threads ahead: the same bits" same memory ahead
SLURM_MEM_PER_NODE=1 run small
check "in a job with 1 MiB of memory: the same bits" same memory small

# asked to stop while threads are ahead, and taken up with none
stopped=0
for tenths in 1 2 3 4; do
	coppice plan e.json -o halted --no-timing --set train.epochs=4000 --set device.data=stream \
		--set device.loader_threads=3 >/dev/null 2>&1
	coppice train halted 2>stop.log &
	pid=$!
	for ((i = 0; i < 500; i++)); do
		[ -e halted/state/dense-0.json ] && break
		sleep 0.02
	done
	sleep 0.$tenths
	kill -TERM $pid
	wait $pid
	code=$?
	[ $code -eq 75 ] && grep -q "asked to stop: saved at step" stop.log && stopped=$((stopped + 1)) || cat stop.log
done
check "asked to stop, threads end and the state is saved" test $stopped -eq 4
coppice plan e.json -o short --no-timing --set train.epochs=30 --set device.data=stream --set device.loader_threads=3 >/dev/null 2>&1
coppice plan e.json -o whole --no-timing --set train.epochs=30 --set device.loader_threads=-1 >/dev/null 2>&1
coppice train whole 2>/dev/null
coppice train short 2>/dev/null &
pid=$!
for ((i = 0; i < 500; i++)); do
	[ -e short/state/dense-0.json ] && break
	sleep 0.01
done
kill -TERM $pid
wait $pid
coppice plan e.json -o short --no-timing --set train.epochs=30 --set device.data=memory >/dev/null 2>&1
check "where images are may change while a run is under way" coppice train short
check "with the same bits" same_tensors whole/dense/0/final.h5 short/dense/0/final.h5

if has_python; then
	cat >wait.py <<'END'
import h5py, sys
for path in sys.argv[1:]:
    with h5py.File(path) as f:
        rows = [f.attrs["data_wait"]] if "data_wait" in f.attrs else [*f["cells"]["data_wait"], f["dense/0"].attrs["data_wait"]]
        print(path, all(0 < r < 1 for r in rows))
END
	coppice collect stream1 >/dev/null
	expect "results say what waiting for data took" 0 '000000.h5 True.*results.h5 True' \
		bash -c "$PYTHON wait.py stream1/cells/000000.h5 stream1/results.h5 | tr '\n' ' '"
	cat >flip.py <<'END'
import h5py, sys
with h5py.File(sys.argv[1]) as f:
    at = f["train/images"].id.get_chunk_info(0).byte_offset
with open(sys.argv[1], "r+b") as f:
    f.seek(at + 5000)
    b = f.read(1)[0]
    f.seek(at + 5000)
    f.write(bytes([b ^ 4]))
END
	for threads in -1 2; do
		coppice plan e.json -o damaged$threads --no-timing --set device.data=stream \
			--set device.loader_threads=$threads >/dev/null 2>&1
		"$PYTHON" flip.py damaged$threads/data.h5
		expect "a byte that flipped on the disk, $threads threads" 2 \
			"damaged$threads/data.h5' is damaged: the checksum of train images 0 to 699 is wrong" \
			coppice train damaged$threads
	done
else
	skip "what waiting took; damage" "no h5py"
fi
