/* Devices that share each batch; see ranks_device.h. */
#include "nn/ranks_device.h"

#include "base/log.h"
#include "base/mem.h"
#include "nn/ranks.h"
#include "nn/trainer_priv.h"

#include <pthread.h>
#include <stdlib.h>

enum { MARKS = 0, STEPS_MOST = 64 };
static const double ASK_EVERY = 0.25; /* seconds of steps between looks at signals and sums */
static const size_t MARGIN = (size_t)256 << 20;

/* Its device's pointers, but for those that say so. The first rank has what the trainer has. */
struct rank {
	struct cop_device_ranks *all;
	int number;
	const struct cop_backend *backend;
	struct cop_resident own_resident;
	struct cop_mirror own_mirror;
	struct cop_feed own_feed;
	struct cop_work own_work;
	const struct cop_mirror *mirror;
	struct cop_feed *feed;
	struct cop_work *work;
	struct cop_loader *loader;
	struct cop_loss *loss;                 /* of a step */
	struct cop_loss *pinned;               /* the program's: (STEPS_MOST) of steps, and one that is 0 */
	struct cop_record *gradients, *update; /* calls of a step; NULL: not recorded yet */
	const uint8_t *mask;                   /* that the records know */
	int64_t puts;                          /* of the trainer's numbers, that it has */
	int queued;                            /* steps that went call by call */
	double waited;
	int bad[2]; /* a step's code, of even and odd ones: one is read while the other is written */
	int rc;
	struct cop_err err;
};

struct cop_device_ranks {
	struct cop_trainer *t;
	int n;
	struct cop_team *team;
	struct cop_group *group;
	struct rank rank[COP_RANKS_MAX];
	bool in_turn;
	pthread_mutex_t opening, reading; /* opening: of what only one does at a time, and of: */
	struct rank *culprit;             /* who failed first where others wait for it; NULL: nobody */

	/* of what the team is to do */
	struct cop_first_rank first;
	int64_t steps;
	double step_seconds; /* of late */
};

static int open_first(struct rank *k, struct cop_err *err)
{
	struct cop_trainer *t = k->all->t;
	struct cop_first_rank f;
	int rc = cop_on_device_first_rank(t, &f, err);
	k->backend = t->backend;
	k->mirror = f.mirror;
	k->feed = f.feed;
	k->work = &t->work;
	return rc;
}

/* Like what the trainer has on its device. */
static int open_other(struct rank *k, struct cop_err *err)
{
	struct cop_trainer *t = k->all->t;
	int rc = t->backend->queue->beside(t->backend, k->number, &k->backend, err);
	if (!rc)
		rc = cop_mirror_init(&k->own_mirror, k->backend, &t->net.graph, t->nslots, err);
	if (!rc)
		rc = cop_work_init(&k->own_work, &t->net, k->backend, t->work.batch, true, NULL, err);
	if (!rc)
		rc = cop_resident_init(&k->own_resident, k->backend, t->data, MARGIN, err);
	if (!rc)
		rc = cop_trainer_open_loader(t, k->number, k->backend, cop_resident_wants(&k->own_resident), &k->loader,
					     err);
	if (!rc)
		rc = cop_feed_init(&k->own_feed, &k->own_resident, k->loader, t->work.batch, MARKS, err);
	k->mirror = &k->own_mirror;
	k->feed = &k->own_feed;
	k->work = &k->own_work;
	if (rc)
		return rc;
	k->work->dials = cop_feed_dials(k->feed);
	k->work->dropout_seed = cop_rank_seed(t->work.dropout_seed, k->number);
	return 0;
}

static int equip(struct rank *k, struct cop_err *err)
{
	void *pinned = NULL;
	int rc = k->number ? open_other(k, err) : open_first(k, err);
	if (!rc)
		rc = cop_backend_alloc(k->backend, &k->loss, sizeof(*k->loss), "the loss", err);
	if (!rc)
		rc = k->backend->queue->alloc_pinned(&pinned, (STEPS_MOST + 1) * sizeof(*k->pinned), "losses", err);
	k->pinned = pinned;
	if (rc)
		return rc;
	k->pinned[STEPS_MOST] = (struct cop_loss){0};
	return k->backend->queue->check(err);
}

/* On the rank's thread, for which its device acts from now on; one at a time, since they share the file. */
static void begin(void *ranks, int number)
{
	struct cop_device_ranks *r = ranks;
	struct rank *k = &r->rank[number];
	*k = (struct rank){.all = r, .number = number};
	pthread_mutex_lock(&r->opening);
	k->rc = equip(k, &k->err);
	pthread_mutex_unlock(&r->opening);
}

