/* What `plan` and `run` share: EXPERIMENT, -o RUN and --set. */
#ifndef COP_BIN_PLANNING_H
#define COP_BIN_PLANNING_H

#include "sweep/plan.h"

#include <argp.h>

struct plan_args {
	const char *experiment, *run;
	const char **set;
	size_t nsets, cap;
};

/* A child parser whose input is a struct plan_args. */
const struct argp *plan_argp(void);
void plan_args_release(struct plan_args *a);

/* Loads the experiment, plans and opens the run. `consent` may be NULL. */
int plan_make(const struct plan_args *a, const struct cop_plan_consent *consent, struct cop_run *run,
	      struct cop_err *err) COP_CHECKED;

#endif
