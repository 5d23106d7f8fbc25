/* Sending a run to a scheduler: dense -> cells -> collect, each after the one before. */
#ifndef COP_SWEEP_SUBMIT_H
#define COP_SWEEP_SUBMIT_H

#include "sweep/ledger.h"

struct cop_submit_options {
	const struct cop_scheduler *scheduler;
	bool redo; /* only what is neither done nor in a queue; otherwise anything in a queue is refused */
	int jobs;  /* local: cells at once; 0: one a core */
	/* local: called as cells end; may be NULL */
	void (*cell_ended)(int64_t index, int exit_code, void *user);
	void *user;
};

/* What was submitted. */
struct cop_submission {
	size_t dense, cells;                      /* tasks */
	char first[COP_JOB_ID], last[COP_JOB_ID]; /* ids of the first and the last job */
	size_t jobs;
};

/*
 * Submits what is missing. Two people who submit at once are kept apart by a lock on RUN/jobs. A grid larger than the
 * site's largest array becomes several, one after the other. With `local` it returns when all has ended (without
 * collecting): COP_EPARTIAL where some cells failed, COP_ESTOPPED where it was interrupted.
 */
int cop_submit(const struct cop_run *run, const struct cop_submit_options *o, struct cop_submission *s,
	       struct cop_err *err) COP_CHECKED;

/* Ends whatever of the run is in a queue or runs on this machine; *ended counts jobs and processes. */
int cop_cancel(const struct cop_run *run, size_t *ended, struct cop_err *err) COP_CHECKED;

#endif
