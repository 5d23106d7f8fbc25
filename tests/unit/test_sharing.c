/*
 * Networks whose activations and gradients share memory, against the same ones where every stage has memory of its own:
 * the bits must be the same. Drawn networks of sums within sums, in which every node may be read by any later one; the
 * shared memory begins as NaN, and an evaluation borrows it between two steps.
 */
#include "base/mem.h"
#include "floats.h"
#include "nn/net.h"
#include "random_graph.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CLASSES = 5, STEPS = 2 };

static const struct cop_backend *const engine = &cop_cpu_backend;

/* A node of the one shape that all of them have, of any that there are. */
static int any(struct cop_stream *s, const struct cop_graph *g)
{
	return random_between(s, 0, 2) ? random_between(s, g->n > 6 ? g->n - 6 : 1, g->n - 1)
				       : random_between(s, 1, g->n - 1);
}

static void add_piece(struct cop_graph *g, struct cop_stream *s, int c)
{
	int x = any(s, g);
	const struct cop_conv_spec window = {.out = c, .kernel = {3, 3}, .padding = {1, 1}},
				   narrow = {.out = c, .kernel = {1, 1}, .bias = true},
				   deep = {.out = c, .kernel = {3, 1}, .padding = {1, 0}, .groups = c};
	switch (random_between(s, 0, 15)) {
	case 0:
		cop_graph_conv(g, x, NULL, &window);
		break;
	case 1:
	case 2:
		cop_graph_conv(g, x, NULL, &narrow);
		break;
	case 3:
		cop_graph_conv(g, x, NULL, &deep);
		break;
	case 4:
	case 5:
		cop_graph_batch_norm(g, x, NULL);
		break;
	case 6:
		cop_graph_relu(g, x);
		break;
	case 7:
		cop_graph_relu6(g, x);
		break;
	case 8:
		cop_graph_max_pool(g, x, &window);
		break;
	case 9:
		cop_graph_avg_pool(g, x, &window);
		break;
	case 10:
		cop_graph_dropout(g, x, 0.3);
		break;
	default:
		cop_graph_add(g, x, any(s, g));
	}
}

static bool is_read(const struct cop_graph *g, int node)
{
	for (int k = node + 1; k < g->n; k++)
		for (int i = 0; i < g->node[k].ninputs; i++)
			if (g->node[k].input[i] == node)
				return true;
	return false;
}

/* The same network for the same seed: pieces, and every loose end in one sum. */
static void draw_net(struct cop_net *net, uint32_t seed, int *batch)
{
	struct cop_graph g = {0};
	struct cop_stream s;
	struct cop_err err = {0};
	cop_stream_init(&s, seed, COP_PURPOSE_TEST, 7, 0);
	int c = random_between(&s, 2, 9), pieces = random_between(&s, 3, 24);
	*batch = random_between(&s, 2, 20);
	cop_graph_input(&g, 3, random_between(&s, 1, 4), random_between(&s, 1, 4));
	cop_graph_conv(&g, 0, NULL, &(struct cop_conv_spec){.out = c, .kernel = {1, 1}});
	for (int i = 0; i < pieces; i++)
		add_piece(&g, &s, c);
	int sum = g.n - 1;
	for (int i = 1, until = g.n - 1; i < until; i++)
		if (!is_read(&g, i))
			sum = cop_graph_add(&g, sum, i);
	bool flat = random_between(&s, 0, 1);
	int x = flat ? cop_graph_flatten(&g, sum) : cop_graph_global_avg_pool(&g, sum);
	cop_graph_linear(&g, x, NULL, CLASSES, true);
	if (cop_graph_finish(&g, CLASSES, &err))
		fail_msg("seed %u: %s", seed, err.msg);
	cop_net_take(net, &g);
}

struct side {
	struct cop_net net;
	struct cop_work work, eval;
	float *param, *grad, *buffer, *x, **own;
	double loss;
};

/* Memory of its own for everything. */
static void part(struct side *d)
{
	size_t n = (size_t)d->net.stages.n;
	d->own = cop_xcalloc(2 * n, sizeof(*d->own));
	for (size_t i = 1; i < n; i++) {
		const struct cop_stage *t = &d->net.stages.stage[i];
		size_t size = (size_t)t->c * (size_t)t->h * (size_t)t->w * (size_t)d->work.ld;
		d->work.raw[i] = d->own[i] = floats_of(size, NAN);
		d->work.grad[i] = d->own[n + i] = floats_of(size, NAN);
	}
}

