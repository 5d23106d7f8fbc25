/*
 * HDF5 files as coppice keeps them: written under a temporary name, `complete` last, synced, renamed; opened read-only
 * without locks (shared file systems refuse them). Strings are UTF-8. The library's own error stack is turned into one
 * line of struct cop_err.
 *
 * This header shows no HDF5 type, so the floors above can use it; the other files of store/ reach the identifiers
 * through store/h5_priv.h.
 */
#ifndef COP_STORE_H5_H
#define COP_STORE_H5_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cop_h5; /* an open file */

/* The version of the library that runs, into buf; returns buf. */
const char *cop_h5_library(char *buf, size_t size);

enum cop_h5_type { COP_H5_U8, COP_H5_I32, COP_H5_I64, COP_H5_F32, COP_H5_F64 };

/* Begins a new file that will be `path`; root gets `format`, `version` and `coppice`. COP_EFAILED. */
int cop_h5_create(struct cop_h5 **f, const char *path, const char *format, struct cop_err *err) COP_CHECKED;

/*
 * Begins a new version of the file `path`: a copy of it that can be read, added to and taken from, without `complete`.
 * COP_EINPUT where its bytes do not have the sum `sum` (cop_xxh_file's), or it is no complete file of that format.
 */
int cop_h5_update(struct cop_h5 **f, const char *path, const char *format, uint64_t sum, struct cop_err *err)
	COP_CHECKED;

/* Takes a dataset or a group with all that is in it out of a file that is being written; none there is no error. */
int cop_h5_drop(struct cop_h5 *f, const char *path, struct cop_err *err) COP_CHECKED;
/* The same for an attribute of the root. */
int cop_h5_drop_attr(struct cop_h5 *f, const char *name, struct cop_err *err) COP_CHECKED;

/* Writes `complete`, closes, syncs, renames. Frees `f` whatever happens; on failure nothing is left on the disk. */
int cop_h5_commit(struct cop_h5 *f, struct cop_err *err) COP_CHECKED;

/* Closes and removes a file that was begun; NULL is allowed. Leaves errno and the caller's error alone. */
void cop_h5_abandon(struct cop_h5 *f);

/*
 * Opens for reading. Where `format` is not NULL the file must have that format, a known version and be complete.
 * COP_EINPUT names what is not so.
 */
int cop_h5_open(struct cop_h5 **f, const char *path, const char *format, struct cop_err *err) COP_CHECKED;
void cop_h5_close(struct cop_h5 *f); /* NULL is allowed */
const char *cop_h5_path(const struct cop_h5 *f);

/* Root's `format`, or "" where it has none; stays the file's. */
const char *cop_h5_format(const struct cop_h5 *f);

/* Attributes of `object` ("/" or a path). */
int cop_h5_put_i64(struct cop_h5 *f, const char *object, const char *name, int64_t v, struct cop_err *err) COP_CHECKED;
int cop_h5_put_f64(struct cop_h5 *f, const char *object, const char *name, double v, struct cop_err *err) COP_CHECKED;
int cop_h5_put_str(struct cop_h5 *f, const char *object, const char *name, const char *v, struct cop_err *err)
	COP_CHECKED;
int cop_h5_put_f32s(struct cop_h5 *f, const char *object, const char *name, const float *v, size_t n,
		    struct cop_err *err) COP_CHECKED;

/* Numbers of any width are converted. A missing attribute is COP_EINPUT. get_str allocates, the caller frees. */
int cop_h5_get_i64(struct cop_h5 *f, const char *object, const char *name, int64_t *v, struct cop_err *err) COP_CHECKED;
int cop_h5_get_f64(struct cop_h5 *f, const char *object, const char *name, double *v, struct cop_err *err) COP_CHECKED;
int cop_h5_get_str(struct cop_h5 *f, const char *object, const char *name, char **v, struct cop_err *err) COP_CHECKED;
int cop_h5_get_f32s(struct cop_h5 *f, const char *object, const char *name, float *v, size_t n, struct cop_err *err)
	COP_CHECKED;

/* What cannot be found out counts as there, for reading it then says why. */
bool cop_h5_has_attr(struct cop_h5 *f, const char *object, const char *name);
bool cop_h5_has(struct cop_h5 *f, const char *path);

/*
 * A whole dataset of `rank` dimensions; missing groups on the way are made. Non-empty data of more than 4 KiB is
 * chunked with a Fletcher-32 checksum, so a byte that flips on the disk is an error when read. `deflate` (0..9) also
 * compresses.
 */
int cop_h5_write(struct cop_h5 *f, const char *path, enum cop_h5_type type, int rank, const int64_t *dim,
		 const void *data, int deflate, struct cop_err *err) COP_CHECKED;

/* Strings, one-dimensional, variable length. */
int cop_h5_write_strings(struct cop_h5 *f, const char *path, const char *const *v, size_t n, struct cop_err *err)
	COP_CHECKED;
int cop_h5_read_strings(struct cop_h5 *f, const char *path, char ***v, size_t *n, struct cop_err *err) COP_CHECKED;

/* The shape of a dataset: *rank <= COP_RANK_MAX of base/layout.h. COP_EINPUT where it is missing. */
int cop_h5_shape(struct cop_h5 *f, const char *path, int *rank, int64_t *dim, struct cop_err *err) COP_CHECKED;

/* Reads a whole dataset of exactly `count` elements into `data`, converted to `type`. */
int cop_h5_read(struct cop_h5 *f, const char *path, enum cop_h5_type type, size_t count, void *data,
		struct cop_err *err) COP_CHECKED;

/*
 * Calls `visit` for each dataset below `group`, in the order of names, with its path relative to `group`. Links that
 * cannot be followed are passed over. Stops at the first non-zero answer and returns it.
 */
int cop_h5_visit(struct cop_h5 *f, const char *group,
		 int (*visit)(struct cop_h5 *f, const char *path, void *user, struct cop_err *err), void *user,
		 struct cop_err *err) COP_CHECKED;

/* A dataset that grows along its first dimension: rows are appended in order. */
struct cop_h5_rows;
int cop_h5_rows_create(struct cop_h5_rows **r, struct cop_h5 *f, const char *path, enum cop_h5_type type, int rank,
		       const int64_t *dim, /* dim[0]: rows a chunk */
		       int deflate, struct cop_err *err) COP_CHECKED;
int cop_h5_rows_append(struct cop_h5_rows *r, const void *data, int64_t rows, struct cop_err *err) COP_CHECKED;
void cop_h5_rows_free(struct cop_h5_rows *r); /* NULL is allowed; before the file is committed */

#endif
