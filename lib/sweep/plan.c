/* Planning; see plan.h. */
#include "sweep/plan.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "data/glyphs.h"
#include "nn/models.h"
#include "nn/trainer.h"
#include "sweep/batch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Makes the dataset's path absolute, so that jobs find it from wherever they start. The built-in digits are drawn into
 * the run's folder where they are not there yet; *drawn says so. The experiment goes on calling them by their name.
 */
static int resolve_data(struct cop_experiment *e, const char *run, struct cop_data_config *data, bool *drawn,
			struct cop_err *err)
{
	int rc = 0;
	bool glyphs = strcmp(e->data.path, COP_DATA_GLYPHS) == 0;
	char *path = glyphs ? cop_xasprintf("%s/data.h5", run) : cop_absolute(e->data.path);
	if (glyphs && !cop_exists(path)) {
		int64_t n[COP_SPLITS] = {e->glyphs.train, e->glyphs.test};
		rc = cop_glyphs_pack(path, n, (uint64_t)e->glyphs.seed, err);
		*drawn = !rc;
	}
	if (!glyphs) {
		free(e->data.path);
		e->data.path = cop_xstrdup(path);
	}
	*data = e->data;
	data->path = path;
	return rc;
}

/* Every reset point as a step; equal ones and ones beyond the end are refused. */
static int reset_steps(const struct cop_experiment *e, int64_t steps_per_epoch, int64_t *step, struct cop_err *err)
{
	int64_t total = e->train.epochs * steps_per_epoch;
	for (size_t i = 0; i < e->sweep.reset.n; i++) {
		const char *text = e->sweep.reset.v[i];
		int rc = cop_point_parse("sweep.reset", text, steps_per_epoch, &step[i], err);
		if (rc)
			return rc;
		if (step[i] > total)
			return cop_fail(err, COP_EINPUT,
					"'sweep.reset' holds '%s', which is after the last epoch (%" PRId64
					" epochs, %" PRId64 " steps)",
					text, e->train.epochs, total);
		for (size_t j = 0; j < i; j++)
			if (step[j] == step[i])
				return cop_fail(err, COP_EINPUT,
						"'sweep.reset' holds '%s' and '%s', which are the same step %" PRId64,
						e->sweep.reset.v[j], text, step[i]);
	}
	return 0;
}

static void add_cell(cJSON *list, int64_t index, int64_t replicate, double q, const char *reset, int64_t step)
{
	cJSON *c = cJSON_CreateObject();
	cJSON_AddNumberToObject(c, "index", (double)index);
	cJSON_AddNumberToObject(c, "replicate", (double)replicate);
	cJSON_AddNumberToObject(c, "quantile", q);
	cJSON_AddStringToObject(c, "reset", reset);
	cJSON_AddNumberToObject(c, "reset_step", (double)step);
	cJSON_AddItemToArray(list, c);
}

/* Replicates outermost, so the cells of one dense run stand together. */
static int write_cells(const struct cop_experiment *e, const char *path, int64_t steps_per_epoch, const int64_t *step,
		       struct cop_err *err)
{
	cJSON *root = cJSON_CreateObject();
	cJSON_AddNumberToObject(root, "steps_per_epoch", (double)steps_per_epoch);
	cJSON_AddNumberToObject(root, "total_steps", (double)(e->train.epochs * steps_per_epoch));
	cJSON *list = cJSON_AddArrayToObject(root, "cells");
	int64_t index = 0;
	for (int64_t r = 0; r < e->sweep.replicates; r++)
		for (size_t q = 0; q < e->sweep.quantiles.n; q++)
			for (size_t k = 0; k < e->sweep.reset.n; k++)
				add_cell(list, index++, r, e->sweep.quantiles.v[q], e->sweep.reset.v[k], step[k]);
	char *file = cop_xasprintf("%s/cells.json", path);
	int rc = cop_json_write(file, root, err);
	free(file);
	cJSON_Delete(root);
	return rc;
}

/* An earlier plan of the folder must be of the same work. Where things run may differ. */
static int check_earlier(const struct cop_experiment *e, const char *path, struct cop_err *err)
{
	char keys[512], grid[512];
	struct cop_experiment was;
	char *file = cop_xasprintf("%s/experiment.json", path), *text = NULL;
	size_t len;
	int rc = 0;
	if (!cop_exists(file))
		goto out;
	rc = cop_read_file(file, &text, &len, err);
	if (!rc)
		rc = cop_experiment_load(&was, text, file, NULL, 0, err);
	if (rc)
		goto out;
	static const struct cop_param grid_table[] = {
		{"sweep.quantiles", COP_PARAM_REALS, offsetof(struct cop_experiment, sweep.quantiles), NULL, 0, 0, NULL,
		 NULL, 0},
		{"sweep.reset", COP_PARAM_STRINGS, offsetof(struct cop_experiment, sweep.reset), NULL, 0, 0, NULL, NULL,
		 0},
		{"sweep.replicates", COP_PARAM_INT, offsetof(struct cop_experiment, sweep.replicates), NULL, 0, 0, NULL,
		 NULL, 0},
	};
	static const struct cop_params grid_params = {grid_table, 3};
	bool same = cop_params_same(&cop_experiment_params, &was, e, COP_PARAM_COMPUTES, keys, sizeof(keys));
	bool same_grid = cop_params_same(&grid_params, &was, e, 0, grid, sizeof(grid));
	if (!same || !same_grid)
		rc = cop_fail(err, COP_EINPUT,
			      "'%s' belongs to another experiment: %s%s%s differ; plan into another folder", path, keys,
			      same || same_grid ? "" : ", ", grid);
	cop_experiment_release(&was);
out:
	free(text);
	free(file);
	return rc;
}

