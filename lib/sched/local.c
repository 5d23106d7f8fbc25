/*
 * The scheduler of one machine: each task is a child process. Children die with this process (PR_SET_PDEATHSIG, see
 * prctl(2)), so an interrupted sweep leaves nothing running.
 */
#include "base/cpu.h"
#include "base/mem.h"
#include "base/str.h"
#include "sched/schedulers.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t stop_asked;
static int most_jobs; /* 0: not set */

struct child {
	pid_t pid; /* 0: the slot is free */
	int64_t task;
};

struct pool {
	const struct cop_job *job;
	struct child *slot;
	size_t slots, running;
	int64_t tasks, next; /* next: the first task not yet started */
	int64_t ended, failed;
	bool cancelled; /* a task was asked to stop by somebody else, as 'coppice cancel' does: so all are meant */
	int64_t first_failed; /* the lowest number among the failed */
	int first_code;
};

void cop_local_set_jobs(int jobs)
{
	most_jobs = jobs > 0 ? jobs : 1;
}

void cop_local_stop(void)
{
	stop_asked = 1;
}

/* The log's path with "%a" replaced by the task's number; the caller frees. */
static char *log_path(const char *pattern, int64_t task)
{
	struct cop_str path = {0};
	const char *at;
	while ((at = strstr(pattern, "%a"))) {
		cop_str_addn(&path, pattern, (size_t)(at - pattern));
		cop_str_addf(&path, "%" PRId64, task);
		pattern = at + 2;
	}
	cop_str_add(&path, pattern);
	return cop_str_take(&path);
}

/* The environment with COPPICE_TASK set, or without it where task is -1. The list and its first entry are the
   caller's; the other entries stay environ's. */
static char **task_environment(int64_t task)
{
	size_t n = 0, kept = 0;
	while (environ[n])
		n++;
	char **env = cop_xcalloc(n + 2, sizeof(*env));
	if (task >= 0)
		env[kept++] = cop_xasprintf("COPPICE_TASK=%" PRId64, task);
	for (size_t i = 0; i < n; i++)
		if (strncmp(environ[i], "COPPICE_TASK=", 13) != 0)
			env[kept++] = environ[i];
	return env;
}

/* Runs in the child, so only what is safe between fork and exec in a process with threads. Never returns: what fails
   is written to `report` as an errno. */
static void become_task(const struct cop_job *job, char **env, int log, pid_t parent, int report)
{
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* the parent may have died before prctl took effect */
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != parent)
		_exit(127);
	int in = open("/dev/null", O_RDONLY);
	if (in >= 0 && dup2(in, STDIN_FILENO) >= 0 &&
	    (log < 0 || (dup2(log, STDOUT_FILENO) >= 0 && dup2(log, STDERR_FILENO) >= 0)) &&
	    (log >= 0 || dup2(STDERR_FILENO, STDOUT_FILENO) >= 0) && (!job->folder || chdir(job->folder) == 0))
		execvpe(job->command[0], (char *const *)job->command, env);
	int e = errno;
	ssize_t ignored = write(report, &e, sizeof(e));
	(void)ignored;
	_exit(127);
}

/* Starts the child; *pid is 0 where the system has no room for one more process. */
static int fork_task(const struct cop_job *job, char **env, int log, pid_t *pid, struct cop_err *err)
{
	int report[2], e = 0;
	if (pipe2(report, O_CLOEXEC) != 0)
		return cop_fail_errno(err, COP_EFAILED, "cannot make a pipe");
	pid_t parent = getpid();
	*pid = fork();
	if (*pid == 0)
		become_task(job, env, log, parent, report[1]);
	int fork_errno = errno;
	close(report[1]);
	ssize_t got;
	do
		got = *pid > 0 ? read(report[0], &e, sizeof(e)) : 0;
	while (got < 0 && errno == EINTR);
	close(report[0]);
	if (*pid < 0) {
		*pid = 0;
		errno = fork_errno;
		return fork_errno == EAGAIN ? 0 : cop_fail_errno(err, COP_EFAILED, "cannot start a process");
	}
	if (got == 0)
		return 0;
	while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR)
		;
	errno = e;
	return cop_fail_errno(err, COP_EFAILED, "cannot run '%s' in '%s'", job->command[0],
			      job->folder ? job->folder : ".");
}

/* Starts the next task in `slot`. Leaves the slot free where the system has no room while others run. */
static int start_next(struct pool *p, struct child *slot, struct cop_err *err)
{
	const struct cop_job *job = p->job;
	int64_t task = job->tasks > 0 ? p->next : -1;
	char **env = task_environment(task);
	char *path = job->log ? log_path(job->log, task >= 0 ? task : 0) : NULL;
	int log = -1, rc = 0;
	pid_t pid = 0;

	if (path && (log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666)) < 0)
		rc = cop_fail_errno(err, COP_EFAILED, "cannot open log '%s'", path);
	if (!rc)
		rc = fork_task(job, env, log, &pid, err);
	if (!rc && pid == 0 && p->running == 0)
		rc = cop_fail(err, COP_EFAILED, "cannot start a process: the system has no room for more");
	if (!rc && pid > 0) {
		*slot = (struct child){.pid = pid, .task = task};
		p->running++;
		p->next++;
	}
	if (log >= 0)
		close(log);
	if (task >= 0)
		free(env[0]);
	free(env);
	free(path);
	return rc;
}

