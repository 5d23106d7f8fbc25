/* What a cell starts from; see ticket.h. */
#include "sweep/ticket.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "sweep/work.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of several cells that find it at the same time one moves it. */
static void move_aside(const char *path)
{
	char *aside = cop_xasprintf("%s.damaged", path);
	if (rename(path, aside) == 0)
		cop_debug("'%s' was moved to '%s'", path, aside);
	free(aside);
}

int cop_ticket_checkpoint(const struct cop_run *r, const struct cop_staging *s, const char *path, bool slots,
			  struct cop_checkpoint *c, struct cop_err *err)
{
	bool readable = access(path, R_OK) == 0;
	int rc = cop_staging_checkpoint(s, path, c, slots, err);
	if (rc == COP_EINPUT && readable) {
		move_aside(path);
		return cop_context(
			err,
			"a checkpoint of the dense run is damaged and was moved aside ('coppice redo' makes it again)");
	}
	if (rc)
		return cop_context(err, "the dense run's checkpoint is needed ('coppice train' makes it)");
	if (strcmp(c->hash, r->hash) != 0) {
		cop_checkpoint_release(c);
		return cop_fail(err, COP_EINPUT, "checkpoint '%s' belongs to another experiment", path);
	}
	return 0;
}

/* What a mask is made from. */
struct roots {
	struct cop_layout layout;
	float *param;    /* the weights at the end of the dense run, or of the round before */
	uint8_t *before; /* that round's mask; NULL: there is none */
};

static void release_roots(struct roots *o)
{
	cop_layout_release(&o->layout);
	free(o->param);
	free(o->before);
}

static int read_dense(const struct cop_run *r, const struct cop_staging *s, int64_t replicate, struct roots *o,
		      struct cop_err *err)
{
	struct cop_checkpoint c = {0};
	char *path = cop_run_final(r, replicate);
	int rc = cop_ticket_checkpoint(r, s, path, false, &c, err);
	free(path);
	if (!rc) {
		o->layout = c.params;
		o->param = c.param;
		c.params = (struct cop_layout){0};
		c.param = NULL;
	}
	cop_checkpoint_release(&c);
	return rc;
}

/* The weights and the mask that the round before ended with. */
static int read_round(const struct cop_run *r, const struct cop_point *p, struct roots *o, struct cop_err *err)
{
	struct cop_h5 *f;
	char *path = cop_run_cell(r, p->before);
	int rc = cop_cell_done(r, p->before, err) ? cop_h5_open(&f, path, COP_CELL_FORMAT, err) : COP_EINPUT;
	free(path);
	if (!rc) {
		rc = cop_load_tensors(f, "params", &o->layout, &o->param, err);
		if (!rc)
			rc = cop_alloc(&o->before, o->layout.total, 1, "the mask", err);
		if (!rc)
			rc = cop_load_masks(f, &o->layout, o->before, err);
		cop_h5_close(f);
	}
	return rc ? cop_context(err, "round %lld prunes what cell %lld left", (long long)p->round, (long long)p->before)
		  : 0;
}

/* The network as it was drawn, for criteria that look at it; {0} for the others. */
static int read_first(const struct cop_run *r, const struct cop_staging *s, const struct cop_point *p,
		      struct cop_checkpoint *c, struct cop_err *err)
{
	*c = (struct cop_checkpoint){0};
	if (!cop_criterion_needs((enum cop_criterion)p->criterion).first)
		return 0;
	char *path = cop_run_checkpoint(r, p->replicate, 0);
	int rc = cop_ticket_checkpoint(r, s, path, false, c, err);
	free(path);
	return rc;
}

/* A trainer may be asked to stop while its mask is made, and whoever looks at it is told that it is at work. */
static int watch_scoring(void *user, struct cop_err *err)
{
	const struct cop_trainer *t = user;
	if (t->stop && *t->stop)
		return cop_fail(err, COP_ESTOPPED, "%s was asked to stop while its mask was made",
				t->what ? t->what : "training");
	return t->heartbeat ? t->heartbeat(t, t->user, err) : 0;
}

/* By the point's criterion: what `a` says of each group. */
static int cut(const struct cop_run *r, const struct cop_staging *s, const struct cop_point *p, struct cop_trainer *t,
	       const struct roots *o, const struct cop_allocation *a, uint8_t *mask, double *threshold,
	       struct cop_err *err)
{
	const struct cop_experiment *e = &r->experiment;
	const struct cop_train_config dense = cop_experiment_training(
		e, &(struct cop_worker){.dense = true, .replicate = p->replicate});
	struct cop_samples samples = {0};
	struct cop_checkpoint first;
	int rc = read_first(r, s, p, &first, err);
	if (!rc && cop_criterion_needs((enum cop_criterion)p->criterion).samples)
		rc = cop_samples_open(&samples, t->data, (int)e->train.batch, e->sweep.score_batches,
				      (uint64_t)dense.seed_order, (uint64_t)dense.seed_augment, err);
	const struct cop_scoring scoring = {.graph = &t->net.graph,
					    .first = first.param,
					    .first_buffer = first.buffer,
					    .last = o->param,
					    .before = o->before,
					    .samples = &samples,
					    .seed = (uint64_t)dense.seed_init,
					    .watch = watch_scoring,
					    .user = t};
	if (!rc)
		rc = cop_criterion_mask(&scoring, (enum cop_criterion)p->criterion, a, mask, threshold, err);
	cop_samples_close(&samples);
	cop_checkpoint_release(&first);
	return rc;
}

int cop_ticket_mask(const struct cop_run *r, const struct cop_staging *s, const struct cop_point *p,
		    struct cop_trainer *t, uint8_t **mask, double *threshold, struct cop_err *err)
{
	struct roots o = {0};
	struct cop_allocation a = {0};
	const struct cop_train_config train = cop_ticket_training(r, p);
	int rc = p->before < 0 ? read_dense(r, s, p->replicate, &o, err) : read_round(r, p, &o, err);
	if (!rc && !cop_layout_same(&o.layout, &t->net.graph.params))
		rc = cop_fail(err, COP_EINPUT, "the weights to prune are of another network");
	if (!rc)
		rc = cop_experiment_allocate(&r->experiment, &o.layout, p->quantile, &a, err);
	if (!rc)
		rc = cop_alloc(mask, o.layout.total, 1, "the mask", err);
	if (!rc)
		rc = cut(r, s, p, t, &o, &a, *mask, threshold, err);
	if (!rc && p->retrain == COP_RETRAIN_SHUFFLE)
		cop_mask_shuffle(&o.layout, *mask, (uint64_t)train.seed_init);
	if (!rc && p->retrain == COP_RETRAIN_RANDOM)
		cop_mask_random(&o.layout, &a, *mask, (uint64_t)train.seed_init);
	cop_allocation_release(&a);
	release_roots(&o);
	return rc;
}
