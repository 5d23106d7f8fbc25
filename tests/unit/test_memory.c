/*
 * Memory that runs out: each allocation of what is sized by a file or a network is made to fail in turn (aligned_alloc
 * is wrapped at link time). What asked must say so, and must leak nothing: AddressSanitizer's build looks at that.
 */
#include "base/mem.h"
#include "data/glyphs.h"
#include "nn/trainer.h"
#include "prune/criterion.h"
#include "prune/mask.h"
#include "store/mask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

static atomic_long fail_at = -1, asked;

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return asked++ == fail_at ? NULL : __real_aligned_alloc(alignment, size);
}

static char folder[] = "memory.XXXXXX", data_path[64], checkpoint_path[64], mask_path[64];
static int64_t hidden[] = {9, 7};
static const struct cop_model_config model = {.hidden = {hidden, 2}};
static struct cop_train_config train = {.epochs = 1,
					.batch = 10,
					.optimizer = COP_OPTIMIZER_ADAM,
					.lr = 0.01,
					.beta1 = 0.9,
					.beta2 = 0.999,
					.epsilon = 1e-8,
					.warmup = (char *)(uintptr_t) "0ep"};
static struct cop_data_config config = {.path = data_path, .validation = 5};
static struct cop_data data;
static struct cop_trainer trainer;

static int open_data(struct cop_err *err)
{
	struct cop_data d;
	int rc = cop_data_open(&d, &config, err);
	if (!rc)
		cop_data_release(&d);
	return rc;
}

static int make_trainer(struct cop_err *err)
{
	struct cop_trainer t;
	int rc = cop_trainer_init(&t, &model, &train, &data, &cop_cpu_backend, err);
	if (!rc)
		cop_trainer_release(&t);
	return rc;
}

/* Whose threads ask at the same time. */
static int make_ranks(struct cop_err *err)
{
	train.ranks = 2;
	int rc = make_trainer(err);
	train.ranks = 1;
	return rc;
}

static int read_checkpoint(struct cop_err *err)
{
	struct cop_checkpoint c;
	int rc = cop_checkpoint_read(checkpoint_path, &c, true, err);
	if (!rc)
		cop_checkpoint_release(&c);
	return rc;
}

static int read_mask(struct cop_err *err)
{
	struct cop_mask_file m;
	int rc = cop_mask_file_read(mask_path, &m, err);
	if (!rc)
		cop_mask_file_release(&m);
	return rc;
}

static enum cop_criterion criterion;

/* A mask of the trainer's network, from its training's first batches; of synflow, whose turns are many, one's scores.
 */
static int choose_weights(struct cop_err *err)
{
	const struct cop_graph *g = &trainer.net.graph;
	struct cop_samples samples;
	struct cop_allocation a = {0};
	const double q = 0.5;
	double threshold, *score = cop_xcalloc(g->params.total, sizeof(*score));
	uint8_t *mask = cop_xmalloc(g->params.total);
	int rc = cop_samples_open(&samples, &data, 10, 2, 1, 1, err);
	const struct cop_scoring s = {.graph = g,
				      .first = trainer.param,
				      .first_buffer = trainer.buffer,
				      .last = trainer.param,
				      .samples = &samples};
	if (!rc)
		rc = cop_allocate(&a, &g->params, COP_SCOPE_GLOBAL, NULL, &q, 1, err);
	if (!rc && criterion == COP_CRITERION_SYNFLOW)
		rc = cop_criterion_scores(&s, criterion, score, err);
	else if (!rc)
		rc = cop_criterion_mask(&s, criterion, &a, mask, &threshold, err);
	cop_allocation_release(&a);
	cop_samples_close(&samples);
	free(mask);
	free(score);
	return rc;
}

static int make_files(void **state)
{
	(void)state;
	struct cop_err err = {0};
	const int64_t n[COP_SPLITS] = {40, 20};
	if (!mkdtemp(folder))
		return -1;
	snprintf(data_path, sizeof(data_path), "%s/data.h5", folder);
	snprintf(checkpoint_path, sizeof(checkpoint_path), "%s/c.h5", folder);
	snprintf(mask_path, sizeof(mask_path), "%s/m.h5", folder);
	int rc = cop_glyphs_pack(data_path, n, 1, &err);
	if (!rc)
		rc = cop_data_open(&data, &config, &err);
	if (!rc)
		rc = cop_trainer_init(&trainer, &model, &train, &data, &cop_cpu_backend, &err);
	if (rc)
		return rc;
	cop_trainer_draw(&trainer, COP_INIT_KAIMING_NORMAL, 1);
	struct cop_checkpoint c = cop_trainer_checkpoint(&trainer);
	struct cop_mask_file m = {.quantile = 0.5, .scope = "global", .criterion = "magnitude"};
	double threshold;
	uint8_t *mask = cop_xmalloc(c.params.total);
	rc = cop_prune_global(&c.params, c.param, 3000, mask, &threshold, &err);
	if (!rc)
		rc = cop_mask_file_write(mask_path, &c.params, mask, &m, &err);
	free(mask);
	return rc ? rc : cop_checkpoint_write(checkpoint_path, &c, &err);
}

static int remove_files(void **state)
{
	(void)state;
	cop_trainer_release(&trainer);
	cop_data_release(&data);
	unlink(data_path);
	unlink(checkpoint_path);
	unlink(mask_path);
	return rmdir(folder);
}

/* Every allocation that `work` makes fails once; at least `fewest` of them there must be. */
static void starve(int (*work)(struct cop_err *err), long fewest, const char *what)
{
	struct cop_err err = {0};
	fail_at = -1;
	asked = 0;
	assert_int_equal(work(&err), 0);
	long all = asked;
	if (all < fewest)
		fail_msg("%s: %ld allocations only", what, all);
	for (long k = 0; k < all; k++) {
		err = (struct cop_err){0};
		fail_at = k;
		asked = 0;
		int rc = work(&err);
		fail_at = -1;
		if (rc != COP_EFAILED || !strstr(err.msg, "out of memory: ") || !strstr(err.msg, " bytes wanted for "))
			fail_msg("%s, allocation %ld: code %d, '%s'", what, k, rc, err.msg);
	}
}

static void test_reading(void **state)
{
	(void)state;
	starve(open_data, 4, "a dataset");
	starve(read_checkpoint, 3, "a checkpoint");
	starve(read_mask, 1, "a mask");
}

static void test_training(void **state)
{
	(void)state;
	starve(make_trainer, 6, "a trainer");
	starve(make_ranks, 12, "a trainer of two ranks");
	/* and none within a step */
	struct cop_err err = {0};
	assert_int_equal(cop_trainer_run(&trainer, 1, &err), 0);
	asked = 0;
	assert_int_equal(cop_trainer_run(&trainer, 3, &err), 0);
	assert_int_equal(asked, 0);
}

static void test_criteria(void **state)
{
	(void)state;
	static const enum cop_criterion some[] = {COP_CRITERION_CHANGE, COP_CRITERION_RANDOM_LAYERWISE,
						  COP_CRITERION_GRASP, COP_CRITERION_SYNFLOW};
	for (int k = 0; k < 4; k++) {
		criterion = some[k];
		starve(choose_weights, k < 2 ? 3 : 8, "a criterion");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_reading), cmocka_unit_test(test_training),
					   cmocka_unit_test(test_criteria)};
	return cmocka_run_group_tests(tests, make_files, remove_files);
}
