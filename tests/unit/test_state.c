/* The ledger's files: what is written is read, who owns work, and how often it failed in the same way. */
#include "sweep/state.h"

#include "base/file.h"
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PATH "state.json"

static void set_job(const char *array, const char *task)
{
	if (array) {
		setenv("SLURM_ARRAY_JOB_ID", array, 1);
		setenv("SLURM_ARRAY_TASK_ID", task, 1);
	} else {
		unsetenv("SLURM_ARRAY_JOB_ID");
		unsetenv("SLURM_ARRAY_TASK_ID");
		unsetenv("SLURM_JOB_ID");
	}
}

static int fresh(void **state)
{
	(void)state;
	cop_remove(PATH);
	set_job(NULL, NULL);
	return 0;
}

static void save(const struct cop_state *s)
{
	struct cop_err err = {0};
	assert_int_equal(cop_state_write(PATH, s, &err), 0);
}

/* An attempt that fails with `why`; NULL: one that is asked to stop. Returns the failures in a row. */
static int64_t attempt(const char *why)
{
	struct cop_state s;
	cop_state_begin(PATH, &s);
	save(&s);
	if (why)
		cop_state_fail(&s, 2, why);
	else
		s.state = COP_WORK_STOPPED;
	save(&s);
	cop_state_read(PATH, &s);
	return s.failures;
}

static void test_what_is_written_is_read(void **state)
{
	(void)state;
	struct cop_state a = {.state = COP_WORK_FAILED,
			      .attempts = 7,
			      .failures = 3,
			      .code = 2,
			      .failure = "it \"broke\"",
			      .host = "n1",
			      .job = "12_3",
			      .pid = 4711,
			      .started = INT64_C(1) << 40,
			      .began = 1763650000.0625,
			      .step = 17,
			      .total = 900,
			      .speed = 1234.5,
			      .error = "it broke"};
	struct cop_state b;
	double before = cop_clock();
	save(&a);
	cop_state_read(PATH, &b);
	assert_true(b.updated >= before && b.updated <= cop_clock());
	assert_int_equal(b.state, a.state);
	assert_int_equal(b.attempts, a.attempts);
	assert_int_equal(b.failures, a.failures);
	assert_int_equal(b.code, a.code);
	assert_string_equal(b.failure, a.failure);
	assert_string_equal(b.job, a.job);
	assert_true(cop_state_same_owner(&a, &b));
	assert_true(b.began == a.began);
	assert_int_equal(b.step, a.step);
	assert_int_equal(b.total, a.total);
	assert_true(b.speed == a.speed);
	assert_string_equal(b.error, a.error);
	cop_state_read("nowhere.json", &b);
	assert_int_equal(b.state, COP_WORK_NONE);
}

static void test_beginning(void **state)
{
	(void)state;
	struct cop_state a, b;
	set_job("12", "3");
	double before = cop_clock();
	cop_state_begin(PATH, &a);
	assert_int_equal(a.attempts, 1);
	assert_int_equal(a.pid, getpid());
	assert_string_equal(a.job, "12_3");
	assert_true(a.began >= before && a.began <= cop_clock());
	save(&a);
	cop_state_begin(PATH, &b);
	assert_int_equal(b.attempts, 2);
	assert_true(b.began == a.began);
	assert_true(cop_state_same_owner(&a, &b));
	b.started++;
	assert_false(cop_state_same_owner(&a, &b));
	b = a;
	strcpy(b.host, "elsewhere");
	assert_false(cop_state_same_owner(&a, &b));
	assert_false(cop_state_of_process(&b, getpid()));
	assert_true(cop_state_of_process(&a, getpid()));
}

static void test_failures_in_a_row(void **state)
{
	(void)state;
	assert_int_equal(attempt("no room"), 1);
	assert_int_equal(attempt("no room"), 2);
	assert_int_equal(attempt(NULL), 2);
	assert_int_equal(attempt("no room"), 3);
	assert_int_equal(attempt("no rights"), 1);
	assert_int_equal(attempt(NULL), 1);
	assert_int_equal(attempt("no room"), 1);
	char longer[900];
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(attempt(longer), 1);
	assert_int_equal(attempt(longer), 2);
}

