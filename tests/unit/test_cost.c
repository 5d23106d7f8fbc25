/* What a sweep will cost, against figures computed by hand: a speed of 500 images a second and thread. */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/checkpoint.h"
#include "store/dataset.h"
#include "store/results.h"
#include "sweep/cost.h"
#include "sweep/plan.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* 300 images to train on: 10 steps an epoch, 40 in all. */
static const char experiment[] =
	"{\"name\": \"cost\", \"model\": {\"hidden\": [8]},"
	" \"data\": {\"path\": \"glyphs\", \"validation\": 60, \"glyphs\": {\"train\": 360, \"test\": 90}},"
	" \"train\": {\"epochs\": 4, \"batch\": 30},"
	" \"sweep\": {\"quantiles\": [0.5, 0.8], \"reset\": [\"0ep\", \"1ep\"]},"
	" \"slurm\": {\"cpus\": 4, \"max_running\": 2}}";

static int estimate(const struct cop_run *r, void *user, struct cop_err *err)
{
	struct cop_cost_options o = {.history = "was"};
	int rc = cop_cost_estimate(r, &o, user, err);
	return rc ? rc : cop_fail(err, COP_EFAILED, "seen");
}

/* Plans no further than to the estimate. */
static int try_plan(const char *path, struct cop_cost *c, struct cop_err *err, const char *const *sets, size_t nsets)
{
	struct cop_experiment e = {0};
	struct cop_plan_consent consent = {estimate, c};
	int rc = cop_experiment_load(&e, experiment, "test", sets, nsets, err);
	if (!rc)
		rc = cop_plan(&e, path, &consent, err);
	cop_experiment_release(&e);
	return rc;
}

#define COST(c, path, ...)                                                          \
	do {                                                                        \
		const char *sets[] = {__VA_ARGS__};                                 \
		struct cop_err why = {0};                                           \
		if (!try_plan(path, c, &why, sets, sizeof(sets) / sizeof(sets[0]))) \
			fail_msg("it was planned");                                 \
		assert_string_equal(why.msg, "seen");                               \
	} while (0)

static void assert_near(double v, double wanted)
{
	if (!(fabs(v - wanted) <= 1e-9 * fabs(wanted) + 1e-15))
		fail_msg("%.12g instead of %.12g", v, wanted);
}

/* Cells that took 2 threads to 1000 images a second, one that was faster and one that was slower. */
static void write_results(const char *path, double middle)
{
	struct cop_cell cell[4] = {{.row = {.same_as = -1, .images_per_second = 4 * middle, .cores = 4}},
				   {.row = {.index = 1, .same_as = -1, .images_per_second = middle, .cores = 2}},
				   {.row = {.index = 2, .same_as = -1, .images_per_second = middle / 9, .cores = 1}},
				   {.row = {.index = 3, .same_as = 0, .images_per_second = 1, .cores = 1}}};
	char name[] = "cost", text[] = "{}", hash[] = "0123456789abcdef";
	struct cop_results r = {.name = name, .experiment = text, .hash = hash, .cell = cell, .ncells = 4};
	struct cop_err err = {0};
	char *file = cop_xasprintf("%s/results.h5", path);
	if (cop_results_write(file, &r, &err))
		fail_msg("%s", err.msg);
	free(file);
}

static void plan(const char *path, const char *const *sets, size_t nsets)
{
	struct cop_experiment e = {0};
	struct cop_err err = {0};
	if (cop_experiment_load(&e, experiment, "test", sets, nsets, &err) || cop_plan(&e, path, NULL, &err))
		fail_msg("%s", err.msg);
	cop_experiment_release(&e);
}

/*
 * With 4 threads 2000 images a second. From step 0: 40 steps of 30, and a third of 6 validations of 60 and the test's
 * 90: 1350 images. From step 10: 900 + 130.
 */
enum { WHOLE = 1350, LATER = 1030 };
static const double rate = 2000;

