/*
 * How many weights are cut of which tensor, and which ones. An allocation puts each prunable tensor into a group,
 *within which weights are ranked together, and gives each group the number that is cut of it: of all P weights exactly
 * cop_prune_count(q, P), with largest remainders where shares of tensors are rounded; with scope `layer` that of each
 * tensor for itself. Scores then say which weights of a group go: the lowest, equal ones in tensor order, then index
 * order.
 *
 * Layers that `rates` names are cut by themselves, at so many times the rate of the others, as the output layer at half
 * the rate in Frankle & Carbin (2019). The shares of the others:
 *
 *	global	all of them ranked together
 *	layer	the same share q of each (layer-wise pruning, ibid.)
 *	uniform	the network's first prunable tensor stays whole, the others lose one same share, such that q of all
 *		is cut (Gale, Elsen & Hooker 2019; the first layer whole as in Evci et al. 2020)
 *	erk	densities proportional to the sum of a tensor's dimensions over their product (Erdos-Renyi kernel, Evci
 *		et al. 2020): of tensor t min(P_t, e * sum of dims) weights stay, with e such that q of all is cut
 */
#ifndef COP_PRUNE_ALLOCATION_H
#define COP_PRUNE_ALLOCATION_H

#include "base/err.h"
#include "base/layout.h"

enum cop_scope { COP_SCOPE_GLOBAL, COP_SCOPE_LAYER, COP_SCOPE_UNIFORM, COP_SCOPE_ERK };
#define COP_SCOPE_CHOICES "global|layer|uniform|erk"

/* Layers that are cut by themselves; of several patterns that match a layer the first counts. */
struct cop_rates {
	struct cop_rate {
		char *pattern; /* fnmatch(3), over layers' names: the tensor's without "/weight" */
		double factor; /* times the rate of the others; 0: nothing is cut */
	} * rate;
	size_t n;
};

/* From the JSON object {"PATTERN": FACTOR}. COP_EINPUT: it is none, or a factor is no number of 0 or more. Release it.
 */
int cop_rates_parse(struct cop_rates *r, const char *json, struct cop_err *err) COP_CHECKED;
void cop_rates_release(struct cop_rates *r); /* {0} is allowed */

struct cop_allocation {
	int *group;  /* (l->n): which tensors are ranked together; -1: not prunable, or exempt */
	size_t *cut; /* (groups): weights cut in all, of all rounds */
	int groups;
};

/*
 * The allocation after `rounds` rounds of pruning, one where there is one shot. q: (rounds), the part of the weights
 * that is cut after each round, in 0..1 and not falling. rates may be NULL. In round k the share (q_k - q_(k-1)) / (1 -
 * q_(k-1)) of what is left is cut, r_k; a layer with factor f loses f r_k of what it has left, so 1 - prod(1 - f r_k)
 * after all rounds. No tensor's number falls from a round to the next. COP_EINPUT: q is not so; a pattern that matches
 * no prunable layer, a factor that asks for more than a layer has left in some round; scope uniform with more to cut
 * than there is behind the first tensor. Release *a, {0} after an error.
 */
int cop_allocate(struct cop_allocation *a, const struct cop_layout *l, enum cop_scope scope,
		 const struct cop_rates *rates, const double *q, size_t rounds, struct cop_err *err) COP_CHECKED;
void cop_allocation_release(struct cop_allocation *a); /* {0} is allowed */

/*
 * mask: (l->total). Cuts the weights of lowest score of each group, those that `before` cuts among them, a->cut in all.
 * score, before: (l->total); before may be NULL (nothing is cut yet), and scores of what it cuts do not matter. Scores
 * may be negative; -0.0 is 0. *threshold becomes the largest score that is cut now, 0 where none is. COP_EINPUT: a NaN
 * among the scores (the message names its tensor and place), or `before` cuts more than a->cut.
 */
int cop_prune_scores(const struct cop_layout *l, const struct cop_allocation *a, const double *score,
		     const uint8_t *before, uint8_t *mask, double *threshold, struct cop_err *err) COP_CHECKED;

/* The same with the weights' magnitudes as scores; infinities go last. */
int cop_prune_magnitudes(const struct cop_layout *l, const struct cop_allocation *a, const float *weights,
			 const uint8_t *before, uint8_t *mask, double *threshold, struct cop_err *err) COP_CHECKED;

/*
 * Masks of chance: any choice of so many weights is as likely as any other, drawn for `seed`, the same on every
 * machine. Fewer than 2^32 weights. `shuffle` keeps the number that is left of each prunable tensor, `random` that of
 * all of them, those aside that the allocation (NULL: there is none) exempts.
 */
void cop_mask_shuffle(const struct cop_layout *l, uint8_t *mask, uint64_t seed);
void cop_mask_random(const struct cop_layout *l, const struct cop_allocation *a, uint8_t *mask, uint64_t seed);

#endif
