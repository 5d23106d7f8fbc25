/*
 * Networks reduced to a mask, held against the float64 reference of the masked network: logits, loss, the survivors'
 * gradients and the running statistics, for drawn networks and for each network by name, from half of the weights kept
 * to one in a thousand, with channels and layers of which nothing is left.
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

/* Channels of few small weights lie closer to a kink than others, and are rounded less. */
static const double densities[] = {0.5, 0.1, 0.01, 0.001}, margins[] = {4e-6, 2e-6, 2e-7, 2e-8};
static const double most = 3e-5;
enum { DENSITIES = sizeof(densities) / sizeof(densities[0]) };

/* Both sides have had their pass; in training the reference's gradients are there. */
static void compare(struct trial *t, double loss, bool training)
{
	trial_compare_outputs(t, loss);
	trial_compare_arenas(t, &t->e.net.graph.buffers, t->e.buffer, t->r.updated, NULL);
	if (training)
		trial_compare_arenas(t, &t->e.net.graph.params, t->e.grad, t->r.grad, t->r.gross);
}

/* Weights that are kept, each moved to one of the two float32 beside it. */
static void round_again(struct cop_stream *s, float *w, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (w[i] != 0)
			w[i] = nextafterf(w[i], cop_stream_normal(s) < 0 ? -INFINITY : INFINITY);
}

/* The error that the masked network has where it is computed whole, by weights that were rounded `again`. */
static double whole_error(struct trial *t, double loss, bool training, bool again)
{
	struct engine own = t->e, whole;
	double allowed = t->most;
	engine_init_beside(&whole, &t->e, &cop_cpu_backend, training);
	if (again)
		round_again(&t->s, whole.param, whole.net.graph.params.total);
	engine_forward(&whole, t->r.y[0], t->label);
	if (training)
		engine_backward(&whole);
	t->e = whole;
	t->most = 1e30; /* whatever it is */
	compare(t, loss, training);
	double worst = t->worst;
	t->e = own;
	t->most = allowed;
	t->worst = 0;
	engine_release(&whole);
	return worst;
}

/*
 * What float32 gives: computed whole; and where that is much, how far its last bit reaches, by weights that are rounded
 * again. The middle of three, for one of them may have crossed a kink.
 */
static double float_error(struct trial *t, double loss, bool training)
{
	double error = whole_error(t, loss, training, false), again[3];
	if (error < most)
		return error;
	for (int i = 0; i < 3; i++)
		again[i] = whole_error(t, loss, training, true);
	double low = fmin(again[0], again[1]), high = fmax(again[0], again[1]);
	return fmax(error, fmax(low, fmin(high, again[2])));
}

/* No further off than `most`, or than twice what float32 gives. */
static double check(struct trial *t, bool training, int turns, double *whole)
{
	trial_set_up(t, training, turns);
	if (trial_is_degenerate(t)) {
		trial_tear_down(t);
		return -1;
	}
	double loss = graph64_loss(&t->r, t->label);
	if (training)
		graph64_backward(&t->r);
	*whole = float_error(t, loss, training);
	t->most = fmax(t->most, 2 * *whole);
	engine_forward(&t->e, t->r.y[0], t->label);
	if (training)
		engine_backward(&t->e);
	compare(t, loss, training);
	trial_tear_down(t);
	return t->worst;
}

static void test_drawn_networks(void **state)
{
	static const int batches[] = {1, 5, 16, 17, 33, 60, 100};
	(void)state;
	double worst = 0, whole;
	int compared = 0;
	for (uint32_t seed = 5000; seed < 5080; seed += every(5))
		for (int training = 0; training < 2; training++) {
			struct trial t;
			trial_begin(&t, seed, most, "drawn network");
			t.fresh = true;
			t.thinnest = 1e-3;
			t.margin = margins[seed % DENSITIES];
			t.density = densities[seed % DENSITIES];
			t.batch = batches[random_between(&t.s, 0, 6)];
			t.classes = random_graph(&t.g, &t.s, random_between(&t.s, 1, 7), t.batch, 40);
			double error = check(&t, training != 0, 2000, &whole);
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
};

static void check_network(const struct by_name *c, int k)
{

	struct trial t;
	struct cop_err err = {0};
	char name[80];
	double whole;
	snprintf(name, sizeof(name), "%s, %g kept", cop_model_name(c->m.name), densities[k]);
	trial_begin(&t, 1, most, name);
	t.lift = c->lift;
	t.fresh = true;
	t.margin = margins[k];
	t.density = densities[k];
	t.batch = c->batch;
	t.classes = 10;
	if (cop_model_build(&t.g, &c->m, 3, c->side, c->side, t.classes, &err))
		fail_msg("%s: %s", name, err.msg);
	double error = check(&t, true, 500, &whole);
	print_message("# %s: errors up to %.2g; what float32 gives: %.2g\n", name, error, whole);
}

static void test_networks(void **state)
{
	int64_t hidden[] = {300, 100};
	const struct by_name cases[] = {
		{{.name = COP_MODEL_LENET, .hidden = {hidden, 2}}, 14, 60, 0},
		{{.name = COP_MODEL_CONV4}, 8, 17, 0},
		{{.name = COP_MODEL_RESNET, .depth = 20}, 16, 17, 0},
		{{.name = COP_MODEL_VGG, .depth = 16, .width = 0.25}, 32, 5, 0},
		{{.name = COP_MODEL_MOBILENET_V2}, 32, 17, 2},
	};
	(void)state;
	/* under a sanitizer, one density of the smaller ones */
	size_t n = sizeof(cases) / sizeof(cases[0]) - (every(3) - 1);
	for (size_t i = 0; i < n; i++)
		for (int k = (int)every(2) - 1; k < DENSITIES; k += (int)every(DENSITIES))
			check_network(&cases[i], k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drawn_networks),
		cmocka_unit_test(test_networks),
	};
	cop_cpu_set_threads(2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
