/*
 * Which cells are submitted together. A chain is a cell with those that follow it and are wanted too: the next round,
 * the controls that take that round's masks, and what follows these (in a grid without rounds each cell is a chain of
 * its own). A series holds chains of one shape that wait for the same: it becomes as many arrays as a chain has cells,
 * task t of each for the t-th chain.
 */
#ifndef COP_SWEEP_SERIES_H
#define COP_SWEEP_SERIES_H

#include "sched/sched.h"
#include "sweep/run.h"

/* What a cell must wait for before it can begin. */
struct cop_wait {
	bool needed;
	int64_t dense;        /* this replicate's dense run; -1: none */
	char job[COP_JOB_ID]; /* this job, of whatever end; "": none */
};

struct cop_series {
	struct cop_wait wait;
	size_t chains, arrays;
	int *after; /* (arrays): the earlier array whose task t must have done its cell before this one's; -1: none */
	int64_t *cell; /* (arrays, chains): indices of cells */
};

/*
 * Groups the cells with wanted[i], in the order of their numbers. wait: what each cell would wait for; that of a
 * chain's first cell counts. Both: (run->ncells). The caller frees with cop_series_free.
 */
void cop_series_make(const struct cop_run *run, const bool *wanted, const struct cop_wait *wait, struct cop_series **s,
		     size_t *n);
void cop_series_free(struct cop_series *s, size_t n);

/* The cell whose weights a cell of a later round prunes, itself where it is computed and not copied; -1: none. */
int64_t cop_cell_before(const struct cop_run *run, int64_t index);

#endif
