/*
 * Masks: which weights stay. One byte a weight, {0,1}, in the layout of the parameters; tensors that are not prunable
 * and padding are 1. Pruning goes by magnitude; counts are exact, and equal magnitudes go in tensor order, then index
 * order. A NaN among the weights is COP_EINPUT and named; infinities are the last to go.
 */
#ifndef COP_PRUNE_MASK_H
#define COP_PRUNE_MASK_H

#include "base/err.h"
#include "base/layout.h"

/* How many of `total` the quantile q in [0,1] cuts: floor(q * total + 0.5), at most `total`. */
size_t cop_prune_count(double q, size_t total);

/*
 * mask: (l->total). Cuts exactly the `cut` prunable weights of smallest magnitude. *threshold becomes the largest
 * magnitude that was cut, 0 where cut is 0: no kept magnitude is below it. weights: (l->total). A `cut` beyond the
 * number of prunable weights is COP_EINPUT.
 */
int cop_prune_global(const struct cop_layout *l, const float *weights, size_t cut, uint8_t *mask, double *threshold,
		     struct cop_err *err) COP_CHECKED;

/* Cuts the prunable weights whose magnitude is at most `threshold`. */
int cop_prune_below(const struct cop_layout *l, const float *weights, double threshold, uint8_t *mask,
		    struct cop_err *err) COP_CHECKED;

/* How many weights of a tensor stay; how many prunable ones in all. */
size_t cop_mask_kept(const struct cop_tensor *t, const uint8_t *mask);
size_t cop_mask_nnz(const struct cop_layout *l, const uint8_t *mask);

/* What two masks of one shape share. */
struct cop_overlap {
	size_t total, a, b, both; /* weights; kept by each; kept by both */
};
struct cop_overlap cop_mask_overlap(const struct cop_tensor *t, const uint8_t *a, const uint8_t *b);
double cop_overlap_fraction(const struct cop_overlap *o); /* |A and B| / min(|A|, |B|); NaN where one keeps none */
double cop_overlap_jaccard(const struct cop_overlap *o);  /* |A and B| / |A or B|; NaN where both keep none */

/*
 * Output units (first dimension) and input units (second; groups' share of it) of a tensor (out, in, ...) that keep no
 * weight. A tensor of rank below 2 has no input units.
 */
int cop_mask_dead(const struct cop_tensor *t, const uint8_t *mask, size_t *outputs, size_t *inputs, struct cop_err *err)
	COP_CHECKED;

/* arena: (l->total). Weights that are cut become 0.0f, also where they are infinite or NaN. */
void cop_mask_apply(const struct cop_layout *l, const uint8_t *mask, float *arena);

#endif
