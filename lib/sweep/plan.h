/* Planning: an experiment and a folder become a run: the resolved experiment, the grid, the batch scripts. */
#ifndef COP_SWEEP_PLAN_H
#define COP_SWEEP_PLAN_H

#include "sweep/run.h"

/* What a sweep will cost, as far as a plan can know. */
struct cop_cost {
	int64_t cells, dense;     /* runs */
	int64_t steps;            /* of all of them */
	int64_t prunable, params; /* weights that can be pruned; all values */
	double macs;              /* multiply-accumulates of one image's forward pass */
	double images_per_second; /* measured here on a few steps; NaN: not measured */
	int threads;              /* that it was measured with */
	double core_hours;        /* steps x batch / images_per_second x threads */
	double bytes;             /* on disk, about */
};

/*
 * Checks everything (dataset, reset points, sizes), makes the folder and writes experiment.json last. The built-in
 * digits are drawn into RUN/data.h5. A folder that holds the same grid is planned again (scripts and where things run
 * may change); one that belongs to another experiment is COP_EINPUT, naming the keys that differ. `e` is resolved on
 * the way (dataset's path and fingerprint).
 */
int cop_plan(struct cop_experiment *e, const char *path, struct cop_err *err) COP_CHECKED;

/* `measure`: whether to time a few steps. */
int cop_plan_cost(const struct cop_run *r, bool measure, struct cop_cost *c, struct cop_err *err) COP_CHECKED;

#endif
