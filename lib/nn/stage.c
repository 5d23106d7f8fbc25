/* From a graph to its stages; see stage.h. */
#include "nn/stage.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

static struct cop_stage *add_stage(struct cop_stages *s, enum cop_stage_kind kind, int node, int input)
{
	s->stage = cop_grow(s->stage, &s->cap, (size_t)s->n + 1, sizeof(*s->stage));
	struct cop_stage *t = &s->stage[s->n++];
	*t = (struct cop_stage){.kind = kind, .node = node, .norm = -1, .lo = -INFINITY, .hi = INFINITY};
	if (input >= 0) {
		t->input[0] = input;
		t->ninputs = 1;
		t->c = s->stage[input].c;
		t->h = s->stage[input].h;
		t->w = s->stage[input].w;
	}
	return t;
}

bool cop_stage_cuts(const struct cop_stage *s)
{
	return s->lo > -INFINITY || s->hi < INFINITY;
}

static void take_shape(struct cop_stage *t, const struct cop_node *d)
{
	t->c = d->c;
	t->h = d->h;
	t->w = d->w;
}

static int add_copy(struct cop_stages *s, int input)
{
	add_stage(s, COP_STAGE_COPY, -1, input);
	return s->n - 1;
}

/* How often each node is read, by nodes or as the result. */
static int *count_readers(const struct cop_graph *g)
{
	int *n = cop_xcalloc((size_t)g->n, sizeof(*n));
	for (int i = 0; i < g->n; i++)
		for (int k = 0; k < g->node[i].ninputs; k++)
			n[g->node[i].input[k]]++;
	n[g->n - 1]++;
	return n;
}

/* The stage that batch norm or activation `d` joins: that of the node which it reads, or a copy. */
static int joined(struct cop_stages *s, const int *readers, const struct cop_node *d, int stage)
{
	const struct cop_stage *t = &s->stage[stage];
	bool norm = d->op == COP_OP_BATCH_NORM;
	if (t->kind != COP_STAGE_INPUT && readers[d->input[0]] == 1 && !cop_stage_cuts(t) && (!norm || t->norm < 0))
		return stage;
	int at = add_copy(s, stage);
	take_shape(&s->stage[at], d);
	return at;
}

/* What a linear layer reads must lie in memory as it is. */
static int plain(struct cop_stages *s, int stage)
{
	return s->stage[stage].norm < 0 ? stage : add_copy(s, stage);
}

/* Whether none but linear layers read node i: these only look at how many numbers there are, not at the shape. */
static bool only_linear_read(const struct cop_graph *g, int i)
{
	for (int r = i + 1; r < g->n; r++)
		for (int k = 0; k < g->node[r].ninputs; k++)
			if (g->node[r].input[k] == i && g->node[r].op != COP_OP_LINEAR)
				return false;
	return true;
}

/* A flattening that moves nothing needs no stage; then it is its input's. */
static int add_flatten(struct cop_stages *s, const struct cop_graph *g, int node, int input)
{
	const struct cop_stage *x = &s->stage[input];
	bool lies_flat = x->c == 1 && x->kind == COP_STAGE_INPUT && only_linear_read(g, node);
	if (x->h * x->w == 1 || lies_flat)
		return input;
	take_shape(add_stage(s, COP_STAGE_FLATTEN, node, input), &g->node[node]);
	return s->n - 1;
}

