/* A run's folder; see run.h. */
#include "sweep/run.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "nn/schedule.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int read_cell(struct cop_run *r, size_t i, const cJSON *item, const char *path, struct cop_err *err)
{
	struct cop_point *p = &r->cell[i];
	*p = (struct cop_point){
		.index = (int64_t)cop_json_num(item, "index", -1),
		.replicate = (int64_t)cop_json_num(item, "replicate", -1),
		.quantile = cop_json_num(item, "quantile", -1),
		.reset_step = (int64_t)cop_json_num(item, "reset_step", -1),
		.reset = cop_xstrdup(cop_json_str(item, "reset", "")),
	};
	const struct cop_sweep_config *g = &r->experiment.sweep;
	size_t k = i % g->reset.n, q = i / g->reset.n % g->quantiles.n, replicate = i / g->reset.n / g->quantiles.n;
	int64_t step = -1;
	int rc = cop_point_parse("sweep.reset", g->reset.v[k], r->steps_per_epoch, &step, err);
	if (!rc && (p->index != (int64_t)i || p->replicate != (int64_t)replicate || p->quantile != g->quantiles.v[q] ||
		    strcmp(p->reset, g->reset.v[k]) != 0 || p->reset_step != step || step > r->total_steps))
		rc = cop_fail(err, COP_EINPUT, "'%s': cell %zu is not what experiment.json says; plan again", path, i);
	return rc;
}

static int read_cells(struct cop_run *r, const cJSON *root, const char *path, struct cop_err *err)
{
	r->steps_per_epoch = (int64_t)cop_json_num(root, "steps_per_epoch", 0);
	r->total_steps = (int64_t)cop_json_num(root, "total_steps", -1);
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, "cells"), *item;
	if (!cJSON_IsArray(list) || r->steps_per_epoch < 1 || r->total_steps < 0)
		return cop_fail(err, COP_EINPUT, "'%s' is damaged; plan again", path);
	r->cell = cop_xcalloc((size_t)cJSON_GetArraySize(list), sizeof(*r->cell));
	int rc = 0;
	cJSON_ArrayForEach (item, list) {
		rc = read_cell(r, r->ncells++, item, path, err);
		if (rc)
			break;
	}
	return rc;
}

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

int cop_run_open(struct cop_run *r, const char *path, struct cop_err *err)
{
	*r = (struct cop_run){.path = cop_absolute(path)};
	cJSON *root = NULL;
	char *cells = cop_run_file(r, "cells.json");
	int rc = read_experiment(r, err);
	if (!rc)
		rc = cop_json_read(cells, &root, err);
	if (!rc)
		rc = read_cells(r, root, cells, err);
	cJSON_Delete(root);
	free(cells);
	if (rc)
		cop_run_release(r);
	return rc;
}

void cop_run_release(struct cop_run *r)
{
	cop_experiment_release(&r->experiment);
	for (size_t i = 0; i < r->ncells; i++)
		free(r->cell[i].reset);
	free(r->cell);
	free(r->text);
	free(r->path);
	*r = (struct cop_run){0};
}

bool cop_run_owns(const struct cop_run *r, const struct cop_point *p, const struct cop_cell *c)
{
	return strcmp(c->hash, r->hash) == 0 && c->row.index == p->index && c->row.replicate == p->replicate &&
	       c->row.quantile == p->quantile && c->row.reset_step == p->reset_step;
}

void cop_run_sweep(const struct cop_run *r)
{
	static const char *const names[] = {".", "cells", "state", "jobs"};
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

char *cop_run_cell(const struct cop_run *r, int64_t index)
{
	return cop_xasprintf("%s/cells/%06" PRId64 ".h5", r->path, index);
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
