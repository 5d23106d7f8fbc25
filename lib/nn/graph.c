/* Graphs of layers; see graph.h. */
#include "nn/graph.h"

#include "base/mem.h"
#include "base/rng.h"
#include "compute/backend.h"
#include "nn/config.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* No shape of one image or of one kernel holds more elements than this, so that products of sizes fit. */
#define ELEMENTS_MAX (INT64_C(1) << 30)
/* ... and no convolution more weights than this, which leaves room to pad them. */
#define WEIGHTS_MAX (INT64_C(1) << 27)

static const char *const op_names[COP_OPS] = {
	[COP_OP_INPUT] = "input",       [COP_OP_CONV] = "conv",         [COP_OP_BATCH_NORM] = "batch_norm",
	[COP_OP_RELU] = "relu",         [COP_OP_RELU6] = "relu6",       [COP_OP_ADD] = "add",
	[COP_OP_MAX_POOL] = "max_pool", [COP_OP_AVG_POOL] = "avg_pool", [COP_OP_GLOBAL_AVG_POOL] = "global_avg_pool",
	[COP_OP_FLATTEN] = "flatten",   [COP_OP_DROPOUT] = "dropout",   [COP_OP_LINEAR] = "linear",
};

const char *cop_op_name(enum cop_op op)
{
	return op_names[op];
}

int cop_graph_fail(struct cop_graph *g, const char *fmt, ...)
{
	if (g->error.code)
		return -1;
	va_list args;
	va_start(args, fmt);
	char text[sizeof(g->error.msg)];
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	(void)cop_fail(&g->error, COP_EINPUT, "%s", text);
	return -1;
}

void cop_graph_release(struct cop_graph *g)
{
	free(g->node);
	cop_layout_release(&g->params);
	cop_layout_release(&g->buffers);
	*g = (struct cop_graph){0};
}

/* A node that reads `input` (-1: none yet) and gives its shape, for the caller to change. NULL after an error. */
static struct cop_node *add_node(struct cop_graph *g, enum cop_op op, int input)
{
	if (g->error.code)
		return NULL;
	if (op != COP_OP_INPUT && (input < 0 || input >= g->n))
		COP_BUG("a node reads one that is not there");
	g->node = cop_grow(g->node, &g->cap, (size_t)g->n + 1, sizeof(*g->node));
	struct cop_node *d = &g->node[g->n];
	*d = (struct cop_node){.op = op, .c = 0};
	snprintf(d->name, sizeof(d->name), "%s_%d", op_names[op], g->n);
	g->n++;
	if (op == COP_OP_INPUT)
		return d;
	const struct cop_node *in = &g->node[input];
	d->input[0] = input;
	d->ninputs = 1;
	d->c = in->c;
	d->h = in->h;
	d->w = in->w;
	return d;
}

static int number(const struct cop_graph *g, const struct cop_node *d)
{
	return d && !g->error.code ? (int)(d - g->node) : -1;
}

void cop_graph_name(struct cop_graph *g, int node, const char *name)
{
	if (g->error.code || !name)
		return;
	bool good = *name && strlen(name) < COP_NODE_NAME;
	for (const char *p = name; *p; p++)
		good = good && !strchr("/ .\177", *p) && (*p & 0xe0) != 0;
	if (!good) {
		cop_graph_fail(g,
			       "'%.80s' is no name for a layer: 1 to %d characters, no '/', '.', blanks or "
			       "control characters",
			       name, COP_NODE_NAME - 1);
		return;
	}
	for (int i = 0; i < g->n; i++)
		if (i != node && strcmp(g->node[i].name, name) == 0) {
			cop_graph_fail(g, "two layers are called '%s'", name);
			return;
		}
	snprintf(g->node[node].name, COP_NODE_NAME, "%s", name);
}

static size_t add_tensor(struct cop_layout *l, const struct cop_node *d, const char *name, int rank, const int64_t *dim,
			 bool prunable)
{
	char full[COP_TENSOR_NAME];
	snprintf(full, sizeof(full), "%s/%s", d->name, name);
	cop_layout_add(l, full, rank, dim, prunable);
	return l->tensor[l->n - 1].offset;
}

static bool fits(int64_t a, int64_t b, int64_t c)
{
	return a >= 1 && b >= 1 && c >= 1 && a <= ELEMENTS_MAX && b <= ELEMENTS_MAX / a && c <= ELEMENTS_MAX / (a * b);
}

