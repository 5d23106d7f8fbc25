/*
 * A step of training asks for no memory: malloc and its kin are wrapped at link time, and counted from the third step
 * on. What libraries do inside themselves is not seen. And the bits do not depend on the number of threads.
 */
#include "data/glyphs.h"
#include "nn/models.h"
#include "nn/trainer.h"
#include "sanitized.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

static atomic_long asked;

void *__wrap_malloc(size_t size)
{
	asked++;
	return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	asked++;
	return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	asked++;
	return __real_realloc(p, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	asked++;
	return __real_aligned_alloc(alignment, size);
}

enum { BATCH = 10, STEPS = 8 };

static char folder[] = "steady.XXXXXX", path[64];

static int make_data(void **state)
{
	(void)state;
	struct cop_err err = {0};
	const int64_t n[COP_SPLITS] = {BATCH * STEPS, 20};
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/data.h5", folder);
	return cop_glyphs_pack(path, n, 1, &err);
}

static int remove_data(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

static void run(struct cop_trainer *t, int64_t step)
{
	struct cop_err err = {0};
	if (cop_trainer_run(t, step, &err))
		fail_msg("%s", err.msg);
}

/* A trainer with its data, ready for the first step. */
struct subject {
	struct cop_data data;
	struct cop_data_config config;
	struct cop_train_config train;
	struct cop_trainer t;
};

static int64_t ranks;

static void begin(struct subject *s, const struct cop_model_config *m, int loader_threads)
{
	struct cop_err err = {0};
	*s = (struct subject){.config = {.path = path, .crop_padding = 2, .flip = true}};
	s->train = (struct cop_train_config){.epochs = 1,
					     .batch = BATCH,
					     .ranks = ranks,
					     .optimizer = COP_OPTIMIZER_SGD,
					     .lr = 0.01,
					     .momentum = 0.9,
					     .warmup = (char *)(uintptr_t) "0ep"};
	if (cop_data_open(&s->data, &s->config, &err))
		fail_msg("%s", err.msg);
	s->data.loader_threads = loader_threads;
	if (cop_trainer_init(&s->t, m, &s->train, &s->data, &cop_cpu_backend, &err))
		fail_msg("%s: %s", cop_model_name(m->name), err.msg);
	cop_trainer_draw(&s->t, COP_INIT_KAIMING_NORMAL, 1);
}

static void end(struct subject *s)
{
	cop_trainer_release(&s->t);
	cop_data_release(&s->data);
}

static void check(const struct cop_model_config *m, int loader_threads)
{
	struct subject s;
	begin(&s, m, loader_threads);
	run(&s.t, 2);
	asked = 0;
	const int until = every(2) == 1 ? STEPS - 1 : 4;
	run(&s.t, until);
	if (asked)
		fail_msg("%s: %ld allocations in %d steps", cop_model_name(m->name), (long)asked, until - 2);
	end(&s);
}

/* Loaders of both kinds: in the step, and with a thread of their own; and batches that two ranks share. */
static void test_steps(void **state)
{
	(void)state;
	int64_t hidden[] = {30, 20};
	const struct cop_model_config models[] = {
		{.name = COP_MODEL_LENET, .hidden = {hidden, 2}},
		{.name = COP_MODEL_CONV2},
		{.name = COP_MODEL_RESNET, .depth = 20, .width = 0.25},
		{.name = COP_MODEL_VGG, .depth = 11, .width = 0.125},
		{.name = COP_MODEL_MOBILENET_V2, .width = 0.25, .dropout = 0.2},
	};
	for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i += every(2)) {
		check(&models[i], COP_LOADER_IN_STEP);
		check(&models[i], 1);
		ranks = 2;
		check(&models[i], COP_LOADER_IN_STEP);
		ranks = 0;
	}
}

static bool same(const float *a, const float *b, size_t n)
{
	return memcmp(a, b, n * sizeof(*a)) == 0;
}

/* Networks wide enough to be cut into blocks for threads. */
static void test_threads(void **state)
{
	(void)state;
	const struct cop_model_config models[] = {
		{.name = COP_MODEL_CONV2},
		{.name = COP_MODEL_RESNET, .depth = 20},
		{.name = COP_MODEL_VGG, .depth = 11, .width = 0.5},
		{.name = COP_MODEL_MOBILENET_V2, .dropout = 0.2},
	};
	const int steps = every(2) == 1 ? 3 : 2;
	for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i += every(3)) {
		struct subject alone, many;
		cop_cpu_set_threads(1);
		begin(&alone, &models[i], COP_LOADER_IN_STEP);
		run(&alone.t, steps);
		const struct cop_graph *g = &alone.t.net.graph;
		for (int threads = every(2) == 1 ? 2 : 3; threads <= 4; threads += (int)every(2)) {
			cop_cpu_set_threads(threads);
			begin(&many, &models[i], threads - 2);
			run(&many.t, steps);
			if (!same(alone.t.param, many.t.param, g->params.total) ||
			    !same(alone.t.slot[0], many.t.slot[0], g->params.total) ||
			    !same(alone.t.buffer, many.t.buffer, g->buffers.total))
				fail_msg("%s, %d threads: other bits", cop_model_name(models[i].name), threads);
			end(&many);
		}
		end(&alone);
	}
	cop_cpu_set_threads(2);
}

/* It counts at all. */
static void test_counting(void **state)
{
	(void)state;
	asked = 0;
	struct cop_err err = {0};
	struct cop_data data;
	struct cop_data_config config = {.path = path};
	assert_int_equal(cop_data_open(&data, &config, &err), 0);
	cop_data_release(&data);
	assert_true(asked > 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_counting), cmocka_unit_test(test_steps),
					   cmocka_unit_test(test_threads)};
	cop_cpu_set_threads(2);
	return cmocka_run_group_tests(tests, make_data, remove_data);
}
