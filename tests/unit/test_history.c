/*
 * The rows of a history: where they are made, what they sum up, that neither the weights nor an interruption know of
 * them.
 */
#include "base/mem.h"
#include "digits.h"
#include "nn/trainer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* 300 images to train on: 6 steps an epoch. */
enum { TRAINING = 330, TESTING = 40, VALIDATION = 30, BATCH = 48, PER_EPOCH = 6 };

static struct digits digits;

static int make_data(void **state)
{
	(void)state;
	struct cop_data_config c = {.validation = VALIDATION};
	return digits_make(&digits, TRAINING, TESTING, &c);
}

static int remove_data(void **state)
{
	(void)state;
	return digits_remove(&digits);
}

static struct cop_train_config config(const char *validate_every)
{
	struct cop_train_config c = digits_training(3, BATCH);
	c.validate_every = (char *)(uintptr_t)validate_every;
	return c;
}

static void begin(struct cop_trainer *t, const struct cop_train_config *c)
{
	struct cop_err err = {0};
	int64_t hidden[] = {16};
	struct cop_model_config m = {.hidden = {hidden, 1}};
	if (cop_trainer_init(t, &m, c, &digits.data, &cop_cpu_backend, &err))
		fail_msg("%s", err.msg);
	cop_trainer_draw(t, COP_INIT_KAIMING_NORMAL, (uint64_t)c->seed_init);
	t->hash = t->experiment = "{}";
	t->identity = "a test";
}

static void run_to(struct cop_trainer *t, int64_t step)
{
	struct cop_err err = {0};
	if (cop_trainer_run(t, step, &err) || cop_trainer_sync(t, &err))
		fail_msg("%s", err.msg);
}

/* How often an epoch was told of, and at which steps. */
struct told {
	int n;
	int64_t step[32];
};

static void note(const struct cop_trainer *t, void *user)
{
	struct told *told = user;
	told->step[told->n++] = t->step;
}

static void test_where_rows_are(void **state)
{
	(void)state;
	const struct {
		const char *every;
		int64_t row[20];
		int64_t told[4];
	} cases[] = {
		{NULL, {0, 6, 12, 18, -1}, {6, 12, 18, -1}},
		{"1ep", {0, 6, 12, 18, -1}, {6, 12, 18, -1}},
		{"4it", {0, 4, 8, 12, 16, 18, -1}, {8, 12, 18, -1}},
		{"0.5ep", {0, 3, 6, 9, 12, 15, 18, -1}, {6, 12, 18, -1}},
		{"2ep", {0, 12, 18, -1}, {12, 18, -1}},
		{"7it", {0, 7, 14, 18, -1}, {7, 14, 18, -1}},
		{"1000it", {0, 18, -1}, {18, -1}},
		{"1it", {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, -1}, {6, 12, 18, -1}},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cop_train_config c = config(cases[i].every);
		struct cop_trainer t;
		struct told told = {0};
		begin(&t, &c);
		t.epoch_ended = note;
		t.user = &told;
		/* a stop on the way, as at a checkpoint, makes no row */
		run_to(&t, 5);
		run_to(&t, t.total_steps);
		size_t n = 0;
		for (; cases[i].row[n] >= 0 && n < 20; n++) {
			assert_true(n < t.history.n);
			const double *row = t.history.row[n];
			assert_true(row[COP_HISTORY_STEP] == (double)cases[i].row[n]);
			assert_true(row[COP_HISTORY_EPOCH] == (double)cases[i].row[n] / PER_EPOCH);
			assert_true(isfinite(row[COP_HISTORY_VAL_LOSS]) && row[COP_HISTORY_VAL_TOP1] <= 1);
			assert_true(n == 0 ? isnan(row[COP_HISTORY_TRAIN_LOSS]) : row[COP_HISTORY_TRAIN_LOSS] > 0);
		}
		assert_int_equal(t.history.n, n);
		assert_int_equal(cop_validations(t.schedule.validate_every, 0, t.total_steps), n - 1);
		for (n = 0; cases[i].told[n] >= 0; n++)
			assert_int_equal(told.step[n], cases[i].told[n]);
		assert_int_equal(told.n, n);
		cop_trainer_release(&t);
	}
}

/* From a step on: none before it, one of the state there. */
static void test_counting(void **state)
{
	(void)state;
	assert_int_equal(cop_validations(6, 0, 18), 3);
	assert_int_equal(cop_validations(6, 5, 18), 3);
	assert_int_equal(cop_validations(6, 6, 18), 2);
	assert_int_equal(cop_validations(6, 18, 18), 0);
	assert_int_equal(cop_validations(4, 17, 18), 1);
	assert_int_equal(cop_validations(4, 18, 18), 0);
	assert_int_equal(cop_validations(40, 0, 18), 1);
	assert_int_equal(cop_validations(4, 0, 0), 0);
}

static void test_bad_points(void **state)
{
	(void)state;
	const char *const bad[] = {"0ep", "0it", "0.01ep", "1", "soon", "-1it", ""};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct cop_train_config c = config(bad[i]);
		struct cop_schedule s;
		struct cop_err err = {0};
		char quoted[40];
		if (cop_schedule_init(&s, &c, PER_EPOCH, &err) != COP_EINPUT)
			fail_msg("'%s' was taken", bad[i]);
		snprintf(quoted, sizeof(quoted), "'%s'", bad[i]);
		assert_non_null(strstr(err.msg, "'train.validate_every'"));
		assert_non_null(strstr(err.msg, quoted));
	}
}

static bool same_weights(const struct cop_trainer *a, const struct cop_trainer *b)
{
	size_t bytes = a->net.graph.params.total * sizeof(float);
	return a->step == b->step && memcmp(a->param, b->param, bytes) == 0 &&
	       memcmp(a->slot[0], b->slot[0], bytes) == 0;
}

