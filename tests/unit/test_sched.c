/* The table of schedulers, the printed commands, and what is read from scripts and from the queue. */
#include "base/file.h"
#include "sched/args.h"
#include "sched/child.h"
#include "sched/environment.h"
#include "sched/queue.h"
#include "sched/sched.h"
#include "sched/script.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
			       .after_ok = dense};
	assert_int_equal(s->submit(&job, cells, &err), 0);
	job.args = NULL;
	assert_int_equal(s->submit(&job, more, &err), 0);
	char both[2 * COP_JOB_ID];
	snprintf(both, sizeof(both), "%s:%s", cells, more);
	job = (struct cop_job){.name = "toy.7-up", .script = "collect.sbatch", .after_any = both};
	assert_int_equal(s->submit(&job, collect, &err), 0);
	cop_print_set_output(NULL);
	fclose(out);
	assert_string_equal(
		text, "dense=$(sbatch --parsable --job-name=toy.dense '--chdir=/home/a b' --array=0-1 "
		      "/run/jobs/dense.sbatch)\n"
		      "cells=$(sbatch --parsable --job-name=toy.cells --array=0-19%5 --dependency=afterok:${dense} "
		      "--kill-on-invalid-dep=yes /run/jobs/cells.sbatch '/home/o'\\''neil/list 1.txt' '$HOME')\n"
		      "cells2=$(sbatch --parsable --job-name=toy.cells --array=0-19%5 --dependency=afterok:${dense} "
		      "--kill-on-invalid-dep=yes /run/jobs/cells.sbatch)\n"
		      "job=$(sbatch --parsable --job-name=toy.7-up --dependency=afterany:${cells}:${cells2} "
		      "collect.sbatch)\n");
	assert_string_equal(collect, "${job}");
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

static void test_a_whole_script(void **state)
{
	(void)state;
	struct cop_script s;
	cop_script_parse("#!/bin/bash\n"
			 "# a remark\n"
			 "#SBATCH --job-name=toy.cells -p short   # and why\n"
			 "#SBATCH --array=0-19%5\n"
			 "#SBATCH --time=02:00:00\n"
			 "\n"
			 "#SBATCH -c4 --mem=8G --gres=gpu:h200:1\n"
			 "#SBATCH --output=\"/home/a b/logs/%x-%A_%a.out\" --open-mode append\n"
			 "#SBATCH --requeue\n"
			 "#SBATCH --signal=B:USR1@120\n"
			 "#SBATCH --account='it\\'s mine' -C h200\\ b\n"
			 "echo run\n"
			 "#SBATCH --nodes=7\n",
			 &s);
	assert_null(s.unknown);
	assert_string_equal(s.name, "toy.cells");
	assert_string_equal(s.partition, "short");
	assert_string_equal(s.array, "0-19%5");
	assert_string_equal(s.gres, "gpu:h200:1");
	assert_string_equal(s.output, "/home/a b/logs/%x-%A_%a.out");
	assert_string_equal(s.account, "it's mine");
	assert_string_equal(s.constraint, "h200 b");
	assert_int_equal(s.minutes, 120);
	assert_int_equal(s.cpus, 4);
	assert_int_equal(s.mem_node, 8192);
	assert_int_equal(s.mem_cpu, -1);
	assert_int_equal(s.append, 1);
	assert_int_equal(s.requeue, 1);
	assert_int_equal(s.signal, SIGUSR1);
	assert_int_equal(s.signal_seconds, 120);
	assert_true(s.signal_batch);
	assert_null(s.gpus);
	assert_null(s.error);
	cop_script_release(&s);
}

/* The one option of a script, parsed; what is not understood must be named. */
static struct cop_script option(const char *words)
{
	struct cop_script s;
	char text[256];
	snprintf(text, sizeof(text), "#!/bin/sh\n#SBATCH %s\n", words);
	cop_script_parse(text, &s);
	return s;
}

