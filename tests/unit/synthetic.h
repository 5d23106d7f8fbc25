/* Results made up for tests and for looking at: plausible accuracies of a lottery-ticket sweep, seeded. */
#ifndef COP_TESTS_SYNTHETIC_H
#define COP_TESTS_SYNTHETIC_H

#include "store/results.h"

struct synthetic {
	size_t quantiles, resets, replicates; /* at most 8, 6 */
	size_t missing;                       /* cells left out, from the last backwards */
	const char *name;
	bool validation;
	/* 0 or 1: one; at most 4: magnitude, then with reinit as a control, then both for random */
	size_t variants;
	bool comparable; /* the dense runs were on the cells' device, with as many threads */
};

/* Release with cop_results_release. */
void synthetic_results(struct cop_results *r, const struct synthetic *want);

#endif
