/* Ranks; see ranks.h. */
#include "nn/ranks.h"

#include "base/log.h"
#include "base/mem.h"
#include "nn/trainer_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct rank {
	struct cop_ranks *all;
	int number;
	pthread_t thread;
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

	/* who has come to where all meet */
	pthread_mutex_t lock;
	pthread_cond_t complete;
	int expected, here;
	int64_t meetings;

	/* of the step that all meet for */
	int threads;
	bool quit;
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

/* Waits for all ranks. What each wrote before, all can read after. */
static void meet(struct cop_ranks *r)
{
	pthread_mutex_lock(&r->lock);
	int64_t meeting = r->meetings;
	if (++r->here == r->expected) {
		r->here = 0;
		r->meetings++;
		pthread_cond_broadcast(&r->complete);
	}
	while (meeting == r->meetings)
		pthread_cond_wait(&r->complete, &r->lock);
	pthread_mutex_unlock(&r->lock);
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
static void step(struct rank *k)
{
	struct cop_ranks *r = k->all;
	int threads = share_of(r->threads, k->number, r->n), most = cop_cpu_threads();
	cop_cpu_use(threads < most ? threads : most);
	k->rc = compute(k, &k->err);
	meet(r);
	if (!failed(r))
		update(k);
	meet(r);
}

int cop_ranks_step(struct cop_ranks *r, int threads, struct cop_loss *loss, double *waited, struct cop_err *err)
{
	r->threads = threads;
	meet(r);
	step(&r->rank[0]);
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

/* What a rank has of its own, allocated on its thread, which writes it first and plans for its threads. */
static int equip(struct rank *k, struct cop_err *err)
{
	struct cop_trainer *t = k->all->t;
	int rc = cop_alloc(&k->buffer, t->net.graph.buffers.total + 1, sizeof(float), "running statistics", err);
	if (k->number == 0) {
		k->work = &t->work;
		k->loader = t->loader;
		k->grad = t->grad;
		return rc;
	}
	if (!rc)
		rc = cop_alloc(&k->grad, t->net.graph.params.total, sizeof(float), "gradients", err);
	if (!rc)
		rc = cop_work_init(&k->own, &t->net, t->backend, t->work.batch, true, NULL, err);
	k->work = &k->own;
	k->own.dials = &t->dials;
	/* other images than those of the first rank drop other features */
	k->own.dropout_seed = t->work.dropout_seed + ((uint64_t)k->number << 60);
	return rc ? rc : cop_trainer_open_loader(t, k->number, &k->loader, err);
}

static void *work(void *rank)
{
	struct rank *k = rank;
	cop_cpu_confine(share_of(k->all->threads, k->number, k->all->n));
	k->rc = equip(k, &k->err);
	meet(k->all);
	for (;;) {
		meet(k->all); /* for a step, or for the end */
		if (k->all->quit)
			return NULL;
		step(k);
	}
}

/* Signals are for the program's first thread. */
static int start_threads(struct cop_ranks *r, struct cop_err *err)
{
	sigset_t all, before;
	int started = 1, rc = 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (; started < r->n && !rc; started += !rc) {
		struct rank *k = &r->rank[started];
		if ((errno = pthread_create(&k->thread, NULL, work, k)) != 0)
			rc = cop_fail_errno(err, COP_EFAILED, "cannot start a thread for rank %d of %d", started, r->n);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_mutex_lock(&r->lock);
	r->expected = started;
	pthread_mutex_unlock(&r->lock);
	return rc;
}

static bool reads_in_turn(const struct cop_data *d)
{
	return d->train.file && !cop_image_file_shared(d->train.file);
}

int cop_ranks_open(struct cop_ranks **out, struct cop_trainer *t, int n, struct cop_err *err)
{
	struct cop_ranks *r = cop_xcalloc(1, sizeof(*r));
	*r = (struct cop_ranks){.t = t, .n = n, .threads = cop_cpu_threads(), .in_turn = reads_in_turn(t->data)};
	pthread_mutex_init(&r->reading, NULL);
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->complete, NULL);
	/* more than ever come, until it is known how many there are */
	r->expected = COP_RANKS_MAX + 1;
	for (int k = 0; k < n; k++) {
		r->rank[k].all = r;
		r->rank[k].number = k;
	}
	int rc = start_threads(r, err);
	struct rank *first = &r->rank[0], *bad;
	first->rc = equip(first, &first->err);
	meet(r);
	if (!rc && (bad = failed(r)) != NULL)
		rc = cop_fail(err, bad->rc, "%s", bad->err.msg);
	for (int k = 0; k < n; k++) {
		r->grad[k] = r->rank[k].grad;
		r->buffer[k] = r->rank[k].buffer;
	}
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
	r->quit = true;
	meet(r);
	for (int k = 1; k < r->expected; k++)
		pthread_join(r->rank[k].thread, NULL);
	for (int k = 0; k < r->n; k++) {
		free(r->rank[k].buffer);
		if (k == 0)
			continue;
		free(r->rank[k].grad);
		cop_work_release(&r->rank[k].own);
		cop_loader_free(r->rank[k].loader);
	}
	pthread_cond_destroy(&r->complete);
	pthread_mutex_destroy(&r->lock);
	pthread_mutex_destroy(&r->reading);
	free(r);
}
