/*
 * The engine held against the float64 reference: logits, loss, every gradient and the running statistics, for each
 * operation with drawn shapes, for drawn networks, and for each network by name; in training and in evaluation.
 */
#include "base/mem.h"
#include "nn/models.h"
#include "random_graph.h"
#include "sanitized.h"
#include "trial.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* An error is the norm of a tensor's differences over the norm of the tensor. */
static const double most_piece = 1e-5, most_network = 1e-4;

/* Both sides on the same batch. Returns the largest error that was met; -1: degenerate, not compared. */
static double check(struct trial *t, bool training, int turns)
{
	trial_set_up(t, training, turns);
	if (trial_is_degenerate(t)) {
		trial_tear_down(t);
		return -1;
	}
	engine_forward(&t->e, t->r.y[0], t->label);
	double loss = graph64_loss(&t->r, t->label);
	trial_compare_outputs(t, loss);
	trial_compare_arenas(t, &t->e.net.graph.buffers, t->e.buffer, t->r.updated, NULL);
	if (training) {
		engine_backward(&t->e);
		graph64_backward(&t->r);
		trial_compare_arenas(t, &t->e.net.graph.params, t->e.grad, t->r.grad, t->r.gross);
	}
	trial_tear_down(t);
	return t->worst;
}

static int draw_batch(struct cop_stream *s)
{
	static const int batches[] = {1, 5, 16, 17, 33, 60, 100, 2, 31, 32, 48};
	return batches[random_between(s, 0, 10)];
}

/* The operation in question at node x; -1 where it does not fit. */
static int add_piece(struct trial *t, enum cop_op op, int x)
{
	struct cop_graph *g = &t->g;
	struct cop_conv_spec v = {0};
	const struct cop_node *d = &g->node[x];
	switch (op) {
	case COP_OP_CONV:
		v = random_conv(&t->s, d, 40);
		return cop_graph_conv(g, x, "conv", &v);
	case COP_OP_BATCH_NORM:
		return cop_graph_batch_norm_with(g, x, "bn", 0.05 * random_between(&t->s, 1, 20), 1e-5);
	case COP_OP_RELU:
		return cop_graph_relu(g, x);
	case COP_OP_RELU6:
		return cop_graph_relu6(g, x);
	case COP_OP_ADD:
		return cop_graph_add(g, x, random_between(&t->s, 0, 1) ? x : cop_graph_relu(g, x));
	case COP_OP_MAX_POOL:
		v = random_pool(&t->s, d);
		return cop_graph_max_pool(g, x, &v);
	case COP_OP_AVG_POOL:
		v = random_pool(&t->s, d);
		return cop_graph_avg_pool(g, x, &v);
	case COP_OP_GLOBAL_AVG_POOL:
		return cop_graph_global_avg_pool(g, x);
	case COP_OP_DROPOUT:
		return cop_graph_dropout(g, x, 0.1 * random_between(&t->s, 0, 9));
	default:
		return x; /* flatten and linear come behind it anyway */
	}
}

/* input - 1x1 convolution - operation - flatten - linear: both of its gradients are seen. */
static void make_piece(struct trial *t, enum cop_op op)
{
	static const int side[][2] = {{1, 1}, {1, 7}, {9, 1}, {7, 5}, {4, 4}, {3, 8}, {8, 8}};
	int k = random_between(&t->s, 0, 6), h = side[k][0], w = side[k][1];
	t->batch = draw_batch(&t->s);
	t->classes = random_between(&t->s, 2, 12);
	/* a batch norm of few values is a matter of rounding */
	if (op == COP_OP_BATCH_NORM)
		while (t->batch * h * w < 12)
			t->batch = draw_batch(&t->s);
	/* the scale of a single channel makes no difference to a batch norm, and its gradient is rounding alone */
	int x = cop_graph_input(&t->g, random_between(&t->s, op == COP_OP_BATCH_NORM ? 4 : 1, 17), h, w);
	const struct cop_conv_spec one = {
		.out = random_between(&t->s, 1, 17), .kernel = {1, 1}, .bias = op != COP_OP_BATCH_NORM};
	x = add_piece(t, op, op == COP_OP_CONV && t->seed % 2 ? x : cop_graph_conv(&t->g, x, "before", &one));
	cop_graph_linear(&t->g, cop_graph_flatten(&t->g, x), "after", t->classes, t->seed % 3 != 0);
}

static void check_piece(enum cop_op op, uint32_t from, uint32_t to)
{
	double worst = 0;
	for (uint32_t seed = from; seed < to; seed += every(5))
		for (int training = 0; training < 2; training++) {
			struct trial t;
			trial_begin(&t, seed, most_piece, cop_op_name(op));
			make_piece(&t, op);
			worst = fmax(worst, check(&t, training != 0, 500));
		}
	print_message("# %s: errors up to %.2g\n", cop_op_name(op), worst);
}

static void test_pieces(void **state)
{
	(void)state;
	check_piece(COP_OP_CONV, 1000, 1160);
	check_piece(COP_OP_BATCH_NORM, 1200, 1240);
	check_piece(COP_OP_RELU, 1300, 1330);
	check_piece(COP_OP_RELU6, 1400, 1430);
	check_piece(COP_OP_ADD, 1500, 1530);
	check_piece(COP_OP_MAX_POOL, 1600, 1650);
	check_piece(COP_OP_AVG_POOL, 1700, 1750);
	check_piece(COP_OP_GLOBAL_AVG_POOL, 1800, 1830);
	check_piece(COP_OP_DROPOUT, 1900, 1930);
	check_piece(COP_OP_LINEAR, 2000, 2030);
}

