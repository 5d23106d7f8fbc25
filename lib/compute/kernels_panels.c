/* Loops over a panel, and the set of all kernels; see kernels.h and kernels_vectors.h. */
#include "compute/kernels_vectors.h"

/* One channel's reading: in a copy, for a store to memory might change what a pointer to one shows. */
struct seeing {
	float scale, shift, lo, hi;
};

INLINE struct seeing seeing_of(const struct cop_reading *r, int c)
{
	return (struct seeing){r->scale ? r->scale[c] : 1, r->scale ? r->shift[c] : 0, r->lo, r->hi};
}

INLINE vec seen(vec v, const struct seeing *s)
{
	return cut(v * s->scale + s->shift, s->lo, s->hi);
}

/* Rows of a panel are small parts of what lies ld floats apart: no stride that the processor foresees. */
INLINE void ask(const float *row, const struct cop_panel *p)
{
	for (int n = 0; n < p->cols && p->ahead; n += 16)
		__builtin_prefetch(row + p->ahead + n, 0, 3);
}

/* Element by element, so that the compiler finds minimum and maximum; as it is written, NaN passes through. */
static void read_value(const struct cop_panel *p, const float *restrict raw, const struct cop_reading *r,
		       float *restrict out, size_t out_ld)
{
	for (int c = 0; c < p->rows; c++, raw += p->ld, out += out_ld) {
		struct seeing as = seeing_of(r, c);
		ask(raw, p);
		for (int n = 0; n < p->cols; n += VL)
			for (int i = 0; i < VL; i++) {
				float v = raw[n + i] * as.scale + as.shift;
				v = v < as.lo ? as.lo : v;
				out[n + i] = v > as.hi ? as.hi : v;
			}
		for (int n = p->valid; n < p->cols; n++)
			out[n] = 0;
	}
}

static void read_slope(const struct cop_panel *p, const float *g, const float *raw, const struct cop_slope *s,
		       float *out, size_t out_ld)
{
	int cols = p->cols, valid = p->valid;
	for (int c = 0; c < p->rows; c++, g += p->ld, raw += s->a ? p->ld : 0, out += out_ld) {
		float a = s->a ? s->a[c] : 1, b = s->a ? s->b[c] : 0, d = s->a ? s->c[c] : 0;
		float mean = s->a ? s->mean[c] : 0;
		ask(g, p);
		if (s->a) {
			ask(raw, p);
			for (int n = 0; n < cols; n += VL)
				store(out + n, a * load(g + n) + (b * (load(raw + n) - mean) + d));
		} else {
			for (int n = 0; n < cols; n += VL)
				store(out + n, load(g + n));
		}
		for (int n = valid; n < cols; n++)
			out[n] = 0;
	}
}

/*
 * Sums of a row in COP_LANES lanes, two kinds at once: number n goes to lane n % COP_LANES, so there are as many chains
 * of additions as vectors in the lanes. The row's length is a multiple of COP_LANES.
 */
enum { LANE_VECTORS = COP_LANES / VL };
struct lanes {
	vec first[LANE_VECTORS], second[LANE_VECTORS];
};

INLINE struct lanes load_lanes(const float *sums)
{
	struct lanes s;
	for (int i = 0; i < LANE_VECTORS; i++) {
		s.first[i] = load(sums + i * VL);
		s.second[i] = load(sums + COP_LANES + i * VL);
	}
	return s;
}

INLINE void store_lanes(float *sums, const struct lanes *s)
{
	for (int i = 0; i < LANE_VECTORS; i++) {
		store(sums + i * VL, s->first[i]);
		store(sums + COP_LANES + i * VL, s->second[i]);
	}
}

/* COP_LANES numbers of which the first `valid` count. */
INLINE void add_moments(const float *y, float about, int valid, struct lanes *s)
{
	for (int i = 0; i < LANE_VECTORS; i++) {
		vec d = load(y + i * VL) - about;
		if (valid < COP_LANES)
			d = keep(d, valid - i * VL);
		s->first[i] += d;
		s->second[i] += d * d;
	}
}

static void moments(const struct cop_panel *p, const float *y, const float *about, float *sums)
{
	int valid = p->valid, whole = valid / COP_LANES * COP_LANES;
	for (int c = 0; c < p->rows; c++, y += p->ld, sums += 2 * COP_LANES) {
		struct lanes s = load_lanes(sums);
		float middle = about[c];
		for (int n = 0; n < whole; n += COP_LANES)
			add_moments(y + n, middle, COP_LANES, &s);
		if (whole < valid)
			add_moments(y + whole, middle, valid - whole, &s);
		store_lanes(sums, &s);
	}
}

INLINE void finish_lanes(const struct seeing *f, float mean, float *g, const float *raw, int valid, struct lanes *s)
{
	for (int i = 0; i < LANE_VECTORS; i++) {
		vec y = load(raw + i * VL), z = y * f->scale + f->shift, v = load(g + i * VL);
		v = pick((z > f->lo) & (z < f->hi), v, (vec){0});
		store(g + i * VL, v);
		if (valid < COP_LANES)
			v = keep(v, valid - i * VL);
		s->first[i] += v;
		s->second[i] += v * (y - mean);
	}
}

