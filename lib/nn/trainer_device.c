/*
 * Training on a device that works beside the program; see trainer.h. A step is queued as a whole: what changes from one
 * to the next lies in the device's memory (feed.h), so the calls are the same each time. The first step is queued call
 * by call, the second is recorded, and from then on the record is replayed.
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
	struct cop_resident resident;
	struct cop_feed train, eval;
	struct cop_mirror mirror;
	struct cop_loss *eval_loss;                /* on the device */
	bool host_newer, device_newer, sums_newer; /* sums: the program's, of all that the device has newer */
	int queued;                                /* steps, up to 2 */
	struct cop_record *record;
	double step_seconds; /* of late */
};

static int open_loaders(struct cop_trainer *t, struct cop_err *err)
{
	struct cop_on_device *d = t->device;
	enum cop_loader_gives gives = cop_resident_wants(&d->resident);
	int threads = t->data->loader_threads;
	int rc = cop_loader_open(&t->loader, t->data, t->backend, (int)t->config->batch, threads, gives, err);
	return rc ? rc : cop_loader_open(&t->eval_loader, t->data, t->backend, t->eval_batch, threads, gives, err);
}

int cop_on_device_init(struct cop_trainer *t, struct cop_err *err)
{
	struct cop_on_device *d = t->device = cop_xcalloc(1, sizeof(*d));
	void *loss = NULL;
	d->host_newer = true;
	int rc = cop_mirror_init(&d->mirror, t->backend, &t->net.graph, t->nslots, err);
	if (!rc)
		rc = t->backend->alloc(&loss, sizeof(*d->eval_loss), "the loss", err);
	d->eval_loss = loss;
	if (!rc)
		rc = cop_resident_init(&d->resident, t->backend, t->data, MARGIN, err);
	if (!rc)
		rc = open_loaders(t, err);
	if (!rc)
		rc = cop_feed_init(&d->train, &d->resident, t->loader, (int)t->config->batch, TRAIN_MARKS, err);
	if (!rc)
		rc = cop_feed_init(&d->eval, &d->resident, t->eval_loader, t->eval_batch, EVAL_MARKS, err);
	if (rc)
		return rc;
	t->work.dials = cop_feed_dials(&d->train);
	t->eval.dials = cop_feed_dials(&d->eval);
	return t->backend->queue->check(err);
}

void cop_on_device_release(struct cop_trainer *t)
{
	struct cop_on_device *d = t->device;
	if (!d)
		return;
	t->backend->queue->release_record(d->record);
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
	/* a record has the address of the mask, or that there is none */
	if (masked != (d->mirror.mask != NULL)) {
		t->backend->queue->release_record(d->record);
		d->record = NULL;
		d->queued = 0;
	}
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

/* All calls of one step, but for what its batch is. */
static void queue_step(struct cop_trainer *t)
{
	struct cop_on_device *d = t->device;
	const struct cop_mirror *m = &d->mirror;
	struct cop_work *w = &t->work;
	int batch = (int)t->config->batch;
	cop_feed_gather(&d->train, COP_SPLIT_TRAIN, batch);
	const float *logits = cop_net_forward(w, m->param, m->buffer, d->train.x);
	t->backend->softmax_xent(t->net.classes, batch, w->ld, logits, cop_feed_labels(&d->train), cop_work_dlogits(w),
				 m->loss);
	cop_net_backward(w, m->param, m->grad);
	cop_trainer_update(
		t, &(struct cop_update){
			   .dials = w->dials, .grad = m->grad, .mask = m->mask, .param = m->param, .slot = m->slot});
}

/* Once call by call, so that all that is made at first use is there; then recorded. */
static int queue_or_replay(struct cop_trainer *t, struct cop_err *err)
{
	struct cop_on_device *d = t->device;
	const struct cop_queue *q = t->backend->queue;
	int rc = 0;
	if (d->queued++ == 0) {
		queue_step(t);
		return q->check(err);
	}
	if (!d->record) {
		rc = q->begin_record(err);
		if (rc)
			return rc;
		queue_step(t);
		rc = q->end_record(&d->record, err);
	}
	if (!rc)
		q->replay(d->record);
	return rc;
}

static int one_step(struct cop_trainer *t, double *waited, struct cop_err *err)
{
	struct cop_on_device *d = t->device;
	struct cop_dials dials = cop_trainer_dials(t);
	double begun = cop_now();
	int rc = cop_feed_send(&d->train, t->step, &dials, err);
	*waited += cop_now() - begun;
	if (!rc)
		rc = queue_or_replay(t, err);
	if (rc)
		return rc;
	cop_feed_done(&d->train);
	d->device_newer = true;
	t->step++;
	return 0;
}

static int64_t steps_at_once(const struct cop_trainer *t)
{
	const struct cop_on_device *d = t->device;
	if (d->queued < 2 || (t->progress_path && t->checkpoint_seconds <= 0))
		return 1;
	double n = d->step_seconds > 0 ? ASK_EVERY / d->step_seconds : STEPS_MOST;
	return n < 1 ? 1 : n > STEPS_MOST ? STEPS_MOST : (int64_t)n;
}

int cop_on_device_steps(struct cop_trainer *t, int64_t until, double *waited, struct cop_err *err)
{
	struct cop_on_device *d = t->device;
	int64_t first = t->step, most = steps_at_once(t);
	double begun = cop_now();
	int rc = to_device(t, err);
	*waited = 0;
	while (!rc && t->step < until && t->step < first + most)
		rc = one_step(t, waited, err);
	if (!rc)
		rc = t->backend->queue->check(err);
	if (!rc)
		rc = t->backend->get(&t->sums, d->mirror.loss, sizeof(t->sums), err);
	if (rc)
		return rc;
	d->step_seconds = (cop_now() - begun) / (double)(t->step - first);
	return cop_trainer_finite(t, t->sums.loss, err);
}

int cop_on_device_measure(struct cop_trainer *t, const struct cop_part *part, struct cop_loss *all, struct cop_err *err)
{
	struct cop_on_device *d = t->device;
	const struct cop_mirror *m = &d->mirror;
	struct cop_work *w = &t->eval;
	enum cop_split split = part == &t->data->test ? COP_SPLIT_TEST : COP_SPLIT_TRAIN;
	*all = (struct cop_loss){0};
	int rc = to_device(t, err);
	if (!rc)
		rc = t->backend->put(d->eval_loss, all, sizeof(*all), err);
	for (int64_t at = 0; at * t->eval_batch < part->n && !rc; at++) {
		rc = cop_trainer_beat(t, err);
		if (!rc)
			rc = cop_feed_send(&d->eval, at, &(struct cop_dials){.step = t->step}, err);
		if (rc)
			break;
		cop_feed_gather(&d->eval, split, d->eval.n);
		const float *logits = cop_net_forward(w, m->param, m->buffer, d->eval.x);
		t->backend->softmax_xent(t->net.classes, d->eval.n, w->ld, logits, cop_feed_labels(&d->eval), NULL,
					 d->eval_loss);
		cop_feed_done(&d->eval);
	}
	if (!rc)
		rc = t->backend->queue->check(err);
	return rc ? rc : t->backend->get(all, d->eval_loss, sizeof(*all), err);
}
