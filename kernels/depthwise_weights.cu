/*
 * The gradient of a depthwise convolution's weights; see depthwise.h. Blocks write partial sums, which a second kernel
 * adds up in a fixed order. Bytes, with E those of a number: E an element of x, and E (2 E with a slope) one of dy.
 */
#include "depthwise.h"

/*
 * What a thread adds up for the weights of a 3x3 window: sum[3 i + j] += dy(y, x) in(y S + i, x S + j), and dy itself
 * in sum[9], for the bias. Column q of a line of the input, with row i of the window, meets the columns of dy that see
 * it.
 */
template <int S, int COLUMNS, int V>
static __device__ __forceinline__ void gather_up(int i, int q, const float (&v)[V], const float (&dy)[COLUMNS][V],
						 float (&sum)[10][V])
{
#pragma unroll
	for (int j = 0; j < 3; j++) {
		int t = q - j;
		if (t < 0 || t % S || t / S >= COLUMNS)
			continue;
#pragma unroll
		for (int k = 0; k < V; k++)
			sum[3 * i + j][k] = fmaf(dy[t / S][k], v[k], sum[3 * i + j][k]);
	}
}

template <int COLUMNS, int V>
static __device__ __forceinline__ void add_columns(const float (&dy)[COLUMNS][V], float (&sum)[V])
{
#pragma unroll
	for (int t = 0; t < COLUMNS; t++) {
#pragma unroll
		for (int j = 0; j < V; j++)
			sum[j] += dy[t][j];
	}
}

template <int COLUMNS, int V>
static __device__ __forceinline__ void move(float (&to)[COLUMNS][V], const float (&from)[COLUMNS][V])
{
#pragma unroll
	for (int t = 0; t < COLUMNS; t++) {
#pragma unroll
		for (int j = 0; j < V; j++)
			to[t][j] = from[t][j];
	}
}

/* One unit, of dy's rows, at stride 1: input row y+k-top meets dy's rows y+k, y+k-1 and y+k-2, as far as the unit's. */
template <class T, int V, int COLUMNS>
static __device__ __forceinline__ void dots_by_1(const struct slide &s, const struct unit &u, int first,
						 const values<T, V> &x, const typename values<T, V>::from &x_from,
						 const gradients<T, V> &dy,
						 const typename gradients<T, V>::from &dy_from, float (&sum)[10][V])
{
	enum { N = COLUMNS + 2 };
	typedef values<T, V> X;
	typedef gradients<T, V> G;
	float d0[COLUMNS][V], d1[COLUMNS][V], d2[COLUMNS][V];
	clear(d0);
	clear(d1);
	feed<X, N> x_rows;
	feed<G, COLUMNS> dy_rows;
	x_rows.init(x, x_from, s.in, u.n, u.y - s.top, u.x - s.left, first);
	dy_rows.init(dy, dy_from, s.out, u.n, u.y, u.x, first);
	for (int k = 0; k < u.rows + 2; k++) {
		line<X, N> now = x_rows.take(x, x_from, s.in, k < u.rows + 1);
		move(d2, d1);
		move(d1, d0);
		if (k < u.rows) {
			line<G, COLUMNS> now_dy = dy_rows.take(dy, dy_from, s.out, k < u.rows - 1);
			values_of<G, COLUMNS, V>(dy, now_dy, d0);
			add_columns(d0, sum[9]);
		} else {
			clear(d0);
		}
#pragma unroll
		for (int q = 0; q < N; q++) {
			float v[V];
			value_of<X, N, V>(x, now, q, v);
			gather_up<1, COLUMNS, V>(0, q, v, d0, sum);
			gather_up<1, COLUMNS, V>(1, q, v, d1, sum);
			gather_up<1, COLUMNS, V>(2, q, v, d2, sum);
		}
	}
}

/* At stride 2: input row 2 (y+k) - top meets dy's rows y+k and y+k-1, the next one y+k alone. */
template <class T, int V, int COLUMNS>
static __device__ __forceinline__ void dots_by_2(const struct slide &s, const struct unit &u, int first,
						 const values<T, V> &x, const typename values<T, V>::from &x_from,
						 const gradients<T, V> &dy,
						 const typename gradients<T, V>::from &dy_from, float (&sum)[10][V])
{
	enum { N = 2 * COLUMNS + 1 };
	typedef values<T, V> X;
	typedef gradients<T, V> G;
	float d0[COLUMNS][V], d1[COLUMNS][V];
	clear(d0);
	int row = 2 * u.y - s.top, column = 2 * u.x - s.left;
	for (int k = 0; k <= u.rows; k++, row += 2) {
		line<X, N> a, b;
		line<G, COLUMNS> now;
		now.inside = b.inside = 0;
		load_line<X, N>(x, x_from, s.in, u.n, row, column, first, a);
		if (k < u.rows) {
			load_line<X, N>(x, x_from, s.in, u.n, row + 1, column, first, b);
			load_line<G, COLUMNS>(dy, dy_from, s.out, u.n, u.y + k, u.x, first, now);
		}
		move(d1, d0);
		values_of<G, COLUMNS, V>(dy, now, d0);
		add_columns(d0, sum[9]);
#pragma unroll
		for (int q = 0; q < N; q++) {
			float v[V];
			value_of<X, N, V>(x, a, q, v);
			gather_up<2, COLUMNS, V>(0, q, v, d0, sum);
			gather_up<2, COLUMNS, V>(2, q, v, d1, sum);
			value_of<X, N, V>(x, b, q, v);
			gather_up<2, COLUMNS, V>(1, q, v, d0, sum);
		}
	}
}

