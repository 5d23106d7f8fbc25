/*
 * What lies between convolutions: copies, sums, slopes, gradients handed on, flattening, dropout. All of it is bound by
 * memory; a number's bytes are given beside each kernel, for elements of `e` bytes.
 */
#include "strips.h"

enum { TILE = 32, TILE_ROWS = 8 };

/* y = x as it is read: 2e. */
template <class T, int V>
static __global__ void copy_kernel(struct strips s, const void *x, struct cop_reading as, void *y)
{
	struct walk w = walk_of<V>(s);
	reader<V> read;
	read.init(as, w.first, s.channels);
	for (size_t r = w.from; r < w.to; r += w.step) {
		size_t at = r * (size_t)s.row + (size_t)w.first;
		pack<T, V> v = load_pack<T, V>(x, at);
		for (int j = 0; j < V; j++)
			v.v[j] = read.value(v.v[j], j);
		store_pack<T, V>(y, at, v);
	}
}

template <class T, int V>
static cudaError_t copy(const struct cop_launch *l, const struct strips *s, const struct cop_activation *x, void *y)
{
	return LAUNCH_STRIPS(l, (copy_kernel<T, V>), *s, (const void *)x->raw, x->as, y);
}

cudaError_t cop_cuda_copy(const struct cop_launch *l, const struct cop_shape *s, const struct cop_activation *x,
			  void *y)
{
	struct strips w = strips_of(l, s, lies_even(x->raw) && lies_even(y), true, false);
	return BY_TYPE(l, w.v > 1, copy, l, &w, x, y);
}

/* y = a + b as they are read, cut off: 3e. */
template <class T, int V>
static __global__ void add_kernel(struct strips s, const void *a, struct cop_reading ra, const void *b,
				  struct cop_reading rb, float lo, float hi, void *y)
{
	struct walk w = walk_of<V>(s);
	reader<V> left, right;
	left.init(ra, w.first, s.channels);
	right.init(rb, w.first, s.channels);
	for (size_t r = w.from; r < w.to; r += w.step) {
		size_t at = r * (size_t)s.row + (size_t)w.first;
		pack<T, V> p = load_pack<T, V>(a, at), q = load_pack<T, V>(b, at);
		for (int j = 0; j < V; j++) {
			float v = left.value(p.v[j], j) + right.value(q.v[j], j);
			p.v[j] = cut_off(v, lo, hi);
		}
		store_pack<T, V>(y, at, p);
	}
}

template <class T, int V>
static cudaError_t add(const struct cop_launch *l, const struct strips *s, const struct cop_activation *a,
		       const struct cop_activation *b, float lo, float hi, void *y)
{
	return LAUNCH_STRIPS(l, (add_kernel<T, V>), *s, (const void *)a->raw, a->as, (const void *)b->raw, b->as, lo,
			     hi, y);
}

cudaError_t cop_cuda_add(const struct cop_launch *l, const struct cop_shape *s, const struct cop_activation *a,
			 const struct cop_activation *b, float lo, float hi, void *y)
{
	bool even = lies_even(a->raw) && lies_even(b->raw) && lies_even(y);
	struct strips w = strips_of(l, s, even, true, false);
	return BY_TYPE(l, w.v > 1, add, l, &w, a, b, lo, hi, y);
}

/* y [+]= bias (C), cut off: 2e. */
template <class T, int V>
static __global__ void bias_kernel(struct strips s, const float *bias, float lo, float hi, void *y)
{
	struct walk w = walk_of<V>(s);
	float more[V];
	for (int j = 0; j < V; j++)
		more[j] = bias ? bias[(w.first + j) % s.channels] : 0.0f;
	for (size_t r = w.from; r < w.to; r += w.step) {
		size_t at = r * (size_t)s.row + (size_t)w.first;
		pack<T, V> v = load_pack<T, V>(y, at);
		for (int j = 0; j < V; j++)
			v.v[j] = cut_off(v.v[j] + more[j], lo, hi);
		store_pack<T, V>(y, at, v);
	}
}

template <class T, int V>
static cudaError_t add_bias(const struct cop_launch *l, const struct strips *s, const float *bias, float lo, float hi,
			    void *y)
{
	return LAUNCH_STRIPS(l, (bias_kernel<T, V>), *s, bias, lo, hi, y);
}

cudaError_t cop_cuda_bias(const struct cop_launch *l, const struct cop_shape *s, const float *bias, float lo, float hi,
			  void *y)
{
	struct strips w = strips_of(l, s, lies_even(y), true, false);
	return BY_TYPE(l, w.v > 1, add_bias, l, &w, bias, lo, hi, y);
}

/* out = the gradient of the raw value: 3e, 2e without a slope. */
template <class T, int V>
static __global__ void slope_kernel(struct strips s, const void *g, const void *raw, struct cop_slope slope, void *out)
{
	struct walk w = walk_of<V>(s);
	sloper<V> of;
	of.init(slope, w.first, s.channels);
	for (size_t r = w.from; r < w.to; r += w.step) {
		size_t at = r * (size_t)s.row + (size_t)w.first;
		pack<T, V> p = load_pack<T, V>(g, at), q = p;
		if (slope.a)
			q = load_pack<T, V>(raw, at);
		for (int j = 0; j < V; j++)
			if (slope.a)
				p.v[j] = of.value(p.v[j], q.v[j], j);
		store_pack<T, V>(out, at, p);
	}
}

