/*
 * What a sweep will cost, as far as it can be known before it runs: the work that is not done yet, as tasks of the size
 * that the experiment's slurm keys give them.
 */
#ifndef COP_SWEEP_COST_H
#define COP_SWEEP_COST_H

#include "sweep/speed.h"

struct cop_cost {
	int64_t cells, dense;           /* of the grid */
	int64_t same;                   /* of the cells: computed with another */
	int64_t cells_done, dense_done; /* there are results that validate, and of dense runs all checkpoints */
	int64_t tasks;                  /* of the cells that are left */
	int64_t at_once;                /* tasks; 0: as many as there are */
	int64_t steps;                  /* that are left to make */
	int64_t prunable, params;       /* weights that can be pruned; all values */
	double macs;                    /* multiply-accumulates of one image's forward pass */
	struct cop_speed speed;
	double core_hours, gpu_hours; /* that the tasks hold; NaN: there are steps left and no speed is known */
	double wall_seconds;          /* the dense runs, then the cells round by round, without waiting in the queue */
	double bytes;                 /* on disk, of all that there will be, about */
};

struct cop_cost_options {
	bool measure;        /* time a few steps; a failure to is a warning, and the speed is not known then */
	const char *history; /* a run to take the speed from; NULL: none */
};

/* `r` need not be written yet: its folder, experiment (data.path as it will be read) and grid are looked at. */
int cop_cost_estimate(const struct cop_run *r, const struct cop_cost_options *o, struct cop_cost *c,
		      struct cop_err *err) COP_CHECKED;

/* Hours that are counted against cost.ask_hours: the GPUs' where tasks take GPUs, else the cores'. */
double cop_cost_hours(const struct cop_run *r, const struct cop_cost *c);

/*
 * The tasks of an array on so many places (0: no limit), each begun in turn as soon as a place is free: seconds from
 * the first beginning to the last end.
 */
double cop_cost_makespan(const double *seconds, size_t n, int64_t places);

#endif
