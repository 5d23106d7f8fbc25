# What the benchmarks beside PyTorch begin with, after tests/lib.sh. Sets peer and python (empty: there is no PyTorch),
# threads, and OMP_NUM_THREADS for both programs.
peer=$SHARED/peers/bench_torch.py
python=$(for p in /usr/bin/python3 "$PYTHON"; do "$p" -c 'import torch' 2>/dev/null && echo "$p" && break; done)
threads=${THREADS:-2}
export OMP_NUM_THREADS=$threads
# a kernel forced on OpenBLAS would slow both programs, and not alike
for v in OPENBLAS_CORETYPE OPENBLAS_L2_SIZE; do
	[ -n "${!v:-}" ] && echo "$v=${!v} is left out: both programs run with what OpenBLAS chooses" && unset $v
done

# Sets busy to how many others run, over two seconds, where that disturbs, and says so: the load average would count what
# ran before, in the same bench.
count_others() {
	local others=0 running
	for _ in {1..40}; do
		read -r _ _ _ running _ </proc/loadavg
		others=$((others + ${running%/*} - 1))
		sleep 0.05
	done
	busy=
	[ $others -gt 20 ] && busy=$(awk "BEGIN {printf \"%.1f\", $others / 40}") &&
		echo "$busy others are at work here, on the average, and what follows is disturbed"
}
