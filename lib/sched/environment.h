/* The environment of what is submitted, and of SLURM's commands when they are run. */
#ifndef COP_SCHED_ENVIRONMENT_H
#define COP_SCHED_ENVIRONMENT_H

#include "sched/args.h"
#include "sched/script.h"

/* This process's environment. Inside a job without what SLURM set for that job, which would bend the next one. */
void cop_environment(struct cop_args *env);

/* The same without the variables that change what squeue, scancel and scontrol do or print. */
void cop_environment_of_commands(struct cop_args *env);

/* The same as the first, with what sbatch adds for a job called `name` with this script. */
void cop_environment_of_job(struct cop_args *env, const char *name, const struct cop_script *script);

/* A variable that gives sbatch an option ("SBATCH_ACCOUNT"), or NULL. Valid until the environment changes. */
const char *cop_environment_option(void);

#endif
