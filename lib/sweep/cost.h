/* What a sweep will cost, as far as it can be known before it runs. */
#ifndef COP_SWEEP_COST_H
#define COP_SWEEP_COST_H

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

/* `measure`: whether to time a few steps. */
int cop_plan_cost(const struct cop_run *r, bool measure, struct cop_cost *c, struct cop_err *err) COP_CHECKED;

#endif
