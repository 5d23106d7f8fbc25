/*
 * See kernels.h. Built once for each kind of processor: COP_KERNELS names the set, VL is its vector in floats. Vectors
 * are GCC's, so there are no intrinsics; this file alone is built with contraction, so that a product and a sum are one
 * rounding where the processor has it.
 */
#include "compute/kernels.h"

#include <string.h>

#if defined(__AVX512F__)
#define VL 16
#define KERNELS cop_kernels_v4
#define NAME "avx512"
#elif defined(__AVX2__)
#define VL 8
#define KERNELS cop_kernels_v3
#define NAME "avx2"
#else
#define VL 4
#define KERNELS cop_kernels_plain
#define NAME "plain"
#endif

typedef float vec __attribute__((vector_size(VL * 4)));
typedef float vec_anywhere __attribute__((vector_size(VL * 4), aligned(4), may_alias));
typedef int ivec __attribute__((vector_size(VL * 4)));

#define INLINE static inline __attribute__((always_inline))

/* A value used several times is loaded once: without this, each use becomes a load of its own. */
#if defined(__x86_64__)
#define IN_REGISTER(v) __asm__("" : "+v"(v))
#else
#define IN_REGISTER(v) ((void)0)
#endif

INLINE vec load(const float *p)
{
	return *(const vec_anywhere *)p;
}

INLINE void store(float *p, vec v)
{
	*(vec_anywhere *)p = v;
}

/* a where the mask is set, else b. */
INLINE vec pick(ivec mask, vec a, vec b)
{
	return (vec)((mask & (ivec)a) | (~mask & (ivec)b));
}

/* Written so that NaN passes through: a diverged network must be seen. */
INLINE vec cut(vec v, float lo, float hi)
{
	v = pick(v < lo, (vec){0} + lo, v);
	return pick(v > hi, (vec){0} + hi, v);
}

/* The first `n` lanes of v, 0 in the rest. */
INLINE vec keep(vec v, int n)
{
	ivec lane;
	for (int i = 0; i < VL; i++)
		lane[i] = i;
	return pick(lane < n, v, (vec){0});
}

/* products */

/* A tile of `height` rows from `first` on and `width` vectors. Its sums stay in registers over all runs. */
INLINE void product_tile(int runs, const float *const *x, size_t x_at, size_t ldx, const float *const *w, size_t w_at,
			 int depth, int rows, int first, int height, int width, float *out, size_t ldo, int add)
{
	vec acc[COP_ROWS][3];
	for (int r = 0; r < height; r++)
		for (int v = 0; v < width; v++) {
			acc[r][v] = (vec){0};
			/* what will be written is fetched while the sums are made */
			__builtin_prefetch(out + (size_t)(first + r) * ldo + v * VL, 1, 3);
		}
	for (int t = 0; t < runs; t++) {
		const float *a = x[t] + x_at, *b = w[t] + w_at + first;
		for (int k = 0; k < depth; k++, a += ldx, b += COP_ROWS) {
			vec in[3];
			for (int v = 0; v < width; v++)
				in[v] = load(a + v * VL);
			for (int r = 0; r < height; r++)
				for (int v = 0; v < width; v++)
					acc[r][v] += in[v] * b[r];
		}
	}
	for (int r = 0; r < height && first + r < rows; r++)
		for (int v = 0; v < width; v++) {
			float *o = out + (size_t)(first + r) * ldo + v * VL;
			if (add)
				store(o, load(o) + acc[r][v]);
			else
				store(o, acc[r][v]);
		}
}

#if VL == 16
enum { TILE = 8 };
#else
enum { TILE = 4 }; /* 16 registers hold the sums of 4 x 3 vectors */
#endif

#define PRODUCT(width)                                                                                               \
	static void product_##width(int runs, const float *const *x, size_t x_at, size_t ldx, const float *const *w, \
				    size_t w_at, int depth, int rows, float *out, size_t ldo, int add)               \
	{                                                                                                            \
		for (int first = 0; first < rows; first += TILE)                                                     \
			product_tile(runs, x, x_at, ldx, w, w_at, depth, rows, first, TILE, width, out, ldo, add);   \
	}
