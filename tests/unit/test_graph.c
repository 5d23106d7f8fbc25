/* Graphs of layers: shapes against counting, sizes, tensors, every error, and fresh weights. */
#include "nn/graph.h"

#include "base/mem.h"
#include "base/rng.h"
#include "nn/config.h"

#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CASES = 2000 };

/* A whole number from..to of the stream's next one. */
static int pick(struct cop_stream *s, int from, int to)
{
	return from + (int)(cop_stream_uniform(s) * (to - from + 1));
}

/* How many places a window of `kernel` points, `dilation` apart, takes on a padded side. */
static int places(int side, int kernel, int stride, int padding, int dilation)
{
	int n = 0;
	for (int at = -padding; at < side + padding; at += stride) {
		bool inside = true;
		for (int i = 0; i < kernel; i++)
			inside = inside && at + i * dilation < side + padding;
		n += inside;
	}
	return n;
}

/* The multiply-accumulates of a convolution, one by one. */
static double count_macs(const struct cop_node *d, int in)
{
	double n = 0;
	for (int o = 0; o < d->c; o++)
		for (int c = 0; c < in; c++)
			if (c / (in / d->conv.groups) == o / (d->c / d->conv.groups))
				n += (double)d->h * d->w * d->conv.kernel[0] * d->conv.kernel[1];
	return n;
}

static void check_window(struct cop_stream *s, int number)
{
	struct cop_graph g = {0};
	int groups = pick(s, 1, 3), in = groups * pick(s, 1, 3), side[2] = {pick(s, 1, 20), pick(s, 1, 20)};
	struct cop_conv_spec w = {.out = groups * pick(s, 1, 4), .groups = groups, .bias = pick(s, 0, 1)};
	int wanted[2];
	for (int i = 0; i < 2; i++) {
		w.kernel[i] = pick(s, 1, 5);
		w.stride[i] = pick(s, 1, 4);
		w.padding[i] = pick(s, 0, 4);
		w.dilation[i] = pick(s, 1, 3);
		wanted[i] = places(side[i], w.kernel[i], w.stride[i], w.padding[i], w.dilation[i]);
	}
	int x = cop_graph_conv(&g, cop_graph_input(&g, in, side[0], side[1]), "c", &w);
	if ((x < 0) != (wanted[0] == 0 || wanted[1] == 0))
		fail_msg("window %d: %s, but there are %d x %d places", number, x < 0 ? g.error.msg : "taken",
			 wanted[0], wanted[1]);
	if (x >= 0) {
		const struct cop_node *d = &g.node[x];
		if (d->h != wanted[0] || d->w != wanted[1])
			fail_msg("window %d: %d x %d, but there are %d x %d places", number, d->h, d->w, wanted[0],
				 wanted[1]);
		assert_true(cop_node_macs(&g, x) == count_macs(d, in));
		assert_true(cop_graph_macs(&g) == count_macs(d, in));
		assert_int_equal(cop_node_params(&g, x),
				 w.out * (in / groups) * w.kernel[0] * w.kernel[1] + (w.bias ? w.out : 0));
	}
	cop_graph_release(&g);
}

static void test_windows(void **state)
{
	(void)state;
	struct cop_stream s;
	cop_stream_init(&s, 7, COP_PURPOSE_INIT, 0, 0);
	for (int i = 0; i < CASES; i++)
		check_window(&s, i);
}

static void test_defaults(void **state)
{
	(void)state;
	struct cop_graph g = {0};
	const struct cop_conv_spec s = {.out = 4, .kernel = {3, 2}};
	int x = cop_graph_conv(&g, cop_graph_input(&g, 3, 8, 9), NULL, &s);
	const struct cop_node *d = &g.node[x];
	assert_string_equal(g.node[0].name, "input_0");
	assert_string_equal(d->name, "conv_1");
	assert_true(d->conv.stride[0] == 1 && d->conv.stride[1] == 1 && d->conv.groups == 1);
	assert_true(d->conv.dilation[0] == 1 && d->conv.dilation[1] == 1 && !d->bias);
	assert_true(d->c == 4 && d->h == 6 && d->w == 8 && d->ninputs == 1 && d->input[0] == 0);
	cop_graph_release(&g);
	assert_true(!g.node && !g.n && !g.params.n && !g.buffers.n && !g.error.code);
}

