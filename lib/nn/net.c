/* Networks; see net.h. */
#include "nn/net.h"

#include "base/mem.h"
#include "compute/sparse.h"
#include "nn/constants.h"
#include "nn/models.h"

#include <math.h>
#include <stdlib.h>

int cop_net_init(struct cop_net *net, const struct cop_model_config *m, int channels, int height, int width,
		 int classes, struct cop_err *err)
{
	struct cop_graph g = {0};
	*net = (struct cop_net){0};
	int rc = cop_model_build(&g, m, channels, height, width, classes, err);
	if (!rc)
		cop_net_take(net, &g);
	return rc;
}

void cop_net_take(struct cop_net *net, struct cop_graph *g)
{
	*net = (struct cop_net){.graph = *g, .classes = g->node[g->n - 1].c};
	*g = (struct cop_graph){0};
	cop_stages_make(&net->stages, &net->graph);
}

void cop_net_release(struct cop_net *net)
{
	for (int i = 0; i < net->graph.n && net->sparse; i++)
		cop_sparse_release(&net->sparse[i]);
	free(net->sparse);
	cop_constants_release(net->constants);
	cop_stages_release(&net->stages);
	cop_graph_release(&net->graph);
	*net = (struct cop_net){0};
}

/* What the backend is told of stages. */

static const struct cop_stage *stage_of(const struct cop_work *w, int i)
{
	return &w->net->stages.stage[i];
}

static const struct cop_node *node_of(const struct cop_work *w, int node)
{
	return &w->net->graph.node[node];
}

static struct cop_shape shape_of(const struct cop_work *w, int i)
{
	const struct cop_stage *s = stage_of(w, i);
	return (struct cop_shape){s->c, s->h, s->w, w->batch, w->ld};
}

/* The list of a node's surviving weights; NULL: they are whole. */
static const struct cop_sparse *list_of(const struct cop_net *net, int node)
{
	return net->sparse && node >= 0 && net->sparse[node].out_begin ? &net->sparse[node] : NULL;
}

struct cop_conv cop_stage_conv(const struct cop_net *net, int i, int batch, int ld)
{
	const struct cop_stage *s = &net->stages.stage[i], *x = &net->stages.stage[s->input[0]];
	const struct cop_conv_spec *k = &net->graph.node[s->node].conv;
	return (struct cop_conv){.in_c = x->c,
				 .in_h = x->h,
				 .in_w = x->w,
				 .out_c = s->c,
				 .out_h = s->h,
				 .out_w = s->w,
				 .kernel = {k->kernel[0], k->kernel[1]},
				 .stride = {k->stride[0], k->stride[1]},
				 .padding = {k->padding[0], k->padding[1]},
				 .dilation = {k->dilation[0], k->dilation[1]},
				 .groups = s->kind == COP_STAGE_CONV ? k->groups : 1,
				 .batch = batch,
				 .ld = ld,
				 .sparse = list_of(net, s->node)};
}

static struct cop_conv conv_of(const struct cop_work *w, int i)
{
	return cop_stage_conv(w->net, i, w->batch, w->ld);
}

static struct cop_pool pool_of(const struct cop_work *w, int i)
{
	return (struct cop_pool){.window = conv_of(w, i),
				 .max = node_of(w, stage_of(w, i)->node)->op == COP_OP_MAX_POOL};
}

/* Over all channels that it normalises; what goes back, goes through those that are not only watched. */
static struct cop_norm norm_of(const struct cop_work *w, int i, bool back)
{
	const struct cop_stage *s = stage_of(w, i);
	const struct cop_node *d = node_of(w, s->norm);
	return (struct cop_norm){.c = s->c + (back ? 0 : s->watched),
				 .count = (double)w->batch * s->h * s->w,
				 .momentum = d->momentum,
				 .epsilon = d->epsilon};
}

static bool is_relu(const struct cop_stage *s)
{
	return s->norm < 0 && s->lo == 0 && s->hi == INFINITY;
}

