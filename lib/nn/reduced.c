/* Networks reduced to what a mask leaves; see reduced.h. */
#include "nn/reduced.h"

#include "base/mem.h"
#include "compute/sparse.h"
#include "nn/constants.h"
#include "nn/survival.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool cop_reduced_can_list(const struct cop_graph *g, int i)
{
	enum cop_op op = g->node[i].op;
	return op == COP_OP_LINEAR || (op == COP_OP_CONV && !cop_node_depthwise(g, i));
}

/* What is being made. */
struct making {
	struct cop_reduced *r;
	const struct cop_net *full;
	const uint8_t *mask;
	const bool *whole; /* NULL: nowhere */
	struct cop_survival fates;
	size_t param_room, buffer_room;
	bool masked; /* any weight that is not listed is masked */
};

/* Adds a tensor like the full network's that begins at `offset`, of so many elements; returns its offset. */
static size_t add_tensor(struct cop_layout *to, const struct cop_layout *full, size_t offset, size_t count,
			 size_t **map, size_t *room)
{
	size_t i = 0, had = *room;
	while (full->tensor[i].offset != offset)
		if (++i == full->n)
			COP_BUG("no tensor begins there");
	cop_layout_add(to, full->tensor[i].name, 1, (int64_t[]){(int64_t)count}, full->tensor[i].prunable);
	*map = cop_grow(*map, room, to->total, sizeof(**map));
	for (size_t k = had; k < *room; k++)
		(*map)[k] = COP_REDUCED_NONE;
	return to->tensor[to->n - 1].offset;
}

static size_t add_param(struct making *m, size_t offset, size_t count)
{
	return add_tensor(&m->r->net.graph.params, &m->full->graph.params, offset, count, &m->r->param_of,
			  &m->param_room);
}

/* The numbers of a layer's channels, `each` for one, in the order of their fates. */
static size_t take_channels(struct making *m, size_t offset, const struct cop_fates *f, size_t each)
{
	size_t at = add_param(m, offset, (size_t)f->c * each);
	for (size_t i = 0; i < (size_t)f->c * each; i++) {
		size_t from = offset + (size_t)f->channel[i / each] * each + i % each;
		m->r->param_of[at + i] = from;
		m->masked = m->masked || !m->mask[from];
	}
	return at;
}

static size_t take_statistics(struct making *m, size_t offset, const struct cop_fates *f)
{
	size_t at = add_tensor(&m->r->net.graph.buffers, &m->full->graph.buffers, offset, (size_t)f->c,
			       &m->r->buffer_of, &m->buffer_room);
	for (size_t i = 0; i < (size_t)f->c; i++)
		m->r->buffer_of[at + i] = offset + (size_t)f->channel[i];
	return at;
}

/* A layer that may join each output with each input. */
struct layer {
	int stage, taps;
	const struct cop_fates *out, *in; /* in: NULL: of images, all of whose numbers are there */
	int inputs;                       /* of a row of weights */
	size_t weight;                    /* in the full parameters */
	bool list;
};

/* Whether a weight is one of those that products go over: between channels that are worked out for every image. */
static bool is_varying(const struct layer *l, int o, int c)
{
	return l->out->fate[o] <= COP_FATE_WATCHED && (!l->in || l->in->fate[c] == COP_FATE_STORED);
}

/* Rows [0, rows) and columns [0, columns) of what is worked out for every image. */
static int rows_of(const struct layer *l)
{
	return l->out->stored + l->out->watched;
}

static int columns_of(const struct layer *l)
{
	return l->in ? l->in->stored : l->inputs;
}

static int column_at(const struct layer *l, int k)
{
	return l->in ? l->in->channel[k] : k;
}

static size_t place_in_full(const struct layer *l, int o, int c, int tap)
{
	return l->weight + ((size_t)o * (size_t)l->inputs + (size_t)c) * (size_t)l->taps + (size_t)tap;
}

