/* What becomes of channels under a mask; see survival.h. */
#include "nn/survival.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* A network's channels while they are looked at; flag[s][c] means what each pass says. */
struct pass {
	const struct cop_net *net;
	const uint8_t *mask;
	bool **flag;
};

static bool **make_flags(const struct cop_stages *s)
{
	bool **flag = cop_xcalloc((size_t)s->n, sizeof(*flag));
	for (int i = 0; i < s->n; i++)
		flag[i] = cop_xcalloc((size_t)s->stage[i].c, sizeof(**flag));
	return flag;
}

static void free_flags(const struct cop_stages *s, bool **flag)
{
	for (int i = 0; i < s->n; i++)
		free(flag[i]);
	free(flag);
}

static const struct cop_stage *stage_of(const struct pass *p, int i)
{
	return &p->net->stages.stage[i];
}

bool cop_stage_depthwise(const struct cop_net *net, int i)
{
	const struct cop_stage *s = &net->stages.stage[i];
	return s->kind == COP_STAGE_CONV && cop_node_depthwise(&net->graph, s->node);
}

/* A layer of one group: each output may read each input. */
static bool joins_all(const struct pass *p, int i)
{
	const struct cop_stage *s = stage_of(p, i);
	return s->kind == COP_STAGE_LINEAR ||
	       (s->kind == COP_STAGE_CONV && p->net->graph.node[s->node].conv.groups == 1);
}

/* Weights of a row of such a layer that go to one channel of its input. */
static size_t weights_a_channel(const struct pass *p, int i)
{
	const struct cop_stage *s = stage_of(p, i), *x = stage_of(p, s->input[0]);
	const struct cop_node *d = &p->net->graph.node[s->node];
	if (s->kind == COP_STAGE_LINEAR)
		return (size_t)x->h * (size_t)x->w;
	return (size_t)(d->conv.kernel[0] * d->conv.kernel[1]);
}

/* Whether any weight between output o and input channel c of such a layer is left; of a depthwise one c is 0. */
static bool joined(const struct pass *p, int i, int o, int c, int inputs)
{
	size_t n = weights_a_channel(p, i);
	const uint8_t *at = p->mask + p->net->graph.node[stage_of(p, i)->node].weight +
			    ((size_t)o * (size_t)inputs + (size_t)c) * n;
	return memchr(at, 1, n) != NULL;
}

/* Whether output o has a weight left to an input channel that is flagged. */
static bool reads_flagged(const struct pass *p, int i, int o)
{
	const struct cop_stage *s = stage_of(p, i);
	int inputs = stage_of(p, s->input[0])->c;
	for (int c = 0; c < inputs; c++)
		if (p->flag[s->input[0]][c] && joined(p, i, o, c, inputs))
			return true;
	return false;
}

/* flag: whether a channel varies from image to image. */
static void find_varying(const struct pass *p, int i)
{
	const struct cop_stage *s = stage_of(p, i);
	const bool *in = s->ninputs ? p->flag[s->input[0]] : NULL;
	int inputs = s->ninputs ? stage_of(p, s->input[0])->c : 0;
	for (int c = 0; c < s->c; c++) {
		bool varies = true;
		if (s->kind == COP_STAGE_INPUT)
			varies = true;
		else if (joins_all(p, i))
			varies = reads_flagged(p, i, c);
		else if (cop_stage_depthwise(p->net, i))
			varies = in[c] && joined(p, i, c, 0, 1);
		else if (s->kind == COP_STAGE_ADD)
			varies = in[c] || p->flag[s->input[1]][c];
		else if (s->kind == COP_STAGE_FLATTEN)
			varies = in[c / (s->c / inputs)];
		else if (s->kind != COP_STAGE_CONV)
			varies = in[c];
		p->flag[i][c] = varies;
	}
}

static bool any(const bool *flag, int n)
{
	return memchr(flag, 1, (size_t)n) != NULL;
}

int cop_survival_check(const struct cop_net *net, const uint8_t *mask, struct cop_err *err)
{
	const struct cop_stages *s = &net->stages;
	struct pass p = {net, mask, make_flags(s)};
	int last = 0, rc = 0;
	for (int i = 0; i < s->n; i++) {
		find_varying(&p, i);
		if (any(p.flag[i], s->stage[i].c))
			last = i;
	}
	for (int i = last + 1; i < s->n && !rc; i++)
		if (s->stage[i].kind == COP_STAGE_CONV || s->stage[i].kind == COP_STAGE_LINEAR)
			rc = cop_fail(err, COP_EINPUT,
				      "the mask leaves nothing of '%s' that an image could pass: every image has the "
				      "same output; prune less, or exempt the layer",
				      net->graph.node[s->stage[i].node].name);
	free_flags(s, p.flag);
	return rc;
}

static bool set(bool *flag)
{
	bool was = *flag;
	*flag = true;
	return !was;
}

static bool set_all(bool *flag, int n)
{
	bool more = false;
	for (int c = 0; c < n; c++)
		more |= set(&flag[c]);
	return more;
}

/*
 * flag: whether a channel is worked out for every image: it varies, or somebody wants it stored beside others that do.
 * Returns whether anything was set.
 */
