/* Training; see trainer.h. */
#include "nn/trainer.h"

#include "base/log.h"
#include "base/mem.h"
#include "nn/ranks.h"
#include "nn/ranks_device.h"
#include "nn/survival.h"
#include "nn/trainer_priv.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EVAL_BATCH = 256 };

static const char *const slot_names[][2] = {
	[COP_OPTIMIZER_SGD] = {"momentum", NULL},
	[COP_OPTIMIZER_ADAM] = {"adam_m", "adam_v"},
};

static int ranks_of(const struct cop_train_config *c)
{
	return c->ranks > 1 ? (int)c->ranks : 1;
}

/* Those that the configuration asks for are shared out. */
static int loader_threads(const struct cop_trainer *t)
{
	int all = t->data->loader_threads, n = ranks_of(t->config);
	return all > 0 ? (all + n - 1) / n : all;
}

int cop_trainer_open_loader(const struct cop_trainer *t, int rank, const struct cop_backend *b,
			    enum cop_loader_gives gives, struct cop_loader **l, struct cop_err *err)
{
	const struct cop_train_config *c = t->config;
	int rc = cop_loader_open(l, t->data, b, t->work.batch, loader_threads(t), gives, err);
	if (rc)
		return rc;
	cop_loader_share(*l, rank, ranks_of(c));
	cop_loader_train(*l, (uint64_t)c->seed_order, (uint64_t)c->seed_augment, t->steps_per_epoch, t->total_steps);
	return 0;
}

int cop_trainer_open_works(struct cop_trainer *t, const struct cop_net *net, struct cop_err *err)
{
	int batch = (int)t->config->batch / ranks_of(t->config);
	cop_work_release(&t->eval);
	cop_work_release(&t->work);
	int rc = cop_work_init(&t->work, net, t->backend, batch, true, NULL, err);
	if (!rc)
		t->eval_batch = cop_work_guest_batch(&t->work, EVAL_BATCH);
	if (!rc)
		rc = cop_work_init(&t->eval, net, t->backend, t->eval_batch, false, &t->work, err);
	if (!t->backend->queue)
		t->work.dials = &t->dials;
	t->work.dropout_seed = (uint64_t)t->config->seed_augment;
	return rc;
}

static int allocate(struct cop_trainer *t, struct cop_trainer *lead, struct cop_err *err)
{
	const struct cop_queue *q = t->backend->queue;
	size_t n = t->net.graph.params.total, taken = q && !lead ? q->most(true) : 0;
	t->nslots = t->config->optimizer == COP_OPTIMIZER_ADAM ? 2 : 1;
	int rc = cop_alloc(&t->param, n, sizeof(float), "parameters", err);
	if (!rc)
		rc = cop_alloc(&t->grad, n, sizeof(float), "gradients", err);
	for (size_t s = 0; s < t->nslots && !rc; s++)
		rc = cop_alloc(&t->slot[s], n, sizeof(float), "optimizer state", err);
	if (!rc)
		rc = cop_alloc(&t->buffer, t->net.graph.buffers.total + 1, sizeof(float), "running statistics", err);
	if (!rc)
		rc = cop_trainer_open_works(t, &t->net, err);
	if (!rc && q)
		return cop_on_device_init(t, lead, taken, err);
	if (!rc)
		rc = cop_trainer_open_loader(t, 0, t->backend, COP_GIVES_INPUT, &t->loader, err);
	if (!rc)
		rc = cop_loader_open(&t->eval_loader, t->data, t->backend, t->eval_batch, t->data->loader_threads,
				     COP_GIVES_INPUT, err);
	return rc;
}

static int check(const struct cop_trainer *t, struct cop_err *err)
{
	const struct cop_train_config *c = t->config;
	if (t->steps_per_epoch < 1)
		return cop_fail(err, COP_EINPUT,
				"'train.batch' is %" PRId64 ", but only %" PRId64 " images are left to train on",
				c->batch, t->data->train.n);
	return cop_ranks_check(c->batch, ranks_of(c), err);
}

