/* The pass through a whole network: memory, the loss, and the order of things; see gradient64.h. */
#include "base/mem.h"
#include "compute/backend.h"
#include "nn/arena.h"
#include "nn/gradient64_priv.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { AT_ONCE = 64 /* images, where no batch norm wants to see all */ };

static size_t elements(const struct cop_node *d, int images)
{
	return (size_t)d->c * (size_t)d->h * (size_t)d->w * (size_t)images;
}

struct cop_ends64 cop_ends64(const struct cop_gradient64 *d, int node, int input)
{
	const struct cop_node *own = &d->graph->node[node];
	int from = own->input[input];
	struct cop_ends64 e = {.d = own, .in = &d->graph->node[from]};
	e.count = elements(e.d, d->n);
	e.in_count = elements(e.in, d->n);
	for (int lane = 0; lane < d->lanes; lane++) {
		e.x[lane] = d->y[from] + (size_t)lane * e.in_count;
		e.y[lane] = d->y[node] + (size_t)lane * e.count;
		e.dy[lane] = d->dy[node] + (size_t)lane * e.count;
		e.dx[lane] = from ? d->dy[from] + (size_t)lane * e.in_count : NULL;
	}
	return e;
}

/* Whether a batch has to be seen whole. */
static bool joins_images(const struct cop_graph *g, const struct cop_gradient64_mode *mode)
{
	for (int k = 0; k < g->n; k++)
		if (g->node[k].op == COP_OP_BATCH_NORM && !mode->running)
			return true;
	return false;
}

static void find_readers(struct cop_gradient64 *d)
{
	const struct cop_graph *g = d->graph;
	d->last = cop_xcalloc((size_t)g->n, sizeof(*d->last));
	for (int k = 0; k < g->n; k++)
		for (int j = 0; j < g->node[k].ninputs; j++)
			d->last[g->node[k].input[j]] = k;
}

/*
 * When what a node gives is there: node k runs forward at the time k, the loss at n, and k backward at 2n - k. Its
 * gradient: from its last reader's turn backward to its own; the image has none.
 */
static void set_lives(const struct cop_gradient64 *d, struct cop_life *y, struct cop_life *dy)
{
	const struct cop_graph *g = d->graph;
	int n = g->n;
	for (int k = 0; k < n; k++) {
		size_t size = elements(&g->node[k], d->most) * (size_t)d->lanes;
		int to = cop_ops64[g->node[k].op].reads_own ? 2 * n - k : k == n - 1 ? n : d->last[k];
		y[k] = (struct cop_life){.size = size, .from = k, .to = to};
		dy[k] = (struct cop_life){.size = size, .from = k == n - 1 ? n : 2 * n - d->last[k], .to = 2 * n - k};
		if (k == 0)
			dy[k].to = dy[k].from - 1;
	}
	for (int k = 1; k < n; k++)
		for (int j = 0; j < g->node[k].ninputs && cop_ops64[g->node[k].op].reads_input; j++) {
			struct cop_life *x = &y[g->node[k].input[j]];
			x->to = x->to > 2 * n - k ? x->to : 2 * n - k;
		}
}

/* Products count a node's columns, N*H*W, in ints. */
static int check_sizes(const struct cop_graph *g, int batch, struct cop_err *err)
{
	for (int k = 0; k < g->n; k++) {
		const struct cop_node *d = &g->node[k];
		if ((int64_t)d->h * d->w > INT_MAX / batch || elements(d, batch) > SIZE_MAX / 64 / (size_t)g->n)
			return cop_fail(err, COP_EFAILED, "a batch of %d is too large for '%s' in float64", batch,
					d->name);
	}
	return 0;
}

static int place_values(struct cop_gradient64 *d, struct cop_err *err)
{
	size_t n = (size_t)d->graph->n;
	struct cop_life *life = cop_xcalloc(2 * n, sizeof(*life));
	set_lives(d, life, life + n);
	size_t total = cop_arena_place(life, 2 * n);
	int rc = cop_alloc(&d->arena, total, sizeof(double), "activations in float64", err);
	d->y = cop_xcalloc(n, sizeof(*d->y));
	d->dy = cop_xcalloc(n, sizeof(*d->dy));
	d->norm = cop_xcalloc(n, sizeof(*d->norm));
	for (size_t k = 0; k < n && !rc; k++) {
		const struct cop_node *own = &d->graph->node[k];
		d->y[k] = d->arena + life[k].offset;
		d->dy[k] = d->arena + life[n + k].offset;
		if (own->op == COP_OP_BATCH_NORM)
			rc = cop_alloc(&d->norm[k], 4 * (size_t)own->c, sizeof(double), "statistics", err);
	}
	free(life);
	return rc;
}

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

static int place_products(struct cop_gradient64 *d, struct cop_err *err)
{
	const int images[2] = {d->most, d->batch % d->most};
	size_t column, part, parts = 0;
	for (int k = 0; k < d->graph->n; k++)
		for (int i = 0; i < 2; i++) {
			enum cop_op op = d->graph->node[k].op;
			if ((op != COP_OP_CONV && op != COP_OP_LINEAR) || !images[i])
				continue;
			cop_products64_space(d, k, images[i], &column, &part);
			d->column_size = larger(d->column_size, column);
			parts = larger(parts, part);
		}
	int rc = cop_alloc(&d->part, parts, sizeof(double), "gradients in float64", err);
	return rc ? rc
		  : cop_alloc(&d->column, (size_t)d->threads, d->column_size * sizeof(double), "columns of windows",
			      err);
}