template <class T, int V>
static cudaError_t slope(const struct cop_launch *l, const struct strips *s, const struct cop_gradient *d, void *out)
{
	return LAUNCH_STRIPS(l, (slope_kernel<T, V>), *s, (const void *)d->g, (const void *)d->raw, d->slope, out);
}

cudaError_t cop_cuda_slope(const struct cop_launch *l, const struct cop_shape *s, const struct cop_gradient *d,
			   void *out)
{
	if (!d->slope.a && (const void *)d->g == out)
		return cudaSuccess;
	bool even = lies_even(d->g) && lies_even(out) && (!d->slope.a || lies_even(d->raw));
	struct strips w = strips_of(l, s, even, true, false);
	return BY_TYPE(l, w.v > 1, slope, l, &w, d, out);
}

/* Hands g on: 2e, e more for each of adding and completing. */
template <class T, int V>
static __global__ void __launch_bounds__(STRIP_THREADS, 3)
	pass_kernel(struct strips s, const void *g, struct sink_to to)
{
	struct walk w = walk_of<V>(s);
	sinker<T, V> sink;
	sink.init(to, w.first, s.channels);
	for (size_t r = w.from; r < w.to; r += w.step) {
		size_t at = r * (size_t)s.row + (size_t)w.first;
		pack<T, V> v = load_pack<T, V>(g, at);
		sink.put(to, at, v.v);
	}
	if (to.part)
		put_sums<V>(s, sink.sum, sink.product, to.part);
}

template <class T, int V>
static cudaError_t pass(const struct cop_launch *l, const struct strips *s, const void *g, const struct sink_to *to)
{
	return LAUNCH_STRIPS(l, (pass_kernel<T, V>), *s, g, *to);
}

cudaError_t cop_cuda_pass(const struct cop_launch *l, const struct cop_shape *s, const void *g,
			  const struct cop_sink *to)
{
	struct sink_to sink = sink_of(to);
	bool even = lies_even(g) && lies_even(to->g) && (!sink.finish || lies_even(sink.raw));
	struct strips w = strips_of(l, s, even, true, sink.part != NULL);
	if (sink.part)
		to->sums->parts = w.strips;
	if (g == sink.g && !sink.finish)
		return cudaSuccess;
	sink.add = sink.add && g != sink.g;
	return BY_TYPE(l, w.v > 1, pass, l, &w, g, &sink);
}

/*
 * out (images, columns, rows) [+]= in (images, rows, columns), turned over by tiles in shared memory, so that both
 * sides are touched in order. Grid: (tiles of an image, images). A reading's channels are the columns of `in`. 2e, 3e
 * with `add`.
 */
template <class T>
static __global__ void turn_kernel(int images, int rows, int columns, const void *in, struct cop_reading as, bool add,
				   void *out)
{
	__shared__ float tile[TILE][TILE + 1];
	int across = (columns + TILE - 1) / TILE;
	int left = (int)blockIdx.x % across * TILE, top = (int)blockIdx.x / across * TILE;
	int x = (int)threadIdx.x % TILE, y = (int)threadIdx.x / TILE;
	for (int n = (int)blockIdx.y; n < images; n += (int)gridDim.y) {
		const T *from = (const T *)in + (size_t)n * (size_t)rows * (size_t)columns;
		T *to = (T *)out + (size_t)n * (size_t)rows * (size_t)columns;
		reader<1> read;
		read.init(as, left + x, columns);
		for (int i = y; i < TILE; i += TILE_ROWS)
			if (top + i < rows && left + x < columns)
				tile[i][x] = read.value(
					to_float(from[(size_t)(top + i) * (size_t)columns + (size_t)(left + x)]), 0);
		__syncthreads();
		for (int i = y; i < TILE; i += TILE_ROWS)
			if (left + i < columns && top + x < rows) {
				T *at = to + (size_t)(left + i) * (size_t)rows + (size_t)(top + x);
				*at = from_float<T>(add ? to_float(*at) + tile[x][i] : tile[x][i]);
			}
		__syncthreads();
	}
}

static cudaError_t turn(const struct cop_launch *l, int images, int rows, int columns, const void *in,
			const struct cop_reading *as, bool more, void *out)
{
	int tiles = (rows + TILE - 1) / TILE * ((columns + TILE - 1) / TILE);
	dim3 grid((unsigned)tiles, (unsigned)(images < 65535 ? images : 65535)), block(TILE * TILE_ROWS);
	if (l->element == COP_ELEMENT_BF16)
		return COP_LAUNCH((turn_kernel<__nv_bfloat16>), grid, block, 0, l->stream, images, rows, columns, in,
				  *as, more, out);
	return COP_LAUNCH((turn_kernel<float>), grid, block, 0, l->stream, images, rows, columns, in, *as, more, out);
}

