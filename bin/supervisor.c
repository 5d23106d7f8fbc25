/* The processes of an array task; see supervisor.h. */
#include "supervisor.h"

#include "base/cpu.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "commands.h"
#include "compute/backend.h"
#include "stop.h"
#include "sweep/state.h"
#include "sweep/work.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOT_ENDED = -1 };

/* What runs now, and what the supervisor listens to. */
struct watch {
	struct supervision *s;
	sigset_t listened, before; /* the mask that children get back */
	size_t running;
	int threads, together; /* of each piece; pieces at once */
	bool one_process;      /* for all pieces */
	int *code;             /* (n), shared with that process: how each piece ended; NOT_ENDED before */
	bool stopping;
};

static const char *noun(const struct supervision *s)
{
	return s->dense ? "dense run" : "cell";
}

/* The number of the work that a piece is: of a cell that is the same as another, the other's. */
static int64_t work_of(const struct supervision *s, const struct piece *p)
{
	int64_t twin = s->dense ? -1 : s->run->cell[p->number].same_as;
	return twin >= 0 ? twin : p->number;
}

static void say(const struct watch *w, const struct piece *p, const char *fmt, ...) COP_PRINTF(3, 4);
static void say(const struct watch *w, const struct piece *p, const char *fmt, ...)
{
	char text[700];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	cop_info("task: %s %" PRId64 " %s", noun(w->s), p->number, text);
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

/* A child's first steps. */
static struct cop_work_options become_child(const struct watch *w, pid_t parent)
{
	/* asked to save when the supervisor is gone, which may have been before prctl took effect */
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != parent)
		_exit(-COP_ESTOPPED);
	cop_stop_on_signals();
	sigprocmask(SIG_SETMASK, &w->before, NULL);
	return (struct cop_work_options){.threads = w->threads, .together = w->together, .stop = &cop_stop_asked};
}

/* All pieces that have begun, in one process. Never returns. */
static void become_group(const struct watch *w, pid_t parent)
{
	const struct supervision *s = w->s;
	struct cop_work_options o = become_child(w, parent);
	int64_t *number = cop_xcalloc(s->n, sizeof(*number));
	int *rc = cop_xcalloc(s->n, sizeof(*rc)), n = 0, code = 0;
	struct cop_err *err = cop_xcalloc(s->n, sizeof(*err));
	for (size_t i = 0; i < s->n; i++)
		if (s->piece[i].end == PIECE_RUNNING)
			number[n++] = s->piece[i].number;
	cop_cells_run(s->run, number, n, &o, rc, err);
	n = 0;
	for (size_t i = 0; i < s->n; i++)
		if (s->piece[i].end == PIECE_RUNNING) {
			w->code[i] = cop_exit_code(rc[n], &err[n]);
			code = code ? code : w->code[i];
			n++;
		}
	fflush(NULL);
	_exit(code);
}

/* The piece itself, in its own process. Never returns. */
static void become_piece(const struct watch *w, const struct piece *p, pid_t parent)
{
	const struct supervision *s = w->s;
	struct cop_err err = {0};
	struct cop_work_options o = become_child(w, parent);
	int rc = s->dense ? cop_dense_run(s->run, p->number, &o, &err) : cop_cell_run(s->run, p->number, &o, &err);
	int code = cop_exit_code(rc, &err);
	fflush(NULL);
	_exit(code);
}

/* What this job has tried often enough is left to the next, which somebody submits when the cause is mended. */
static bool given_up(const struct watch *w, struct piece *p)
{
	struct cop_state state;
	char *path = cop_run_state(w->s->run, w->s->dense, work_of(w->s, p));
	cop_state_read(path, &state);
	free(path);
	if (!cop_state_given_up(&state, w->s->run->experiment.slurm.max_attempts))
		return false;
	p->end = PIECE_FAILED;
	p->code = state.code;
	say(w, p, "has failed for good in this job: %s", state.error);
	return true;
}

