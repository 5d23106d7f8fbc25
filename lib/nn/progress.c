/* Keeping the state of training while it is under way, so that a killed run goes on; see trainer.h. */
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "nn/engine.h"
#include "nn/trainer_priv.h"
#include "store/digest.h"

#include <stdlib.h>
#include <string.h>

/*
 * What is summed up so far: attributes of the root, in this order in the digest. Files of before there were the last
 * ones have neither them nor their part of the digest.
 */
enum { FIRST_SUMS = 9, SUMS = 12 };
static const char *const sum_names[SUMS] = {"sum_loss", "sum_top1",    "sum_top5", "sum_images",
					    "seconds",  "stepping",    "waiting",  "images",
					    "joules",   "gpu_watched", "gpu_busy", "gpu_memory"};

/* Of what a progress file holds beside the checkpoint. */
static uint64_t progress_digest(const struct cop_history *h, const char *identity, const double *sum, size_t nsums)
{
	uint64_t hash = cop_hash(COP_HASH_START, identity, strlen(identity));
	hash = cop_hash(hash, sum, nsums * sizeof(*sum));
	return cop_history_hash(hash, h);
}

static const char *identity_of(const struct cop_trainer *t)
{
	return t->identity ? t->identity : "";
}

static int store_progress(struct cop_h5 *f, struct cop_trainer *t, struct cop_err *err)
{
	struct cop_checkpoint c = cop_trainer_checkpoint(t);
	int rc = cop_checkpoint_store(f, &c, err);
	if (!rc)
		rc = cop_history_store(f, "history", &t->history, err);
	if (!rc)
		rc = cop_h5_put_str(f, "/", "identity", identity_of(t), err);
	struct cop_gpu_time gpu = cop_trainer_gpu_time(t);
	const double sum[SUMS] = {
		t->sums.loss, (double)t->sums.top1, (double)t->sums.top5, (double)t->sums.images, t->seconds,
		t->stepping,  t->waiting,           (double)t->images,    cop_trainer_joules(t),  gpu.watched,
		gpu.busy,     cop_trainer_memory(t)};
	for (size_t i = 0; i < SUMS && !rc; i++)
		rc = cop_h5_put_f64(f, "/", sum_names[i], sum[i], err);
	if (!rc && t->whole) {
		char *whole = cop_engine_text(&t->net.graph, t->whole);
		rc = cop_h5_put_str(f, "/", "whole_layers", whole, err);
		free(whole);
	}
	return rc ? rc : cop_digest_store(f, "history", progress_digest(&t->history, identity_of(t), sum, SUMS), err);
}

int cop_trainer_save(struct cop_trainer *t, struct cop_err *err)
{
	struct cop_h5 *f;
	int rc = cop_trainer_sync(t, err);
	if (!rc)
		rc = cop_h5_create(&f, t->progress_path, COP_CHECKPOINT_FORMAT, err);
	if (rc)
		return rc;
	rc = store_progress(f, t, err);
	if (rc) {
		cop_h5_abandon(f);
		return rc;
	}
	return cop_h5_commit(f, err);
}

/* A progress file, read whole before the trainer is touched. */
struct progress {
	struct cop_checkpoint checkpoint;
	struct cop_history history;
	double sum[SUMS];
	char *whole; /* layers that a masked network has computed whole; NULL: not told */
};

static int check_identity(struct cop_h5 *f, const struct cop_trainer *t, const struct progress *p, struct cop_err *err)
{
	char *identity = NULL;
	int rc = cop_h5_get_str(f, "/", "identity", &identity, err);
	if (!rc && (strcmp(identity, identity_of(t)) != 0 || strcmp(p->checkpoint.hash, t->hash ? t->hash : "") != 0))
		rc = cop_fail(err, COP_EINPUT, "'%s' belongs to other work", t->progress_path);
	free(identity);
	return rc;
}

static int load_sums(struct cop_h5 *f, const struct cop_trainer *t, struct progress *p, struct cop_err *err)
{
	size_t n = cop_h5_has_attr(f, "/", sum_names[FIRST_SUMS]) ? SUMS : FIRST_SUMS;
	int rc = 0;
	for (size_t i = 0; i < n && !rc; i++)
		rc = cop_h5_get_f64(f, "/", sum_names[i], &p->sum[i], err);
	return rc ? rc : cop_digest_check(f, "history", progress_digest(&p->history, identity_of(t), p->sum, n), err);
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
		rc = load_sums(f, t, p, err);
	if (!rc && cop_h5_has_attr(f, "/", "whole_layers"))
		rc = cop_h5_get_str(f, "/", "whole_layers", &p->whole, err);
	cop_h5_close(f);
	return rc ? rc : cop_trainer_take_over(t, &p->checkpoint, err);
}

static void take_sums(struct cop_trainer *t, const double sum[SUMS])
{
	t->sums = (struct cop_loss){
		.loss = sum[0], .top1 = (int64_t)sum[1], .top5 = (int64_t)sum[2], .images = (int64_t)sum[3]};
	t->seconds = sum[4];
	t->stepping = sum[5];
	t->waiting = sum[6];
	t->images = (int64_t)sum[7];
	t->joules = sum[8];
	t->gpu_time = (struct cop_gpu_time){sum[9], sum[10]};
	t->gpu_memory = sum[11] > 0 ? sum[11] : 0;
}

/* The bits that follow are those of the attempt before only if each layer is computed as it was. */
static void take_engine(struct cop_trainer *t, const char *whole)
{
	cop_on_survivors_release(t);
	if (!whole)
		return;
	t->whole = cop_xcalloc((size_t)t->net.graph.n, sizeof(*t->whole));
	if (cop_engine_parse(&t->net.graph, whole, t->whole))
		return;
	cop_on_survivors_release(t);
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
		take_sums(t, p.sum);
		take_engine(t, p.whole);
		*found = true;
	}
	cop_checkpoint_release(&p.checkpoint);
	cop_history_release(&p.history);
	free(p.whole);
}
