/*
 * Results as the grid that was swept: a table for each variant (criterion and way to retrain), quantiles down, reset
 * points across, replicates gathered in each place. Children but the first are left out: they are other looks at one
 * ticket, not further tickets. Every picture is drawn from this.
 */
#ifndef COP_REPORT_GRID_H
#define COP_REPORT_GRID_H

#include "base/statistics.h"
#include "report/variants.h"

/* What the replicates of one thing say; NaN where n is 0. */
struct cop_spread {
	size_t n;
	double mean, min, max, sd; /* sd: of the sample; NaN for n = 1 */
	double half;               /* the mean's 95% interval reaches so far to each side; NaN for n = 1 */
	struct cop_moments sums;   /* while it is gathered */
};

/* Gathers a value, starting from {0}; what is not finite is passed over. Then finish. */
void cop_spread_add(struct cop_spread *s, double v);
void cop_spread_finish(struct cop_spread *s);
struct cop_estimate cop_spread_estimate(const struct cop_spread *s);

struct cop_grid_reset {
	char name[COP_TEXT];
	int64_t step; /* -1: unknown, no cell of it is finished */
};

/* One variant's. */
struct cop_grid_table {
	double *left; /* (nq) weights left, as a fraction: measured, or 1 - quantile where nothing is finished */
	struct cop_spread *top1; /* (nq, nr) test top-1 */
	size_t best;             /* place of the largest mean; nq * nr where nothing is finished */
};

struct cop_grid {
	double *quantile;             /* (nq) ascending */
	struct cop_grid_reset *reset; /* (nr) ascending by step, the unknown last */
	struct cop_spread *speed;     /* (nq) times the dense run's (report/speed.h), of all variants */
	size_t nq, nr;
	struct cop_variants variants;
	struct cop_grid_table *table; /* (variants.n) */
	struct cop_spread dense;      /* test top-1 */
	size_t replicates;            /* the most that any place has */
	double low, high; /* the smallest and the largest mean of all variants and the dense network; NaN: none */
	/* those of variant `shown`, the first after cop_grid_init */
	size_t shown, best;
	double *left;
	struct cop_spread *top1;
};

/*
 * Gathers `r`. Quantiles and reset points that the experiment names but no finished cell has are there too. Never
 * fails: an experiment that cannot be read adds nothing.
 */
void cop_grid_init(struct cop_grid *g, const struct cop_results *r);
void cop_grid_release(struct cop_grid *g);

/* The same grid, with variant `v` shown. Not to be released, and of no use after `g` is. */
struct cop_grid cop_grid_show(const struct cop_grid *g, size_t v);

/* Whether a row is counted among those of the variant that is shown. */
bool cop_grid_shows(const struct cop_grid *g, const struct cop_row *row);

/* Of the variant that is shown; empty where there is nothing to say. */
const char *cop_grid_name(const struct cop_grid *g);

/* The variant with the best place of all; the first where nothing is finished. */
size_t cop_grid_best_variant(const struct cop_grid *g);

/* The reset point of the best cell of all variants; 0 where nothing is finished. */
size_t cop_grid_best_reset(const struct cop_grid *g);

/* A ticket wins while its accuracy is no further below the dense network's; half a point, as the papers speak. */
#define COP_TICKET_BELOW 0.005

/*
 * The place of the sparsest winning ticket of all variants, the best of equals; nq * nr where there is none. *shown
 * becomes the grid with its variant shown.
 */
size_t cop_grid_ticket(const struct cop_grid *g, struct cop_grid *shown);

const struct cop_spread *cop_grid_at(const struct cop_grid *g, size_t quantile, size_t reset);

/* Where `v` lies between low and high, in [0,1]; 1 where they are equal. */
double cop_grid_scale(const struct cop_grid *g, double v);

/* The place in g->quantile or g->reset of a row; nq or nr where it is not there. */
size_t cop_grid_quantile(const struct cop_grid *g, double quantile);
size_t cop_grid_reset(const struct cop_grid *g, const char *reset);

#endif
