/* Validating many files; see validate.h. */
#include "sweep/validate.h"

#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROCESSES = 8, FILES_EACH = 128, REASON = 400 };

/* What a process found of one file; a process that died leaves zeroes. */
struct finding {
	bool known, valid;
	char reason[REASON];
};

static int probe(const struct cop_run *r, const char *path, int64_t index, struct cop_err *err)
{
	struct stat st;
	struct cop_cell c;
	/* opening a pipe would wait for its other end */
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return cop_fail(err, COP_EINPUT, "'%s' is no regular file", path);
	int rc = cop_cell_probe(path, &c, err);
	if (!rc && !cop_run_owns(r, &r->cell[index], &c))
		rc = cop_fail(err, COP_EINPUT, "'%s' belongs to another experiment or cell", path);
	cop_cell_release(&c);
	return rc;
}

static void find(const struct cop_run *r, int64_t index, struct finding *f)
{
	struct cop_err err = {0};
	char *path = cop_run_cell(r, index);
	f->valid = probe(r, path, index, &err) == 0;
	snprintf(f->reason, sizeof(f->reason), "%.*s", REASON - 1, f->valid ? "" : err.msg);
	f->known = true;
	free(path);
}

/* HDF5 is used by one thread at a time, so the work is shared out to processes. */
static void find_by_processes(const struct cop_run *r, const int64_t *index, size_t n, struct finding *f)
{
	pid_t child[PROCESSES];
	size_t children = n / FILES_EACH < PROCESSES ? n / FILES_EACH : PROCESSES;
	for (size_t p = 0; p < children; p++) {
		child[p] = fork();
		if (child[p] == 0) {
			for (size_t k = p; k < n; k += children)
				find(r, index[k], &f[k]);
			_exit(0);
		}
	}
	for (size_t p = 0; p < children; p++)
		while (child[p] > 0 && waitpid(child[p], NULL, 0) < 0 && errno == EINTR)
			;
}

char **cop_validate(const struct cop_run *r, const int64_t *index, size_t n)
{
	char **why = cop_xcalloc(n, sizeof(*why));
	size_t bytes = n * sizeof(struct finding);
	struct finding *shared = MAP_FAILED, one;
	if (n >= 2 * FILES_EACH)
		shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared != MAP_FAILED)
		find_by_processes(r, index, n, shared);
	for (size_t k = 0; k < n; k++) {
		struct finding *f = shared == MAP_FAILED ? &one : &shared[k];
		if (shared == MAP_FAILED || !f->known)
			find(r, index[k], f);
		why[k] = f->valid ? NULL : cop_xstrdup(f->reason);
	}
	if (shared != MAP_FAILED)
		munmap(shared, bytes);
	return why;
}
