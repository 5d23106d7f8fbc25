/*
 * The batch scripts: templates in jobs/ with @NAMES@ in them. A line that holds a name whose value is empty is left
 * out, so an option that was not given leaves no trace.
 */
#ifndef COP_SWEEP_BATCH_H
#define COP_SWEEP_BATCH_H

#include "sweep/run.h"

/* Writes RUN/jobs/{dense,cells,collect,next}.sbatch; none, with a warning, where RUN's path cannot stand in a script.
 */
int cop_batch_write(const struct cop_run *r, struct cop_err *err) COP_CHECKED;

/* Tasks of an array of cells that may run at once, so that no more than max_running cells do; 0: no limit. */
int64_t cop_batch_at_once(const struct cop_slurm_config *c);

/* Whether SLURM understands the values that go into the scripts. COP_EINPUT names the key. */
int cop_batch_check(const struct cop_slurm_config *c, struct cop_err *err) COP_CHECKED;

/* Warns where tasks ask SLURM for fewer GPUs than cells compute with, which is one, or for more. */
void cop_batch_advise_gpus(const struct cop_experiment *e);

/* Whether the scripts that are there work on this folder: one that was moved or copied must be planned again. */
int cop_batch_check_scripts(const struct cop_run *r, struct cop_err *err) COP_CHECKED;

struct cop_fill {
	const char *name, *value; /* "TIME", "02:00:00" */
};

/* The template with its names filled in; the caller frees. A name that is not among `fill` is COP_EFAILED. */
int cop_batch_fill(const char *template_text, const struct cop_fill *fill, size_t n, char **text, struct cop_err *err)
	COP_CHECKED;

#endif
