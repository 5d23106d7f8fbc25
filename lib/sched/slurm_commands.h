/* SLURM through its commands: the way where the module cannot be used. Contracts as in struct cop_scheduler. */
#ifndef COP_SCHED_SLURM_COMMANDS_H
#define COP_SCHED_SLURM_COMMANDS_H

#include "sched/queue.h"
#include "sched/sched.h"

#include <stdbool.h>

/* Whether sbatch is in PATH and finds the configuration of a cluster. */
bool cop_commands_here(void);

int cop_commands_submit(const struct cop_job *job, char *id, struct cop_err *err) COP_CHECKED;
int cop_commands_query(struct cop_queue *q, struct cop_err *err) COP_CHECKED;
int cop_commands_cancel(const char *id, struct cop_err *err) COP_CHECKED;
int cop_commands_script(const char *id, char **text, struct cop_err *err) COP_CHECKED;
int cop_commands_limits(struct cop_limits *limits, struct cop_err *err) COP_CHECKED;

#endif