int cop_graph_input(struct cop_graph *g, int c, int h, int w)
{
	if (g->n)
		return cop_graph_fail(g, "a network has one input, as its first layer");
	if (!fits(c, h, w))
		return cop_graph_fail(g, "an image of %d x %d x %d is no input", c, h, w);
	struct cop_node *d = add_node(g, COP_OP_INPUT, -1);
	d->c = c;
	d->h = h;
	d->w = w;
	return 0;
}

/* Writes out the numbers that were left 0, checks them, and works out the side that a window gives. */
static int set_window(struct cop_graph *g, struct cop_node *d, const struct cop_conv_spec *s)
{
	d->conv = *s;
	int *side[2] = {&d->h, &d->w};
	for (int i = 0; i < 2; i++) {
		int *stride = &d->conv.stride[i], *dilation = &d->conv.dilation[i];
		int kernel = d->conv.kernel[i], padding = d->conv.padding[i];
		*stride = *stride ? *stride : 1;
		*dilation = *dilation ? *dilation : 1;
		if (kernel < 1 || *stride < 1 || *dilation < 1 || padding < 0 || kernel > 4096 || *stride > 4096 ||
		    *dilation > 4096 || padding > 4096)
			return cop_graph_fail(g, "'%s': kernel %d, stride %d, padding %d, dilation %d cannot be",
					      d->name, kernel, *stride, padding, *dilation);
		int reach = *dilation * (kernel - 1) + 1, room = *side[i] + 2 * padding - reach;
		if (room < 0)
			return cop_graph_fail(g, "'%s': a window of %d does not fit into %d pixels with padding %d",
					      d->name, reach, *side[i], padding);
		*side[i] = room / *stride + 1;
	}
	if ((int64_t)d->conv.kernel[0] * d->conv.kernel[1] > COP_WINDOW_MAX)
		return cop_graph_fail(g, "'%s': a window of %d x %d is more than %d pixels", d->name, d->conv.kernel[0],
				      d->conv.kernel[1], COP_WINDOW_MAX);
	d->conv.groups = d->conv.groups ? d->conv.groups : 1;
	return 0;
}

int cop_graph_conv(struct cop_graph *g, int input, const char *name, const struct cop_conv_spec *s)
{
	struct cop_node *d = add_node(g, COP_OP_CONV, input);
	if (!d)
		return -1;
	int k = g->n - 1, in = d->c;
	cop_graph_name(g, k, name);
	if (g->error.code || set_window(g, d, s))
		return -1;
	int groups = d->conv.groups;
	if (s->out < 1 || groups < 1 || in % groups || s->out % groups)
		return cop_graph_fail(g, "'%s': %d channels to %d cannot be cut into %d groups", d->name, in, s->out,
				      groups);
	int64_t dim[4] = {s->out, in / groups, d->conv.kernel[0], d->conv.kernel[1]};
	if (!fits(dim[0], dim[1], dim[2] * dim[3]) || dim[0] * dim[1] * dim[2] * dim[3] > WEIGHTS_MAX ||
	    !fits(s->out, d->h, d->w))
		return cop_graph_fail(g, "'%s' is too large", d->name);
	d->c = s->out;
	d->bias = s->bias;
	d->weight = add_tensor(&g->params, d, "weight", 4, dim, true);
	if (d->bias)
		d->bias_at = add_tensor(&g->params, d, "bias", 1, dim, false);
	return k;
}

int cop_graph_batch_norm_with(struct cop_graph *g, int input, const char *name, double momentum, double epsilon)
{
	struct cop_node *d = add_node(g, COP_OP_BATCH_NORM, input);
	if (!d)
		return -1;
	cop_graph_name(g, g->n - 1, name);
	if (g->error.code)
		return -1;
	if (!(momentum > 0 && momentum <= 1) || !(epsilon > 0 && epsilon < 1))
		return cop_graph_fail(g, "'%s': momentum %g or epsilon %g is out of range (0 to 1)", d->name, momentum,
				      epsilon);
	int64_t dim[1] = {d->c};
	d->momentum = momentum;
	d->epsilon = epsilon;
	d->weight = add_tensor(&g->params, d, "weight", 1, dim, false);
	d->bias_at = add_tensor(&g->params, d, "bias", 1, dim, false);
	d->running_mean = add_tensor(&g->buffers, d, "running_mean", 1, dim, false);
	d->running_var = add_tensor(&g->buffers, d, "running_var", 1, dim, false);
	return g->n - 1;
}

int cop_graph_batch_norm(struct cop_graph *g, int input, const char *name)
{
	return cop_graph_batch_norm_with(g, input, name, 0.1, 1e-5);
}

