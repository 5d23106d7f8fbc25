/* What the actions of 'coppice mask' share: their options, and masks of one network in different files. */
#ifndef COP_BIN_MASKS_H
#define COP_BIN_MASKS_H

#include "base/json.h"
#include "prune/allocation.h"
#include "store/mask.h"

enum mask_how { MASK_NONE, MASK_QUANTILE, MASK_THRESHOLD, MASK_SPARSITY };

struct mask_options {
	const char **file;
	size_t nfiles;
	enum mask_how how;
	double value; /* of `how` */
	enum cop_scope scope;
	struct cop_rates rates;
	int criterion;    /* enum cop_criterion */
	const char *init; /* make: a checkpoint of the initial weights */
	uint64_t seed;
	bool anew;    /* shuffle: over all tensors */
	bool overlap; /* compare: shows overlaps, not Jaccard indices */
	bool json, force;
};

int mask_make(const struct mask_options *o, struct cop_err *err) COP_CHECKED;
int mask_apply(const struct mask_options *o, struct cop_err *err) COP_CHECKED;
int mask_shuffle(const struct mask_options *o, struct cop_err *err) COP_CHECKED;
int mask_show(const struct mask_options *o, struct cop_err *err) COP_CHECKED;
int mask_compare(const struct mask_options *o, struct cop_err *err) COP_CHECKED;

/* How a mask was made, and its table. */
int mask_print(const char *path, const struct cop_mask_file *m, const struct cop_layout *l, const uint8_t *mask,
	       bool json, struct cop_err *err) COP_CHECKED;
void mask_print_json(cJSON *j); /* deletes it */

/* COP_EINPUT names what one of the two networks has and the other has not, or in another shape. */
int mask_check_match(const struct cop_layout *a, const char *a_path, const struct cop_layout *b, const char *b_path,
		     struct cop_err *err) COP_CHECKED;

/* The bytes of a file's masks in another layout of the same tensors; what it does not hold is kept. The caller frees.
 */
int mask_spread(const struct cop_mask_file *m, const struct cop_layout *l, uint8_t **mask, struct cop_err *err)
	COP_CHECKED;

#endif
