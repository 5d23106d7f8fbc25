/*
 * The weights of a layer that survive a mask, and where they stand: what sparse products walk over. It is made once
 * from the mask and never changes; the weights themselves lie elsewhere, the survivors alone, in the mask's order.
 */
#ifndef COP_COMPUTE_SPARSE_H
#define COP_COMPUTE_SPARSE_H

#include "base/err.h"
#include "compute/kernels.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Channels [from, to). */
struct cop_range {
	int from, to;
};

/* Runs of channels that are wanted, in their order. */
struct cop_runs {
	int n;
	struct cop_range *run;
};

struct cop_sparse {
	int out_c, in_c, taps, groups;
	int watched; /* rows behind out_c: outputs that nobody reads, but whose sums for a batch norm are wanted */
	int count;   /* survivors of the out_c rows; those of watched rows come behind them */
	/*
	 * Row o's are out[out_begin[o]..out_begin[o + 1]): the taps and input channels that output channel o reads.
	 * out[k].at is k.
	 */
	int *out_begin; /* (out_c + watched + 1) */
	struct cop_survivor *out;
	/*
	 * Those that read input channel c: in[in_begin[c]..in_begin[c + 1]), `row` being the output's in a panel whose
	 * groups are padded to COP_ROWS rows each.
	 */
	int *in_begin; /* (in_c + 1) */
	struct cop_survivor *in;
	struct cop_runs read;    /* input channels that any survivor reads */
	struct cop_runs written; /* output channels of a group that have survivors in any group */
};

/*
 * Of weights (out_c, in_c/groups, taps), mask 1: keep. COP_EFAILED: no memory, or more survivors than an int can count.
 */
int cop_sparse_init(struct cop_sparse *s, int out_c, int in_c, int taps, int groups, const uint8_t *mask,
		    struct cop_err *err) COP_CHECKED;

/* Some channels of a layer: channel[i] is the i-th of them; NULL: the first n as they are. */
struct cop_channels {
	int n;
	const int *channel;
};

/*
 * Of a layer of one group with in_c inputs, its outputs `rows`, the last `watched` of them only watched, and its inputs
 * `columns`. Weights are those of these rows and columns that survive, in this order.
 */
int cop_sparse_select(struct cop_sparse *s, const struct cop_channels *rows, int watched,
		      const struct cop_channels *columns, int in_c, int taps, const uint8_t *mask, struct cop_err *err)
	COP_CHECKED;
void cop_sparse_release(struct cop_sparse *s);

/*
 * Rows [from, to) of part k of `parts`, of rows whose entries begin at begin (rows + 1): as equal as whole rows can be
 * in entries, a row counting as `row_cost` entries more.
 */
struct cop_range cop_sparse_part(const int *begin, int rows, int row_cost, int parts, int k);

#endif