int cop_graph_relu(struct cop_graph *g, int input)
{
	return number(g, add_node(g, COP_OP_RELU, input));
}

int cop_graph_relu6(struct cop_graph *g, int input)
{
	return number(g, add_node(g, COP_OP_RELU6, input));
}

int cop_graph_add(struct cop_graph *g, int a, int b)
{
	struct cop_node *d = add_node(g, COP_OP_ADD, a);
	if (!d)
		return -1;
	const struct cop_node *x = &g->node[a], *y = &g->node[b];
	if (x->c != y->c || x->h != y->h || x->w != y->w)
		return cop_graph_fail(g, "'%s' (%dx%dx%d) and '%s' (%dx%dx%d) cannot be added", x->name, x->c, x->h,
				      x->w, y->name, y->c, y->h, y->w);
	d->input[1] = b;
	d->ninputs = 2;
	return g->n - 1;
}

static int pool(struct cop_graph *g, enum cop_op op, int input, const struct cop_conv_spec *s)
{
	struct cop_node *d = add_node(g, op, input);
	if (!d || set_window(g, d, s))
		return -1;
	for (int i = 0; i < 2; i++)
		if (d->conv.dilation[i] != 1 || 2 * d->conv.padding[i] > d->conv.kernel[i])
			return cop_graph_fail(g, "'%s': a pool has no dilation, and padding of half its window at most",
					      d->name);
	if (!fits(d->c, d->h, d->w))
		return cop_graph_fail(g, "'%s' is too large", d->name);
	return g->n - 1;
}

int cop_graph_max_pool(struct cop_graph *g, int input, const struct cop_conv_spec *s)
{
	return pool(g, COP_OP_MAX_POOL, input, s);
}

int cop_graph_avg_pool(struct cop_graph *g, int input, const struct cop_conv_spec *s)
{
	return pool(g, COP_OP_AVG_POOL, input, s);
}

int cop_graph_global_avg_pool(struct cop_graph *g, int input)
{
	struct cop_node *d = add_node(g, COP_OP_GLOBAL_AVG_POOL, input);
	if (d)
		d->h = d->w = 1;
	return number(g, d);
}

int cop_graph_flatten(struct cop_graph *g, int input)
{
	struct cop_node *d = add_node(g, COP_OP_FLATTEN, input);
	if (!d)
		return -1;
	d->c *= d->h * d->w;
	d->h = d->w = 1;
	return g->n - 1;
}

int cop_graph_dropout(struct cop_graph *g, int input, double rate)
{
	struct cop_node *d = add_node(g, COP_OP_DROPOUT, input);
	if (!d)
		return -1;
	if (!(rate >= 0 && rate < 1))
		return cop_graph_fail(g, "'%s': a rate of %g is out of range (0 to below 1)", d->name, rate);
	d->rate = rate;
	return g->n - 1;
}

int cop_graph_linear(struct cop_graph *g, int input, const char *name, int out, bool bias)
{
	struct cop_node *d = add_node(g, COP_OP_LINEAR, input);
	if (!d)
		return -1;
	cop_graph_name(g, g->n - 1, name);
	if (g->error.code)
		return -1;
	if (d->h != 1 || d->w != 1)
		return cop_graph_fail(g, "'%s' reads %dx%dx%d: flatten it first", d->name, d->c, d->h, d->w);
	int64_t dim[2] = {out, d->c};
	if (!fits(out, d->c, 1))
		return cop_graph_fail(g, "'%s' cannot have %d inputs and %d outputs", d->name, d->c, out);
	d->c = out;
	d->bias = bias;
	d->weight = add_tensor(&g->params, d, "weight", 2, dim, true);
	if (bias)
		d->bias_at = add_tensor(&g->params, d, "bias", 1, dim, false);
	return g->n - 1;
}

/* The first node, but for the last, that nobody reads; -1: none. */
static int unread(const struct cop_graph *g)
{
	for (int i = 0; i < g->n - 1; i++) {
		bool read = false;
		for (int k = i + 1; k < g->n; k++)
			for (int j = 0; j < g->node[k].ninputs; j++)
				read = read || g->node[k].input[j] == i;
		if (!read)
			return i;
	}
	return -1;
}

