/* Ranks; see ranks.h. */
#include "nn/ranks.h"

#include "base/log.h"
#include "base/mem.h"
#include "nn/trainer_priv.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct rank {
	struct cop_ranks *all;
	int number;
	struct cop_work own, *work; /* the first rank's is the trainer's, like the following two */
	struct cop_loader *loader;
	float *grad;
	float *buffer; /* running statistics */
	struct cop_loss loss;
	double waited;
	int rc;
	struct cop_err err;
};

struct cop_ranks {
	struct cop_trainer *t;
	struct rank rank[COP_RANKS_MAX];
	float *grad[COP_RANKS_MAX], *buffer[COP_RANKS_MAX]; /* the ranks' */
	int n;
	bool in_turn;            /* batches are read by one rank at a time */
	pthread_mutex_t reading; /* then */

	struct cop_team *team;
	int threads; /* of the step */
};

int cop_ranks_check(int64_t batch, int64_t ranks, struct cop_err *err)
{
	if (batch % ranks == 0)
		return 0;
	return cop_fail(err, COP_EINPUT,
			"'train.batch' is %" PRId64 ", which %" PRId64
			" ranks ('device.ranks') cannot share evenly: take a multiple of %" PRId64,
			batch, ranks, ranks);
}

bool cop_ranks_in_turn(const struct cop_data *d)
{
	return d->train.file && !cop_image_file_shared(d->train.file);
}

uint64_t cop_rank_seed(uint64_t seed, int rank)
{
	return seed + ((uint64_t)rank << 60);
}

static int share_of(int threads, int rank, int n)
{
	int share = threads * (rank + 1) / n - threads * rank / n;
	return share > 1 ? share : 1;
}

void cop_ranks_mean(float *const *part, int n, size_t from, size_t to, float *out)
{
	enum { BLOCK = 2048 };
	size_t blocks = (to - from + BLOCK - 1) / BLOCK;
	float scale = 1.0f / (float)n;
#pragma omp parallel for schedule(static)
	for (size_t b = 0; b < blocks; b++) {
		size_t at = from + b * BLOCK, m = to - at < BLOCK ? to - at : BLOCK;
		float sum[BLOCK];
		memcpy(sum, part[0] + at, m * sizeof(*sum));
		for (int k = 1; k < n; k++)
			for (size_t i = 0; i < m; i++)
				sum[i] += part[k][at + i];
		for (size_t i = 0; i < m; i++)
			out[at + i] = sum[i] * scale;
	}
}

/* Where rank k's slice of n numbers begins: at a whole line of memory. */
static size_t slice(size_t n, int k, int ranks)
{
	enum { LINE = 16 };
	return k == ranks ? n : n / LINE * (size_t)k / (size_t)ranks * LINE;
}

/* A rank's part of the step up to its gradients. */
static int compute(struct rank *k, struct cop_err *err)
{
	struct cop_ranks *r = k->all;
	struct cop_trainer *t = r->t;
	struct cop_work *w = k->work;
	const struct cop_batch *in;
	double begun = cop_now();
	k->loss = (struct cop_loss){0};
	memcpy(k->buffer, t->buffer, t->net.graph.buffers.total * sizeof(float));
	if (r->in_turn)
		pthread_mutex_lock(&r->reading);
	int rc = cop_loader_take(k->loader, t->step, &in, err);
	if (r->in_turn)
		pthread_mutex_unlock(&r->reading);
	k->waited = cop_now() - begun;
	if (rc)
		return rc;
	const float *logits = cop_net_forward(w, t->param, k->buffer, in->x);
	t->backend->softmax_xent(t->net.classes, in->n, w->ld, logits, in->label, cop_work_dlogits(w), &k->loss);
	rc = cop_trainer_finite(t, k->loss.loss, err);
	if (rc)
		return rc;
	cop_net_backward(w, t->param, k->grad);
	cop_loader_give(k->loader);
	return 0;
}

/* A rank's slice: the mean gradient, the update, and the mean of the running statistics. */
static void update(struct rank *k)
{
	struct cop_ranks *r = k->all;
	struct cop_trainer *t = r->t;
	size_t params = t->net.graph.params.total, buffers = t->net.graph.buffers.total;
	size_t from = slice(params, k->number, r->n), to = slice(params, k->number + 1, r->n);
	float *slots[COP_SLOTS_MAX] = {NULL};
	for (size_t s = 0; s < t->nslots; s++)
		slots[s] = t->slot[s] + from;
	cop_ranks_mean(r->grad, r->n, from, to, t->grad);
	if (to > from)
		cop_trainer_update(t, &(struct cop_update){.dials = &t->dials,
							   .n = to - from,
							   .grad = t->grad + from,
							   .mask = t->mask ? t->mask + from : NULL,
							   .param = t->param + from,
							   .slot = slots});
	cop_ranks_mean(r->buffer, r->n, slice(buffers, k->number, r->n), slice(buffers, k->number + 1, r->n),
		       t->buffer);
}

