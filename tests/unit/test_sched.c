/* The table of schedulers, the printed commands, and what is read from scripts and from the queue. */
#include "sched/args.h"
#include "sched/sched.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_unknown_schedulers(void **state)
{
	(void)state;
	const struct cop_scheduler *s = NULL;
	struct cop_err err = {0};
	assert_int_equal(cop_scheduler_find("lokal", &s, &err), COP_EINPUT);
	assert_string_equal(err.msg,
			    "'lokal' is no scheduler (did you mean 'local'?); there are local, print and slurm");
	assert_int_equal(cop_scheduler_find("kubernetes", &s, &err), COP_EINPUT);
	assert_string_equal(err.msg, "'kubernetes' is no scheduler; there are local, print and slurm");
	assert_null(s);
}

static void test_printed_commands(void **state)
{
	(void)state;
	const struct cop_scheduler *s = NULL;
	struct cop_err err = {0};
	char *text = NULL, dense[COP_JOB_ID], cells[COP_JOB_ID], more[COP_JOB_ID], collect[COP_JOB_ID];
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	const char *args[] = {"/home/o'neil/list 1.txt", "$HOME", NULL};
	struct cop_job job = {
		.name = "toy.dense", .script = "/run/jobs/dense.sbatch", .tasks = 2, .folder = "/home/a b"};

	cop_print_set_output(out);
	assert_int_equal(cop_scheduler_find("print", &s, &err), 0);
	assert_int_equal(s->submit(&job, dense, &err), 0);
	job = (struct cop_job){.name = "toy.cells",
			       .script = "/run/jobs/cells.sbatch",
			       .args = args,
			       .tasks = 20,
			       .at_once = 5,
			       .after = dense,
			       .after_ok = true};
	assert_int_equal(s->submit(&job, cells, &err), 0);
	job.args = NULL;
	assert_int_equal(s->submit(&job, more, &err), 0);
	char both[2 * COP_JOB_ID];
	snprintf(both, sizeof(both), "%s:%s", cells, more);
	job = (struct cop_job){.name = "toy.7-up", .script = "collect.sbatch", .after = both};
	assert_int_equal(s->submit(&job, collect, &err), 0);
	cop_print_set_output(NULL);
	fclose(out);
	assert_string_equal(
		text, "dense=$(sbatch --parsable --job-name=toy.dense '--chdir=/home/a b' --array=0-1 "
		      "/run/jobs/dense.sbatch)\n"
		      "cells=$(sbatch --parsable --job-name=toy.cells --array=0-19%5 --dependency=afterok:$dense "
		      "--kill-on-invalid-dep=yes /run/jobs/cells.sbatch '/home/o'\\''neil/list 1.txt' '$HOME')\n"
		      "cells2=$(sbatch --parsable --job-name=toy.cells --array=0-19%5 --dependency=afterok:$dense "
		      "--kill-on-invalid-dep=yes /run/jobs/cells.sbatch)\n"
		      "job=$(sbatch --parsable --job-name=toy.7-up --dependency=afterany:$cells:$cells2 "
		      "collect.sbatch)\n");
	assert_string_equal(collect, "$job");
	free(text);
	assert_int_equal(s->submit(&job, collect, &err), 0); /* into nothing */
}

static void test_printing_into_a_full_disk(void **state)
{
	(void)state;
	const struct cop_scheduler *s = NULL;
	struct cop_err err = {0};
	char id[COP_JOB_ID];
	FILE *out = fopen("/dev/full", "w");
	struct cop_job job = {.name = "toy.dense", .script = "dense.sbatch"};
	assert_non_null(out);
	setbuf(out, NULL);
	cop_print_set_output(out);
	assert_int_equal(cop_scheduler_find("print", &s, &err), 0);
	assert_int_equal(s->submit(&job, id, &err), COP_EFAILED);
	assert_string_equal(err.msg, "cannot print the command for job 'dense': No space left on device");
	cop_print_set_output(NULL);
	fclose(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unknown_schedulers),
		cmocka_unit_test(test_printed_commands),
		cmocka_unit_test(test_printing_into_a_full_disk),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