static int init(struct cop_trainer *t, const struct cop_model_config *model, const struct cop_train_config *train,
		const struct cop_data *data, const struct cop_backend *backend, struct cop_trainer *lead,
		struct cop_err *err)
{
	*t = (struct cop_trainer){.config = train, .data = data, .backend = backend};
	t->steps_per_epoch = data->train.n / train->batch;
	t->total_steps = t->steps_per_epoch * train->epochs + train->more_steps;
	int rc = check(t, err);
	if (!rc)
		rc = cop_net_init(&t->net, model, data->info.channels, data->info.height, data->info.width,
				  data->info.nclasses, err);
	if (!rc)
		rc = cop_schedule_init(&t->schedule, train, t->steps_per_epoch, err);
	if (!rc)
		rc = allocate(t, lead, err);
	if (!rc && ranks_of(train) > 1 && t->device)
		rc = cop_device_ranks_open(&t->device_ranks, t, ranks_of(train), err);
	else if (!rc && ranks_of(train) > 1)
		rc = cop_ranks_open(&t->ranks, t, ranks_of(train), err);
	if (rc)
		cop_trainer_release(t);
	return rc;
}

int cop_trainer_init(struct cop_trainer *t, const struct cop_model_config *model, const struct cop_train_config *train,
		     const struct cop_data *data, const struct cop_backend *backend, struct cop_err *err)
{
	return init(t, model, train, data, backend, NULL, err);
}

int cop_trainer_init_beside(struct cop_trainer *t, const struct cop_model_config *model, struct cop_trainer *lead,
			    struct cop_err *err)
{
	return init(t, model, lead->config, lead->data, lead->backend, lead, err);
}

int cop_trainer_room(struct cop_trainer *t, int wanted, size_t *each, struct cop_err *err)
{
	return cop_on_device_room(t, wanted, each, err);
}

void cop_trainer_release(struct cop_trainer *t)
{
	cop_device_ranks_free(t->device_ranks);
	cop_ranks_free(t->ranks);
	cop_on_device_release(t);
	cop_on_survivors_release(t);
	cop_net_release(&t->net);
	cop_schedule_release(&t->schedule);
	cop_work_release(&t->work);
	cop_work_release(&t->eval);
	cop_history_release(&t->history);
	free(t->param);
	free(t->grad);
	free(t->buffer);
	for (size_t s = 0; s < COP_SLOTS_MAX; s++)
		free(t->slot[s]);
	free(t->mask);
	cop_loader_free(t->loader);
	cop_loader_free(t->eval_loader);
	*t = (struct cop_trainer){0};
}

/* The arrays were: what has gone on from them is old. */
static void changed(struct cop_trainer *t)
{
	cop_on_device_changed(t);
	cop_on_survivors_changed(t);
}

void cop_trainer_draw(struct cop_trainer *t, int init, uint64_t seed)
{
	cop_graph_draw(&t->net.graph, init, seed, t->param, t->buffer);
	changed(t);
}

void cop_trainer_begin_at(struct cop_trainer *t, int64_t step)
{
	t->step = t->fresh = step;
	for (size_t s = 0; s < t->nslots; s++)
		memset(t->slot[s], 0, t->net.graph.params.total * sizeof(float));
	changed(t);
}

void cop_trainer_restart(struct cop_trainer *t)
{
	t->images = 0;
	t->seconds = t->stepping = t->waiting = t->joules = t->gpu_memory = 0;
	t->gpu_time = (struct cop_gpu_time){0};
	t->sums = (struct cop_loss){0};
	cop_history_release(&t->history);
	cop_trainer_begin_at(t, 0);
}

static void apply_mask(struct cop_trainer *t)
{
	for (size_t i = 0; i < t->net.graph.params.total; i++) {
		if (t->mask[i])
			continue;
		t->param[i] = 0.0f;
		for (size_t s = 0; s < t->nslots; s++)
			t->slot[s][i] = 0.0f;
	}
}

int cop_trainer_take_over(struct cop_trainer *t, const struct cop_checkpoint *c, struct cop_err *err)
{
	const struct cop_graph *g = &t->net.graph;
	if (!cop_layout_same(&c->params, &g->params) || !cop_layout_same(&c->buffers, &g->buffers))
		return cop_fail(err, COP_EINPUT, "the checkpoint is of another network");
	const float *slot[COP_SLOTS_MAX] = {NULL};
	for (size_t s = 0; s < t->nslots; s++) {
		const char *name = slot_names[t->config->optimizer][s];
		for (size_t k = 0; k < c->nslots; k++)
			if (strcmp(c->slot_name[k], name) == 0)
				slot[s] = c->slot[k];
		if (!slot[s])
			return cop_fail(err, COP_EINPUT, "the checkpoint lacks the optimizer's '%s'", name);
	}
	size_t bytes = t->net.graph.params.total * sizeof(float);
	memcpy(t->param, c->param, bytes);
	if (g->buffers.total)
		memcpy(t->buffer, c->buffer, g->buffers.total * sizeof(float));
	for (size_t s = 0; s < t->nslots; s++)
		memcpy(t->slot[s], slot[s], bytes);
	t->step = c->step;
	changed(t);
	return 0;
}

