/* Products of rows by themselves: of the survivors of a mask, and depthwise; see kernels.h and kernels_vectors.h. */
#include "compute/kernels_vectors.h"

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

/* For each tile of `cols` columns, from column n on, what CASE(width) does for its width. */
#define EACH_TILE(cols, CASE)                                 \
	for (int n = 0, width; n < (cols); n += width * VL) { \
		width = next_width(((cols)-n) / VL);          \
		switch (width) {                              \
			EACH_WIDTH(CASE)                      \
		}                                             \
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

void OWN(sparse_product)(const struct cop_survivor *e, const int *begin, int rows, const float *const *x, size_t ldx,
			 const float *w, int cols, float *out, size_t ldo, int add)
{
#define PRODUCT_OF(width)                                                                     \
	case width:                                                                           \
		sparse_rows_##width(e, begin, rows, x, (size_t)n, ldx, w, out + n, ldo, add); \
		break;
	EACH_TILE(cols, PRODUCT_OF)
}

void OWN(sparse_dots)(const struct cop_survivor *e, const int *begin, int rows, const float *dy, size_t lddy,
		      const float *const *x, size_t ldx, int cols, float *sums)
{
#define DOTS_OF(width)                                                                          \
	case width:                                                                             \
		sparse_dot_rows_##width(e, begin, rows, dy + n, lddy, x, (size_t)n, ldx, sums); \
		break;
	EACH_TILE(cols, DOTS_OF)
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

void OWN(depthwise)(const struct cop_panel *p, int taps, const float *const *x, size_t ldx, const int *at,
		    const float *w, int wstride, float *out, int more)
{
#define DEPTHWISE_OF(width)                                                            \
	case width:                                                                    \
		depthwise_rows_##width(p, n, taps, x, ldx, at, w, wstride, out, more); \
		break;
	EACH_TILE(p->cols, DEPTHWISE_OF)
}

void OWN(depthwise_dots)(const struct cop_panel *p, int taps, const float *const *x, const float *dy, size_t ldx,
			 const int *at, int wstride, float *sums)
{
#define DEPTHWISE_DOTS_OF(width)                                                       \
	case width:                                                                    \
		depthwise_dot_rows_##width(p, n, taps, x, dy, ldx, at, wstride, sums); \
		break;
	EACH_TILE(p->cols, DEPTHWISE_DOTS_OF)
}