/* One layer of each kind: shapes, inputs, tensors with names, shapes and places. */
static void test_layers(void **state)
{
	(void)state;
	struct cop_graph g = {0};
	struct cop_err err;
	const struct cop_conv_spec same = {.out = 6, .kernel = {3, 3}, .padding = {1, 1}, .groups = 2, .bias = true};
	const struct cop_conv_spec window = {.kernel = {3, 2}, .stride = {2, 2}, .padding = {1, 0}};
	int x = cop_graph_input(&g, 4, 9, 12), y;
	y = x = cop_graph_conv(&g, x, "c", &same);
	x = cop_graph_batch_norm(&g, x, "b");
	x = cop_graph_relu6(&g, x);
	x = cop_graph_add(&g, x, y);
	x = cop_graph_max_pool(&g, x, &window);
	x = cop_graph_avg_pool(&g, cop_graph_relu(&g, x), &window);
	x = cop_graph_dropout(&g, cop_graph_flatten(&g, x), 0.25);
	x = cop_graph_linear(&g, x, "f", 5, true);
	cop_graph_name(&g, 3, "clip");
	assert_int_equal(cop_graph_finish(&g, 5, &err), 0);
	const struct {
		enum cop_op op;
		int c, h, w;
	} wanted[] = {{COP_OP_INPUT, 4, 9, 12},   {COP_OP_CONV, 6, 9, 12},    {COP_OP_BATCH_NORM, 6, 9, 12},
		      {COP_OP_RELU6, 6, 9, 12},   {COP_OP_ADD, 6, 9, 12},     {COP_OP_MAX_POOL, 6, 5, 6},
		      {COP_OP_RELU, 6, 5, 6},     {COP_OP_AVG_POOL, 6, 3, 3}, {COP_OP_FLATTEN, 54, 1, 1},
		      {COP_OP_DROPOUT, 54, 1, 1}, {COP_OP_LINEAR, 5, 1, 1}};
	assert_int_equal(g.n, sizeof(wanted) / sizeof(wanted[0]));
	for (int i = 0; i < g.n; i++) {
		const struct cop_node *d = &g.node[i];
		assert_true(d->op == wanted[i].op && d->c == wanted[i].c && d->h == wanted[i].h && d->w == wanted[i].w);
		if (i > 0 && i != 4)
			assert_true(d->ninputs == 1 && d->input[0] == i - 1);
	}
	assert_true(g.node[4].ninputs == 2 && g.node[4].input[0] == 3 && g.node[4].input[1] == 1);
	assert_string_equal(g.node[3].name, "clip");
	assert_true(g.node[9].rate == 0.25);
	assert_true(g.node[2].momentum == 0.1 && g.node[2].epsilon == 1e-5);
	const struct {
		const char *text;
		size_t at;
		bool prunable;
	} tensors[] = {{"c/weight 6x2x3x3", g.node[1].weight, true},
		       {"c/bias 6", g.node[1].bias_at, false},
		       {"b/weight 6", g.node[2].weight, false},
		       {"b/bias 6", g.node[2].bias_at, false},
		       {"f/weight 5x54", g.node[10].weight, true},
		       {"f/bias 5", g.node[10].bias_at, false},
		       {"b/running_mean 6", g.node[2].running_mean, false},
		       {"b/running_var 6", g.node[2].running_var, false}};
	assert_int_equal(g.params.n, 6);
	assert_int_equal(g.buffers.n, 2);
	for (size_t i = 0; i < 8; i++) {
		char shape[80];
		const struct cop_tensor *t = i < 6 ? &g.params.tensor[i] : &g.buffers.tensor[i - 6];
		char *text = cop_xasprintf("%s %s", t->name, cop_shape_text(t, shape, sizeof(shape)));
		assert_string_equal(text, tensors[i].text);
		assert_int_equal(t->offset, tensors[i].at);
		assert_int_equal(t->offset % 16, 0);
		assert_int_equal(t->prunable, tensors[i].prunable);
		free(text);
	}
	assert_int_equal(cop_node_params(&g, 1), 6 * 2 * 9 + 6);
	assert_int_equal(cop_node_params(&g, 2), 12);
	assert_int_equal(cop_node_buffers(&g, 2), 12);
	assert_int_equal(cop_node_params(&g, 3) + cop_node_buffers(&g, 1), 0);
	assert_true(cop_graph_macs(&g) == 6 * 2 * 9 * 9 * 12 + 5 * 54);
	cop_graph_release(&g);
}

