/*
 * Depthwise convolutions, forward and the data gradient; see depthwise.h. Bytes, with E those of a number and a slope
 * where there is a batch norm: forward E an element of x and E one of y; the data gradient E (2 E with a slope) an
 * element of dy and E one of dx, and E more for each of `add` and `finish`.
 */
#include "depthwise.h"

/* Where an output goes (struct cop_output); what a sinker is for a struct sink_to. */
struct output_to {
	void *y;
	const float *bias, *about;
	float lo, hi;
	float *part; /* (parts, C, 2); NULL: no sums */
};

template <class T, int V> struct outputs {
	float bias[V], about[V], sum[V], product[V];

	__device__ __forceinline__ void init(const struct output_to &to, int first, int channels)
	{
		(void)channels;
#pragma unroll
		for (int j = 0; j < V; j++) {
			bias[j] = to.bias ? to.bias[first + j] : 0.0f;
			about[j] = to.part ? to.about[first + j] : 0.0f;
			sum[j] = product[j] = 0;
		}
	}

	/* Nothing is read. */
	struct held {
	};

	__device__ __forceinline__ held load(const struct output_to &, size_t) const
	{
		return held();
	}

	/* The sums are those of what memory then holds: it is what the batch norm will read. */
	__device__ __forceinline__ void put(const struct output_to &to, size_t at, const float (&y)[V],
					    const held & = held())
	{
		pack<T, V> out;
#pragma unroll
		for (int j = 0; j < V; j++) {
			out.v[j] = to_float(from_float<T>(cut_off(y[j] + bias[j], to.lo, to.hi)));
			float d = out.v[j] - about[j];
			sum[j] += d;
			product[j] = fmaf(d, d, product[j]);
		}
		store_pack<T, V>(to.y, at, out);
	}
};

/* The nine weights of V channels, from (3, 3, C); `turned` by half a circle. */
template <int V>
static __device__ __forceinline__ void load_weights(const float *w, int first, int channels, bool turned,
						    float (&to)[3][3][V])
{
#pragma unroll
	for (int k = 0; k < 9; k++)
#pragma unroll
		for (int j = 0; j < V; j++)
			to[k / 3][k % 3][j] = w[(size_t)(turned ? 8 - k : k) * (size_t)channels + (size_t)(first + j)];
}

/* sum[t] += w[j] v for all columns t that see column q of the line with their weight j: t S + j = q. */
template <int S, int COLUMNS, int V>
static __device__ __forceinline__ void spread(int q, const float (&v)[V], const float (&w)[3][V],
					      float (&sum)[COLUMNS][V])
{
#pragma unroll
	for (int j = 0; j < 3; j++) {
		int t = q - j;
		if (t < 0 || t % S || t / S >= COLUMNS)
			continue;
#pragma unroll
		for (int i = 0; i < V; i++)
			sum[t / S][i] = fmaf(w[j][i], v[i], sum[t / S][i]);
	}
}

/*
 * A row of the target's N pixels, from column x on, which may lie outside, partly or all. What is to be read of it is
 * loaded for all of them before the first is written.
 */
template <class Target, int N> struct row_of {
	typename Target::held at[N];
	size_t from;
	uint32_t inside;
};

template <class Target, class To, int N>
static __device__ __forceinline__ void load_row(const Target &target, const To &to, const struct plane &p, int n, int y,
						int x, int first, row_of<Target, N> &r)
{
	bool row = (unsigned)y < (unsigned)p.height;
	r.from = pixel_at(p, n, y, x) + (size_t)first;
	r.inside = 0;
#pragma unroll
	for (int t = 0; t < N; t++)
		if (row && (unsigned)(x + t) < (unsigned)p.width) {
			r.at[t] = target.load(to, r.from + (size_t)t * (size_t)p.channels);
			r.inside |= 1u << t;
		}
}

