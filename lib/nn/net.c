/* Networks; see net.h. */
#include "nn/net.h"

#include "base/mem.h"
#include "base/rng.h"
#include "nn/models.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void add_layer(struct cop_net *net, int in, int out, bool relu)
{
	struct cop_layer *l = &net->layer[net->n++];
	*l = (struct cop_layer){.in = in, .out = out, .relu = relu};
	snprintf(l->name, sizeof(l->name), "fc%d", net->n);
	char name[COP_TENSOR_NAME];
	snprintf(name, sizeof(name), "%s/weight", l->name);
	cop_layout_add(&net->params, name, 2, (const int64_t[]){out, in}, true);
	snprintf(name, sizeof(name), "%s/bias", l->name);
	cop_layout_add(&net->params, name, 1, (const int64_t[]){out}, false);
	l->weight = net->params.tensor[net->params.n - 2].offset;
	l->bias = net->params.tensor[net->params.n - 1].offset;
}

int cop_net_init(struct cop_net *net, const struct cop_model_config *m, int inputs, int classes, struct cop_err *err)
{
	*net = (struct cop_net){.inputs = inputs, .classes = classes};
	if (m->name != COP_MODEL_LENET)
		return cop_fail(err, COP_EMISSING, "this version trains the network 'lenet' only, not '%s'",
				cop_model_name(m->name));
	if (inputs < 1 || classes < 2)
		return cop_fail(err, COP_EINPUT, "a network needs at least one input and two classes, not %d and %d",
				inputs, classes);
	net->layer = cop_xcalloc(m->hidden.n + 1, sizeof(*net->layer));
	int in = inputs;
	for (size_t i = 0; i < m->hidden.n; i++) {
		add_layer(net, in, (int)m->hidden.v[i], true);
		in = (int)m->hidden.v[i];
	}
	add_layer(net, in, classes, false);
	return 0;
}

void cop_net_release(struct cop_net *net)
{
	free(net->layer);
	cop_layout_release(&net->params);
	cop_layout_release(&net->buffers);
	*net = (struct cop_net){0};
}

void cop_net_draw(const struct cop_net *net, int init, uint64_t seed, float *param)
{
	for (int k = 0; k < net->n; k++) {
		const struct cop_layer *l = &net->layer[k];
		struct cop_stream s;
		cop_stream_init(&s, seed, COP_PURPOSE_INIT, (uint32_t)k, 0);
		size_t n = (size_t)l->in * (size_t)l->out;
		double variance = init == COP_INIT_KAIMING_NORMAL ? 2.0 / l->in : 2.0 / ((double)l->in + l->out);
		double deviation = sqrt(variance), limit = sqrt(3.0 * variance);
		for (size_t i = 0; i < n; i++)
			param[l->weight + i] = init == COP_INIT_GLOROT_UNIFORM
						       ? (float)(limit * (2 * cop_stream_uniform(&s) - 1))
						       : (float)(deviation * cop_stream_normal(&s));
		for (int i = 0; i < l->out; i++)
			param[l->bias + (size_t)i] = 0.0f;
	}
}

double cop_net_macs(const struct cop_net *net)
{
	double macs = 0;
	for (int k = 0; k < net->n; k++)
		macs += (double)net->layer[k].in * net->layer[k].out;
	return macs;
}

int cop_work_init(struct cop_work *w, const struct cop_net *net, int batch, bool training, struct cop_err *err)
{
	*w = (struct cop_work){.net = net, .batch = batch, .ld = cop_leading(batch)};
	size_t ld = (size_t)w->ld, features = (size_t)net->inputs;
	for (int k = 0; k < net->n; k++)
		features += (size_t)net->layer[k].out * (training ? 2 : 1);
	int rc = cop_alloc(&w->arena, features, ld * sizeof(float), "activations", err);
	if (rc)
		return rc;
	w->y = cop_xcalloc((size_t)net->n + 1, sizeof(*w->y));
	w->dy = training ? cop_xcalloc((size_t)net->n + 1, sizeof(*w->dy)) : NULL;
	float *next = w->arena;
	w->y[0] = next;
	next += (size_t)net->inputs * ld;
	for (int k = 0; k < net->n; k++) {
		w->y[k + 1] = next;
		next += (size_t)net->layer[k].out * ld;
		if (training) {
			w->dy[k + 1] = next;
			next += (size_t)net->layer[k].out * ld;
		}
	}
	return 0;
}

void cop_work_release(struct cop_work *w)
{
	free(w->arena);
	free(w->y);
	free(w->dy);
	*w = (struct cop_work){0};
}

static struct cop_linear linear_of(const struct cop_work *w, int k)
{
	const struct cop_layer *l = &w->net->layer[k];
	return (struct cop_linear){.in = l->in,
				   .out = l->out,
				   .ld = w->ld,
				   .relu = l->relu,
				   .from_relu = k > 0 && w->net->layer[k - 1].relu};
}

void cop_net_forward(const struct cop_backend *b, const float *param, struct cop_work *w)
{
	for (int k = 0; k < w->net->n; k++) {
		struct cop_linear d = linear_of(w, k);
		const struct cop_layer *l = &w->net->layer[k];
		b->linear_forward(&d, param + l->weight, param + l->bias, w->y[k], w->y[k + 1]);
	}
}

void cop_net_backward(const struct cop_backend *b, const float *param, struct cop_work *w, float *grad)
{
	for (int k = w->net->n - 1; k >= 0; k--) {
		struct cop_linear d = linear_of(w, k);
		const struct cop_layer *l = &w->net->layer[k];
		if (k > 0)
			b->linear_backward_data(&d, param + l->weight, w->dy[k + 1], w->y[k], w->dy[k]);
		b->linear_backward_weights(&d, w->dy[k + 1], w->y[k], grad + l->weight, grad + l->bias);
	}
}