static bool find_stored(const struct pass *p, int i)
{
	const struct cop_stage *s = stage_of(p, i);
	bool more = false;
	if (joins_all(p, i)) {
		for (int c = 0; c < s->c; c++)
			if (!p->flag[i][c] && reads_flagged(p, i, c))
				more |= set(&p->flag[i][c]);
	} else if (cop_stage_depthwise(p->net, i)) {
		bool *in = p->flag[s->input[0]];
		for (int c = 0; c < s->c; c++)
			if (in[c] || p->flag[i][c])
				more |= set(&in[c]) | set(&p->flag[i][c]);
	} else {
		more |= set_all(p->flag[i], s->c);
		/* additions take constant channels as they are, others do not */
		for (int k = 0; k < s->ninputs && s->kind != COP_STAGE_ADD; k++)
			more |= set_all(p->flag[s->input[k]], stage_of(p, s->input[k])->c);
	}
	if (i == p->net->stages.n - 1)
		more |= set_all(p->flag[i], s->c);
	/* no layer of nothing */
	if (!any(p->flag[i], s->c))
		more |= set(&p->flag[i][0]);
	return more;
}

/* flag: whether somebody who is worked out reads a channel. Of stage i, whose fates are known, on to its inputs. */
static void tell_needs(const struct pass *p, int i, const uint8_t *fate)
{
	const struct cop_stage *s = stage_of(p, i);
	for (int k = 0; k < s->ninputs; k++) {
		int inputs = stage_of(p, s->input[k])->c;
		bool *in = p->flag[s->input[k]];
		if (!joins_all(p, i)) {
			for (int c = 0; c < inputs; c++)
				in[c] = in[c] || !cop_stage_depthwise(p->net, i) || fate[c] == COP_FATE_STORED;
			continue;
		}
		for (int o = 0; o < s->c; o++)
			for (int c = 0; c < inputs && fate[o] <= COP_FATE_WATCHED; c++)
				in[c] = in[c] || joined(p, i, o, c, inputs);
	}
}

static void decide(const struct pass *p, int i, const bool *stored, bool whole, struct cop_fates *f)
{
	const struct cop_stage *s = stage_of(p, i);
	bool may_leave = joins_all(p, i) && i < p->net->stages.n - 1, kept = false;
	for (int c = 0; c < s->c; c++) {
		bool needed = p->flag[i][c] || !may_leave || (whole && s->norm >= 0);
		f->fate[c] = !stored[c]    ? COP_FATE_CONSTANT
			     : needed      ? COP_FATE_STORED
			     : s->norm < 0 ? COP_FATE_DROPPED
					   : COP_FATE_WATCHED;
		kept = kept || f->fate[c] == COP_FATE_STORED;
	}
	for (int c = 0; c < s->c && !kept; c++)
		if (stored[c]) {
			f->fate[c] = COP_FATE_STORED;
			kept = true;
		}
}

static void order(struct cop_fates *f)
{
	int *count[] = {&f->stored, &f->watched, &f->constant}, k = 0;
	for (int fate = COP_FATE_STORED; fate <= COP_FATE_DROPPED; fate++)
		for (int c = 0; c < f->c; c++) {
			if (f->fate[c] != fate)
				continue;
			f->channel[k] = c;
			f->place[c] = k++;
			if (fate < COP_FATE_DROPPED)
				++*count[fate];
		}
}

static void begin_fates(struct cop_fates *f, int c)
{
	*f = (struct cop_fates){.c = c};
	f->fate = cop_xcalloc((size_t)c, sizeof(*f->fate));
	f->channel = cop_xcalloc((size_t)c, sizeof(*f->channel));
	f->place = cop_xcalloc((size_t)c, sizeof(*f->place));
}

int cop_survival_init(struct cop_survival *v, const struct cop_net *net, const uint8_t *mask, const bool *whole,
		      struct cop_err *err)
{
	const struct cop_stages *s = &net->stages;
	*v = (struct cop_survival){0};
	int rc = cop_survival_check(net, mask, err);
	if (rc)
		return rc;
	struct pass stored = {net, mask, make_flags(s)}, needed = {net, mask, make_flags(s)};
	for (bool more = true; more;) {
		more = false;
		for (int i = 0; i < s->n; i++)
			more |= find_stored(&stored, i);
	}
	v->n = s->n;
	v->stage = cop_xcalloc((size_t)s->n, sizeof(*v->stage));
	for (int i = s->n - 1; i >= 0; i--) {
		int node = s->stage[i].node;
		begin_fates(&v->stage[i], s->stage[i].c);
		decide(&needed, i, stored.flag[i], whole && node >= 0 && whole[node], &v->stage[i]);
		tell_needs(&needed, i, v->stage[i].fate);
		order(&v->stage[i]);
	}
	free_flags(s, stored.flag);
	free_flags(s, needed.flag);
	return 0;
}

void cop_survival_release(struct cop_survival *v)
{
	for (int i = 0; i < v->n; i++) {
		free(v->stage[i].fate);
		free(v->stage[i].channel);
		free(v->stage[i].place);
	}
	free(v->stage);
	*v = (struct cop_survival){0};
}
