/* SLURM; see slurm.h. */
#include "sched/slurm.h"

#include "sched/schedulers.h"

#include <stdio.h>

bool cop_slurm_here(char *how, size_t size)
{
	snprintf(how, size, "no SLURM here");
	return false;
}

int cop_slurm_open(struct cop_err *err)
{
	return cop_fail(err, COP_EMISSING, "there is no SLURM here");
}

const struct cop_scheduler cop_slurm_scheduler = {
	.name = "slurm",
};