static void test_times(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t minutes;
	} times[] = {
		{"90", 90},        {"90:00", 90},     {"0:01", 1},
		{"1:30:00", 90},   {"1:30:01", 91},   {"1-12", 36 * 60},
		{"1-12:30", 2190}, {"2-0:0:1", 2881}, {"unlimited", COP_TIME_UNLIMITED},
	};
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		char words[64];
		snprintf(words, sizeof(words), "--time=%s", times[i].text);
		struct cop_script s = option(words);
		assert_null(s.unknown);
		assert_int_equal(s.minutes, times[i].minutes);
		cop_script_release(&s);
	}
}

static void test_memory(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t mebibytes;
	} sizes[] = {{"8000", 8000}, {"8G", 8192}, {"300M", 300}, {"1t", 1048576}, {"1500K", 2}, {"0", 0}};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char words[64];
		snprintf(words, sizeof(words), "--mem-per-cpu %s", sizes[i].text);
		struct cop_script s = option(words);
		assert_null(s.unknown);
		assert_int_equal(s.mem_cpu, sizes[i].mebibytes);
		cop_script_release(&s);
	}
}

static void test_nothing_is_left_out_in_silence(void **state)
{
	(void)state;
	static const char *const words[] = {
		"--mail-type=END",
		"--nodes=2",
		"-n 4",
		"--exclusive",
		"--tim=5",
		"--time=1:2:3:4",
		"--time=soon",
		"--time=0",
		"--time=-5",
		"--time=99999999999999999999",
		"--time=1-2-3",
		"--mem=8GB",
		"--mem=1.5G",
		"--mem=",
		"--mem=-1",
		"--cpus-per-task=0",
		"--cpus-per-task=x",
		"-c",
		"--requeue=yes",
		"--open-mode=append2",
		"--signal=R:USR1",
		"--signal=FOO@60",
		"--signal=@60",
		"--signal=B:USR1@1h",
		"--signal=B:USR1@70000",
		"--gres=none",
		"--gres=",
		"--job-name=",
		"extra",
		"--",
		"--comment=a#b",
	};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		struct cop_script s = option(words[i]);
		if (!s.unknown)
			fail_msg("'%s' was taken for understood", words[i]);
		/* sbatch ends the line at the "#": what stands there is named */
		const char *named = strchr(words[i], '#') ? strchr(words[i], '#') : words[i];
		assert_int_equal(strncmp(s.unknown, named, strcspn(named, " ")), 0);
		cop_script_release(&s);
	}
	struct cop_script s;
	cop_script_parse("#!/bin/sh\n#PBS -l walltime=1:00:00\n", &s);
	assert_string_equal(s.unknown, "#PBS -l walltime=1:00:00");
	cop_script_release(&s);
}

static void test_signals(void **state)
{
	(void)state;
	struct cop_script s = option("--signal=SIGTERM");
	assert_null(s.unknown);
	assert_int_equal(s.signal, SIGTERM);
	assert_int_equal(s.signal_seconds, 60);
	assert_false(s.signal_batch);
	cop_script_release(&s);
	s = option("--signal=B:12@5 --no-requeue --open-mode=truncate");
	assert_null(s.unknown);
	assert_int_equal(s.signal, 12);
	assert_int_equal(s.signal_seconds, 5);
	assert_int_equal(s.requeue, 0);
	assert_int_equal(s.append, 0);
	cop_script_release(&s);
}

static void test_what_is_no_script(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t n;
		const char *message;
	} scripts[] = {{"echo\n", 5, "does not start with '#!'"},
		       {"", 0, "does not start with '#!'"},
		       {"#!/bin/sh\0x", 11, "contains a zero byte"},
		       {"#!/bin/sh\r\n", 11, "has DOS line ends"}};
	char path[] = "/tmp/coppice-test-sched.XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		struct cop_script s = {0};
		struct cop_err err = {0};
		assert_int_equal(cop_write_file(path, scripts[i].bytes, scripts[i].n, &err), 0);
		assert_int_equal(cop_script_read(path, &s, &err), COP_EINPUT);
		assert_non_null(strstr(err.msg, scripts[i].message));
		assert_non_null(strstr(err.msg, path));
	}
	unlink(path);
}