static struct cop_linear linear_of(const struct cop_work *w, int i)
{
	const struct cop_stage *s = stage_of(w, i), *x = stage_of(w, s->input[0]);
	return (struct cop_linear){
		.in = x->c * x->h * x->w,
		.out = s->c,
		.ld = w->ld,
		.relu = is_relu(s),
		.from_relu = is_relu(x) && x->first == i,
		.add = x->last != i,
		.sparse = list_of(w->net, s->node),
	};
}

static struct cop_drop drop_of(const struct cop_work *w, int i)
{
	int node = stage_of(w, i)->node;
	return (struct cop_drop){.rate = w->training ? node_of(w, node)->rate : 0,
				 .seed = w->dropout_seed,
				 .node = (uint32_t)node,
				 .dials = w->dials};
}

/* The stage's value, as its readers read it. */
static struct cop_activation value_of(const struct cop_work *w, int i)
{
	const struct cop_stage *s = stage_of(w, i);
	struct cop_activation v = {.raw = s->kind == COP_STAGE_INPUT ? w->x : w->raw[i],
				   .as = {.lo = -INFINITY, .hi = INFINITY}};
	if (s->norm >= 0)
		v.as = (struct cop_reading){w->normed[i].scale, w->normed[i].shift, s->lo, s->hi};
	return v;
}

/* forward */

/* base: of what is the same for every image, in place of the bias; NULL: nothing is. */
static void run_forward(struct cop_work *w, int i, const float *param, const float *base, const float *about,
			struct cop_sums *sums)
{
	const struct cop_backend *b = w->backend;
	const struct cop_stage *s = stage_of(w, i);
	const struct cop_node *d = s->node >= 0 ? node_of(w, s->node) : NULL;
	struct cop_activation x = value_of(w, s->input[0]);
	struct cop_shape in = shape_of(w, s->input[0]);
	float lo = s->norm < 0 ? s->lo : -INFINITY, hi = s->norm < 0 ? s->hi : INFINITY;
	float *y = w->raw[i];
	switch (s->kind) {
	case COP_STAGE_INPUT:
		return;
	case COP_STAGE_CONV: {
		struct cop_conv c = conv_of(w, i);
		struct cop_output out = {.y = y,
					 .bias = d->bias ? param + d->bias_at : NULL,
					 .lo = lo,
					 .hi = hi,
					 .about = about,
					 .sums = sums,
					 .base = base};
		b->conv_forward(&c, &x, param + d->weight, &out, w->space);
		return;
	}
	case COP_STAGE_LINEAR: {
		struct cop_linear l = linear_of(w, i);
		const float *bias = d->bias ? param + d->bias_at : NULL;
		b->linear_forward(&l, param + d->weight, base ? base : bias, x.raw, y);
		break;
	}
	case COP_STAGE_ADD: {
		struct cop_activation terms[2] = {x, value_of(w, s->input[1])};
		struct cop_shape sum = shape_of(w, i);
		if (cop_constants_has(w->net, s->input[0]) || cop_constants_has(w->net, s->input[1]))
			cop_constants_add(w->constants, w->net, i, &sum, terms, lo, hi, y);
		else
			b->add(&sum, &terms[0], &terms[1], lo, hi, y);
		break;
	}
	case COP_STAGE_COPY:
		b->copy(&in, &x, y);
		break;
	case COP_STAGE_POOL: {
		struct cop_pool p = pool_of(w, i);
		b->pool(&p, &x, y, w->space);
		break;
	}
	case COP_STAGE_GLOBAL_POOL:
		b->global_pool(&in, &x, y);
		break;
	case COP_STAGE_FLATTEN:
		b->flatten(&in, &x, y);
		break;
	case COP_STAGE_DROPOUT: {
		struct cop_drop drop = drop_of(w, i);
		if (drop.rate > 0)
			b->dropout(&in, &drop, &x, y);
		else
			b->copy(&in, &x, y);
		break;
	}
	}
	struct cop_shape out = shape_of(w, i);
	bool cut = s->kind == COP_STAGE_ADD || (s->kind == COP_STAGE_LINEAR && is_relu(s));
	if (s->norm < 0 && cop_stage_cuts(s) && !cut)
		b->clamp(&out, s->lo, s->hi, y);
	if (sums)
		b->moments(&out, y, about, sums);
}