PRODUCT(1)
PRODUCT(2)
PRODUCT(3)

static void product(int runs, const float *const *x, size_t x_at, size_t ldx, const float *const *w, size_t w_at,
		    int depth, int rows, int cols, float *out, size_t ldo, int add)
{
	for (int n = 0; n < cols;) {
		int left = (cols - n) / VL, width = left >= 3 && left != 4 ? 3 : left >= 2 ? 2 : 1;
		size_t at = x_at + (size_t)n;
		if (width == 3)
			product_3(runs, x, at, ldx, w, w_at, depth, rows, out + n, ldo, add);
		else if (width == 2)
			product_2(runs, x, at, ldx, w, w_at, depth, rows, out + n, ldo, add);
		else
			product_1(runs, x, at, ldx, w, w_at, depth, rows, out + n, ldo, add);
		n += width * VL;
	}
}

#if VL == 16
typedef float eight __attribute__((vector_size(32), aligned(4), may_alias));

/* out[r] += the sum of v_r's lanes: three rounds of adding halves of pairs, and the last by memory. */
INLINE void add_row_sums(vec v0, vec v1, vec v2, vec v3, vec v4, vec v5, vec v6, vec v7, float *out)
{
#define MIX(a, b, ...) __builtin_shuffle(a, b, (ivec){__VA_ARGS__})
#define EVEN(a, b) MIX(a, b, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30)
#define ODD(a, b) MIX(a, b, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31)
#define LOW2(a, b) MIX(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define HIGH2(a, b) MIX(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
#define LOW4(a, b) MIX(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27)
#define HIGH4(a, b) MIX(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31)
	vec a = EVEN(v0, v1) + ODD(v0, v1), b = EVEN(v2, v3) + ODD(v2, v3);
	vec c = EVEN(v4, v5) + ODD(v4, v5), d = EVEN(v6, v7) + ODD(v6, v7);
	vec e = LOW2(a, b) + HIGH2(a, b), f = LOW2(c, d) + HIGH2(c, d);
	vec g = LOW4(e, f) + HIGH4(e, f);
	g += MIX(g, g, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
	float low[VL];
	store(low, g);
	eight *to = (eight *)out;
	*to += *(eight *)low;
}
#else
INLINE void add_lanes(vec v, float *out)
{
	for (int i = 0; i < VL; i++)
		*out += v[i];
}

INLINE void add_row_sums(vec v0, vec v1, vec v2, vec v3, vec v4, vec v5, vec v6, vec v7, float *out)
{
	add_lanes(v0, out);
	add_lanes(v1, out + 1);
	add_lanes(v2, out + 2);
	add_lanes(v3, out + 3);
	add_lanes(v4, out + 4);
	add_lanes(v5, out + 5);
	add_lanes(v6, out + 6);
	add_lanes(v7, out + 7);
}
#endif

/*
 * Up to three columns of sums for COP_ROWS rows, each sum a variable of its own: as an array, the compiler keeps them
 * in memory at both ends of the loop.
 */
#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7)
#define ZEROS(r) vec a##r = {0}, b##r = {0}, c##r = {0};
#define STEP(r)                                     \
	{                                           \
		vec d = load(right + r * lddy + n); \
		IN_REGISTER(d);                     \
		a##r += x0 * d;                     \
		if (width > 1)                      \
			b##r += x1 * d;             \
		if (width > 2)                      \
			c##r += x2 * d;             \
	}

INLINE void dots_tile(int runs, const float *const *dy, size_t dy_at, size_t lddy, const float *const *x, size_t x_at,
		      size_t ldx, int width, int cols, float *out)
{
	EACH_ROW(ZEROS)
	for (int t = 0; t < runs; t++) {
		const float *left = x[t] + x_at, *right = dy[t] + dy_at;
		for (int n = 0; n < cols; n += VL) {
			vec x0 = load(left + n);
			vec x1 = width > 1 ? load(left + ldx + n) : x0;
			vec x2 = width > 2 ? load(left + 2 * ldx + n) : x0;
			EACH_ROW(STEP)
		}
	}
	add_row_sums(a0, a1, a2, a3, a4, a5, a6, a7, out);
	if (width > 1)
		add_row_sums(b0, b1, b2, b3, b4, b5, b6, b7, out + COP_ROWS);
	if (width > 2)
		add_row_sums(c0, c1, c2, c3, c4, c5, c6, c7, out + 2 * COP_ROWS);
}

#define DOTS(width)                                                                                                  \
	static void dots_##width(int runs, const float *const *dy, size_t dy_at, size_t lddy, const float *const *x, \
				 size_t x_at, size_t ldx, int cols, float *out)                                      \
	{                                                                                                            \
		dots_tile(runs, dy, dy_at, lddy, x, x_at, ldx, width, cols, out);                                    \
	}
