/* Lines between weights; see line.h. */
#include "nn/line.h"

#include "base/log.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What running statistics are estimated with. */
struct estimator {
	struct cop_work work;
	struct cop_loader *loader;
	struct cop_dials dials;
	float *moved; /* (buffers.total): what one batch makes of the statistics */
	double *sum;  /* (buffers.total) */
};

static int begin(struct estimator *e, struct cop_trainer *t, int64_t batches, struct cop_err *err)
{
	const struct cop_train_config *c = t->config;
	const size_t n = t->net.graph.buffers.total;
	*e = (struct estimator){0};
	int rc = cop_work_init(&e->work, &t->net, &cop_cpu_backend, (int)c->batch, true, NULL, err);
	e->work.dials = &e->dials;
	e->work.dropout_seed = (uint64_t)c->seed_augment;
	if (!rc)
		rc = cop_loader_open(&e->loader, t->data, &cop_cpu_backend, (int)c->batch, COP_LOADER_IN_STEP,
				     COP_GIVES_INPUT, err);
	if (!rc)
		rc = cop_alloc(&e->moved, n, sizeof(*e->moved), "running statistics", err);
	if (!rc)
		rc = cop_alloc(&e->sum, n, sizeof(*e->sum), "running statistics", err);
	if (!rc)
		cop_loader_train(e->loader, (uint64_t)c->seed_order, (uint64_t)c->seed_augment, t->steps_per_epoch,
				 batches);
	for (size_t i = 0; i < n && !rc; i++)
		e->sum[i] = 0;
	return rc;
}

static void end(struct estimator *e)
{
	cop_loader_free(e->loader);
	cop_work_release(&e->work);
	free(e->moved);
	free(e->sum);
}

/* A batch moves statistics to (1 - momentum) old + momentum batch's: what the batch's are. */
static void add_moved(struct estimator *e, const struct cop_graph *g, const float *old)
{
	for (int i = 0; i < g->n; i++) {
		const struct cop_node *d = &g->node[i];
		if (d->op != COP_OP_BATCH_NORM)
			continue;
		const size_t part[] = {d->running_mean, d->running_var};
		for (int k = 0; k < 2; k++)
			for (size_t j = part[k]; j < part[k] + (size_t)d->c; j++)
				e->sum[j] += ((double)e->moved[j] - (1 - d->momentum) * (double)old[j]) / d->momentum;
	}
}

static int add_batches(struct estimator *e, struct cop_trainer *t, const float *param, int64_t batches,
		       const float *old, struct cop_err *err)
{
	const struct cop_graph *g = &t->net.graph;
	for (int64_t at = 0; at < batches; at++) {
		const struct cop_batch *in;
		int rc = t->heartbeat ? t->heartbeat(t, t->user, err) : 0;
		if (!rc)
			rc = cop_loader_take(e->loader, at, &in, err);
		if (rc)
			return rc;
		e->dials.step = at;
		memcpy(e->moved, old, g->buffers.total * sizeof(*old));
		cop_net_forward(&e->work, param, e->moved, in->x);
		cop_loader_give(e->loader);
		add_moved(e, g, old);
	}
	return 0;
}

int cop_line_statistics(struct cop_trainer *t, const float *param, int64_t batches, float *buffer, struct cop_err *err)
{
	struct estimator e;
	int rc = begin(&e, t, batches, err);
	if (!rc)
		rc = add_batches(&e, t, param, batches, buffer, err);
	for (size_t i = 0; i < t->net.graph.buffers.total && !rc; i++)
		buffer[i] = (float)(e.sum[i] / (double)batches);
	end(&e);
	return rc;
}

/* In double: the ends are themselves, and so is every point between two equal ones. */
static void interpolate(const float *a, const float *b, double alpha, size_t n, float *to)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (float)((1 - alpha) * (double)a[i] + alpha * (double)b[i]);
}

static int measure(struct cop_trainer *t, const struct cop_part *part, double *error, double *loss, struct cop_err *err)
{
	struct cop_measure m;
	int rc = cop_trainer_measure(t, part, &m, err);
	if (rc)
		return rc;
	*error = 1 - m.top1;
	*loss = m.loss;
	return 0;
}

static int measure_point(struct cop_trainer *t, const struct cop_line *line, const struct cop_part *train,
			 struct cop_connection *c, int64_t i, float *param, float *buffer, struct cop_err *err)
{
	const struct cop_graph *g = &t->net.graph;
	const double alpha = c->column[COP_CONNECT_ALPHA][i];
	int rc = 0;
	interpolate(line->first, line->second, alpha, g->params.total, param);
	if (g->buffers.n)
		interpolate(line->first_buffer, line->second_buffer, alpha, g->buffers.total, buffer);
	if (g->buffers.n && c->batches)
		rc = cop_line_statistics(t, param, c->batches, buffer, err);
	if (!rc)
		rc = cop_trainer_put(t, &g->params, param, buffer, err);
	if (!rc)
		rc = measure(t, &t->data->test, &c->column[COP_CONNECT_TEST_ERROR][i],
			     &c->column[COP_CONNECT_TEST_LOSS][i], err);
	if (!rc && train)
		rc = measure(t, train, &c->column[COP_CONNECT_TRAIN_ERROR][i], &c->column[COP_CONNECT_TRAIN_LOSS][i],
			     err);
	return rc;
}

int cop_line_measure(struct cop_trainer *t, const struct cop_line *line, const struct cop_part *train,
		     struct cop_connection *c, struct cop_err *err)
{
	const struct cop_graph *g = &t->net.graph;
	float *param = NULL, *buffer = NULL;
	int rc = cop_alloc(&param, g->params.total, sizeof(*param), "weights", err);
	if (!rc)
		rc = cop_alloc(&buffer, g->buffers.total + 1, sizeof(*buffer), "running statistics", err);
	for (int64_t i = 0; i < c->points && !rc; i++)
		rc = measure_point(t, line, train, c, i, param, buffer, err);
	free(param);
	free(buffer);
	return rc;
}
