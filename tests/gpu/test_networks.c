/*
 * Networks on a GPU, or on the host in its place, against the CPU backend: logits, loss, every gradient and the running
 * statistics of the same numbers, with drawn networks and with each network by name.
 */
#include "base/mem.h"
#include "module.h"
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

static enum cop_precision precision;

/*
 * How far a tensor may be off: in fp32 by the largest difference against the largest magnitude; in bf16, where a value
 * beside a kink falls on either side, by norms.
 */
struct bounds {
	double output, statistic;
	double gradient; /* of a tensor's gradient, or of `cancelled` times its terms without their signs */
	double whole;    /* of all gradients together */
	double nothing;  /* of the whole: what may be where theory has 0, as behind a batch norm */
	bool norms;
};
static const struct bounds all_bounds[] = {
	[COP_FP32] = {1e-5, 1e-5, 1e-5, 1e-5, 1e-6, false},
	[COP_BF16] = {2e-2, 1e-2, 0.2, 0.12, 1e-2, true},
};
static const double cancelled = 5e-2;

/* A batch norm of few values, or of nearly the same, makes rounding large: the CPU's own error, some times over. */
static const double as_the_cpu = 4;

static double times = 1; /* the bounds, for the case at hand */

static const struct bounds *bounds(void)
{
	return &all_bounds[precision];
}

/* By norms, or by the largest. */
struct sizes {
	double error, wanted, exact, gross; /* exact: the CPU's error against float64 */
};

static void put_in(double *sum, double x)
{
	/* so that NaN stays */
	*sum = bounds()->norms ? hypot(*sum, x) : isnan(*sum) || fabs(x) <= *sum ? *sum : fabs(x);
}

static void measure(struct sizes *s, double got, double wanted, double exact, double gross)
{
	put_in(&s->error, got - wanted);
	put_in(&s->wanted, wanted);
	put_in(&s->exact, wanted - exact);
	put_in(&s->gross, gross);
}

/* What was met, for the summary. */
static double worst_output, worst_gradient;

/* Written so that NaN fails. */
static void judge(const struct trial *t, const char *what, const struct sizes *s, double most, double floor,
		  double *worst)
{
	double size = fmax(s->wanted, cancelled * s->gross),
	       allowed = times * most * size + as_the_cpu * s->exact + floor;
	if (!(s->error <= allowed))
		fail_msg("%s (seed %u, batch %d): %s is off by %.3g, more than %.3g (size %.3g, of its terms %.3g; the "
			 "CPU by %.3g)",
			 t->name, t->seed, t->batch, what, s->error, allowed, s->wanted, s->gross, s->exact);
	if (size > 0 && floor < most * size)
		*worst = fmax(*worst, s->error / size);
}

static void compare_outputs(const struct trial *t, const struct engine *d, double loss)
{
	struct sizes logits = {0}, losses = {0};
	const double *exact = t->r.y[t->e.net.graph.n - 1];
	for (int i = 0; i < t->batch * t->classes; i++)
		measure(&logits, d->logits[i], t->e.logits[i], exact[i], 0);
	judge(t, "the output", &logits, bounds()->output, 0, &worst_output);
	measure(&losses, d->loss, t->e.loss, loss, 0);
	judge(t, "the loss", &losses, bounds()->output, 0, &worst_output);
}

static void compare_statistics(const struct trial *t, const struct engine *d)
{
	const struct cop_layout *l = &t->e.net.graph.buffers;
	for (size_t k = 0; k < l->n; k++) {
		const struct cop_tensor *v = &l->tensor[k];
		struct sizes s = {0};
		for (size_t i = v->offset; i < v->offset + v->count; i++)
			measure(&s, (double)d->buffer[i], (double)t->e.buffer[i], t->r.updated[i], 0);
		judge(t, v->name, &s, bounds()->statistic, 0, &worst_output);
	}
}

static void measure_gradient(struct sizes *s, const struct trial *t, const struct engine *d, const struct cop_tensor *v)
{
	for (size_t i = v->offset; i < v->offset + v->count; i++)
		measure(s, (double)d->grad[i], (double)t->e.grad[i], t->r.grad[i], t->r.gross[i]);
}

static void compare_gradients(const struct trial *t, const struct engine *d)
{
	const struct cop_layout *l = &t->e.net.graph.params;
	struct sizes all = {0};
	for (size_t k = 0; k < l->n; k++)
		measure_gradient(&all, t, d, &l->tensor[k]);
	judge(t, "all gradients together", &all, bounds()->whole, 0, &worst_gradient);
	for (size_t k = 0; k < l->n; k++) {
		struct sizes s = {0};
		measure_gradient(&s, t, d, &l->tensor[k]);
		judge(t, l->tensor[k].name, &s, bounds()->gradient, bounds()->nothing * all.wanted, &worst_gradient);
	}
}