static void end_task(struct pool *p, struct child *slot, int status)
{
	int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	int64_t task = slot->task;
	slot->pid = 0;
	p->running--;
	p->ended++;
	p->cancelled = p->cancelled || code == -COP_ESTOPPED;
	if (code != 0) {
		if (p->failed++ == 0 || task < p->first_failed) {
			p->first_failed = task;
			p->first_code = code;
		}
	}
	if (p->job->task_ended)
		p->job->task_ended(task, code, p->job->user);
}

/* Takes note of children that have ended; returns whether there was one. */
static bool reap(struct pool *p)
{
	bool any = false;
	for (size_t i = 0; i < p->slots; i++) {
		int status = 0;
		if (p->slot[i].pid == 0)
			continue;
		pid_t got = waitpid(p->slot[i].pid, &status, WNOHANG);
		/* somebody else may have collected it (SIGCHLD ignored): how it ended is not known */
		if (got < 0 && errno != EINTR)
			status = 127 << 8;
		if (got == p->slot[i].pid || (got < 0 && errno != EINTR)) {
			end_task(p, &p->slot[i], status);
			any = true;
		}
	}
	return any;
}

static void terminate(const struct pool *p)
{
	for (size_t i = 0; i < p->slots; i++)
		if (p->slot[i].pid > 0)
			kill(p->slot[i].pid, SIGTERM);
}

/* Runs until all tasks have ended, or until the running ones have once it is told to stop or cannot start one. */
static int run_pool(struct pool *p, struct cop_err *err)
{
	enum { SHORTEST = 200000, LONGEST = 20000000 }; /* ns between looks */
	long pause = SHORTEST;
	bool stopping = false;
	int rc = 0;
	while (p->running > 0 || (!stopping && p->next < p->tasks)) {
		bool asked = stop_asked || p->cancelled;
		for (size_t i = 0; i < p->slots && !stopping && !asked && p->next < p->tasks; i++)
			if (p->slot[i].pid == 0 && (rc = start_next(p, &p->slot[i], err)) != 0)
				break;
		if (!stopping && (rc || asked)) {
			stopping = true;
			terminate(p);
		}
		if (reap(p)) {
			pause = SHORTEST;
			continue;
		}
		nanosleep(&(struct timespec){.tv_nsec = pause}, NULL);
		pause = pause * 2 < LONGEST ? pause * 2 : LONGEST;
	}
	return rc;
}

static int describe_failure(const struct pool *p, struct cop_err *err)
{
	const char *how = p->first_code > 128 ? "signal" : "exit code";
	int code = p->first_code > 128 ? p->first_code - 128 : p->first_code;
	char *path = p->job->log ? log_path(p->job->log, p->first_failed >= 0 ? p->first_failed : 0) : NULL;
	char *see = path ? cop_xasprintf(" (see '%s')", path) : cop_xstrdup("");
	if (p->job->tasks > 0)
		cop_fail(err, COP_EPARTIAL,
			 "%" PRId64 " of %" PRId64 " tasks of '%s' failed, first task %" PRId64 " with %s %d%s",
			 p->failed, p->tasks, p->job->name, p->first_failed, how, code, see);
	else
		cop_fail(err, COP_EPARTIAL, "'%s' failed with %s %d%s", p->job->name, how, code, see);
	free(path);
	free(see);
	return COP_EPARTIAL;
}

static int local_submit(const struct cop_job *job, char *id, struct cop_err *err)
{
	struct pool p = {.job = job, .tasks = job->tasks > 0 ? job->tasks : 1};
	if (!job->command || !job->command[0])
		return cop_fail(err, COP_EINPUT, "job '%s' has no command to run on this machine", job->name);
	snprintf(id, COP_JOB_ID, "local");
	int64_t slots = most_jobs > 0 ? most_jobs : cop_cpu_count();
	if (job->at_once > 0 && job->at_once < slots)
		slots = job->at_once;
	if (p.tasks < slots)
		slots = p.tasks;
	p.slots = (size_t)slots;
	p.slot = cop_xcalloc(p.slots, sizeof(*p.slot));
	int rc = run_pool(&p, err);
	free(p.slot);
	bool stopped = stop_asked || p.cancelled;
	stop_asked = 0;
	if (rc)
		return rc;
	if (stopped && p.ended - p.failed < p.tasks)
		return cop_fail(err, COP_ESTOPPED, "'%s' was stopped: %" PRId64 " of %" PRId64 " tasks were done",
				job->name, p.ended - p.failed, p.tasks);
	return p.failed ? describe_failure(&p, err) : 0;
}

const struct cop_scheduler cop_local_scheduler = {
	.name = "local",
	.submit = local_submit,
};