/* What products go over, in the order of compute/sparse.h or as a whole; `take` NULL: counted. Returns how many. */
static size_t take_varying(struct making *m, const struct layer *l, size_t *take)
{
	size_t n = 0;
	for (int r = 0; r < rows_of(l); r++)
		for (int k = 0; k < columns_of(l); k++)
			for (int t = 0; t < l->taps; t++) {
				size_t from = place_in_full(l, l->out->channel[r], column_at(l, k), t);
				if (l->list && !m->mask[from])
					continue;
				if (take) {
					take[n] = from;
					m->masked = m->masked || !m->mask[from];
				}
				n++;
			}
	return n;
}

static void note_constant(struct cop_constant_stage *k, const struct layer *l, int o, int c, int tap, size_t at)
{
	const struct cop_fates *out = l->out, *in = l->in;
	struct cop_constant_weight w = {
		.out = out->place[o], .in = in->place[c] - in->stored - in->watched, .tap = tap, .at = at};
	if (out->fate[o] == COP_FATE_CONSTANT) {
		w.out -= out->stored + out->watched;
		k->own = cop_grow(k->own, &k->own_room, k->nown + 1, sizeof(*k->own));
		k->own[k->nown++] = w;
	} else {
		k->base = cop_grow(k->base, &k->base_room, k->nbase + 1, sizeof(*k->base));
		k->base[k->nbase++] = w;
		k->backward += out->fate[o] == COP_FATE_STORED;
	}
}

/* All other survivors, row by row in the order of fates; those from constant channels are noted. */
static size_t take_rest(struct making *m, const struct layer *l, size_t *take, size_t at)
{
	size_t n = 0;
	for (int r = 0; r < l->out->c; r++) {
		int o = l->out->channel[r];
		for (int c = 0; c < l->inputs; c++)
			for (int t = 0; t < l->taps; t++) {
				size_t from = place_in_full(l, o, c, t);
				if (is_varying(l, o, c) || !m->mask[from])
					continue;
				if (take) {
					take[n] = from;
					if (l->out->fate[o] != COP_FATE_DROPPED)
						note_constant(&m->r->net.constants->stage[l->stage], l, o, c, t,
							      at + n);
				}
				n++;
			}
	}
	return n;
}

static int take_joined(struct making *m, const struct layer *l, struct cop_node *d, struct cop_err *err)
{
	struct cop_sparse *s = &m->r->net.sparse[m->full->stages.stage[l->stage].node];
	int rc = 0;
	if (l->list) {
		const struct cop_channels rows = {rows_of(l), l->out->channel},
					  columns = {columns_of(l), l->in ? l->in->channel : NULL};
		rc = cop_sparse_select(s, &rows, l->out->watched, &columns, l->inputs, l->taps, m->mask + l->weight,
				       err);
	}
	if (rc)
		return rc;
	size_t varying = take_varying(m, l, NULL), rest = take_rest(m, l, NULL, 0);
	d->weight = add_param(m, l->weight, varying + rest);
	take_varying(m, l, m->r->param_of + d->weight);
	take_rest(m, l, m->r->param_of + d->weight + varying, d->weight + varying);
	return 0;
}

/* Of each channel by itself; constant ones come from constant ones. */
static void take_depthwise(struct making *m, int stage, struct cop_node *d)
{
	const struct cop_stage *s = &m->full->stages.stage[stage];
	const struct cop_fates *f = &m->fates.stage[stage];
	int taps = d->conv.kernel[0] * d->conv.kernel[1];
	struct layer l = {.stage = stage, .out = f, .in = &m->fates.stage[s->input[0]]};
	size_t full = d->weight;
	d->weight = take_channels(m, full, f, (size_t)taps);
	d->conv.groups = f->stored;
	for (int k = f->stored; k < f->c; k++)
		for (int t = 0; t < taps; t++) {
			int c = f->channel[k];
			if (m->mask[full + (size_t)(c * taps + t)])
				note_constant(&m->r->net.constants->stage[stage], &l, c, c, t,
					      d->weight + (size_t)(k * taps + t));
		}
}

