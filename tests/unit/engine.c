/* The engine on one batch; see engine.h. */
#include "engine.h"

#include "base/mem.h"
#include "digits.h"
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

static void *take(const struct engine *e, size_t bytes)
{
	struct cop_err err = {0};
	void *p;
	must(e->work.backend->alloc(&p, bytes, "a test", &err), &err);
	return p;
}

static bool is_device(const struct engine *e)
{
	return e->work.backend->queue != NULL;
}

static void init_device(struct engine *e)
{
	struct cop_err err = {0};
	const struct cop_backend *b = e->work.backend;
	must(cop_mirror_init(&e->mirror, b, &e->net.graph, 0, &err), &err);
	e->device_x = take(e, features(&e->net.graph.node[0]) * (size_t)e->work.ld * b->element);
	e->device_label = take(e, (size_t)e->batch * sizeof(int32_t));
	e->device_dials = take(e, sizeof(e->dials));
	must(b->put(e->device_dials, &e->dials, sizeof(e->dials), &err), &err);
	e->work.dials = e->device_dials;
}

/* The net is there. */
static void init_on(struct engine *e, const struct cop_backend *backend, int batch, bool training)
{
	struct cop_err err = {0};
	e->batch = batch;
	must(cop_work_init(&e->work, &e->net, backend, batch, training, NULL, &err), &err);
	e->work.dropout_seed = 77;
	e->dials = (struct cop_dials){.step = 5, .updates = 5};
	e->work.dials = &e->dials;
	e->param = floats(e->net.graph.params.total);
	e->grad = floats(e->net.graph.params.total);
	e->buffer = floats(e->net.graph.buffers.total);
	e->x = floats(features(&e->net.graph.node[0]) * (size_t)e->work.ld);
	e->logits = cop_xcalloc((size_t)(batch * e->net.classes), sizeof(*e->logits));
	if (is_device(e))
		init_device(e);
}

void engine_init(struct engine *e, struct cop_graph *g, int batch, bool training)
{
	*e = (struct engine){0};
	cop_net_take(&e->net, g);
	init_on(e, &cop_cpu_backend, batch, training);
}

void engine_init_beside(struct engine *e, const struct engine *other, const struct cop_backend *backend, bool training)
{
	*e = (struct engine){.net = other->net, .beside = true};
	init_on(e, backend, other->batch, training);
	memcpy(e->param, other->param, e->net.graph.params.total * sizeof(float));
	if (e->net.graph.buffers.total)
		memcpy(e->buffer, other->buffer, e->net.graph.buffers.total * sizeof(float));
}

void engine_reduce(struct engine *e, const uint8_t *mask, const bool *whole)
{
	struct cop_err err = {0};
	bool training = e->work.training;
	must(cop_reduced_init(&e->reduced, &e->net, mask, whole, &err), &err);
	cop_work_release(&e->work);
	must(cop_work_init(&e->work, &e->reduced.net, &cop_cpu_backend, e->batch, training, NULL, &err), &err);
	e->work.dropout_seed = 77;
	e->work.dials = &e->dials;
	e->small_param = floats(e->reduced.net.graph.params.total);
	e->small_grad = floats(e->reduced.net.graph.params.total);
	e->small_buffer = floats(e->reduced.net.graph.buffers.total);
	e->is_reduced = true;
}

static const float *forward_reduced(struct engine *e)
{
	const struct cop_reduced *r = &e->reduced;
	size_t buffers = r->net.graph.buffers.total;
	cop_reduced_gather(r->param_of, r->net.graph.params.total, e->param, e->small_param);
	cop_reduced_gather(r->buffer_of, buffers, e->buffer, e->small_buffer);
	const float *y = cop_net_forward(&e->work, e->small_param, e->small_buffer, e->x);
	cop_reduced_scatter(r->buffer_of, buffers, e->small_buffer, e->buffer);
	return y;
}

static void backward_reduced(struct engine *e)
{
	const struct cop_reduced *r = &e->reduced;
	cop_net_backward(&e->work, e->small_param, e->small_grad);
	memset(e->grad, 0, e->net.graph.params.total * sizeof(*e->grad));
	cop_reduced_scatter(r->param_of, r->net.graph.params.total, e->small_grad, e->grad);
}

void engine_release(struct engine *e)
{
	void *all[] = {e->param, e->grad, e->buffer, e->x, e->logits, e->small_param, e->small_grad, e->small_buffer};
	cop_reduced_release(&e->reduced);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		free(all[i]);
	if (is_device(e)) {
		void *there[] = {e->device_x, e->device_label, e->device_dials};
		for (size_t i = 0; i < sizeof(there) / sizeof(there[0]); i++)
			e->work.backend->release(there[i]);
		cop_mirror_release(&e->mirror);
	}
	cop_work_release(&e->work);
	if (!e->beside)
		cop_net_release(&e->net);
}

