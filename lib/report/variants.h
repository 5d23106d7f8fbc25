/*
 * Variants of a grid: its cells of one criterion and one way to retrain. Replicates are gathered within a variant,
 * never across.
 */
#ifndef COP_REPORT_VARIANTS_H
#define COP_REPORT_VARIANTS_H

#include "store/results.h"

#include <stdbool.h>

struct cJSON;

enum { COP_VARIANTS_MAX = 64, COP_VARIANT_NAME = 2 * COP_TEXT + 2 };

struct cop_variant {
	char criterion[COP_TEXT], retrain[COP_TEXT]; /* the experiment's words */
	/* of several variants the words in which they differ; of one all that it has, empty for magnitude and rewind */
	char name[COP_VARIANT_NAME];
	bool control; /* it takes the masks of another variant */
};

struct cop_variants {
	struct cop_variant *v;
	size_t n, cap;
};

/*
 * Those that the experiment names (sweep: that part of it; NULL: unknown), in its order, then any others that `r` has
 * cells of. At least one, at most COP_VARIANTS_MAX. Release *v.
 */
void cop_variants_init(struct cop_variants *v, const struct cop_results *r, const struct cJSON *sweep);
void cop_variants_release(struct cop_variants *v);

/* The place of a row's variant; n: it is not there. */
size_t cop_variants_find(const struct cop_variants *v, const struct cop_row *row);

#endif