static void normalise(struct cop_work *w, int i, const float *param, float *buffer)
{
	const struct cop_node *d = node_of(w, stage_of(w, i)->norm);
	struct cop_norm n = norm_of(w, i, false);
	const float *weight = param + d->weight, *bias = param + d->bias_at;
	float *mean = buffer + d->running_mean, *var = buffer + d->running_var;
	if (w->training)
		w->backend->norm_train(&n, &w->sums, weight, bias, mean, var, &w->normed[i]);
	else
		w->backend->norm_evaluate(&n, weight, bias, mean, var, &w->normed[i]);
}

const float *cop_net_forward(struct cop_work *w, const float *param, float *buffer, const float *x)
{
	int n = w->net->stages.n;
	w->x = x;
	if (w->narrow)
		w->backend->narrow(w->net->graph.params.total, param, w->narrow);
	for (int i = 0; i < n; i++) {
		int norm = stage_of(w, i)->norm;
		bool batch = norm >= 0 && w->training;
		const float *base = NULL;
		if (w->constants)
			base = cop_constants_forward(w->constants, w->net, i, w->batch, param, buffer);
		run_forward(w, i, param, base, batch ? buffer + node_of(w, norm)->running_mean : NULL,
			    batch ? &w->sums : NULL);
		if (norm >= 0)
			normalise(w, i, param, buffer);
	}
	return w->raw[n - 1];
}

/* backward */

float *cop_work_dlogits(struct cop_work *w)
{
	return w->grad[w->net->stages.n - 1];
}

/* Where stage `from` puts the k-th of its inputs' gradient. */
static struct cop_sink sink_of(struct cop_work *w, int from, int k)
{
	const struct cop_stage *s = stage_of(w, from);
	int i = s->input[k];
	const struct cop_stage *x = stage_of(w, i);
	bool again = s->ninputs == 2 && s->input[0] == s->input[1];
	struct cop_sink to = {.g = w->grad[i],
			      .add = x->last != from || (again && k == 1),
			      .last = x->first == from && (!again || k == 1),
			      .cuts = cop_stage_cuts(x),
			      .of = value_of(w, i)};
	if (x->norm < 0)
		to.of.as = (struct cop_reading){.lo = x->lo, .hi = x->hi};
	else
		to.mean = w->normed[i].mean;
	to.sums = to.last && x->norm >= 0 ? &w->sums : NULL;
	return to;
}

/* Once a gradient is complete, its batch norm's are known. */
static void note_complete(struct cop_work *w, int i, const struct cop_sink *to, const float *param, float *grad)
{
	if (!to->sums)
		return;
	const struct cop_node *d = node_of(w, stage_of(w, i)->norm);
	struct cop_norm n = norm_of(w, i, true);
	w->backend->norm_backward(&n, &w->sums, param + d->weight, &w->normed[i], grad + d->weight, grad + d->bias_at,
				  &w->slopes[i]);
}

static struct cop_slope slope_of(const struct cop_work *w, int i)
{
	if (stage_of(w, i)->norm < 0)
		return (struct cop_slope){0};
	return (struct cop_slope){w->slopes[i].a, w->slopes[i].b, w->slopes[i].c, w->normed[i].mean};
}

/* Of what lies in memory. Convolutions compute it from that of the value as they load it; for others it is there. */
static struct cop_gradient gradient_of(const struct cop_work *w, int i)
{
	bool conv = stage_of(w, i)->kind == COP_STAGE_CONV;
	return (struct cop_gradient){
		.g = w->grad[i], .raw = w->raw[i], .slope = conv ? slope_of(w, i) : (struct cop_slope){0}};
}