static void test_drawn_networks(void **state)
{
	(void)state;
	double worst = 0;
	int compared = 0;
	for (uint32_t seed = 3000; seed < 3050; seed += every(5))
		for (int training = 0; training < 2; training++) {
			struct trial t;
			trial_begin(&t, seed, most_network, "drawn network");
			t.thinnest = 1e-3;
			t.batch = draw_batch(&t.s);
			t.classes = random_graph(&t.g, &t.s, random_between(&t.s, 1, 7), t.batch, 40);
			double error = check(&t, training != 0, 2000);
			compared += error >= 0;
			worst = fmax(worst, error);
		}
	print_message("# %d drawn networks: errors up to %.2g\n", compared, worst);
	assert_true(compared > 80 / (int)every(5));
}

struct by_name {
	struct cop_model_config m;
	int side, batch;
	double lift;
	bool quick; /* enough for a sanitizer */
};

static void check_network(const struct by_name *c)
{
	struct trial t;
	struct cop_err err = {0};
	char name[80];
	snprintf(name, sizeof(name), "%s %d, width %g, %dx%d", cop_model_name(c->m.name), (int)c->m.depth, c->m.width,
		 c->side, c->side);
	for (int training = 0; training < 2; training++) {
		trial_begin(&t, 1, most_network, name);
		t.lift = c->lift;
		t.fresh = true;
		t.batch = c->batch;
		t.classes = 10;
		if (cop_model_build(&t.g, &c->m, 3, c->side, c->side, t.classes, &err))
			fail_msg("%s: %s", name, err.msg);
		double worst = check(&t, training != 0, 200);
		print_message("# %s, batch %d, %s: errors up to %.2g\n", name, c->batch,
			      training ? "training" : "evaluation", worst);
	}
}

static void test_networks(void **state)
{
	(void)state;
	int64_t hidden[] = {16, 1, 8, 5}, wide[] = {200, 100};
	const struct by_name cases[] = {
		{{.name = COP_MODEL_LENET}, 2, 7, 0, true},
		{{.name = COP_MODEL_LENET, .hidden = {hidden, 1}}, 3, 1, 0, true},
		{{.name = COP_MODEL_LENET, .hidden = {hidden, 4}}, 2, 33, 0, true},
		{{.name = COP_MODEL_LENET, .hidden = {wide, 2}}, 14, 60, 0, true},
		{{.name = COP_MODEL_CONV2}, 8, 5, 0, true},
		{{.name = COP_MODEL_CONV4}, 8, 5, 0, false},
		{{.name = COP_MODEL_CONV6}, 8, 5, 0, false},
		{{.name = COP_MODEL_RESNET, .depth = 20}, 16, 5, 0, false},
		{{.name = COP_MODEL_RESNET, .depth = 32, .width = 0.5}, 12, 5, 0, true},
		{{.name = COP_MODEL_VGG, .depth = 11, .width = 0.25}, 32, 5, 0, true},
		{{.name = COP_MODEL_VGG, .depth = 16, .width = 0.25}, 32, 3, 0, false},
		{{.name = COP_MODEL_MOBILENET_V2}, 32, 8, 2, false},
		{{.name = COP_MODEL_MOBILENET_V2, .width = 0.35, .dropout = 0.2}, 32, 17, 2, true},
		{{.name = COP_MODEL_MOBILENET_V2, .width = 0.5}, 64, 3, 1.5, false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (cases[i].quick || every(2) == 1)
			check_network(&cases[i]);
}

/* A work of evaluation in the memory of one of training gives what one with memory of its own does. */
static void test_guest(void **state)
{
	(void)state;
	const struct cop_model_config m = {.name = COP_MODEL_RESNET, .depth = 20, .width = 0.5};
	struct trial t;
	struct cop_err err = {0};
	trial_begin(&t, 1, most_piece, "resnet as a guest");
	t.batch = 5;
	t.classes = 10;
	if (cop_model_build(&t.g, &m, 3, 16, 16, t.classes, &err))
		fail_msg("%s", err.msg);
	trial_set_up(&t, true, 1000);
	engine_forward(&t.e, t.r.y[0], t.label);
	engine_backward(&t.e);
	engine_evaluate_as_guest(&t.e, t.r.y[0]);
	memcpy(t.r.buffer, t.r.updated, t.e.net.graph.buffers.total * sizeof(double));
	graph64_forward(&t.r, false);
	trial_compare_outputs(&t, t.e.loss);
	trial_tear_down(&t);
}

/* Activations and their gradients share memory: every node's output for itself would take 618 MB. */
static void test_memory(void **state)
{
	(void)state;
	const struct cop_model_config m = {.name = COP_MODEL_MOBILENET_V2};
	const double most_megabytes = 260;
	struct cop_net net;
	struct cop_work w;
	struct cop_err err = {0};
	if (cop_net_init(&net, &m, 3, 64, 64, 1000, &err) ||
	    cop_work_init(&w, &net, &cop_cpu_backend, 96, true, NULL, &err))
		fail_msg("%s", err.msg);
	double megabytes = (double)cop_work_bytes(&w) / 1e6;
	print_message("# MobileNetV2, 96 images of 64x64: %.0f MB\n", megabytes);
	assert_true(megabytes < most_megabytes);
	cop_work_release(&w);
	cop_net_release(&net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces), cmocka_unit_test(test_drawn_networks), cmocka_unit_test(test_networks),
		cmocka_unit_test(test_guest),  cmocka_unit_test(test_memory),
	};
	/* tests/cli/kernels.sh holds the other builds of the kernels against the reference, with the pieces alone */
	if (getenv("COPPICE_KERNELS"))
		cmocka_set_test_filter("test_pieces");
	cop_cpu_set_threads(2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