/* "JOB/TASK/phase/state/reason/node ..." of lines as squeue prints them, or the error. */
static char *tasks_of(const char *lines)
{
	struct cop_queue q = {0};
	struct cop_str text = {0};
	struct cop_err err = {0};
	char *copy = strdup(lines), *rest = copy;
	int rc = 0;
	for (char *line; !rc && (line = strsep(&rest, "\n"));)
		rc = cop_queue_add_line(&q, line, &err);
	for (size_t i = 0; !rc && i < q.answer.ntasks; i++) {
		const struct cop_task *t = &q.answer.task[i];
		cop_str_addf(&text, "%s%s/%d/%d/%s/%s/%s", i ? " " : "", t->job, (int)t->task, t->phase, t->state,
			     t->reason, t->node);
	}
	if (rc)
		cop_str_add(&text, err.msg);
	free(copy);
	cop_answer_release(&q.answer);
	return cop_str_take(&text);
}

static void check_tasks(const char *lines, const char *expected)
{
	char *text = tasks_of(lines);
	assert_string_equal(text, expected);
	free(text);
}

static void test_queue(void **state)
{
	(void)state;
	check_tasks("12|3|RUNNING|n1|None|/x/job.sh", "12/3/1/RUNNING//n1");
	check_tasks("12|N/A|PENDING||Dependency|/x/job.sh\n13|0-2%2|PENDING||JobArrayTaskLimit|/x/job.sh",
		    "12/-1/0/PENDING/Dependency/ 13/0/0/PENDING/JobArrayTaskLimit/ "
		    "13/1/0/PENDING/JobArrayTaskLimit/ 13/2/0/PENDING/JobArrayTaskLimit/");
	check_tasks("7|0,4-5,8-12:2|PENDING||DependencyNeverSatisfied|/x/job.sh",
		    "7/0/3/PENDING/DependencyNeverSatisfied/ 7/4/3/PENDING/DependencyNeverSatisfied/ "
		    "7/5/3/PENDING/DependencyNeverSatisfied/ 7/8/3/PENDING/DependencyNeverSatisfied/ "
		    "7/10/3/PENDING/DependencyNeverSatisfied/ 7/12/3/PENDING/DependencyNeverSatisfied/");
	/* KILL_INV_DEP: the reason stays, the wait is over */
	check_tasks("7|0-1|CANCELLED||DependencyNeverSatisfied|/x/job.sh",
		    "7/0/2/CANCELLED/DependencyNeverSatisfied/ 7/1/2/CANCELLED/DependencyNeverSatisfied/");
	check_tasks("7|0|NODE_FAIL|n[1-2]|a b|x|y", "7/0/2/NODE_FAIL/a b/n[1-2]");
	check_tasks("7|0|COMPLETING|n1|None|/x/job.sh", "7/0/1/COMPLETING//n1");
	check_tasks("7|0|TIMEOUT|n1|TimeLimit|/x/job.sh", "7/0/2/TIMEOUT/TimeLimit/n1");
}

static void test_bad_queue(void **state)
{
	(void)state;
	static const char *const lists[] = {"",         "x",    "1-",    "-1",  "5-2", "1,", "1,,2",
					    "1:",       "1-2:", "1-9:0", "1;2", "1 2", "%5", "99999999999999999999",
					    "0-4000001"};
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		char line[64], expected[128];
		snprintf(line, sizeof(line), "9|%s|PENDING||None|/x/job.sh", lists[i]);
		snprintf(expected, sizeof(expected), "SLURM names the tasks of job 9 as '%s', which is not understood",
			 lists[i]);
		check_tasks(line, expected);
	}
	check_tasks("9|1|PENDING", "cannot read '9' of squeue");
	check_tasks("0|1|PENDING||None|/x/job.sh", "cannot read job '0' of squeue");
	check_tasks("4294967296|1|PENDING||None|/x/job.sh", "cannot read job '4294967296' of squeue");
	check_tasks("x|1|PENDING||None|/x/job.sh", "cannot read job 'x' of squeue");
}