/* A layer whose name begins another's counts its own tensors only. */
static void test_prefix(void **state)
{
	(void)state;
	struct cop_graph g = {0};
	int x = cop_graph_linear(&g, cop_graph_input(&g, 3, 1, 1), "fc", 4, true);
	cop_graph_linear(&g, x, "fc1", 2, false);
	assert_int_equal(cop_node_params(&g, 1), 16);
	assert_int_equal(cop_node_params(&g, 2), 8);
	cop_graph_release(&g);
}

static void test_op_names(void **state)
{
	(void)state;
	for (int a = 0; a < COP_OPS; a++)
		for (int b = 0; b < a; b++)
			assert_string_not_equal(cop_op_name((enum cop_op)a), cop_op_name((enum cop_op)b));
}

/* The nodes of the graph on which each bad call is tried: 4x6x6, 4x1x1 and 8x1x1. */
enum { IMAGE, SMALL, FLAT };

static const struct bad {
	enum { INPUT, WINDOW, GROUPS, POOL, NORM, ADD, DROPOUT, LINEAR, NAME, FAIL } call;
	int v[4];
	double r[2];
	const char *name, *wanted;
} bad[] = {
	{INPUT, {1, 1, 1}, .wanted = "a network has one input, as its first layer"},
	/* kernel, stride, padding, dilation */
	{WINDOW, {0, 1, 0, 1}, .name = "c", .wanted = "'c': kernel 0, stride 1, padding 0, dilation 1 cannot be"},
	{WINDOW, {3, -1, 0, 1}, .name = "c", .wanted = "kernel 3, stride -1, padding 0"},
	{WINDOW, {3, 1, -1, 1}, .name = "c", .wanted = "padding -1, dilation 1 cannot be"},
	{WINDOW, {3, 1, 1, -2}, .name = "c", .wanted = "dilation -2 cannot be"},
	{WINDOW, {4097, 1, 4096, 1}, .name = "c", .wanted = "kernel 4097, stride 1"},
	{WINDOW, {1, INT_MAX, 0, 1}, .name = "c", .wanted = "stride 2147483647, padding 0"},
	{WINDOW, {1, 1, 4097, 1}, .name = "c", .wanted = "padding 4097, dilation"},
	{WINDOW, {1, 1, 0, 4097}, .name = "c", .wanted = "dilation 4097 cannot be"},
	{WINDOW, {5, 1, 1, 2}, .name = "c", .wanted = "'c': a window of 9 does not fit into 6 pixels with padding 1"},
	{WINDOW, {65, 1, 64, 1}, .name = "c", .wanted = "'c': a window of 65 x 65 is more than 4096 pixels"},
	{WINDOW, {3, 1, 1, 1}, .name = "a/c", .wanted = "'a/c' is no name for a layer"},
	/* channels, groups */
	{GROUPS, {3, -1}, .name = "c", .wanted = "'c': 4 channels to 3 cannot be cut into -1 groups"},
	{GROUPS, {0, 1}, .name = "c", .wanted = "'c': 4 channels to 0 cannot be cut into 1 groups"},
	{GROUPS, {6, 3}, .name = "c", .wanted = "'c': 4 channels to 6 cannot be cut into 3 groups"},
	{GROUPS, {3, 2}, .name = "c", .wanted = "'c': 4 channels to 3 cannot be cut into 2 groups"},
	{GROUPS, {INT_MAX, 1}, .name = "c", .wanted = "'c' is too large"},
	{GROUPS, {1 << 28, 1}, .name = "c", .wanted = "'c' is too large"}, /* its output, not its weights */
	/* kernel, padding, dilation */
	{POOL, {2, 0, 2}, .wanted = "a pool has no dilation, and padding of half its window at most"},
	{POOL, {3, 2, 1}, .wanted = "padding of half its window at most"},
	{POOL, {7, 0, 1}, .wanted = "a window of 7 does not fit into 6 pixels"},
	{NORM, {0}, {0, 1e-5}, "b", "'b': momentum 0 or epsilon 1e-05 is out of range"},
	{NORM, {0}, {1.5, 1e-5}, "b", "'b': momentum 1.5 or"},
	{NORM, {0}, {0.1, 0}, "b", "epsilon 0 is out of range"},
	{NORM, {0}, {0.1, 1}, "b", "epsilon 1 is out of range"},
	{NORM, {0}, {NAN, 1e-5}, "b", "momentum nan"},
	{NORM, {0}, {0.1, NAN}, "b", "epsilon nan"},
	{NORM, {0}, {0.1, 1e-5}, "image", "two layers are called 'image'"},
	{ADD, {IMAGE, SMALL}, .wanted = "'image' (4x6x6) and 'small' (4x1x1) cannot be added"},
	{ADD, {SMALL, FLAT}, .wanted = "'small' (4x1x1) and 'flat' (8x1x1) cannot be added"},
	{DROPOUT, {0}, {1}, .wanted = "a rate of 1 is out of range"},
	{DROPOUT, {0}, {-0.1}, .wanted = "a rate of -0.1 is out of range"},
	{DROPOUT, {0}, {NAN}, .wanted = "a rate of nan is out of range"},
	{LINEAR, {IMAGE, 3}, .name = "f", .wanted = "'f' reads 4x6x6: flatten it first"},
	{LINEAR, {FLAT, 0}, .name = "f", .wanted = "'f' cannot have 8 inputs and 0 outputs"},
	{LINEAR, {FLAT, INT_MAX}, .name = "f", .wanted = "'f' cannot have 8 inputs and 2147483647 outputs"},
	{LINEAR, {FLAT, 3}, .name = "flat", .wanted = "two layers are called 'flat'"},
	{NAME, .name = "", .wanted = "'' is no name for a layer: 1 to 63 characters"},
	{NAME, .name = "0123456789012345678901234567890123456789012345678901234567890123", .wanted = "is no name"},
	{NAME, .name = "a/b", .wanted = "'a/b' is no name for a layer"},
	{NAME, .name = "a.b", .wanted = "'a.b' is no name for a layer"},
	{NAME, .name = "a b", .wanted = "'a b' is no name for a layer"},
	{NAME, .name = "a\x1b[2J", .wanted = "is no name for a layer"},
	{NAME, .name = "a\x7f", .wanted = "is no name for a layer"},
	{NAME, .name = "image", .wanted = "two layers are called 'image'"},
	{FAIL, {3}, .wanted = "a rule of its own: 3"},
};

