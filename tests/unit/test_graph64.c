/*
 * The float64 reference held against itself: the gradients that it works out by formulas against central differences
 * of its own forward pass, for each operation with drawn shapes and settings and for small networks; and its forward
 * pass against examples worked out by hand.
 */
#include "base/mem.h"
#include "base/rng.h"
#include "graph64.h"
#include "random_graph.h"
#include "sanitized.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* An error is the largest one of a tensor over the largest gradient in it. */
static const double most = 1e-6;

/* A graph with random numbers everywhere; what is differentiated is sum(c y) of the last node, or the loss. */
struct subject {
	struct cop_graph g;
	struct graph64 r;
	struct cop_stream s;
	uint32_t seed;
	double *c;
	int32_t *label;    /* NULL: sum(c y) */
	size_t places;     /* of a tensor that are looked at */
	double step, size; /* of the differences; of the numbers that the value is made of */
};

static void fill(struct cop_stream *s, double *p, size_t n, double scale)
{
	for (size_t i = 0; i < n; i++)
		p[i] = scale * cop_stream_normal(s);
}

/* A new graph with an input of odd shape. */
static void begin(struct subject *u, uint32_t seed)
{
	static const int side[][2] = {{1, 1}, {1, 9}, {6, 1}, {7, 5}, {4, 4}, {3, 8}};
	*u = (struct subject){.seed = seed, .places = 12};
	cop_stream_init(&u->s, seed, COP_PURPOSE_TEST, 0, 0);
	int k = random_between(&u->s, 0, 5);
	cop_graph_input(&u->g, random_between(&u->s, 1, 17), side[k][0], side[k][1]);
}

static void draw_numbers(struct subject *u)
{
	struct graph64 *r = &u->r;
	for (size_t k = 0; k < u->g.params.n; k++) {
		const struct cop_tensor *t = &u->g.params.tensor[k];
		double fan_in = (double)t->count / (double)t->dim[0];
		fill(&u->s, r->param + t->offset, t->count, t->rank > 1 ? sqrt(2 / fan_in) : 1);
	}
	fill(&u->s, r->buffer, u->g.buffers.total, 1);
	fill(&u->s, r->y[0], graph64_count(r, 0), u->g.node[1].op == COP_OP_RELU6 ? 4 : 1);
	for (int k = 0; k < u->g.n; k++)
		for (size_t i = 0; r->keep[k] && i < graph64_count(r, k); i++)
			r->keep[k][i] = cop_stream_uniform(&u->s) >= u->g.node[k].rate;
}

/*
 * Ends the graph and draws its numbers until no kink is near. The step of the differences stays well below the nearest
 * one. `classes`: how many the last node gives where the loss is differentiated; 0: the sum.
 */
static void finish(struct subject *u, int classes)
{
	static const int batches[] = {1, 2, 3, 5, 16, 33};
	if (u->g.error.code)
		fail_msg("seed %u: %s", u->seed, u->g.error.msg);
	graph64_init(&u->r, &u->g, batches[random_between(&u->s, classes ? 2 : 0, classes ? 4 : 5)]);
	double margin = 0;
	for (int turn = 0; turn < 1000 && margin < 1e-5; turn++) {
		draw_numbers(u);
		graph64_forward(&u->r, true);
		margin = graph64_margin(&u->r);
	}
	if (margin < 1e-5)
		fail_msg("seed %u: every draw comes near a kink", u->seed);
	u->step = fmin(1e-4, (classes ? 0.01 : 0.1) * margin);
	int last = u->g.n - 1;
	u->c = cop_xcalloc(graph64_count(&u->r, last) + 1, sizeof(double));
	fill(&u->s, u->c, graph64_count(&u->r, last), 1);
	if (!classes)
		return;
	u->label = cop_xcalloc((size_t)u->r.batch, sizeof(*u->label));
	for (int n = 0; n < u->r.batch; n++)
		u->label[n] = random_between(&u->s, 0, classes - 1);
}

