/* How many threads are worth having: a simulated machine on which other programs come and go. */
#include "compute/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Steps that take `alone` on one thread; busy: each further thread makes waiting longer. Returns the mean step. */
static double run(struct cop_pace *p, int steps, double alone, bool busy)
{
	double all = 0;
	int threads = p->threads;
	for (int i = 0; i < steps; i++) {
		double took = busy ? alone * (1 + 20.0 * (threads - 1)) : alone / threads;
		all += took;
		threads = cop_pace_step(p, took);
	}
	return all / steps;
}

static void test_quiet_machine_keeps_all(void **state)
{
	(void)state;
	struct cop_pace p;
	cop_pace_init(&p, 8);
	double mean = run(&p, 200000, 1e-3, false);
	assert_int_equal(p.before ? p.before : p.threads, 8);
	/* trying costs at most three parts in a hundred */
	assert_true(mean < 1.03 * 1e-3 / 8);
}

static void test_busy_machine_goes_down_and_comes_back(void **state)
{
	(void)state;
	struct cop_pace p;
	cop_pace_init(&p, 8);
	run(&p, 50000, 1e-3, false);
	run(&p, 500, 1e-3, true);
	double busy = run(&p, 20000, 1e-3, true);
	assert_int_equal(p.before ? p.before : p.threads, 1);
	/* all threads would take 141 times as long */
	assert_true(busy < 1.5 * 1e-3);
	run(&p, 20000, 1e-3, false);
	double quiet = run(&p, 100000, 1e-3, false);
	assert_int_equal(p.before ? p.before : p.threads, 8);
	assert_true(quiet < 1.05 * 1e-3 / 8);
}

static void test_one_thread_is_left_alone(void **state)
{
	(void)state;
	struct cop_pace p;
	cop_pace_init(&p, 1);
	run(&p, 1000, 1e-3, true);
	assert_int_equal(p.threads, 1);
	assert_int_equal(p.before, 0);
}

/* A step as long as a large network's: a try is one step, and still rare. */
static void test_long_steps(void **state)
{
	(void)state;
	struct cop_pace p;
	cop_pace_init(&p, 2);
	double mean = run(&p, 2000, 1.0, false);
	assert_true(mean < 1.04 * 0.5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quiet_machine_keeps_all),
		cmocka_unit_test(test_busy_machine_goes_down_and_comes_back),
		cmocka_unit_test(test_one_thread_is_left_alone),
		cmocka_unit_test(test_long_steps),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