static const struct cop_reading as_it_is = {NULL, NULL, -INFINITY, INFINITY};

cudaError_t cop_cuda_flatten(const struct cop_launch *l, const struct cop_shape *s, const struct cop_activation *x,
			     void *y)
{
	return turn(l, s->batch, s->h * s->w, s->c, x->raw, &x->as, false, y);
}

cudaError_t cop_cuda_flatten_backward(const struct cop_launch *l, const struct cop_shape *s, const void *dy,
				      const struct cop_sink *dx)
{
	cudaError_t e = turn(l, s->batch, s->c, s->h * s->w, dy, &as_it_is, dx->add, dx->g);
	return e == cudaSuccess ? cop_cuda_pass(l, s, dx->g, dx) : e;
}

/* Philox4x32-10 of (counter, seed), as in base/rng.h. */
static __device__ __forceinline__ void philox(uint32_t (&x)[4], uint64_t seed)
{
	uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
	for (int r = 0; r < 10; r++) {
		uint64_t a = (uint64_t)0xD2511F53u * x[0], b = (uint64_t)0xCD9E8D57u * x[2];
		x[0] = (uint32_t)(b >> 32) ^ x[1] ^ k0;
		x[1] = (uint32_t)b;
		x[2] = (uint32_t)(a >> 32) ^ x[3] ^ k1;
		x[3] = (uint32_t)a;
		k0 += 0x9E3779B9u;
		k1 += 0xBB67AE85u;
	}
}

struct drop {
	uint64_t seed;
	uint32_t limit;
	float kept;
	const struct cop_dials *dials;
};

enum { PURPOSE = 6 /* COP_PURPOSE_DROPOUT of base/rng.h */, DRAWN = 4 /* by one call of philox() */ };

/*
 * y = x as it is read, kept and scaled or put to 0; y may be x. Feature f of image n takes word n % 4 of the block n /
 * 4 of the stream of (seed, step, f), the CPU's; so a thread has V features of 4 images. 2e.
 */
template <class T, int V>
static __global__ void dropout_kernel(struct cop_shape s, struct drop d, const void *x, struct cop_reading as, void *y)
{
	int features = s.h * s.w * s.c, across = features / V;
	size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
	int first = (int)(i % (size_t)across) * V, group = (int)(i / (size_t)across);
	if (group * DRAWN >= s.batch)
		return;
	reader<V> read;
	read.init(as, first, s.c);
	uint32_t drawn[V][4];
	for (int j = 0; j < V; j++) {
		drawn[j][0] = (uint32_t)group;
		drawn[j][1] = (uint32_t)(first + j);
		drawn[j][2] = (uint32_t)d.dials->step;
		drawn[j][3] = PURPOSE;
		philox(drawn[j], d.seed);
	}
	for (int k = 0; k < DRAWN; k++) {
		if (group * DRAWN + k >= s.batch)
			break;
		size_t at = (size_t)(group * DRAWN + k) * (size_t)features + (size_t)first;
		pack<T, V> v = load_pack<T, V>(x, at);
		for (int j = 0; j < V; j++) {
			float kept = read.value(v.v[j], j) * d.kept;
			v.v[j] = drawn[j][k] >= d.limit ? kept : 0.0f;
		}
		store_pack<T, V>(y, at, v);
	}
}

template <class T, int V>
static cudaError_t drop(const struct cop_launch *l, const struct cop_shape *s, const struct drop *d, const void *x,
			const struct cop_reading *as, void *y)
{
	size_t n = (size_t)((s->batch + DRAWN - 1) / DRAWN) * (size_t)(s->h * s->w * s->c / V);
	return COP_LAUNCH((dropout_kernel<T, V>), dim3((unsigned)((n + 127) / 128)), dim3(128), 0, l->stream, *s, *d, x,
			  *as, y);
}

static cudaError_t drop_all(const struct cop_launch *l, const struct cop_shape *s, const struct cop_drop *d,
			    const void *x, const struct cop_reading *as, void *y)
{
	struct drop how = {d->seed + ((uint64_t)d->node << 40), (uint32_t)(d->rate * 4294967296.0),
			   (float)(1 / (1 - d->rate)), d->dials};
	int v = l->element == COP_ELEMENT_BF16 ? 8 : 4;
	bool wide = lies_even(x) && lies_even(y) && s->h * s->w * s->c % v == 0;
	return BY_TYPE(l, wide, drop, l, s, &how, x, as, y);
}

cudaError_t cop_cuda_dropout(const struct cop_launch *l, const struct cop_shape *s, const struct cop_drop *d,
			     const struct cop_activation *x, void *y)
{
	return drop_all(l, s, d, x->raw, &x->as, y);
}

cudaError_t cop_cuda_dropout_backward(const struct cop_launch *l, const struct cop_shape *s, const struct cop_drop *d,
				      void *dy, const struct cop_sink *dx)
{
	cudaError_t e = drop_all(l, s, d, dy, &as_it_is, dy);
	return e == cudaSuccess ? cop_cuda_pass(l, s, dy, dx) : e;
}
