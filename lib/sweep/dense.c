/* The dense run; see work.h. */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "sweep/work_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

/* The steps to save at, ascending, each once, initialisation not among them. */
static int64_t *save_points(const struct cop_run *r, size_t *n)
{
	int64_t *at = cop_xcalloc(r->ncells + 1, sizeof(*at));
	size_t count = 0, kept = 0;
	for (size_t i = 0; i < r->ncells; i++)
		if (r->cell[i].reset_step > 0)
			at[count++] = r->cell[i].reset_step;
	at[count++] = r->total_steps;
	qsort(at, count, sizeof(*at), by_value);
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

/* Whether init, and every save point up to and including `step`, is there. */
static bool all_there(const struct cop_run *r, int64_t replicate, const int64_t *at, size_t n, int64_t step)
{
	bool there = true;
	char *path = cop_run_checkpoint(r, replicate, 0);
	there = checkpoint_there(r, path);
	free(path);
	for (size_t i = 0; i < n && at[i] <= step && there; i++) {
		path = at[i] == r->total_steps ? cop_run_final(r, replicate) : cop_run_checkpoint(r, replicate, at[i]);
		there = checkpoint_there(r, path);
		free(path);
	}
	return there;
}

bool cop_dense_done(const struct cop_run *r, int64_t replicate)
{
	struct cop_cell c;
	char *path = cop_run_dense_result(r, replicate);
	bool done = cop_exists(path) && cop_cell_read(path, &c, NULL) == 0;
	free(path);
	if (!done)
		return false;
	done = strcmp(c.hash, r->hash) == 0;
	cop_cell_release(&c);
	size_t n;
	int64_t *at = save_points(r, &n);
	done = done && all_there(r, replicate, at, n, r->total_steps);
	free(at);
	return done;
}

static int write_checkpoint(struct cop_job_work *w, const char *path, struct cop_err *err)
{
	struct cop_checkpoint c = cop_trainer_checkpoint(&w->trainer);
	return cop_checkpoint_write(path, &c, err);
}

/* Begins at initialisation, or where an earlier attempt was; what that one wrote must still be there. */
static int start(struct cop_job_work *w, int64_t replicate, const int64_t *at, size_t n, struct cop_err *err)
{
	struct cop_trainer *t = &w->trainer;
	const struct cop_experiment *e = &w->run->experiment;
	bool found;
	cop_trainer_resume(t, &found);
	if (found && all_there(w->run, replicate, at, n, t->step - 1)) {
		cop_info("%s: going on from step %lld", w->what, (long long)t->step);
		return 0;
	}
	cop_trainer_restart(t);
	cop_trainer_draw(t, e->model.init, (uint64_t)e->train.seed_init + (uint64_t)replicate);
	char *path = cop_run_checkpoint(w->run, replicate, 0);
	int rc = write_checkpoint(w, path, err);
	free(path);
	return rc;
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
	free(path);
	char data[COP_DATA_NOTE];
	if (!rc)
		cop_info("%s: test top-1 %.2f%%, top-5 %.2f%%, loss %.4f%s", w->what, 100 * c.row.test_top1,
			 100 * c.row.test_top5, c.row.test_loss, cop_trainer_data_note(t, data));
	return rc;
}

static int train_dense(struct cop_job_work *w, int64_t replicate, struct cop_err *err)
{
	size_t n;
	int64_t *at = save_points(w->run, &n);
	int rc = start(w, replicate, at, n, err);
	for (size_t i = 0; i < n && !rc; i++) {
		if (at[i] < w->trainer.step)
			continue;
		rc = cop_trainer_run(&w->trainer, at[i], err);
		if (rc)
			break;
		char *path = at[i] == w->run->total_steps ? cop_run_final(w->run, replicate)
							  : cop_run_checkpoint(w->run, replicate, at[i]);
		rc = write_checkpoint(w, path, err);
		free(path);
	}
	free(at);
	return rc ? rc : write_result(w, replicate, err);
}

int cop_dense_run(const struct cop_run *r, int64_t replicate, const struct cop_work_options *o, struct cop_err *err)
{
	if (cop_dense_done(r, replicate)) {
		cop_info("dense run %lld is done", (long long)replicate);
		return 0;
	}
	struct cop_job_work w;
	char *path = cop_run_final(r, replicate), *folder = cop_folder_of(path);
	int rc = cop_mkdirs(folder, err);
	free(folder);
	free(path);
	if (rc)
		return rc;
	rc = cop_work_begin(&w, r, true, replicate, replicate, o, err);
	if (!rc)
		rc = train_dense(&w, replicate, err);
	return cop_work_end(&w, rc, err);
}
