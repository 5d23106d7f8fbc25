/* Benchmarks in processes of their own; see bench.h. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a child sends: rows or the peak, then how it ended. */
struct message {
	enum { MESSAGE_ROW, MESSAGE_PEAK, MESSAGE_GPU, MESSAGE_END } kind;
	union {
		struct cop_bench_row row;
		struct cop_cpu_peak peak;
		struct cop_bench_gpu gpu;
		struct cop_err end;
	} u;
};

struct parent {
	struct cop_bench_run *run;
	void (*take)(const struct cop_bench_row *row, void *user);
	void *user;
};

static void send_message(int fd, const struct message *m)
{
	const char *at = (const char *)m;
	for (size_t left = sizeof(*m); left > 0;) {
		ssize_t n = write(fd, at, left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			exit(1);
		at += n;
		left -= (size_t)n;
	}
}

static bool receive(int fd, struct message *m)
{
	char *at = (char *)m;
	for (size_t left = sizeof(*m); left > 0;) {
		ssize_t n = read(fd, at, left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += n;
		left -= (size_t)n;
	}
	return true;
}

struct cop_bench_row cop_bench_row(const struct cop_bench_run *run, double seconds, double rate, const char *unit)
{
	struct cop_bench_row r = {.threads = run->args->threads,
				  .seconds = seconds,
				  .rate = rate,
				  .floor = NAN,
				  .memory = NAN,
				  .arena = NAN,
				  .data_wait = NAN};
	snprintf(r.unit, sizeof(r.unit), "%s", unit);
	return r;
}

void cop_bench_add(const struct cop_bench_run *run, const struct cop_bench_row *row)
{
	struct message m;
	memset(&m, 0, sizeof(m));
	m.kind = MESSAGE_ROW;
	m.u.row = *row;
	send_message(run->to_parent, &m);
}

static int measure(struct cop_bench_run *run, struct cop_err *err)
{
	struct message m;
	memset(&m, 0, sizeof(m));
	bool gpu = run->args->device.kind == COP_DEVICE_CUDA;
	m.kind = gpu ? MESSAGE_GPU : MESSAGE_PEAK;
	int rc = gpu ? cop_bench_measure_gpu(run, &m.u.gpu, err) : cop_cpu_measure(&m.u.peak, err);
	if (!rc)
		send_message(run->to_parent, &m);
	return rc;
}

static void work_and_end(struct cop_bench_run *run, cop_bench_work *work)
{
	struct message m;
	memset(&m, 0, sizeof(m));
	m.kind = MESSAGE_END;
	m.u.end.code = work(run, &m.u.end);
	send_message(run->to_parent, &m);
	exit(0);
}

/* Until the child's end is told; false where it is not. */
static bool listen_to(int fd, const struct parent *p, struct cop_err *end)
{
	struct message m;
	while (receive(fd, &m)) {
		if (m.kind == MESSAGE_ROW)
			p->take(&m.u.row, p->user);
		else if (m.kind == MESSAGE_PEAK)
			p->run->peak = m.u.peak;
		else if (m.kind == MESSAGE_GPU)
			p->run->gpu = m.u.gpu;
		else
			*end = m.u.end;
		if (m.kind == MESSAGE_END)
			return true;
	}
	return false;
}

int cop_bench_apart(struct cop_bench_run *run, cop_bench_work *work,
		    void (*take)(const struct cop_bench_row *row, void *user), void *user, struct cop_err *err)
{
	struct parent p = {run, take, user};
	struct cop_err end = {0};
	int fd[2], status = 0;
	if (pipe2(fd, O_CLOEXEC))
		return cop_fail_errno(err, COP_EFAILED, "cannot start the benchmark '%s'", run->name);
	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		close(fd[0]);
		run->to_parent = fd[1];
		work_and_end(run, work);
	}
	close(fd[1]);
	if (child < 0) {
		close(fd[0]);
		return cop_fail_errno(err, COP_EFAILED, "cannot start the benchmark '%s'", run->name);
	}
	bool told = listen_to(fd[0], &p, &end);
	close(fd[0]);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (!told && WIFSIGNALED(status))
		return cop_fail(err, COP_EFAILED, "the benchmark '%s' was ended by signal %d", run->name,
				WTERMSIG(status));
	if (!told)
		return cop_fail(err, COP_EFAILED, "the benchmark '%s' ended without a result", run->name);
	return end.code ? cop_fail(err, end.code, "%s", end.msg) : 0;
}

static void no_rows(const struct cop_bench_row *row, void *user)
{
	(void)row;
	(void)user;
}

int cop_bench_measure(struct cop_bench_run *run, struct cop_err *err)
{
	return cop_bench_apart(run, measure, no_rows, NULL, err);
}
