/* The figures of a report: each appends one <svg> to `b`. Those that have nothing to show append nothing. */
#ifndef COP_REPORT_FIGURES_H
#define COP_REPORT_FIGURES_H

#include "base/str.h"
#include "report/early.h"

/*
 * Quantiles down, reset points across, the dense network above; each place has its value and, of several replicates,
 * half the width of the mean's 95% interval. `alone`: a file of its own rather than a part of the page.
 */
void cop_figure_heatmap(struct cop_str *b, const struct cop_grid *g, bool alone);

/*
 * Test top-1 against the weights left (logarithmic, decreasing, as the lottery-ticket papers draw it), one line a
 * reset point, bars for 95% intervals of means, the dense network dashed with its interval behind it. `near`: only what
 * lies near the dense network, for grids whose sparsest cells fall far below.
 */
void cop_figure_sparsity(struct cop_str *b, const struct cop_grid *g, bool near);

/* The same at one reset point, one line a variant, controls dashed. */
void cop_figure_variants(struct cop_str *b, const struct cop_grid *g, size_t reset, bool near);

/* Whether the near view tells more than the whole: some cells are near the dense network and some are far below. */
bool cop_figure_has_near(const struct cop_grid *g);
bool cop_figure_variants_have_near(const struct cop_grid *g, size_t reset);

/*
 * Early stop against the weights left (logarithmic, decreasing): the step, or the top-1 that was measured there; one
 * line a series, bars for 95% intervals of means, the dense network dashed with its interval behind it. Of a grid of
 * several variants one line for each at `reset`, controls dashed.
 */
void cop_figure_early(struct cop_str *b, const struct cop_early *e, size_t reset, bool accuracy);

/* What cop_figure_curves showed, for its caption. */
struct cop_curves {
	size_t shown, cells;      /* cells shown, and all that are finished */
	bool validation, clipped; /* top-1 on the validation split, else the training loss; some of it out of sight */
	const char *reset[2];     /* the reset points: drawn, dashed; the grid's */
	size_t nresets;
	int64_t replicate;
};

/* Training curves of the dense network and of at most eleven cells of the variant that is shown. */
void cop_figure_curves(struct cop_str *b, const struct cop_results *r, const struct cop_grid *g, struct cop_curves *c);

/* Weights left by layer (down) and quantile (across), the mean of the cells of the variant that is shown. */
void cop_figure_layers(struct cop_str *b, const struct cop_results *r, const struct cop_grid *g);

/*
 * A square of n x n values in [0,1], such as overlaps of masks: rows have their labels, columns the rows' numbers. What
 * is no number is a dash. Nothing where n is 0.
 */
void cop_figure_matrix(struct cop_str *b, const char *about, char *const *label, const double *v, size_t n);

#endif
