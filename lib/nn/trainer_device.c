/*
 * Training on a device that works beside the program; see trainer.h. A step is queued as a whole: what changes from one
 * to the next lies in the device's memory (feed.h), so the calls are the same each time. The first step is queued call
 * by call, the second is recorded, and from then on the record is replayed.
 *
 * Several trainers may go side by side: they read the batches of one of them, their lead, and their calls are lanes of
 * one record. Each computes what it would alone.
 */
#include "base/log.h"
#include "base/mem.h"
#include "nn/trainer_priv.h"

#include <math.h>
#include <stdlib.h>

enum { TRAIN_MARKS = 0, EVAL_MARKS = COP_FEED_DEPTH, STEPS_MOST = 64 };
static const double ASK_EVERY = 0.25; /* seconds of steps between looks at signals and sums */
static const size_t MARGIN = (size_t)256 << 20;

struct cop_on_device {
	struct cop_trainer *lead; /* whose batches it reads; itself where it has none */
	/* the lead's: */
	struct cop_resident resident;
	struct cop_feed train, eval;
	struct cop_record *record; /* of a step of `together`, the first of them at which it is valid */
	const struct cop_trainer *together[COP_LANES_MAX];
	int ntogether, queued; /* queued: steps of theirs, up to 2 */
	double step_seconds;   /* of late */
	size_t each, scratch;  /* bytes that it took before what others share with it; a lane's, once it was tried */
	/* its own: */
	struct cop_mirror mirror;
	struct cop_loss *eval_loss;                /* on the device */
	bool host_newer, device_newer, sums_newer; /* sums: the program's, of all that the device has newer */
	int64_t puts;                              /* how often all of the program's numbers went there */
};

static struct cop_on_device *lead_of(const struct cop_trainer *t)
{
	return t->device->lead->device;
}

static int open_loaders(struct cop_trainer *t, struct cop_err *err)
{
	struct cop_on_device *d = t->device;
	enum cop_loader_gives gives = cop_resident_wants(&d->resident);
	int rc = cop_trainer_open_loader(t, 0, t->backend, gives, &t->loader, err);
	return rc ? rc
		  : cop_loader_open(&t->eval_loader, t->data, t->backend, t->eval_batch, t->data->loader_threads, gives,
				    err);
}

/* What a lead has for all that go beside it. */
static int init_lead(struct cop_trainer *t, struct cop_err *err)
{
	struct cop_on_device *d = t->device;
	int rc = cop_resident_init(&d->resident, t->backend, t->data, MARGIN, err);
	if (!rc)
		rc = open_loaders(t, err);
	if (!rc)
		rc = cop_feed_init(&d->train, &d->resident, t->loader, t->work.batch, TRAIN_MARKS, err);
	return rc ? rc : cop_feed_init(&d->eval, &d->resident, t->eval_loader, t->eval_batch, EVAL_MARKS, err);
}

int cop_on_device_init(struct cop_trainer *t, struct cop_trainer *lead, size_t taken, struct cop_err *err)
{
	struct cop_on_device *d = t->device = cop_xcalloc(1, sizeof(*d));
	d->lead = lead ? lead : t;
	d->host_newer = true;
	int rc = cop_mirror_init(&d->mirror, t->backend, &t->net.graph, t->nslots, err);
	if (!rc)
		rc = cop_backend_alloc(t->backend, &d->eval_loss, sizeof(*d->eval_loss), "the loss", err);
	if (!rc && !lead) {
		d->each = t->backend->queue->most(true) - taken;
		rc = init_lead(t, err);
	}
	if (rc)
		return rc;
	if (lead && lead->eval_batch < t->eval_batch)
		return cop_fail(err, COP_EFAILED, "a trainer beside another evaluates larger batches");
	t->eval_batch = d->lead->eval_batch;
	t->work.dials = cop_feed_dials(&d->lead->device->train);
	t->eval.dials = cop_feed_dials(&d->lead->device->eval);
	return t->backend->queue->check(err);
}

size_t cop_on_device_most(const struct cop_trainer *t)
{
	return t->device ? t->backend->queue->most(false) : 0;
}

static void forget_record(struct cop_trainer *t)
{
	struct cop_on_device *d = lead_of(t);
	t->backend->queue->release_record(d->record);
	d->record = NULL;
	d->queued = 0;
	d->ntogether = 0;
}

void cop_on_device_release(struct cop_trainer *t)
{
	struct cop_on_device *d = t->device;
	if (!d)
		return;
	forget_record(t);
	cop_feed_release(&d->train);
	cop_feed_release(&d->eval);
	cop_resident_release(&d->resident);
	cop_mirror_release(&d->mirror);
	t->backend->release(d->eval_loss);
	free(d);
	t->device = NULL;
}