/* A convolution in groups, or with no channel left out: as it is. */
static int take_grouped(struct making *m, int stage, struct cop_node *d, bool list, struct cop_err *err)
{
	const struct cop_stage *s = &m->full->stages.stage[stage];
	int taps = d->conv.kernel[0] * d->conv.kernel[1], in = m->full->stages.stage[s->input[0]].c;
	size_t full = d->weight, each = (size_t)(in / d->conv.groups * taps), kept = 0;
	if (!list) {
		d->weight = take_channels(m, full, &m->fates.stage[stage], each);
		return 0;
	}
	struct cop_sparse *to = &m->r->net.sparse[s->node];
	int rc = cop_sparse_init(to, s->c, in, taps, d->conv.groups, m->mask + full, err);
	if (rc)
		return rc;
	d->weight = add_param(m, full, (size_t)to->count);
	for (size_t i = 0; i < each * (size_t)s->c; i++)
		if (m->mask[full + i])
			m->r->param_of[d->weight + kept++] = full + i;
	return 0;
}

static int take_weights(struct making *m, int stage, struct cop_err *err)
{
	const struct cop_stage *s = &m->full->stages.stage[stage], *x = &m->full->stages.stage[s->input[0]];
	struct cop_node *d = &m->r->net.graph.node[s->node];
	bool conv = s->kind == COP_STAGE_CONV, list = !(m->whole && m->whole[s->node]);
	struct layer l = {.stage = stage,
			  .taps = conv ? d->conv.kernel[0] * d->conv.kernel[1] : 1,
			  .out = &m->fates.stage[stage],
			  .inputs = conv ? x->c : x->c * x->h * x->w,
			  .weight = d->weight,
			  .list = list};
	l.in = l.inputs == x->c ? &m->fates.stage[s->input[0]] : NULL;
	if (d->bias)
		d->bias_at = take_channels(m, d->bias_at, l.out, 1);
	if (cop_stage_depthwise(m->full, stage))
		take_depthwise(m, stage, d);
	else if (conv && d->conv.groups > 1)
		return take_grouped(m, stage, d, list, err);
	else
		return take_joined(m, &l, d, err);
	return 0;
}

static void take_norm(struct making *m, int stage)
{
	struct cop_node *d = &m->r->net.graph.node[m->full->stages.stage[stage].norm];
	const struct cop_fates *f = &m->fates.stage[stage];
	d->weight = take_channels(m, d->weight, f, 1);
	d->bias_at = take_channels(m, d->bias_at, f, 1);
	d->running_mean = take_statistics(m, d->running_mean, f);
	d->running_var = take_statistics(m, d->running_var, f);
}

/* Rows that constant channels add to, and whose gradients go back to them. */
static void list_sums(struct cop_constant_stage *k)
{
	k->sum_of = cop_xcalloc((size_t)k->rows + 1, sizeof(*k->sum_of));
	k->summed = cop_xcalloc((size_t)k->rows + 1, sizeof(*k->summed));
	for (int r = 0; r < k->rows; r++)
		k->sum_of[r] = -1;
	for (size_t e = 0; e < k->backward; e++) {
		int *of = &k->sum_of[k->base[e].out];
		if (*of < 0) {
			*of = k->nsummed;
			k->summed[k->nsummed++] = k->base[e].out;
		}
	}
}

/* For additions, which read channels of both kinds. */
static void list_channels(struct cop_constant_stage *k, const struct cop_fates *f)
{
	int before = f->stored + f->watched;
	k->stored = f->stored;
	k->row = cop_xcalloc((size_t)f->c, sizeof(*k->row));
	k->varying = cop_xcalloc((size_t)f->c, sizeof(*k->varying));
	for (int c = 0; c < f->c; c++)
		k->row[c] = f->fate[c] == COP_FATE_CONSTANT ? before - 1 - f->place[c] : f->place[c];
	for (int j = 0; j < f->stored; j++)
		k->varying[j] = f->channel[j];
	for (int j = 0; j < f->constant; j++)
		k->varying[f->stored + j] = f->channel[before + j];
}

