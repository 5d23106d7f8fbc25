/* The scheduler of one machine: what ran, how it ended, what is said of failures, stopping. */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "sched/sched.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/coppice-test-local.XXXXXX";

/* What the callback saw: how often each task ended, and its code. */
struct seen {
	int times[1000], code[1000];
	int total, stop_after;
};

static void note(int64_t task, int code, void *user)
{
	struct seen *s = user;
	int64_t i = task < 0 ? 0 : task;
	assert_true(i < 1000);
	s->times[i]++;
	s->code[i] = code;
	if (++s->total == s->stop_after)
		cop_local_stop();
}

/* Runs `shell` as `tasks` tasks, its log in the folder; err is filled. */
static int run(const char *shell, int64_t tasks, int64_t at_once, struct seen *seen, struct cop_err *err)
{
	const struct cop_scheduler *s = NULL;
	const char *command[] = {"sh", "-c", shell, NULL};
	char *log = cop_xasprintf("%s/%%a.out", folder);
	struct cop_job job = {.name = "toy.cells",
			      .command = command,
			      .tasks = tasks,
			      .at_once = at_once,
			      .folder = folder,
			      .log = log,
			      .task_ended = seen ? note : NULL,
			      .user = seen};
	char id[COP_JOB_ID] = "";
	assert_int_equal(cop_scheduler_find("local", &s, err), 0);
	assert_null(s->query);
	int rc = s->submit(&job, id, err);
	assert_string_equal(id, "local");
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left, not even a zombie */
	assert_int_equal(errno, ECHILD);
	free(log);
	return rc;
}

static char *contents(const char *name)
{
	struct cop_err err = {0};
	char *path = cop_xasprintf("%s/%s", folder, name), *text = NULL;
	size_t len;
	if (cop_read_file(path, &text, &len, &err))
		fail_msg("%s", err.msg);
	unlink(path);
	free(path);
	return text;
}

static void test_tasks_know_their_number(void **state)
{
	(void)state;
	struct cop_err err = {0};
	struct seen seen = {0};
	cop_local_set_jobs(3);
	assert_int_equal(run("echo out $COPPICE_TASK; echo err >&2; pwd", 5, 0, &seen, &err), 0);
	for (int i = 0; i < 5; i++) {
		char name[16], *expected = cop_xasprintf("out %d\nerr\n%s\n", i, folder);
		snprintf(name, sizeof(name), "%d.out", i);
		char *text = contents(name);
		assert_string_equal(text, expected);
		assert_int_equal(seen.times[i], 1);
		free(text);
		free(expected);
	}
	assert_int_equal(seen.total, 5);
}

static void test_a_job_without_an_array(void **state)
{
	(void)state;
	struct cop_err err = {0};
	setenv("COPPICE_TASK", "99", 1);
	assert_int_equal(run("echo \"task=$COPPICE_TASK\"", 0, 0, NULL, &err), 0);
	unsetenv("COPPICE_TASK");
	char *text = contents("0.out");
	assert_string_equal(text, "task=\n");
	free(text);
	assert_int_equal(run("exit 3", 0, 0, NULL, &err), COP_EPARTIAL);
	assert_non_null(strstr(err.msg, "'toy.cells' failed with exit code 3 (see '"));
}

static void test_failures_are_counted(void **state)
{
	(void)state;
	struct cop_err err = {0};
	struct seen seen = {0};
	cop_local_set_jobs(4);
	/* task 1 ends last, and is still the first that is named */
	const char *shell = "case $COPPICE_TASK in 1) sleep 0.1; exit 7;; 3) kill -9 $$;; 4) exit 9;; esac";
	assert_int_equal(run(shell, 6, 0, &seen, &err), COP_EPARTIAL);
	char *expected = cop_xasprintf(
		"3 of 6 tasks of 'toy.cells' failed, first task 1 with exit code 7 (see '%s/1.out')", folder);
	assert_string_equal(err.msg, expected);
	assert_int_equal(err.code, COP_EPARTIAL);
	free(expected);
	const int codes[] = {0, 7, 0, 128 + SIGKILL, 9, 0};
	for (int i = 0; i < 6; i++)
		assert_int_equal(seen.code[i], codes[i]);
}

static void test_a_signal_is_named(void **state)
{
	(void)state;
	struct cop_err err = {0};
	assert_int_equal(run("kill -SEGV $$", 1, 0, NULL, &err), COP_EPARTIAL);
	assert_non_null(strstr(err.msg, "1 of 1 tasks of 'toy.cells' failed, first task 0 with signal 11"));
}

/* Each task says how many run beside it. */
static int most_at_once(int jobs, int64_t at_once)
{
	struct cop_err err = {0};
	int most = 0;
	cop_local_set_jobs(jobs);
	const char *shell = "mkdir run.$COPPICE_TASK; sleep 0.05; ls -d run.* | wc -l; rmdir run.$COPPICE_TASK";
	assert_int_equal(run(shell, 8, at_once, NULL, &err), 0);
	for (int i = 0; i < 8; i++) {
		char name[16];
		snprintf(name, sizeof(name), "%d.out", i);
		char *text = contents(name);
		int beside = (int)strtol(text, NULL, 10);
		most = beside > most ? beside : most;
		free(text);
	}
	return most;
}

static void test_limits_hold(void **state)
{
	(void)state;
	assert_int_equal(most_at_once(4, 2), 2);
	assert_int_equal(most_at_once(1, 0), 1);
	assert_in_range(most_at_once(3, 100), 2, 3);
}