void cop_on_device_changed(struct cop_trainer *t)
{
	if (t->device)
		t->device->host_newer = true;
}

void cop_on_device_sums(struct cop_trainer *t)
{
	if (t->device)
		t->device->sums_newer = true;
}

static struct cop_arrays arrays_of(struct cop_trainer *t)
{
	return (struct cop_arrays){.param = t->param,
				   .slot = {t->slot[0], t->slot[1]},
				   .buffer = t->buffer,
				   .mask = t->mask,
				   .loss = &t->sums};
}

static int to_device(struct cop_trainer *t, struct cop_err *err)
{
	struct cop_on_device *d = t->device;
	struct cop_arrays a = arrays_of(t);
	if (!d->host_newer && d->sums_newer) {
		d->sums_newer = false;
		return t->backend->put(d->mirror.loss, &t->sums, sizeof(t->sums), err);
	}
	if (!d->host_newer)
		return 0;
	bool masked = d->mirror.mask;
	int rc = cop_mirror_put(&d->mirror, &a, err);
	d->host_newer = rc != 0;
	d->device_newer = d->sums_newer = false;
	d->puts++;
	/* a record has the address of the mask, or that there is none */
	if (masked != (d->mirror.mask != NULL))
		forget_record(t);
	return rc;
}

int cop_on_device_sync(struct cop_trainer *t, struct cop_err *err)
{
	struct cop_on_device *d = t->device;
	struct cop_arrays a = arrays_of(t);
	if (!d)
		return 0;
	int rc = to_device(t, err);
	if (rc || !d->device_newer)
		return rc;
	rc = cop_mirror_get(&d->mirror, &a, err);
	d->device_newer = rc != 0;
	return rc;
}

int cop_on_device_first_rank(struct cop_trainer *t, struct cop_first_rank *f, struct cop_err *err)
{
	struct cop_on_device *d = t->device;
	int rc = to_device(t, err);
	*f = (struct cop_first_rank){.feed = &d->train, .mirror = &d->mirror, .puts = d->puts};
	return rc;
}

int cop_on_device_stepped(struct cop_trainer *t, struct cop_err *err)
{
	t->device->device_newer = true;
	return t->backend->put(t->device->mirror.loss, &t->sums, sizeof(t->sums), err);
}

/* A step of one trainer, its batch being there. */
static void queue_trainer(struct cop_trainer *t)
{
	const struct cop_feed *f = &lead_of(t)->train;
	const struct cop_mirror *m = &t->device->mirror;
	struct cop_work *w = &t->work;
	const float *logits = cop_net_forward(w, m->param, m->buffer, f->x);
	t->backend->softmax_xent(t->net.classes, w->batch, w->ld, logits, cop_feed_labels(f), cop_work_dlogits(w),
				 m->loss);
	cop_net_backward(w, m->param, m->grad);
	cop_trainer_update(
		t, &(struct cop_update){
			   .dials = w->dials, .grad = m->grad, .mask = m->mask, .param = m->param, .slot = m->slot});
}

static void queue_evaluation(struct cop_trainer *t, int n)
{
	const struct cop_feed *f = &lead_of(t)->eval;
	const struct cop_mirror *m = &t->device->mirror;
	struct cop_work *w = &t->eval;
	const float *logits = cop_net_forward(w, m->param, m->buffer, f->x);
	t->backend->softmax_xent(t->net.classes, n, w->ld, logits, cop_feed_labels(f), NULL, t->device->eval_loss);
}

/*
 * Calls ask for scratch when they are queued. So they are, once, on whatever lies there; then the device gets the
 * trainer's numbers again.
 */
static int try_scratch(struct cop_trainer *t, struct cop_err *err)
{
	const struct cop_queue *q = t->backend->queue;
	struct cop_on_device *d = t->device;
	int rc = cop_on_device_sync(t, err);
	if (rc)
		return rc;
	size_t before = q->most(true);
	queue_evaluation(t, t->eval_batch);
	queue_trainer(t);
	d->host_newer = true;
	d->scratch += q->most(true) - before;
	return q->check(err);
}

int cop_on_device_room(struct cop_trainer *t, int wanted, size_t *each, struct cop_err *err)
{
	size_t free_bytes, total, scratch;
	int rc = try_scratch(t, err);
	if (!rc)
		rc = t->backend->queue->memory(&free_bytes, &total, err);
	if (rc)
		return rc;
	scratch = t->device->scratch;
	*each = t->device->each + (t->net.graph.params.total + 7) / 8 + scratch;
	/* lanes have their scratch in one piece: the lead's is wanted again */
	size_t keep = MARGIN + scratch, room = free_bytes > keep ? (free_bytes - keep) / *each : 0;
	return room < (size_t)wanted ? (int)room : wanted;
}

