/* Dense or sparse, layer by layer; see engine.h. */
#include "nn/engine.h"

#include "base/log.h"
#include "base/mem.h"
#include "compute/sparse.h"
#include "nn/reduced.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * What is left of a layer's weights when a list of them begins to be faster, as measured on several processors
 * (docs/performance.md). Near it either choice is as good as the other.
 */
static const double window_rule = 0.35, pointwise_rule = 0.4, linear_rule = 0.6;
enum { TRIES = 3 };

/* What a layer works on while it is tried. */
struct bench {
	float *x, *y, *dx, *dy; /* in, out and their gradients */
	float *w, *dw, *space;
};

static int take(float **p, size_t n, struct cop_err *err)
{
	return cop_alloc(p, n, sizeof(float), "trying layers", err);
}

static void give_back(struct bench *b)
{
	float *all[] = {b->x, b->y, b->dx, b->dy, b->w, b->dw, b->space};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		free(all[i]);
	*b = (struct bench){0};
}

static void fill(float *p, size_t n, float value)
{
	for (size_t i = 0; i < n; i++)
		p[i] = value;
}

/* One layer: a convolution, or a linear layer (is_linear). */
struct layer {
	struct cop_conv conv;
	struct cop_linear linear;
	bool is_linear, data; /* data: the input's gradient is wanted */
	size_t in, out, weights;
};

static struct layer layer_of(const struct cop_net *net, int stage, int batch)
{
	const struct cop_stage *s = &net->stages.stage[stage], *x = &net->stages.stage[s->input[0]];
	int ld = cop_leading(&cop_cpu_backend, batch);
	struct layer l = {.is_linear = s->kind == COP_STAGE_LINEAR, .data = x->kind != COP_STAGE_INPUT};
	l.in = (size_t)x->c * (size_t)x->h * (size_t)x->w;
	l.out = (size_t)s->c * (size_t)s->h * (size_t)s->w;
	if (l.is_linear) {
		l.linear = (struct cop_linear){.in = (int)l.in, .out = s->c, .ld = ld};
		l.weights = l.in * l.out;
	} else {
		l.conv = cop_stage_conv(net, stage, batch, ld);
		l.weights = (size_t)l.conv.out_c * (size_t)(l.conv.in_c / l.conv.groups) *
			    (size_t)(l.conv.kernel[0] * l.conv.kernel[1]);
	}
	l.in *= (size_t)ld;
	l.out *= (size_t)ld;
	return l;
}

static void run(const struct layer *l, const struct bench *b)
{
	const struct cop_backend *cpu = &cop_cpu_backend;
	if (l->is_linear) {
		cpu->linear_forward(&l->linear, b->w, NULL, b->x, b->y);
		if (l->data)
			cpu->linear_backward_data(&l->linear, b->w, b->dy, b->x, b->dx);
		cpu->linear_backward_weights(&l->linear, b->dy, b->x, b->dw, NULL);
		return;
	}
	const struct cop_activation x = {b->x, {.lo = -INFINITY, .hi = INFINITY}};
	const struct cop_output out = {.y = b->y, .lo = -INFINITY, .hi = INFINITY};
	const struct cop_gradient dy = {.g = b->dy};
	const struct cop_sink dx = {.g = b->dx};
	cpu->conv_forward(&l->conv, &x, b->w, &out, b->space);
	cpu->conv_backward(&l->conv, &dy, &x, b->w, l->data ? &dx : NULL, b->dw, NULL, b->space);
}

static size_t space_of(const struct layer *l)
{
	size_t most = 0;
	for (int back = 0; back < 2 && !l->is_linear; back++) {
		size_t n = cop_cpu_backend.conv_space(&l->conv,
						      &(struct cop_conv_use){.backward = back != 0, .data = l->data});
		most = n > most ? n : most;
	}
	return most;
}

static int prepare(struct bench *b, const struct layer *l, size_t space, struct cop_err *err)
{
	*b = (struct bench){0};
	int rc = take(&b->x, l->in, err);
	if (!rc)
		rc = take(&b->dx, l->in, err);
	if (!rc)
		rc = take(&b->y, l->out, err);
	if (!rc)
		rc = take(&b->dy, l->out, err);
	if (!rc)
		rc = take(&b->w, l->weights, err);
	if (!rc)
		rc = take(&b->dw, l->weights, err);
	if (!rc)
		rc = take(&b->space, space, err);
	if (rc) {
		give_back(b);
		return rc;
	}
	fill(b->x, l->in, 0.5f);
	fill(b->dy, l->out, 0.01f);
	fill(b->w, l->weights, 0.02f);
	return 0;
}

