/* Planning; see plan.h. */
#include "sweep/plan.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/glyphs.h"
#include "nn/models.h"
#include "nn/trainer.h"
#include "sweep/batch.h"
#include "sweep/lock.h"
#include "sweep/recover.h"
#include "sweep/staging.h"

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

static bool is_tuned(const struct cop_sweep_config *s)
{
	return cop_ints_hold(&s->retrain, COP_RETRAIN_FINE_TUNE) || cop_ints_hold(&s->controls, COP_RETRAIN_FINE_TUNE);
}

/* Keys that matter to some cells alone must stay where there are such cells. */
static int compare_settings(const struct cop_sweep_config *a, const struct cop_sweep_config *b, const char *path,
			    struct cop_err *err)
{
	bool tuned = is_tuned(a);
	bool scored = false;
	for (size_t i = 0; i < a->criterion.n; i++)
		scored = scored || cop_criterion_needs((enum cop_criterion)a->criterion.v[i]).samples;
	const char *key = tuned && a->fine_tune_lr != b->fine_tune_lr      ? "sweep.fine_tune_lr"
			  : scored && a->score_batches != b->score_batches ? "sweep.score_batches"
									   : NULL;
	return key ? cop_fail(err, COP_EINPUT,
			      "'%s' belongs to another experiment: %s differs; plan into another folder", path, key)
		   : 0;
}

/* In rounds a control has the masks of the first way to retrain, and each other way its own. */
static int compare_chains(const struct cop_sweep_config *a, const struct cop_sweep_config *b, const char *path,
			  struct cop_err *err)
{
	bool same = a->retrain.v[0] == b->retrain.v[0];
	for (size_t i = 0; i < a->retrain.n; i++)
		same = same && !cop_ints_hold(&b->controls, a->retrain.v[i]);
	for (size_t i = 0; i < a->controls.n; i++)
		same = same && !cop_ints_hold(&b->retrain, a->controls.v[i]);
	return same ? 0
		    : cop_fail(err, COP_EINPUT,
			       "'%s' belongs to another experiment: with rounds the first of 'sweep.retrain' makes the "
			       "masks of 'sweep.controls', and none may change sides; plan into another folder",
			       path);
}

/* Two experiments may share a folder where what a cell computes is the same. */
static int compare_earlier(const struct cop_experiment *was, const struct cop_experiment *e, const char *path,
			   struct cop_err *err)
{
	char keys[512] = "";
	const struct cop_sweep_config *a = &was->sweep, *b = &e->sweep;
	if (!cop_params_same(&cop_experiment_params, was, e, COP_PARAM_COMPUTES, keys, sizeof(keys)))
		return cop_fail(err, COP_EINPUT,
				"'%s' belongs to another experiment: %s differ; plan into another folder", path, keys);
	if ((a->rounds > 1) != (b->rounds > 1))
		return cop_fail(err, COP_EINPUT,
				"'%s' belongs to another experiment: sweep.rounds was %" PRId64
				", and one shot is not the first of several rounds; plan into another folder",
				path, a->rounds);
	if (a->rounds > 1 && (a->quantiles.n > b->quantiles.n ||
			      memcmp(a->quantiles.v, b->quantiles.v, a->quantiles.n * sizeof(double)) != 0))
		return cop_fail(err, COP_EINPUT,
				"'%s' belongs to another experiment: sweep.quantiles differ, and with rounds further "
				"ones may only follow; plan into another folder",
				path);
	int rc = compare_settings(a, b, path, err);
	return rc || a->rounds == 1 ? rc : compare_chains(a, b, path, err);
}

/* The list of an earlier plan's cells; where it is lost or damaged their results tell the numbers. */
static int read_grid(const struct cop_experiment *was, const char *path, int64_t steps_per_epoch,
		     struct cop_cells *earlier, struct cop_err *err)
{
	struct cop_err why = {0};
	char *file = cop_xasprintf("%s/cells.json", path);
	int rc = cop_cells_read(earlier, file, was, &why);
	free(file);
	if (!rc)
		return 0;
	if (why.code != COP_EINPUT)
		return cop_fail(err, why.code, "%s", why.msg);
	size_t known = 0;
	rc = cop_cells_recover(earlier, was, path, steps_per_epoch, &known, err);
	if (!rc)
		cop_warn("%s: %zu of %zu cells keep the numbers that their results have, the others are numbered anew",
			 why.msg, known, earlier->n);
	return rc;
}

