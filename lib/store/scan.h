/*
 * Reads the float tensors of any HDF5 file, coppice's or not, piece by piece in bounded memory: whatever the size of
 * the file, a scan holds one block, HDF5's conversion buffer, and the file's own chunk where that is larger than a
 * block.
 *
 * A tensor is a dataset of floating-point numbers that fit a double, in either byte order; formats other than float16,
 * 32 and 64 (bfloat16, say) come as float64. Each is met once, however many links lead to it; links out of the file are
 * not followed.
 */
#ifndef COP_STORE_SCAN_H
#define COP_STORE_SCAN_H

#include "store/h5.h"

/* IEEE 754 binary16, 32 and 64; the value is the width in bytes. */
enum cop_float { COP_FLOAT16 = 2, COP_FLOAT32 = 4, COP_FLOAT64 = 8 };

enum { COP_SCAN_RANK = 32, COP_SCAN_BYTES = 8 << 20 /* a block's most */ };

/* A piece of a tensor: `n` numbers of `type` in native byte order. */
struct cop_block {
	const void *data;
	size_t n;
	enum cop_float type;
	const char *name; /* of the tensor */
	/* where in the tensor it lies; rank 0: a scalar */
	int rank;
	uint64_t start[COP_SCAN_RANK], count[COP_SCAN_RANK];
};

/* Gets one block after another; a non-zero answer ends the reading and is returned by it. */
typedef int cop_block_fn(const struct cop_block *block, void *user, struct cop_err *err);

/* "[3, 17]": the place in its tensor of the block's element i, into buf; returns buf. */
char *cop_block_place(const struct cop_block *b, size_t i, char *buf, size_t size);

/* One float tensor of a file. */
struct cop_scan_tensor {
	char *name; /* its path, "/params/fc1/weight" */
	int rank;
	uint64_t count;
	enum cop_float type;
	bool prunable; /* what the attribute says; false without one */
};

struct cop_scan {
	struct cop_h5 *file; /* stays the caller's */
	struct cop_scan_tensor *tensor;
	size_t n, cap;
	size_t skipped; /* datasets of floats that fit no double, which are left out */
	bool marked;    /* some tensor has the attribute `prunable` */
};

/*
 * Lists the float tensors below `group` ("/" for all), by name. Adds to *s, which starts as {.file = …}. A group that
 * is not there has none. COP_EINPUT where the file cannot be listed.
 */
int cop_scan_list(struct cop_scan *s, const char *group, struct cop_err *err) COP_CHECKED;
void cop_scan_release(struct cop_scan *s);

/* Reads tensor `i` block by block, as it is stored. COP_EINPUT where the file is damaged. */
int cop_scan_read(const struct cop_scan *s, size_t i, cop_block_fn *visit, void *user, struct cop_err *err) COP_CHECKED;

#endif
