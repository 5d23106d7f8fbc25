/*
 * Exact order statistics of magnitudes, and counts of bits. A key is a float's bits without the sign: as whole numbers
 * keys have the magnitudes' order, with infinity above all numbers and NaN above that. Three passes read the array and
 * count keys by 11, 10 and 10 bits from the top: a rank is known by its prefix, the key's bits that are known, and the
 * next pass counts the keys that begin with it alone. So three times 4 bytes a float are read.
 *
 * Counts are whole numbers: their order does not matter.
 */
#include "device.h"

enum {
	THREADS = 512,
	BLOCKS = 4 * 132,
	WIDE = 4,
	TOP = 2048,  /* bins of the first pass */
	BINS = 1024, /* of the others, for each prefix */
	COPIES = 4,  /* of the first pass's bins in a block, by lane: few bins take most keys */
	NEAR = 11,   /* so many ranks have their bins in shared memory */
	PICKERS = 256
};

/* What a pass leaves the next. `space` has two of them, which take turns, and the counts. */
struct found {
	uint32_t prefix[COP_CUDA_RANKS];    /* the bits that are known, ascending */
	uint64_t remaining[COP_CUDA_RANKS]; /* the rank among the keys that begin with them */
};

static size_t count_of(int nranks)
{
	return (size_t)(nranks * BINS > TOP ? nranks * BINS : (int)TOP);
}

size_t cop_cuda_select_space(int nranks)
{
	return 2 * sizeof(struct found) + count_of(nranks) * sizeof(unsigned long long);
}

/*
 * Adds 1 to copy `copy` of `copies` of a bin, for all lanes at once; bin < 0: to none. Lanes with the bin of the first
 * that has one are added as one: where most of the keys are the same, as zeros are, they would wait for each other.
 */
template <class V> static __device__ __forceinline__ void count_in(V *bins, int bin, int copies, int copy)
{
	unsigned have = __ballot_sync(COP_ALL_LANES, bin >= 0);

	if (have == 0)
		return;
	int first = __ffs((int)have) - 1, lane = (int)threadIdx.x % COP_WARP;
	int hot = __shfl_sync(COP_ALL_LANES, bin, first);
	unsigned same = __ballot_sync(COP_ALL_LANES, bin == hot);
	if (bin >= 0 && (bin != hot || lane == first))
		atomicAdd(&bins[bin * copies + copy], bin == hot ? (V)__popc(same) : (V)1);
}

/* Calls count(key, whether there is one) for all keys of x (n), with whole warps. */
template <class Count>
static __device__ __forceinline__ void each_key(size_t n, const float *x, bool aligned, Count count)
{
	size_t wide = aligned ? n / WIDE : 0, rest = n - wide * WIDE;

	/* the loops' ends are the same for a whole block */
	for (size_t from = (size_t)blockIdx.x * THREADS; from < wide; from += (size_t)gridDim.x * THREADS) {
		size_t i = from + threadIdx.x;
		bool any = i < wide;
		uint4 v = make_uint4(0, 0, 0, 0);
		if (any)
			v = __ldg(reinterpret_cast<const uint4 *>(x) + i);
		count(v.x & 0x7fffffffu, any);
		count(v.y & 0x7fffffffu, any);
		count(v.z & 0x7fffffffu, any);
		count(v.w & 0x7fffffffu, any);
	}
	for (size_t from = (size_t)blockIdx.x * THREADS; from < rest; from += (size_t)gridDim.x * THREADS) {
		size_t i = from + threadIdx.x;
		bool any = i < rest;
		count(any ? __float_as_uint(x[wide * WIDE + i]) & 0x7fffffffu : 0u, any);
	}
}

/* count (TOP) += the keys by their top 11 bits. */
static __global__ void count_top(size_t n, const float *x, bool aligned, unsigned long long *count)
{
	__shared__ unsigned bins[TOP * COPIES];
	int copy = (int)threadIdx.x % COPIES;

	for (int i = (int)threadIdx.x; i < TOP * COPIES; i += THREADS)
		bins[i] = 0;
	__syncthreads();
	each_key(n, x, aligned,
		 [&](unsigned key, bool any) { count_in(bins, any ? (int)(key >> 20) : -1, COPIES, copy); });
	__syncthreads();
	for (int i = (int)threadIdx.x; i < TOP; i += THREADS) {
		unsigned sum = 0;
		for (int k = 0; k < COPIES; k++)
			sum += bins[i * COPIES + k];
		if (sum)
			atomicAdd(&count[i], (unsigned long long)sum);
	}
}