static void begin(struct side *d, uint32_t seed, bool shared)
{
	int batch;
	struct cop_err err = {0};
	*d = (struct side){0};
	draw_net(&d->net, seed, &batch);
	for (int i = 0; i < d->net.stages.n && !shared; i++)
		d->net.stages.stage[i].shares[0] = d->net.stages.stage[i].shares[1] = false;
	if (cop_work_init(&d->work, &d->net, engine, batch, true, NULL, &err) ||
	    cop_work_init(&d->eval, &d->net, engine, batch, false, &d->work, &err))
		fail_msg("seed %u: %s", seed, err.msg);
	const struct cop_graph *g = &d->net.graph;
	d->param = floats(g->params.total);
	d->grad = floats(g->params.total);
	d->buffer = floats(g->buffers.total + 1);
	cop_graph_draw(g, COP_INIT_KAIMING_NORMAL, seed, d->param, d->buffer);
	size_t n = (size_t)(3 * g->node[0].h * g->node[0].w * d->work.ld);
	d->x = floats(n);
	struct cop_stream s;
	cop_stream_init(&s, seed, COP_PURPOSE_TEST, 8, 0);
	for (size_t i = 0; i < n; i++)
		d->x[i] = (float)cop_stream_normal(&s);
	if (!shared)
		part(d);
}

static void end(struct side *d)
{
	for (int i = 0; i < 2 * d->net.stages.n && d->own; i++)
		free(d->own[i]);
	free(d->own);
	free(d->param);
	free(d->grad);
	free(d->buffer);
	free(d->x);
	cop_work_release(&d->eval);
	cop_work_release(&d->work);
	cop_net_release(&d->net);
}

/* A step; where memory is shared, behind an evaluation in it, and with NaN in all of it. */
static void step(struct side *d, int64_t at)
{
	struct cop_work *w = &d->work;
	const struct cop_sgd o = {.momentum = 0.9f};
	const struct cop_dials dials = {.step = at, .updates = at, .lr = 0.01f};
	struct cop_loss loss = {0};
	int32_t label[32];
	if (!d->own) {
		cop_net_forward(&d->eval, d->param, d->buffer, d->x);
		for (size_t i = 0; i < w->arena_floats; i++)
			w->arena[i] = NAN;
	}
	for (size_t i = 0; i < w->space_floats; i++)
		w->space[i] = NAN;
	for (int i = 0; i < w->batch; i++)
		label[i] = i % CLASSES;
	w->dials = &dials;
	const float *logits = cop_net_forward(w, d->param, d->buffer, d->x);
	engine->softmax_xent(CLASSES, w->batch, w->ld, logits, label, cop_work_dlogits(w), &loss);
	d->loss = loss.loss;
	cop_net_backward(w, d->param, d->grad);
	float *velocity = floats(d->net.graph.params.total);
	engine->sgd(&o, &dials, d->net.graph.params.total, d->grad, NULL, d->param, velocity);
	free(velocity);
}

static void check_tensors(const struct cop_layout *l, const float *a, const float *b, uint32_t seed)
{
	for (size_t k = 0; k < l->n; k++) {
		const struct cop_tensor *v = &l->tensor[k];
		if (memcmp(a + v->offset, b + v->offset, v->count * sizeof(*a)) != 0)
			fail_msg("seed %u: '%s' is another one where memory is shared", seed, v->name);
	}
}

static void test_sharing(void **state)
{
	(void)state;
	int shares = 0;
	for (uint32_t seed = 1; seed <= 400; seed++) {
		struct side a, b;
		begin(&a, seed, true);
		begin(&b, seed, false);
		for (int i = 0; i < a.net.stages.n; i++)
			shares += a.net.stages.stage[i].shares[0] && a.net.stages.stage[i].shares[1];
		for (int64_t at = 0; at < STEPS; at++) {
			step(&a, at);
			step(&b, at);
			if (!isfinite(a.loss) || a.loss != b.loss)
				fail_msg("seed %u: the loss is %.9g where memory is shared, else %.9g", seed, a.loss,
					 b.loss);
			check_tensors(&a.net.graph.params, a.grad, b.grad, seed);
			check_tensors(&a.net.graph.buffers, a.buffer, b.buffer, seed);
		}
		end(&a);
		end(&b);
	}
	print_message("# %d sums both of whose inputs share their memory\n", shares);
	assert_true(shares > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sharing),
	};
	cop_cpu_set_threads(2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
