/*
 * Exact order statistics and quantiles of magnitudes, by histograms (radix selection): any number of elements, any
 * number of quantiles, no sorting, in bounded memory. Magnitude order is the order of the bits with the sign cleared,
 * so -0.0 is 0 and infinities are the largest. The first pass over the data counts the keys' highest 15 bits; each
 * further one counts up to 16 more bits, but only within the buckets that hold a wanted rank: two passes for float32,
 * four for float64.
 *
 * NaN has no place in the order: it is COP_EINPUT, and the message says in which tensor and where.
 */
#ifndef COP_PRUNE_QUANTILE_H
#define COP_PRUNE_QUANTILE_H

#include "store/scan.h"

/* Data that can be read several times, each time the same. */
struct cop_source {
	enum cop_float type; /* the widest of its blocks' types */
	int (*read)(void *user, cop_block_fn *visit, void *to, struct cop_err *err);
	void *user;
};

/* Of the magnitudes. Without elements min, max and mean are NaN; a sum beyond double makes the mean infinite. */
struct cop_summary {
	uint64_t count, zeros;
	double min, max, mean; /* mean: the same bits for any number of threads */
};

/*
 * The q-quantiles with linear interpolation between the neighbours of q * (count - 1), computed like numpy.quantile of
 * the magnitudes, in double: value[i] for q[i] in [0,1]. Between equal neighbours, infinite ones too, it is their
 * value; towards an infinite neighbour it is infinite. Without elements it is NaN. `summary` may be NULL. `threads` 0:
 * as many as OpenMP would take.
 */
int cop_quantile(const struct cop_source *source, const double *q, size_t nq, int threads, struct cop_summary *summary,
		 double *value, struct cop_err *err) COP_CHECKED;

/* An element by its rank in the order of magnitude. */
struct cop_order {
	uint64_t rank;  /* from 0; asked for */
	double value;   /* the magnitude */
	uint64_t below; /* how many elements are smaller */
};

/* Finds the elements of the given ranks. A rank that is not below the count is COP_EINPUT. */
int cop_order_find(const struct cop_source *source, struct cop_order *order, size_t n, int threads, struct cop_err *err)
	COP_CHECKED;

/* Arrays in memory as a source. */
struct cop_array {
	const char *name; /* for messages */
	const float *data;
	size_t n;
	int rank; /* the shape, for messages; 0: flat */
	const int64_t *dim;
};
struct cop_arrays {
	const struct cop_array *array;
	size_t n;
};
struct cop_source cop_source_arrays(const struct cop_arrays *a); /* `a` must outlive it */

#endif