template <class Target, class To, int N, int V>
static __device__ __forceinline__ void put_row(Target &target, const To &to, const struct plane &p,
					       const row_of<Target, N> &r, const float (&sum)[N][V])
{
#pragma unroll
	for (int t = 0; t < N; t++)
		if (r.inside >> t & 1)
			target.put(to, r.from + (size_t)t * (size_t)p.channels, sum[t], r.at[t]);
}

/*
 * One unit at stride 1: input row y+k-top, of k = 0 .. rows+1, is the first row of output row k's window, the second
 * of row k-1's and the last of row k-2's, which is then complete. The next row is on its way meanwhile.
 */
template <class Source, class Target, class To, int COLUMNS, int V>
static __device__ __forceinline__ void slide_by_1(const struct slide &s, const struct unit &u, int first,
						  const Source &source, const typename Source::from &from,
						  const float (&w)[3][3][V], Target &target, const To &to)
{
	enum { N = COLUMNS + 2 };
	float last[COLUMNS][V], middle[COLUMNS][V], begun[COLUMNS][V];
	clear(middle);
	clear(begun);
	feed<Source, N> rows;
	rows.init(source, from, s.in, u.n, u.y - s.top, u.x - s.left, first);
	for (int k = 0; k < u.rows + 2; k++) {
		line<Source, N> now = rows.take(source, from, s.in, k < u.rows + 1);
		row_of<Target, COLUMNS> row;
		load_row<Target, To, COLUMNS>(target, to, s.out, u.n, k < 2 ? -1 : u.y + k - 2, u.x, first, row);
#pragma unroll
		for (int t = 0; t < COLUMNS; t++)
#pragma unroll
			for (int j = 0; j < V; j++) {
				last[t][j] = middle[t][j];
				middle[t][j] = begun[t][j];
				begun[t][j] = 0;
			}
#pragma unroll
		for (int q = 0; q < N; q++) {
			float v[V];
			value_of<Source, N, V>(source, now, q, v);
			spread<1, COLUMNS, V>(q, v, w[2], last);
			spread<1, COLUMNS, V>(q, v, w[1], middle);
			spread<1, COLUMNS, V>(q, v, w[0], begun);
		}
		put_row<Target, To, COLUMNS, V>(target, to, s.out, row, last);
	}
}

/* One unit at stride 2: the last row of a window is the first of the next one's. */
template <class Source, class Target, class To, int COLUMNS, int V>
static __device__ __forceinline__ void slide_by_2(const struct slide &s, const struct unit &u, int first,
						  const Source &source, const typename Source::from &from,
						  const float (&w)[3][3][V], Target &target, const To &to)
{
	enum { N = 2 * COLUMNS + 1 };
	float sum[COLUMNS][V], begun[COLUMNS][V];
	clear(begun);
	line<Source, N> a, b;
	int y = 2 * u.y - s.top, x = 2 * u.x - s.left;
	load_line<Source, N>(source, from, s.in, u.n, y, x, first, b);
	for (int k = 0; k <= u.rows; k++, y += 2) {
		line<Source, N> top = b;
		if (k < u.rows) {
			load_line<Source, N>(source, from, s.in, u.n, y + 1, x, first, a);
			load_line<Source, N>(source, from, s.in, u.n, y + 2, x, first, b);
		}
#pragma unroll
		for (int t = 0; t < COLUMNS; t++)
#pragma unroll
			for (int j = 0; j < V; j++) {
				sum[t][j] = begun[t][j];
				begun[t][j] = 0;
			}
#pragma unroll
		for (int q = 0; q < N; q++) {
			float v[V];
			value_of<Source, N, V>(source, top, q, v);
			spread<2, COLUMNS, V>(q, v, w[2], sum);
			spread<2, COLUMNS, V>(q, v, w[0], begun);
		}
		row_of<Target, COLUMNS> row;
		load_row<Target, To, COLUMNS>(target, to, s.out, u.n, k ? u.y + k - 1 : -1, u.x, first, row);
		put_row<Target, To, COLUMNS, V>(target, to, s.out, row, sum);
		if (k == u.rows)
			break;
#pragma unroll
		for (int q = 0; q < N; q++) {
			float v[V];
			value_of<Source, N, V>(source, a, q, v);
			spread<2, COLUMNS, V>(q, v, w[1], begun);
		}
	}
}