static void forget_records(struct rank *k)
{
	k->backend->queue->release_record(k->gradients);
	k->backend->queue->release_record(k->update);
	k->gradients = k->update = NULL;
	k->queued = 0;
}

static void end(void *ranks, int number)
{
	struct rank *k = &((struct cop_device_ranks *)ranks)->rank[number];
	if (!k->backend)
		return;
	forget_records(k);
	k->backend->queue->release_pinned(k->pinned);
	k->backend->release(k->loss);
	cop_feed_release(&k->own_feed);
	cop_resident_release(&k->own_resident);
	cop_work_release(&k->own_work);
	cop_mirror_release(&k->own_mirror);
	cop_loader_free(k->loader);
}

/* The trainer's numbers to the rank's device where they were changed. */
static int bring_up_to_date(struct rank *k, struct cop_err *err)
{
	struct cop_device_ranks *r = k->all;
	struct cop_trainer *t = r->t;
	struct cop_arrays a = {.param = t->param,
			       .slot = {t->slot[0], t->slot[1]},
			       .buffer = t->buffer,
			       .mask = t->mask,
			       .loss = &t->sums};
	int rc = 0;
	if (k->number > 0 && k->puts != r->first.puts)
		rc = cop_mirror_put(&k->own_mirror, &a, err);
	if (!rc)
		k->puts = r->first.puts;
	if (k->mask != k->mirror->mask)
		forget_records(k);
	k->mask = k->mirror->mask;
	return rc;
}

static void queue_gradients(struct rank *k)
{
	const struct cop_mirror *m = k->mirror;
	struct cop_work *w = k->work;
	cop_feed_gather(k->feed, COP_SPLIT_TRAIN, w->batch);
	const float *logits = cop_net_forward(w, m->param, m->buffer, k->feed->x);
	k->backend->softmax_xent(k->all->t->net.classes, w->batch, w->ld, logits, cop_feed_labels(k->feed),
				 cop_work_dlogits(w), k->loss);
	cop_net_backward(w, m->param, m->grad);
}

static void queue_update(struct rank *k)
{
	const struct cop_mirror *m = k->mirror;
	cop_trainer_update(k->all->t, &(struct cop_update){.backend = k->backend,
							   .dials = k->work->dials,
							   .grad = m->grad,
							   .mask = m->mask,
							   .param = m->param,
							   .slot = m->slot});
}

/* Once call by call, so that all that is made at first use is there; then recorded. */
static int queue_or_replay(struct rank *k, void (*calls)(struct rank *k), struct cop_record **record,
			   struct cop_err *err)
{
	const struct cop_queue *q = k->backend->queue;
	int rc = 0;
	if (k->queued == 0) {
		calls(k);
		return q->check(err);
	}
	if (!*record) {
		rc = q->begin_record(err);
		if (rc)
			return rc;
		calls(k);
		rc = q->end_record(record, err);
	}
	if (!rc)
		q->replay(*record);
	return rc;
}

/* A rank's part of step `at` of these, up to its gradients. */
static int first_half(struct rank *k, int64_t at, struct cop_err *err)
{
	struct cop_device_ranks *r = k->all;
	const struct cop_queue *q = k->backend->queue;
	int64_t step = r->t->step + at;
	struct cop_dials dials = cop_trainer_dials(r->t, step);
	double begun = cop_now();
	if (r->in_turn)
		pthread_mutex_lock(&r->reading);
	int rc = cop_feed_send(k->feed, step, &dials, err);
	if (r->in_turn)
		pthread_mutex_unlock(&r->reading);
	k->waited += cop_now() - begun;
	if (!rc)
		rc = queue_or_replay(k, queue_gradients, &k->gradients, err);
	if (rc)
		return rc;
	q->fetch(k->pinned + at, k->loss, sizeof(*k->loss));
	q->send(k->loss, k->pinned + STEPS_MOST, sizeof(*k->loss));
	return 0;
}

static int second_half(struct rank *k, struct cop_err *err)
{
	const struct cop_queue *q = k->backend->queue;
	const struct cop_graph *g = &k->all->t->net.graph;
	int rc = q->mean(k->all->group, k->number, k->mirror->grad, g->params.total, err);
	if (!rc && g->buffers.total)
		rc = q->mean(k->all->group, k->number, k->mirror->buffer, g->buffers.total, err);
	if (!rc)
		rc = queue_or_replay(k, queue_update, &k->update, err);
	cop_feed_done(k->feed);
	k->queued++;
	return rc;
}

static bool any_bad(const struct cop_device_ranks *r, int parity)
{
	for (int k = 0; k < r->n; k++)
		if (r->rank[k].bad[parity])
			return true;
	return false;
}

