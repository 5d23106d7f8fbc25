/*
 * Pools. A thread has V channels of an output pixel, or, backward, of an input pixel that gathers from the windows it
 * is in: nothing is scattered. What windows share comes from the caches. A number's bytes in memory are given beside
 * each kernel, for elements of `e` bytes and `w` = outputs / inputs.
 */
#include "strips.h"

enum { THREADS = 256, SPLIT = 8 };

/* Pixel p of (N,H,W). */
struct place {
	int n, y, x;
};

static __device__ __forceinline__ struct place place_of(size_t p, int h, int w)
{
	unsigned q = (unsigned)p / (unsigned)w; /* below 2^32: checked by those who launch */
	struct place at = {(int)(q / (unsigned)h), (int)(q % (unsigned)h), (int)((unsigned)p % (unsigned)w)};
	return at;
}

static bool few_pixels(const struct cop_shape *s)
{
	return (size_t)s->batch * (size_t)s->h * (size_t)s->w <= UINT32_MAX;
}

/* Where in (N,H,W,C) the pixel's channels from `first` on are. */
static __device__ __forceinline__ size_t at_pixel(int n, int y, int x, int h, int w, int c, int first)
{
	return (((size_t)n * (size_t)h + (size_t)y) * (size_t)w + (size_t)x) * (size_t)c + (size_t)first;
}

/* The taps [from, to) of a window that begins at `start` and lie in 0..size. */
struct taps {
	int from, to;
};

static __device__ __forceinline__ struct taps taps_of(int start, int kernel, int dilation, int size)
{
	struct taps t = {start < 0 ? (-start + dilation - 1) / dilation : 0, kernel};
	int most = start < size ? (size - start + dilation - 1) / dilation : 0;
	t.to = t.to < most ? t.to : most;
	return t;
}

/* (1 + w) e. Maximum: a NaN in the window comes through. */
template <class T, int V>
static __global__ void pool_kernel(struct strips s, struct cop_pool p, const void *x, struct cop_reading as, void *y)
{
	const struct cop_conv &d = p.window;
	struct walk w = walk_of<V>(s);
	reader<V> read;
	read.init(as, w.first, s.channels);
	float scale = p.max ? 1.0f : 1.0f / (float)(d.kernel[0] * d.kernel[1]);
	for (size_t r = w.from; r < w.to; r += w.step) {
		struct place o = place_of(r, d.out_h, d.out_w);
		int top = o.y * d.stride[0] - d.padding[0], left = o.x * d.stride[1] - d.padding[1];
		struct taps rows = taps_of(top, d.kernel[0], d.dilation[0], d.in_h);
		struct taps columns = taps_of(left, d.kernel[1], d.dilation[1], d.in_w);
		float best[V];
		for (int j = 0; j < V; j++)
			best[j] = p.max ? -INFINITY : 0.0f;
		for (int a = rows.from; a < rows.to; a++)
			for (int b = columns.from; b < columns.to; b++) {
				pack<T, V> v = load_pack<T, V>(x, at_pixel(o.n, top + a * d.dilation[0],
									   left + b * d.dilation[1], d.in_h, d.in_w,
									   s.channels, w.first));
				for (int j = 0; j < V; j++) {
					float z = read.value(v.v[j], j);
					best[j] = !p.max ? best[j] + z : z > best[j] || z != z ? z : best[j];
				}
			}
		pack<T, V> out;
		for (int j = 0; j < V; j++)
			out.v[j] = best[j] * scale;
		store_pack<T, V>(y, r * (size_t)s.row + (size_t)w.first, out);
	}
}

template <class T, int V>
static cudaError_t pool(const struct cop_launch *l, const struct strips *s, const struct cop_pool *p,
			const struct cop_activation *x, void *y)
{
	return LAUNCH_STRIPS(l, (pool_kernel<T, V>), *s, *p, (const void *)x->raw, x->as, y);
}

cudaError_t cop_cuda_pool(const struct cop_launch *l, const struct cop_pool *p, const struct cop_activation *x, void *y)
{
	const struct cop_conv *d = &p->window;
	struct cop_shape out = {d->in_c, d->out_h, d->out_w, d->batch, d->ld};
	struct strips w = strips_of(l, &out, lies_even(x->raw) && lies_even(y), false, false);
	if (!few_pixels(&out))
		return cudaErrorInvalidValue;
	return BY_TYPE(l, w.v > 1, pool, l, &w, p, x, y);
}

/*
 * won[j] stays where `mine` is the first maximum of the window at (top, left), being its tap (row, column). Where there
 * is a NaN in the window nobody wins.
 */