static int make_folders(const char *path, struct cop_err *err)
{
	static const char *const names[] = {"dense", "cells", "state", "jobs", "logs"};
	int rc = 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !rc; i++) {
		char *folder = cop_xasprintf("%s/%s", path, names[i]);
		rc = cop_mkdirs(folder, err);
		free(folder);
	}
	return rc;
}

static int write_run(const struct cop_experiment *e, const char *path, int64_t steps_per_epoch, const int64_t *step,
		     struct cop_err *err)
{
	char *text = cop_experiment_text(e), *file = cop_xasprintf("%s/experiment.json", path);
	struct cop_run run = {.path = (char *)(uintptr_t)path,
			      .experiment = *e,
			      .ncells = e->sweep.quantiles.n * e->sweep.reset.n * (size_t)e->sweep.replicates};
	int rc = make_folders(path, err);
	if (!rc)
		rc = write_cells(e, path, steps_per_epoch, step, err);
	if (!rc)
		rc = cop_batch_write(&run, err);
	/* last: a folder with an experiment in it is a whole plan */
	if (!rc)
		rc = cop_write_file(file, text, strlen(text), err);
	free(file);
	free(text);
	return rc;
}

/* The network must exist, and the schedule fit, before anything is written. */
static int check_training(const struct cop_experiment *e, const struct cop_dataset_info *info, int64_t steps_per_epoch,
			  struct cop_err *err)
{
	struct cop_graph graph = {0};
	struct cop_schedule schedule = {0};
	const struct cop_backend *backend;
	int rc = cop_backend_open(e->device.kind, &backend, err);
	if (rc)
		return rc;
	if (steps_per_epoch < 1)
		return cop_fail(err, COP_EINPUT,
				"'train.batch' is %" PRId64 ", but dataset '%s' has only %" PRId64
				" images to train on",
				e->train.batch, e->data.path, info->n[COP_SPLIT_TRAIN] - e->data.validation);
	rc = cop_model_build(&graph, &e->model, info->channels, info->height, info->width, info->nclasses, err);
	if (!rc)
		rc = cop_schedule_init(&schedule, &e->train, steps_per_epoch, err);
	cop_graph_release(&graph);
	cop_schedule_release(&schedule);
	return rc;
}

/* Both splits have images, and every label is one of the classes. */
static int check_labels(const struct cop_dataset_info *info, struct cop_err *err)
{
	int rc = 0;
	for (int split = 0; split < COP_SPLITS && !rc; split++) {
		int32_t *labels = NULL;
		rc = cop_dataset_read_labels(info, (enum cop_split)split, &labels, err);
		free(labels);
	}
	return rc;
}

static int plan_into(struct cop_experiment *e, const char *run, const struct cop_data_config *data, struct cop_err *err)
{
	struct cop_dataset_info info;
	int rc = cop_data_check(data, &info, err);
	if (rc)
		return rc;
	free(e->data.fingerprint);
	e->data.fingerprint = cop_xstrdup(info.fingerprint);
	int64_t *step = cop_xcalloc(e->sweep.reset.n, sizeof(*step));
	int64_t steps_per_epoch = cop_steps_per_epoch(&info, data, e->train.batch);
	rc = cop_batch_check(&e->slurm, err);
	if (!rc)
		rc = check_labels(&info, err);
	if (!rc)
		rc = check_training(e, &info, steps_per_epoch, err);
	if (!rc)
		rc = reset_steps(e, steps_per_epoch, step, err);
	if (!rc)
		rc = check_earlier(e, run, err);
	if (!rc)
		rc = write_run(e, run, steps_per_epoch, step, err);
	free(step);
	cop_dataset_info_release(&info);
	return rc;
}

int cop_plan(struct cop_experiment *e, const char *path, struct cop_err *err)
{
	bool made = !cop_exists(path), drawn = false;
	int rc = cop_mkdirs(path, err);
	if (rc)
		return rc;
	struct cop_data_config data = {0};
	char *run = cop_absolute(path);
	rc = resolve_data(e, run, &data, &drawn, err);
	if (!rc)
		rc = plan_into(e, run, &data, err);
	if (rc && drawn)
		cop_remove(data.path);
	if (rc && made)
		cop_remove_if_empty(run);
	free(data.path);
	free(run);
	return rc;
}