/* What it failed at alone; the others wait for it no longer, and what they fail at follows from that. */
static void give_up(struct rank *k)
{
	struct cop_device_ranks *r = k->all;
	pthread_mutex_lock(&r->opening);
	if (!r->culprit)
		r->culprit = k;
	pthread_mutex_unlock(&r->opening);
	r->t->backend->queue->abandon(r->group);
}

/* All of them go on or none does: the means want all. */
static void steps(void *ranks, int number)
{
	struct cop_device_ranks *r = ranks;
	struct rank *k = &r->rank[number];
	bool left = false;
	k->waited = 0;
	k->rc = bring_up_to_date(k, &k->err);
	for (int64_t at = 0; at < r->steps && !left; at++) {
		int parity = at % 2;
		if (!k->rc)
			k->rc = first_half(k, at, &k->err);
		k->bad[parity] = k->rc;
		cop_team_meet(r->team);
		left = any_bad(r, parity);
		if (!left)
			k->rc = second_half(k, &k->err);
		if (!left && k->rc)
			give_up(k);
	}
	if (!k->rc && (k->rc = k->backend->queue->check(&k->err)) != 0)
		give_up(k);
}

/* The rank that the others failed with, or else the first one that failed; NULL: none has. */
static struct rank *failed(struct cop_device_ranks *r)
{
	struct rank *found = r->culprit && r->culprit->rc ? r->culprit : NULL;
	for (int k = 0; k < r->n && !found; k++)
		found = r->rank[k].rc ? &r->rank[k] : NULL;
	return found;
}

int cop_device_ranks_open(struct cop_device_ranks **out, struct cop_trainer *t, int n, struct cop_err *err)
{
	struct cop_device_ranks *r = cop_xcalloc(1, sizeof(*r));
	struct cop_team_work work = {.begin = begin, .step = steps, .end = end, .user = r};
	*r = (struct cop_device_ranks){.t = t, .n = n, .in_turn = cop_ranks_in_turn(t->data)};
	pthread_mutex_init(&r->opening, NULL);
	pthread_mutex_init(&r->reading, NULL);
	int rc = t->backend->queue->mean
			 ? 0
			 : cop_fail(err, COP_EMISSING, "'device.ranks' is %d, but these devices cannot be joined", n);
	if (!rc)
		rc = cop_team_open(&r->team, n, &work, err);
	struct rank *bad = rc ? NULL : failed(r);
	if (bad)
		rc = cop_fail(err, bad->rc, "'device.ranks' is %d: %s", n, bad->err.msg);
	if (!rc)
		rc = t->backend->queue->open_group(&r->group, n, err);
	if (rc)
		cop_device_ranks_free(r);
	else
		*out = r;
	return rc;
}

void cop_device_ranks_free(struct cop_device_ranks *r)
{
	if (!r)
		return;
	if (r->group)
		r->t->backend->queue->close_group(r->group);
	cop_team_free(r->team);
	pthread_mutex_destroy(&r->opening);
	pthread_mutex_destroy(&r->reading);
	free(r);
}

static int64_t steps_at_once(const struct cop_device_ranks *r)
{
	if (r->rank[0].queued < 2 || (r->t->progress_path && r->t->checkpoint_seconds <= 0))
		return 1;
	double n = r->step_seconds > 0 ? ASK_EVERY / r->step_seconds : STEPS_MOST;
	return n < 1 ? 1 : n > STEPS_MOST ? STEPS_MOST : (int64_t)n;
}

/* Step by step, and in each in the order of the ranks: the sum's bits do not depend on how many steps went at once. */
static void add_losses(struct cop_device_ranks *r)
{
	struct cop_loss *sums = &r->t->sums;
	for (int64_t at = 0; at < r->steps; at++)
		for (int k = 0; k < r->n; k++) {
			const struct cop_loss *part = &r->rank[k].pinned[at];
			sums->loss += part->loss;
			sums->top1 += part->top1;
			sums->top5 += part->top5;
			sums->images += part->images;
		}
}

int cop_device_ranks_steps(struct cop_device_ranks *r, int64_t until, double *waited, struct cop_err *err)
{
	struct cop_trainer *t = r->t;
	double begun = cop_now();
	int rc = cop_on_device_first_rank(t, &r->first, err);
	if (rc)
		return rc;
	int64_t most = steps_at_once(r);
	r->steps = until - t->step < most ? until - t->step : most;
	cop_team_step(r->team);
	*waited = r->rank[0].waited;
	struct rank *bad = failed(r);
	if (bad)
		return cop_fail(err, bad->rc, "%s", bad->err.msg);
	add_losses(r);
	t->step += r->steps;
	r->step_seconds = (cop_now() - begun) / (double)r->steps;
	return cop_on_device_stepped(t, err);
}