template <class T, int V>
static __device__ __forceinline__ void play(const struct cop_conv &d, const void *x, const reader<V> &read, int n,
					    int top, int left, int row, int column, int first, const float (&mine)[V],
					    bool (&won)[V])
{
	struct taps rows = taps_of(top, d.kernel[0], d.dilation[0], d.in_h);
	struct taps columns = taps_of(left, d.kernel[1], d.dilation[1], d.in_w);
	for (int a = rows.from; a < rows.to; a++)
		for (int b = columns.from; b < columns.to; b++) {
			bool before = a < row || (a == row && b < column);
			pack<T, V> v = load_pack<T, V>(x, at_pixel(n, top + a * d.dilation[0], left + b * d.dilation[1],
								   d.in_h, d.in_w, d.in_c, first));
			for (int j = 0; j < V; j++) {
				float z = read.value(v.v[j], j);
				won[j] = won[j] && (before ? z < mine[j] : z <= mine[j]);
			}
		}
}

/* (1 + w) e to read where it is a maximum, w e where it is a mean, and what the sink costs. */
template <class T, int V>
static __global__ void __launch_bounds__(STRIP_THREADS, 2)
	pool_backward_kernel(struct strips s, struct cop_pool p, const void *x, struct cop_reading as, const void *dy,
			     struct sink_to to)
{
	const struct cop_conv &d = p.window;
	struct walk w = walk_of<V>(s);
	sinker<T, V> sink;
	reader<V> read;
	sink.init(to, w.first, s.channels);
	read.init(as, w.first, s.channels);
	float scale = 1.0f / (float)(d.kernel[0] * d.kernel[1]);
	for (size_t r = w.from; r < w.to; r += w.step) {
		struct place i = place_of(r, d.in_h, d.in_w);
		size_t at = r * (size_t)s.row + (size_t)w.first;
		float g[V], mine[V];
		for (int j = 0; j < V; j++)
			g[j] = mine[j] = 0;
		if (p.max) {
			pack<T, V> v = load_pack<T, V>(x, at);
			for (int j = 0; j < V; j++)
				mine[j] = read.value(v.v[j], j);
		}
		for (int a = d.kernel[0] - 1; a >= 0; a--) {
			int top = i.y - a * d.dilation[0], oy = (top + d.padding[0]) / d.stride[0];
			if (top + d.padding[0] < 0 || (top + d.padding[0]) % d.stride[0] || oy >= d.out_h)
				continue;
			for (int b = d.kernel[1] - 1; b >= 0; b--) {
				int left = i.x - b * d.dilation[1], ox = (left + d.padding[1]) / d.stride[1];
				if (left + d.padding[1] < 0 || (left + d.padding[1]) % d.stride[1] || ox >= d.out_w)
					continue;
				pack<T, V> v = load_pack<T, V>(
					dy, at_pixel(i.n, oy, ox, d.out_h, d.out_w, d.in_c, w.first));
				bool won[V];
				for (int j = 0; j < V; j++)
					won[j] = true;
				if (p.max)
					play<T, V>(d, x, read, i.n, top, left, a, b, w.first, mine, won);
				for (int j = 0; j < V; j++)
					if (won[j])
						g[j] += p.max ? v.v[j] : v.v[j] * scale;
			}
		}
		sink.put(to, at, g);
	}
	if (to.part)
		put_sums<V>(s, sink.sum, sink.product, to.part);
}

template <class T, int V>
static cudaError_t pool_backward(const struct cop_launch *l, const struct strips *s, const struct cop_pool *p,
				 const struct cop_activation *x, const void *dy, const struct sink_to *to)
{
	return LAUNCH_STRIPS(l, (pool_backward_kernel<T, V>), *s, *p, (const void *)x->raw, x->as, dy, *to);
}

cudaError_t cop_cuda_pool_backward(const struct cop_launch *l, const struct cop_pool *p, const struct cop_activation *x,
				   const void *dy, const struct cop_sink *dx)
{
	const struct cop_conv *d = &p->window;
	struct cop_shape in = {d->in_c, d->in_h, d->in_w, d->batch, d->ld};
	struct sink_to to = sink_of(dx);
	bool even = lies_even(x->raw) && lies_even(dy) && lies_even(to.g) && (!to.finish || lies_even(to.raw));
	struct strips w = strips_of(l, &in, even, false, to.part != NULL);
	if (!few_pixels(&in))
		return cudaErrorInvalidValue;
	if (to.part)
		dx->sums->parts = w.strips;
	return BY_TYPE(l, w.v > 1, pool_backward, l, &w, p, x, dy, &to);
}