static void end(struct subject *u)
{
	free(u->c);
	free(u->label);
	graph64_release(&u->r);
	cop_graph_release(&u->g);
}

static double value(struct subject *u)
{
	int last = u->g.n - 1;
	double sum = 0;
	graph64_forward(&u->r, true);
	u->size = u->label ? 100 : 0;
	if (u->label)
		return graph64_loss(&u->r, u->label);
	for (size_t i = 0; i < graph64_count(&u->r, last); i++) {
		double part = u->c[i] * u->r.y[last][i];
		sum += part;
		u->size += fabs(part);
	}
	return sum;
}

/* d value / d *p by differences of the fourth order. */
static double slope(struct subject *u, double *p)
{
	double kept = *p, h = u->step, f[4];
	const double at[4] = {-2, -1, 1, 2};
	for (int i = 0; i < 4; i++) {
		*p = kept + at[i] * h;
		f[i] = value(u);
	}
	*p = kept;
	return (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h);
}

/* Some places of a tensor, the first and the last among them. `gradient` is kept while values are worked out anew. */
static void check_tensor(struct subject *u, double *p, const double *gradient, size_t n, const char *name)
{
	size_t apart = n > u->places ? n / u->places : 1;
	double worst = 0, largest = 0;
	for (size_t i = 0; i < n + apart - 1; i += apart) {
		size_t k = i < n ? i : n - 1;
		double wanted = slope(u, &p[k]), error = fabs(gradient[k] - wanted);
		if (!(error <= worst))
			worst = error;
		largest = fmax(largest, fabs(wanted));
	}
	/* the differences are rounded; that is all there is to see where nothing depends on a tensor */
	if (!(worst <= most * largest + 0x1p-52 * u->size / u->step))
		fail_msg("seed %u, %s of '%s' (batch %d), step %g: error %g, largest gradient %g", u->seed, name,
			 u->g.node[u->g.n - 1].name, u->r.batch, u->step, worst, largest);
}

static double *copy(const double *p, size_t n)
{
	double *to = cop_xcalloc(n + 1, sizeof(*to));
	memcpy(to, p, n * sizeof(*to));
	return to;
}

static void check(struct subject *u)
{
	int last = u->g.n - 1;
	size_t inputs = graph64_count(&u->r, 0);
	value(u);
	if (!u->label)
		memcpy(u->r.dy[last], u->c, graph64_count(&u->r, last) * sizeof(double));
	graph64_backward(&u->r);
	double *grad = copy(u->r.grad, u->g.params.total), *dx = copy(u->r.dy[0], inputs);
	for (size_t k = 0; k < u->g.params.n; k++) {
		const struct cop_tensor *t = &u->g.params.tensor[k];
		check_tensor(u, u->r.param + t->offset, grad + t->offset, t->count, t->name);
	}
	check_tensor(u, u->r.y[0], dx, inputs, "the input");
	free(grad);
	free(dx);
	end(u);
}

static void test_conv(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 150; seed += every(7)) {
		struct subject u;
		begin(&u, seed);
		struct cop_conv_spec v = random_conv(&u.s, &u.g.node[0], 17);
		cop_graph_conv(&u.g, 0, "conv", &v);
		finish(&u, 0);
		check(&u);
	}
}

static void test_pools(void **state)
{
	(void)state;
	for (uint32_t seed = 200; seed < 290; seed += every(7)) {
		struct subject u;
		begin(&u, seed);
		struct cop_conv_spec v = random_pool(&u.s, &u.g.node[0]);
		if (seed % 3 == 0)
			cop_graph_max_pool(&u.g, 0, &v);
		else if (seed % 3 == 1)
			cop_graph_avg_pool(&u.g, 0, &v);
		else
			cop_graph_global_avg_pool(&u.g, 0);
		finish(&u, 0);
		check(&u);
	}
}

