/*
 * What is done to flat arrays: the optimizers with the mask as bits, narrowing, a ReLU's gradient and sums over ranks.
 * All are bound by memory. A thread takes four neighbours at a time, which is one access of 16 bytes to each array of
 * floats, and half a byte of the mask; what is left beyond a multiple of four, or everything where an array does not
 * begin at a multiple of 16 bytes, is taken one by one. No number is used by two threads, so arrays may be the same.
 */
#include "device.h"

enum { THREADS = 256, BLOCKS = 8 * 132 /* all that an H100 can have at once */, WIDE = 4 };

/* Does op.at<WIDE>(i) for i = 0, 4, ... below `wide`, and op.at<1>(i) for the i from there to n. */
template <class Op> static __global__ void each(Op op, size_t n, size_t wide)
{
	op.prepare();
	for (size_t i = grid_thread() * WIDE; i < wide; i += grid_threads() * WIDE)
		op.template at<WIDE>(i);
	for (size_t i = wide + grid_thread(); i < n; i += grid_threads())
		op.template at<1>(i);
}

template <class Op> static cudaError_t launch_each(const struct cop_launch *l, const Op &op, size_t n, bool aligned)
{
	size_t wide = aligned ? n / WIDE * WIDE : 0, rest = n - wide;
	size_t threads = wide / WIDE > rest ? wide / WIDE : rest;

	if (n == 0)
		return cudaSuccess;
	return COP_LAUNCH(each<Op>, blocks_for(threads, THREADS, BLOCKS), THREADS, 0, l->stream, op, n, wide);
}

static bool aligned16(const void *p)
{
	return (uintptr_t)p % 16 == 0;
}

/* The mask's bits from weight i on, of which the lowest is its own; without a mask all are kept. */
static __device__ __forceinline__ unsigned kept(const uint8_t *mask, size_t i)
{
	return mask ? (unsigned)mask[i / 8] >> (i % 8) : 0xffu;
}

/* 12 bytes read and 8 written a weight, and a bit: g, w and v in, w and v out. */
struct sgd_op {
	struct cop_sgd o;
	const struct cop_dials *dials;
	const float *g;
	const uint8_t *mask;
	float *w, *v;

	__device__ void prepare(void)
	{
	}

	template <int n> __device__ __forceinline__ void at(size_t i) const
	{
		float lr = dials->lr, momentum = o.momentum;
		float own = o.nesterov ? 1.0f : 0.0f, past = o.nesterov ? momentum : 1.0f;
		pack<float, n> grad = pack<float, n>::load(g + i);
		pack<float, n> weight = pack<float, n>::load(w + i), speed = pack<float, n>::load(v + i);
		unsigned bits = kept(mask, i);
#pragma unroll
		for (int k = 0; k < n; k++) {
			float d = bits >> k & 1u ? grad.v[k] + o.weight_decay * weight.v[k] : 0.0f;
			speed.v[k] = momentum * speed.v[k] + d;
			weight.v[k] -= lr * (own * d + past * speed.v[k]);
		}
		speed.store(v + i);
		weight.store(w + i);
	}
};

cudaError_t cop_cuda_sgd(const struct cop_launch *l, const struct cop_sgd *o, const struct cop_dials *dials, size_t n,
			 const float *g, const uint8_t *mask, float *w, float *v)
{
	struct sgd_op op = {*o, dials, g, mask, w, v};
	return launch_each(l, op, n, aligned16(g) && aligned16(w) && aligned16(v));
}

/*
 * The corrections of Adam's bias, folded as the CPU does: w -= rate m / (sqrt(v) + eps) with rate = lr c2 / c1, eps =
 * epsilon c2, where c1 = 1 - beta1^t and c2 = sqrt(1 - beta2^t). One thread of a block works them out, in double:
 * powers are dear. Returns rate in x and eps in y.
 */
static __device__ float2 adam_rates(const struct cop_adam *o, const struct cop_dials *dials)
{
	__shared__ float2 rates;

	if (threadIdx.x == 0) {
		double updates = (double)(dials->updates + 1);
		double c1 = 1.0 - pow((double)o->beta1, updates), c2 = sqrt(1.0 - pow((double)o->beta2, updates));
		rates = make_float2((float)((double)dials->lr * c2 / c1), (float)((double)o->epsilon * c2));
	}
	__syncthreads();
	return rates;
}

/* 16 bytes read and 12 written a weight, and a bit: g, w, m and v in, w, m and v out. */
struct adam_op {
	struct cop_adam o;
	const struct cop_dials *dials;
	const float *g;
	const uint8_t *mask;
	float *w, *m, *v;
	float2 rates; /* set by prepare() */