static int call(struct cop_graph *g, const struct bad *b)
{
	const int *v = b->v;
	const struct cop_conv_spec window = {.out = 2,
					     .kernel = {v[0], v[0]},
					     .stride = {v[1], v[1]},
					     .padding = {v[2], v[2]},
					     .dilation = {v[3], v[3]}};
	const struct cop_conv_spec groups = {.out = v[0], .kernel = {1, 1}, .groups = v[1]};
	const struct cop_conv_spec pool = {.kernel = {v[0], v[0]}, .padding = {v[1], v[1]}, .dilation = {v[2], v[2]}};
	switch (b->call) {
	case INPUT:
		return cop_graph_input(g, v[0], v[1], v[2]);
	case WINDOW:
		return cop_graph_conv(g, IMAGE, b->name, &window);
	case GROUPS:
		return cop_graph_conv(g, IMAGE, b->name, &groups);
	case POOL:
		return v[1] ? cop_graph_max_pool(g, IMAGE, &pool) : cop_graph_avg_pool(g, IMAGE, &pool);
	case NORM:
		return cop_graph_batch_norm_with(g, IMAGE, b->name, b->r[0], b->r[1]);
	case ADD:
		return cop_graph_add(g, v[0], v[1]);
	case DROPOUT:
		return cop_graph_dropout(g, IMAGE, b->r[0]);
	case LINEAR:
		return cop_graph_linear(g, v[0], b->name, v[1], true);
	case NAME:
		cop_graph_name(g, SMALL, b->name);
		return g->error.code ? -1 : 0;
	case FAIL:
		return cop_graph_fail(g, "a rule of its own: %d", v[0]);
	}
	return 0;
}

