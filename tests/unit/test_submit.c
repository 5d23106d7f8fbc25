/* What is submitted together, and the lock that lets one at a time submit. */
#include "base/file.h"
#include "base/mem.h"
#include "sweep/ledger.h"
#include "sweep/lock.h"
#include "sweep/series.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* A grid of `chains` reset points in `rounds` rounds, numbered as planned: the rounds of a reset point lie apart. */
static struct cop_run grid(size_t chains, size_t rounds)
{
	struct cop_run r = {.ncells = chains * rounds};
	r.cell = cop_xcalloc(r.ncells, sizeof(*r.cell));
	r.experiment.sweep.rounds = (int64_t)rounds;
	for (size_t i = 0; i < r.ncells; i++)
		r.cell[i] = (struct cop_point){.index = (int64_t)i,
					       .round = (int64_t)(i / chains) + 1,
					       .same_as = -1,
					       .before = i < chains ? -1 : (int64_t)(i - chains)};
	return r;
}

static void make(const struct cop_run *r, const bool *wanted, const struct cop_wait *wait, struct cop_series **s,
		 size_t *n)
{
	struct cop_wait *none = cop_xcalloc(r->ncells, sizeof(*none));
	cop_series_make(r, wanted, wait ? wait : none, s, n);
	free(none);
}

static void expect_cells(const struct cop_series *s, size_t rounds, size_t chains, const int64_t *cell)
{
	assert_int_equal(s->arrays, rounds);
	assert_int_equal(s->chains, chains);
	assert_memory_equal(s->cell, cell, rounds * chains * sizeof(*cell));
}

static void test_one_array(void **state)
{
	(void)state;
	struct cop_run r = grid(300, 1);
	bool wanted[300];
	struct cop_series *s;
	size_t n;
	for (int i = 0; i < 300; i++)
		wanted[i] = i % 3 != 0;
	make(&r, wanted, NULL, &s, &n);
	assert_int_equal(n, 1);
	assert_int_equal(s->chains, 200);
	for (int64_t k = 0; k < 200; k++)
		assert_int_equal(s->cell[k], k / 2 * 3 + k % 2 + 1);
	cop_series_free(s, n);
	free(r.cell);
}

static void test_rounds(void **state)
{
	(void)state;
	struct cop_run r = grid(3, 3);
	bool wanted[9] = {true, true, true, true, true, true, true, true, true};
	struct cop_series *s;
	size_t n;
	make(&r, wanted, NULL, &s, &n);
	assert_int_equal(n, 1);
	expect_cells(s, 3, 3, (int64_t[]){0, 1, 2, 3, 4, 5, 6, 7, 8});
	cop_series_free(s, n);
	/* of the middle reset point the first round is done, of the last all but the last round */
	wanted[1] = wanted[2] = wanted[5] = false;
	make(&r, wanted, NULL, &s, &n);
	assert_int_equal(n, 3);
	expect_cells(&s[0], 3, 1, (int64_t[]){0, 3, 6});
	expect_cells(&s[1], 2, 1, (int64_t[]){4, 7});
	expect_cells(&s[2], 1, 1, (int64_t[]){8});
	cop_series_free(s, n);
	free(r.cell);
}

static void test_copies(void **state)
{
	(void)state;
	struct cop_run r = grid(2, 2);
	bool wanted[4] = {true, false, true, true};
	struct cop_series *s;
	size_t n;
	/* cell 1 is cell 0's copy: what follows it follows cell 0, which has a follower already */
	r.cell[1].same_as = 0;
	assert_int_equal(cop_cell_before(&r, 3), 0);
	make(&r, wanted, NULL, &s, &n);
	assert_int_equal(n, 1);
	expect_cells(s, 3, 1, (int64_t[]){0, 2, 3});
	assert_memory_equal(s->after, ((int[]){-1, 0, 0}), 3 * sizeof(int));
	cop_series_free(s, n);
	free(r.cell);
}

/* Two chains of three rounds, and from the second round on a control each: cells 6 to 9. */
static void test_controls(void **state)
{
	(void)state;
	struct cop_run r = {.ncells = 10};
	struct cop_point cell[10];
	bool wanted[10];
	struct cop_series *s;
	size_t n;
	static const int64_t before[10] = {-1, -1, 0, 1, 2, 3, 0, 1, 2, 3};
	for (int64_t i = 0; i < 10; i++) {
		cell[i] = (struct cop_point){.index = i, .same_as = -1, .before = before[i]};
		wanted[i] = true;
	}
	r.cell = cell;
	make(&r, wanted, NULL, &s, &n);
	assert_int_equal(n, 1);
	expect_cells(s, 5, 2, (int64_t[]){0, 1, 2, 3, 4, 5, 8, 9, 6, 7});
	assert_memory_equal(s->after, ((int[]){-1, 0, 1, 1, 0}), 5 * sizeof(int));
	cop_series_free(s, n);
	/* chains of other shapes do not share arrays: of the second one a control is done */
	wanted[7] = false;
	make(&r, wanted, NULL, &s, &n);
	assert_int_equal(n, 2);
	expect_cells(&s[0], 5, 1, (int64_t[]){0, 2, 4, 8, 6});
	expect_cells(&s[1], 4, 1, (int64_t[]){1, 3, 5, 9});
	cop_series_free(s, n);
	/* a chain whose rounds are done leaves its controls alone */
	for (int64_t i = 0; i < 6; i++)
		wanted[i] = false;
	make(&r, wanted, NULL, &s, &n);
	assert_int_equal(n, 1);
	expect_cells(s, 1, 3, (int64_t[]){6, 8, 9});
	cop_series_free(s, n);
}

