/*
 * The grid: replicates x criteria x ways to retrain x quantiles x reset points x children as numbered cells,
 * RUN/cells.json. A number never changes its meaning: when a grid grows, its new cells follow behind those that were
 * planned before.
 */
#ifndef COP_SWEEP_CELLS_H
#define COP_SWEEP_CELLS_H

#include "base/layout.h"
#include "sweep/experiment.h"

/* One cell of the grid. */
struct cop_point {
	int64_t index, replicate;
	int64_t round; /* of iterative pruning, from 1; 1 where there is one only */
	double quantile;
	char *reset; /* as the experiment says it */
	int64_t reset_step;
	int criterion, retrain; /* enum cop_criterion, enum cop_retrain */
	int64_t child;          /* from 0 */
	int64_t same_as;        /* an earlier cell of the same mask and training, computed in its place; -1: none */
	int64_t before;         /* the cell of the round before, whose weights it prunes; -1: the dense run's */
};

struct cop_cells {
	int64_t steps_per_epoch, total_steps;
	struct cop_point *cell; /* cell[i].index == i */
	size_t n;
};

/* How many cells the experiment's grid has. */
size_t cop_cells_count(const struct cop_experiment *e);

/* Whether both are the same place of a grid, whatever their numbers. */
bool cop_point_same(const struct cop_point *a, const struct cop_point *b);

/* "random, reinit, child 1": what sets it apart from a ticket by magnitude that is rewound; into buf, returns buf. */
enum { COP_POINT_TEXT = 96 };
const char *cop_point_variant(const struct cop_point *p, char buf[COP_POINT_TEXT]);

/*
 * Expands the experiment's grid. Cells of `earlier` (n == 0: none) keep their numbers; replicates are outermost in what
 * is new. params: the network's, to find cells whose masks must be identical. COP_EINPUT: a reset point that is none,
 * or twice, or after the end; or a cell of `earlier` that is no longer in the grid. Release *g.
 */
int cop_cells_make(struct cop_cells *g, const struct cop_experiment *e, int64_t steps_per_epoch,
		   const struct cop_layout *params, const struct cop_cells *earlier, struct cop_err *err) COP_CHECKED;

int cop_cells_write(const struct cop_cells *g, const char *path, struct cop_err *err) COP_CHECKED;

/* Reads a grid and checks that it is the experiment's: each of its cells once. COP_EINPUT. Release *g. */
int cop_cells_read(struct cop_cells *g, const char *path, const struct cop_experiment *e, struct cop_err *err)
	COP_CHECKED;

/*
 * The grid of an experiment whose list is lost, out of the cells that are known: `n` of them, each with its number and
 * all but `reset`. The places that are left get the numbers that are left, in order. *kept: how many were in the grid,
 * at a number and a place that no other had before. same_as is not found out. COP_EINPUT as above. Release *g.
 */
int cop_cells_restore(struct cop_cells *g, const struct cop_experiment *e, int64_t steps_per_epoch,
		      const struct cop_point *known, size_t n, size_t *kept, struct cop_err *err) COP_CHECKED;

void cop_cells_release(struct cop_cells *g); /* {0} is allowed */

#endif