int cop_trainer_put(struct cop_trainer *t, const struct cop_layout *l, const float *param, const float *buffer,
		    struct cop_err *err)
{
	const struct cop_graph *g = &t->net.graph;
	if (!cop_layout_same(l, &g->params))
		return cop_fail(err, COP_EINPUT, "the weights are of another network");
	memcpy(t->param, param, g->params.total * sizeof(float));
	if (g->buffers.total)
		memcpy(t->buffer, buffer, g->buffers.total * sizeof(float));
	changed(t);
	return 0;
}

/* A mask that was checked. */
static void cut(struct cop_trainer *t, const uint8_t *mask)
{
	cop_on_survivors_release(t); /* of another mask */
	free(t->mask);
	t->mask = cop_xmalloc(t->net.graph.params.total);
	memcpy(t->mask, mask, t->net.graph.params.total);
	apply_mask(t);
	changed(t);
}

int cop_trainer_cut(struct cop_trainer *t, const uint8_t *mask, struct cop_err *err)
{
	int rc = cop_survival_check(&t->net, mask, err);
	if (!rc)
		cut(t, mask);
	return rc;
}

int cop_trainer_rewind(struct cop_trainer *t, const struct cop_checkpoint *c, const uint8_t *mask, struct cop_err *err)
{
	int rc = mask ? cop_survival_check(&t->net, mask, err) : 0;
	if (!rc)
		rc = cop_trainer_take_over(t, c, err);
	if (rc)
		return rc;
	t->fresh = 0;
	if (mask)
		cut(t, mask);
	return 0;
}

struct cop_checkpoint cop_trainer_checkpoint(const struct cop_trainer *t)
{
	struct cop_checkpoint c = {
		.params = t->net.graph.params,
		.buffers = t->net.graph.buffers,
		.param = t->param,
		.buffer = t->buffer,
		.nslots = t->nslots,
		.step = t->step,
		.epoch = (double)t->step / (double)t->steps_per_epoch,
		.experiment = (char *)(uintptr_t)t->experiment,
		.hash = (char *)(uintptr_t)t->hash,
	};
	for (size_t s = 0; s < t->nslots; s++) {
		c.slot_name[s] = slot_names[t->config->optimizer][s];
		c.slot[s] = t->slot[s];
	}
	return c;
}

struct cop_dials cop_trainer_dials(const struct cop_trainer *t, int64_t step)
{
	return (struct cop_dials){
		.step = step, .updates = step - t->fresh, .lr = (float)cop_schedule_lr(&t->schedule, step)};
}

void cop_trainer_update(const struct cop_trainer *t, const struct cop_update *u)
{
	const struct cop_train_config *c = t->config;
	const struct cop_backend *b = u->backend ? u->backend : t->backend;
	size_t n = u->n ? u->n : t->net.graph.params.total;
	if (c->optimizer == COP_OPTIMIZER_SGD) {
		struct cop_sgd o = {.momentum = (float)c->momentum,
				    .weight_decay = (float)c->weight_decay,
				    .nesterov = c->nesterov};
		b->sgd(&o, u->dials, n, u->grad, u->mask, u->param, u->slot[0]);
		return;
	}
	struct cop_adam o = {.beta1 = (float)c->beta1,
			     .beta2 = (float)c->beta2,
			     .epsilon = (float)c->epsilon,
			     .weight_decay = (float)c->weight_decay};
	b->adam(&o, u->dials, n, u->grad, u->mask, u->param, u->slot[0], u->slot[1]);
}

int cop_trainer_finite(const struct cop_trainer *t, double loss, struct cop_err *err)
{
	if (isfinite(loss))
		return 0;
	return cop_fail(err, COP_EFAILED,
			"the loss is no longer finite at step %" PRId64 " (learning rate %g): a lower one may help",
			t->step, cop_schedule_lr(&t->schedule, t->step));
}

