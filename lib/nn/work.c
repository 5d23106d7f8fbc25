/* The memory of a network at work: planned once, from who reads what and when; see net.h. */
#include "nn/net.h"

#include "base/mem.h"
#include "nn/arena.h"
#include "nn/constants.h"

#include <math.h>
#include <stdlib.h>

/*
 * Times: stage i runs forward at i, the loss is taken at n, stage i runs backward at 2n - i.
 */
static bool wants_input_back(enum cop_stage_kind k)
{
	return k == COP_STAGE_CONV || k == COP_STAGE_LINEAR || k == COP_STAGE_POOL;
}

static int later(int a, int b)
{
	return a > b ? a : b;
}

/* How long what stage i wrote is wanted. */
static int raw_until(const struct cop_stages *s, int i, bool training)
{
	const struct cop_stage *t = &s->stage[i];
	int until = i == s->n - 1 ? s->n : i;
	for (int r = i + 1; r < s->n; r++)
		for (int k = 0; k < s->stage[r].ninputs; k++)
			if (s->stage[r].input[k] == i) {
				until = later(until, r);
				if (training && wants_input_back(s->stage[r].kind))
					until = later(until, 2 * s->n - r);
			}
	if (training && cop_stage_cuts(t) && t->readers)
		until = later(until, 2 * s->n - t->first);
	if (training && t->norm >= 0)
		until = later(until, 2 * s->n - i);
	return until;
}

/* The stage whose gradient's memory is that of stage i's. */
static int memory_of(const struct cop_stages *s, int i)
{
	for (;;) {
		int at = s->stage[i].last;
		if (at < 0)
			return i;
		const struct cop_stage *r = &s->stage[at];
		bool shared = (r->input[0] == i && r->shares[0]) ||
			      (r->ninputs == 2 && r->input[1] == i && r->shares[1]);
		if (!shared)
			return i;
		i = at;
	}
}

static size_t floats(const struct cop_stage *t, int ld)
{
	return (size_t)t->c * (size_t)t->h * (size_t)t->w * (size_t)ld;
}

/* life: (2n), what the stages write and then their gradients. */
static void set_lives(const struct cop_stages *s, int ld, bool training, struct cop_life *life)
{
	int n = s->n;
	for (int i = 0; i < n; i++) {
		const struct cop_stage *t = &s->stage[i];
		bool made = t->kind != COP_STAGE_INPUT;
		life[i] = (struct cop_life){made ? floats(t, ld) : 0, i, raw_until(s, i, training), 0};
		life[n + i] = (struct cop_life){0, 2 * n + 1, -1, 0};
	}
	for (int i = 1; i < n && training; i++) {
		const struct cop_stage *t = &s->stage[i];
		if (t->kind == COP_STAGE_INPUT)
			continue;
		struct cop_life *g = &life[n + memory_of(s, i)];
		int from = t->last < 0 ? n : 2 * n - t->last;
		g->size = floats(t, ld);
		g->from = from < g->from ? from : g->from;
		g->to = later(g->to, 2 * n - i);
	}
}

/* How stage i's convolution is called, see run_forward() and cop_net_backward() in net.c. */
static struct cop_conv_use conv_use(const struct cop_work *w, int i, bool backward)
{
	const struct cop_stage *s = &w->net->stages.stage[i], *x = &w->net->stages.stage[s->input[0]];
	struct cop_conv_use use = {.backward = backward,
				   .data = x->kind != COP_STAGE_INPUT,
				   .scaled = x->norm >= 0,
				   .from = -INFINITY,
				   .to = INFINITY,
				   .bias = w->net->graph.node[s->node].bias,
				   .sums = s->norm >= 0 && w->training,
				   .lo = -INFINITY,
				   .hi = INFINITY};
	if (use.scaled) {
		use.from = x->lo;
		use.to = x->hi;
	}
	if (s->norm < 0) {
		use.lo = s->lo;
		use.hi = s->hi;
	}
	return use;
}

static size_t space_floats(struct cop_work *w)
{
	size_t most = 0;
	for (int i = 0; i < w->net->stages.n; i++) {
		const struct cop_stage *s = &w->net->stages.stage[i];
		size_t here[2] = {0, 0};
		if (s->kind != COP_STAGE_CONV && s->kind != COP_STAGE_POOL)
			continue;
		struct cop_conv c = cop_stage_conv(w->net, i, w->batch, w->ld);
		struct cop_pool p = {.window = c};
		if (s->kind == COP_STAGE_POOL)
			here[0] = w->backend->pool_space(&p);
		else
			for (int back = 0; back <= w->training; back++) {
				struct cop_conv_use use = conv_use(w, i, back);
				here[back] = w->backend->conv_space(&c, &use);
			}
		most = here[0] > most ? here[0] : most;
		most = here[1] > most ? here[1] : most;
	}
	return most;
}

static size_t norm_room(const struct cop_stage *s)
{
	return ((size_t)(s->c + s->watched) + 15) & ~(size_t)15;
}

/* Of the batch norms: seven numbers a channel, and room for the sums of the widest. */
static int plan_norms(struct cop_work *w, struct cop_err *err)
{
	const struct cop_stages *s = &w->net->stages;
	size_t all = 0, widest = 0;
	for (int i = 0; i < s->n; i++)
		if (s->stage[i].norm >= 0) {
			size_t c = norm_room(&s->stage[i]);
			all += 7 * c;
			widest = c > widest ? c : widest;
		}
	size_t floats = all + 2 * (size_t)w->backend->parts * widest + 16;
	int rc = cop_backend_alloc(w->backend, &w->small, floats * sizeof(float), "statistics", err);
	if (rc)
		return rc;
	float *at = w->small;
	for (int i = 0; i < s->n; i++)
		if (s->stage[i].norm >= 0) {
			size_t c = norm_room(&s->stage[i]);
			w->normed[i] = (struct cop_normed){at, at + c, at + 2 * c, at + 3 * c};
			w->slopes[i] = (struct cop_slopes){at + 4 * c, at + 5 * c, at + 6 * c};
			at += 7 * c;
		}
	w->sums.part = at;
	return 0;
}