static void test_given_up_within_one_job(void **state)
{
	(void)state;
	struct cop_state s;
	set_job("12", "3");
	attempt("no room");
	attempt("no room");
	cop_state_read(PATH, &s);
	assert_int_equal(s.code, 2);
	assert_false(cop_state_given_up(&s, 3));
	assert_true(cop_state_given_up(&s, 2));
	set_job("12", "4");
	assert_true(cop_state_given_up(&s, 2));
	set_job("120", "3");
	assert_false(cop_state_given_up(&s, 2));
	set_job("1", "3");
	assert_false(cop_state_given_up(&s, 2));
	assert_int_equal(attempt("no room"), 1);
	set_job(NULL, NULL);
	assert_int_equal(attempt("no room"), 1);
	assert_int_equal(attempt("no room"), 2);
	/* by hand it is tried whenever somebody says so */
	cop_state_read(PATH, &s);
	assert_false(cop_state_given_up(&s, 2));
	set_job("12", "3");
	attempt("no room");
	attempt("no room");
	attempt(NULL);
	cop_state_read(PATH, &s);
	assert_false(cop_state_given_up(&s, 2));
}

/* A process that has ended, by its number; it took the work up before where `begins`. */
static pid_t dead(bool begins)
{
	pid_t pid = fork();
	if (pid == 0) {
		struct cop_state s;
		cop_state_begin(PATH, &s);
		_exit(begins ? cop_state_write(PATH, &s, NULL) != 0 : 0);
	}
	int status = 1;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return pid;
}

static void test_deaths_are_noted(void **state)
{
	(void)state;
	struct cop_state s;
	struct cop_err err = {0};
	bool noted, known;
	set_job("12", "3");
	for (int64_t i = 1; i <= 3; i++) {
		/* the second dies before it can say that it began */
		pid_t pid = dead(i != 2);
		assert_int_equal(cop_state_note_death(PATH, pid, 1, "ended by signal 6", &s, &noted, &err), 0);
		assert_true(noted);
		cop_state_read(PATH, &s);
		assert_int_equal(s.state, COP_WORK_FAILED);
		assert_int_equal(s.attempts, i);
		assert_int_equal(s.failures, i);
		assert_int_equal(s.pid, pid);
		assert_string_equal(s.error, "ended by signal 6");
		assert_false(cop_state_alive(&s, &known));
	}
}

static void test_deaths_leave_other_owners_alone(void **state)
{
	(void)state;
	struct cop_state s, there;
	struct cop_err err = {0};
	bool noted;
	pid_t pid = dead(false);
	cop_state_begin(PATH, &s);
	save(&s);
	assert_int_equal(cop_state_note_death(PATH, pid, 1, "gone", &s, &noted, &err), 0);
	assert_false(noted);
	cop_state_read(PATH, &there);
	assert_int_equal(there.state, COP_WORK_RUNNING);
	assert_int_equal(there.pid, getpid());
	/* of one on another host nobody here knows whether it lives */
	strcpy(s.host, "elsewhere");
	s.pid = 1;
	save(&s);
	assert_int_equal(cop_state_note_death(PATH, pid, 1, "gone", &s, &noted, &err), 0);
	assert_false(noted);
	/* one that was killed with nobody to note it stands in nobody's way */
	pid_t older = dead(true);
	assert_int_equal(cop_state_note_death(PATH, pid, 1, "gone", &s, &noted, &err), 0);
	assert_true(noted);
	assert_int_not_equal(s.pid, older);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_what_is_written_is_read, fresh),
		cmocka_unit_test_setup(test_beginning, fresh),
		cmocka_unit_test_setup(test_failures_in_a_row, fresh),
		cmocka_unit_test_setup(test_given_up_within_one_job, fresh),
		cmocka_unit_test_setup(test_deaths_are_noted, fresh),
		cmocka_unit_test_setup(test_deaths_leave_other_owners_alone, fresh),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