static void start(struct cop_graph *g)
{
	*g = (struct cop_graph){0};
	int x = cop_graph_global_avg_pool(g, cop_graph_input(g, 4, 6, 6));
	cop_graph_linear(g, x, "flat", 8, false);
	cop_graph_name(g, IMAGE, "image");
	cop_graph_name(g, SMALL, "small");
}

/* The first error stays, and nothing is added after it. */
static void check_dead(struct cop_graph *g)
{
	const struct cop_conv_spec s = {.out = 1, .kernel = {1, 1}};
	const struct cop_err first = g->error;
	struct cop_err err = {0};
	int n = g->n, x = cop_graph_fail(g, "another");
	cop_graph_name(g, 0, "x");
	x += cop_graph_conv(g, -1, "y", &s) + cop_graph_batch_norm(g, -1, "z");
	x += cop_graph_relu(g, -1) + cop_graph_relu6(g, -1) + cop_graph_add(g, -1, -1);
	x += cop_graph_max_pool(g, -1, &s) + cop_graph_avg_pool(g, -1, &s) + cop_graph_global_avg_pool(g, -1);
	x += cop_graph_flatten(g, -1) + cop_graph_dropout(g, -1, 0.5) + cop_graph_linear(g, -1, "w", 2, true);
	assert_int_equal(x, -12);
	assert_int_equal(g->n, n);
	assert_int_equal(cop_graph_finish(g, 8, &err), COP_EINPUT);
	assert_string_equal(err.msg, first.msg);
}

static void test_errors(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct cop_graph g;
		start(&g);
		if (call(&g, &bad[i]) != -1)
			fail_msg("call %zu was taken, not '%s'", i, bad[i].wanted);
		if (!strstr(g.error.msg, bad[i].wanted))
			fail_msg("call %zu: '%s' lacks '%s'", i, g.error.msg, bad[i].wanted);
		check_dead(&g);
		cop_graph_release(&g);
	}
}

static void test_large(void **state)
{
	(void)state;
	const struct cop_conv_spec grow = {.kernel = {2, 2}, .padding = {1, 1}};
	const int shapes[][3] = {{0, 1, 1}, {1, -1, 1}, {1 << 15, 1 << 15, 2}, {2147483647, 2147483647, 2147483647}};
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		struct cop_graph g = {0};
		assert_int_equal(cop_graph_input(&g, shapes[i][0], shapes[i][1], shapes[i][2]), -1);
		assert_non_null(strstr(g.error.msg, "is no input"));
		cop_graph_release(&g);
	}
	struct cop_graph g = {0};
	int x = cop_graph_input(&g, 1 << 30, 1, 1);
	assert_int_equal(x, 0);
	assert_int_equal(cop_graph_max_pool(&g, x, &grow), -1);
	assert_non_null(strstr(g.error.msg, "is too large"));
	cop_graph_release(&g);
}

static void finishes(struct cop_graph *g, int classes, const char *wanted)
{
	struct cop_err err = {0};
	int rc = cop_graph_finish(g, classes, &err);
	if (wanted ? rc != COP_EINPUT || !strstr(err.msg, wanted) : rc)
		fail_msg("'%s' instead of '%s'", err.msg, wanted ? wanted : "");
	cop_graph_release(g);
}