static void test_others(void **state)
{
	(void)state;
	for (uint32_t seed = 300; seed < 480; seed += every(7)) {
		struct subject u;
		begin(&u, seed);
		switch (seed % 6) {
		case 0:
			cop_graph_batch_norm(&u.g, 0, "bn");
			break;
		case 1:
			cop_graph_relu(&u.g, 0);
			break;
		case 2:
			cop_graph_relu6(&u.g, 0);
			break;
		case 3:
			cop_graph_flatten(&u.g, 0);
			break;
		case 4:
			cop_graph_dropout(&u.g, 0, 0.1 * (double)(seed % 10));
			break;
		default:
			cop_graph_linear(&u.g, cop_graph_flatten(&u.g, 0), "fc", random_between(&u.s, 1, 17),
					 seed % 12 < 6);
		}
		finish(&u, 0);
		check(&u);
	}
}

/* Sums: of a node with itself, of two ways from one node, and of ways that share a part. */
static int add_sum(struct cop_graph *g, int x, int kind)
{
	const struct cop_conv_spec s = {.out = g->node[x].c, .kernel = {3, 3}, .padding = {1, 1}};
	if (kind == 0)
		return cop_graph_add(g, x, x);
	if (kind == 1)
		return cop_graph_add(g, cop_graph_conv(g, x, NULL, &s), x);
	if (kind == 2)
		return cop_graph_add(g, cop_graph_batch_norm(g, x, NULL), cop_graph_relu(g, x));
	int shared = cop_graph_conv(g, x, NULL, &s), one = cop_graph_batch_norm(g, shared, NULL);
	int two = cop_graph_batch_norm(g, shared, NULL), both = cop_graph_add(g, one, two);
	return cop_graph_add(g, cop_graph_add(g, both, shared), both);
}

static void test_sums(void **state)
{
	(void)state;
	for (uint32_t seed = 500; seed < 560; seed += every(7)) {
		struct subject u;
		begin(&u, seed);
		add_sum(&u.g, 0, (int)(seed % 4));
		finish(&u, 0);
		check(&u);
	}
}

/* Small networks with everything in them, down to the loss. */
static void test_networks(void **state)
{
	(void)state;
	for (uint32_t seed = 600; seed < 640; seed += every(7)) {
		struct subject u;
		begin(&u, seed);
		int classes = random_between(&u.s, 2, 10), x = 0;
		const struct cop_conv_spec s = {.out = random_between(&u.s, 1, 6), .kernel = {3, 3}, .padding = {1, 1}};
		const struct cop_conv_spec p = {.kernel = {2, 2}, .stride = {2, 2}, .padding = {1, 1}};
		x = cop_graph_batch_norm(&u.g, cop_graph_conv(&u.g, x, NULL, &s), NULL);
		x = seed % 2 ? cop_graph_relu6(&u.g, x) : cop_graph_relu(&u.g, x);
		x = add_sum(&u.g, x, random_between(&u.s, 0, 3));
		x = seed % 3 ? cop_graph_max_pool(&u.g, x, &p) : cop_graph_avg_pool(&u.g, x, &p);
		x = cop_graph_dropout(&u.g, x, 0.3);
		x = seed % 5 ? cop_graph_global_avg_pool(&u.g, x) : cop_graph_flatten(&u.g, x);
		cop_graph_linear(&u.g, x, "fc", classes, true);
		struct cop_err err = {0};
		if (cop_graph_finish(&u.g, classes, &err))
			fail_msg("seed %u: %s", seed, err.msg);
		finish(&u, classes);
		check(&u);
	}
}

/* Networks as they come. */
static void test_drawn_networks(void **state)
{
	(void)state;
	for (uint32_t seed = 700; seed < 712; seed += every(7)) {
		struct subject u = {.seed = seed, .places = 4};
		cop_stream_init(&u.s, seed, COP_PURPOSE_TEST, 0, 0);
		int classes = random_graph(&u.g, &u.s, 3, 3, 12);
		struct cop_err err = {0};
		if (cop_graph_finish(&u.g, classes, &err))
			fail_msg("seed %u: %s", seed, err.msg);
		finish(&u, classes);
		check(&u);
	}
}