/* Where (n,c,p), p counting pixels, lies in an activation of the engine's. */
static size_t at(const struct engine *e, const struct cop_node *d, int n, int c, int p)
{
	if (is_device(e))
		return ((size_t)n * (size_t)(d->h * d->w) + (size_t)p) * (size_t)d->c + (size_t)c;
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
	const struct cop_node *d = &e->net.graph.node[e->net.graph.n - 1];
	for (int n = 0; n < e->batch; n++)
		for (int k = 0; k < e->net.classes; k++)
			e->logits[n * e->net.classes + k] = (double)y[at(e, d, n, k, 0)];
}

/* n numbers of the backend's element to and from the device. bf16 is the upper half of a float, rounded to even. */
static void put_elements(const struct engine *e, float *to, const float *from, size_t n)
{
	const struct cop_backend *b = e->work.backend;
	struct cop_err err = {0};
	uint16_t *half = cop_xcalloc(n, sizeof(*half));
	for (size_t i = 0; i < n; i++) {
		uint32_t bits;
		memcpy(&bits, &from[i], sizeof(bits));
		half[i] = (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
	}
	must(b->put(to, b->element == 2 ? (const void *)half : from, n * b->element, &err), &err);
	free(half);
}

static void get_elements(const struct engine *e, float *to, const float *from, size_t n)
{
	const struct cop_backend *b = e->work.backend;
	struct cop_err err = {0};
	must(b->get(to, from, n * b->element, &err), &err);
	for (size_t i = n; i-- > 0 && b->element == 2;) {
		uint16_t half;
		memcpy(&half, (const char *)to + i * 2, sizeof(half));
		uint32_t bits = (uint32_t)half << 16;
		memcpy(&to[i], &bits, sizeof(bits));
	}
}

static void forward_on_device(struct engine *e, const int32_t *label)
{
	const struct cop_backend *b = e->work.backend;
	struct cop_loss loss = {0};
	struct cop_arrays a = {.param = e->param, .buffer = e->buffer, .loss = &loss};
	struct cop_err err = {0};
	size_t logits = (size_t)e->batch * (size_t)e->net.classes;
	float *y = floats(logits);
	put_elements(e, e->device_x, e->x, features(&e->net.graph.node[0]) * (size_t)e->work.ld);
	must(b->put(e->device_label, label, (size_t)e->batch * sizeof(*label), &err), &err);
	must(cop_mirror_put(&e->mirror, &a, &err), &err);
	const float *device_y = cop_net_forward(&e->work, e->mirror.param, e->mirror.buffer, e->device_x);
	b->softmax_xent(e->net.classes, e->batch, e->work.ld, device_y, e->device_label,
			e->work.training ? cop_work_dlogits(&e->work) : NULL, e->mirror.loss);
	must(b->queue->check(&err), &err);
	get_elements(e, y, device_y, logits);
	must(cop_mirror_get(&e->mirror, &a, &err), &err);
	take_logits(e, y);
	e->loss = loss.loss / e->batch;
	free(y);
}

void engine_forward(struct engine *e, const double *x, const int32_t *label)
{
	struct cop_loss loss = {0};
	place_input(e, x);
	if (is_device(e)) {
		forward_on_device(e, label);
		return;
	}
	const float *y = e->is_reduced ? forward_reduced(e) : cop_net_forward(&e->work, e->param, e->buffer, e->x);
	take_logits(e, y);
	e->work.backend->softmax_xent(e->net.classes, e->batch, e->work.ld, y, label,
				      e->work.training ? cop_work_dlogits(&e->work) : NULL, &loss);
	e->loss = loss.loss / e->batch;
}

/* What was there before does not show: the gradients start as NaN. */
static void backward_on_device(struct engine *e)
{
	struct cop_mirror of_gradients = e->mirror;
	struct cop_loss loss;
	struct cop_arrays a = {.param = e->grad, .buffer = e->buffer, .loss = &loss};
	struct cop_err err = {0};
	of_gradients.param = e->mirror.grad;
	for (size_t i = 0; i < e->net.graph.params.total; i++)
		e->grad[i] = NAN;
	must(e->work.backend->put(e->mirror.grad, e->grad, e->net.graph.params.total * sizeof(float), &err), &err);
	cop_net_backward(&e->work, e->mirror.param, e->mirror.grad);
	must(e->work.backend->queue->check(&err), &err);
	must(cop_mirror_get(&of_gradients, &a, &err), &err);
}

void engine_backward(struct engine *e)
{
	if (is_device(e))
		backward_on_device(e);
	else if (e->is_reduced)
		backward_reduced(e);
	else
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