static void test_a_thousand_tasks(void **state)
{
	(void)state;
	struct cop_err err = {0};
	struct seen *seen = cop_xcalloc(1, sizeof(*seen));
	cop_local_set_jobs(8);
	assert_int_equal(run("exit $((COPPICE_TASK == 999))", 1000, 0, seen, &err), COP_EPARTIAL);
	assert_non_null(strstr(err.msg, "1 of 1000 tasks of 'toy.cells' failed, first task 999 with exit code 1"));
	for (int i = 0; i < 1000; i++)
		assert_int_equal(seen->times[i], 1);
	free(seen);
}

static void test_what_cannot_run(void **state)
{
	(void)state;
	struct cop_err err = {0};
	const struct cop_scheduler *s;
	const char *command[] = {"/no/such/program", NULL};
	char id[COP_JOB_ID];
	struct cop_job job = {.name = "toy", .command = command, .tasks = 4, .folder = "/"};
	assert_int_equal(cop_scheduler_find("local", &s, &err), 0);
	assert_int_equal(s->submit(&job, id, &err), COP_EFAILED);
	assert_string_equal(err.msg, "cannot run '/no/such/program' in '/': No such file or directory");
	job.log = "/no/such/folder/%a";
	assert_int_equal(s->submit(&job, id, &err), COP_EFAILED);
	assert_string_equal(err.msg, "cannot open log '/no/such/folder/0': No such file or directory");
	job.command = NULL;
	assert_int_equal(s->submit(&job, id, &err), COP_EINPUT);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void test_stopping(void **state)
{
	(void)state;
	struct cop_err err = {0};
	struct seen seen = {.stop_after = 1};
	cop_local_set_jobs(3);
	double started = cop_now();
	/* task 0 ends and has the others stopped; one checkpoints, one does not listen at once */
	const char *shell = "case $COPPICE_TASK in 0) sleep 0.3; exit 0;;"
			    "1) trap 'exit 75' TERM; sleep 60 & wait;;"
			    "2) trap 'sleep 0.3; exit 75' TERM; sleep 60 & wait;; esac; echo not reached";
	assert_int_equal(run(shell, 50, 0, &seen, &err), COP_ESTOPPED);
	assert_string_equal(err.msg, "'toy.cells' was stopped: 1 of 50 tasks were done");
	assert_true(cop_now() - started < 30);
	assert_int_equal(seen.total, 3);
	assert_int_equal(seen.code[1], 75);
	assert_int_equal(seen.code[2], 75);
	/* asked before the start: nothing runs; and that is said once only */
	memset(&seen, 0, sizeof(seen));
	cop_local_stop();
	assert_int_equal(run("exit 0", 5, 0, &seen, &err), COP_ESTOPPED);
	assert_int_equal(seen.total, 0);
	assert_int_equal(run("exit 0", 5, 0, &seen, &err), 0);
	assert_int_equal(seen.total, 5);
}

/* A task that somebody else asked to stop ('coppice cancel' does) ends the job: no further one is started. */
static void test_a_cancelled_task_ends_the_job(void **state)
{
	(void)state;
	struct cop_err err = {0};
	struct seen seen = {0};
	cop_local_set_jobs(1);
	assert_int_equal(run("case $COPPICE_TASK in 1) exit 75;; esac", 40, 0, &seen, &err), COP_ESTOPPED);
	assert_string_equal(err.msg, "'toy.cells' was stopped: 1 of 40 tasks were done");
	assert_int_equal(seen.total, 2);
	assert_int_equal(seen.code[1], 75);
}

/* A process that runs a sweep and is killed: its tasks must die too. */
static void test_children_die_with_their_parent(void **state)
{
	(void)state;
	int ends[2];
	char byte;
	assert_int_equal(pipe(ends), 0);
	pid_t parent = fork();
	if (parent == 0) {
		const struct cop_scheduler *s;
		struct cop_err err;
		char id[COP_JOB_ID];
		/* the task holds the pipe's end for as long as it lives */
		const char *command[] = {"sh", "-c", "echo x >&9; exec sleep 100", NULL};
		struct cop_job job = {.name = "toy", .command = command, .tasks = 1};
		dup2(ends[1], 9);
		close(ends[0]);
		close(ends[1]);
		_exit(cop_scheduler_find("local", &s, &err) || s->submit(&job, id, &err));
	}
	close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 1);
	assert_int_equal(read(ends[0], &byte, 1), 1);
	kill(parent, SIGKILL);
	waitpid(parent, NULL, 0);
	alarm(20);
	assert_int_equal(read(ends[0], &byte, 1), 0);
	alarm(0);
	close(ends[0]);
}

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	char *command = cop_xasprintf("rm -rf '%s'", folder);
	int rc = system(command);
	free(command);
	return rc;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tasks_know_their_number),
		cmocka_unit_test(test_a_job_without_an_array),
		cmocka_unit_test(test_failures_are_counted),
		cmocka_unit_test(test_a_signal_is_named),
		cmocka_unit_test(test_limits_hold),
		cmocka_unit_test(test_a_thousand_tasks),
		cmocka_unit_test(test_what_cannot_run),
		cmocka_unit_test(test_stopping),
		cmocka_unit_test(test_a_cancelled_task_ends_the_job),
		cmocka_unit_test(test_children_die_with_their_parent),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
