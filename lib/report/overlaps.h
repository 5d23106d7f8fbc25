/*
 * What the tickets of one quantile have in common: their masks each with each, read from the cells' files.
 */
#ifndef COP_REPORT_OVERLAPS_H
#define COP_REPORT_OVERLAPS_H

#include "base/json.h"
#include "base/str.h"
#include "report/grid.h"

/* Masks shown at most, and files that are read for them. */
enum { COP_OVERLAPS_MAX = 20, COP_OVERLAPS_READ = 100 };

struct cop_overlaps_mask {
	const struct cop_row *row; /* of the first cell that has it */
	char *label;               /* owned */
};

struct cop_overlaps {
	struct cop_overlaps_mask *mask; /* (n), none equal to another */
	double *v;                      /* (n, n) |A and B| / min(|A|, |B|) */
	size_t n;
	double quantile;
	double chance; /* what v is in the mean between random masks of the smallest one's size, spread over all weights
			*/
	bool more;     /* some cells were not looked at */
};

/*
 * Of the quantile of the sparsest winning ticket (cop_grid_ticket), or else of the best cell: the masks of `run`'s
 * cells, first of all variants and replicates at the first reset point, then at the next. Children have their ticket's,
 * and cells whose criterion cut the same weights, by their counts and thresholds, are read once. A file that is not
 * there or holds no mask is passed over, one that cannot be read with a warning. n is 0 where there are not two masks.
 * `r` must outlive *o; release *o.
 */
void cop_overlaps_read(struct cop_overlaps *o, const char *run, const struct cop_results *r, const struct cop_grid *g);
void cop_overlaps_release(struct cop_overlaps *o); /* {0} is allowed */

/* The matrix; nothing where n is 0. */
void cop_figure_overlaps(struct cop_str *b, const struct cop_overlaps *o);

/* {quantile, chance, masks, overlap}; null where n is 0. */
cJSON *cop_overlaps_json(const struct cop_overlaps *o);

#endif
