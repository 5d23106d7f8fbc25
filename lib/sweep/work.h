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
	int together;                      /* cells that run at the same time and share the GPUs; 0 is 1 */
	const volatile sig_atomic_t *stop; /* set: save and return COP_ESTOPPED; may be NULL */
};

/*
 * The dense run of a replicate: init.h5, step-NNNNNNNN.h5 at each reset point, final.h5, and result.h5 last. One that
 * is done is left alone. Where only checkpoints are missing (the grid has grown, a file was lost) it goes back to the
 * last one before them and no further than to the last that is missing. Errors are noted in the ledger too.
 */
int cop_dense_run(const struct cop_run *r, int64_t replicate, const struct cop_work_options *o, struct cop_err *err)
	COP_CHECKED;

/* Whether a replicate's dense run is done: its result validates and every checkpoint that cells need is there. */
bool cop_dense_done(const struct cop_run *r, int64_t replicate);

/*
 * 0 where it is done. COP_EPARTIAL where it has ended and a checkpoint is missing, which cop_dense_run makes from those
 * that are there; COP_EINPUT where it has no result that can be read. Both say so in `why` (may be NULL).
 */
int cop_dense_look(const struct cop_run *r, int64_t replicate, struct cop_err *why);

/* Whether the checkpoint of a step is there, of this experiment and complete as far as opening it tells. */
bool cop_dense_has(const struct cop_run *r, int64_t replicate, int64_t step);

/*
 * Cell `index`: prune final.h5's weights, or those of the round before; rewind, retrain, test, write
 * RUN/cells/NNNNNN.h5, and the files of the cells that are the same. One that is the same as an earlier cell is that
 * cell's work.
 */
int cop_cell_run(const struct cop_run *r, int64_t index, const struct cop_work_options *o, struct cop_err *err)
	COP_CHECKED;

/*
 * The same for several at once in one process, for a GPU that has room for them: those of one replicate that make the
 * same steps go side by side and read each batch once, as many as fit. Each one's result is what it would be alone, and
 * one that fails leaves the others alone. rc (n), err (n): how each ended.
 */
void cop_cells_run(const struct cop_run *r, const int64_t *index, int n, const struct cop_work_options *o, int *rc,
		   struct cop_err *err);

/*
 * Writes the cells that are the same as cell `index`, which is done: copies of its file that say so (same_as; seconds
 * and joules 0). Those that are done are left alone.
 */
int cop_cell_share(const struct cop_run *r, int64_t index, struct cop_err *err) COP_CHECKED;

/* Whether the cell's file is there, complete, and of this experiment; `err` (may be NULL) says why it is not. */
bool cop_cell_done(const struct cop_run *r, int64_t index, struct cop_err *err);

#endif
