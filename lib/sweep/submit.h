/* Sending a run to a scheduler: dense -> cells -> collect, each after what it needs. */
#ifndef COP_SWEEP_SUBMIT_H
#define COP_SWEEP_SUBMIT_H

#include "sweep/ledger.h"

enum cop_submit_mode {
	COP_SUBMIT_ALL,  /* all that is not done; while something is in a queue: what was never submitted */
	COP_SUBMIT_REDO, /* what is missing, failed, lost or stuck, beside what goes on */
	COP_SUBMIT_REST  /* what was never submitted; nothing is no error */
};

struct cop_submit_options {
	const struct cop_scheduler *scheduler;
	enum cop_submit_mode mode;
	int jobs; /* local: cells at once; 0: one a core, on a GPU one */
	/* local: called as cells end; may be NULL */
	void (*cell_ended)(int64_t index, int exit_code, void *user);
	void *user;
};

/* What was submitted. */
struct cop_submission {
	size_t dense, cells; /* dense runs and cells */
	size_t rest;         /* cells that are to follow: the queue is full */
	size_t stuck;  /* cells that cannot come: what they need came to nothing, and this submission leaves it so */
	char why[640]; /* of those what it was, "dense run 1 failed: ..." */
	bool next;     /* a job will submit them */
	char first[COP_JOB_ID], last[COP_JOB_ID]; /* ids of the first and the last job */
	size_t jobs;
};

/*
 * Submits what is missing. Two people who submit at once are kept apart by a lock. A grid that is larger than the
 * site's largest array becomes several; what the queue does not take now waits, and a job that comes after the first of
 * them submits it. COP_EINPUT: nothing to submit, all of it being under way. COP_EFULL: the queue takes nothing at all;
 * for COP_SUBMIT_REST, which a job does, that is COP_ESTOPPED. With `local` it returns when all has ended (without
 * collecting): COP_EPARTIAL where some cells failed, COP_ESTOPPED where it was interrupted.
 */
int cop_submit(const struct cop_run *run, const struct cop_submit_options *o, struct cop_submission *s,
	       struct cop_err *err) COP_CHECKED;

/* Ends whatever of the run is in a queue or runs on this machine; *ended counts jobs and processes. */
int cop_cancel(const struct cop_run *run, size_t *ended, struct cop_err *err) COP_CHECKED;

#endif