/* The address of element `at` of the arena. */
static float *element(const struct cop_work *w, size_t at)
{
	return (float *)(void *)((char *)w->arena + at * w->backend->element);
}

static int plan_arena(struct cop_work *w, const struct cop_work *host, struct cop_err *err)
{
	const struct cop_stages *s = &w->net->stages;
	size_t n = (size_t)s->n;
	struct cop_life *life = cop_xcalloc(2 * n, sizeof(*life));
	set_lives(s, w->ld, w->training, life);
	w->arena_floats = cop_arena_place(life, 2 * n);
	w->guest = host && host->arena_floats >= w->arena_floats;
	w->arena = w->guest ? host->arena : NULL;
	size_t each = w->backend->element;
	int rc = w->guest ? 0 : cop_backend_alloc(w->backend, &w->arena, w->arena_floats * each, "activations", err);
	for (size_t i = 0; i < n && !rc; i++) {
		bool made = s->stage[i].kind != COP_STAGE_INPUT;
		size_t back = life[n + (size_t)memory_of(s, (int)i)].offset;
		w->raw[i] = made ? element(w, life[i].offset) : NULL;
		w->grad[i] = made && w->training ? element(w, back) : NULL;
	}
	free(life);
	return rc;
}

int cop_work_guest_batch(const struct cop_work *host, int most)
{
	enum { LITTLE = 4 << 20 };
	size_t n = (size_t)host->net->stages.n, room = host->arena_floats > LITTLE ? host->arena_floats : LITTLE;
	struct cop_life *life = cop_xcalloc(2 * n, sizeof(*life));
	for (; most > 16; most /= 2) {
		set_lives(&host->net->stages, cop_leading(host->backend, most), false, life);
		if (cop_arena_place(life, 2 * n) <= room)
			break;
	}
	free(life);
	return most;
}

/* Bytes of a work's arena, were its batch another. */
static size_t arena_bytes(const struct cop_work *w, int batch)
{
	const struct cop_stages *s = &w->net->stages;
	struct cop_life *life = cop_xcalloc(2 * (size_t)s->n, sizeof(*life));
	set_lives(s, cop_leading(w->backend, batch), w->training, life);
	size_t floats = cop_arena_place(life, 2 * (size_t)s->n);
	free(life);
	return floats * w->backend->element;
}

/* On a device that is too small: which batch would fit. Workspace is taken to grow with the batch. */
static int say_what_fits(struct cop_work *w, struct cop_err *err)
{
	size_t free_bytes, total, space = space_floats(w) * sizeof(float);
	int least = 0, most = w->batch;
	if (!w->backend->queue || w->backend->queue->memory(&free_bytes, &total, NULL))
		return COP_EFAILED;
	/* what was taken before it failed is free again */
	free_bytes += w->guest || !w->arena ? 0 : w->arena_floats * w->backend->element;
	while (most - least > 1) {
		int middle = least + (most - least) / 2;
		bool fits = arena_bytes(w, middle) + space / (size_t)w->batch * (size_t)middle <= free_bytes;
		least = fits ? middle : least;
		most = fits ? most : middle;
	}
	struct cop_err was = *err;
	if (!least)
		return cop_fail(err, COP_EFAILED, "%.500s; not even a batch of 1 would fit", was.msg);
	return cop_fail(err, COP_EFAILED, "%.500s; the batch is %d, about %d would fit", was.msg, w->batch, least);
}

int cop_work_init(struct cop_work *w, const struct cop_net *net, const struct cop_backend *backend, int batch,
		  bool training, const struct cop_work *host, struct cop_err *err)
{
	size_t n = (size_t)net->stages.n;
	*w = (struct cop_work){.net = net,
			       .backend = backend,
			       .batch = batch,
			       .ld = cop_leading(backend, batch),
			       .training = training};
	w->raw = cop_xcalloc(n, sizeof(*w->raw));
	w->grad = cop_xcalloc(n, sizeof(*w->grad));
	w->normed = cop_xcalloc(n, sizeof(*w->normed));
	w->slopes = cop_xcalloc(n, sizeof(*w->slopes));
	int rc = plan_arena(w, host, err);
	if (!rc)
		rc = plan_norms(w, err);
	if (!rc)
		w->space_floats = space_floats(w) + 16;
	if (!rc)
		rc = cop_backend_alloc(backend, &w->space, w->space_floats * sizeof(float), "workspace", err);
	if (!rc && net->constants)
		rc = cop_constants_begin(&w->constants, net, training, err);
	if (!rc && backend->narrow)
		rc = cop_backend_alloc(backend, &w->narrow, net->graph.params.total * backend->element, "parameters",
				       err);
	if (rc && err && backend->queue)
		rc = say_what_fits(w, err);
	if (rc)
		cop_work_release(w);
	return rc;
}

void cop_work_release(struct cop_work *w)
{
	free(w->raw);
	free(w->grad);
	free(w->normed);
	free(w->slopes);
	if (w->backend) {
		if (!w->guest)
			w->backend->release(w->arena);
		w->backend->release(w->small);
		w->backend->release(w->space);
		w->backend->release(w->narrow);
	}
	cop_constants_end(w->constants);
	*w = (struct cop_work){0};
}

size_t cop_work_bytes(const struct cop_work *w)
{
	return w->arena_floats * w->backend->element + w->space_floats * sizeof(float);
}