static void finish(const struct cop_panel *p, float *g, const float *raw, const struct cop_reading *r,
		   const float *mean, float *sums)
{
	int cols = p->cols, valid = p->valid, whole = valid / COP_LANES * COP_LANES;
	for (int c = 0; c < p->rows; c++, g += p->ld, raw += p->ld) {
		struct seeing f = seeing_of(r, c);
		float middle = mean ? mean[c] : 0;
		struct lanes s = {0};
		if (sums)
			s = load_lanes(sums);
		ask(raw, p);
		for (int n = 0; n < whole; n += COP_LANES)
			finish_lanes(&f, middle, g + n, raw + n, COP_LANES, &s);
		for (int n = whole; n < cols; n += COP_LANES)
			finish_lanes(&f, middle, g + n, raw + n, valid - n, &s);
		if (sums) {
			store_lanes(sums, &s);
			sums += 2 * COP_LANES;
		}
	}
}

static void bias(const struct cop_panel *p, float *y, const float *b, float lo, float hi)
{
	int cols = p->cols;
	for (int c = 0; c < p->rows; c++, y += p->ld) {
		float add = b ? b[c] : 0;
		for (int n = 0; n < cols; n += VL)
			store(y + n, cut(load(y + n) + add, lo, hi));
	}
}

static void add(const struct cop_panel *p, const float *a, const struct cop_reading *ra, const float *b,
		const struct cop_reading *rb, float lo, float hi, float *y)
{
	int cols = p->cols;
	for (int c = 0; c < p->rows; c++, a += p->ld, b += p->ld, y += p->ld) {
		struct seeing sa = seeing_of(ra, c), sb = seeing_of(rb, c);
		for (int n = 0; n < cols; n += VL)
			store(y + n, cut(seen(load(a + n), &sa) + seen(load(b + n), &sb), lo, hi));
	}
}

static void copy(const struct cop_panel *p, const float *from, float *g, int more)
{
	int cols = p->cols;
	for (int c = 0; c < p->rows; c++, from += p->ld, g += p->ld)
		for (int n = 0; n < cols; n += VL)
			store(g + n, more ? load(g + n) + load(from + n) : load(from + n));
}

static void row_sums(const struct cop_panel *p, const float *y, float *sums)
{
	int valid = p->valid, whole = valid / VL * VL;
	for (int c = 0; c < p->rows; c++, y += p->ld, sums += COP_LANES) {
		vec s = load(sums);
		for (int n = 0; n < whole; n += VL)
			s += load(y + n);
		if (whole < valid)
			s += keep(load(y + whole), valid - whole);
		store(sums, s);
	}
}

/* pools */

static void pool_max(const struct cop_panel *p, int taps, const float *const *x, size_t ldx, float *y)
{
	for (int c = 0; c < p->rows; c++, y += p->ld)
		for (int n = 0; n < p->cols; n += VL) {
			vec best = load(x[0] + (size_t)c * ldx + n);
			for (int t = 1; t < taps; t++) {
				vec v = load(x[t] + (size_t)c * ldx + n);
				best = pick((v > best) | (v != v), v, best);
			}
			store(y + n, best);
		}
}

static void pool_sum(const struct cop_panel *p, int taps, const float *const *x, size_t ldx, float scale, float *y)
{
	for (int c = 0; c < p->rows; c++, y += p->ld)
		for (int n = 0; n < p->cols; n += VL) {
			vec sum = load(x[0] + (size_t)c * ldx + n);
			for (int t = 1; t < taps; t++)
				sum += load(x[t] + (size_t)c * ldx + n);
			store(y + n, sum * scale);
		}
}

static void pool_max_back(const struct cop_panel *p, int taps, const float *const *x, size_t ldx, const float *dy,
			  float *const *dx)
{
	for (int c = 0; c < p->rows; c++, dy += p->ld)
		for (int n = 0; n < p->cols; n += VL) {
			size_t at = (size_t)c * ldx + (size_t)n, to = (size_t)c * p->ld + (size_t)n;
			vec best = load(x[0] + at), d = load(dy + n);
			for (int t = 1; t < taps; t++) {
				vec v = load(x[t] + at);
				best = pick((v > best) | (v != v), v, best);
			}
			for (int t = 0; t < taps; t++) {
				ivec won = load(x[t] + at) == best;
				store(dx[t] + to, load(dx[t] + to) + pick(won, d, (vec){0}));
				d = pick(won, (vec){0}, d);
			}
		}
}

static void add_scaled(const struct cop_panel *p, const float *from, float scale, float *g)
{
	for (int c = 0; c < p->rows; c++, from += p->ld, g += p->ld)
		for (int n = 0; n < p->cols; n += VL)
			store(g + n, load(g + n) + scale * load(from + n));
}

extern const struct cop_kernels OWN(kernels);
const struct cop_kernels OWN(kernels) = {
	.name = NAME,
	.product = OWN(product),
	.dots = OWN(dots),
	.sparse_product = OWN(sparse_product),
	.sparse_dots = OWN(sparse_dots),
	.add_sums = OWN(add_sums),
	.read = read_value,
	.read_slope = read_slope,
	.moments = moments,
	.finish = finish,
	.bias = bias,
	.add = add,
	.copy = copy,
	.row_sums = row_sums,
	.depthwise = OWN(depthwise),
	.depthwise_dots = OWN(depthwise_dots),
	.pool_max = pool_max,
	.pool_sum = pool_sum,
	.pool_max_back = pool_max_back,
	.add_scaled = add_scaled,
};
