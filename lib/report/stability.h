/*
 * How stable training is to the order of the images, by reset point: what 'coppice connect' measured, gathered for the
 * page (Frankle, Dziugaite, Roy & Carbin 2020, figure 3).
 */
#ifndef COP_REPORT_STABILITY_H
#define COP_REPORT_STABILITY_H

#include "base/str.h"
#include "report/grid.h"
#include "sweep/connect.h"

struct cop_stability {
	struct cop_connected pairs;
	struct cop_connect_place *place; /* (n) by variant, quantile and reset step */
	size_t n;
};

/*
 * Every line in RUN/connect whose two cells `r` has and whose experiment is its. A file that cannot be read is passed
 * over with a warning. Release *s.
 */
void cop_stability_read(struct cop_stability *s, const char *run, const struct cop_results *r);
void cop_stability_release(struct cop_stability *s); /* {0} is allowed */

/* Instability in points against the reset step, a line for each variant and quantile, and the 2 points below which
   training counts as stable. Nothing where nothing was measured. */
void cop_figure_stability(struct cop_str *b, const struct cop_stability *s, const struct cop_grid *g);

/* The test error along the lines, in points, the mean of each place's pairs: of each variant and quantile its first and
   last reset point, COP_PATHS_MAX in all. Nothing where nothing was measured. */
enum { COP_PATHS_MAX = 8 };
void cop_figure_paths(struct cop_str *b, const struct cop_stability *s, const struct cop_grid *g);

#endif
