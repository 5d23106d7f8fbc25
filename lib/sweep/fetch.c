/* Reading many results; see fetch.h. */
#include "sweep/fetch.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROCESSES = 8, FILES_EACH = 64, TEXT_MAX = 1 << 16, ROWS_MAX = 10000000, SECONDS = 2 };

/* Reads every `step`-th cell and sends what it finds. */
struct reader {
	pid_t pid; /* 0: none, its cells are read here */
	int from;  /* the pipe's end */
};

struct cop_fetch {
	const struct cop_run *run;
	const int64_t *index;
	size_t n, at, nreaders;
	struct reader reader[PROCESSES];
};

/* What comes through a pipe first; then the message or hash, the rows and the layers. */
struct head {
	int rc;
	size_t text, rows, layers;
	struct cop_row row;
};

/* What the program does about signals, such as taking its temporary files away, is not for its readers to do. */
static void reset_signals(void)
{
	for (int s = 1; s < NSIG; s++) {
		struct sigaction now;
		if (sigaction(s, NULL, &now) == 0 && now.sa_handler != SIG_IGN)
			signal(s, SIG_DFL);
	}
	signal(SIGPROF, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
}

void cop_reader_begin(void)
{
	static bool once;
	struct itimerval limit = {.it_value = {.tv_sec = SECONDS}};
	if (!once)
		reset_signals();
	once = true;
	setitimer(ITIMER_PROF, &limit, NULL);
}

bool cop_reader_crashed(int status)
{
	if (WIFEXITED(status))
		return WEXITSTATUS(status) != 0;
	int s = WTERMSIG(status);
	return s == SIGSEGV || s == SIGBUS || s == SIGFPE || s == SIGILL || s == SIGABRT || s == SIGPROF;
}

static char *path_of(const struct cop_run *r, int64_t index)
{
	return index < 0 ? cop_run_dense_result(r, -1 - index) : cop_run_cell(r, index);
}

static bool is_ours(const struct cop_run *r, int64_t index, const struct cop_cell *c)
{
	return index < 0 ? strcmp(c->hash, r->hash) == 0 : cop_run_owns(r, &r->cell[index], c);
}

static int read_here(const struct cop_run *r, int64_t index, struct cop_cell *c, struct cop_err *err)
{
	char *path = path_of(r, index);
	int rc = cop_check_regular(path, err);
	if (!rc)
		rc = cop_cell_read(path, c, err);
	if (!rc && !is_ours(r, index, c)) {
		cop_cell_release(c);
		rc = cop_fail(err, COP_EINPUT, "'%s' belongs to another experiment%s", path,
			      index < 0 ? "" : " or cell");
	}
	free(path);
	return rc;
}

static bool send_cell(int to, int rc, const struct cop_cell *c, const struct cop_err *err)
{
	const char *text = rc ? err->msg : c->hash;
	struct head h = {.rc = rc, .text = strlen(text)};
	if (!rc) {
		h.rows = c->history.n;
		h.layers = c->nlayers;
		h.row = c->row;
	}
	return cop_write_all(to, &h, sizeof(h)) == 0 && cop_write_all(to, text, h.text) == 0 &&
	       (rc || (cop_write_all(to, c->history.row, h.rows * sizeof(*c->history.row)) == 0 &&
		       cop_write_all(to, c->layer, h.layers * sizeof(*c->layer)) == 0));
}

/* The process of reader `p`, for its cells from `first` on. */
static void serve(const struct cop_fetch *f, size_t first, int to)
{
	for (size_t k = first; k < f->n; k += f->nreaders) {
		struct cop_cell c = {0};
		struct cop_err err = {0};
		cop_reader_begin();
		int rc = read_here(f->run, f->index[k], &c, &err);
		if (!send_cell(to, rc, &c, &err))
			break;
		if (!rc)
			cop_cell_release(&c);
	}
	_exit(0);
}

static void start(struct cop_fetch *f, size_t p, size_t first)
{
	int ends[2];
	f->reader[p] = (struct reader){.pid = 0, .from = -1};
	if (first >= f->n || pipe(ends) < 0)
		return;
	pid_t pid = fork();
	if (pid == 0) {
		for (size_t i = 0; i < f->nreaders; i++)
			if (f->reader[i].pid > 0)
				close(f->reader[i].from);
		close(ends[0]);
		serve(f, first, ends[1]);
	}
	close(ends[1]);
	if (pid < 0)
		close(ends[0]);
	else
		f->reader[p] = (struct reader){.pid = pid, .from = ends[0]};
}

struct cop_fetch *cop_fetch_begin(const struct cop_run *r, const int64_t *index, size_t n)
{
	struct cop_fetch *f = cop_xcalloc(1, sizeof(*f));
	*f = (struct cop_fetch){.run = r, .index = index, .n = n};
	f->nreaders = 1 + n / FILES_EACH < PROCESSES ? 1 + n / FILES_EACH : PROCESSES;
	for (size_t p = 0; p < f->nreaders; p++)
		start(f, p, p);
	return f;
}

static bool get(int from, void *data, size_t n)
{
	char *at = data;
	while (n) {
		ssize_t got = read(from, at, n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		at += got;
		n -= (size_t)got;
	}
	return true;
}

/* False where the process ended before all of the cell was there; then *c holds nothing. */
static bool receive(int from, int *rc, struct cop_cell *c, struct cop_err *err)
{
	struct head h;
	*c = (struct cop_cell){0};
	if (!get(from, &h, sizeof(h)) || h.text > TEXT_MAX || h.rows > ROWS_MAX || h.layers > ROWS_MAX)
		return false;
	c->row = h.row;
	c->hash = cop_xcalloc(h.text + 1, 1);
	c->history.row = cop_xcalloc(h.rows, sizeof(*c->history.row));
	c->history.n = c->history.cap = h.rows;
	c->layer = cop_xcalloc(h.layers, sizeof(*c->layer));
	c->nlayers = h.layers;
	bool whole = get(from, c->hash, h.text) && get(from, c->history.row, h.rows * sizeof(*c->history.row)) &&
		     get(from, c->layer, h.layers * sizeof(*c->layer));
	if (whole)
		*rc = h.rc ? cop_fail(err, h.rc, "%s", c->hash) : 0;
	if (!whole || *rc)
		cop_cell_release(c);
	return whole;
}

/* Waits for a process; whether it crashed. */
static bool await(struct reader *r)
{
	int status = 0;
	pid_t got;
	close(r->from);
	while ((got = waitpid(r->pid, &status, 0)) < 0 && errno == EINTR)
		;
	r->pid = 0;
	return got > 0 && cop_reader_crashed(status);
}

/* The cell at place k, whose process ended over it or before it; the rest gets another one. */
static int recover(struct cop_fetch *f, size_t k, struct cop_cell *c, struct cop_err *err)
{
	size_t p = k % f->nreaders;
	bool crashed = await(&f->reader[p]);
	start(f, p, k + f->nreaders);
	if (!crashed)
		return read_here(f->run, f->index[k], c, err);
	char *path = path_of(f->run, f->index[k]);
	int rc = cop_fail(err, COP_EINPUT, "'%s' is so damaged that HDF5 fails over it", path);
	free(path);
	return rc;
}

int cop_fetch_next(struct cop_fetch *f, struct cop_cell *c, struct cop_err *err)
{
	int rc = 0;
	size_t k = f->at++;
	struct reader *r = &f->reader[k % f->nreaders];
	if (r->pid == 0)
		return read_here(f->run, f->index[k], c, err);
	if (receive(r->from, &rc, c, err))
		return rc;
	return recover(f, k, c, err);
}

void cop_fetch_end(struct cop_fetch *f)
{
	for (size_t p = 0; p < f->nreaders; p++)
		if (f->reader[p].pid > 0)
			await(&f->reader[p]);
	free(f);
}

int cop_fetch_one(const struct cop_run *r, int64_t index, struct cop_cell *c, struct cop_err *err)
{
	char *path = path_of(r, index);
	bool there = cop_exists(path);
	int rc;
	free(path);
	*c = (struct cop_cell){0};
	if (!there)
		return read_here(r, index, c, err);
	struct cop_fetch *f = cop_fetch_begin(r, &index, 1);
	rc = cop_fetch_next(f, c, err);
	cop_fetch_end(f);
	return rc;
}