/*
 * y (N,C) = means over the pixels of x as it is read. `split` threads share the pixels of V channels of an image; those
 * of a block are beside each other along (N,C). (1 + w) e.
 */
template <class T, int V>
static __global__ void global_pool_kernel(struct cop_shape s, int split, const void *x, struct cop_reading as, void *y)
{
	__shared__ float shared[V][THREADS];
	int pixels = s.h * s.w, across = s.c / V, units = THREADS / split;
	int t = (int)threadIdx.x, k = t / units;
	size_t unit = (size_t)blockIdx.x * (size_t)units + (size_t)(t % units);
	int n = (int)(unit / (size_t)across), first = (int)(unit % (size_t)across) * V;
	float sum[V];
	reader<V> read;
	read.init(as, first, s.c);
	for (int j = 0; j < V; j++)
		sum[j] = 0;
	if (n < s.batch) {
#pragma unroll 4
		for (int i = k; i < pixels; i += split) {
			pack<T, V> v = load_pack<T, V>(x, ((size_t)n * (size_t)pixels + (size_t)i) * (size_t)s.c +
								  (size_t)first);
			for (int j = 0; j < V; j++)
				sum[j] += read.value(v.v[j], j);
		}
	}
	for (int j = 0; j < V; j++)
		shared[j][t] = sum[j];
	__syncthreads();
	if (k > 0 || n >= s.batch)
		return;
	pack<T, V> out;
	for (int j = 0; j < V; j++) {
		for (int i = 1; i < split; i++)
			sum[j] += shared[j][t + i * units];
		out.v[j] = sum[j] * (1.0f / (float)pixels);
	}
	store_pack<T, V>(y, (size_t)n * (size_t)s.c + (size_t)first, out);
}

template <class T, int V>
static cudaError_t global_pool(const struct cop_launch *l, const struct cop_shape *in, const struct cop_activation *x,
			       void *y)
{
	int split = in->h * in->w >= 4 * SPLIT ? SPLIT : 1, units = THREADS / split;
	size_t n = (size_t)in->batch * (size_t)(in->c / V), blocks = (n + (size_t)units - 1) / (size_t)units;
	return COP_LAUNCH((global_pool_kernel<T, V>), dim3((unsigned)blocks), dim3(THREADS), 0, l->stream, *in, split,
			  (const void *)x->raw, x->as, y);
}

cudaError_t cop_cuda_global_pool(const struct cop_launch *l, const struct cop_shape *in, const struct cop_activation *x,
				 void *y)
{
	struct strips w = strips_of(l, in, lies_even(x->raw) && lies_even(y), false, false);
	return BY_TYPE(l, w.v > 1, global_pool, l, in, x, y);
}

/* g (N,H,W,C) from dy (N,C): what the sink costs. */
template <class T, int V>
static __global__ void __launch_bounds__(STRIP_THREADS, 3)
	global_pool_backward_kernel(struct strips s, int pixels, const void *dy, struct sink_to to)
{
	struct walk w = walk_of<V>(s);
	sinker<T, V> sink;
	sink.init(to, w.first, s.channels);
	float scale = 1.0f / (float)pixels;
	for (size_t r = w.from; r < w.to; r += w.step) {
		size_t n = (unsigned)r / (unsigned)pixels;
		pack<T, V> v = load_pack<T, V>(dy, n * (size_t)s.channels + (size_t)w.first);
		float g[V];
		for (int j = 0; j < V; j++)
			g[j] = v.v[j] * scale;
		sink.put(to, r * (size_t)s.row + (size_t)w.first, g);
	}
	if (to.part)
		put_sums<V>(s, sink.sum, sink.product, to.part);
}

template <class T, int V>
static cudaError_t global_pool_backward(const struct cop_launch *l, const struct strips *s, int pixels, const void *dy,
					const struct sink_to *to)
{
	return LAUNCH_STRIPS(l, (global_pool_backward_kernel<T, V>), *s, pixels, dy, *to);
}

cudaError_t cop_cuda_global_pool_backward(const struct cop_launch *l, const struct cop_shape *in, const void *dy,
					  const struct cop_sink *dx)
{
	struct sink_to to = sink_of(dx);
	bool even = lies_even(dy) && lies_even(to.g) && (!to.finish || lies_even(to.raw));
	struct strips w = strips_of(l, in, even, false, to.part != NULL);
	if (!few_pixels(in))
		return cudaErrorInvalidValue;
	if (to.part)
		dx->sums->parts = w.strips;
	return BY_TYPE(l, w.v > 1, global_pool_backward, l, &w, in->h * in->w, dy, &to);
}