/* bf16 has the upper half of a float's bits: both sides get images that it can have. */
static void narrow_images(struct trial *t, bool training)
{
	for (size_t i = 0; i < graph64_count(&t->r, 0); i++) {
		float x = (float)t->r.y[0][i];
		uint32_t bits;
		memcpy(&bits, &x, sizeof(bits));
		bits &= 0xffff0000;
		memcpy(&x, &bits, sizeof(x));
		t->r.y[0][i] = (double)x;
	}
	graph64_forward(&t->r, training);
}

/* Both sides on the same batch; whether there was something to compare. */
static bool compare(struct trial *t, bool training, int turns)
{
	struct engine d;
	if (precision == COP_BF16)
		t->margin = 1e-30; /* any images will do */
	trial_set_up(t, training, turns);
	if (precision == COP_BF16)
		narrow_images(t, training);
	if (trial_is_degenerate(t)) {
		trial_tear_down(t);
		return false;
	}
	engine_init_beside(&d, &t->e, module_watched(), training);
	engine_forward(&t->e, t->r.y[0], t->label);
	engine_forward(&d, t->r.y[0], t->label);
	compare_outputs(t, &d, graph64_loss(&t->r, t->label));
	compare_statistics(t, &d);
	if (training) {
		engine_backward(&t->e);
		engine_backward(&d);
		graph64_backward(&t->r);
		compare_gradients(t, &d);
	}
	engine_release(&d);
	trial_tear_down(t);
	return true;
}

static void tell(const char *what, int compared)
{
	print_message("# %d %s, %s: outputs off by up to %.2g, gradients by %.2g\n", compared, what,
		      precision == COP_BF16 ? "bf16" : "fp32", worst_output, worst_gradient);
	worst_output = worst_gradient = 0;
}

static void test_drawn_networks(void **state)
{
	(void)state;
	static const int batches[] = {1, 3, 16, 17};
	int compared = 0;
	for (uint32_t seed = 5000; seed < 5032; seed += every(5))
		for (int training = 0; training < 2; training++) {
			struct trial t;
			trial_begin(&t, seed, 0, "drawn network");
			t.thinnest = 1e-3;
			t.batch = batches[seed % 4];
			t.classes = random_graph(&t.g, &t.s, random_between(&t.s, 1, 5), t.batch, 40);
			compared += compare(&t, training != 0, 2000);
		}
	tell("drawn networks", compared);
	assert_true(compared > 50 / (int)every(5));
}

struct by_name {
	struct cop_model_config m;
	int side, batch;
	double lift, times; /* times: the bounds, in networks of many layers, where roundings grow */
};

static void check_network(const struct by_name *c)
{
	struct trial t;
	struct cop_err err = {0};
	for (int training = 0; training < 2; training++) {
		trial_begin(&t, 1, 0, cop_model_name(c->m.name));
		t.lift = c->lift;
		times = c->times;
		t.fresh = true;
		t.batch = c->batch;
		t.classes = 10;
		if (cop_model_build(&t.g, &c->m, 3, c->side, c->side, t.classes, &err))
			fail_msg("%s: %s", t.name, err.msg);
		assert_true(compare(&t, training != 0, 200));
		tell(t.name, 1);
	}
	times = 1;
}

static void test_named_networks(void **state)
{
	(void)state;
	int64_t wide[] = {60, 30};
	const struct by_name cases[] = {
		{{.name = COP_MODEL_LENET, .hidden = {wide, 2}}, 6, 17, 0, 1},
		{{.name = COP_MODEL_CONV2}, 4, 3, 0, 1},
		{{.name = COP_MODEL_RESNET, .depth = 20, .width = 0.5}, 8, 5, 0, 5},
		{{.name = COP_MODEL_VGG, .depth = 11, .width = 0.0625}, 16, 4, 0, 5},
		{{.name = COP_MODEL_MOBILENET_V2, .width = 0.1, .dropout = 0.2}, 16, 8, 2, 5},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (!getenv("SAN") || cases[i].times == 1)
			check_network(&cases[i]);
}

static int open_module(void **state)
{
	(void)state;
	return module_open(precision);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drawn_networks),
		cmocka_unit_test(test_named_networks),
	};
	precision = argc > 1 && strcmp(argv[1], "bf16") == 0 ? COP_BF16 : COP_FP32;
	cop_cpu_set_threads(1); /* networks are too small to be shared */
	int failed = cmocka_run_group_tests_name(argc > 1 ? argv[1] : "fp32", tests, open_module, NULL);
	return failed + (argc > 1 ? 0 : module_again("bf16"));
}