/* part (parts, 10, C): the sums of a 3x3 window's weights and, last, of dy. */
template <class T, int V, int S, int COLUMNS>
static __global__ void __launch_bounds__(THREADS, AT_ONCE)
	dots_kernel(struct cut c, struct slide s, typename gradients<T, V>::from dy_from,
		    typename values<T, V>::from x_from, float *part)
{
	struct share my = share_of<V>(c);
	values<T, V> x;
	gradients<T, V> dy;
	float sum[10][V];
	int first = my.idle ? 0 : my.first;
	x.init(x_from, first, c.channels);
	dy.init(dy_from, first, c.channels);
	clear(sum);
	for (uint32_t k = my.from; k < c.units && !my.idle; k += my.step) {
		struct unit u = unit_at(c, k);
		if (S == 1)
			dots_by_1<T, V, COLUMNS>(s, u, first, x, x_from, dy, dy_from, sum);
		else
			dots_by_2<T, V, COLUMNS>(s, u, first, x, x_from, dy, dy_from, sum);
	}
	put_sums<V, 10>(c, sum, 10, (size_t)c.channels, 1, part + (size_t)blockIdx.y * 10 * (size_t)c.channels);
}

/*
 * Any window: part (parts, taps + 1, C), TAPS taps of it by the blocks of each z; the sum of dy is that of a last tap
 * which sees 1 everywhere. So dy is read once for TAPS taps.
 */
template <class T, int V>
static __global__ void any_dots(struct cut c, struct cop_conv d, typename gradients<T, V>::from dy_from,
				typename values<T, V>::from x_from, float *part)
{
	struct share my = share_of<V>(c);
	struct plane in = {d.in_h, d.in_w, d.in_c}, out = {d.out_h, d.out_w, d.in_c};
	values<T, V> x;
	gradients<T, V> dy;
	float sum[TAPS][V];
	int first = my.idle ? 0 : my.first, from_tap = (int)blockIdx.z * TAPS, taps = d.kernel[0] * d.kernel[1];
	x.init(x_from, first, c.channels);
	dy.init(dy_from, first, c.channels);
	clear(sum);
	for (uint32_t k = my.from; k < c.units && !my.idle; k += my.step) {
		struct unit u = unit_at(c, k);
		for (int row = u.y; row < u.y + u.rows; row++) {
			line<gradients<T, V>, 1> l;
			float g[V];
			load_line<gradients<T, V>, 1>(dy, dy_from, out, u.n, row, u.x, first, l);
			value_of<gradients<T, V>, 1, V>(dy, l, 0, g);
#pragma unroll
			for (int i = 0; i < TAPS; i++) {
				int tap = from_tap + i;
				int iy = row * d.stride[0] - d.padding[0] + tap / d.kernel[1] * d.dilation[0];
				int ix = u.x * d.stride[1] - d.padding[1] + tap % d.kernel[1] * d.dilation[1];
				line<values<T, V>, 1> at;
				float v[V];
				load_line<values<T, V>, 1>(x, x_from, in, u.n, iy, ix, first, at);
				value_of<values<T, V>, 1, V>(x, at, 0, v);
#pragma unroll
				for (int j = 0; j < V; j++)
					sum[i][j] = fmaf(g[j],
							 tap < taps    ? v[j]
							 : tap == taps ? 1.0f
								       : 0.0f,
							 sum[i][j]);
			}
		}
	}
	int rows = taps + 1 - from_tap < TAPS ? taps + 1 - from_tap : TAPS;
	part += ((size_t)blockIdx.y * (size_t)(taps + 1) + (size_t)from_tap) * (size_t)c.channels;
	put_sums<V, TAPS>(c, sum, rows, (size_t)c.channels, 1, part);
}