static void test_waits(void **state)
{
	(void)state;
	struct cop_run r = grid(6, 1);
	bool wanted[6] = {true, true, true, true, true, true};
	struct cop_wait wait[6] = {{.dense = -1},
				   {.needed = true, .dense = 0},
				   {.needed = true, .dense = 1},
				   {.needed = true, .dense = 0},
				   {.dense = -1},
				   {.needed = true, .dense = -1, .job = "12"}};
	struct cop_series *s;
	size_t n;
	make(&r, wanted, wait, &s, &n);
	assert_int_equal(n, 4);
	expect_cells(&s[0], 1, 2, (int64_t[]){0, 4});
	expect_cells(&s[1], 1, 2, (int64_t[]){1, 3});
	expect_cells(&s[2], 1, 1, (int64_t[]){2});
	expect_cells(&s[3], 1, 1, (int64_t[]){5});
	assert_string_equal(s[3].wait.job, "12");
	cop_series_free(s, n);
	free(r.cell);
}

static char *folder(void)
{
	char *path = cop_xstrdup("/tmp/coppice-lock.XXXXXX");
	assert_non_null(mkdtemp(path));
	return path;
}

static void remove_folder(char *run)
{
	static const char *const names[] = {"/jobs/lock", "/jobs", ""};
	for (int i = 0; i < 3; i++) {
		char *path = cop_xasprintf("%s%s", run, names[i]);
		assert_int_equal(remove(path), 0);
		free(path);
	}
	free(run);
}

/* 0 if another process gets the lock and gives it back, 1 if it is refused. */
static int elsewhere(const char *run)
{
	int status;
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		struct cop_lock l;
		struct cop_err err = {0};
		int rc = cop_lock_take(&l, run, &err);
		if (!rc)
			cop_lock_give(&l);
		_exit(!rc ? 0 : strstr(err.msg, "somebody else") ? 1 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_lock(void **state)
{
	(void)state;
	char *run = folder();
	struct cop_lock l;
	struct cop_err err = {0};
	assert_int_equal(cop_lock_take(&l, run, &err), 0);
	assert_int_equal(elsewhere(run), 1);
	cop_lock_give(&l);
	assert_int_equal(elsewhere(run), 0);
	cop_lock_give(&l); /* twice does no harm */
	remove_folder(run);
}

static void test_lock_of_a_killed_process(void **state)
{
	(void)state;
	char *run = folder();
	struct cop_err err = {0};
	int status;
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		struct cop_lock l;
		_exit(cop_lock_take(&l, run, &err));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(elsewhere(run), 0);
	remove_folder(run);
}

static void test_holder(void **state)
{
	(void)state;
	char *run = folder(), me[64];
	struct cop_lock l, second;
	struct cop_err err = {0};
	assert_int_equal(cop_lock_take(&l, run, &err), 0);
	snprintf(me, sizeof(me), "just now: process %ld of '", (long)getpid());
	assert_int_equal(cop_lock_wait(&second, run, 0, &err), COP_EFAILED);
	assert_non_null(strstr(err.msg, run));
	assert_non_null(strstr(err.msg, me));
	cop_lock_give(&l);
	remove_folder(run);
}

/* "ROLE ID LIST OFFSET COUNT PER_TASK TASKS" of a job with 3 tasks and this command, in a grid of 20 cells. */
static void check_found(const char *command, const char *expected)
{
	struct cop_run run = {.ncells = 20};
	run.experiment.slurm.cells_per_task = 4;
	char *copy = cop_xstrdup(command), text[256] = "";
	struct cop_found found = {.job = "12", .command = copy};
	struct cop_submitted s;
	if (cop_submitted_found(&run, &found, 3, &s))
		snprintf(text, sizeof(text), "%s %s '%s' %d %d %d %d", s.role, s.id, s.list, (int)s.offset,
			 (int)s.count, (int)s.per_task, (int)s.tasks);
	assert_string_equal(text, expected);
	assert_string_equal(copy, command);
	free(copy);
}

static void test_found(void **state)
{
	(void)state;
	check_found("dense.sbatch", "dense 12 '' 0 3 1 3");
	check_found("dense.sbatch /a b/jobs/dense-0000.list", "dense 12 'dense-0000.list' 0 3 1 3");
	check_found("cells.sbatch", "cells 12 '' 0 20 0 3");
	check_found("cells.sbatch  0 20 1", "cells 12 '' 0 20 1 3");
	check_found("cells.sbatch /a b/jobs/cells-0001.list 5 7 2", "cells 12 'cells-0001.list' 5 7 2 3");
	check_found("cells.sbatch cells-0001.list", "cells 12 'cells-0001.list' 0 20 0 3");
	check_found("cells.sbatch  0 20 0", "cells 12 '' 0 20 0 3");
	check_found("collect.sbatch", "collect 12 '' 0 20 1 3");
	check_found("next.sbatch", "next 12 '' 0 20 1 3");
	check_found("cells.sbatch.old", "");
	check_found("mine.sh cells.sbatch", "");
	check_found("", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_array),
		cmocka_unit_test(test_rounds),
		cmocka_unit_test(test_controls),
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_waits),
		cmocka_unit_test(test_lock),
		cmocka_unit_test(test_lock_of_a_killed_process),
		cmocka_unit_test(test_holder),
		cmocka_unit_test(test_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