DOTS(1)
#if VL == 16
DOTS(2)
DOTS(3)
enum { DOTS_MOST = 3 };
#else
#define dots_2 dots_1
#define dots_3 dots_1
enum { DOTS_MOST = 1 }; /* 16 registers hold the sums of one column */
#endif

static void dots(int runs, const float *const *dy, size_t dy_at, size_t lddy, const float *const *x, size_t x_at,
		 size_t ldx, int width, int cols, float *out)
{
	for (int j = 0; j < width;) {
		int left = width - j, some = left >= 3 && left != 4 ? 3 : left >= 2 ? 2 : 1;
		some = some < DOTS_MOST ? some : DOTS_MOST;
		size_t at = x_at + (size_t)j * ldx;
		if (some == 3)
			dots_3(runs, dy, dy_at, lddy, x, at, ldx, cols, out + j * COP_ROWS);
		else if (some == 2)
			dots_2(runs, dy, dy_at, lddy, x, at, ldx, cols, out + j * COP_ROWS);
		else
			dots_1(runs, dy, dy_at, lddy, x, at, ldx, cols, out + j * COP_ROWS);
		j += some;
	}
}

/*
 * Rows by themselves: a row's vectors stay in registers, over all that is added to them. Each width is compiled by
 * itself for that, and tiles are as wide as can be, since every step of a tile has addresses to work out.
 */
enum { ROW_VECTORS = 12 };
#define EACH_WIDTH(DO) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12)

/* Vectors of the next tile of `left`: tiles of about the same width. */
static int next_width(int left)
{
	int tiles = (left + ROW_VECTORS - 1) / ROW_VECTORS;
	return (left + tiles - 1) / tiles;
}

/* The dot product of a row with d, added to the lanes of `sum`: two chains, so that one need not wait for the other. */
INLINE void add_dot(const float *a, const vec *d, int width, float *sum)
{
	vec even = load(sum), odd = {0};
	for (int v = 0; v < width; v += 2)
		even += load(a + v * VL) * d[v];
	for (int v = 1; v < width; v += 2)
		odd += load(a + v * VL) * d[v];
	store(sum, even + odd);
}

/* sparse products */

INLINE void sparse_row(const struct cop_survivor *e, int n, const float *const *x, size_t at, size_t ldx,
		       const float *w, int width, float *out, int add)
{
	vec acc[ROW_VECTORS];
	for (int v = 0; v < width; v++)
		acc[v] = add ? load(out + v * VL) : (vec){0};
	for (int k = 0; k < n; k++) {
		const float *from = x[e[k].tap];
		if (!from)
			continue;
		from += at + (size_t)e[k].row * ldx;
		float b = w[e[k].at];
		for (int v = 0; v < width; v++)
			acc[v] += load(from + v * VL) * b;
	}
	for (int v = 0; v < width; v++)
		store(out + v * VL, acc[v]);
}

INLINE void sparse_dot_row(const struct cop_survivor *e, int n, const float *dy, const float *const *x, size_t at,
			   size_t ldx, int width, float *sums)
{
	vec d[ROW_VECTORS];
	for (int v = 0; v < width; v++)
		d[v] = load(dy + v * VL);
	for (int k = 0; k < n; k++, sums += COP_LANES) {
		const float *from = x[e[k].tap];
		if (!from)
			continue;
		add_dot(from + at + (size_t)e[k].row * ldx, d, width, sums);
	}
}

