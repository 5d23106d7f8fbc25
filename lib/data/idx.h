/*
 * IDX files, plain or gzipped, as MNIST and its kin come: two zero bytes, a type, a number of dimensions, the
 * dimensions as big-endian 32-bit numbers, the values (LeCun, Cortes, Burges, "The MNIST database", file formats).
 * Only unsigned bytes are read. Every error names the file.
 */
#ifndef COP_DATA_IDX_H
#define COP_DATA_IDX_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { COP_IDX_RANK_MAX = 3 };

struct cop_idx; /* an open file */

/* Opens and reads the header, which must have `rank` dimensions; `dim` is filled. COP_EINPUT. */
int cop_idx_open(struct cop_idx **x, const char *path, int rank, int64_t dim[COP_IDX_RANK_MAX], struct cop_err *err)
	COP_CHECKED;

/* Reads the next `n` bytes. COP_EINPUT: the file is truncated or damaged. */
int cop_idx_read(struct cop_idx *x, void *buf, size_t n, struct cop_err *err) COP_CHECKED;

/* After the last value: nothing may follow, and a gzipped file's checksum must agree. COP_EINPUT. */
int cop_idx_end(struct cop_idx *x, struct cop_err *err) COP_CHECKED;
void cop_idx_close(struct cop_idx *x); /* NULL is allowed */

/* All labels of a file of one dimension; the caller frees. COP_EINPUT. */
int cop_idx_labels(const char *path, uint8_t **labels, int64_t *n, struct cop_err *err) COP_CHECKED;

/* Whether `folder` holds images of a usual name ("train-images-idx3-ubyte", "t10k-images.idx3-ubyte.gz", ...). */
bool cop_idx_found(const char *folder);

/*
 * Packs the training and test images of `folder` into a new dataset `path`. Its classes are "0".."K-1", K one more
 * than the largest training label; each but 0 must occur, so that a file of other numbers is not taken for labels.
 */
int cop_idx_pack(const char *path, const char *folder, struct cop_err *err) COP_CHECKED;

#endif
