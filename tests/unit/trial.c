/* One network on the engine and in float64; see trial.h. */
#include "trial.h"

#include "base/mem.h"
#include "random_graph.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A gradient whose terms cancel out is measured by this share of their sizes. */
static const double cancelled = 5e-2;

void trial_begin(struct trial *t, uint32_t seed, double most, const char *name)
{
	*t = (struct trial){.seed = seed, .most = most, .margin = 4e-6, .density = 1};
	snprintf(t->name, sizeof(t->name), "%s", name);
	cop_stream_init(&t->s, seed, COP_PURPOSE_TEST, 1, 0);
}

/* Everything that is 0 or 1 at the start of a training is drawn too. */
static void draw_vectors(struct trial *t, const struct cop_layout *l, float *to)
{
	for (size_t k = 0; k < l->n; k++) {
		const struct cop_tensor *v = &l->tensor[k];
		if (v->rank > 1)
			continue;
		bool gamma = strstr(v->name, "/weight") != NULL, variance = strstr(v->name, "/running_var") != NULL;
		bool beta = strstr(v->name, "bn/bias") != NULL;
		for (size_t i = v->offset; i < v->offset + v->count; i++) {
			double spread = t->lift > 0 ? 0.6 : 1, width = 1 + spread * (cop_stream_uniform(&t->s) - 0.5),
			       shift = 0.4 * cop_stream_normal(&t->s);
			bool turn = gamma && t->lift == 0 && cop_stream_below(&t->s, 4) == 0;
			to[i] = (float)(gamma || variance ? (turn ? -width : width) : shift + (beta ? t->lift : 0));
		}
	}
}

/* Whatever is drawn, one path is left: through the first channels, and the middles of windows. */
static void draw_mask(struct trial *t)
{
	const struct cop_layout *l = &t->e.net.graph.params;
	t->mask = cop_xmalloc(l->total);
	memset(t->mask, 1, l->total);
	for (size_t k = 0; k < l->n; k++) {
		const struct cop_tensor *v = &l->tensor[k];
		int64_t path = v->rank == 4 ? v->dim[2] / 2 * v->dim[3] + v->dim[3] / 2 : 0;
		for (size_t i = 0; i < v->count && v->prunable; i++)
			t->mask[v->offset + i] = cop_stream_uniform(&t->s) < t->density || (int64_t)i == path;
		for (size_t i = v->offset; i < v->offset + v->count; i++)
			t->e.param[i] = t->mask[i] ? t->e.param[i] : 0;
	}
	engine_reduce(&t->e, t->mask, t->whole);
}

/* Draws images until no kink is near, at most `turns` times. In evaluation there are no gradients to jump. */
static void draw_images(struct trial *t, bool training, int turns)
{
	size_t n = graph64_count(&t->r, 0);
	double near = 0;
	for (int k = 0; k < turns && near < t->margin; k++) {
		for (size_t i = 0; i < n; i++)
			t->r.y[0][i] = (double)(float)cop_stream_normal(&t->s);
		graph64_forward(&t->r, training);
		near = training ? graph64_margin(&t->r) : t->margin;
	}
	if (near < t->margin)
		fail_msg("%s (seed %u): images that stay away from every kink were not found; draw more", t->name,
			 t->seed);
}

void trial_set_up(struct trial *t, bool training, int turns)
{
	struct cop_err err = {0};
	if (cop_graph_finish(&t->g, t->classes, &err))
		fail_msg("%s (seed %u): %s", t->name, t->seed, err.msg);
	engine_init(&t->e, &t->g, t->batch, training);
	const struct cop_graph *g = &t->e.net.graph;
	graph64_init(&t->r, g, t->batch);
	cop_graph_draw(g, COP_INIT_KAIMING_NORMAL, t->seed, t->e.param, t->e.buffer);
	draw_vectors(t, &g->params, t->e.param);
	if (!training || !t->fresh)
		draw_vectors(t, &g->buffers, t->e.buffer);
	for (int k = 0; k < g->n; k++)
		if (g->node[k].op == COP_OP_DROPOUT)
			engine_keep(&t->e, k, t->r.keep[k]);
	if (t->density < 1)
		draw_mask(t);
	graph64_load(&t->r, t->e.param, t->e.buffer);
	t->label = cop_xcalloc((size_t)t->batch, sizeof(*t->label));
	for (int n = 0; n < t->batch; n++)
		t->label[n] = random_between(&t->s, 0, t->classes - 1);
	draw_images(t, training, turns);
}

/* Of a channel that is 0 everywhere nothing is left to be rounded. */
static bool is_nothing(const struct trial *t, int node, int c)
{
	const struct cop_node *d = &t->e.net.graph.node[node];
	size_t pixels = (size_t)(d->h * d->w), all = pixels * (size_t)d->c;
	for (size_t n = 0; n < (size_t)t->batch; n++)
		for (size_t i = 0; i < pixels; i++)
			if (t->r.y[node][n * all + (size_t)c * pixels + i] != 0)
				return false;
	return true;
}

bool trial_is_degenerate(const struct trial *t)
{
	for (int k = 0; k < t->e.net.graph.n; k++)
		for (int c = 0; t->r.variance[k] && c < t->e.net.graph.node[k].c; c++)
			if (t->r.variance[k][c] < t->thinnest && !is_nothing(t, t->e.net.graph.node[k].input[0], c))
				return true;
	return false;
}

void trial_tear_down(struct trial *t)
{
	free(t->label);
	free(t->mask);
	graph64_release(&t->r);
	engine_release(&t->e);
}

/* Differences and sizes, added up; a tensor a time. */
struct norms {
	double error, wanted, gross;
};

static void add(struct norms *v, double got, double wanted, double gross)
{
	v->error += (got - wanted) * (got - wanted);
	v->wanted += wanted * wanted;
	v->gross += gross * gross;
}

/* Written so that NaN fails. */
static void judge(struct trial *t, const struct norms *v, const char *what)
{
	double size = fmax(sqrt(v->wanted), cancelled * sqrt(v->gross)), error = sqrt(v->error);
	if (!(error <= t->most * size))
		fail_msg("%s (seed %u, batch %d): %s is off by %.3g (size %.3g, of its terms %.3g)", t->name, t->seed,
			 t->batch, what, error, sqrt(v->wanted), sqrt(v->gross));
	if (size > 0 && error / size > t->worst)
		t->worst = error / size;
}

void trial_compare_outputs(struct trial *t, double loss)
{
	struct norms logits = {0}, losses = {0};
	const double *wanted = t->r.y[t->e.net.graph.n - 1];
	for (int i = 0; i < t->batch * t->classes; i++)
		add(&logits, t->e.logits[i], wanted[i], 0);
	judge(t, &logits, "the output");
	add(&losses, t->e.loss, loss, 0);
	judge(t, &losses, "the loss");
}

void trial_compare_arenas(struct trial *t, const struct cop_layout *l, const float *got, const double *wanted,
			  const double *gross)
{
	for (size_t k = 0; k < l->n; k++) {
		const struct cop_tensor *v = &l->tensor[k];
		struct norms n = {0};
		for (size_t i = v->offset; i < v->offset + v->count; i++) {
			bool pruned = t->mask && l == &t->e.net.graph.params && !t->mask[i];
			if (!pruned)
				add(&n, (double)got[i], wanted[i], gross ? gross[i] : 0);
		}
		judge(t, &n, v->name);
	}
}