/* All calls of a step of n trainers, but for which batch it is. */
static void queue_step(struct cop_trainer *const *t, int n)
{
	const struct cop_queue *q = t[0]->backend->queue;
	cop_feed_gather(&lead_of(t[0])->train, COP_SPLIT_TRAIN, t[0]->work.batch);
	q->fork(n);
	for (int k = 0; k < n; k++) {
		q->lane(k);
		queue_trainer(t[k]);
	}
	q->join(n);
}

/* Whether the lead's record is of these. Else it is forgotten. */
static void check_record(struct cop_trainer *const *t, int n)
{
	struct cop_on_device *d = lead_of(t[0]);
	bool same = d->ntogether == n;
	for (int k = 0; k < n && same; k++)
		same = d->together[k] == t[k];
	if (same)
		return;
	forget_record(t[0]);
	for (int k = 0; k < n; k++)
		d->together[k] = t[k];
	d->ntogether = n;
}

/* Once call by call, so that all that is made at first use is there; then recorded. */
static int queue_or_replay(struct cop_trainer *const *t, int n, struct cop_err *err)
{
	struct cop_on_device *d = lead_of(t[0]);
	const struct cop_queue *q = t[0]->backend->queue;
	int rc = 0;
	if (d->queued == 0) {
		queue_step(t, n);
		d->queued = 1;
		return q->check(err);
	}
	if (!d->record) {
		rc = q->begin_record(err);
		if (rc)
			return rc;
		queue_step(t, n);
		rc = q->end_record(&d->record, err);
		d->queued = 2;
	}
	if (!rc)
		q->replay(d->record);
	return rc;
}

static int one_step(struct cop_trainer *const *t, int n, double *waited, struct cop_err *err)
{
	struct cop_on_device *d = lead_of(t[0]);
	struct cop_dials dials = cop_trainer_dials(t[0], t[0]->step);
	double begun = cop_now();
	int rc = cop_feed_send(&d->train, t[0]->step, &dials, err);
	*waited += cop_now() - begun;
	if (!rc)
		rc = queue_or_replay(t, n, err);
	if (rc)
		return rc;
	cop_feed_done(&d->train);
	for (int k = 0; k < n; k++) {
		t[k]->device->device_newer = true;
		t[k]->step++;
	}
	return 0;
}

static int64_t steps_at_once(const struct cop_trainer *t)
{
	const struct cop_on_device *d = lead_of(t);
	if (d->queued < 2 || (t->progress_path && t->checkpoint_seconds <= 0))
		return 1;
	double n = d->step_seconds > 0 ? ASK_EVERY / d->step_seconds : STEPS_MOST;
	return n < 1 ? 1 : n > STEPS_MOST ? STEPS_MOST : (int64_t)n;
}

int cop_on_device_steps(struct cop_trainer *const *t, int n, int64_t until, double *waited, struct cop_err *err)
{
	int64_t first = t[0]->step, most;
	double begun = cop_now();
	int rc = 0;
	*waited = 0;
	for (int k = 0; k < n && !rc; k++)
		rc = to_device(t[k], err);
	check_record(t, n);
	most = steps_at_once(t[0]);
	while (!rc && t[0]->step < until && t[0]->step < first + most)
		rc = one_step(t, n, waited, err);
	if (!rc)
		rc = t[0]->backend->queue->check(err);
	for (int k = 0; k < n && !rc; k++)
		rc = t[k]->backend->get(&t[k]->sums, t[k]->device->mirror.loss, sizeof(t[k]->sums), err);
	lead_of(t[0])->step_seconds = (cop_now() - begun) / (double)(t[0]->step - first);
	return rc;
}

struct cop_loader *cop_on_device_loader(const struct cop_trainer *t)
{
	return t->device->lead->eval_loader;
}

int cop_on_device_measure(struct cop_trainer *t, const struct cop_part *part, struct cop_loss *all, struct cop_err *err)
{
	struct cop_on_device *d = t->device;
	struct cop_feed *f = &lead_of(t)->eval;
	enum cop_split split = part == &t->data->test ? COP_SPLIT_TEST : COP_SPLIT_TRAIN;
	*all = (struct cop_loss){0};
	int rc = to_device(t, err);
	if (!rc)
		rc = t->backend->put(d->eval_loss, all, sizeof(*all), err);
	for (int64_t at = 0; at * t->eval_batch < part->n && !rc; at++) {
		rc = cop_trainer_beat(t, err);
		if (!rc)
			rc = cop_feed_send(f, at, &(struct cop_dials){.step = t->step}, err);
		if (rc)
			break;
		cop_feed_gather(f, split, f->n);
		queue_evaluation(t, f->n);
		cop_feed_done(f);
	}
	if (!rc)
		rc = t->backend->queue->check(err);
	return rc ? rc : t->backend->get(all, d->eval_loss, sizeof(*all), err);
}