int cop_graph_finish(struct cop_graph *g, int classes, struct cop_err *err)
{
	if (!g->error.code && g->n < 2)
		cop_graph_fail(g, "a network needs an input and one layer at least");
	if (!g->error.code && classes < 2)
		cop_graph_fail(g, "a network needs two classes at least, not %d", classes);
	int idle = g->error.code ? -1 : unread(g);
	if (idle >= 0)
		cop_graph_fail(g, "nobody reads layer '%s'", g->node[idle].name);
	const struct cop_node *last = g->n ? &g->node[g->n - 1] : NULL;
	if (!g->error.code && (last->c != classes || last->h != 1 || last->w != 1))
		cop_graph_fail(g, "the last layer, '%s', gives %dx%dx%d, not one number for each of %d classes",
			       last->name, last->c, last->h, last->w, classes);
	if (!g->error.code && cop_layout_count(&g->params, true) == 0)
		cop_graph_fail(g, "a network needs a layer with weights");
	if (!g->error.code)
		return 0;
	return cop_fail(err, g->error.code, "%s", g->error.msg);
}

bool cop_node_depthwise(const struct cop_graph *g, int node)
{
	const struct cop_node *d = &g->node[node];
	return d->op == COP_OP_CONV && d->c > 1 && d->conv.groups == d->c && g->node[d->input[0]].c == d->c;
}

double cop_node_macs(const struct cop_graph *g, int node)
{
	const struct cop_node *d = &g->node[node];
	if (d->op != COP_OP_CONV && d->op != COP_OP_LINEAR)
		return 0;
	double in = g->node[d->input[0]].c;
	if (d->op == COP_OP_LINEAR)
		return in * d->c;
	return in / d->conv.groups * d->c * d->conv.kernel[0] * d->conv.kernel[1] * d->h * d->w;
}

double cop_graph_macs(const struct cop_graph *g)
{
	double all = 0;
	for (int i = 0; i < g->n; i++)
		all += cop_node_macs(g, i);
	return all;
}

/* Elements of the tensors called "NODE/...". */
static size_t elements_of(const struct cop_layout *l, const struct cop_node *d)
{
	size_t length = strlen(d->name), count = 0;
	for (size_t i = 0; i < l->n; i++)
		if (strncmp(l->tensor[i].name, d->name, length) == 0 && l->tensor[i].name[length] == '/')
			count += l->tensor[i].count;
	return count;
}

size_t cop_node_params(const struct cop_graph *g, int node)
{
	return elements_of(&g->params, &g->node[node]);
}

size_t cop_node_buffers(const struct cop_graph *g, int node)
{
	return elements_of(&g->buffers, &g->node[node]);
}

/* n weights of the stream's next numbers. */
static void draw_weights(int init, double fan_in, double fan_out, struct cop_stream *s, size_t n, float *w)
{
	double variance = init == COP_INIT_KAIMING_NORMAL ? 2.0 / fan_in : 2.0 / (fan_in + fan_out);
	double deviation = sqrt(variance), limit = sqrt(3.0 * variance);
	for (size_t i = 0; i < n; i++)
		w[i] = init == COP_INIT_GLOROT_UNIFORM ? (float)(limit * (2 * cop_stream_uniform(s) - 1))
						       : (float)(deviation * cop_stream_normal(s));
}

static void fill(float *v, int n, float value)
{
	for (int i = 0; i < n; i++)
		v[i] = value;
}

void cop_graph_draw(const struct cop_graph *g, int init, uint64_t seed, float *param, float *buffer)
{
	uint32_t weights = 0;
	for (int k = 0; k < g->n; k++) {
		const struct cop_node *d = &g->node[k];
		if (d->op == COP_OP_BATCH_NORM) {
			fill(param + d->weight, d->c, 1.0f);
			fill(param + d->bias_at, d->c, 0.0f);
			fill(buffer + d->running_mean, d->c, 0.0f);
			fill(buffer + d->running_var, d->c, 1.0f);
		}
		if (d->op != COP_OP_CONV && d->op != COP_OP_LINEAR)
			continue;
		bool conv = d->op == COP_OP_CONV;
		int groups = conv ? d->conv.groups : 1, window = conv ? d->conv.kernel[0] * d->conv.kernel[1] : 1;
		double fan_in = (double)(g->node[d->input[0]].c / groups) * window;
		double fan_out = (double)(d->c / groups) * window;
		struct cop_stream s;
		cop_stream_init(&s, seed, COP_PURPOSE_INIT, weights++, 0);
		draw_weights(init, fan_in, fan_out, &s, (size_t)fan_in * (size_t)d->c, param + d->weight);
		if (d->bias)
			fill(param + d->bias_at, d->c, 0.0f);
	}
}