static void test_plain_grid(void **state)
{
	(void)state;
	struct cop_cost c;
	COST(&c, "run", "name=other");
	assert_true(c.cells == 4 && c.dense == 1 && c.same == 0 && c.tasks == 4 && c.at_once == 2);
	assert_true(c.cells_done == 0 && c.dense_done == 0);
	assert_int_equal(c.steps, 40 + 2 * 40 + 2 * 30);
	assert_int_equal(c.prunable, 784 * 8 + 8 * 10);
	assert_int_equal(c.params, 784 * 8 + 8 * 10 + 8 + 10);
	assert_near(c.speed.images_per_second, 1000);
	assert_int_equal(c.speed.threads, 2);
	assert_string_equal(c.speed.where, "as in 'was'");
	double seconds = (3 * WHOLE + 2 * LATER) / rate;
	assert_near(c.core_hours, 4 * seconds / 3600);
	assert_true(c.gpu_hours == 0);
	/* on two places the third cell follows the second, and the fourth the first: both pairs are one of each kind */
	assert_near(c.wall_seconds, (WHOLE + WHOLE + LATER) / rate);
	COST(&c, "run", "slurm.max_running=0");
	assert_true(c.at_once == 0);
	assert_near(c.wall_seconds, (WHOLE + WHOLE) / rate);
	COST(&c, "run", "slurm.max_running=1");
	assert_near(c.wall_seconds, seconds);
	COST(&c, "run", "slurm.gpus=3");
	assert_near(c.gpu_hours, 3 * seconds / 3600);
	COST(&c, "run", "device.threads=1"); /* the task holds four cores all the same */
	assert_near(c.core_hours, 4 * 4 * seconds / 3600);
	COST(&c, "run", "device.threads=64");
	assert_near(c.core_hours, 4 * seconds / 3600);
	COST(&c, "run", "train.epochs=0", "sweep.reset=[\"0ep\"]");
	assert_true(c.core_hours == 0 && c.wall_seconds == 0 && c.steps == 0);
	assert_false(cop_exists("run"));
}

/* Every look at the 60 images of the validation split is counted: before the first step, at multiples, twice at the
 * end. */
static void test_validations(void **state)
{
	(void)state;
	struct cop_cost c;
	/* 4, 8, ... 40 from step 0; 12, 16, ... 40 from step 10 */
	COST(&c, "run", "train.validate_every=4it", "slurm.max_running=1");
	double whole = 1200 + (60 * 12 + 90) / 3.0, later = 900 + (60 * 10 + 90) / 3.0;
	assert_near(c.wall_seconds, (3 * whole + 2 * later) / rate);
	/* 25 and the end */
	COST(&c, "run", "train.validate_every=2.5ep", "slurm.max_running=1");
	whole = 1200 + (60 * 4 + 90) / 3.0;
	later = 900 + (60 * 4 + 90) / 3.0;
	assert_near(c.wall_seconds, (3 * whole + 2 * later) / rate);
	/* as many tests, where they are asked for */
	COST(&c, "run", "train.validate_every=2.5ep", "train.test_early_stop=true", "slurm.max_running=1");
	whole = 1200 + 4 * (60 + 90) / 3.0;
	later = 900 + 4 * (60 + 90) / 3.0;
	assert_near(c.wall_seconds, (3 * whole + 2 * later) / rate);
	double bytes = c.bytes;
	COST(&c, "run", "train.validate_every=1it", "slurm.max_running=1");
	assert_true(c.bytes > bytes + 2 * 8 * 9 * (3 * 38 + 2 * 28));
	struct cop_err err = {0};
	const char *sets[] = {"train.validate_every=0.01ep"};
	assert_int_equal(try_plan("run", &c, &err, sets, 1), COP_EINPUT);
	assert_non_null(strstr(err.msg, "'train.validate_every' is '0.01ep', which is less than a step"));
	assert_false(cop_exists("run"));
}

static void test_bundles(void **state)
{
	(void)state;
	struct cop_cost c;
	COST(&c, "run", "slurm.cells_per_task=3");
	assert_true(c.tasks == 2 && c.at_once == 2);
	assert_near(c.core_hours, 4 * (3 * WHOLE + 2 * LATER) / rate / 3600);
	assert_near(c.wall_seconds, (WHOLE + 2 * WHOLE + LATER) / rate);
	/* three share four cores: one thread each; the fourth has its task for itself */
	COST(&c, "run", "slurm.cells_per_task=3", "slurm.concurrent=true", "slurm.max_running=6");
	assert_true(c.tasks == 2 && c.at_once == 2);
	assert_near(c.core_hours, 4 * (WHOLE / rate + WHOLE / 500.0 + LATER / rate) / 3600);
	assert_near(c.wall_seconds, WHOLE / rate + WHOLE / 500.0);
	/* more cells than cores: each has a part of one */
	COST(&c, "run", "slurm.cells_per_task=4", "slurm.concurrent=true", "slurm.cpus=2", "slurm.max_running=4");
	assert_near(c.wall_seconds, WHOLE / 1000.0 + WHOLE / 250.0);
	assert_int_equal(c.at_once, 1);
}