/* The stage whose value is that of node i. */
static int add_node(struct cop_stages *s, const struct cop_graph *g, int *readers, const int *of, int i)
{
	const struct cop_node *d = &g->node[i];
	int x = d->ninputs ? of[d->input[0]] : -1, at;
	switch (d->op) {
	case COP_OP_INPUT:
		take_shape(add_stage(s, COP_STAGE_INPUT, i, -1), d);
		return s->n - 1;
	case COP_OP_BATCH_NORM:
		at = joined(s, readers, d, x);
		s->stage[at].norm = i;
		return at;
	case COP_OP_RELU:
	case COP_OP_RELU6:
		at = joined(s, readers, d, x);
		s->stage[at].lo = 0;
		s->stage[at].hi = d->op == COP_OP_RELU6 ? 6 : INFINITY;
		return at;
	case COP_OP_FLATTEN:
		at = add_flatten(s, g, i, x);
		/* the same memory under two names: what reads either reads both */
		readers[i] += at == x ? readers[d->input[0]] - 1 : 0;
		return at;
	case COP_OP_LINEAR:
		x = plain(s, x);
		break;
	default:
		break;
	}
	static const enum cop_stage_kind kinds[COP_OPS] = {
		[COP_OP_CONV] = COP_STAGE_CONV,
		[COP_OP_ADD] = COP_STAGE_ADD,
		[COP_OP_MAX_POOL] = COP_STAGE_POOL,
		[COP_OP_AVG_POOL] = COP_STAGE_POOL,
		[COP_OP_GLOBAL_AVG_POOL] = COP_STAGE_GLOBAL_POOL,
		[COP_OP_DROPOUT] = COP_STAGE_DROPOUT,
		[COP_OP_LINEAR] = COP_STAGE_LINEAR,
	};
	struct cop_stage *t = add_stage(s, kinds[d->op], i, x);
	take_shape(t, d);
	if (d->ninputs == 2)
		t->input[t->ninputs++] = of[d->input[1]];
	return s->n - 1;
}

static void find_readers(struct cop_stages *s)
{
	for (int i = 0; i < s->n; i++) {
		struct cop_stage *t = &s->stage[i];
		t->first = s->n;
		t->last = -1;
		for (int r = i + 1; r < s->n; r++)
			for (int k = 0; k < s->stage[r].ninputs; k++)
				if (s->stage[r].input[k] == i) {
					t->first = t->first < r ? t->first : r;
					t->last = r;
					t->readers++;
				}
	}
}

/*
 * Whether two inputs of stage `at` can both begin as its gradient's memory: the later one, which uses it first, must
 * only read it, and the other's must stay as it is until then.
 */
static bool both_can(const struct cop_stages *s, const struct cop_stage *at, int number)
{
	int a = at->input[0], b = at->input[1];
	int late = a > b ? a : b, early = a > b ? b : a;
	const struct cop_stage *x = &s->stage[late];
	if (a == b || x->kind != COP_STAGE_CONV || x->readers != 1 || cop_stage_cuts(x))
		return false;
	if (s->stage[early].readers == 1)
		return !cop_stage_cuts(&s->stage[early]);
	for (int r = late; r < number; r++)
		for (int k = 0; k < s->stage[r].ninputs; k++)
			if (s->stage[r].input[k] == early)
				return false;
	return true;
}

/* An input's gradient can begin as the very memory of this stage's if this stage gives its first part. */
static void decide_sharing(struct cop_stages *s, int at)
{
	struct cop_stage *t = &s->stage[at];
	bool can[2] = {false, false};
	for (int k = 0; k < t->ninputs; k++) {
		const struct cop_stage *x = &s->stage[t->input[k]];
		can[k] = x->last == at && x->kind != COP_STAGE_INPUT;
	}
	if (can[0] && can[1] && !both_can(s, t, at))
		can[1] = false;
	if (t->ninputs == 2 && t->input[0] == t->input[1])
		can[0] = can[1] = false;
	t->shares[0] = can[0];
	t->shares[1] = can[1];
}

void cop_stages_make(struct cop_stages *s, const struct cop_graph *g)
{
	int *readers = count_readers(g), *of = cop_xcalloc((size_t)g->n, sizeof(*of));
	for (int i = 0; i < g->n; i++)
		of[i] = add_node(s, g, readers, of, i);
	struct cop_stage *end = &s->stage[of[g->n - 1]];
	/* the loss wants numbers as they are, in a stage that nobody else reads */
	if (end->norm >= 0 || cop_stage_cuts(end) || of[g->n - 1] != s->n - 1)
		add_copy(s, of[g->n - 1]);
	free(readers);
	free(of);
	find_readers(s);
	for (int i = 0; i < s->n; i++)
		if (s->stage[i].kind == COP_STAGE_ADD || s->stage[i].kind == COP_STAGE_COPY)
			decide_sharing(s, i);
}

void cop_stages_release(struct cop_stages *s)
{
	free(s->stage);
	*s = (struct cop_stages){0};
}