/* All columns but the seconds. */
static bool same_rows(const struct cop_trainer *a, const struct cop_trainer *b)
{
	bool same = a->history.n == b->history.n;
	for (size_t i = 0; i < a->history.n && same; i++)
		same = memcmp(a->history.row[i], b->history.row[i], COP_HISTORY_SECONDS * sizeof(double)) == 0;
	return same;
}

/* A row's training figures are means over the steps since the row before; looking changes no weight. */
static void test_means(void **state)
{
	(void)state;
	struct cop_train_config each = config("1it"), some = config("4it");
	struct cop_trainer a, b;
	begin(&a, &each);
	begin(&b, &some);
	run_to(&a, a.total_steps);
	run_to(&b, b.total_steps);
	assert_true(same_weights(&a, &b));
	for (size_t i = 1; i < b.history.n; i++) {
		const double *before = b.history.row[i - 1], *row = b.history.row[i];
		double loss = 0, top1 = 0, n = row[COP_HISTORY_STEP] - before[COP_HISTORY_STEP];
		for (size_t k = (size_t)before[COP_HISTORY_STEP] + 1; k <= (size_t)row[COP_HISTORY_STEP]; k++) {
			loss += a.history.row[k][COP_HISTORY_TRAIN_LOSS] / n;
			top1 += a.history.row[k][COP_HISTORY_TRAIN_TOP1] / n;
		}
		assert_true(fabs(row[COP_HISTORY_TRAIN_LOSS] - loss) < 1e-12 * loss);
		assert_true(fabs(row[COP_HISTORY_TRAIN_TOP1] - top1) < 1e-12);
		const double *same = a.history.row[(size_t)row[COP_HISTORY_STEP]];
		assert_true(row[COP_HISTORY_VAL_LOSS] == same[COP_HISTORY_VAL_LOSS]);
		assert_true(row[COP_HISTORY_VAL_TOP1] == same[COP_HISTORY_VAL_TOP1]);
	}
	cop_trainer_release(&a);
	cop_trainer_release(&b);
}

/* The test split is measured where the validation loss is a new minimum, with the weights of then, and nowhere else. */
static void test_testing(void **state)
{
	(void)state;
	struct cop_train_config c = config("1it");
	struct cop_trainer plain, t, there;
	size_t tested = 0;
	double least = INFINITY;
	c.lr = 0.6; /* so that the loss goes up and down */
	begin(&plain, &c);
	run_to(&plain, plain.total_steps);
	c.test_early_stop = true;
	begin(&t, &c);
	begin(&there, &c);
	run_to(&t, t.total_steps);
	assert_true(same_weights(&plain, &t) && same_rows(&plain, &t));
	for (size_t i = 0; i < t.history.n; i++) {
		const double *row = t.history.row[i];
		assert_true(isnan(plain.history.row[i][COP_HISTORY_TEST_TOP1]));
		bool lower = row[COP_HISTORY_VAL_LOSS] < least;
		least = lower ? row[COP_HISTORY_VAL_LOSS] : least;
		assert_true(lower == !isnan(row[COP_HISTORY_TEST_TOP1]));
		if (!lower)
			continue;
		struct cop_measure m;
		struct cop_err err = {0};
		run_to(&there, (int64_t)row[COP_HISTORY_STEP]);
		assert_int_equal(cop_trainer_measure(&there, &digits.data.test, &m, &err), 0);
		assert_true(m.top1 == row[COP_HISTORY_TEST_TOP1]);
		tested++;
	}
	assert_true(tested > 2 && tested < t.history.n - 2);
	struct cop_early_stop stop = cop_history_early_stop(&t.history);
	assert_true(stop.val_loss == least && isfinite(stop.test_top1) && stop.step > 0);
	cop_trainer_release(&plain);
	cop_trainer_release(&t);
	cop_trainer_release(&there);
}

/* Saved at every step in turn and taken up by another trainer: the same rows and bits. */
static void test_resuming(void **state)
{
	(void)state;
	struct cop_train_config c = config("4it");
	c.test_early_stop = true;
	struct cop_trainer whole;
	begin(&whole, &c);
	run_to(&whole, whole.total_steps);
	for (int64_t at = 1; at < whole.total_steps; at++) {
		struct cop_trainer first, second;
		struct cop_err err = {0};
		bool found = false;
		begin(&first, &c);
		begin(&second, &c);
		first.progress_path = second.progress_path = digits.progress;
		first.checkpoint_seconds = second.checkpoint_seconds = 1e9;
		run_to(&first, at);
		assert_int_equal(cop_trainer_save(&first, &err), 0);
		cop_trainer_release(&first);
		cop_trainer_resume(&second, &found);
		assert_true(found);
		run_to(&second, second.total_steps);
		if (!same_weights(&whole, &second) || !same_rows(&whole, &second))
			fail_msg("taken up at step %d the result differs", (int)at);
		for (size_t i = 0; i < whole.history.n; i++)
			assert_memory_equal(&whole.history.row[i][COP_HISTORY_TEST_TOP1],
					    &second.history.row[i][COP_HISTORY_TEST_TOP1], sizeof(double));
		cop_trainer_release(&second);
	}
	cop_trainer_release(&whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_where_rows_are), cmocka_unit_test(test_counting),
		cmocka_unit_test(test_bad_points),     cmocka_unit_test(test_means),
		cmocka_unit_test(test_testing),        cmocka_unit_test(test_resuming),
	};
	cop_cpu_set_threads(2);
	return cmocka_run_group_tests(tests, make_data, remove_data);
}