/*
 * count (nranks, BINS) += the keys that begin with the prefix of a rank, by the 10 bits after it. Where ranks have the
 * same prefix, the first of them has the counts. pass 1: prefixes of 11 bits, 2: of 21. `nearby`: bins in shared
 * memory.
 */
template <int pass, bool nearby>
static __global__ void count_below(size_t n, const float *x, bool aligned, int nranks, const struct found *found,
				   unsigned long long *count)
{
	constexpr int known = pass == 1 ? 11 : 21, shift = 31 - known;
	__shared__ unsigned char first[TOP]; /* the first rank with these top bits */
	__shared__ uint32_t prefix[COP_CUDA_RANKS];
	__shared__ unsigned bins[nearby ? NEAR * BINS : 1];

	for (int i = (int)threadIdx.x; i < TOP; i += THREADS)
		first[i] = 0xff;
	for (int i = (int)threadIdx.x; i < nranks; i += THREADS)
		prefix[i] = found->prefix[i];
	for (int i = (int)threadIdx.x; nearby && i < nranks * BINS; i += THREADS)
		bins[i] = 0;
	__syncthreads();
	for (int i = (int)threadIdx.x; i < nranks; i += THREADS) {
		uint32_t top = prefix[i] >> (known - 11);
		if (i == 0 || prefix[i - 1] >> (known - 11) != top)
			first[top] = (unsigned char)i;
	}
	__syncthreads();
	each_key(n, x, aligned, [&](unsigned key, bool any) {
		int rank = any ? first[key >> 20] : 0xff, bin = -1;
		if (rank < nranks) {
			if (pass == 2)
				while (rank < nranks && prefix[rank] < key >> shift)
					rank++;
			if (rank < nranks && prefix[rank] == key >> shift)
				bin = rank * BINS + (int)(key >> (shift - 10) & (BINS - 1));
		}
		if (nearby)
			count_in(bins, bin, 1, 0);
		else
			count_in(count, bin, 1, 0);
	});
	__syncthreads();
	for (int i = (int)threadIdx.x; nearby && i < nranks * BINS; i += THREADS)
		if (bins[i])
			atomicAdd(&count[i], (unsigned long long)bins[i]);
}

/* The sum of v over the threads before this one, of a block of PICKERS. */
static __device__ uint64_t sum_before(uint64_t v)
{
	__shared__ uint64_t sums[PICKERS / COP_WARP];
	int lane = (int)threadIdx.x % COP_WARP, warp = (int)threadIdx.x / COP_WARP;
	uint64_t upto = v;

#pragma unroll
	for (int apart = 1; apart < COP_WARP; apart *= 2) {
		uint64_t other = __shfl_up_sync(COP_ALL_LANES, upto, (unsigned)apart);
		upto += lane >= apart ? other : 0;
	}
	if (lane == COP_WARP - 1)
		sums[warp] = upto;
	__syncthreads();
	for (int w = 0; w < warp; w++)
		upto += sums[w];
	return upto - v;
}

/*
 * After pass 0, 1 or 2, a block a rank: the bin that the rank is in makes its prefix longer, and what lies below comes
 * off the rank. After the last the prefix is the key, and what is left of the rank counts those of the same key.
 */
template <int pass>
static __global__ void pick(size_t n, const uint64_t *rank, const struct found *before, struct found *after,
			    const unsigned long long *count, uint32_t *out, uint64_t *smaller)
{
	constexpr int own = (pass == 0 ? TOP : BINS) / PICKERS;
	int r = (int)blockIdx.x, set = pass == 0 ? 0 : r;
	uint64_t asked = rank[r] < n ? rank[r] : n - 1, wanted = pass == 0 ? asked : before->remaining[r];
	uint64_t counts[own], sum = 0;

	/* the first of those with the same prefix has the counts */
	while (set > 0 && before->prefix[set - 1] == before->prefix[r])
		set--;
	for (int i = 0; i < own; i++) {
		counts[i] = count[set * BINS + (int)threadIdx.x * own + i];
		sum += counts[i];
	}
	uint64_t below = sum_before(sum);
	if (wanted < below || wanted >= below + sum)
		return;
	int bin = 0;
	while (wanted >= below + counts[bin])
		below += counts[bin++];
	uint32_t prefix = threadIdx.x * (unsigned)own + (unsigned)bin;
	if (pass > 0)
		prefix |= before->prefix[r] << 10;
	if (pass < 2) {
		after->prefix[r] = prefix;
		after->remaining[r] = wanted - below;
	} else {
		out[r] = prefix;
		smaller[r] = asked - (wanted - below);
	}
}