/* out (N, out, C) = the window's weights (3, 3, C) times `in`. Forward; at stride 1, turned, the data gradient. */
template <class Source, class Target, class To, int V, int S, int COLUMNS>
static __global__ void __launch_bounds__(THREADS, AT_ONCE)
	slide_kernel(struct cut c, struct slide s, typename Source::from from, const float *w, To to)
{
	struct share my = share_of<V>(c);
	Source source;
	Target target;
	float weights[3][3][V];
	int first = my.idle ? 0 : my.first;
	source.init(from, first, c.channels);
	target.init(to, first, c.channels);
	load_weights<V>(w, first, c.channels, s.turned, weights);
	for (uint32_t k = my.from; k < c.units && !my.idle; k += my.step) {
		struct unit u = unit_at(c, k);
		if (S == 1)
			slide_by_1<Source, Target, To, COLUMNS, V>(s, u, first, source, from, weights, target, to);
		else
			slide_by_2<Source, Target, To, COLUMNS, V>(s, u, first, source, from, weights, target, to);
	}
	if (to.part)
		put_part<V>(c, target.sum, target.product, to.part);
}

/*
 * The data gradient at stride 2 works in half pixels of dx: (m, q) are rows 2m - top and 2m - top + 1, and columns
 * likewise, m from top/2 on (rounded down). Of them, the even ones are seen by dy(m) with the window's first row and by
 * dy(m-1) with its last, the odd ones by dy(m) with the middle.
 */
struct halves {
	struct plane dy, dx;
	int top, left, row, column; /* row, column: of the first half pixels */
};

/* Column q-1 of dy's line adds w[j] to column 2q + j of dx: the first column of the line to the first of dx alone. */
template <int COLUMNS, int V>
static __device__ __forceinline__ void spread_row(const float (&v)[COLUMNS + 1][V], const float (&w)[3][V],
						  float (&sum)[2 * COLUMNS][V])
{
#pragma unroll
	for (int t = 0; t < 2 * COLUMNS; t++) {
#pragma unroll
		for (int i = 0; i < V; i++) {
			if (t % 2 == 0)
				sum[t][i] = fmaf(w[2][i], v[t / 2][i], sum[t][i]);
			sum[t][i] = fmaf(w[t % 2][i], v[t / 2 + 1][i], sum[t][i]);
		}
	}
}

/* dx at stride 2, 3x3. */
template <class T, int V, int COLUMNS>
static __global__ void __launch_bounds__(THREADS, AT_ONCE)
	halves_kernel(struct cut c, struct halves h, typename gradients<T, V>::from from, const float *w,
		      struct sink_to to)
{
	typedef gradients<T, V> Source;
	typedef sinker<T, V> Target;
	struct share my = share_of<V>(c);
	Source source;
	Target sink;
	float weights[3][3][V];
	int first = my.idle ? 0 : my.first;
	source.init(from, first, c.channels);
	sink.init(to, first, c.channels);
	load_weights<V>(w, first, c.channels, false, weights);
	for (uint32_t i = my.from; i < c.units && !my.idle; i += my.step) {
		struct unit u = unit_at(c, i);
		int m = h.row + u.y, q = h.column + u.x, x = 2 * q - h.left;
		float begun[2 * COLUMNS][V];
		clear(begun);
		feed<Source, COLUMNS + 1> rows;
		rows.init(source, from, h.dy, u.n, m - 1, q - 1, first);
		for (int k = 0; k <= u.rows; k++) {
			line<Source, COLUMNS + 1> now = rows.take(source, from, h.dy, k < u.rows);
			int y = k ? 2 * (m + k - 1) - h.top : -2;
			row_of<Target, 2 * COLUMNS> row;
			float v[COLUMNS + 1][V];
			values_of<Source, COLUMNS + 1, V>(source, now, v);
			load_row(sink, to, h.dx, u.n, y, x, first, row);
			spread_row<COLUMNS, V>(v, weights[0], begun);
			put_row(sink, to, h.dx, row, begun);
			clear(begun);
			load_row(sink, to, h.dx, u.n, y + 1, x, first, row);
			spread_row<COLUMNS, V>(v, weights[1], begun);
			put_row(sink, to, h.dx, row, begun);
			clear(begun);
			spread_row<COLUMNS, V>(v, weights[2], begun);
		}
	}
	if (to.part)
		put_part<V>(c, sink.sum, sink.product, to.part);
}

