/* Dense products over panels; see kernels.h and kernels_vectors.h. */
#include "compute/kernels_vectors.h"

/* A value used several times is loaded once: without this, each use becomes a load of its own. */
#if defined(__x86_64__)
#define IN_REGISTER(v) __asm__("" : "+v"(v))
#else
#define IN_REGISTER(v) ((void)0)
#endif

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

void OWN(product)(int runs, const float *const *x, size_t x_at, size_t ldx, const float *const *w, size_t w_at,
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

void OWN(dots)(int runs, const float *const *dy, size_t dy_at, size_t lddy, const float *const *x, size_t x_at,
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

void OWN(add_sums)(const float *sums, int n, float *out)
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
