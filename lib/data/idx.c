/* IDX files; see idx.h. */
#include "data/idx.h"

#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

enum { UNSIGNED_BYTE = 0x08, BLOCK = 1 << 16 };

struct cop_idx {
	gzFile file;
	char *path;
};

/* What zlib says of a read that failed; its own messages begin with a made-up path. */
static int read_error(struct cop_idx *x, int got, struct cop_err *err)
{
	int code = Z_OK;
	const char *text = gzerror(x->file, &code);
	const char *colon = strrchr(text, ':');
	if (code == Z_ERRNO)
		return cop_fail_errno(err, COP_EINPUT, "cannot read '%s'", x->path);
	if (code == Z_OK || code == Z_BUF_ERROR || got >= 0)
		return cop_fail(err, COP_EINPUT, "'%s' is truncated", x->path);
	return cop_fail(err, COP_EINPUT, "'%s' is damaged:%s", x->path, colon ? colon + 1 : text);
}

int cop_idx_read(struct cop_idx *x, void *buf, size_t n, struct cop_err *err)
{
	uint8_t *to = buf;
	while (n) {
		unsigned wanted = n < BLOCK ? (unsigned)n : BLOCK;
		errno = 0;
		int got = gzread(x->file, to, wanted);
		if (got <= 0)
			return read_error(x, got, err);
		to += got;
		n -= (size_t)got;
	}
	return 0;
}

int cop_idx_end(struct cop_idx *x, struct cop_err *err)
{
	char more;
	errno = 0;
	int got = gzread(x->file, &more, 1);
	if (got > 0)
		return cop_fail(err, COP_EINPUT, "'%s' goes on after the last value that its header announces",
				x->path);
	int code = Z_OK;
	gzerror(x->file, &code);
	return got < 0 || code == Z_BUF_ERROR ? read_error(x, -1, err) : 0;
}

void cop_idx_close(struct cop_idx *x)
{
	if (!x)
		return;
	if (x->file)
		gzclose(x->file);
	free(x->path);
	free(x);
}

static uint32_t big_endian(const uint8_t b[4])
{
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static int read_header(struct cop_idx *x, int rank, int64_t *dim, struct cop_err *err)
{
	uint8_t b[4];
	int rc = cop_idx_read(x, b, 4, err);
	if (rc)
		return rc;
	if (b[0] || b[1] || b[3] == 0 || (b[2] != UNSIGNED_BYTE && (b[2] < 0x09 || b[2] > 0x0E)))
		return cop_fail(err, COP_EINPUT, "'%s' is no IDX file: it starts with %02x%02x%02x%02x", x->path, b[0],
				b[1], b[2], b[3]);
	if (b[2] != UNSIGNED_BYTE)
		return cop_fail(err, COP_EINPUT,
				"'%s' holds values of type 0x%02x: only unsigned bytes (0x08) are read", x->path, b[2]);
	if (b[3] != rank)
		return cop_fail(err, COP_EINPUT, "'%s' has %d dimension%s, %d expected: these are no %s", x->path, b[3],
				b[3] == 1 ? "" : "s", rank, rank == 1 ? "labels" : "images");
	for (int i = 0; !rc && i < rank; i++) {
		rc = cop_idx_read(x, b, 4, err);
		dim[i] = rc ? 0 : big_endian(b);
		if (!rc && (dim[i] == 0 || dim[i] > INT32_MAX))
			rc = cop_fail(err, COP_EINPUT, "'%s': dimension %d is %lld", x->path, i, (long long)dim[i]);
	}
	return rc;
}

int cop_idx_open(struct cop_idx **out, const char *path, int rank, int64_t dim[COP_IDX_RANK_MAX], struct cop_err *err)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return cop_fail_errno(err, COP_EINPUT, "cannot open '%s'", path);
	if (!S_ISREG(st.st_mode))
		return cop_fail(err, COP_EINPUT, "'%s' is no file", path);
	if (st.st_size == 0)
		return cop_fail(err, COP_EINPUT, "'%s' is empty", path);
	struct cop_idx *x = cop_xcalloc(1, sizeof(*x));
	x->path = cop_xstrdup(path);
	x->file = gzopen(path, "rbe");
	int rc = x->file ? 0 : cop_fail_errno(err, COP_EINPUT, "cannot open '%s'", path);
	if (!rc)
		rc = read_header(x, rank, dim, err);
	if (rc) {
		cop_idx_close(x);
		return rc;
	}
	*out = x;
	return 0;
}

/* The header may lie about the count, so memory grows with what is there. */
int cop_idx_labels(const char *path, uint8_t **labels, int64_t *n, struct cop_err *err)
{
	struct cop_idx *x = NULL;
	int64_t dim[COP_IDX_RANK_MAX];
	int rc = cop_idx_open(&x, path, 1, dim, err);
	if (rc)
		return rc;
	uint8_t *v = NULL;
	size_t cap = 0, have = 0, all = (size_t)dim[0];
	while (!rc && have < all) {
		size_t next = all - have < BLOCK ? all - have : BLOCK;
		v = cop_grow(v, &cap, have + next, 1);
		rc = cop_idx_read(x, v + have, next, err);
		have += next;
	}
	if (!rc)
		rc = cop_idx_end(x, err);
	cop_idx_close(x);
	if (rc) {
		free(v);
		return rc;
	}
	*labels = v;
	*n = dim[0];
	return 0;
}
