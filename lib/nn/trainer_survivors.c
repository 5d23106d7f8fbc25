/*
 * Training what a mask leaves of a network, on the CPU: the trainer's arrays stay those of the whole network, and
 * become what the reduced one has when they are read (cop_trainer_sync). See nn/reduced.h and nn/trainer.h.
 */
#include "base/mem.h"
#include "nn/engine.h"
#include "nn/reduced.h"
#include "nn/trainer_priv.h"

#include <stdio.h>
#include <stdlib.h>

struct cop_on_survivors {
	struct cop_reduced reduced;
	struct cop_numbers at;
	bool whole_newer; /* the trainer's arrays were changed since they were taken over */
};

static bool wanted(const struct cop_trainer *t)
{
	return t->mask && t->config->engine != COP_ENGINE_DENSE && !t->backend->queue && !t->ranks;
}

static int allocate(struct cop_trainer *t, struct cop_on_survivors *s, struct cop_err *err)
{
	const struct cop_graph *g = &s->reduced.net.graph;
	struct cop_numbers *at = &s->at;
	at->n = g->params.total;
	at->mask = s->reduced.mask;
	int rc = cop_alloc(&at->param, at->n, sizeof(float), "surviving parameters", err);
	if (!rc)
		rc = cop_alloc(&at->grad, at->n, sizeof(float), "gradients", err);
	if (!rc)
		rc = cop_alloc(&at->buffer, g->buffers.total + 1, sizeof(float), "running statistics", err);
	for (size_t i = 0; i < t->nslots && !rc; i++)
		rc = cop_alloc(&at->slot[i], at->n, sizeof(float), "optimizer state", err);
	return rc;
}

/* The reduced network and its arrays. */
static void drop(struct cop_trainer *t)
{
	struct cop_on_survivors *s = t->survivors;
	if (!s)
		return;
	cop_reduced_release(&s->reduced);
	free(s->at.param);
	free(s->at.grad);
	free(s->at.buffer);
	for (size_t i = 0; i < COP_SLOTS_MAX; i++)
		free(s->at.slot[i]);
	free(s);
	t->survivors = NULL;
}

void cop_on_survivors_release(struct cop_trainer *t)
{
	drop(t);
	free(t->whole);
	t->whole = NULL;
}

void cop_on_survivors_changed(struct cop_trainer *t)
{
	if (t->survivors)
		t->survivors->whole_newer = true;
}

/* Which layers stay whole: as an attempt before this one had it, or as the rule or a trial has it. */
static int decide(struct cop_trainer *t, struct cop_err *err)
{
	if (t->whole)
		return 0;
	t->whole = cop_xcalloc((size_t)t->net.graph.n, sizeof(*t->whole));
	if (t->config->engine == COP_ENGINE_SPARSE)
		return 0;
	return cop_engine_choose(&t->net, t->mask, t->work.batch, t->config->engine == COP_ENGINE_TIMED, t->whole, err);
}

int cop_on_survivors_begin(struct cop_trainer *t, struct cop_err *err)
{
	if (t->survivors || !wanted(t))
		return 0;
	struct cop_on_survivors *s = cop_xcalloc(1, sizeof(*s));
	t->survivors = s;
	s->whole_newer = true;
	int rc = decide(t, err);
	if (!rc)
		rc = cop_reduced_init(&s->reduced, &t->net, t->mask, t->whole, err);
	if (!rc)
		rc = allocate(t, s, err);
	if (!rc)
		rc = cop_trainer_open_works(t, &s->reduced.net, err);
	if (rc)
		drop(t);
	return rc;
}

static void take_over(struct cop_trainer *t)
{
	struct cop_on_survivors *s = t->survivors;
	const struct cop_reduced *r = &s->reduced;
	cop_reduced_gather(r->param_of, s->at.n, t->param, s->at.param);
	cop_reduced_gather(r->buffer_of, r->net.graph.buffers.total, t->buffer, s->at.buffer);
	for (size_t i = 0; i < t->nslots; i++)
		cop_reduced_gather(r->param_of, s->at.n, t->slot[i], s->at.slot[i]);
	s->whole_newer = false;
}

struct cop_numbers cop_trainer_numbers(struct cop_trainer *t)
{
	if (t->survivors && t->survivors->whole_newer)
		take_over(t);
	if (t->survivors)
		return t->survivors->at;
	return (struct cop_numbers){.n = t->net.graph.params.total,
				    .param = t->param,
				    .grad = t->grad,
				    .buffer = t->buffer,
				    .slot = {t->slot[0], t->slot[1]},
				    .mask = t->mask};
}

void cop_on_survivors_sync(struct cop_trainer *t)
{
	const struct cop_on_survivors *s = t->survivors;
	if (!s || s->whole_newer)
		return;
	const struct cop_reduced *r = &s->reduced;
	cop_reduced_scatter(r->param_of, s->at.n, s->at.param, t->param);
	cop_reduced_scatter(r->buffer_of, r->net.graph.buffers.total, s->at.buffer, t->buffer);
	for (size_t i = 0; i < t->nslots; i++)
		cop_reduced_scatter(r->param_of, s->at.n, s->at.slot[i], t->slot[i]);
}

bool cop_trainer_lists(const struct cop_trainer *t, int i)
{
	return t->survivors && cop_reduced_can_list(&t->net.graph, i) && !t->whole[i];
}

int cop_trainer_count_lists(const struct cop_trainer *t, int *could)
{
	int lists = 0;
	*could = 0;
	for (int i = 0; i < t->net.graph.n; i++) {
		*could += cop_reduced_can_list(&t->net.graph, i);
		lists += cop_trainer_lists(t, i);
	}
	return lists;
}

const char *cop_trainer_engine(const struct cop_trainer *t, char *buf, size_t size)
{
	int could, lists = cop_trainer_count_lists(t, &could);
	snprintf(buf, size, lists ? "sparse %d of %d layers" : "dense", lists, could);
	return buf;
}