/* What a step changes but the sums. *waited: seconds until the batch was there. */
static int step_alone(struct cop_trainer *t, struct cop_loss *loss, double *waited, struct cop_err *err)
{
	struct cop_work *w = &t->work;
	struct cop_numbers at = cop_trainer_numbers(t);
	const struct cop_batch *in;
	double begun = cop_now();
	int rc = cop_loader_take(t->loader, t->step, &in, err);
	*waited = cop_now() - begun;
	if (rc)
		return rc;
	const float *logits = cop_net_forward(w, at.param, at.buffer, in->x);
	t->backend->softmax_xent(t->net.classes, in->n, w->ld, logits, in->label, cop_work_dlogits(w), loss);
	rc = cop_trainer_finite(t, loss->loss, err);
	if (rc)
		return rc;
	cop_net_backward(w, at.param, at.grad);
	cop_loader_give(t->loader);
	cop_trainer_update(t, &(struct cop_update){.dials = &t->dials,
						   .n = at.n,
						   .grad = at.grad,
						   .mask = at.mask,
						   .param = at.param,
						   .slot = at.slot});
	return 0;
}

static int one_step(struct cop_trainer *t, double *waited, struct cop_err *err)
{
	struct cop_loss loss = {0};
	t->dials = cop_trainer_dials(t, t->step);
	int rc = t->ranks ? cop_ranks_step(t->ranks, t->pace.threads, &loss, waited, err)
			  : step_alone(t, &loss, waited, err);
	if (rc)
		return rc;
	t->sums.loss += loss.loss;
	t->sums.top1 += loss.top1;
	t->sums.top5 += loss.top5;
	t->sums.images += loss.images;
	t->step++;
	return 0;
}

int cop_trainer_beat(const struct cop_trainer *t, struct cop_err *err)
{
	return t->heartbeat ? t->heartbeat(t, t->user, err) : 0;
}

/* Sums over a part with the weights as they are. */
static int add_up(struct cop_trainer *t, const struct cop_part *part, struct cop_loss *all, struct cop_err *err)
{
	struct cop_work *w = &t->eval;
	*all = (struct cop_loss){0};
	struct cop_numbers now = cop_trainer_numbers(t);
	for (int64_t at = 0; at * t->eval_batch < part->n; at++) {
		const struct cop_batch *in;
		struct cop_loss loss = {0};
		int rc = cop_trainer_beat(t, err);
		if (!rc)
			rc = cop_loader_take(t->eval_loader, at, &in, err);
		if (rc)
			return rc;
		const float *logits = cop_net_forward(w, now.param, now.buffer, in->x);
		t->backend->softmax_xent(t->net.classes, in->n, w->ld, logits, in->label, NULL, &loss);
		cop_loader_give(t->eval_loader);
		all->loss += loss.loss;
		all->top1 += loss.top1;
		all->top5 += loss.top5;
		all->images += loss.images;
	}
	return 0;
}

int cop_trainer_measure(struct cop_trainer *t, const struct cop_part *part, struct cop_measure *m, struct cop_err *err)
{
	struct cop_loss all;
	int rc = cop_on_survivors_begin(t, err);
	if (rc)
		return rc;
	cop_loader_aim(t->device ? cop_on_device_loader(t) : t->eval_loader, part);
	rc = t->device ? cop_on_device_measure(t, part, &all, err) : add_up(t, part, &all, err);
	if (rc)
		return rc;
	double n = all.images ? (double)all.images : NAN;
	*m = (struct cop_measure){.loss = all.loss / n, .top1 = (double)all.top1 / n, .top5 = (double)all.top5 / n};
	return 0;
}

double cop_trainer_speed(const struct cop_trainer *t)
{
	return t->stepping > 0 ? (double)t->images / t->stepping : NAN;
}

double cop_trainer_joules(const struct cop_trainer *t)
{
	return t->energy ? t->joules + cop_energy_read(t->energy) : NAN;
}

struct cop_gpu_time cop_trainer_gpu_time(const struct cop_trainer *t)
{
	struct cop_gpu_time all = t->gpu_time, now = {0};
	if (t->energy)
		now = cop_energy_gpu_time(t->energy);
	return (struct cop_gpu_time){all.watched + now.watched, all.busy + now.busy};
}

double cop_trainer_utilisation(const struct cop_trainer *t)
{
	struct cop_gpu_time all = cop_trainer_gpu_time(t);
	return all.watched > 0 ? all.busy / all.watched : NAN;
}

