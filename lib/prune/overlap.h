/*
 * What the masks of a set share, each with each. A mask is held as one bit a weight, so 400 masks of 3.5 million
 * weights take 175 MB, and a pair is compared 64 weights at a time.
 */
#ifndef COP_PRUNE_OVERLAP_H
#define COP_PRUNE_OVERLAP_H

#include "base/err.h"
#include "base/layout.h"
#include "prune/mask.h"

/* Starts as {0}. */
struct cop_mask_set {
	struct cop_layout layout; /* the prunable tensors of the first mask */
	size_t *word;             /* (layout.n + 1): where each tensor's bits begin; the last one's end */
	uint64_t **bits;          /* (n): each (word[layout.n]); a weight that is kept is 1 */
	size_t n, cap;
};

/*
 * Adds a mask, (l->total), of which the prunable tensors count; their order may be another than the first one's.
 * COP_EINPUT: they are not those of the first, by name and size. COP_EFAILED: no memory.
 */
int cop_mask_set_add(struct cop_mask_set *s, const struct cop_layout *l, const uint8_t *mask, struct cop_err *err)
	COP_CHECKED;
void cop_mask_set_release(struct cop_mask_set *s); /* {0} is allowed */

/* The first mask that is equal to the last one, which is n - 1 where it is like no other; and without the last one.
   n > 0. */
size_t cop_mask_set_find_last(const struct cop_mask_set *s);
void cop_mask_set_drop(struct cop_mask_set *s);

/*
 * both: (n, n), becomes the number of weights that masks i and j both keep, of tensor `tensor` of the set's layout, or
 * of all where it is layout.n; so both[i * n + i] is what mask i keeps.
 */
void cop_mask_set_overlaps(const struct cop_mask_set *s, size_t tensor, uint64_t *both);

/* Of masks i and j out of it, for cop_overlap_fraction and cop_overlap_jaccard; `total` weights. */
struct cop_overlap cop_mask_set_pair(const uint64_t *both, size_t n, size_t i, size_t j, size_t total);

#endif
