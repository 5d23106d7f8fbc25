/* XXH64 over files; see xxhash.h. */
#include "base/file.h"
#include "base/mem.h"
#include "base/xxhash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { BLOCK = 1 << 20 };

/* `to` is a file or -1. */
static int pass(const char *path, int from, const char *copy, int to, uint64_t *hash, struct cop_err *err)
{
	struct cop_xxh h;
	char *block = cop_xmalloc(BLOCK);
	int rc = 0;
	ssize_t got = 1;
	cop_xxh_begin(&h);
	while (got && !rc) {
		got = read(from, block, BLOCK);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			rc = cop_fail_errno(err, cop_code_of_reading(errno), "cannot read '%s'", path);
		else if (to >= 0 && cop_write_all(to, block, (size_t)got) < 0)
			rc = cop_fail_errno(err, COP_EFAILED, "cannot write '%s'", copy);
		else
			cop_xxh_add(&h, block, (size_t)got);
	}
	free(block);
	*hash = cop_xxh_end(&h);
	return rc;
}

int cop_xxh_file(const char *path, const char *to, uint64_t *hash, struct cop_err *err)
{
	int in = open(path, O_RDONLY | O_CLOEXEC), out = -1, rc = 0;
	if (in < 0)
		return cop_fail_errno(err, cop_code_of_reading(errno), "cannot open '%s'", path);
	if (to)
		out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (to && out < 0)
		rc = cop_fail_errno(err, COP_EFAILED, "cannot create '%s'", to);
	else
		rc = pass(path, in, to, out, hash, err);
	if (out >= 0 && close(out) < 0 && !rc)
		rc = cop_fail_errno(err, COP_EFAILED, "cannot write '%s'", to);
	close(in);
	return rc;
}