int cop_gradient64_new(struct cop_gradient64 **out, const struct cop_graph *g, int batch,
		       const struct cop_gradient64_mode *mode, struct cop_err *err)
{
	struct cop_gradient64 *d = cop_xcalloc(1, sizeof(*d));
	int most = joins_images(g, mode) || batch < AT_ONCE ? batch : AT_ONCE;
	*d = (struct cop_gradient64){.graph = g,
				     .mode = *mode,
				     .batch = batch,
				     .most = most,
				     .lanes = mode->second ? 2 : 1,
				     .threads = cop_cpu_threads()};
	if (!(d->mode.temperature > 0))
		d->mode.temperature = 1;
	find_readers(d);
	int rc = check_sizes(g, most, err);
	if (!rc)
		rc = place_values(d, err);
	if (!rc)
		rc = place_products(d, err);
	if (rc)
		cop_gradient64_free(d);
	else
		*out = d;
	return rc;
}

void cop_gradient64_free(struct cop_gradient64 *d)
{
	if (!d)
		return;
	for (int k = 0; d->norm && k < d->graph->n; k++)
		free(d->norm[k]);
	free(d->norm);
	free(d->y);
	free(d->dy);
	free(d->last);
	free(d->arena);
	free(d->column);
	free(d->part);
	free(d);
}

/* x (n, C, pixels) -> the image node's (C, n, pixels); it does not move along the direction. */
static void take_images(struct cop_gradient64 *d, const float *x)
{
	const struct cop_node *in = &d->graph->node[0];
	size_t pixels = (size_t)in->h * (size_t)in->w, count = elements(in, d->n);
	for (int i = 0; i < d->n; i++)
		for (int c = 0; c < in->c; c++, x += pixels) {
			double *to = d->y[0] + ((size_t)c * (size_t)d->n + (size_t)i) * pixels;
			for (size_t k = 0; k < pixels; k++)
				to[k] = (double)x[k];
		}
	if (d->lanes > 1)
		memset(d->y[0] + count, 0, count * sizeof(double));
}

/*
 * Image i of the logits (K, n): -log p(label), p the softmax of z / T. Into dy: s (p - 1[label]) / T, and along the
 * direction s p (z' - sum p z') / T^2.
 */
static double image_loss(const struct cop_gradient64 *d, int i, int label, double s)
{
	int last = d->graph->n - 1, classes = d->graph->node[last].c, n = d->n;
	const double *z = d->y[last] + i, *along = z + classes * n;
	double *dz = d->dy[last] + i, *dalong = dz + classes * n, t = d->mode.temperature;
	double top = -INFINITY, sum = 0, mean = 0;
	for (int k = 0; k < classes; k++)
		top = z[k * n] > top ? z[k * n] : top;
	for (int k = 0; k < classes; k++)
		sum += exp((z[k * n] - top) / t);
	for (int k = 0; k < classes; k++)
		dz[k * n] = exp((z[k * n] - top) / t) / sum;
	for (int k = 0; k < classes && d->lanes > 1; k++)
		mean += dz[k * n] * along[k * n];
	for (int k = 0; k < classes && d->lanes > 1; k++)
		dalong[k * n] = s * dz[k * n] * (along[k * n] - mean) / (t * t);
	for (int k = 0; k < classes; k++)
		dz[k * n] = s * (dz[k * n] - (k == label)) / t;
	return log(sum) - (z[label * n] - top) / t;
}

/* Into dy of the last node; a share of the batch's mean, or the sum of what the node gives. */
static double loss_of(struct cop_gradient64 *d, const int32_t *label)
{
	int last = d->graph->n - 1;
	size_t count = elements(&d->graph->node[last], d->n);
	double all = 0;
	for (int i = 0; label && i < d->n; i++)
		all += image_loss(d, i, label[i], 1.0 / d->batch) / d->batch;
	if (label)
		return all;
	memset(d->dy[last], 0, count * (size_t)d->lanes * sizeof(double));
	for (size_t i = 0; i < count; i++) {
		all += d->y[last][i];
		d->dy[last][i] = 1;
	}
	return all;
}

/* Gradients are added to: they begin as 0 at the turn of a node's last reader. */
static void clear_inputs(struct cop_gradient64 *d, int node)
{
	const struct cop_node *own = &d->graph->node[node];
	for (int j = 0; j < own->ninputs; j++) {
		int from = own->input[j];
		if (from && d->last[from] == node && (j == 0 || from != own->input[0]))
			memset(d->dy[from], 0,
			       elements(&d->graph->node[from], d->n) * (size_t)d->lanes * sizeof(double));
	}
}

double cop_gradient64_add(struct cop_gradient64 *d, const struct cop_place64 *at, const float *x, const int32_t *label,
			  double *out)
{
	const struct cop_graph *g = d->graph;
	double loss = 0;
	d->param[0] = at->param;
	d->param[1] = at->direction;
	d->buffer = at->buffer;
	d->out = out;
	for (int from = 0; from < d->batch; from += d->n) {
		d->n = d->batch - from < d->most ? d->batch - from : d->most;
		take_images(d, x + elements(&g->node[0], from));
		for (int k = 1; k < g->n; k++)
			cop_ops64[g->node[k].op].forward(d, k);
		loss += loss_of(d, label ? label + from : NULL);
		for (int k = g->n - 1; k > 0; k--) {
			clear_inputs(d, k);
			cop_ops64[g->node[k].op].backward(d, k);
		}
	}
	return loss;
}
