/* What dense.c and cell.c share: a trainer with its data, its place in the ledger, and the measures at the end. */
#ifndef COP_SWEEP_WORK_PRIV_H
#define COP_SWEEP_WORK_PRIV_H

#include "nn/trainer.h"
#include "sweep/staging.h"
#include "sweep/state.h"
#include "sweep/work.h"

enum cop_claim {
	COP_CLAIM_NONE, /* could not say that it begins */
	COP_CLAIM_HELD,
	COP_CLAIM_LOST, /* another process has taken the work over */
	COP_CLAIM_DONE  /* another process has finished it */
};

struct cop_job_work {
	const struct cop_run *run;
	bool dense;
	int64_t number; /* of the cell, or the replicate */
	enum cop_claim claim;
	char what[40];      /* "cell 42" */
	char identity[256]; /* what exactly is computed; the caller of cop_work_begin may say it better */
	struct cop_staging staging;
	struct cop_train_config train;
	struct cop_data data; /* its own; one beside another reads that one's */
	struct cop_trainer trainer;
	struct cop_state state;
	char *state_path, *progress_path;
	int cores; /* that it computes with */
	struct cop_energy *energy;
	double noted;          /* when the ledger was last written */
	double result_changed; /* when the result file was, as last seen; 0: it was not there */
};

/*
 * Notes the beginning and makes the trainer ready, with `train`; whatever it returns, cop_work_end must follow. `lead`:
 * work with equal `train` on a device, to go beside (see cop_trainer_init_beside); it must end last. NULL: none.
 */
int cop_work_begin(struct cop_job_work *w, const struct cop_run *r, bool dense, int64_t number,
		   const struct cop_train_config *train, struct cop_job_work *lead, const struct cop_work_options *o,
		   struct cop_err *err) COP_CHECKED;

/* Fills what was measured into `row`: tests with the weights as they are. */
int cop_work_result(struct cop_job_work *w, struct cop_row *row, struct cop_err *err) COP_CHECKED;

/*
 * Notes the end, frees everything, returns `rc`. On success the ledger's and the progress file go. What another process
 * has taken over is COP_EFAILED, whatever it was, and nothing is noted; what another has finished is 0.
 */
int cop_work_end(struct cop_job_work *w, int rc, struct cop_err *err);

/* Writes the state down. Where it cannot be, a warning says so. */
void cop_work_note(struct cop_job_work *w);

/* Whether this process still owns the work; COP_EFAILED, and `claim` is changed, where it must end. */
int cop_work_check(struct cop_job_work *w, struct cop_err *err) COP_CHECKED;

/* The trainer's: checks and notes every few seconds. */
int cop_work_heartbeat(const struct cop_trainer *t, void *user, struct cop_err *err) COP_CHECKED;

#endif
