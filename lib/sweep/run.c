/* A run's folder; see run.h. */
#include "sweep/run.h"

#include "base/file.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int read_experiment(struct cop_run *r, struct cop_err *err)
{
	char *path = cop_run_file(r, "experiment.json");
	size_t len;
	int rc = 0;
	if (!cop_exists(path))
		rc = cop_fail(err, COP_EINPUT,
			      "'%s' is no planned run: it has no experiment.json (make one with 'coppice plan')",
			      r->path);
	if (!rc)
		rc = cop_read_file(path, &r->text, &len, err);
	if (!rc)
		rc = cop_experiment_load(&r->experiment, r->text, path, NULL, 0, err);
	if (!rc) {
		cop_experiment_hash(&r->experiment, r->hash);
		if (strcmp(r->experiment.data.path, COP_DATA_GLYPHS) == 0) {
			free(r->experiment.data.path);
			r->experiment.data.path = cop_run_file(r, "data.h5");
		}
	}
	free(path);
	return rc;
}

static int read_run(struct cop_run *r, struct cop_err *err)
{
	struct cop_cells grid = {0};
	char *cells = cop_run_file(r, "cells.json");
	int rc = read_experiment(r, err);
	if (!rc)
		rc = cop_cells_read(&grid, cells, &r->experiment, err);
	if (rc == COP_EINPUT && r->text)
		rc = cop_context(err,
				 "the grid is lost or damaged ('coppice plan' makes it again, by what results say)");
	if (!rc) {
		r->steps_per_epoch = grid.steps_per_epoch;
		r->total_steps = grid.total_steps;
		r->cell = grid.cell;
		r->ncells = grid.n;
	}
	free(cells);
	return rc;
}

int cop_run_open(struct cop_run *r, const char *path, struct cop_err *err)
{
	enum { TRIES = 4, PAUSE = 50000000 };
	int rc = 0;
	/* the grid may be growing just now: its two files are renamed one after the other */
	for (int try = 1; try <= TRIES; try++) {
		*r = (struct cop_run){.path = cop_absolute(path)};
		rc = read_run(r, err);
		if (!rc)
			return 0;
		bool planned = r->text != NULL;
		cop_run_release(r);
		if (!planned)
			break;
		nanosleep(&(struct timespec){.tv_nsec = PAUSE}, NULL);
	}
	return rc;
}

void cop_run_release(struct cop_run *r)
{
	struct cop_cells grid = {.cell = r->cell, .n = r->ncells};
	cop_experiment_release(&r->experiment);
	cop_cells_release(&grid);
	free(r->text);
	free(r->path);
	*r = (struct cop_run){0};
}

/* The first choice goes without saying. */
static int word_of(const char *choices, const char *word)
{
	return *word ? cop_choice_find(choices, word) : 0;
}

struct cop_point cop_run_point(const struct cop_row *row)
{
	return (struct cop_point){.index = row->index,
				  .replicate = row->replicate,
				  .round = row->round,
				  .quantile = row->quantile,
				  .reset_step = row->reset_step,
				  .criterion = word_of(COP_CRITERION_CHOICES, row->criterion),
				  .retrain = word_of(COP_RETRAIN_CHOICES, row->retrain),
				  .child = row->child,
				  .same_as = -1,
				  .before = -1};
}

bool cop_run_owns(const struct cop_run *r, const struct cop_point *p, const struct cop_cell *c)
{
	const struct cop_point said = cop_run_point(&c->row);
	return strcmp(c->hash, r->hash) == 0 && said.index == p->index && cop_point_same(&said, p);
}

void cop_run_sweep(const struct cop_run *r)
{
	static const char *const names[] = {".", "cells", "connect", "state", "jobs"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *folder = cop_run_file(r, names[i]);
		cop_temporaries_sweep(folder);
		free(folder);
	}
	for (int64_t k = 0; k < r->experiment.sweep.replicates; k++) {
		char *folder = cop_xasprintf("%s/dense/%" PRId64, r->path, k);
		cop_temporaries_sweep(folder);
		free(folder);
	}
}

char *cop_run_file(const struct cop_run *r, const char *name)
{
	return cop_xasprintf("%s/%s", r->path, name);
}

char *cop_run_checkpoint(const struct cop_run *r, int64_t replicate, int64_t step)
{
	if (step == 0)
		return cop_xasprintf("%s/dense/%" PRId64 "/init.h5", r->path, replicate);
	if (step == r->total_steps)
		return cop_run_final(r, replicate);
	return cop_xasprintf("%s/dense/%" PRId64 "/step-%08" PRId64 ".h5", r->path, replicate, step);
}

char *cop_run_final(const struct cop_run *r, int64_t replicate)
{
	return cop_xasprintf("%s/dense/%" PRId64 "/final.h5", r->path, replicate);
}

char *cop_run_dense_result(const struct cop_run *r, int64_t replicate)
{
	return cop_xasprintf("%s/dense/%" PRId64 "/result.h5", r->path, replicate);
}

char *cop_cell_path(const char *run, int64_t index)
{
	return cop_xasprintf("%s/cells/%06" PRId64 ".h5", run, index);
}

char *cop_run_cell(const struct cop_run *r, int64_t index)
{
	return cop_cell_path(r->path, index);
}

char *cop_run_progress(const struct cop_run *r, bool dense, int64_t number)
{
	if (dense)
		return cop_xasprintf("%s/state/dense-%" PRId64 ".h5", r->path, number);
	return cop_xasprintf("%s/state/%06" PRId64 ".h5", r->path, number);
}

char *cop_run_state(const struct cop_run *r, bool dense, int64_t number)
{
	if (dense)
		return cop_xasprintf("%s/state/dense-%" PRId64 ".json", r->path, number);
	return cop_xasprintf("%s/state/%06" PRId64 ".json", r->path, number);
}
