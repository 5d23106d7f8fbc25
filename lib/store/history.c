/* The history of a training; see cell.h. */
#include "base/hash.h"
#include "base/mem.h"
#include "store/cell.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const cop_history_names[COP_HISTORY_COLUMNS] = {
	[COP_HISTORY_EPOCH] = "epoch",
	[COP_HISTORY_STEP] = "step",
	[COP_HISTORY_LR] = "lr",
	[COP_HISTORY_TRAIN_LOSS] = "train_loss",
	[COP_HISTORY_TRAIN_TOP1] = "train_top1",
	[COP_HISTORY_VAL_LOSS] = "val_loss",
	[COP_HISTORY_VAL_TOP1] = "val_top1",
	[COP_HISTORY_VAL_TOP5] = "val_top5",
	[COP_HISTORY_SECONDS] = "seconds",
	[COP_HISTORY_TEST_TOP1] = "test_top1",
};

/* More rows than anybody makes: a damaged size must not ask for all memory. */
enum { ROWS_MAX = 10000000 };

void cop_history_add(struct cop_history *h, const double row[COP_HISTORY_COLUMNS])
{
	h->row = cop_grow(h->row, &h->cap, h->n + 1, sizeof(*h->row));
	memcpy(h->row[h->n++], row, sizeof(*h->row));
}

void cop_history_release(struct cop_history *h)
{
	free(h->row);
	*h = (struct cop_history){0};
}

int cop_history_told(const struct cop_history *h)
{
	for (size_t i = 0; i < h->n; i++)
		if (!isnan(h->row[i][COP_HISTORY_TEST_TOP1]))
			return COP_HISTORY_COLUMNS;
	return COP_HISTORY_TEST_TOP1;
}

uint64_t cop_history_hash(uint64_t hash, const struct cop_history *h)
{
	for (size_t i = 0; i < h->n; i++)
		hash = cop_hash(hash, h->row[i], COP_HISTORY_TEST_TOP1 * sizeof(double));
	bool all = cop_history_told(h) == COP_HISTORY_COLUMNS;
	for (size_t i = 0; i < h->n && all; i++)
		hash = cop_hash(hash, &h->row[i][COP_HISTORY_TEST_TOP1], sizeof(double));
	return hash;
}

struct cop_early_stop cop_history_early_stop(const struct cop_history *h)
{
	struct cop_early_stop found = {NAN, NAN, NAN, NAN};
	for (size_t i = 0; i < h->n; i++) {
		const double *row = h->row[i];
		if (isfinite(row[COP_HISTORY_VAL_LOSS]) && !(row[COP_HISTORY_VAL_LOSS] >= found.val_loss))
			found = (struct cop_early_stop){row[COP_HISTORY_STEP], row[COP_HISTORY_VAL_LOSS],
							row[COP_HISTORY_VAL_TOP1], row[COP_HISTORY_TEST_TOP1]};
	}
	return found;
}

int cop_history_store(struct cop_h5 *f, const char *group, const struct cop_history *h, struct cop_err *err)
{
	int64_t dim = (int64_t)h->n;
	double *column = cop_xcalloc(h->n, sizeof(*column));
	int rc = 0, told = cop_history_told(h);
	for (int c = 0; c < told && !rc; c++) {
		char *path = cop_xasprintf("%s/%s", group, cop_history_names[c]);
		for (size_t i = 0; i < h->n; i++)
			column[i] = h->row[i][c];
		rc = cop_h5_write(f, path, COP_H5_F64, 1, &dim, column, 0, err);
		free(path);
	}
	free(column);
	return rc;
}

int cop_history_load(struct cop_h5 *f, const char *group, struct cop_history *h, struct cop_err *err)
{
	int rank = 0, rc = 0;
	int64_t dim[COP_RANK_MAX] = {0};
	char *path = cop_xasprintf("%s/epoch", group);
	rc = cop_h5_shape(f, path, &rank, dim, err);
	free(path);
	if (rc)
		return rc;
	if (rank != 1 || dim[0] > ROWS_MAX)
		return cop_fail(err, COP_EINPUT, "'%s' in '%s' is no history", group, cop_h5_path(f));
	h->n = h->cap = (size_t)dim[0];
	h->row = cop_xcalloc(h->n, sizeof(*h->row));
	double *column = cop_xcalloc(h->n, sizeof(*column));
	for (int c = 0; c < COP_HISTORY_COLUMNS && !rc; c++) {
		path = cop_xasprintf("%s/%s", group, cop_history_names[c]);
		bool there = c != COP_HISTORY_TEST_TOP1 || cop_h5_has(f, path);
		if (there)
			rc = cop_h5_read(f, path, COP_H5_F64, h->n, column, err);
		for (size_t i = 0; i < h->n; i++)
			h->row[i][c] = there ? column[i] : NAN;
		free(path);
	}
	free(column);
	if (rc)
		cop_history_release(h);
	return rc;
}