/* dw (taps, C) and db (C; NULL: none) from part (parts, taps + 1, C), in the parts' order but for SLICES of them. */
enum { SLICES = 16, OUTPUTS = 32 };
static __global__ void add_parts(int parts, size_t weights, size_t n, const float *part, float *dw, float *db)
{
	__shared__ float shared[SLICES][OUTPUTS];
	size_t at = (size_t)blockIdx.x * OUTPUTS + threadIdx.x % OUTPUTS;
	int slice = (int)threadIdx.x / OUTPUTS;
	float s = 0;
	if (at < n)
#pragma unroll 8
		for (int p = slice; p < parts; p += SLICES)
			s += part[(size_t)p * n + at];
	shared[slice][threadIdx.x % OUTPUTS] = s;
	__syncthreads();
	if (slice || at >= n || (at >= weights && !db))
		return;
	for (int k = 1; k < SLICES; k++)
		s += shared[k][threadIdx.x];
	if (at < weights)
		dw[at] = s;
	else
		db[at - weights] = s;
}

/* How the weights' gradient is cut, with V channels a thread: part (parts, taps + 1, C). */
static struct cut cut_dots(const struct cop_conv *d, int v)
{
	int taps = d->kernel[0] * d->kernel[1], columns = v > 1 && slides(d) ? 2 : 1;
	int64_t most = SPACE / ((int64_t)(taps + 1) * d->in_c);
	most = most < 1 ? 1 : most < MOST_PARTS ? most : (int64_t)MOST_PARTS;
	return cut_of(d->in_c, v, d->batch, d->out_h, d->out_w, columns, (int)most);
}

size_t cop_cuda_depthwise_space(const struct cop_conv *d)
{
	int one = cut_dots(d, 1).parts, wide = d->in_c % WIDTH ? 0 : cut_dots(d, WIDTH).parts;
	return (size_t)(one > wide ? one : wide) * (size_t)(d->kernel[0] * d->kernel[1] + 1) * (size_t)d->in_c;
}

template <class T, int V, int S>
static cudaError_t launch_dots(const struct cop_launch *l, const struct cop_conv *d, const struct cut *c,
			       const struct cop_gradient *dy, const struct cop_activation *x, float *part)
{
	enum { COLUMNS = 2 };
	typename gradients<T, V>::from dy_from = {dy->g, dy->raw, dy->slope};
	typename values<T, V>::from x_from = {x->raw, x->as};
	auto kernel = dots_kernel<T, V, S, COLUMNS>;
	return COP_LAUNCH(kernel, grid_of(c), THREADS, 0, l->stream, *c, slide_of(d), dy_from, x_from, part);
}

template <class T, int V>
static cudaError_t dots_any(const struct cop_launch *l, const struct cop_conv *d, const struct cut *c,
			    const struct cop_gradient *dy, const struct cop_activation *x, float *part)
{
	typename gradients<T, V>::from dy_from = {dy->g, dy->raw, dy->slope};
	typename values<T, V>::from x_from = {x->raw, x->as};
	dim3 grid = grid_of(c);
	grid.z = (unsigned)((d->kernel[0] * d->kernel[1] + TAPS) / TAPS);
	auto kernel = any_dots<T, V>;
	return COP_LAUNCH(kernel, grid, THREADS, 0, l->stream, *c, *d, dy_from, x_from, part);
}

template <class T>
static cudaError_t weights_of(const struct cop_launch *l, const struct cop_conv *d, const struct cop_gradient *dy,
			      const struct cop_activation *x, float *dw, float *db, float *part)
{
	bool wide = d->in_c % WIDTH == 0 && lies_even<T, WIDTH>(dy->g) && lies_even<T, WIDTH>(x->raw) &&
		    (!dy->slope.a || lies_even<T, WIDTH>(dy->raw));
	struct cut c = cut_dots(d, wide ? WIDTH : 1);
	cudaError_t e;
	if (!wide)
		e = dots_any<T, 1>(l, d, &c, dy, x, part);
	else if (slides(d) == 1)
		e = launch_dots<T, WIDTH, 1>(l, d, &c, dy, x, part);
	else if (slides(d) == 2)
		e = launch_dots<T, WIDTH, 2>(l, d, &c, dy, x, part);
	else
		e = dots_any<T, WIDTH>(l, d, &c, dy, x, part);
	if (e)
		return e;
	size_t weights = (size_t)(d->kernel[0] * d->kernel[1]) * (size_t)d->in_c, n = weights + (size_t)d->in_c;
	unsigned blocks = (unsigned)((n + OUTPUTS - 1) / OUTPUTS);
	return COP_LAUNCH(add_parts, blocks, SLICES * OUTPUTS, 0, l->stream, c.parts, weights, n, part, dw, db);
}

cudaError_t cop_depthwise_weights(const struct cop_launch *l, const struct cop_conv *d, const struct cop_gradient *dy,
				  const struct cop_activation *x, float *dw, float *db, float *part)
{
	return l->element == COP_ELEMENT_BF16 ? weights_of<__nv_bfloat16>(l, d, dy, x, dw, db, part)
					      : weights_of<float>(l, d, dy, x, dw, db, part);
}
