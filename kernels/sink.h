/*
 * What a thread does with V channels of a pixel: how a value and the gradient of what lies in memory are read, and how
 * a gradient is handed on (struct cop_reading, cop_slope and cop_sink of compute/backend.h). What belongs to the
 * channels is loaded once a thread and kept in registers; a thread stays with its channels and walks over pixels.
 *
 * The structs of compute/backend.h hold nothing but the device's pointers here, so kernels take them by value.
 */
#ifndef COP_KERNELS_SINK_H
#define COP_KERNELS_SINK_H

#include "device.h"
#include "kernels.h"

template <class T, int V> static __device__ __forceinline__ pack<T, V> load_pack(const void *p, size_t at)
{
	return pack<T, V>::load((const T *)p + at);
}

template <class T, int V> static __device__ __forceinline__ void store_pack(void *p, size_t at, const pack<T, V> &v)
{
	v.store((T *)p + at);
}

/* V numbers as they lie in memory: what is loaded ahead waits in as few registers as it can. */
template <class T, int V> struct loaded {
	typename pack<T, V>::word word[pack<T, V>::words];

	static __device__ __forceinline__ loaded from(const void *p, size_t at)
	{
		const T *first = (const T *)p + at;
		loaded l;
		COP_CHECK_ADDRESS(first, sizeof(l.word[0]));
#pragma unroll
		for (int i = 0; i < pack<T, V>::words; i++)
			l.word[i] = reinterpret_cast<const typename pack<T, V>::word *>(first)[i];
		return l;
	}

	__device__ __forceinline__ float number(int j) const
	{
		T x[V];
		memcpy((void *)x, word, sizeof(x));
		return to_float(x[j]);
	}
};

/* Written so that NaN passes through, as on the CPU. */
static __device__ __forceinline__ float cut_off(float v, float lo, float hi)
{
#ifdef __CUDA_ARCH__
	/* one instruction each, where a comparison and a choice are two */
	asm("max.NaN.f32 %0, %0, %1;" : "+f"(v) : "f"(lo));
	asm("min.NaN.f32 %0, %0, %1;" : "+f"(v) : "f"(hi));
	return v;
#else
	v = v < lo ? lo : v;
	return v > hi ? hi : v;
#endif
}

/* min(max(scale raw + shift, lo), hi) for channels first, first + 1, ... modulo `channels`. */
template <int V> struct reader {
	float scale[V], shift[V], lo, hi;

	__device__ __forceinline__ void init(const struct cop_reading &r, int first, int channels)
	{
		lo = r.lo;
		hi = r.hi;
		for (int j = 0; j < V; j++) {
			int c = (first + j) % channels;
			scale[j] = r.scale ? r.scale[c] : 1.0f;
			shift[j] = r.scale ? r.shift[c] : 0.0f;
		}
	}

	/* Before it is cut off. */
	__device__ __forceinline__ float whole(float raw, int j) const
	{
		return fmaf(raw, scale[j], shift[j]);
	}

	__device__ __forceinline__ float value(float raw, int j) const
	{
		return cut_off(whole(raw, j), lo, hi);
	}
};

/* a g + b (raw - mean) + c; where s.a is NULL it is g, and raw is not to be read. */
template <int V> struct sloper {
	float a[V], b[V], c[V], mean[V];

	__device__ __forceinline__ void init(const struct cop_slope &s, int first, int channels)
	{
		for (int j = 0; j < V; j++) {
			int at = (first + j) % channels;
			a[j] = s.a ? s.a[at] : 1.0f;
			b[j] = s.a ? s.b[at] : 0.0f;
			c[j] = s.a ? s.c[at] : 0.0f;
			mean[j] = s.a ? s.mean[at] : 0.0f;
		}
	}

	__device__ __forceinline__ float value(float g, float raw, int j) const
	{
		return fmaf(a[j], g, fmaf(b[j], raw - mean[j], c[j]));
	}
};

/* What kernels take of a struct cop_sink. */
struct sink_to {
	void *g;
	const void *raw;
	struct cop_reading as;
	const float *mean; /* NULL: 0 */
	float *part;       /* (parts, C, 2); NULL: no sums */
	bool add, finish;  /* finish: this completes the gradient, raw is to be read; else what serves it is NULL */
};

static inline struct sink_to sink_of(const struct cop_sink *s)
{
	bool finish = s->last && (s->cuts || s->sums);
	struct sink_to to = {};
	to.g = s->g;
	to.add = s->add;
	to.finish = finish;
	if (finish) {
		to.raw = s->of.raw;
		to.as = s->of.as;
		to.mean = s->mean;
		to.part = s->sums ? s->sums->part : NULL;
	}
	return to;
}

/*
 * Hands on gradients of V channels: to.g [+]= g, put to 0 where the value was cut off, and the sums of g and g (raw -
 * mean), of what memory then holds, so that it does not matter which kernel completes a gradient. Costs, with T
 * a number's type: sizeof(T) written, and read for each of `add` and `finish`.
 */
template <class T, int V> struct sinker {
	reader<V> as;
	float mean[V], sum[V], product[V];

	__device__ __forceinline__ void init(const struct sink_to &to, int first, int channels)
	{
		as.init(to.as, first, channels);
		for (int j = 0; j < V; j++) {
			mean[j] = to.mean ? to.mean[(first + j) % channels] : 0.0f;
			sum[j] = product[j] = 0;
		}
	}

	/* What put() reads of memory, which may be loaded long before. */
	struct held {
		loaded<T, V> old, raw;
	};

	__device__ __forceinline__ held load(const struct sink_to &to, size_t at) const
	{
		held h = held();
		if (to.add)
			h.old = loaded<T, V>::from(to.g, at);
		if (to.finish)
			h.raw = loaded<T, V>::from(to.raw, at);
		return h;
	}

	/* The elements from `at` on. */
	__device__ __forceinline__ void put(const struct sink_to &to, size_t at, const float (&g)[V], const held &h)
	{
		pack<T, V> out;
		for (int j = 0; j < V; j++) {
			float v = to.add ? g[j] + h.old.number(j) : g[j], y = mean[j];
			if (to.finish) {
				y = h.raw.number(j);
				float z = as.whole(y, j);
				v = z > as.lo && z < as.hi ? v : 0.0f;
			}
			v = to_float(from_float<T>(v));
			out.v[j] = v;
			sum[j] += v;
			product[j] = fmaf(v, y - mean[j], product[j]);
		}
		store_pack<T, V>(to.g, at, out);
	}

	__device__ __forceinline__ void put(const struct sink_to &to, size_t at, const float (&g)[V])
	{
		put(to, at, g, load(to, at));
	}
};

#endif