/* Any window, a pixel at a time: y (N, out, C) of x (N, in, C). */
template <class T, int V>
static __global__ void any_forward(struct cut c, struct cop_conv d, typename values<T, V>::from from, const float *w,
				   struct output_to to)
{
	struct share my = share_of<V>(c);
	struct plane in = {d.in_h, d.in_w, d.in_c}, out = {d.out_h, d.out_w, d.in_c};
	values<T, V> x;
	outputs<T, V> y;
	int first = my.idle ? 0 : my.first;
	x.init(from, first, c.channels);
	y.init(to, first, c.channels);
	for (uint32_t k = my.from; k < c.units && !my.idle; k += my.step) {
		struct unit u = unit_at(c, k);
		for (int row = u.y; row < u.y + u.rows; row++) {
			float sum[1][V];
			clear(sum);
			for (int tap = 0; tap < d.kernel[0] * d.kernel[1]; tap++) {
				int iy = row * d.stride[0] - d.padding[0] + tap / d.kernel[1] * d.dilation[0];
				int ix = u.x * d.stride[1] - d.padding[1] + tap % d.kernel[1] * d.dilation[1];
				line<values<T, V>, 1> l;
				load_line<values<T, V>, 1>(x, from, in, u.n, iy, ix, first, l);
				if (!l.inside)
					continue;
#pragma unroll
				for (int j = 0; j < V; j++)
					sum[0][j] = fmaf(w[(size_t)tap * (size_t)d.in_c + (size_t)(first + j)],
							 x.value(l.at[0], j), sum[0][j]);
			}
			y.put(to, pixel_at(out, u.n, row, u.x) + (size_t)first, sum[0]);
		}
	}
	if (to.part)
		put_part<V>(c, y.sum, y.product, to.part);
}

/* Any window: dx (N, in, C) of dy (N, out, C). */
template <class T, int V>
static __global__ void any_data(struct cut c, struct cop_conv d, typename gradients<T, V>::from from, const float *w,
				struct sink_to to)
{
	struct share my = share_of<V>(c);
	struct plane in = {d.in_h, d.in_w, d.in_c}, out = {d.out_h, d.out_w, d.in_c};
	gradients<T, V> dy;
	sinker<T, V> dx;
	int first = my.idle ? 0 : my.first;
	dy.init(from, first, c.channels);
	dx.init(to, first, c.channels);
	for (uint32_t k = my.from; k < c.units && !my.idle; k += my.step) {
		struct unit u = unit_at(c, k);
		for (int row = u.y; row < u.y + u.rows; row++) {
			float sum[1][V];
			clear(sum);
			for (int tap = 0; tap < d.kernel[0] * d.kernel[1]; tap++) {
				int oy = row + d.padding[0] - tap / d.kernel[1] * d.dilation[0];
				int ox = u.x + d.padding[1] - tap % d.kernel[1] * d.dilation[1];
				if (oy < 0 || ox < 0 || oy % d.stride[0] || ox % d.stride[1])
					continue;
				line<gradients<T, V>, 1> l;
				load_line<gradients<T, V>, 1>(dy, from, out, u.n, oy / d.stride[0], ox / d.stride[1],
							      first, l);
				if (!l.inside)
					continue;
#pragma unroll
				for (int j = 0; j < V; j++)
					sum[0][j] = fmaf(w[(size_t)tap * (size_t)d.in_c + (size_t)(first + j)],
							 dy.value(l.at[0], j), sum[0][j]);
			}
			dx.put(to, pixel_at(in, u.n, row, u.x) + (size_t)first, sum[0]);
		}
	}
	if (to.part)
		put_part<V>(c, dx.sum, dx.product, to.part);
}