/* The first rank that failed, or NULL. */
static struct rank *failed(struct cop_ranks *r)
{
	for (int k = 0; k < r->n; k++)
		if (r->rank[k].rc)
			return &r->rank[k];
	return NULL;
}

/* A rank's part of a step; all do theirs at the same time. */
static void step(void *ranks, int number)
{
	struct cop_ranks *r = ranks;
	struct rank *k = &r->rank[number];
	int threads = share_of(r->threads, number, r->n), most = cop_cpu_threads();
	cop_cpu_use(threads < most ? threads : most);
	k->rc = compute(k, &k->err);
	cop_team_meet(r->team);
	if (!failed(r))
		update(k);
}

int cop_ranks_step(struct cop_ranks *r, int threads, struct cop_loss *loss, double *waited, struct cop_err *err)
{
	r->threads = threads;
	cop_team_step(r->team);
	*waited = r->rank[0].waited;
	*loss = (struct cop_loss){0};
	for (int k = 0; k < r->n; k++) {
		const struct cop_loss *part = &r->rank[k].loss;
		loss->loss += part->loss;
		loss->top1 += part->top1;
		loss->top5 += part->top5;
		loss->images += part->images;
	}
	struct rank *bad = failed(r);
	return bad ? cop_fail(err, bad->rc, "%s", bad->err.msg) : 0;
}

/* What a rank has of its own; the first has the trainer's. */
static int equip(struct rank *k, struct cop_err *err)
{
	struct cop_trainer *t = k->all->t;
	int rc = cop_alloc(&k->buffer, t->net.graph.buffers.total + 1, sizeof(float), "running statistics", err);
	k->work = k->number ? &k->own : &t->work;
	k->loader = k->number ? NULL : t->loader;
	k->grad = k->number ? NULL : t->grad;
	if (rc || k->number == 0)
		return rc;
	rc = cop_alloc(&k->grad, t->net.graph.params.total, sizeof(float), "gradients", err);
	if (!rc)
		rc = cop_work_init(&k->own, &t->net, t->backend, t->work.batch, true, NULL, err);
	k->own.dials = &t->dials;
	k->own.dropout_seed = cop_rank_seed(t->work.dropout_seed, k->number);
	return rc ? rc : cop_trainer_open_loader(t, k->number, t->backend, COP_GIVES_INPUT, &k->loader, err);
}

/* On the rank's thread, which so is the first to write what it works on, and plans for its threads alone. */
static void begin(void *ranks, int number)
{
	struct cop_ranks *r = ranks;
	struct rank *k = &r->rank[number];
	*k = (struct rank){.all = r, .number = number};
	if (number > 0)
		cop_cpu_confine(share_of(r->threads, number, r->n));
	k->rc = equip(k, &k->err);
	r->grad[number] = k->grad;
	r->buffer[number] = k->buffer;
}

static void end(void *ranks, int number)
{
	struct rank *k = &((struct cop_ranks *)ranks)->rank[number];
	free(k->buffer);
	if (number == 0)
		return;
	free(k->grad);
	cop_work_release(&k->own);
	cop_loader_free(k->loader);
}

int cop_ranks_open(struct cop_ranks **out, struct cop_trainer *t, int n, struct cop_err *err)
{
	struct cop_ranks *r = cop_xcalloc(1, sizeof(*r));
	struct cop_team_work work = {.begin = begin, .step = step, .end = end, .user = r};
	*r = (struct cop_ranks){.t = t, .n = n, .threads = cop_cpu_threads(), .in_turn = cop_ranks_in_turn(t->data)};
	pthread_mutex_init(&r->reading, NULL);
	int rc = cop_team_open(&r->team, n, &work, err);
	struct rank *bad = rc ? NULL : failed(r);
	if (bad)
		rc = cop_fail(err, bad->rc, "%s", bad->err.msg);
	if (rc)
		cop_ranks_free(r);
	else
		*out = r;
	return rc;
}

void cop_ranks_free(struct cop_ranks *r)
{
	if (!r)
		return;
	cop_team_free(r->team);
	pthread_mutex_destroy(&r->reading);
	free(r);
}
