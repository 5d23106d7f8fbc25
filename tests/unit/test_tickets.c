/*
 * Tickets trained by both engines from the same rewound state: they grow apart no faster in 200 steps than two
 * trainings whole of which one begins with its weights rounded once more, and come to the same accuracy.
 */
#include "base/mem.h"
#include "data/glyphs.h"
#include "digits.h"
#include "nn/trainer.h"
#include "prune/mask.h"
#include "sanitized.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { TRAINING = 1200, TESTING = 400, BATCH = 48, DENSE_STEPS = 50, STEPS = 200 };

static char folder[32], data_path[64];
static struct cop_data data;

static int make_data(void **state)
{
	(void)state;
	const int64_t n[COP_SPLITS] = {TRAINING, TESTING};
	struct cop_err err = {0};
	struct cop_data_config c = {.path = data_path};
	snprintf(folder, sizeof(folder), "tickets.XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(data_path, sizeof(data_path), "%s/data.h5", folder);
	return cop_glyphs_pack(data_path, n, 3, &err) || cop_data_open(&data, &c, &err) ? -1 : 0;
}

static int remove_data(void **state)
{
	(void)state;
	cop_data_release(&data);
	unlink(data_path);
	return rmdir(folder);
}

struct network {
	struct cop_model_config model;
	double lr, prune;
};

/* Whole, from the survivors, and whole from weights that were rounded once more. */
enum { WHOLE, SURVIVORS, ROUNDED, WAYS };

static void begin(struct cop_trainer *t, const struct network *n, struct cop_train_config *c)
{
	struct cop_err err = {0};
	must(cop_trainer_init(t, &n->model, c, &data, &cop_cpu_backend, &err), &err);
	cop_trainer_draw(t, COP_INIT_KAIMING_NORMAL, 1);
}

static void run_to(struct cop_trainer *t, int64_t step)
{
	struct cop_err err = {0};
	must(cop_trainer_run(t, step, &err), &err);
	must(cop_trainer_sync(t, &err), &err);
}

static char no_warmup[] = "0ep";

static struct cop_train_config config_of(const struct network *n)
{
	return (struct cop_train_config){.epochs = 100,
					 .batch = BATCH,
					 .optimizer = COP_OPTIMIZER_SGD,
					 .lr = n->lr,
					 .momentum = 0.9,
					 .weight_decay = 1e-4,
					 .warmup = no_warmup,
					 .seed_order = 1};
}

/* What is left of the weights after the dense training, by magnitude over the whole network. */
static uint8_t *make_mask(const struct cop_trainer *t, double sparsity)
{
	const struct cop_layout *l = &t->net.graph.params;
	uint8_t *mask = cop_xmalloc(l->total);
	struct cop_err err = {0};
	double threshold;
	must(cop_prune_global(l, t->param, cop_prune_count(sparsity, cop_layout_count(l, true)), mask, &threshold,
			      &err),
	     &err);
	return mask;
}

/* Norm of the differences over the norm of the weights. */
static double distance(const struct cop_trainer *a, const struct cop_trainer *b)
{
	double off = 0, all = 0;
	for (size_t i = 0; i < a->net.graph.params.total; i++) {
		double d = (double)a->param[i] - (double)b->param[i];
		off += d * d;
		all += (double)a->param[i] * (double)a->param[i];
	}
	return sqrt(off / all);
}

/* Each weight by half a unit in its last place, up or down. */
static void round_again(struct cop_checkpoint *c)
{
	uint32_t state = 12345;
	for (size_t i = 0; i < c->params.total; i++) {
		state = state * 1664525 + 1013904223;
		c->param[i] *= 1 + (state >> 31 ? 6e-8f : -6e-8f);
	}
}

static void begin_all(const struct network *n, struct cop_train_config of[WAYS], struct cop_trainer t[WAYS])
{
	struct cop_err err = {0};
	struct cop_trainer dense;
	of[0] = of[1] = of[2] = config_of(n);
	of[WHOLE].engine = of[ROUNDED].engine = COP_ENGINE_DENSE;
	of[SURVIVORS].engine = COP_ENGINE_SPARSE;
	begin(&dense, n, &of[WHOLE]);
	run_to(&dense, DENSE_STEPS);
	uint8_t *mask = make_mask(&dense, n->prune);
	struct cop_checkpoint from = cop_trainer_checkpoint(&dense);
	from.step = 0;
	for (int k = 0; k < WAYS; k++) {
		begin(&t[k], n, &of[k]);
		if (k == ROUNDED)
			round_again(&from);
		must(cop_trainer_rewind(&t[k], &from, mask, &err), &err);
	}
	free(mask);
	cop_trainer_release(&dense);
}

static void check(const char *name, const struct network *n)
{
	const int64_t steps[] = {1, 50 / every(25), STEPS / every(25)};
	struct cop_train_config of[WAYS];
	struct cop_trainer t[WAYS];
	struct cop_measure m[WAYS];
	struct cop_err err = {0};
	begin_all(n, of, t);
	print_message("# %s, %g%% pruned, apart from whole by (and rounded once more):", name, 100 * n->prune);
	for (int i = 0; i < 3; i++) {
		for (int k = 0; k < WAYS; k++)
			run_to(&t[k], steps[i]);
		double apart = distance(&t[WHOLE], &t[SURVIVORS]), natural = distance(&t[WHOLE], &t[ROUNDED]);
		print_message(" %.2g (%.2g) after %d steps", apart, natural, (int)steps[i]);
		assert_true(apart > 0 && apart < 3 * natural + 1e-6);
	}
	for (int k = 0; k < WAYS; k++)
		must(cop_trainer_measure(&t[k], &data.test, &m[k], &err), &err);
	print_message("; test top-1 %.4f, %.4f (%.4f)\n", m[WHOLE].top1, m[SURVIVORS].top1, m[ROUNDED].top1);
	assert_true(m[WHOLE].top1 > 0.5);
	assert_true(fabs(m[WHOLE].top1 - m[SURVIVORS].top1) < fabs(m[WHOLE].top1 - m[ROUNDED].top1) + 0.03);
	for (int k = 0; k < WAYS; k++)
		cop_trainer_release(&t[k]);
}

static void test_engines(void **state)
{
	(void)state;
	int64_t hidden[] = {100, 50};
	const struct network lenet = {{.name = COP_MODEL_LENET, .hidden = {hidden, 2}}, 0.05, 0.9};
	const struct network resnet = {{.name = COP_MODEL_RESNET, .depth = 20, .width = 0.5}, 0.02, 0.9};
	const struct network mobile = {{.name = COP_MODEL_MOBILENET_V2, .width = 0.35}, 0.05, 0.5};
	check("lenet", &lenet);
	if (every(2) > 1)
		return; /* a sanitizer is slow */
	check("resnet", &resnet);
	check("mobilenet_v2", &mobile);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_engines),
	};
	cop_cpu_set_threads(2);
	return cmocka_run_group_tests(tests, make_data, remove_data);
}
