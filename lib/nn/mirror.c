/* Training's numbers on a device; see mirror.h. */
#include "nn/mirror.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

int cop_mirror_init(struct cop_mirror *m, const struct cop_backend *b, const struct cop_graph *g, size_t nslots,
		    struct cop_err *err)
{
	size_t bytes = g->params.total * sizeof(float);
	*m = (struct cop_mirror){.backend = b, .graph = g, .nslots = nslots};
	int rc = cop_alloc(&m->host, g->params.total, sizeof(float), "parameters", err);
	if (!rc)
		rc = cop_backend_alloc(b, &m->param, bytes, "parameters", err);
	if (!rc)
		rc = cop_backend_alloc(b, &m->grad, bytes, "gradients", err);
	for (size_t s = 0; s < nslots && !rc; s++)
		rc = cop_backend_alloc(b, &m->slot[s], bytes, "optimizer state", err);
	if (!rc)
		rc = cop_backend_alloc(b, &m->buffer, (g->buffers.total + 1) * sizeof(float), "running statistics",
				       err);
	if (!rc)
		rc = cop_backend_alloc(b, &m->loss, sizeof(*m->loss), "the loss", err);
	return rc;
}

void cop_mirror_release(struct cop_mirror *m)
{
	if (!m->backend)
		return;
	void *all[] = {m->param, m->grad, m->buffer, m->mask, m->loss, m->slot[0], m->slot[1]};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		m->backend->release(all[i]);
	free(m->host);
	*m = (struct cop_mirror){0};
}

/* The convolution that a node's weights are of. */
static struct cop_conv weights_of(const struct cop_graph *g, const struct cop_node *d)
{
	return (struct cop_conv){.in_c = g->node[d->input[0]].c,
				 .out_c = d->c,
				 .kernel = {d->conv.kernel[0], d->conv.kernel[1]},
				 .groups = d->conv.groups};
}

/* An arena of numbers of `size` bytes from one order to the other. */
static void turn(const struct cop_mirror *m, bool back, size_t size, const void *from, void *to)
{
	const struct cop_graph *g = m->graph;
	if (g->params.total)
		memcpy(to, from, g->params.total * size);
	for (int i = 0; i < g->n && m->backend->reorder; i++) {
		if (g->node[i].op != COP_OP_CONV)
			continue;
		struct cop_conv d = weights_of(g, &g->node[i]);
		size_t at = g->node[i].weight * size;
		m->backend->reorder(&d, back, size, (const char *)from + at, (char *)to + at);
	}
}

static int put_arena(struct cop_mirror *m, const float *from, float *to, struct cop_err *err)
{
	turn(m, false, sizeof(float), from, m->host);
	return m->backend->put(to, m->host, m->graph->params.total * sizeof(float), err);
}

static int get_arena(struct cop_mirror *m, const float *from, float *to, struct cop_err *err)
{
	int rc = m->backend->get(m->host, from, m->graph->params.total * sizeof(float), err);
	if (!rc)
		turn(m, true, sizeof(float), m->host, to);
	return rc;
}

static int put_mask(struct cop_mirror *m, const uint8_t *mask, struct cop_err *err)
{
	size_t n = m->graph->params.total, bytes = (n + 7) / 8;
	uint8_t *turned = cop_xmalloc(n + 1), *bits = cop_xcalloc(bytes + 1, 1);
	int rc = m->mask ? 0 : cop_backend_alloc(m->backend, &m->mask, bytes, "a mask", err);
	turn(m, false, 1, mask, turned);
	for (size_t i = 0; i < n; i++)
		bits[i / 8] = (uint8_t)(bits[i / 8] | (turned[i] ? 1u << (i % 8) : 0));
	if (!rc)
		rc = m->backend->put(m->mask, bits, bytes, err);
	free(turned);
	free(bits);
	return rc;
}

int cop_mirror_put(struct cop_mirror *m, const struct cop_arrays *a, struct cop_err *err)
{
	int rc = put_arena(m, a->param, m->param, err);
	for (size_t s = 0; s < m->nslots && !rc; s++)
		rc = put_arena(m, a->slot[s], m->slot[s], err);
	if (!rc)
		rc = m->backend->put(m->buffer, a->buffer, m->graph->buffers.total * sizeof(float), err);
	if (!rc)
		rc = m->backend->put(m->loss, a->loss, sizeof(*a->loss), err);
	return rc || !a->mask ? rc : put_mask(m, a->mask, err);
}

int cop_mirror_get(struct cop_mirror *m, const struct cop_arrays *a, struct cop_err *err)
{
	int rc = get_arena(m, m->param, a->param, err);
	for (size_t s = 0; s < m->nslots && !rc; s++)
		rc = get_arena(m, m->slot[s], a->slot[s], err);
	if (!rc)
		rc = m->backend->get(a->buffer, m->buffer, m->graph->buffers.total * sizeof(float), err);
	return rc ? rc : m->backend->get(a->loss, m->loss, sizeof(*a->loss), err);
}