static void back_conv(struct cop_work *w, int i, const float *param, const struct cop_sink *to, float *grad)
{
	const struct cop_stage *s = stage_of(w, i);
	const struct cop_node *d = node_of(w, s->node);
	struct cop_conv c = conv_of(w, i);
	struct cop_activation x = value_of(w, s->input[0]);
	struct cop_gradient dy = gradient_of(w, i);
	w->backend->conv_backward(&c, &dy, &x, param + d->weight, to, grad + d->weight,
				  d->bias ? grad + d->bias_at : NULL, w->space);
}

static void back_linear(struct cop_work *w, int i, const float *param, const struct cop_sink *to, float *grad)
{
	const struct cop_stage *s = stage_of(w, i);
	const struct cop_node *d = node_of(w, s->node);
	struct cop_linear l = linear_of(w, i);
	struct cop_activation x = value_of(w, s->input[0]);
	if (to) {
		struct cop_shape in = shape_of(w, s->input[0]);
		w->backend->linear_backward_data(&l, param + d->weight, w->grad[i], x.raw, to->g);
		if (!l.from_relu)
			w->backend->pass(&in, to->g, to);
	}
	w->backend->linear_backward_weights(&l, w->grad[i], x.raw, grad + d->weight,
					    d->bias ? grad + d->bias_at : NULL);
}

/* One input's gradient, and the weights'; to: NULL where the input wants none. */
static void run_backward(struct cop_work *w, int i, int k, const float *param, const struct cop_sink *to, float *grad)
{
	const struct cop_backend *b = w->backend;
	const struct cop_stage *s = stage_of(w, i);
	struct cop_shape in = shape_of(w, s->input[k]);
	if (s->kind == COP_STAGE_CONV)
		back_conv(w, i, param, to, grad);
	if (s->kind == COP_STAGE_LINEAR)
		back_linear(w, i, param, to, grad);
	if (!to)
		return;
	struct cop_activation x = value_of(w, s->input[k]);
	if (s->kind == COP_STAGE_ADD && cop_constants_has(w->net, s->input[k])) {
		struct cop_shape sum = shape_of(w, i);
		cop_constants_pass(w->constants, w->net, i, k, &sum, w->grad[i], to);
	} else if (s->kind == COP_STAGE_ADD || s->kind == COP_STAGE_COPY) {
		b->pass(&in, w->grad[i], to);
	}
	if (s->kind == COP_STAGE_POOL) {
		struct cop_pool p = pool_of(w, i);
		b->pool_backward(&p, &x, w->grad[i], to, w->space);
	}
	if (s->kind == COP_STAGE_GLOBAL_POOL)
		b->global_pool_backward(&in, w->grad[i], to);
	if (s->kind == COP_STAGE_FLATTEN)
		b->flatten_backward(&in, w->grad[i], to);
	if (s->kind == COP_STAGE_DROPOUT) {
		struct cop_drop drop = drop_of(w, i);
		if (drop.rate > 0)
			b->dropout_backward(&in, &drop, w->grad[i], to);
		else
			b->pass(&in, w->grad[i], to);
	}
}

void cop_net_backward(struct cop_work *w, const float *param, float *grad)
{
	for (int i = w->net->stages.n - 1; i > 0; i--) {
		const struct cop_stage *s = stage_of(w, i);
		if (s->norm >= 0 && s->kind != COP_STAGE_CONV) {
			struct cop_shape shape = shape_of(w, i);
			struct cop_slope slope = slope_of(w, i);
			w->backend->slope(&shape, &slope, w->raw[i], w->grad[i]);
		}
		if (w->constants) {
			struct cop_gradient dy = gradient_of(w, i);
			cop_constants_backward(w->constants, w->net, i, w->batch, w->ld, &dy, param, grad);
		}
		/* an input that shares this gradient's memory comes after one that copies it */
		int first = s->ninputs == 2 && s->shares[0] && !s->shares[1];
		for (int n = 0; n < s->ninputs; n++) {
			int k = n ^ first, x = s->input[k];
			bool wanted = stage_of(w, x)->kind != COP_STAGE_INPUT;
			struct cop_sink to = sink_of(w, i, k);
			run_backward(w, i, k, param, wanted ? &to : NULL, grad);
			if (wanted)
				note_complete(w, x, &to, param, grad);
		}
	}
}