/* Of a cell that scores gradients of 10 batches of 30; four threads make 12e9 multiply-accumulates a second. */
static void test_scores(void **state)
{
	(void)state;
	struct cop_cost c;
	const double gradient = 3 * (784 * 8 + 8 * 10), plain = (3 * WHOLE + 2 * LATER) / rate;
	COST(&c, "run", "sweep.criterion=snip");
	assert_near(c.core_hours, 4 * (plain + 4 * 300 * gradient / 12e9) / 3600);
	COST(&c, "run", "sweep.criterion=grasp", "sweep.score_batches=20");
	assert_near(c.core_hours, 4 * (plain + 4 * 600 * 4 * gradient / 12e9) / 3600);
	COST(&c, "run", "sweep.criterion=synflow");
	assert_near(c.core_hours, 4 * (plain + 4 * 100 * gradient / 12e9) / 3600);
	COST(&c, "run", "sweep.criterion=change");
	assert_near(c.core_hours, 4 * plain / 3600);
}

/* On a device children and tuned cells have batches and steps of their own, and follow the others of their task. */
static void test_waves(void **state)
{
	(void)state;
	struct cop_cost c;
	COST(&c, "run", "slurm.cells_per_task=4", "slurm.max_running=4", "slurm.concurrent=true", "slurm.gpus=1",
	     "sweep.reset=[\"0ep\"]");
	assert_near(c.wall_seconds, WHOLE / rate + WHOLE / 1000.0);
	COST(&c, "run", "slurm.cells_per_task=4", "slurm.max_running=4", "slurm.concurrent=true", "slurm.gpus=1",
	     "sweep.reset=[\"0ep\"]", "sweep.children=2");
	assert_near(c.wall_seconds, WHOLE / rate + 2 * WHOLE / 1000.0);
	COST(&c, "run", "slurm.cells_per_task=4", "slurm.max_running=4", "slurm.concurrent=true",
	     "sweep.reset=[\"0ep\"]", "sweep.children=2");
	assert_near(c.wall_seconds, WHOLE / rate + WHOLE / 500.0);
}

/* Two rounds of two cells: the second begins when the first is over. */
static void test_rounds(void **state)
{
	(void)state;
	struct cop_cost c;
	COST(&c, "run", "sweep.rounds=2", "sweep.quantiles=[0.2]", "slurm.max_running=20");
	assert_true(c.cells == 4 && c.tasks == 4);
	assert_near(c.wall_seconds, 3 * WHOLE / rate);
	assert_near(c.core_hours, 4 * (3 * WHOLE + 2 * LATER) / rate / 3600);
}

/* Quantiles so near each other that they cut as many weights are one cell's work. */
static void test_same_cells(void **state)
{
	(void)state;
	struct cop_cost c;
	COST(&c, "run", "sweep.quantiles=[0.5, 0.50000001]");
	assert_true(c.cells == 4 && c.same == 2 && c.tasks == 2);
	assert_near(c.core_hours, 4 * (2 * WHOLE + LATER) / rate / 3600);
}

static void write_cell(const struct cop_run *r, int64_t index)
{
	struct cop_err err = {0};
	struct cop_layout none = {0};
	struct cop_cell c = {.row = {.index = -1, .same_as = -1}, .hash = (char *)(uintptr_t)r->hash};
	char *path = index < 0 ? cop_run_dense_result(r, -1 - index) : cop_run_cell(r, index);
	if (index >= 0) {
		const struct cop_point *p = &r->cell[index];
		c.row.index = index;
		c.row.round = p->round;
		c.row.quantile = p->quantile;
		c.row.reset_step = p->reset_step;
	}
	assert_int_equal(cop_cell_write(path, &c, "{}", &none, NULL, NULL, NULL, NULL, &err), 0);
	free(path);
}