/* A window of 3x3 over `in` that makes `out`, by strips of COLUMNS. */
template <class Source, class Target, class To, int S, int COLUMNS>
static cudaError_t launch_slide(const struct cop_launch *l, int batch, const struct slide *s,
				const typename Source::from &from, const float *w, To to, int *parts)
{
	struct cut c = cut_of(s->in.channels, WIDTH, batch, s->out.height, s->out.width, COLUMNS, MOST_PARTS);
	*parts = c.parts;
	auto kernel = slide_kernel<Source, Target, To, WIDTH, S, COLUMNS>;
	return COP_LAUNCH(kernel, grid_of(&c), THREADS, 0, l->stream, c, *s, from, w, to);
}

/* The data gradient at stride 1 is the window turned by half a circle over dy. */
static struct slide turned(const struct cop_conv *d)
{
	struct slide s = {
		{d->out_h, d->out_w, d->in_c}, {d->in_h, d->in_w, d->in_c}, 2 - d->padding[0], 2 - d->padding[1], true};
	return s;
}

template <class T, int V>
static cudaError_t forward_any(const struct cop_launch *l, const struct cop_conv *d,
			       const typename values<T, V>::from &from, const float *w, struct output_to to, int *parts)
{
	struct cut c = cut_of(d->in_c, V, d->batch, d->out_h, d->out_w, 1, MOST_PARTS);
	*parts = c.parts;
	auto kernel = any_forward<T, V>;
	return COP_LAUNCH(kernel, grid_of(&c), THREADS, 0, l->stream, c, *d, from, w, to);
}

template <class T>
static cudaError_t forward(const struct cop_launch *l, const struct cop_conv *d, const struct cop_activation *x,
			   const float *w, const struct cop_output *out)
{
	struct output_to to = {out->y, out->bias, out->about, out->lo, out->hi, out->sums ? out->sums->part : NULL};
	bool wide = d->in_c % WIDTH == 0 && lies_even<T, WIDTH>(x->raw) && lies_even<T, WIDTH>(out->y);
	typename values<T, WIDTH>::from from = {x->raw, x->as};
	typename values<T, 1>::from narrow = {x->raw, x->as};
	struct slide s = slide_of(d);
	int parts;
	cudaError_t e;
	if (!wide)
		e = forward_any<T, 1>(l, d, narrow, w, to, &parts);
	else if (slides(d) == 1 && d->out_w > 2)
		e = launch_slide<values<T, WIDTH>, outputs<T, WIDTH>, struct output_to, 1, 4>(l, d->batch, &s, from, w,
											      to, &parts);
	else if (slides(d) == 1)
		e = launch_slide<values<T, WIDTH>, outputs<T, WIDTH>, struct output_to, 1, 2>(l, d->batch, &s, from, w,
											      to, &parts);
	else if (slides(d) == 2)
		e = launch_slide<values<T, WIDTH>, outputs<T, WIDTH>, struct output_to, 2, 2>(l, d->batch, &s, from, w,
											      to, &parts);
	else
		e = forward_any<T, WIDTH>(l, d, from, w, to, &parts);
	if (out->sums)
		out->sums->parts = parts;
	return e;
}

/* Pixels are counted in 32 bits. */
static cudaError_t count_fits(const struct cop_conv *d)
{
	int64_t in = (int64_t)d->batch * d->in_h * d->in_w, out = (int64_t)d->batch * d->out_h * d->out_w;
	return in < INT32_MAX / 2 && out < INT32_MAX / 2 ? cudaSuccess : cudaErrorInvalidValue;
}