static void expect(const struct graph64 *r, const double *got, const double *wanted, int n)
{
	for (int i = 0; i < n; i++)
		if (!(fabs(got[i] - wanted[i]) < 1e-12))
			fail_msg("'%s': value %d is %.15g, not %.15g", r->graph->node[1].name, i, got[i], wanted[i]);
}

/* The one node behind an input, ready to be filled. */
static void one_node(struct cop_graph *g, struct graph64 *r, int batch)
{
	assert_int_equal(g->error.code, 0);
	graph64_init(r, g, batch);
}

static void leave(struct cop_graph *g, struct graph64 *r)
{
	graph64_release(r);
	cop_graph_release(g);
}

/* A 2x3 image of two channels, a kernel of 2x2 with a step of 2 and padding: four windows by hand. */
static void test_conv_by_hand(void **state)
{
	(void)state;
	struct cop_graph g = {0};
	struct graph64 r;
	cop_graph_input(&g, 2, 2, 3);
	cop_graph_conv(
		&g, 0, "conv",
		&(struct cop_conv_spec){.out = 1, .kernel = {2, 2}, .stride = {2, 2}, .padding = {1, 1}, .bias = true});
	one_node(&g, &r, 1);
	const double x[] = {1, 2, 3, 4, 5, 6, 10, 20, 30, 40, 50, 60}, w[] = {1, 2, 3, 4, 0, 0, 0, 1};
	memcpy(r.y[0], x, sizeof(x));
	memcpy(r.param + g.node[1].weight, w, sizeof(w));
	r.param[g.node[1].bias_at] = 0.5;
	graph64_forward(&r, true);
	assert_int_equal(g.node[1].h, 2);
	assert_int_equal(g.node[1].w, 2);
	/* (0,0): 4*1 + 1*10; (0,1): 3*2 + 4*3 + 30; (1,0): 2*4 + 0; (1,1): 1*5 + 2*6 */
	expect(&r, r.y[1], (const double[]){14.5, 48.5, 8.5, 17.5}, 4);
	leave(&g, &r);
}

/* Four channels in two groups, each to two; height and width with settings of their own. */
static void test_groups_by_hand(void **state)
{
	(void)state;
	struct cop_graph g = {0};
	struct graph64 r;
	cop_graph_input(&g, 4, 3, 2);
	cop_graph_conv(&g, 0, "conv",
		       &(struct cop_conv_spec){.out = 4,
					       .kernel = {2, 1},
					       .stride = {1, 2},
					       .padding = {0, 1},
					       .dilation = {2, 1},
					       .groups = 2});
	one_node(&g, &r, 1);
	/* a channel's pixels are its number in front of 1 2, 3 4, 5 6; of the columns -1 and 1 the first is padding */
	for (int c = 0; c < 4; c++)
		for (int i = 0; i < 6; i++)
			r.y[0][c * 6 + i] = 10 * c + i + 1;
	const double w[] = {1, 0, 0, 0, 0, 1, 2, 0, 1, 0, 0, 0, 0, 0, 0, 3};
	memcpy(r.param + g.node[1].weight, w, sizeof(w));
	graph64_forward(&r, true);
	assert_int_equal(g.node[1].h, 1);
	assert_int_equal(g.node[1].w, 2);
	expect(&r, r.y[1], (const double[]){0, 2, 0, 6 + 2 * 12, 0, 22, 0, 3 * 36}, 8);
	leave(&g, &r);
}

