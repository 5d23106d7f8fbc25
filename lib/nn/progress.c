/* Keeping the state of training while it is under way, so that a killed run goes on; see trainer.h. */
#include "base/file.h"
#include "base/log.h"
#include "nn/trainer.h"

#include <string.h>

static int store_progress(struct cop_h5 *f, struct cop_trainer *t, struct cop_err *err)
{
	struct cop_checkpoint c = cop_trainer_checkpoint(t);
	int rc = cop_checkpoint_store(f, &c, err);
	if (!rc)
		rc = cop_history_store(f, "history", &t->history, err);
	const struct {
		const char *name;
		double v;
	} sums[] = {{"sum_loss", t->sums.loss},
		    {"sum_top1", (double)t->sums.top1},
		    {"sum_top5", (double)t->sums.top5},
		    {"sum_images", (double)t->sums.images},
		    {"seconds", t->seconds},
		    {"stepping", t->stepping},
		    {"images", (double)t->images}};
	for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]) && !rc; i++)
		rc = cop_h5_put_f64(f, "/", sums[i].name, sums[i].v, err);
	return rc;
}

int cop_trainer_save(struct cop_trainer *t, struct cop_err *err)
{
	struct cop_h5 *f;
	int rc = cop_h5_create(&f, t->progress_path, COP_CHECKPOINT_FORMAT, err);
	if (rc)
		return rc;
	rc = store_progress(f, t, err);
	if (rc) {
		cop_h5_abandon(f);
		return rc;
	}
	return cop_h5_commit(f, err);
}

static int load_sums(struct cop_h5 *f, struct cop_trainer *t, struct cop_err *err)
{
	double top1 = 0, top5 = 0, images = 0, trained = 0;
	struct {
		const char *name;
		double *v;
	} sums[] = {{"sum_loss", &t->sums.loss}, {"sum_top1", &top1},      {"sum_top5", &top5},
		    {"sum_images", &images},     {"seconds", &t->seconds}, {"stepping", &t->stepping},
		    {"images", &trained}};
	for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++) {
		int rc = cop_h5_get_f64(f, "/", sums[i].name, sums[i].v, err);
		if (rc)
			return rc;
	}
	t->sums.top1 = (int64_t)top1;
	t->sums.top5 = (int64_t)top5;
	t->sums.images = (int64_t)images;
	t->images = (int64_t)trained;
	return 0;
}

static int load_progress(struct cop_trainer *t, struct cop_err *err)
{
	struct cop_h5 *f;
	struct cop_checkpoint c = {0};
	int rc = cop_h5_open(&f, t->progress_path, COP_CHECKPOINT_FORMAT, err);
	if (rc)
		return rc;
	rc = cop_checkpoint_load(f, &c, true, err);
	if (!rc && t->hash && strcmp(c.hash, t->hash) != 0)
		rc = cop_fail(err, COP_EINPUT, "'%s' belongs to another experiment", t->progress_path);
	if (!rc)
		rc = cop_trainer_rewind(t, &c, NULL, err);
	struct cop_history history = {0};
	if (!rc)
		rc = cop_history_load(f, "history", &history, err);
	if (!rc) {
		cop_history_release(&t->history);
		t->history = history;
		rc = load_sums(f, t, err);
	}
	cop_checkpoint_release(&c);
	cop_h5_close(f);
	return rc;
}

void cop_trainer_resume(struct cop_trainer *t, bool *found)
{
	struct cop_err err = {0};
	*found = false;
	if (!t->progress_path || !cop_exists(t->progress_path))
		return;
	if (load_progress(t, &err))
		cop_warn("%s; starting again from the beginning", err.msg);
	else
		*found = true;
}