static void begin_piece(struct watch *w, struct piece *p)
{
	if (given_up(w, p))
		return;
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

/* Two cells may be one piece of work, and no two processes should do it. */
static bool under_way(const struct watch *w, const struct piece *p)
{
	for (size_t i = 0; i < w->s->n; i++)
		if (w->s->piece[i].end == PIECE_RUNNING && work_of(w->s, &w->s->piece[i]) == work_of(w->s, p))
			return true;
	return false;
}

static void begin_some(struct watch *w)
{
	size_t most = w->s->concurrent ? w->s->n : 1;
	for (size_t i = 0; i < w->s->n && w->running < most; i++)
		if (w->s->piece[i].end == PIECE_WAITING && !under_way(w, &w->s->piece[i]))
			begin_piece(w, &w->s->piece[i]);
}

/* All that are left, in one process. */
static void begin_group(struct watch *w)
{
	size_t begun = 0;
	for (size_t i = 0; i < w->s->n; i++) {
		struct piece *p = &w->s->piece[i];
		if (p->end != PIECE_WAITING || given_up(w, p))
			continue;
		p->end = PIECE_RUNNING;
		w->code[i] = NOT_ENDED;
		begun++;
	}
	if (!begun)
		return;
	pid_t parent = getpid(), pid = fork();
	if (pid == 0)
		become_group(w, parent);
	if (pid < 0)
		cop_warn("the task's cells: cannot start a process: %s", strerror(errno));
	for (size_t i = 0; i < w->s->n; i++) {
		struct piece *p = &w->s->piece[i];
		if (p->end != PIECE_RUNNING)
			continue;
		p->pid = pid;
		p->end = pid < 0 ? PIECE_FAILED : PIECE_RUNNING;
		p->code = pid < 0 ? -COP_EFAILED : 0;
		w->running += pid >= 0;
	}
}

/* One that failed: whether it is to be run again, and why it failed. Its state file knows, or is told. */
static void judge_failure(const struct watch *w, struct piece *p, const char *how, bool signalled)
{
	struct cop_err err = {0};
	struct cop_state state;
	int64_t most = w->s->run->experiment.slurm.max_attempts;
	char *path = cop_run_state(w->s->run, w->s->dense, work_of(w->s, p));
	cop_state_read(path, &state);
	bool mine = cop_state_of_process(&state, p->pid), noted = mine && state.state == COP_WORK_FAILED;
	/* one that exited without having its name there was not let in, or another has taken the work over */
	if (!noted && (mine || signalled) && cop_state_note_death(path, p->pid, p->code, how, &state, &noted, &err))
		cop_warn("%s", err.msg);
	free(path);
	p->end = noted && state.failures < most ? PIECE_AGAIN : PIECE_FAILED;
	if (p->end == PIECE_AGAIN)
		say(w, p, "failed, %" PRId64 " of %" PRId64 " attempts, and is to be run again: %s", state.failures,
		    most, state.error);
	else if (noted)
		say(w, p, "failed for good, %" PRId64 " times in the same way: %s", state.failures, state.error);
	else
		say(w, p, "is given up: it %s", how);
}

/* Whether a piece that did not save was to end all the same: SLURM's patience, or a terminal's, was over. */
static bool was_killed(const struct watch *w, int status)
{
	bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
	     impatience = WIFEXITED(status) && WEXITSTATUS(status) == 128 + SIGINT;
	return w->stopping && (killed || impatience);
}

static void end_piece(struct watch *w, struct piece *p, int status)
{
	char how[96];
	const int *own = w->one_process ? &w->code[p - w->s->piece] : NULL;
	bool known = own && *own != NOT_ENDED, signalled = !known && WIFSIGNALED(status);
	w->running--;
	p->code = known ? *own : signalled ? -COP_EFAILED : WEXITSTATUS(status);
	p->end = p->code == 0 ? PIECE_DONE : PIECE_STOPPED;
	if (signalled)
		snprintf(how, sizeof(how), "ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(how, sizeof(how), "ended with exit code %d", p->code);
	if (p->code == 0)
		say(w, p, "is done");
	else if (p->code == -COP_ESTOPPED)
		say(w, p, "has stopped and saved");
	else if (was_killed(w, status))
		say(w, p, "was killed before it had saved");
	else
		judge_failure(w, p, how, signalled);
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
		if (w->s->piece[i].end == PIECE_RUNNING) {
			kill(w->s->piece[i].pid, sig);
			if (w->one_process)
				break;
		}
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

static bool as_one_process(const struct supervision *s)
{
	bool gpu = false;
	bool several = s->concurrent && !s->dense && s->n > 1;
	return several && !cop_backend_probe(&s->run->experiment.device.choice, &gpu, NULL) && gpu;
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
	cop_info("task: %zu of %zu %ss done, %zu stopped, %zu not begun, %zu to be tried again, %zu failed",
		 count[PIECE_DONE], w->s->n, noun(w->s), count[PIECE_STOPPED], count[PIECE_WAITING], count[PIECE_AGAIN],
		 count[PIECE_FAILED]);
	if (count[PIECE_STOPPED] + count[PIECE_WAITING] + count[PIECE_AGAIN])
		return -COP_ESTOPPED;
	return count[PIECE_DONE] ? 0 : failure;
}

int supervise(struct supervision *s)
{
	struct watch w = {.s = s, .together = pieces_together(s), .one_process = as_one_process(s)};
	w.threads = w.one_process ? s->threads : threads_of_each(s, w.together);
	if (w.one_process) {
		w.code = mmap(NULL, s->n * sizeof(*w.code), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		w.one_process = w.code != MAP_FAILED;
	}
	listen(&w);
	for (;;) {
		hear(&w, false);
		if (!w.stopping && w.one_process)
			begin_group(&w);
		else if (!w.stopping)
			begin_some(&w);
		if (!w.running)
			break;
		hear(&w, true);
	}
	return sum_up(&w);
}
