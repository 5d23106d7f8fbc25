/*
 * The work of a sweep: dense runs and cells. Each can be killed at any moment and begun again anywhere; what it leaves
 * has the same bits as if it had never been disturbed.
 */
#ifndef COP_SWEEP_WORK_H
#define COP_SWEEP_WORK_H

#include "sweep/run.h"

#include <signal.h>

struct cop_work_options {
	int threads;                       /* 0: what the experiment says */
	const volatile sig_atomic_t *stop; /* set: save and return COP_ESTOPPED; may be NULL */
};

/*
 * The dense run of a replicate: init.h5, step-NNNNNNNN.h5 at each reset point, final.h5, and result.h5 last. One that
 * is done is left alone. Errors are noted in the ledger too.
 */
int cop_dense_run(const struct cop_run *r, int64_t replicate, const struct cop_work_options *o, struct cop_err *err)
	COP_CHECKED;

/* Whether a replicate's dense run is done: its result validates and every checkpoint that cells need is there. */
bool cop_dense_done(const struct cop_run *r, int64_t replicate);

/* Cell `index`: prune final.h5's weights, rewind, retrain, test, write RUN/cells/NNNNNN.h5. */
int cop_cell_run(const struct cop_run *r, int64_t index, const struct cop_work_options *o, struct cop_err *err)
	COP_CHECKED;

/* Whether the cell's file is there, complete, and of this experiment; `err` (may be NULL) says why it is not. */
bool cop_cell_done(const struct cop_run *r, int64_t index, struct cop_err *err);

#endif
