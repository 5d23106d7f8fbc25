/* The dense run; see work.h. */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/order.h"
#include "sweep/fetch.h"
#include "sweep/ticket.h"
#include "sweep/work_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The steps to save at, ascending, each once: initialisation, the reset points, the end. */
static int64_t *save_points(const struct cop_run *r, size_t *n)
{
	int64_t *at = cop_xcalloc(r->ncells + 2, sizeof(*at));
	size_t count = 0, kept = 0;
	for (size_t i = 0; i < r->ncells; i++)
		at[count++] = r->cell[i].reset_step;
	at[count++] = 0;
	at[count++] = r->total_steps;
	qsort(at, count, sizeof(*at), cop_compare_ints);
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || at[i] != at[kept - 1])
			at[kept++] = at[i];
	*n = kept;
	return at;
}

/* Whether a checkpoint of this experiment is there, and complete. */
static bool checkpoint_there(const struct cop_run *r, const char *path)
{
	struct cop_h5 *f;
	char *hash = NULL;
	if (!cop_exists(path) || cop_h5_open(&f, path, COP_CHECKPOINT_FORMAT, NULL))
		return false;
	bool same = cop_h5_get_str(f, "/", "experiment_hash", &hash, NULL) == 0 && strcmp(hash, r->hash) == 0;
	free(hash);
	cop_h5_close(f);
	return same;
}

bool cop_dense_has(const struct cop_run *r, int64_t replicate, int64_t step)
{
	char *path = cop_run_checkpoint(r, replicate, step);
	bool there = checkpoint_there(r, path);
	free(path);
	/* without a step the beginning is the end */
	if (there && step == 0 && r->total_steps == 0) {
		path = cop_run_final(r, replicate);
		there = checkpoint_there(r, path);
		free(path);
	}
	return there;
}

/* The first save point that is not there, or -1. */
static int64_t first_missing(const struct cop_run *r, int64_t replicate, const int64_t *at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!cop_dense_has(r, replicate, at[i]))
			return at[i];
	return -1;
}

/* By a process of its own, as of a cell. */
static int check_result(const struct cop_run *r, int64_t replicate, struct cop_err *why)
{
	struct cop_cell c;
	int rc = cop_fetch_one(r, -1 - replicate, &c, why);
	cop_cell_release(&c);
	return rc;
}

int cop_dense_look(const struct cop_run *r, int64_t replicate, struct cop_err *why)
{
	if (check_result(r, replicate, why))
		return COP_EINPUT;
	size_t n;
	int64_t *at = save_points(r, &n), step = first_missing(r, replicate, at, n);
	free(at);
	return step < 0 ? 0 : cop_fail(why, COP_EPARTIAL, "its checkpoint of step %" PRId64 " is missing", step);
}

bool cop_dense_done(const struct cop_run *r, int64_t replicate)
{
	return cop_dense_look(r, replicate, NULL) == 0;
}

static int write_checkpoint(struct cop_job_work *w, int64_t replicate, struct cop_err *err)
{
	int synced = cop_trainer_sync(&w->trainer, err);
	if (synced)
		return synced;
	struct cop_checkpoint c = cop_trainer_checkpoint(&w->trainer);
	char *path = cop_run_checkpoint(w->run, replicate, c.step);
	int rc = cop_checkpoint_write(path, &c, err);
	free(path);
	if (!rc && w->run->total_steps == 0) {
		path = cop_run_final(w->run, replicate);
		rc = cop_checkpoint_write(path, &c, err);
		free(path);
	}
	return rc;
}

/* Begins at initialisation, or where an earlier attempt was. */
static int start(struct cop_job_work *w, int64_t replicate, struct cop_err *err)
{
	struct cop_trainer *t = &w->trainer;
	const struct cop_experiment *e = &w->run->experiment;
	bool found;
	cop_trainer_resume(t, &found);
	if (found) {
		cop_info("%s: going on from step %lld", w->what, (long long)t->step);
		return 0;
	}
	cop_trainer_restart(t);
	cop_trainer_draw(t, e->model.init, (uint64_t)w->train.seed_init);
	return write_checkpoint(w, replicate, err);
}

static int write_result(struct cop_job_work *w, int64_t replicate, struct cop_err *err)
{
	struct cop_trainer *t = &w->trainer;
	struct cop_cell c = {.history = t->history, .hash = (char *)(uintptr_t)w->run->hash};
	c.row = (struct cop_row){.index = -1, .replicate = replicate, .round = 1, .same_as = -1, .reset = ""};
	c.row.total = c.row.nnz = (int64_t)cop_layout_count(&t->net.graph.params, true);
	int rc = cop_work_result(w, &c.row, err);
	if (rc)
		return rc;
	char *path = cop_run_dense_result(w->run, replicate);
	rc = cop_cell_write(path, &c, w->run->text, &t->net.graph.params, NULL, NULL, NULL, NULL, err);
	w->result_changed = cop_changed(path); /* by this process, and checkpoints may yet be to be made */
	free(path);
	char data[COP_DATA_NOTE];
	if (!rc)
		cop_info("%s: test top-1 %.2f%%, top-5 %.2f%%, loss %.4f%s", w->what, 100 * c.row.test_top1,
			 100 * c.row.test_top5, c.row.test_loss, cop_trainer_data_note(t, data));
	return rc;
}

