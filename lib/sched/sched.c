/* The table of schedulers; see sched.h. */
#include "sched/sched.h"

#include "base/str.h"
#include "sched/schedulers.h"
#include "sched/slurm.h"

#include <string.h>

static const struct cop_scheduler *const schedulers[] = {
	&cop_local_scheduler,
	&cop_print_scheduler,
	&cop_slurm_scheduler,
};

enum { NSCHEDULERS = sizeof(schedulers) / sizeof(schedulers[0]) };

int cop_scheduler_find(const char *name, const struct cop_scheduler **s, struct cop_err *err)
{
	const char *names[NSCHEDULERS];
	for (size_t i = 0; i < NSCHEDULERS; i++) {
		names[i] = schedulers[i]->name;
		if (strcmp(name, names[i]) != 0)
			continue;
		if (schedulers[i] == &cop_slurm_scheduler) {
			int rc = cop_slurm_open(err);
			if (rc)
				return rc;
		}
		*s = schedulers[i];
		return 0;
	}
	const char *near = cop_str_nearest(name, names, NSCHEDULERS);
	return cop_fail(err, COP_EINPUT, "'%s' is no scheduler%s%s%s; there are local, print and slurm", name,
			near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
}