/* *earlier becomes the grid of an earlier plan of the folder, whose cells keep their numbers. */
static int read_earlier(const struct cop_experiment *e, const char *path, int64_t steps_per_epoch,
			struct cop_cells *earlier, struct cop_err *err)
{
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
	rc = compare_earlier(&was, e, path, err);
	if (!rc)
		rc = read_grid(&was, path, steps_per_epoch, earlier, err);
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

/* The run as it will be read back, of what belongs to others; free its text. */
static struct cop_run run_of(const struct cop_experiment *e, const char *path, const struct cop_cells *grid)
{
	struct cop_run run = {.path = (char *)(uintptr_t)path,
			      .experiment = *e,
			      .text = cop_experiment_text(e),
			      .steps_per_epoch = grid->steps_per_epoch,
			      .total_steps = grid->total_steps,
			      .cell = grid->cell,
			      .ncells = grid->n};
	cop_experiment_hash(e, run.hash);
	return run;
}

static int ask(const struct cop_plan_consent *consent, const struct cop_run *run, const struct cop_data_config *data,
	       struct cop_err *err)
{
	struct cop_run with_data = *run;
	with_data.experiment.data.path = data->path;
	return consent ? consent->ask(&with_data, consent->user, err) : 0;
}

static int write_run(const struct cop_run *run, const struct cop_cells *grid, struct cop_err *err)
{
	char *file = cop_run_file(run, "experiment.json"), *cells = cop_run_file(run, "cells.json");
	int rc = make_folders(run->path, err);
	if (!rc)
		rc = cop_cells_write(grid, cells, err);
	if (!rc)
		rc = cop_batch_write(run, err);
	/* last: a folder with an experiment in it is a whole plan */
	if (!rc)
		rc = cop_write_file(file, run->text, strlen(run->text), err);
	free(cells);
	free(file);
	return rc;
}

/* A GPU that is not here may be where the work is done; what cannot be anywhere is refused. */
static int check_device(const struct cop_experiment *e, struct cop_err *err)
{
	struct cop_err why = {0};
	bool gpu;
	int rc = cop_backend_probe(&e->device.choice, &gpu, &why);
	if (rc == COP_EMISSING && e->device.choice.kind == COP_DEVICE_CUDA) {
		cop_warn("%s: there must be one where the work is done", why.msg);
		return 0;
	}
	return rc ? cop_fail(err, rc, "%s", why.msg) : 0;
}

/* Settings that would come to nothing, found before anything is trained with them; runs that have them go on. */
static int check_use(const struct cop_experiment *e, struct cop_err *err)
{
	if (e->sweep.children > 1 && !e->sweep.keep_weights)
		return cop_fail(err, COP_EINPUT,
				"'sweep.children' needs 'sweep.keep_weights': lines are between the weights that "
				"children ended with");
	if (e->train.test_early_stop && !e->data.validation)
		return cop_fail(err, COP_EINPUT,
				"'train.test_early_stop' needs 'data.validation': the early stop is where the "
				"validation loss is least");
	return 0;
}

/* A cosine's last rate trains nothing. */
#define LAST_RATE 0.01
static void warn_of_last_rate(const struct cop_experiment *e, const struct cop_schedule *s)
{
	const struct cop_sweep_config *w = &e->sweep;
	if (is_tuned(w) && !(w->fine_tune_lr > 0) && s->after < LAST_RATE * e->train.lr)
		cop_warn("'fine-tune' trains with the schedule's last learning rate, %.3g, which changes next to "
			 "nothing: 'sweep.fine_tune_lr' sets another",
			 s->after);
}

/* The network must exist, and the schedule fit, before anything is written. Release *graph. */
static int check_training(const struct cop_experiment *e, const struct cop_dataset_info *info, int64_t steps_per_epoch,
			  struct cop_graph *graph, struct cop_err *err)
{
	struct cop_schedule schedule = {0};
	int rc = check_device(e, err);
	if (!rc)
		rc = check_use(e, err);
	if (rc)
		return rc;
	if (steps_per_epoch < 1)
		return cop_fail(err, COP_EINPUT,
				"'train.batch' is %" PRId64 ", but dataset '%s' has only %" PRId64
				" images to train on",
				e->train.batch, e->data.path, info->n[COP_SPLIT_TRAIN] - e->data.validation);
	rc = cop_model_build(graph, &e->model, info->channels, info->height, info->width, info->nclasses, err);
	if (!rc)
		rc = cop_schedule_init(&schedule, &e->train, steps_per_epoch, err);
	if (!rc)
		warn_of_last_rate(e, &schedule);
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

static int agree_and_write(const struct cop_experiment *e, const char *path, const struct cop_data_config *data,
			   const struct cop_cells *grid, const struct cop_plan_consent *consent, struct cop_err *err)
{
	struct cop_run run = run_of(e, path, grid);
	int rc = ask(consent, &run, data, err);
	if (!rc)
		rc = write_run(&run, grid, err);
	if (!rc)
		cop_staging_advise(e->device.stage);
	free(run.text);
	return rc;
}

/* That the network has the layers of 'sweep.rates', and that each quantile can be cut of it. */
static int check_allocation(const struct cop_experiment *e, const struct cop_layout *params, struct cop_err *err)
{
	struct cop_allocation a;
	int rc = 0;
	for (size_t i = 0; i < e->sweep.quantiles.n && !rc; i++) {
		rc = cop_experiment_allocate(e, params, e->sweep.quantiles.v[i], &a, err);
		cop_allocation_release(&a);
	}
	return rc ? cop_context(err, "'sweep.scope', 'sweep.rates'") : 0;
}

static int plan_into(struct cop_experiment *e, const char *path, const struct cop_data_config *data,
		     const struct cop_plan_consent *consent, struct cop_err *err)
{
	struct cop_dataset_info info;
	int rc = cop_data_check(data, &info, err);
	if (rc)
		return rc;
	free(e->data.fingerprint);
	e->data.fingerprint = cop_xstrdup(info.fingerprint);
	struct cop_cells grid = {0}, earlier = {0};
	struct cop_graph graph = {0};
	int64_t steps_per_epoch = cop_steps_per_epoch(&info, data, e->train.batch);
	rc = cop_batch_check(&e->slurm, err);
	if (!rc)
		rc = check_labels(&info, err);
	if (!rc)
		rc = check_training(e, &info, steps_per_epoch, &graph, err);
	if (!rc)
		rc = check_allocation(e, &graph.params, err);
	if (!rc)
		rc = read_earlier(e, path, steps_per_epoch, &earlier, err);
	if (!rc)
		rc = cop_cells_make(&grid, e, steps_per_epoch, &graph.params, &earlier, err);
	if (!rc)
		rc = agree_and_write(e, path, data, &grid, consent, err);
	cop_cells_release(&earlier);
	cop_cells_release(&grid);
	cop_graph_release(&graph);
	cop_dataset_info_release(&info);
	return rc;
}

/* The nearest folder above or at `path` that is there; the caller frees. */
static char *standing(const char *path)
{
	char *at = cop_xstrdup(path);
	while (!cop_exists(at)) {
		char *above = cop_folder_of(at);
		free(at);
		at = above;
	}
	return at;
}

/* Removes `path` and those above it, up to `ground`, as far as they hold nothing. */
static void remove_empty(const char *path, const char *ground)
{
	char *at = cop_xstrdup(path);
	while (strcmp(at, ground) != 0 && strlen(at) > strlen(ground)) {
		cop_remove_if_empty(at);
		char *above = cop_folder_of(at);
		free(at);
		at = above;
	}
	free(at);
}

/* Nobody may submit a grid while it grows. */
static int lock_grid(struct cop_lock *lock, const char *run, struct cop_err *err)
{
	char *earlier = cop_xasprintf("%s/experiment.json", run);
	int rc = cop_exists(earlier) ? cop_lock_take(lock, run, err) : 0;
	free(earlier);
	return rc;
}

int cop_plan(struct cop_experiment *e, const char *path, const struct cop_plan_consent *consent, struct cop_err *err)
{
	bool drawn = false;
	struct cop_data_config data = {0};
	struct cop_lock lock = {.fd = -1};
	/* its real name has a folder only when it is there */
	char *given = cop_absolute(path), *ground = standing(given), *run = NULL;
	int rc = cop_mkdirs(given, err);
	if (!rc) {
		run = cop_absolute(given);
		rc = lock_grid(&lock, run, err);
	}
	if (!rc)
		rc = resolve_data(e, run, &data, &drawn, err);
	if (!rc)
		rc = plan_into(e, run, &data, consent, err);
	if (rc && drawn)
		cop_remove(data.path);
	if (rc)
		remove_empty(given, ground);
	cop_lock_give(&lock);
	free(data.path);
	free(ground);
	free(given);
	free(run);
	return rc;
}