static void test_finish(void **state)
{
	(void)state;
	struct cop_graph g;
	start(&g);
	finishes(&g, 8, NULL);
	start(&g);
	finishes(&g, 9, "the last layer, 'flat', gives 8x1x1, not one number for each of 9 classes");
	start(&g);
	finishes(&g, 1, "two classes at least, not 1");
	start(&g);
	cop_graph_linear(&g, SMALL, "f", 3, true);
	finishes(&g, 3, "nobody reads layer 'flat'");
	start(&g);
	cop_graph_relu(&g, IMAGE);
	finishes(&g, 4, "nobody reads layer 'flat'");
	g = (struct cop_graph){0};
	finishes(&g, 2, "an input and one layer at least");
	cop_graph_input(&g, 2, 1, 1);
	finishes(&g, 2, "an input and one layer at least");
	cop_graph_relu(&g, cop_graph_input(&g, 2, 1, 1));
	finishes(&g, 2, "a network needs a layer with weights");
	cop_graph_batch_norm(&g, cop_graph_input(&g, 2, 1, 1), "b");
	finishes(&g, 2, "a network needs a layer with weights");
	cop_graph_relu(&g, cop_graph_input(&g, 2, 3, 1));
	finishes(&g, 2, "gives 2x3x1");
}

/* Two convolutions of one shape, batch norm and a linear layer; `more`: layers without weights in between. */
static void build_drawn(struct cop_graph *g, bool more)
{
	const struct cop_conv_spec s = {.out = 48, .kernel = {3, 5}, .padding = {1, 2}, .groups = 2, .bias = true};
	*g = (struct cop_graph){0};
	int x = cop_graph_conv(g, cop_graph_input(g, 48, 8, 8), "c1", &s);
	if (more)
		x = cop_graph_relu(g, cop_graph_batch_norm(g, x, "b1"));
	x = cop_graph_batch_norm(g, cop_graph_conv(g, x, "c2", &s), "b2");
	cop_graph_linear(g, cop_graph_global_avg_pool(g, x), "fc", 400, true);
	assert_int_equal(g->error.code, 0);
}

static float *tensor(const struct cop_graph *g, float *arena, const char *name, size_t *n)
{
	const struct cop_tensor *t = cop_layout_find(&g->params, name);
	assert_non_null(t);
	*n = t->count;
	return arena + t->offset;
}

struct drawn {
	struct cop_graph g;
	float *param, *buffer;
};

static void draw(struct drawn *d, bool more, int init, uint64_t seed)
{
	build_drawn(&d->g, more);
	d->param = cop_xcalloc(d->g.params.total, sizeof(float));
	d->buffer = cop_xcalloc(d->g.buffers.total, sizeof(float));
	cop_graph_draw(&d->g, init, seed, d->param, d->buffer);
}

static void drop(struct drawn *d)
{
	cop_graph_release(&d->g);
	free(d->param);
	free(d->buffer);
}

/* Mean 0, the variance wanted and the shape of its distribution, within four of their own deviations. */
static void check_moments(const float *w, size_t n, double variance, bool uniform, const char *what)
{
	double sum = 0, square = 0, fourth = 0, largest = 0;
	for (size_t i = 0; i < n; i++) {
		double v = (double)w[i] / sqrt(variance);
		sum += v;
		square += v * v;
		fourth += v * v * v * v;
		largest = fabs(v) > largest ? fabs(v) : largest;
	}
	double mean = sum / (double)n, var = square / (double)n, tail = fourth / (double)n;
	double noise = 4 / sqrt((double)n), flat = uniform ? 1.8 : 3;
	if (fabs(mean) > noise || fabs(var - 1) > noise * sqrt(flat - 1) || fabs(tail - flat) > noise * 10 ||
	    (uniform && largest > sqrt(3) * 1.0000001) || (!uniform && largest < 3))
		fail_msg("%s: mean %g, variance %g, fourth moment %g, largest %g of %zu", what, mean, var, tail,
			 largest, n);
}

static void test_variances(void **state)
{
	(void)state;
	/* 48 channels in 2 groups, 3x5: fan in and out 24*15; the linear layer: 48 and 400 */
	const struct {
		int init;
		double conv, linear;
	} cases[] = {{COP_INIT_KAIMING_NORMAL, 2.0 / 360, 2.0 / 48},
		     {COP_INIT_GLOROT_NORMAL, 2.0 / 720, 2.0 / 448},
		     {COP_INIT_GLOROT_UNIFORM, 2.0 / 720, 2.0 / 448}};
	for (size_t i = 0; i < 3; i++) {
		struct drawn d;
		size_t n;
		bool uniform = cases[i].init == COP_INIT_GLOROT_UNIFORM;
		draw(&d, true, cases[i].init, 3);
		const float *w = tensor(&d.g, d.param, "c1/weight", &n);
		assert_int_equal(n, 48 * 24 * 15);
		check_moments(w, n, cases[i].conv, uniform, "c1");
		w = tensor(&d.g, d.param, "fc/weight", &n);
		assert_int_equal(n, 48 * 400);
		check_moments(w, n, cases[i].linear, uniform, "fc");
		drop(&d);
	}
}

