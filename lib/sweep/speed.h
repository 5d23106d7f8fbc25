/* How fast an experiment's network trains: timed here, or as an earlier run of the same network noted it. */
#ifndef COP_SWEEP_SPEED_H
#define COP_SWEEP_SPEED_H

#include "sweep/run.h"

struct cop_speed {
	double images_per_second; /* within training steps; NaN: not known */
	int threads;              /* that it was measured with */
	char where[80];           /* "here", or "as in 'RUN'" */
};

/*
 * Trains a few steps of half a second together on fresh weights, after one to warm up. Threads: as many as are asked
 * for, or all cores that are here.
 */
int cop_speed_measure(const struct cop_run *r, int threads, struct cop_speed *s, struct cop_err *err) COP_CHECKED;

/*
 * The middle one of what the cells of the run at `path` noted (of its dense runs where there are no results.h5 yet), by
 * speed per thread. COP_EINPUT: it has no results, or its network, batch or images are others, which are named.
 */
int cop_speed_from_history(const struct cop_run *r, const char *path, struct cop_speed *s, struct cop_err *err)
	COP_CHECKED;

#endif
