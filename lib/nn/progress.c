/* Keeping the state of training while it is under way, so that a killed run goes on; see trainer.h. */
#include "base/file.h"
#include "base/log.h"
#include "nn/trainer.h"

#include <stdlib.h>
#include <string.h>

static int store_progress(struct cop_h5 *f, struct cop_trainer *t, struct cop_err *err)
{
	struct cop_checkpoint c = cop_trainer_checkpoint(t);
	int rc = cop_checkpoint_store(f, &c, err);
	if (!rc)
		rc = cop_history_store(f, "history", &t->history, err);
	if (!rc)
		rc = cop_h5_put_str(f, "/", "identity", t->identity ? t->identity : "", err);
	const struct {
		const char *name;
		double v;
	} sums[] = {{"sum_loss", t->sums.loss},
		    {"sum_top1", (double)t->sums.top1},
		    {"sum_top5", (double)t->sums.top5},
		    {"sum_images", (double)t->sums.images},
		    {"seconds", t->seconds},
		    {"stepping", t->stepping},
		    {"waiting", t->waiting},
		    {"images", (double)t->images},
		    {"joules", cop_trainer_joules(t)}};
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

/* What a progress file holds beside the checkpoint, read whole before the trainer is touched. */
struct progress {
	struct cop_checkpoint checkpoint;
	struct cop_history history;
	struct cop_loss sums;
	double seconds, stepping, waiting, images, joules;
};

static int load_sums(struct cop_h5 *f, struct progress *p, struct cop_err *err)
{
	double top1 = 0, top5 = 0, images = 0;
	const struct {
		const char *name;
		double *v;
	} sums[] = {{"sum_loss", &p->sums.loss}, {"sum_top1", &top1},      {"sum_top5", &top5},
		    {"sum_images", &images},     {"seconds", &p->seconds}, {"stepping", &p->stepping},
		    {"waiting", &p->waiting},    {"images", &p->images},   {"joules", &p->joules}};
	for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++) {
		int rc = cop_h5_get_f64(f, "/", sums[i].name, sums[i].v, err);
		if (rc)
			return rc;
	}
	p->sums.top1 = (int64_t)top1;
	p->sums.top5 = (int64_t)top5;
	p->sums.images = (int64_t)images;
	return 0;
}

static int check_identity(struct cop_h5 *f, const struct cop_trainer *t, const struct progress *p, struct cop_err *err)
{
	char *identity = NULL;
	int rc = cop_h5_get_str(f, "/", "identity", &identity, err);
	if (!rc && (strcmp(identity, t->identity ? t->identity : "") != 0 ||
		    strcmp(p->checkpoint.hash, t->hash ? t->hash : "") != 0))
		rc = cop_fail(err, COP_EINPUT, "'%s' belongs to other work", t->progress_path);
	free(identity);
	return rc;
}

static int load_progress(struct cop_trainer *t, struct progress *p, struct cop_err *err)
{
	struct cop_h5 *f;
	int rc = cop_h5_open(&f, t->progress_path, COP_CHECKPOINT_FORMAT, err);
	if (rc)
		return rc;
	rc = cop_checkpoint_load(f, &p->checkpoint, true, err);
	if (!rc)
		rc = check_identity(f, t, p, err);
	if (!rc)
		rc = cop_history_load(f, "history", &p->history, err);
	if (!rc)
		rc = load_sums(f, p, err);
	cop_h5_close(f);
	return rc ? rc : cop_trainer_rewind(t, &p->checkpoint, NULL, err);
}

void cop_trainer_resume(struct cop_trainer *t, bool *found)
{
	struct cop_err err = {0};
	struct progress p = {0};
	*found = false;
	if (!t->progress_path || !cop_exists(t->progress_path))
		return;
	if (load_progress(t, &p, &err)) {
		cop_warn("%s; starting again from the beginning", err.msg);
	} else {
		cop_history_release(&t->history);
		t->history = p.history;
		p.history = (struct cop_history){0};
		t->sums = p.sums;
		t->seconds = p.seconds;
		t->stepping = p.stepping;
		t->waiting = p.waiting;
		t->images = (int64_t)p.images;
		t->joules = p.joules;
		*found = true;
	}
	cop_checkpoint_release(&p.checkpoint);
	cop_history_release(&p.history);
}
