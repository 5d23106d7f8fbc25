/*
 * Mask files, as docs/files.md lays them out: /masks/LAYER/TENSOR of bytes {0,1}, and at the root how they were made.
 */
#ifndef COP_STORE_MASK_H
#define COP_STORE_MASK_H

#include "base/layout.h"
#include "store/h5.h"

#define COP_MASK_FORMAT "coppice-mask"

enum { COP_MASK_WORD = 32 };

struct cop_mask_file {
	struct cop_layout layout;      /* the prunable tensors alone */
	uint8_t *mask;                 /* (layout.total), {0,1}, padding 1; aligned to 64 */
	double quantile, threshold;    /* NaN where not known; threshold: the largest magnitude that was cut */
	char scope[COP_MASK_WORD];     /* "global", "layer"; "" where not known */
	char criterion[COP_MASK_WORD]; /* "magnitude" */
	int64_t total, nnz;            /* weights; weights kept */
};

/*
 * Writes the prunable tensors of `l` and their bytes of `mask` (l->total); from *m are taken quantile, threshold, scope
 * and criterion, the counts are made.
 */
int cop_mask_file_write(const char *path, const struct cop_layout *l, const uint8_t *mask,
			const struct cop_mask_file *m, struct cop_err *err) COP_CHECKED;

/*
 * Reads a mask file, or the masks of a cell's file; release it. COP_EINPUT where bytes are not {0,1}, where the counts
 * are not those at the root, or where there are no masks.
 */
int cop_mask_file_read(const char *path, struct cop_mask_file *m, struct cop_err *err) COP_CHECKED;
/* Whether a mask file, or a cell's file, holds masks at all; a cell's may not. COP_EINPUT: it cannot be opened. */
int cop_mask_file_has(const char *path, bool *has, struct cop_err *err) COP_CHECKED;

void cop_mask_file_release(struct cop_mask_file *m);

#endif
