/* What dense.c and cell.c share: a trainer with its data, its place in the ledger, and the measures at the end. */
#ifndef COP_SWEEP_WORK_PRIV_H
#define COP_SWEEP_WORK_PRIV_H

#include "nn/trainer.h"
#include "sweep/staging.h"
#include "sweep/state.h"
#include "sweep/work.h"

struct cop_job_work {
	const struct cop_run *run;
	char what[40];      /* "cell 42" */
	char identity[160]; /* what exactly is computed; the caller of cop_work_begin may say it better */
	struct cop_staging staging;
	struct cop_data data;
	struct cop_trainer trainer;
	struct cop_state state;
	char *state_path, *progress_path;
	int cores; /* that it computes with */
	struct cop_energy *energy;
	double noted; /* when the ledger was last written */
};

/* Notes the beginning and makes the trainer ready; whatever it returns, cop_work_end must follow. */
int cop_work_begin(struct cop_job_work *w, const struct cop_run *r, bool dense, int64_t number, int64_t replicate,
		   const struct cop_work_options *o, struct cop_err *err) COP_CHECKED;

/* Fills what was measured into `row`: tests with the weights as they are. */
int cop_work_result(struct cop_job_work *w, struct cop_row *row, struct cop_err *err) COP_CHECKED;

/* Notes the end, frees everything, returns `rc`. On success the ledger's and the progress file go. */
int cop_work_end(struct cop_job_work *w, int rc, const struct cop_err *err);

#endif
