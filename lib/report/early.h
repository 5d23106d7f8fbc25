/*
 * Early stops as series: how fast tickets learn, and how good they are then, by the weights that are left (Frankle &
 * Carbin 2019, figures 1 and 4). A series is a set of cells with one label; replicates are gathered in each of its
 * places.
 */
#ifndef COP_REPORT_EARLY_H
#define COP_REPORT_EARLY_H

#include "report/grid.h"

#include <stdio.h>

struct cJSON;

struct cop_early_place {
	struct cop_spread step; /* of the least validation loss */
	struct cop_spread
		top1; /* there: of the test split where that was measured anywhere, else of the validation split */
};

enum { COP_SERIES_LABEL = COP_VARIANT_NAME + COP_TEXT + 2 };

struct cop_early_series {
	char label[COP_SERIES_LABEL]; /* the variant's name, where it has one, and the reset point's */
	size_t variant, reset;        /* of the grid's */
	int64_t order;                /* series are in the order of their variants, then of their reset steps */
	struct cop_early_place *at;   /* (nq) by the grid's quantiles */
};

struct cop_early {
	const struct cop_grid *g; /* the caller's */
	struct cop_early_series *series;
	size_t n, cap;
	struct cop_early_place dense;
	bool tested;  /* top1 is of the test split */
	double every; /* steps between two looks, as far as histories tell: steps are known to within it; NaN */
};

/*
 * From the histories, so that results of every age have them. Cells that go on with trained weights (lr-rewind,
 * fine-tune) are left out. n is 0 where there is no validation loss.
 */
void cop_early_init(struct cop_early *e, const struct cop_results *r, const struct cop_grid *g);
void cop_early_release(struct cop_early *e);

/* How many times sooner than the dense network a place stops: the ratio of the mean steps; NaN where one is not known.
 */
double cop_early_speed(const struct cop_early *e, const struct cop_early_place *p);

/* Mean steps, quantiles down, series across, in blocks of as many as fit `width` columns; of several variants those at
   the best cell's reset point. Nothing where n is 0. */
void cop_early_print(const struct cop_early *e, FILE *out, int width);

/* A row for each place that has a value. */
struct cJSON *cop_early_json(const struct cop_early *e);

#endif