#define SPARSE_ROWS(width)                                                                                             \
	static void sparse_rows_##width(const struct cop_survivor *e, const int *begin, int rows,                      \
					const float *const *x, size_t at, size_t ldx, const float *w, float *out,      \
					size_t ldo, int add)                                                           \
	{                                                                                                              \
		for (int r = 0; r < rows; r++, out += ldo)                                                             \
			sparse_row(e + begin[r], begin[r + 1] - begin[r], x, at, ldx, w, width, out, add);             \
	}                                                                                                              \
	static void sparse_dot_rows_##width(const struct cop_survivor *e, const int *begin, int rows, const float *dy, \
					    size_t lddy, const float *const *x, size_t at, size_t ldx, float *sums)    \
	{                                                                                                              \
		for (int r = 0; r < rows; r++, dy += lddy)                                                             \
			sparse_dot_row(e + begin[r], begin[r + 1] - begin[r], dy, x, at, ldx, width,                   \
				       sums + (size_t)(begin[r] - begin[0]) * COP_LANES);                              \
	}
EACH_WIDTH(SPARSE_ROWS)

static void sparse_product(const struct cop_survivor *e, const int *begin, int rows, const float *const *x, size_t ldx,
			   const float *w, int cols, float *out, size_t ldo, int add)
{
	for (int n = 0, width; n < cols; n += width * VL) {
		width = next_width((cols - n) / VL);
		switch (width) {
#define PRODUCT_OF(width)                                                                     \
	case width:                                                                           \
		sparse_rows_##width(e, begin, rows, x, (size_t)n, ldx, w, out + n, ldo, add); \
		break;
			EACH_WIDTH(PRODUCT_OF)
		}
	}
}

static void sparse_dots(const struct cop_survivor *e, const int *begin, int rows, const float *dy, size_t lddy,
			const float *const *x, size_t ldx, int cols, float *sums)
{
	for (int n = 0, width; n < cols; n += width * VL) {
		width = next_width((cols - n) / VL);
		switch (width) {
#define DOTS_OF(width)                                                                          \
	case width:                                                                             \
		sparse_dot_rows_##width(e, begin, rows, dy + n, lddy, x, (size_t)n, ldx, sums); \
		break;
			EACH_WIDTH(DOTS_OF)
		}
	}
}

static void add_sums(const float *sums, int n, float *out)
{
	for (int k = 0; k < n; k += COP_ROWS, sums += COP_ROWS * COP_LANES) {
		float part[COP_ROWS] = {0};
		add_row_sums(load(sums), load(sums + COP_LANES), load(sums + 2 * COP_LANES), load(sums + 3 * COP_LANES),
			     load(sums + 4 * COP_LANES), load(sums + 5 * COP_LANES), load(sums + 6 * COP_LANES),
			     load(sums + 7 * COP_LANES), part);
		for (int i = 0; i < COP_ROWS && k + i < n; i++)
			out[k + i] += part[i];
	}
}