/* From where it is to the end, saving at each point on the way; the measures of the end last. */
static int train_whole(struct cop_job_work *w, int64_t replicate, const int64_t *at, size_t n, struct cop_err *err)
{
	int rc = start(w, replicate, err);
	for (size_t i = 0; i < n && !rc; i++) {
		if (at[i] == 0 || at[i] < w->trainer.step)
			continue;
		rc = cop_trainer_run(&w->trainer, at[i], err);
		if (!rc)
			rc = write_checkpoint(w, replicate, err);
	}
	return rc ? rc : write_result(w, replicate, err);
}

/* The trainer to the last checkpoint before `step`, or to where an interrupted replay of the same was. */
static int go_back(struct cop_job_work *w, int64_t replicate, const int64_t *at, size_t n, int64_t step,
		   struct cop_err *err)
{
	struct cop_checkpoint c = {0};
	const struct cop_experiment *e = &w->run->experiment;
	bool found;
	int64_t from = -1;
	for (size_t i = 0; i < n && at[i] < step; i++)
		if (cop_dense_has(w->run, replicate, at[i]))
			from = at[i];
	cop_trainer_restart(&w->trainer);
	snprintf(w->identity, sizeof(w->identity), "%s: again from step %lld to %lld", w->what, (long long)from,
		 (long long)step);
	if (from < 0) {
		cop_trainer_draw(&w->trainer, e->model.init, (uint64_t)w->train.seed_init);
		return 0;
	}
	char *path = cop_run_checkpoint(w->run, replicate, from);
	int rc = cop_ticket_checkpoint(w->run, NULL, path, true, &c, err);
	if (!rc)
		rc = cop_trainer_rewind(&w->trainer, &c, NULL, err);
	if (!rc)
		cop_trainer_resume(&w->trainer, &found);
	cop_checkpoint_release(&c);
	free(path);
	return rc;
}

/* Makes checkpoints that are missing though the run was at its end: a grid that has grown, files that were lost. */
static int replay(struct cop_job_work *w, int64_t replicate, const int64_t *at, size_t n, struct cop_err *err)
{
	int64_t step;
	int rc = 0;
	while (!rc && (step = first_missing(w->run, replicate, at, n)) >= 0) {
		rc = go_back(w, replicate, at, n, step, err);
		if (rc)
			break;
		cop_info("%s: the checkpoint of step %lld is missing: from step %lld on again", w->what,
			 (long long)step, (long long)w->trainer.step);
		rc = cop_trainer_run(&w->trainer, step, err);
		if (!rc)
			rc = write_checkpoint(w, replicate, err);
	}
	return rc;
}

/* What is missing at the end: of the grid as it is by then, for it may have grown while the run went on. */
static int replay_missing(struct cop_job_work *w, int64_t replicate, struct cop_err *err)
{
	struct cop_run now;
	size_t n;
	int rc = cop_run_open(&now, w->run->path, err);
	if (rc)
		return rc;
	if (strcmp(now.hash, w->run->hash) == 0) {
		int64_t *at = save_points(&now, &n);
		rc = replay(w, replicate, at, n, err);
		free(at);
	}
	cop_run_release(&now);
	return rc;
}

static int train_dense(struct cop_job_work *w, int64_t replicate, struct cop_err *err)
{
	size_t n;
	int rc = 0;
	if (check_result(w->run, replicate, NULL)) {
		int64_t *at = save_points(w->run, &n);
		rc = train_whole(w, replicate, at, n, err);
		free(at);
	}
	return rc ? rc : replay_missing(w, replicate, err);
}

int cop_dense_run(const struct cop_run *r, int64_t replicate, const struct cop_work_options *o, struct cop_err *err)
{
	if (cop_dense_done(r, replicate)) {
		cop_info("dense run %lld is done", (long long)replicate);
		return 0;
	}
	struct cop_job_work w;
	const struct cop_train_config train = cop_experiment_training(
		&r->experiment, &(struct cop_worker){.dense = true, .replicate = replicate});
	char *path = cop_run_final(r, replicate), *folder = cop_folder_of(path);
	int rc = cop_mkdirs(folder, err);
	free(folder);
	free(path);
	if (rc)
		return rc;
	rc = cop_work_begin(&w, r, true, replicate, &train, NULL, o, err);
	if (!rc)
		rc = train_dense(&w, replicate, err);
	return cop_work_end(&w, rc, err);
}
