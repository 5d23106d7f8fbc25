/*
 * The CPU backend's inner loops over (H,W,C,ld) activations. kernels_products.c, kernels_rows.c and kernels_panels.c
 * are built several times, for AVX-512, for AVX2 with FMA and for any processor, and one set is chosen when the program
 * starts. All of them work on a panel: the channels of one pixel over some images, a (C, cols) matrix whose rows lie
 * `ld` floats apart; `cols` is a multiple of 16, and the columns from `valid` on belong to no image.
 *
 * Sums over a row are kept in COP_LANES partial sums a row, which cop_lanes_sum() adds up in a fixed order.
 */
#ifndef COP_COMPUTE_KERNELS_H
#define COP_COMPUTE_KERNELS_H

#include <stddef.h>

enum { COP_LANES = 16, COP_ROWS = 8 /* output rows of a product's tile; packed weights are padded to it */ };

struct cop_panel {
	int rows, cols, valid;
	size_t ld;
	size_t ahead; /* floats from a row to one that will be wanted soon, so that it is asked for; 0: nothing is */
};

/* How a value is read from what lies in memory: min(max(scale[c] raw + shift[c], lo), hi); scale NULL: 1 and 0. */
struct cop_reading {
	const float *scale, *shift;
	float lo, hi;
};

/* How the gradient of the raw value comes from that of the read one: a[c] g + b[c] (raw - mean[c]) + c[c]. */
struct cop_slope {
	const float *a, *b, *c, *mean;
};

/* A surviving weight: w[at] times row `row` of the panel of tap `tap`. */
struct cop_survivor {
	int tap, row, at;
};

struct cop_kernels {
	const char *name;
	/*
	 * out(r, n) [+]= sum over runs t and k < depth of w[t](k, r) x[t](k, n), for r < rows (COP_ROWS at most) and n
	 * < cols. x[t]: rows ldx apart, from x[t] + x_at; w[t]: (depth, COP_ROWS) packed, from w[t] + w_at; out: rows
	 * ldo apart.
	 */
	void (*product)(int runs, const float *const *x, size_t x_at, size_t ldx, const float *const *w, size_t w_at,
			int depth, int rows, int cols, float *out, size_t ldo, int add);
	/*
	 * out(j, r) += sum over runs t and n < cols of dy[t](r, n) x[t](j, n), for r < COP_ROWS and j < width. dy[t]
	 * from dy[t] + dy_at, rows lddy apart, all COP_ROWS of them read; x[t] likewise. out (width, COP_ROWS).
	 */
	void (*dots)(int runs, const float *const *dy, size_t dy_at, size_t lddy, const float *const *x, size_t x_at,
		     size_t ldx, int width, int cols, float *out);

	/*
	 * Sparse products. Row r's entries are e[begin[r]..begin[r + 1]); a tap whose x is NULL counts as 0.
	 * out(r, n) [+]= sum over the entries of w[at] x[tap](row, n), for r < rows and n < cols. x[tap]: rows ldx
	 * apart; out: rows ldo apart.
	 */
	void (*sparse_product)(const struct cop_survivor *e, const int *begin, int rows, const float *const *x,
			       size_t ldx, const float *w, int cols, float *out, size_t ldo, int add);
	/* sums (entries of all rows, COP_LANES) += dy(r, n) x[tap](row, n). dy: rows lddy apart. */
	void (*sparse_dots)(const struct cop_survivor *e, const int *begin, int rows, const float *dy, size_t lddy,
			    const float *const *x, size_t ldx, int cols, float *sums);
	/* out[k] += the lanes of sums (n, COP_LANES). Room for COP_ROWS more sums is read, and counts for nothing. */
	void (*add_sums)(const float *sums, int n, float *out);

	/* out (rows, cols; rows out_ld apart): the value as it is read; 0 from `valid` on. */
	void (*read)(const struct cop_panel *p, const float *raw, const struct cop_reading *r, float *out,
		     size_t out_ld);
	/* out: the gradient of the raw value; 0 from `valid` on. */
	void (*read_slope)(const struct cop_panel *p, const float *g, const float *raw, const struct cop_slope *s,
			   float *out, size_t out_ld);
	/* sums (rows, 2, COP_LANES) += y - about and its square, over the valid columns. */
	void (*moments)(const struct cop_panel *p, const float *y, const float *about, float *sums);
	/*
	 * A gradient that is complete: g becomes 0 where the value was cut off at lo or hi; sums (rows, 2, COP_LANES;
	 * may be NULL) += g and g (raw - mean).
	 */
	void (*finish)(const struct cop_panel *p, float *g, const float *raw, const struct cop_reading *r,
		       const float *mean, float *sums);
	/* y [+]= bias[c] and cut off to lo..hi; bias may be NULL. */
	void (*bias)(const struct cop_panel *p, float *y, const float *bias, float lo, float hi);
	/* y = a + b, each as it is read, cut off to lo..hi; rows of all three p->ld apart. */
	void (*add)(const struct cop_panel *p, const float *a, const struct cop_reading *ra, const float *b,
		    const struct cop_reading *rb, float lo, float hi, float *y);
	/* g [+]= from. */
	void (*copy)(const struct cop_panel *p, const float *from, float *g, int add);
	/* sums (rows, COP_LANES) += y. */
	void (*row_sums)(const struct cop_panel *p, const float *y, float *sums);

	/* Depthwise: out(c, n) [+]= sum over t < taps of w[c * wstride + at[t]] x[t](c, n); rows of x ldx apart. */
	void (*depthwise)(const struct cop_panel *p, int taps, const float *const *x, size_t ldx, const int *at,
			  const float *w, int wstride, float *out, int add);
	/* sums (rows, wstride, COP_LANES)[c][at[t]] += dy(c, n) x[t](c, n). dy: rows ldx apart as well. */
	void (*depthwise_dots)(const struct cop_panel *p, int taps, const float *const *x, const float *dy, size_t ldx,
			       const int *at, int wstride, float *sums);

	/* y = max or mean (scaled by `scale`) of x[t] over t < taps; rows of x ldx apart, of y p->ld. */
	void (*pool_max)(const struct cop_panel *p, int taps, const float *const *x, size_t ldx, float *y);
	void (*pool_sum)(const struct cop_panel *p, int taps, const float *const *x, size_t ldx, float scale, float *y);
	/* Where x[t] is the first to be the maximum of the taps, dx[t] += dy. */
	void (*pool_max_back)(const struct cop_panel *p, int taps, const float *const *x, size_t ldx, const float *dy,
			      float *const *dx);
	/* g += scale from. */
	void (*add_scaled)(const struct cop_panel *p, const float *from, float scale, float *g);
};

/* The set for this processor; COPPICE_KERNELS=avx2|plain in the environment asks for a lesser one. */
const struct cop_kernels *cop_kernels(void);

/* The sum of COP_LANES partial sums. */
double cop_lanes_sum(const float *lane);

#endif