static int take_stage(struct making *m, int i, struct cop_err *err)
{
	struct cop_stage *s = &m->r->net.stages.stage[i];
	const struct cop_fates *f = &m->fates.stage[i];
	struct cop_constant_stage *k = &m->r->net.constants->stage[i];
	bool weights = s->kind == COP_STAGE_CONV || s->kind == COP_STAGE_LINEAR;
	*k = (struct cop_constant_stage){.n = f->constant, .rows = f->stored + f->watched};
	if (s->kind == COP_STAGE_CONV)
		k->window = cop_stage_conv(m->full, i, 1, 1);
	else
		k->window = (struct cop_conv){.in_h = 1,
					      .in_w = 1,
					      .out_h = 1,
					      .out_w = 1,
					      .kernel = {1, 1},
					      .stride = {1, 1},
					      .dilation = {1, 1}};
	int rc = weights ? take_weights(m, i, err) : 0;
	if (s->norm >= 0)
		take_norm(m, i);
	s->c = f->stored;
	s->watched = f->watched;
	list_channels(k, f);
	for (int j = 0; j < s->ninputs; j++)
		s->shares[j] = s->shares[j] && m->r->net.stages.stage[s->input[j]].c == s->c;
	if (!rc)
		list_sums(k);
	return rc;
}

static void take_mask(struct making *m)
{
	size_t n = m->r->net.graph.params.total;
	m->r->mask = cop_xmalloc(n + 1);
	for (size_t i = 0; i < n; i++)
		m->r->mask[i] = m->r->param_of[i] == COP_REDUCED_NONE || m->mask[m->r->param_of[i]];
}

/* The whole network's graph and stages, with nothing in its layouts yet. */
static void begin_net(struct making *m)
{
	struct cop_net *net = &m->r->net;
	const struct cop_graph *full = &m->full->graph;
	struct cop_graph g = {.n = full->n};
	g.node = cop_grow(NULL, &g.cap, (size_t)g.n, sizeof(*g.node));
	memcpy(g.node, full->node, (size_t)g.n * sizeof(*g.node));
	cop_net_take(net, &g);
	net->sparse = cop_xcalloc((size_t)full->n, sizeof(*net->sparse));
	net->constants = cop_xcalloc(1, sizeof(*net->constants));
	net->constants->n = net->stages.n;
	net->constants->stage = cop_xcalloc((size_t)net->stages.n, sizeof(*net->constants->stage));
}

static bool has_constants(const struct cop_constants *c)
{
	for (int i = 0; i < c->n; i++)
		if (c->stage[i].n || c->stage[i].nbase)
			return true;
	return false;
}

int cop_reduced_init(struct cop_reduced *r, const struct cop_net *full, const uint8_t *mask, const bool *whole,
		     struct cop_err *err)
{
	struct making m = {.r = r, .full = full, .mask = mask, .whole = whole};
	*r = (struct cop_reduced){0};
	int rc = cop_survival_init(&m.fates, full, mask, whole, err);
	if (rc)
		return rc;
	begin_net(&m);
	for (int i = 0; i < full->stages.n && !rc; i++)
		rc = take_stage(&m, i, err);
	if (!rc && !has_constants(r->net.constants)) {
		cop_constants_release(r->net.constants);
		r->net.constants = NULL;
	}
	if (!rc && m.masked)
		take_mask(&m);
	cop_survival_release(&m.fates);
	if (rc)
		cop_reduced_release(r);
	return rc;
}

void cop_reduced_release(struct cop_reduced *r)
{
	cop_net_release(&r->net);
	free(r->param_of);
	free(r->buffer_of);
	free(r->mask);
	*r = (struct cop_reduced){0};
}

void cop_reduced_gather(const size_t *of, size_t n, const float *full, float *small)
{
	for (size_t i = 0; i < n; i++)
		small[i] = of[i] == COP_REDUCED_NONE ? 0.0f : full[of[i]];
}

void cop_reduced_scatter(const size_t *of, size_t n, const float *small, float *full)
{
	for (size_t i = 0; i < n; i++)
		if (of[i] != COP_REDUCED_NONE)
			full[of[i]] = small[i];
}
