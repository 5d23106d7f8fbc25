/* The processes of an array task; see supervisor.h. */
#include "supervisor.h"

#include "base/cpu.h"
#include "base/file.h"
#include "base/log.h"
#include "commands.h"
#include "stop.h"
#include "sweep/work.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* What runs now, and what the supervisor listens to. */
struct watch {
	struct supervision *s;
	sigset_t listened, before; /* the mask that children get back */
	size_t running;
	int threads, together; /* of each piece; pieces at once */
	bool stopping;
};

static const char *noun(const struct supervision *s)
{
	return s->dense ? "dense run" : "cell";
}

/* Listened to are blocked, so that none is missed between two looks; they wait for sigwait. */
static void listen(struct watch *w)
{
	static const int signals[] = {SIGUSR1, SIGTERM, SIGINT, SIGCHLD};
	signal(SIGCHLD, SIG_DFL); /* an inherited SIG_IGN would take the children's ends away */
	sigemptyset(&w->listened);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaddset(&w->listened, signals[i]);
	sigprocmask(SIG_BLOCK, &w->listened, &w->before);
}

/* The piece itself, in its own process. Never returns. */
static void become_piece(const struct watch *w, const struct piece *p, pid_t parent)
{
	const struct supervision *s = w->s;
	struct cop_err err = {0};
	struct cop_work_options o = {.threads = w->threads, .together = w->together, .stop = &cop_stop_asked};
	/* asked to save when the supervisor is gone, which may have been before prctl took effect */
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != parent)
		_exit(-COP_ESTOPPED);
	cop_stop_on_signals();
	sigprocmask(SIG_SETMASK, &w->before, NULL);
	int rc = s->dense ? cop_dense_run(s->run, p->number, &o, &err) : cop_cell_run(s->run, p->number, &o, &err);
	int code = cop_exit_code(rc, &err);
	fflush(NULL);
	_exit(code);
}

static void begin_piece(struct watch *w, struct piece *p)
{
	pid_t parent = getpid(), pid = fork();
	if (pid == 0)
		become_piece(w, p, parent);
	if (pid < 0) {
		cop_warn("%s %" PRId64 ": cannot start a process: %s", noun(w->s), p->number, strerror(errno));
		p->end = PIECE_FAILED;
		p->code = -COP_EFAILED;
		return;
	}
	p->pid = pid;
	p->end = PIECE_RUNNING;
	w->running++;
}

static void begin_some(struct watch *w)
{
	size_t most = w->s->concurrent ? w->s->n : 1;
	for (size_t i = 0; i < w->s->n && w->running < most; i++)
		if (w->s->piece[i].end == PIECE_WAITING)
			begin_piece(w, &w->s->piece[i]);
}

static void end_piece(struct watch *w, struct piece *p, int status)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : -COP_EFAILED;
	char how[96] = "is done";
	p->end = code == 0 ? PIECE_DONE : code == -COP_ESTOPPED ? PIECE_STOPPED : PIECE_FAILED;
	p->code = code;
	if (WIFSIGNALED(status))
		snprintf(how, sizeof(how), "ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (p->end == PIECE_STOPPED)
		snprintf(how, sizeof(how), "stopped on request");
	else if (p->end == PIECE_FAILED)
		snprintf(how, sizeof(how), "failed with exit code %d", code);
	cop_info("task: %s %" PRId64 " %s", noun(w->s), p->number, how);
	w->running--;
}

static void reap(struct watch *w)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < w->s->n; i++)
			if (w->s->piece[i].end == PIECE_RUNNING && w->s->piece[i].pid == pid)
				end_piece(w, &w->s->piece[i], status);
}

static void pass_on(struct watch *w, int sig)
{
	w->stopping = true;
	for (size_t i = 0; i < w->s->n; i++)
		if (w->s->piece[i].end == PIECE_RUNNING)
			kill(w->s->piece[i].pid, sig);
}

/* Takes what has arrived; waits for it where `wait` says so. */
static void hear(struct watch *w, bool wait)
{
	static const struct timespec at_once = {0};
	int sig = sigtimedwait(&w->listened, NULL, wait ? NULL : &at_once);
	if (sig == SIGCHLD)
		reap(w);
	else if (sig > 0)
		/* a terminal's Ctrl-C reaches the children by itself, and a second one would end them at once */
		pass_on(w, sig == SIGINT ? SIGTERM : sig);
}

/* How many run at the same time; those that are done already take nothing. */
static int pieces_together(const struct supervision *s)
{
	int together = 0;
	for (size_t i = 0; i < s->n && s->concurrent; i++) {
		char *result = cop_run_cell(s->run, s->piece[i].number);
		together += !cop_exists(result);
		free(result);
	}
	return together ? together : 1;
}

static int threads_of_each(const struct supervision *s, int together)
{
	int limit = (int)s->run->experiment.device.threads, share = cop_cpu_count() / together;
	if (s->threads || !s->concurrent)
		return s->threads;
	share = share < 1 ? 1 : share;
	return limit && limit < share ? limit : share;
}

/* Says how all ended, and chooses the exit code. */
static int sum_up(const struct watch *w)
{
	size_t count[PIECE_ENDS] = {0};
	int failure = 0;
	for (size_t i = 0; i < w->s->n; i++) {
		const struct piece *p = &w->s->piece[i];
		count[p->end]++;
		if (p->end == PIECE_FAILED && !failure)
			failure = p->code;
	}
	cop_info("task: %zu of %zu %ss done, %zu stopped, %zu not begun, %zu failed", count[PIECE_DONE], w->s->n,
		 noun(w->s), count[PIECE_STOPPED], count[PIECE_WAITING], count[PIECE_FAILED]);
	if (count[PIECE_STOPPED] + count[PIECE_WAITING])
		return -COP_ESTOPPED;
	return count[PIECE_DONE] ? 0 : failure;
}

int supervise(struct supervision *s)
{
	struct watch w = {.s = s, .together = pieces_together(s)};
	w.threads = threads_of_each(s, w.together);
	listen(&w);
	for (;;) {
		hear(&w, false);
		if (!w.stopping)
			begin_some(&w);
		if (!w.running)
			break;
		hear(&w, true);
	}
	return sum_up(&w);
}