static void test_constants(void **state)
{
	(void)state;
	struct drawn d;
	build_drawn(&d.g, true);
	d.param = cop_xmalloc(d.g.params.total * sizeof(float));
	d.buffer = cop_xmalloc(d.g.buffers.total * sizeof(float));
	for (size_t i = 0; i < d.g.params.total; i++)
		d.param[i] = 77;
	for (size_t i = 0; i < d.g.buffers.total; i++)
		d.buffer[i] = 77;
	cop_graph_draw(&d.g, COP_INIT_KAIMING_NORMAL, 1, d.param, d.buffer);
	const struct {
		const char *name;
		float v;
	} wanted[] = {{"c1/bias", 0},   {"c2/bias", 0}, {"fc/bias", 0},
		      {"b1/weight", 1}, {"b1/bias", 0}, {"b2/weight", 1}};
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		size_t n;
		const float *w = tensor(&d.g, d.param, wanted[i].name, &n);
		for (size_t k = 0; k < n; k++)
			assert_true(w[k] == wanted[i].v);
	}
	for (size_t i = 0; i < d.g.buffers.n; i++) {
		const struct cop_tensor *t = &d.g.buffers.tensor[i];
		for (size_t k = 0; k < t->count; k++)
			assert_true(d.buffer[t->offset + k] == (strstr(t->name, "running_var") ? 1.0f : 0.0f));
	}
	/* every weight was drawn */
	for (size_t i = 0; i < d.g.params.n; i++)
		for (size_t k = 0; k < d.g.params.tensor[i].count; k++)
			assert_true(d.param[d.g.params.tensor[i].offset + k] != 77);
	drop(&d);
}

static void test_streams(void **state)
{
	(void)state;
	struct drawn a, b, other;
	size_t n;
	draw(&a, false, COP_INIT_KAIMING_NORMAL, 5);
	draw(&b, true, COP_INIT_KAIMING_NORMAL, 5);
	draw(&other, true, COP_INIT_KAIMING_NORMAL, 6);
	/* weight tensor k has its own stream: layers without weights in between change nothing */
	const char *const names[] = {"c1/weight", "c2/weight", "fc/weight"};
	for (uint32_t k = 0; k < 3; k++) {
		const float *x = tensor(&a.g, a.param, names[k], &n), *y = tensor(&b.g, b.param, names[k], &n);
		const float *z = tensor(&other.g, other.param, names[k], &n);
		assert_memory_equal(x, y, n * sizeof(float));
		struct cop_stream s;
		cop_stream_init(&s, 5, COP_PURPOSE_INIT, k, 0);
		double deviation = sqrt(2.0 / (k < 2 ? 360 : 48)), product = 0;
		for (size_t i = 0; i < n; i++) {
			assert_true(x[i] == (float)(deviation * cop_stream_normal(&s)));
			product += (double)y[i] * (double)z[i];
		}
		assert_true(fabs(product) < 4 * deviation * deviation * sqrt((double)n));
	}
	double product = 0;
	const float *x = tensor(&a.g, a.param, "c1/weight", &n), *y = tensor(&a.g, a.param, "c2/weight", &n);
	for (size_t i = 0; i < n; i++)
		product += (double)x[i] * (double)y[i];
	assert_true(fabs(product) < 4 * (2.0 / 360) * sqrt((double)n));
	drop(&a);
	drop(&b);
	drop(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_windows),   cmocka_unit_test(test_defaults), cmocka_unit_test(test_layers),
		cmocka_unit_test(test_prefix),    cmocka_unit_test(test_op_names), cmocka_unit_test(test_errors),
		cmocka_unit_test(test_large),     cmocka_unit_test(test_finish),   cmocka_unit_test(test_variances),
		cmocka_unit_test(test_constants), cmocka_unit_test(test_streams),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