/* Of the whole queue a run wants its jobs by number, and those whose scripts lie in its folder. */
static void test_asking(void **state)
{
	(void)state;
	static const char *const lines[] = {"5|N/A|RUNNING|n1|None|/else/job.sh",
					    "6|0-1|COMPLETED||None|/else/job.sh",
					    "7|0-2|PENDING||DependencyNeverSatisfied|/tmp/jobs/cells.sbatch a 0 3 1",
					    "7|3|RUNNING|n2|None|/tmp/jobs/cells.sbatch a 0 3 1",
					    "8|0|COMPLETED||None|/tmp/jobs/cells.sbatch",
					    "9|N/A|PENDING||None|/tmp/jobs-too/cells.sbatch",
					    "10|N/A|PENDING||None|(null)",
					    "12|0|RUNNING|n1|None|/else/jobs/cells.sbatch",
					    "13|0|RUNNING|n1|None|/else/jobs/cells.sbatch",
					    "14|0|TIMEOUT|n1|None|/tmp/jobs/dense.sbatch",
					    "somebody's second line",
					    "11|N/A|RUNNING|n1|None|echo a|b"};
	const char *ids[] = {"6", "12", "14"};
	const struct cop_question question = {.ids = ids, .n = 3, .folder = "/tmp/jobs"};
	struct cop_queue q = {.question = &question};
	struct cop_err err = {0};
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		char *line = strdup(lines[i]);
		assert_int_equal(cop_queue_add_line(&q, line, &err), 0);
		free(line);
	}
	assert_int_equal(q.answer.ntasks, 8);
	assert_string_equal(q.answer.task[0].job, "6");
	assert_string_equal(q.answer.task[0].script, ""); /* a number that was asked for, and a stranger's script */
	assert_false(q.answer.task[0].alike);
	assert_string_equal(q.answer.task[2].script, "cells.sbatch");
	assert_string_equal(q.answer.task[2].job, "7");
	assert_int_equal(q.answer.task[2].phase, COP_PHASE_STUCK);
	assert_string_equal(q.answer.task[6].job, "12"); /* the number, but the script of another run */
	assert_string_equal(q.answer.task[6].script, "");
	assert_true(q.answer.task[6].alike);
	assert_string_equal(q.answer.task[7].script, "dense.sbatch");
	assert_int_equal(q.answer.nfound, 1);
	assert_string_equal(q.answer.found[0].job, "7");
	assert_string_equal(q.answer.found[0].command, "cells.sbatch a 0 3 1");
	cop_answer_release(&q.answer);
}

static void test_children(void **state)
{
	(void)state;
	char sh[] = "sh", c[] = "-c", text[] = "head -c 300000 /dev/zero | tr '\\0' x; echo \"$A\" >&2; exit 3";
	char variable[] = "A=b", path[] = "PATH=/usr/bin:/bin", missing[] = "no-such-program";
	char *argv[] = {sh, c, text, NULL}, *env[] = {variable, path, NULL}, *out, *errors;
	struct cop_err err = {0};
	int code = 0;
	assert_int_equal(cop_child_run(argv, env, &out, &errors, &code, &err), 0);
	assert_int_equal(code, 3);
	assert_int_equal(strlen(out), 300000);
	assert_string_equal(errors, "b\n");
	free(out);
	free(errors);
	argv[0] = missing;
	assert_int_equal(cop_child_run(argv, env, &out, &errors, &code, &err), COP_EMISSING);
	assert_string_equal(err.msg, "cannot run 'no-such-program': No such file or directory");
	assert_string_equal(out, "");
	free(out);
	free(errors);
}