double cop_trainer_memory(const struct cop_trainer *t)
{
	double now = (double)cop_on_device_most(t), most = now > t->gpu_memory ? now : t->gpu_memory;
	return most > 0 ? most : NAN;
}

double cop_trainer_data_wait(const struct cop_trainer *t)
{
	return t->stepping > 0 ? t->waiting / t->stepping : NAN;
}

const char *cop_trainer_data_note(const struct cop_trainer *t, char buf[COP_DATA_NOTE])
{
	double share = cop_trainer_data_wait(t);
	*buf = '\0';
	if (share > 0.01)
		snprintf(buf, COP_DATA_NOTE, ", %.0f%% waiting for data", 100 * share);
	return buf;
}

/* Test top-1 where the validation loss is less than in any row before and that is asked for, else NaN. */
static int test_minimum(struct cop_trainer *t, double val_loss, double *top1, struct cop_err *err)
{
	struct cop_measure m;
	*top1 = NAN;
	if (!t->config->test_early_stop || !isfinite(val_loss) ||
	    val_loss >= cop_history_early_stop(&t->history).val_loss)
		return 0;
	int rc = cop_trainer_measure(t, &t->data->test, &m, err);
	if (!rc)
		*top1 = m.top1;
	return rc;
}

/* A row of the history for the state as it is; with the sums since the row before where there are some. */
static int add_row(struct cop_trainer *t, struct cop_err *err)
{
	struct cop_measure v;
	double test_top1;
	int rc = cop_trainer_measure(t, &t->data->validation, &v, err);
	if (!rc)
		rc = test_minimum(t, v.loss, &test_top1, err);
	if (rc)
		return rc;
	double n = t->sums.images ? (double)t->sums.images : NAN;
	int64_t last = t->step > 0 && t->sums.images ? t->step - 1 : t->step;
	double row[COP_HISTORY_COLUMNS] = {
		[COP_HISTORY_EPOCH] = (double)t->step / (double)t->steps_per_epoch,
		[COP_HISTORY_STEP] = (double)t->step,
		[COP_HISTORY_LR] = cop_schedule_lr(&t->schedule, last),
		[COP_HISTORY_TRAIN_LOSS] = t->sums.loss / n,
		[COP_HISTORY_TRAIN_TOP1] = (double)t->sums.top1 / n,
		[COP_HISTORY_VAL_LOSS] = v.loss,
		[COP_HISTORY_VAL_TOP1] = v.top1,
		[COP_HISTORY_VAL_TOP5] = v.top5,
		[COP_HISTORY_SECONDS] = t->seconds,
		[COP_HISTORY_TEST_TOP1] = test_top1,
	};
	cop_history_add(&t->history, row);
	t->sums = (struct cop_loss){0};
	cop_on_device_sums(t);
	return 0;
}

int cop_trainer_sync(struct cop_trainer *t, struct cop_err *err)
{
	cop_on_survivors_sync(t);
	return cop_on_device_sync(t, err);
}

/* Whether to save now: asked to stop, or enough time gone by since `saved`. */
static int save_if_due(struct cop_trainer *t, double *saved, struct cop_err *err)
{
	bool stop = t->stop && *t->stop;
	if (!stop && (!t->progress_path || cop_now() - *saved < t->checkpoint_seconds))
		return 0;
	int rc = t->progress_path ? cop_trainer_save(t, err) : 0;
	*saved = cop_now();
	if (!rc && stop)
		rc = cop_fail(err, COP_ESTOPPED, "%s was asked to stop: saved at step %" PRId64,
			      t->what ? t->what : "training", t->step);
	return rc;
}

static void say_progress(const struct cop_trainer *t)
{
	char data[COP_DATA_NOTE];
	if (t->what)
		cop_progress(t->what, (double)t->step, (double)t->total_steps,
			     "epoch %.1f of %" PRId64 ", %.0f images/s%s", (double)t->step / (double)t->steps_per_epoch,
			     t->config->epochs, cop_trainer_speed(t), cop_trainer_data_note(t, data));
}

/* Steps of all, which are at the same one, up to `until` or fewer; *waited: seconds until batches were there. */
static int advance(struct cop_trainer *const *t, int n, int64_t until, double *waited, struct cop_err *err)
{
	struct cop_trainer *first = t[0];
	int64_t every = first->schedule.validate_every, row = (first->step / every + 1) * every;
	if (first->device_ranks)
		return cop_device_ranks_steps(first->device_ranks, row < until ? row : until, waited, err);
	if (first->device)
		return cop_on_device_steps(t, n, row < until ? row : until, waited, err);
	return one_step(first, waited, err);
}