	__device__ void prepare(void)
	{
		rates = adam_rates(&o, dials);
	}

	template <int n> __device__ __forceinline__ void at(size_t i) const
	{
		float b1 = o.beta1, b2 = o.beta2;
		pack<float, n> grad = pack<float, n>::load(g + i), weight = pack<float, n>::load(w + i);
		pack<float, n> first = pack<float, n>::load(m + i), second = pack<float, n>::load(v + i);
		unsigned bits = kept(mask, i);
#pragma unroll
		for (int k = 0; k < n; k++) {
			float d = bits >> k & 1u ? grad.v[k] + o.weight_decay * weight.v[k] : 0.0f;
			first.v[k] = b1 * first.v[k] + (1.0f - b1) * d;
			second.v[k] = b2 * second.v[k] + (1.0f - b2) * d * d;
			weight.v[k] -= rates.x * first.v[k] / (sqrtf(second.v[k]) + rates.y);
		}
		first.store(m + i);
		second.store(v + i);
		weight.store(w + i);
	}
};

cudaError_t cop_cuda_adam(const struct cop_launch *l, const struct cop_adam *o, const struct cop_dials *dials, size_t n,
			  const float *g, const uint8_t *mask, float *w, float *m, float *v)
{
	struct adam_op op = {*o, dials, g, mask, w, m, v, {}};
	return launch_each(l, op, n, aligned16(g) && aligned16(w) && aligned16(m) && aligned16(v));
}

/* 4 bytes read and sizeof(T) written a number. */
template <class T> struct narrow_op {
	const float *from;
	T *to;

	__device__ void prepare(void)
	{
	}

	template <int n> __device__ __forceinline__ void at(size_t i) const
	{
		pack<float, n> x = pack<float, n>::load(from + i);
		pack<T, n> y;
#pragma unroll
		for (int k = 0; k < n; k++)
			y.v[k] = x.v[k];
		y.store(to + i);
	}
};

template <class T> static cudaError_t narrow(const struct cop_launch *l, size_t n, const float *from, void *to)
{
	struct narrow_op<T> op = {
		from, (T *)to
	};
	return launch_each(l, op, n, aligned16(from) && aligned16(to));
}

cudaError_t cop_cuda_narrow(const struct cop_launch *l, size_t n, const float *from, void *to)
{
	return l->element == COP_ELEMENT_BF16 ? narrow<__nv_bfloat16>(l, n, from, to) : narrow<float>(l, n, from, to);
}

/* Two numbers read and one written: dx stays where x > 0. */
template <class T> struct cut_op {
	const T *x;
	T *dx;

	__device__ void prepare(void)
	{
	}

	template <int n> __device__ __forceinline__ void at(size_t i) const
	{
		pack<T, n> value = pack<T, n>::load(x + i), grad = pack<T, n>::load(dx + i);
#pragma unroll
		for (int k = 0; k < n; k++)
			grad.v[k] = value.v[k] > 0.0f ? grad.v[k] : 0.0f;
		grad.store(dx + i);
	}
};

template <class T> static cudaError_t cut(const struct cop_launch *l, size_t n, const void *x, void *dx)
{
	struct cut_op<T> op = {
		(const T *)x, (T *)dx
	};
	return launch_each(l, op, n, aligned16(x) && aligned16(dx));
}

cudaError_t cop_cuda_cut(const struct cop_launch *l, size_t n, const void *x, void *dx)
{
	return l->element == COP_ELEMENT_BF16 ? cut<__nv_bfloat16>(l, n, x, dx) : cut<float>(l, n, x, dx);
}

/* 4 bytes read a rank, 4 written. */
struct add_ranks_op {
	const float *part[COP_CUDA_GROUP];
	int ranks;
	float *g;

	__device__ void prepare(void)
	{
	}

	template <int n> __device__ __forceinline__ void at(size_t i) const
	{
		pack<float, n> sum = pack<float, n>::load(part[0] + i);
		for (int r = 1; r < ranks; r++) {
			pack<float, n> x = pack<float, n>::load(part[r] + i);
#pragma unroll
			for (int k = 0; k < n; k++)
				sum.v[k] += x.v[k];
		}
		sum.store(g + i);
	}
};

cudaError_t cop_cuda_add_ranks(const struct cop_launch *l, size_t n, int ranks, const float *const *part, float *g)
{
	struct add_ranks_op op = {{}, ranks, g};
	bool aligned = aligned16(g);

	if (ranks < 1 || ranks > COP_CUDA_GROUP)
		return cudaErrorInvalidValue;
	for (int r = 0; r < ranks; r++) {
		op.part[r] = part[r];
		aligned = aligned && aligned16(part[r]);
	}
	return launch_each(l, op, n, aligned);
}