static bool holds(const struct cop_args *env, const char *variable)
{
	for (size_t i = 0; i < env->n; i++)
		if (strcmp(env->v[i], variable) == 0)
			return true;
	return false;
}

static void test_environment(void **state)
{
	(void)state;
	struct cop_args env = {0};
	struct cop_script s = option("-c 3 --open-mode=append");
	setenv("SLURM_ARRAY_TASK_ID", "5", 1);
	setenv("SLURM_CONF", "/x/slurm.conf", 1);
	setenv("SQUEUE_STATES", "R", 1);
	unsetenv("SLURM_JOB_ID");
	cop_environment(&env);
	assert_true(holds(&env, "SLURM_ARRAY_TASK_ID=5")); /* not in a job: what the user has set */
	cop_args_release(&env);
	setenv("SLURM_JOB_ID", "77", 1);
	cop_environment_of_commands(&env);
	assert_false(holds(&env, "SQUEUE_STATES=R"));
	assert_false(holds(&env, "SLURM_JOB_ID=77"));
	assert_true(holds(&env, "SLURM_CONF=/x/slurm.conf"));
	cop_args_release(&env);
	cop_environment_of_job(&env, "toy.cells", &s);
	assert_false(holds(&env, "SLURM_ARRAY_TASK_ID=5"));
	assert_false(holds(&env, "SLURM_JOB_ID=77"));
	assert_true(holds(&env, "SQUEUE_STATES=R"));
	assert_true(holds(&env, "SLURM_JOB_NAME=toy.cells"));
	assert_true(holds(&env, "SLURM_CPUS_PER_TASK=3"));
	assert_true(holds(&env, "SLURM_OPEN_MODE=a"));
	cop_args_release(&env);
	assert_null(cop_environment_option());
	setenv("SBATCH_ACCOUNT", "x", 1);
	assert_string_equal(cop_environment_option(), "SBATCH_ACCOUNT=x");
	unsetenv("SBATCH_ACCOUNT");
	unsetenv("SLURM_JOB_ID");
	unsetenv("SLURM_CONF");
	unsetenv("SQUEUE_STATES");
	unsetenv("SLURM_ARRAY_TASK_ID");
	cop_script_release(&s);
}

/* Last: the way to SLURM is chosen once. */
static void test_no_slurm(void **state)
{
	(void)state;
	const struct cop_scheduler *s = NULL;
	struct cop_err err = {0};
	char how[64];
	setenv("SLURM_CONF", "/no/such/slurm.conf", 1);
	setenv("COPPICE_SLURM", "modul", 1);
	assert_int_equal(cop_scheduler_find("slurm", &s, &err), COP_EINPUT);
	assert_string_equal(err.msg, "COPPICE_SLURM is 'modul'; it can be module or sbatch");
	unsetenv("COPPICE_SLURM");
	assert_int_equal(cop_scheduler_find("slurm", &s, &err), COP_EMISSING);
	assert_string_equal(err.msg, "no SLURM here: SLURM_CONF names '/no/such/slurm.conf', which cannot be read");
	assert_false(cop_slurm_here(how, sizeof(how)));
	assert_string_equal(how, "no SLURM here");
	assert_null(s);
	unsetenv("SLURM_CONF");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unknown_schedulers),
		cmocka_unit_test(test_printed_commands),
		cmocka_unit_test(test_printing_into_a_full_disk),
		cmocka_unit_test(test_a_whole_script),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_nothing_is_left_out_in_silence),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_what_is_no_script),
		cmocka_unit_test(test_queue),
		cmocka_unit_test(test_bad_queue),
		cmocka_unit_test(test_asking),
		cmocka_unit_test(test_children),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_no_slurm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
