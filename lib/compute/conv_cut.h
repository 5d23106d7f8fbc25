/*
 * How the work of a convolution is cut, and the panels that its blocks read. What the dense products (conv.c) and the
 * sparse ones (conv_sparse.c) share; not for other files.
 *
 * Images are cut into chunks of `cols` columns, output rows into blocks of `rows` rows, and the blocks of all chunks
 * into strips. A strip is one task: its panels stay in scratch from block to block, and it has sums of its own.
 */
#ifndef COP_COMPUTE_CONV_CUT_H
#define COP_COMPUTE_CONV_CUT_H

#include "compute/conv_priv.h"

enum { COP_CUT_COLUMNS = 192 /* the most of a chunk */ };

struct cop_cut {
	struct cop_conv d;                            /* with a pointwise convolution's pixels in one column of rows */
	int taps, in_g, out_g, in_blocks, out_blocks; /* of a group: channels, and blocks of COP_ROWS channels */
	int cols, chunks, rows, row_blocks, strips, splits;
	bool pointwise;             /* a row of the output sees the same row of the input, and no other */
	bool whole;                 /* everything is read into shared scratch at once, and shared out by channels */
	bool biased;                /* sparse: the gradient of channels without survivors is wanted too */
	size_t in_pixel, out_pixel; /* scratch floats of a pixel: inputs, gradients of outputs */
	size_t in_rows, out_rows;   /* most rows of scratch that a block needs */
};

struct cop_cut cop_cut_forward(const struct cop_conv *d);

/*
 * Each strip has sums of its own for the weights' gradient. Where a strip would have too few columns to be worth them,
 * everything is read first (`whole`), and the work is shared out by channels instead. The sums of sparse weights are
 * few: always in strips, whose channels are shared out where there are few of them.
 */
struct cop_cut cop_cut_backward(const struct cop_conv *d);

/* n rounded up to a multiple of COP_ROWS. */
int cop_up_rows(int n);

/* Floats of a thread's panels, and of all its scratch: panels, then COP_LANES partial sums a channel, three of them. */
size_t cop_cut_panels(const struct cop_cut *c);
size_t cop_cut_scratch(const struct cop_cut *c);

/* Output rows of a block of the chunk that it lies in. */
struct cop_range cop_cut_rows(const struct cop_cut *c, int block);

/* `channels` rows of a chunk of images, as they lie in memory. */
struct cop_panel cop_cut_panel(const struct cop_cut *c, int channels, int chunk);

/* Rows `wanted` of a chunk's input: where they lie, or read into `scratch`, which holds some of them already. */
struct cop_panels cop_cut_input(const struct cop_cut *c, const struct cop_activation *x, int chunk,
				struct cop_range wanted, float *scratch, struct cop_held *held);

/* Whether the input is used where it lies: nothing to be done on the way, and no columns to be cleared. */
bool cop_cut_lies_ready(const struct cop_cut *c, const struct cop_activation *x);

/*
 * Rows of the output's gradient in scratch, each group's channels padded to a multiple of COP_ROWS: with zeros, or
 * with anything where weights are sparse, when channels without survivors are anything as well.
 */
struct cop_panels cop_cut_gradient(const struct cop_cut *c, const struct cop_gradient *dy, int chunk,
				   struct cop_range wanted, float *scratch, struct cop_held *held);

/* Sums of the output's gradient over rows, for the bias: sums (out_c, COP_LANES). */
void cop_cut_bias(const struct cop_cut *c, const struct cop_panels *dy, struct cop_range rows, int cols, float *sums);

#endif
