/* The engine on one batch; see engine.h. */
#include "engine.h"

#include "base/mem.h"
#include "floats.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What lies beyond the batch belongs to nobody, and must not show in any result. */
static const float beyond = -1000;

static size_t features(const struct cop_node *d)
{
	return (size_t)d->c * (size_t)d->h * (size_t)d->w;
}

void engine_init(struct engine *e, struct cop_graph *g, int batch, bool training)
{
	struct cop_err err = {0};
	*e = (struct engine){.batch = batch};
	cop_net_take(&e->net, g);
	if (cop_work_init(&e->work, &e->net, &cop_cpu_backend, batch, training, NULL, &err))
		fail_msg("%s", err.msg);
	e->work.dropout_seed = 77;
	e->dials = (struct cop_dials){.step = 5};
	e->work.dials = &e->dials;
	e->param = floats(e->net.graph.params.total);
	e->grad = floats(e->net.graph.params.total);
	e->buffer = floats(e->net.graph.buffers.total);
	e->x = floats(features(&e->net.graph.node[0]) * (size_t)e->work.ld);
	e->logits = cop_xcalloc((size_t)(batch * e->net.classes), sizeof(*e->logits));
}

void engine_release(struct engine *e)
{
	void *all[] = {e->param, e->grad, e->buffer, e->x, e->logits};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		free(all[i]);
	cop_work_release(&e->work);
	cop_net_release(&e->net);
}

/* Where (n,c,p), p counting pixels, lies in an activation of the engine's. */
static size_t at(const struct engine *e, const struct cop_node *d, int n, int c, int p)
{
	return ((size_t)p * (size_t)d->c + (size_t)c) * (size_t)e->work.ld + (size_t)n;
}

static void place_input(struct engine *e, const double *x)
{
	const struct cop_node *d = &e->net.graph.node[0];
	for (size_t i = 0; i < features(d) * (size_t)e->work.ld; i++)
		e->x[i] = beyond;
	for (int n = 0; n < e->batch; n++)
		for (int c = 0; c < d->c; c++)
			for (int p = 0; p < d->h * d->w; p++)
				e->x[at(e, d, n, c, p)] = (float)*x++;
}

static void take_logits(struct engine *e, const float *y)
{
	for (int n = 0; n < e->batch; n++)
		for (int k = 0; k < e->net.classes; k++)
			e->logits[n * e->net.classes + k] = (double)y[k * e->work.ld + n];
}

void engine_forward(struct engine *e, const double *x, const int32_t *label)
{
	struct cop_loss loss = {0};
	place_input(e, x);
	const float *y = cop_net_forward(&e->work, e->param, e->buffer, e->x);
	take_logits(e, y);
	e->work.backend->softmax_xent(e->net.classes, e->batch, e->work.ld, y, label,
				      e->work.training ? cop_work_dlogits(&e->work) : NULL, &loss);
	e->loss = loss.loss / e->batch;
}

void engine_backward(struct engine *e)
{
	cop_net_backward(&e->work, e->param, e->grad);
}

void engine_evaluate_as_guest(struct engine *e, const double *x)
{
	struct cop_work guest;
	struct cop_err err = {0};
	if (cop_work_init(&guest, &e->net, e->work.backend, e->batch, false, &e->work, &err))
		fail_msg("%s", err.msg);
	if (!guest.guest)
		fail_msg("evaluation wants more memory than training");
	place_input(e, x);
	take_logits(e, cop_net_forward(&guest, e->param, e->buffer, e->x));
	cop_work_release(&guest);
}

void engine_keep(const struct engine *e, int node, double *keep)
{
	const struct cop_node *d = &e->net.graph.node[node];
	size_t all = features(d) * (size_t)e->work.ld;
	float *ones = floats(all), *drawn = floats(all);
	for (size_t i = 0; i < all; i++)
		ones[i] = 1;
	const struct cop_shape shape = {d->c, d->h, d->w, e->batch, e->work.ld};
	const struct cop_activation x = {ones, {.lo = -INFINITY, .hi = INFINITY}};
	const struct cop_drop drop = {d->rate, e->work.dropout_seed, (uint32_t)node, &e->dials};
	e->work.backend->dropout(&shape, &drop, &x, drawn);
	for (int n = 0; n < e->batch; n++)
		for (int c = 0; c < d->c; c++)
			for (int p = 0; p < d->h * d->w; p++)
				*keep++ = drawn[at(e, d, n, c, p)] > 0;
	free(ones);
	free(drawn);
}