template <class T>
static cudaError_t launch_halves(const struct cop_launch *l, const struct cop_conv *d,
				 const typename gradients<T, WIDTH>::from &from, const float *w, struct sink_to to,
				 int *parts)
{
	enum { COLUMNS = sizeof(T) < 4 ? 2 : 1 }; /* two columns of floats take too many registers */
	int top = d->padding[0], left = d->padding[1];
	struct halves h = {{d->out_h, d->out_w, d->in_c}, {d->in_h, d->in_w, d->in_c}, top, left, top / 2, left / 2};
	int rows = (d->in_h - 1 + top) / 2 - top / 2 + 1, columns = (d->in_w - 1 + left) / 2 - left / 2 + 1;
	struct cut c = cut_of(d->in_c, WIDTH, d->batch, rows, columns, COLUMNS, MOST_PARTS);
	*parts = c.parts;
	auto kernel = halves_kernel<T, WIDTH, COLUMNS>;
	return COP_LAUNCH(kernel, grid_of(&c), THREADS, 0, l->stream, c, h, from, w, to);
}

template <class T, int V>
static cudaError_t data_any(const struct cop_launch *l, const struct cop_conv *d,
			    const typename gradients<T, V>::from &from, const float *w, struct sink_to to, int *parts)
{
	struct cut c = cut_of(d->in_c, V, d->batch, d->in_h, d->in_w, 1, MOST_PARTS);
	*parts = c.parts;
	auto kernel = any_data<T, V>;
	return COP_LAUNCH(kernel, grid_of(&c), THREADS, 0, l->stream, c, *d, from, w, to);
}

template <class T>
static cudaError_t backward_data(const struct cop_launch *l, const struct cop_conv *d, const struct cop_gradient *dy,
				 const float *w, const struct cop_sink *dx)
{
	struct sink_to to = sink_of(dx);
	const void *raw = dy->slope.a ? dy->raw : NULL;
	bool wide = d->in_c % WIDTH == 0 && lies_even<T, WIDTH>(dy->g) && lies_even<T, WIDTH>(raw) &&
		    lies_even<T, WIDTH>(to.g) && (!to.finish || lies_even<T, WIDTH>(to.raw));
	typename gradients<T, WIDTH>::from from = {dy->g, raw, dy->slope};
	typename gradients<T, 1>::from narrow = {dy->g, raw, dy->slope};
	struct slide s = turned(d);
	int parts;
	cudaError_t e;
	if (!wide)
		e = data_any<T, 1>(l, d, narrow, w, to, &parts);
	else if (slides(d) == 1)
		e = launch_slide<gradients<T, WIDTH>, sinker<T, WIDTH>, struct sink_to, 1, 2>(l, d->batch, &s, from, w,
											      to, &parts);
	else if (slides(d) == 2)
		e = launch_halves<T>(l, d, from, w, to, &parts);
	else
		e = data_any<T, WIDTH>(l, d, from, w, to, &parts);
	if (to.part)
		dx->sums->parts = parts;
	return e;
}

cudaError_t cop_cuda_depthwise_forward(const struct cop_launch *l, const struct cop_conv *d,
				       const struct cop_activation *x, const float *w, const struct cop_output *out)
{
	cudaError_t e = count_fits(d);
	if (e)
		return e;
	return l->element == COP_ELEMENT_BF16 ? forward<__nv_bfloat16>(l, d, x, w, out)
					      : forward<float>(l, d, x, w, out);
}

cudaError_t cop_cuda_depthwise_backward(const struct cop_launch *l, const struct cop_conv *d,
					const struct cop_gradient *dy, const struct cop_activation *x, const float *w,
					const struct cop_sink *dx, float *dw, float *db, float *space)
{
	cudaError_t e = count_fits(d);
	if (!e && dx)
		e = l->element == COP_ELEMENT_BF16 ? backward_data<__nv_bfloat16>(l, d, dy, w, dx)
						   : backward_data<float>(l, d, dy, w, dx);
	return e ? e : cop_depthwise_weights(l, d, dy, x, dw, db, space);
}
