/* Planning: an experiment and a folder become a run: the resolved experiment, the grid, the batch scripts. */
#ifndef COP_SWEEP_PLAN_H
#define COP_SWEEP_PLAN_H

#include "sweep/run.h"

/*
 * Checks everything (dataset, reset points, sizes), makes the folder and writes experiment.json last. The built-in
 * digits are drawn into RUN/data.h5. A folder that is planned already is planned again: where things run may change,
 * and the grid may grow, its cells keeping their numbers. One that belongs to another experiment is COP_EINPUT, naming
 * the keys that differ. `e` is resolved on the way (dataset's path and fingerprint).
 */
int cop_plan(struct cop_experiment *e, const char *path, struct cop_err *err) COP_CHECKED;

#endif