/* Whether the last row is the first one since an epoch ended. */
static bool ends_epoch(const struct cop_trainer *t)
{
	const struct cop_history *h = &t->history;
	int64_t before = h->n > 1 ? (int64_t)h->row[h->n - 2][COP_HISTORY_STEP] : 0;
	return t->step / t->steps_per_epoch > before / t->steps_per_epoch;
}

static int add_row_if_due(struct cop_trainer *t, struct cop_err *err)
{
	if (t->step % t->schedule.validate_every != 0 && t->step != t->total_steps)
		return 0;
	double begun = cop_now();
	int rc = add_row(t, err);
	t->seconds += cop_now() - begun;
	if (!rc && t->epoch_ended && ends_epoch(t))
		t->epoch_ended(t, t->user);
	return rc;
}

/* What follows steps from `before` on, which took so long. */
static int after_steps(struct cop_trainer *t, int64_t before, double took, double waited, double *saved,
		       struct cop_err *err)
{
	if (t->backend == &cop_cpu_backend && !cop_loader_trying(t->loader))
		cop_cpu_use(cop_pace_step(&t->pace, took));
	if (t->loader && !t->ranks)
		cop_loader_note(t->loader, took, waited);
	t->stepping += took;
	t->waiting += waited;
	t->seconds += took;
	t->images += t->config->batch * (t->step - before);
	int rc = t->device ? cop_trainer_finite(t, t->sums.loss, err) : 0;
	if (!rc)
		rc = add_row_if_due(t, err);
	if (rc)
		return rc;
	if (t->step / 16 != before / 16)
		say_progress(t);
	rc = cop_trainer_beat(t, err);
	if (!rc && t->step < t->total_steps)
		rc = save_if_due(t, saved, err);
	return rc;
}

/* Those that go next: the furthest behind, up to where others join them. Returns how many. */
static int next_ones(struct cop_trainer *const *t, int n, const int *rc, int64_t step, int *which, int64_t *until)
{
	int64_t least = step;
	int found = 0;
	for (int k = 0; k < n; k++)
		if (!rc[k] && t[k]->step < least)
			least = t[k]->step;
	*until = step;
	for (int k = 0; k < n && least < step; k++) {
		if (rc[k])
			continue;
		if (t[k]->step == least)
			which[found++] = k;
		else if (t[k]->step < *until)
			*until = t[k]->step;
	}
	return found;
}

void cop_trainers_run(struct cop_trainer *const *t, int n, int64_t step, int *rc, struct cop_err *err)
{
	struct cop_trainer *going[COP_LANES_MAX];
	int which[COP_LANES_MAX], together;
	double saved[COP_LANES_MAX];
	int64_t until;
	/* the most that may be had is what was set; a pace of another number begins anew */
	if (t[0]->pace.most != cop_cpu_threads())
		cop_pace_init(&t[0]->pace, cop_cpu_threads());
	for (int k = 0; k < n; k++) {
		saved[k] = cop_now();
		if (!rc[k])
			rc[k] = cop_on_survivors_begin(t[k], &err[k]);
		if (!rc[k] && t[k]->history.n == 0)
			rc[k] = add_row(t[k], &err[k]);
	}
	while ((together = next_ones(t, n, rc, step, which, &until)) > 0) {
		struct cop_err failed = {0};
		for (int k = 0; k < together; k++)
			going[k] = t[which[k]];
		double begun = cop_now(), waited;
		int64_t before = going[0]->step;
		int bad = advance(going, together, until, &waited, &failed);
		double took = cop_now() - begun;
		for (int k = 0; k < together; k++) {
			int i = which[k];
			rc[i] = bad ? cop_fail(&err[i], bad, "%s", failed.msg)
				    : after_steps(t[i], before, took, waited, &saved[i], &err[i]);
		}
	}
}

int cop_trainer_run(struct cop_trainer *t, int64_t step, struct cop_err *err)
{
	struct cop_err failed = {0};
	int rc = 0;
	cop_trainers_run(&t, 1, step, &rc, &failed);
	return rc ? cop_fail(err, rc, "%s", failed.msg) : 0;
}