/* Seconds of the fastest of some tries of each, in turn. */
static int try_both(const struct layer *dense, const struct layer *sparse, double seconds[2], struct cop_err *err)
{
	struct bench b;
	size_t a = space_of(dense), s = space_of(sparse);
	int rc = prepare(&b, dense, a > s ? a : s, err);
	if (rc)
		return rc;
	seconds[0] = seconds[1] = INFINITY;
	for (int k = 0; k <= TRIES; k++)
		for (int i = 0; i < 2; i++) {
			double begun = cop_now();
			run(i ? sparse : dense, &b);
			double took = cop_now() - begun;
			/* the first finds its memory cold */
			if (k && took < seconds[i])
				seconds[i] = took;
		}
	give_back(&b);
	return 0;
}

/* Whether the layer is faster whole. */
static int try_layer(const struct layer *dense, const uint8_t *mask, bool *whole, struct cop_err *err)
{
	const struct cop_conv *c = &dense->conv;
	struct layer sparse = *dense;
	struct cop_sparse list;
	double seconds[2];
	int rc = dense->is_linear
			 ? cop_sparse_init(&list, dense->linear.out, dense->linear.in, 1, 1, mask, err)
			 : cop_sparse_init(&list, c->out_c, c->in_c, c->kernel[0] * c->kernel[1], c->groups, mask, err);
	if (rc)
		return rc;
	sparse.conv.sparse = sparse.linear.sparse = &list;
	rc = try_both(dense, &sparse, seconds, err);
	*whole = !rc && seconds[0] < seconds[1];
	cop_sparse_release(&list);
	return rc;
}

static double left_of(const uint8_t *mask, size_t n)
{
	size_t kept = 0;
	for (size_t i = 0; i < n; i++)
		kept += mask[i] != 0;
	return (double)kept / (double)n;
}

static double rule_of(const struct layer *l)
{
	if (l->is_linear)
		return linear_rule;
	return l->conv.kernel[0] * l->conv.kernel[1] == 1 ? pointwise_rule : window_rule;
}

int cop_engine_choose(const struct cop_net *net, const uint8_t *mask, int batch, bool timed, bool *whole,
		      struct cop_err *err)
{
	int rc = 0;
	memset(whole, 0, (size_t)net->graph.n * sizeof(*whole));
	for (int i = 0; i < net->stages.n && !rc; i++) {
		int node = net->stages.stage[i].node;
		if (node < 0 || !cop_reduced_can_list(&net->graph, node))
			continue;
		struct layer l = layer_of(net, i, batch);
		const uint8_t *own = mask + net->graph.node[node].weight;
		if (timed)
			rc = try_layer(&l, own, &whole[node], err);
		else
			whole[node] = left_of(own, l.weights) > rule_of(&l);
	}
	return rc;
}

char *cop_engine_text(const struct cop_graph *g, const bool *whole)
{
	char *text = cop_xstrdup("");
	for (int i = 0; i < g->n; i++)
		if (whole[i] && cop_reduced_can_list(g, i)) {
			char *more = cop_xasprintf("%s%s%s", text, *text ? " " : "", g->node[i].name);
			free(text);
			text = more;
		}
	return text;
}

static int find(const struct cop_graph *g, const char *name, size_t length)
{
	for (int i = 0; i < g->n; i++)
		if (strlen(g->node[i].name) == length && strncmp(g->node[i].name, name, length) == 0)
			return cop_reduced_can_list(g, i) ? i : -1;
	return -1;
}

bool cop_engine_parse(const struct cop_graph *g, const char *text, bool *whole)
{
	memset(whole, 0, (size_t)g->n * sizeof(*whole));
	while (*text) {
		size_t length = strcspn(text, " ");
		int i = find(g, text, length);
		if (i < 0)
			return false;
		whole[i] = true;
		text += length;
		text += *text == ' ';
	}
	return true;
}
