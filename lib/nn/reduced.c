/* Networks reduced to what a mask leaves; see reduced.h. */
#include "nn/reduced.h"

#include "base/mem.h"
#include "compute/conv.h"
#include "compute/sparse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool cop_reduced_can_list(const struct cop_graph *g, int i)
{
	const struct cop_node *d = &g->node[i];
	if (d->op == COP_OP_LINEAR)
		return true;
	int in = d->op == COP_OP_CONV ? g->node[d->input[0]].c : 0;
	return d->op == COP_OP_CONV && !(d->conv.groups == in && d->c == in && in > 1);
}

/* What is being made. */
struct making {
	struct cop_reduced *r;
	const struct cop_net *full;
	const uint8_t *mask;
	size_t param_room, buffer_room;
	bool masked; /* any weight that is not listed is masked */
};

/* A tensor of the reduced layout, `count` elements long; returns its offset. */
static size_t add_tensor(struct cop_layout *l, const struct cop_tensor *of, int rank, const int64_t *dim)
{
	cop_layout_add(l, of->name, rank, dim, of->prunable);
	return l->tensor[l->n - 1].offset;
}

static const struct cop_tensor *tensor_at(const struct cop_layout *l, size_t offset)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->tensor[i].offset == offset)
			return &l->tensor[i];
	COP_BUG("no tensor begins there");
}

static size_t *grow_map(size_t *map, size_t *room, size_t need)
{
	size_t had = *room;
	map = cop_grow(map, room, need, sizeof(*map));
	for (size_t i = had; i < *room; i++)
		map[i] = COP_REDUCED_NONE;
	return map;
}

/* All of a parameter's numbers. */
static size_t take_param(struct making *m, size_t offset)
{
	struct cop_layout *l = &m->r->net.graph.params;
	const struct cop_tensor *t = tensor_at(&m->full->graph.params, offset);
	size_t at = add_tensor(l, t, t->rank, t->dim);
	m->r->param_of = grow_map(m->r->param_of, &m->param_room, l->total);
	for (size_t i = 0; i < t->count; i++) {
		m->r->param_of[at + i] = offset + i;
		m->masked = m->masked || !m->mask[offset + i];
	}
	return at;
}

/* The survivors alone of one whose weights are listed. */
static size_t take_survivors(struct making *m, size_t offset, int count)
{
	struct cop_layout *l = &m->r->net.graph.params;
	const struct cop_tensor *t = tensor_at(&m->full->graph.params, offset);
	size_t at = add_tensor(l, t, 1, (int64_t[]){count});
	m->r->param_of = grow_map(m->r->param_of, &m->param_room, l->total);
	for (size_t i = 0, k = at; i < t->count; i++)
		if (m->mask[offset + i])
			m->r->param_of[k++] = offset + i;
	return at;
}

static size_t take_buffer(struct making *m, size_t offset)
{
	struct cop_layout *l = &m->r->net.graph.buffers;
	const struct cop_tensor *t = tensor_at(&m->full->graph.buffers, offset);
	size_t at = add_tensor(l, t, t->rank, t->dim);
	m->r->buffer_of = grow_map(m->r->buffer_of, &m->buffer_room, l->total);
	for (size_t i = 0; i < t->count; i++)
		m->r->buffer_of[at + i] = offset + i;
	return at;
}

static int list_weights(struct making *m, int i, struct cop_err *err)
{
	const struct cop_node *d = &m->full->graph.node[i];
	bool conv = d->op == COP_OP_CONV;
	int taps = conv ? d->conv.kernel[0] * d->conv.kernel[1] : 1, groups = conv ? d->conv.groups : 1;
	const struct cop_node *in = &m->full->graph.node[d->input[0]];
	return cop_sparse_init(&m->r->net.sparse[i], d->c, conv ? in->c : in->c * in->h * in->w, taps, groups,
			       m->mask + d->weight, err);
}

static int take_node(struct making *m, int i, bool list, struct cop_err *err)
{
	struct cop_node *d = &m->r->net.graph.node[i];
	bool weights = d->op == COP_OP_CONV || d->op == COP_OP_LINEAR;
	int rc = weights && list ? list_weights(m, i, err) : 0;
	if (rc)
		return rc;
	if (weights && list)
		d->weight = take_survivors(m, d->weight, m->r->net.sparse[i].count);
	else if (weights)
		d->weight = take_param(m, d->weight);
	if (weights && d->bias)
		d->bias_at = take_param(m, d->bias_at);
	if (d->op != COP_OP_BATCH_NORM)
		return 0;
	d->weight = take_param(m, d->weight);
	d->bias_at = take_param(m, d->bias_at);
	d->running_mean = take_buffer(m, d->running_mean);
	d->running_var = take_buffer(m, d->running_var);
	return 0;
}

static void take_mask(struct making *m)
{
	size_t n = m->r->net.graph.params.total;
	m->r->mask = cop_xmalloc(n + 1);
	for (size_t i = 0; i < n; i++)
		m->r->mask[i] = m->r->param_of[i] == COP_REDUCED_NONE || m->mask[m->r->param_of[i]];
}

int cop_reduced_init(struct cop_reduced *r, const struct cop_net *full, const uint8_t *mask, const bool *whole,
		     struct cop_err *err)
{
	struct making m = {.r = r, .full = full, .mask = mask};
	struct cop_graph g = {.n = full->graph.n};
	*r = (struct cop_reduced){0};
	g.node = cop_grow(NULL, &g.cap, (size_t)g.n, sizeof(*g.node));
	memcpy(g.node, full->graph.node, (size_t)g.n * sizeof(*g.node));
	cop_net_take(&r->net, &g);
	r->net.sparse = cop_xcalloc((size_t)full->graph.n, sizeof(*r->net.sparse));
	int rc = 0;
	for (int i = 0; i < full->graph.n && !rc; i++)
		rc = take_node(&m, i, cop_reduced_can_list(&full->graph, i) && !(whole && whole[i]), err);
	if (rc)
		cop_reduced_release(r);
	else if (m.masked)
		take_mask(&m);
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