static void test_batch_norm_by_hand(void **state)
{
	(void)state;
	struct cop_graph g = {0};
	struct graph64 r;
	cop_graph_input(&g, 1, 1, 2);
	cop_graph_batch_norm_with(&g, 0, "bn", 0.25, 0.75);
	one_node(&g, &r, 2);
	const double x[] = {1, 3, 5, 7};
	memcpy(r.y[0], x, sizeof(x));
	r.param[g.node[1].weight] = 2;
	r.param[g.node[1].bias_at] = -1;
	r.buffer[g.node[1].running_mean] = 8;
	r.buffer[g.node[1].running_var] = 0.25;
	graph64_forward(&r, true);
	/* mean 4, variance 5, unbiased 20/3 */
	double s = sqrt(5.75);
	expect(&r, r.y[1], (const double[]){-6 / s - 1, -2 / s - 1, 2 / s - 1, 6 / s - 1}, 4);
	expect(&r, &r.updated[g.node[1].running_mean], (const double[]){7}, 1);
	expect(&r, &r.updated[g.node[1].running_var], (const double[]){0.1875 + 5.0 / 3}, 1);
	graph64_forward(&r, false);
	expect(&r, r.y[1], (const double[]){-15, -11, -7, -3}, 4);
	expect(&r, r.updated, r.buffer, (int)g.buffers.total);
	leave(&g, &r);
}

/* Of equal values the first wins, row by row; padding never does, below 0 or not. */
static void test_max_pool_by_hand(void **state)
{
	(void)state;
	struct cop_graph g = {0};
	struct graph64 r;
	cop_graph_input(&g, 1, 2, 3);
	cop_graph_max_pool(&g, 0, &(struct cop_conv_spec){.kernel = {2, 2}, .stride = {1, 2}, .padding = {1, 1}});
	one_node(&g, &r, 1);
	const double x[] = {-4, -2, -2, -4, -1, -2}, dy[] = {1, 2, 4, 8, 16, 32};
	memcpy(r.y[0], x, sizeof(x));
	graph64_forward(&r, true);
	expect(&r, r.y[1], (const double[]){-4, -2, -4, -1, -4, -1}, 6);
	memcpy(r.dy[1], dy, sizeof(dy));
	graph64_backward(&r);
	expect(&r, r.dy[0], (const double[]){5, 2, 0, 16, 40, 0}, 6);
	leave(&g, &r);
}

static void test_others_by_hand(void **state)
{
	(void)state;
	struct cop_graph g = {0};
	struct graph64 r;
	cop_graph_input(&g, 1, 1, 4);
	int a = cop_graph_avg_pool(&g, 0, &(struct cop_conv_spec){.kernel = {2, 2}, .padding = {1, 1}});
	int b = cop_graph_relu6(&g, 0), c = cop_graph_dropout(&g, b, 0.75), d = cop_graph_add(&g, c, b);
	one_node(&g, &r, 1);
	const double x[] = {-2, 6, 8, 3}, dy[] = {1, 1, 1, 1};
	memcpy(r.y[0], x, sizeof(x));
	r.keep[c][1] = r.keep[c][2] = 0;
	graph64_forward(&r, true);
	expect(&r, r.y[a], (const double[]){-0.5, 1, 3.5, 2.75, 0.75, -0.5, 1, 3.5, 2.75, 0.75}, 10);
	expect(&r, r.y[d], (const double[]){0, 6, 6, 15}, 4);
	memcpy(r.dy[d], dy, sizeof(dy));
	graph64_backward(&r);
	/* nothing flows at 6 itself */
	expect(&r, r.dy[0], (const double[]){0, 0, 0, 5}, 4);
	graph64_forward(&r, false);
	expect(&r, r.y[d], (const double[]){0, 12, 12, 6}, 4);
	leave(&g, &r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conv),
		cmocka_unit_test(test_pools),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_drawn_networks),
		cmocka_unit_test(test_conv_by_hand),
		cmocka_unit_test(test_groups_by_hand),
		cmocka_unit_test(test_batch_norm_by_hand),
		cmocka_unit_test(test_max_pool_by_hand),
		cmocka_unit_test(test_others_by_hand),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
