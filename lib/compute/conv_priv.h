/* What the convolutions' files share. Not for other files. */
#ifndef COP_COMPUTE_CONV_PRIV_H
#define COP_COMPUTE_CONV_PRIV_H

#include "compute/conv.h"
#include "compute/sparse.h"

/* Floats between the rows of a scratch panel of `cols` columns. */
size_t cop_scratch_ld(int cols);

/* Rows of the image that output rows [from, to) see. */
struct cop_range cop_rows_seen(const struct cop_conv *d, int from, int to);

/* The input rows whose gradient belongs to output rows [from, to): together they are all rows, each once. */
struct cop_range cop_rows_owned(const struct cop_conv *d, int from, int to);

/* Output rows whose gradient is needed for those input rows and for the weights' sums over output rows [from, to). */
struct cop_range cop_rows_needed(const struct cop_conv *d, int from, int to);

/*
 * The panels of some rows of pixels: row y lies in slot y mod `slots`, pixel (y, x) at base + (slot * width + x) *
 * pixel. So rows that come in order take the place of those that are no longer wanted.
 */
struct cop_panels {
	const float *base;
	int slots, width;
	size_t pixel, ld; /* between pixels; between the rows of a panel */
};
enum { COP_EVERY_ROW = 1 << 30 /* slots of a whole activation: each row has its own */ };
const float *cop_pixel(const struct cop_panels *p, int y, int x);

/* The taps of one pixel: which of the window, and their panels. */
struct cop_taps {
	int n, at[COP_WINDOW_MAX];
	const float *x[COP_WINDOW_MAX];
};

/* Those that output pixel (y, x) reads; the output pixels (of panels p) that read input pixel (y, x). */
void cop_taps_in(const struct cop_conv *d, const struct cop_panels *p, int y, int x, struct cop_taps *t);
void cop_taps_out(const struct cop_conv *d, const struct cop_panels *p, int y, int x, struct cop_taps *t);

/* What scratch holds: rows of a chunk of images. Starts as {.chunk = -1}. */
struct cop_held {
	int chunk;
	struct cop_range rows;
};

/* Of the rows that are wanted, those that are not held yet; notes that all are held now. */
struct cop_range cop_to_read(struct cop_held *h, int chunk, struct cop_range wanted);

/* Part s of n things cut into `parts`. */
struct cop_range cop_part(int n, int parts, int s);

/* Output rows of a block, where each image has row_blocks of `rows` rows; blocks of a chunk come one after another. */
struct cop_range cop_block_rows(const struct cop_conv *d, int row_blocks, int rows, int block);

/* The most rows of input that a block of `rows` output rows sees, and of the output's gradient that it needs. */
void cop_most_rows(const struct cop_conv *d, int rows, size_t *seen, size_t *needed);

/* The same for channels from `first` on. */
struct cop_reading cop_reading_from(const struct cop_reading *r, int first);
struct cop_slope cop_slope_from(const struct cop_slope *s, int first);

/* out (n) = the sum of part (strips, n), in the strips' order. */
void cop_add_strips(const float *part, int strips, int n, float *out);

/*
 * Bias, cutting off and sums of an output's panel, channels from `first`; lanes: of those channels. at: where they
 * begin in the output's base, pixel * channels + first.
 */
void cop_finish_output(const struct cop_output *o, const struct cop_panel *p, int first, size_t at, float *y,
		       float *lanes);

/* Where a completed gradient's panel (channels from `first`, at g + at) is cut off and summed; lanes: of those
   channels, (p->rows, 2, COP_LANES). */
void cop_finish_sink(const struct cop_sink *s, const struct cop_panel *p, int first, size_t at, float *lanes);

/* Adds up the lanes of n channels' two sums into part (n, 2). */
void cop_store_sums(const float *lanes, int n, float *part);

#endif