static void write_checkpoint(const struct cop_run *r, int64_t step)
{
	struct cop_err err = {0};
	float one[16] = {0};
	struct cop_checkpoint c = {.param = one, .step = step, .hash = (char *)(uintptr_t)r->hash};
	char *path = cop_run_checkpoint(r, 0, step);
	cop_layout_add(&c.params, "a/bias", 1, (int64_t[]){1}, false);
	assert_int_equal(cop_checkpoint_write(path, &c, &err), 0);
	cop_layout_release(&c.params);
	free(path);
}

static void test_what_is_done_costs_nothing(void **state)
{
	(void)state;
	struct cop_cost c;
	struct cop_err err = {0};
	struct cop_run r;
	static const char more[] = "sweep.quantiles=[0.5, 0.8, 0.9]";
	plan("run", NULL, 0);
	assert_int_equal(cop_run_open(&r, "run", &err), 0);
	/* a name is no result, and a folder none either */
	assert_int_equal(cop_write_file("run/cells/000001.h5", "x", 1, &err), 0);
	assert_int_equal(cop_mkdirs("run/cells/000002.h5", &err), 0);
	assert_int_equal(cop_mkdirs("run/dense/0", &err), 0);
	assert_int_equal(cop_write_file("run/dense/0/result.h5", "x", 1, &err), 0);
	COST(&c, "run", more);
	assert_true(c.cells == 6 && c.cells_done == 0 && c.dense_done == 0 && c.tasks == 6);
	write_cell(&r, 1);
	write_cell(&r, -1);
	for (int64_t step = 0; step <= 40; step += step ? 30 : 10)
		write_checkpoint(&r, step);
	COST(&c, "run", more);
	assert_true(c.cells == 6 && c.cells_done == 1 && c.dense_done == 1 && c.tasks == 5);
	assert_near(c.core_hours, 4 * (3 * WHOLE + 2 * LATER) / rate / 3600);
	assert_false(cop_exists("run/state/catalog"));
	/* the dense run goes from step 10 to 20 and on to 30 once more: 20 steps of 30 images, 2 validations of 60 */
	COST(&c, "run", "sweep.reset=[\"0ep\", \"3ep\", \"1ep\", \"2ep\"]");
	assert_true(c.cells == 8 && c.cells_done == 1 && c.dense_done == 0 && c.tasks == 7);
	assert_int_equal(c.steps, 20 + 2 * 40 + 30 + 2 * 20 + 2 * 10);
	/* the end is lost, too: from 10 to 40 */
	cop_remove("run/dense/0/final.h5");
	COST(&c, "run", "name=other");
	assert_true(c.dense_done == 0 && c.steps == 30 + 2 * 40 + 30);
	assert_true(cop_exists("run/data.h5"));
	cop_run_release(&r);
	assert_int_equal(rmdir("run/cells/000002.h5"), 0);
}

static void test_makespan(void **state)
{
	(void)state;
	static const double seconds[] = {5, 1, 1, 4, 2};
	assert_near(cop_cost_makespan(seconds, 5, 0), 5);
	assert_near(cop_cost_makespan(seconds, 5, 5), 5);
	assert_near(cop_cost_makespan(seconds, 5, 9), 5);
	assert_near(cop_cost_makespan(seconds, 5, 1), 13);
	assert_near(cop_cost_makespan(seconds, 5, 2), 7); /* 5 2, 1 1 4 */
	assert_near(cop_cost_makespan(seconds, 5, 3), 5); /* 5, 1 4, 1 2 */
	assert_true(cop_cost_makespan(NULL, 0, 3) == 0);
}

static void refused(const char *set, const char *wanted)
{
	struct cop_cost c;
	struct cop_err err = {0};
	assert_int_equal(try_plan("other", &c, &err, &set, 1), COP_EINPUT);
	if (!strstr(err.msg, wanted))
		fail_msg("'%s' does not say '%s'", err.msg, wanted);
	assert_false(cop_exists("other"));
}

static void test_history_of_others(void **state)
{
	(void)state;
	struct cop_cost c;
	refused("model.hidden=[9]", "model.hidden differ");
	refused("train.batch=20", "train.batch differ");
	COST(&c, "other", "model.init=glorot_uniform"); /* costs the same */
	assert_near(c.speed.images_per_second, 1000);
}