/* loops over a panel */

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
	float lo = r->lo, hi = r->hi;
	for (int c = 0; c < p->rows; c++, raw += p->ld, out += out_ld) {
		float scale = r->scale ? r->scale[c] : 1, shift = r->scale ? r->shift[c] : 0;
		ask(raw, p);
		for (int n = 0; n < p->cols; n += VL)
			for (int i = 0; i < VL; i++) {
				float v = raw[n + i] * scale + shift;
				v = v < lo ? lo : v;
				out[n + i] = v > hi ? hi : v;
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
		if (s->a)
			ask(raw, p);
		if (s->a)
			for (int n = 0; n < cols; n += VL)
				store(out + n, a * load(g + n) + (b * (load(raw + n) - mean) + d));
		else
			for (int n = 0; n < cols; n += VL)
				store(out + n, load(g + n));
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
	struct seeing sa, sb;
	for (int c = 0; c < p->rows; c++, a += p->ld, b += p->ld, y += p->ld) {
		sa = seeing_of(ra, c);
		sb = seeing_of(rb, c);
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

/* depthwise */

INLINE void depthwise_row(int taps, const float *const *x, size_t at_x, const int *at, const float *w, int width,
			  float *out, size_t ahead, int more)
{
	vec acc[ROW_VECTORS];
	for (int n = 0; n < width * VL; n += 16)
		__builtin_prefetch(out + ahead + n, 1, 3);
	for (int v = 0; v < width; v++)
		acc[v] = more ? load(out + v * VL) : (vec){0};
	for (int t = 0; t < taps; t++) {
		const float *in = x[t] + at_x;
		float k = w[at[t]];
		for (int v = 0; v < width; v++)
			acc[v] += load(in + v * VL) * k;
	}
	for (int v = 0; v < width; v++)
		store(out + v * VL, acc[v]);
}

INLINE void depthwise_dot_row(int taps, const float *const *x, size_t at_x, const float *dy, const int *at, int width,
			      float *sums)
{
	vec d[ROW_VECTORS];
	for (int v = 0; v < width; v++)
		d[v] = load(dy + v * VL);
	for (int t = 0; t < taps; t++)
		add_dot(x[t] + at_x, d, width, sums + at[t] * COP_LANES);
}

#define DEPTHWISE_ROWS(width)                                                                                        \
	static void depthwise_rows_##width(const struct cop_panel *p, int n, int taps, const float *const *x,        \
					   size_t ldx, const int *at, const float *w, int wstride, float *out,       \
					   int more)                                                                 \
	{                                                                                                            \
		size_t ld = p->ld, ahead = p->ahead, from = (size_t)n;                                               \
		for (int c = p->rows; c--; w += wstride, out += ld, from += ldx)                                     \
			depthwise_row(taps, x, from, at, w, width, out + n, ahead, more);                            \
	}                                                                                                            \
	static void depthwise_dot_rows_##width(const struct cop_panel *p, int n, int taps, const float *const *x,    \
					       const float *dy, size_t ldx, const int *at, int wstride, float *sums) \
	{                                                                                                            \
		size_t from = (size_t)n;                                                                             \
		for (int c = p->rows; c--; sums += (size_t)wstride * COP_LANES, from += ldx)                         \
			depthwise_dot_row(taps, x, from, dy + from, at, width, sums);                                \
	}
EACH_WIDTH(DEPTHWISE_ROWS)

static void depthwise(const struct cop_panel *p, int taps, const float *const *x, size_t ldx, const int *at,
		      const float *w, int wstride, float *out, int more)
{
	for (int n = 0, width; n < p->cols; n += width * VL) {
		width = next_width((p->cols - n) / VL);
		switch (width) {
#define DEPTHWISE_OF(width)                                                            \
	case width:                                                                    \
		depthwise_rows_##width(p, n, taps, x, ldx, at, w, wstride, out, more); \
		break;
			EACH_WIDTH(DEPTHWISE_OF)
		}
	}
}

static void depthwise_dots(const struct cop_panel *p, int taps, const float *const *x, const float *dy, size_t ldx,
			   const int *at, int wstride, float *sums)
{
	for (int n = 0, width; n < p->cols; n += width * VL) {
		width = next_width((p->cols - n) / VL);
		switch (width) {
#define DEPTHWISE_DOTS_OF(width)                                                       \
	case width:                                                                    \
		depthwise_dot_rows_##width(p, n, taps, x, dy, ldx, at, wstride, sums); \
		break;
			EACH_WIDTH(DEPTHWISE_DOTS_OF)
		}
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

extern const struct cop_kernels KERNELS;
const struct cop_kernels KERNELS = {
	.name = NAME,
	.product = product,
	.dots = dots,
	.sparse_product = sparse_product,
	.sparse_dots = sparse_dots,
	.add_sums = add_sums,
	.read = read_value,
	.read_slope = read_slope,
	.moments = moments,
	.finish = finish,
	.bias = bias,
	.add = add,
	.copy = copy,
	.row_sums = row_sums,
	.depthwise = depthwise,
	.depthwise_dots = depthwise_dots,
	.pool_max = pool_max,
	.pool_sum = pool_sum,
	.pool_max_back = pool_max_back,
	.add_scaled = add_scaled,
};
