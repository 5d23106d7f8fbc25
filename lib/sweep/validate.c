/* Validating many files; see validate.h. */
#include "sweep/validate.h"

#include "base/file.h"
#include "base/mem.h"
#include "sweep/fetch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROCESSES = 8, FILES_EACH = 128, REASON = 400 };

/* What a process found of one file; shared by all of them. */
struct finding {
	enum { UNTRIED, BEGUN, KNOWN } state;
	bool valid;
	char reason[REASON];
	struct cop_point who; /* as the file says */
};

/* `points`: whether the grid says which cell a file should be. */
struct job {
	const struct cop_run *run;
	bool points;
};

static bool is_ours(const struct job *j, int64_t index, const struct cop_cell *c)
{
	if (j->points)
		return cop_run_owns(j->run, &j->run->cell[index], c);
	return strcmp(c->hash, j->run->hash) == 0 && c->row.index == index;
}

static int probe(const struct job *j, const char *path, int64_t index, struct cop_point *who, struct cop_err *err)
{
	struct cop_cell c;
	int rc = cop_check_regular(path, err);
	if (rc)
		return rc;
	rc = cop_cell_probe(path, &c, err);
	if (!rc && !is_ours(j, index, &c))
		rc = cop_fail(err, COP_EINPUT, "'%s' belongs to another experiment or cell", path);
	if (!rc)
		*who = cop_run_point(&c.row);
	cop_cell_release(&c);
	return rc;
}

/* own: in a process of its own */
static void find(const struct job *j, int64_t index, struct finding *f, bool own)
{
	struct cop_err err = {0};
	char *path = cop_run_cell(j->run, index);
	f->state = BEGUN;
	if (own)
		cop_reader_begin();
	f->valid = probe(j, path, index, &f->who, &err) == 0;
	snprintf(f->reason, sizeof(f->reason), "%.*s", REASON - 1, f->valid ? "" : err.msg);
	f->state = KNOWN;
	free(path);
}

/* Waits for the process that had each `step`-th file from `first` on; one that crashed did so over a damaged file. */
static void await(pid_t child, const struct cop_run *r, const int64_t *index, size_t first, size_t n, size_t step,
		  struct finding *f)
{
	int status = 0;
	while (child > 0 && waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return;
	for (size_t k = first; k < n; k += step) {
		if (f[k].state != BEGUN)
			continue;
		f[k].state = UNTRIED;
		if (child <= 0 || !cop_reader_crashed(status))
			continue;
		char *path = cop_run_cell(r, index[k]);
		snprintf(f[k].reason, sizeof(f[k].reason), "'%s' is so damaged that HDF5 fails over it", path);
		f[k].state = KNOWN;
		free(path);
	}
}

static size_t count_untried(const struct finding *f, size_t n)
{
	size_t count = 0;
	for (size_t k = 0; k < n; k++)
		count += f[k].state == UNTRIED;
	return count;
}

/* Shares the untried files out to processes: HDF5 is used by one thread at a time, and may crash. */
static void find_by_processes(const struct job *j, const int64_t *index, size_t n, struct finding *f)
{
	pid_t child[PROCESSES];
	size_t children = 1 + count_untried(f, n) / FILES_EACH;
	if (children > PROCESSES)
		children = PROCESSES;
	for (size_t p = 0; p < children; p++) {
		child[p] = fork();
		if (child[p] != 0)
			continue;
		for (size_t k = p; k < n; k += children)
			if (f[k].state == UNTRIED)
				find(j, index[k], &f[k], true);
		_exit(0);
	}
	for (size_t p = 0; p < children; p++)
		await(child[p], j->run, index, p, n, children, f);
}

/* who: NULL where it is not asked for */
static char **find_all(const struct job *j, const int64_t *index, size_t n, struct cop_point *who)
{
	char **why = cop_xcalloc(n, sizeof(*why));
	size_t bytes = n * sizeof(struct finding), left = n, before = 0;
	struct finding *shared = MAP_FAILED, one;
	if (n > 0)
		shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	while (shared != MAP_FAILED && left && left != before) {
		find_by_processes(j, index, n, shared);
		before = left;
		left = count_untried(shared, n);
	}
	for (size_t k = 0; k < n; k++) {
		struct finding *f = shared == MAP_FAILED ? &one : &shared[k];
		/* where no process can be had */
		if (shared == MAP_FAILED || f->state == UNTRIED)
			find(j, index[k], f, false);
		why[k] = f->valid ? NULL : cop_xstrdup(f->reason);
		if (who)
			who[k] = f->who;
	}
	if (shared != MAP_FAILED)
		munmap(shared, bytes);
	return why;
}

char **cop_validate(const struct cop_run *r, const int64_t *index, size_t n)
{
	return find_all(&(struct job){r, true}, index, n, NULL);
}

char **cop_identify(const struct cop_run *r, const int64_t *index, size_t n, struct cop_point *who)
{
	return find_all(&(struct job){r, false}, index, n, who);
}
