/* SLURM: which of the two ways to it is used. */
#ifndef COP_SCHED_SLURM_H
#define COP_SCHED_SLURM_H

#include "base/err.h"

/*
 * Chooses the way, once: the module over libslurm, else the commands sbatch, squeue and scancel. $COPPICE_SLURM
 * ("module" or "sbatch") forces one. COP_EMISSING where there is neither, or no configuration of a cluster.
 */
int cop_slurm_open(struct cop_err *err) COP_CHECKED;

#endif
