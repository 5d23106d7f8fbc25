/* Planning: an experiment and a folder become a run: the resolved experiment, the grid, the batch scripts. */
#ifndef COP_SWEEP_PLAN_H
#define COP_SWEEP_PLAN_H

#include "sweep/run.h"

/*
 * Asked when everything was checked and nothing is written yet: with any answer but 0, which is an error, it stays so.
 * `r` is the run as it will be; data.path is where the images are.
 */
struct cop_plan_consent {
	int (*ask)(const struct cop_run *r, void *user, struct cop_err *err);
	void *user;
};

/*
 * Checks everything (dataset, reset points, sizes), makes the folder and writes experiment.json last. The built-in
 * digits are drawn into RUN/data.h5. A folder that is planned already is planned again: where things run may change,
 * and the grid may grow, its cells keeping their numbers. One that belongs to another experiment is COP_EINPUT, naming
 * the keys that differ. `e` is resolved on the way (dataset's path and fingerprint). `consent` may be NULL: nobody is
 * asked.
 */
int cop_plan(struct cop_experiment *e, const char *path, const struct cop_plan_consent *consent, struct cop_err *err)
	COP_CHECKED;

#endif
