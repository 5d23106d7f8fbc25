/* The instances of the table, for sched.c. */
#ifndef COP_SCHED_SCHEDULERS_H
#define COP_SCHED_SCHEDULERS_H

#include "sched/sched.h"

extern const struct cop_scheduler cop_local_scheduler;
extern const struct cop_scheduler cop_print_scheduler;
extern const struct cop_scheduler cop_slurm_scheduler;

#endif