/* What the passes of a selection are launched with. */
struct selection {
	cudaStream_t stream;
	size_t n;
	const float *x;
	int nranks;
	const uint64_t *rank;
	struct found *found; /* [2] */
	unsigned long long *count;
	uint32_t *out;
	uint64_t *smaller;
};

template <int pass> static cudaError_t count_keys(const struct selection *s)
{
	bool aligned = (uintptr_t)s->x % 16 == 0;
	unsigned blocks = blocks_for(ceil_div(s->n, (size_t)WIDE), THREADS, BLOCKS);

	if constexpr (pass == 0)
		return COP_LAUNCH(count_top, blocks, THREADS, 0, s->stream, s->n, s->x, aligned, s->count);
	else if (s->nranks <= NEAR)
		return COP_LAUNCH((count_below<pass, true>), blocks, THREADS, 0, s->stream, s->n, s->x, aligned,
				  s->nranks, s->found + (pass + 1) % 2, s->count);
	else
		return COP_LAUNCH((count_below<pass, false>), blocks, THREADS, 0, s->stream, s->n, s->x, aligned,
				  s->nranks, s->found + (pass + 1) % 2, s->count);
}

template <int pass> static cudaError_t do_pass(const struct selection *s)
{
	size_t bytes = count_of(s->nranks) * sizeof(*s->count);
	cudaError_t error = cudaMemsetAsync(s->count, 0, bytes, s->stream);

	if (!error)
		error = count_keys<pass>(s);
	if (error)
		return error;
	return COP_LAUNCH(pick<pass>, (unsigned)s->nranks, PICKERS, 0, s->stream, s->n, s->rank,
			  s->found + (pass + 1) % 2, s->found + pass % 2, s->count, s->out, s->smaller);
}

cudaError_t cop_cuda_select(const struct cop_launch *l, size_t n, const float *x, int nranks, const uint64_t *rank,
			    uint32_t *out, uint64_t *count, void *space)
{
	struct found *found = (struct found *)space;
	struct selection s = {l->stream, n, x, nranks, rank, found, (unsigned long long *)(found + 2), out, count};
	cudaError_t error;

	if (n == 0 || nranks < 1 || nranks > COP_CUDA_RANKS)
		return cudaErrorInvalidValue;
	error = do_pass<0>(&s);
	if (!error)
		error = do_pass<1>(&s);
	if (!error)
		error = do_pass<2>(&s);
	return error;
}

/* The bits of a byte that are among bits from..to-1 of the array, byte i of which it is. */
static __device__ __forceinline__ unsigned within(unsigned byte, size_t i, size_t from, size_t to)
{
	if (i == from / 8)
		byte &= 0xffu << (from % 8);
	if (i == to / 8)
		byte &= (1u << (to % 8)) - 1u;
	return byte;
}

/*
 * *count += the ones among bits from..to-1. Bytes `head` to `tail` are whole, and words of 16 bytes each; the bytes
 * before and after them are taken one by one.
 */
static __global__ void count_bits(const uint8_t *bits, size_t from, size_t to, size_t head, size_t tail,
				  unsigned long long *count)
{
	size_t end = (to + 7) / 8;
	unsigned long long sum = 0;

	for (size_t i = head + 16 * grid_thread(); i < tail; i += 16 * grid_threads()) {
		uint4 v = __ldg(reinterpret_cast<const uint4 *>(bits + i));
		sum += (unsigned)(__popc(v.x) + __popc(v.y) + __popc(v.z) + __popc(v.w));
	}
	for (size_t i = from / 8 + grid_thread(); i < head; i += grid_threads())
		sum += (unsigned)__popc(within(bits[i], i, from, to));
	for (size_t i = tail + grid_thread(); i < end; i += grid_threads())
		sum += (unsigned)__popc(within(bits[i], i, from, to));
	sum = block_sum(sum);
	if (threadIdx.x == 0 && sum)
		atomicAdd(count, sum);
}

cudaError_t cop_cuda_count_bits(const struct cop_launch *l, const uint8_t *bits, size_t from, size_t n, uint64_t *count)
{
	size_t to = from + n, head = ceil_div(from, (size_t)8), tail = to / 8;
	cudaError_t error = cudaMemsetAsync(count, 0, sizeof(*count), l->stream);

	if (error || n == 0)
		return error;
	head += (16 - ((uintptr_t)bits + head) % 16) % 16;
	if (head + 16 > tail) /* no whole word: all are taken one by one */
		head = tail = (to + 7) / 8;
	else
		tail = head + (tail - head) / 16 * 16;
	return COP_LAUNCH(count_bits, blocks_for(ceil_div(n, (size_t)128), PICKERS, BLOCKS), PICKERS, 0, l->stream,
			  bits, from, to, head, tail, (unsigned long long *)count);
}
