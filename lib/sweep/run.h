/*
 * A run's folder: experiment.json (the resolved experiment, written last by `plan`), cells.json (the grid), dense/,
 * cells/, state/, jobs/, logs/, results.h5. This is where the names of its files are made.
 */
#ifndef COP_SWEEP_RUN_H
#define COP_SWEEP_RUN_H

#include "store/cell.h"
#include "sweep/cells.h"

struct cop_run {
	char *path; /* absolute */
	struct cop_experiment experiment;
	char *text; /* the resolved experiment as JSON */
	char hash[COP_HASH_TEXT];
	int64_t steps_per_epoch, total_steps;
	struct cop_point *cell; /* cell[i].index == i */
	size_t ncells;
};

/* Reads a planned folder. COP_EINPUT where it is none. Release it. */
int cop_run_open(struct cop_run *r, const char *path, struct cop_err *err) COP_CHECKED;
void cop_run_release(struct cop_run *r);

/* Which place of the grid a row says that it has; without `reset`. */
struct cop_point cop_run_point(const struct cop_row *row);

/* Whether a cell's file is of this run and of this point of its grid. */
bool cop_run_owns(const struct cop_run *r, const struct cop_point *p, const struct cop_cell *c);

/* Removes what killed processes of this host left half-written in the run's folders. */
void cop_run_sweep(const struct cop_run *r);

/* Names of files; the caller frees. */
char *cop_run_file(const struct cop_run *r, const char *name);
char *cop_run_checkpoint(const struct cop_run *r, int64_t replicate, int64_t step); /* init, step-…, or final */
char *cop_run_final(const struct cop_run *r, int64_t replicate);
char *cop_run_dense_result(const struct cop_run *r, int64_t replicate);
char *cop_run_cell(const struct cop_run *r, int64_t index);
char *cop_cell_path(const char *run, int64_t index); /* the same, of a run that is not open */
char *cop_run_progress(const struct cop_run *r, bool dense, int64_t number);
char *cop_run_state(const struct cop_run *r, bool dense, int64_t number);

#endif