/* Images of another size, whatever else is the same. */
static void test_history_of_other_images(void **state)
{
	(void)state;
	static const char *const classes[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
	struct cop_dataset_writer *w;
	struct cop_err err = {0};
	uint8_t image[14 * 14] = {0};
	int rc = cop_dataset_create(&w, "small.h5", 14, 14, 1, classes, 10, &err);
	for (int i = 0; i < 400 && !rc; i++)
		rc = cop_dataset_add(w, i < 360 ? COP_SPLIT_TRAIN : COP_SPLIT_TEST, image, i % 10, &err);
	if (!rc)
		rc = cop_dataset_commit(w, &err);
	assert_int_equal(rc, 0);
	refused("data.path=small.h5", "images of 1x28x28 and 10 classes, these are of 1x14x14 and 10");
}

/* Where nothing was collected yet the dense run speaks; where that is not done, nothing. */
static void test_history_of_dense_runs(void **state)
{
	(void)state;
	struct cop_cost c;
	struct cop_err err = {0};
	struct cop_cell dense = {.row = {.index = -1, .same_as = -1, .images_per_second = 4500, .cores = 3}};
	cop_remove("was/results.h5");
	refused("name=other", "its dense run is not done");
	assert_int_equal(cop_mkdirs("was/dense/0", &err), 0);
	struct cop_layout none = {0};
	assert_int_equal(cop_cell_write("was/dense/0/result.h5", &dense, "{}", &none, NULL, NULL, NULL, NULL, &err), 0);
	COST(&c, "other", "name=other");
	assert_near(c.speed.images_per_second, 4500);
	assert_int_equal(c.speed.threads, 3);
	assert_near(c.wall_seconds, (WHOLE + WHOLE + LATER) / 6000.0);
}

/* Without a speed there are no hours; what was measured here is one. */
static int measure(const struct cop_run *r, void *user, struct cop_err *err)
{
	struct cop_cost c;
	(void)user;
	assert_int_equal(cop_cost_estimate(r, &(struct cop_cost_options){0}, &c, err), 0);
	assert_true(isnan(c.core_hours) && isnan(c.gpu_hours) && isnan(c.wall_seconds) && c.bytes > 0 && c.steps > 0);
	assert_int_equal(cop_cost_estimate(r, &(struct cop_cost_options){.measure = true}, &c, err), 0);
	assert_true(c.core_hours > 0 && c.wall_seconds > 0 && c.speed.images_per_second > 0 && c.speed.threads >= 1);
	assert_string_equal(c.speed.where, "here");
	return 0;
}

static void test_measured(void **state)
{
	(void)state;
	struct cop_experiment e = {0};
	struct cop_err err = {0};
	struct cop_plan_consent consent = {measure, NULL};
	assert_int_equal(cop_experiment_load(&e, experiment, "test", NULL, 0, &err), 0);
	assert_int_equal(cop_plan(&e, "a/b/measured", &consent, &err), 0);
	assert_true(cop_exists("a/b/measured/experiment.json"));
	cop_experiment_release(&e);
	struct cop_cost c;
	COST(&c, "a/c/d/none", "name=other", "slurm.cpus=2");
	assert_true(cop_exists("a/b"));
	assert_false(cop_exists("a/c"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_grid),
		cmocka_unit_test(test_validations),
		cmocka_unit_test(test_bundles),
		cmocka_unit_test(test_scores),
		cmocka_unit_test(test_waves),
		cmocka_unit_test(test_rounds),
		cmocka_unit_test(test_same_cells),
		cmocka_unit_test(test_what_is_done_costs_nothing),
		cmocka_unit_test(test_makespan),
		cmocka_unit_test(test_history_of_others),
		cmocka_unit_test(test_history_of_other_images),
		cmocka_unit_test(test_history_of_dense_runs),
		cmocka_unit_test(test_measured),
	};
	char folder[] = "cost-XXXXXX";
	if (!mkdtemp(folder) || chdir(folder) != 0)
		return 1;
	plan("was", NULL, 0);
	write_results("was", 1000);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	char *remove = cop_xasprintf("rm -rf %s", folder);
	if (chdir("..") != 0 || system(remove) == -1)
		failed++;
	free(remove);
	return failed;
}
