/* The result of a cell; see cell.h. */
#include "store/cell.h"

#include "base/hash.h"
#include "base/mem.h"
#include "store/checkpoint.h"
#include "store/digest.h"
#include "store/row_fields.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELD(kind, name)                                         \
	{                                                         \
#name, kind, offsetof(struct cop_row, name), NULL \
	}
#define LATER_FIELD(kind, name, otherwise)                             \
	{                                                              \
#name, kind, offsetof(struct cop_row, name), otherwise \
	}
const struct cop_row_field cop_row_fields[] = {
	FIELD(COP_FIELD_I64, index),
	FIELD(COP_FIELD_I64, replicate),
	FIELD(COP_FIELD_I64, round),
	FIELD(COP_FIELD_I64, same_as),
	FIELD(COP_FIELD_F64, quantile),
	FIELD(COP_FIELD_F64, threshold),
	FIELD(COP_FIELD_TEXT, reset),
	FIELD(COP_FIELD_I64, reset_step),
	LATER_FIELD(COP_FIELD_TEXT, criterion, "magnitude"),
	LATER_FIELD(COP_FIELD_TEXT, retrain, "rewind"),
	LATER_FIELD(COP_FIELD_I64, child, "0"),
	FIELD(COP_FIELD_I64, total),
	FIELD(COP_FIELD_I64, nnz),
	FIELD(COP_FIELD_F64, test_top1),
	FIELD(COP_FIELD_F64, test_top5),
	FIELD(COP_FIELD_F64, test_loss),
	FIELD(COP_FIELD_F64, val_top1),
	LATER_FIELD(COP_FIELD_F64, early_stop_step, "nan"),
	LATER_FIELD(COP_FIELD_F64, early_stop_val_top1, "nan"),
	LATER_FIELD(COP_FIELD_F64, early_stop_test_top1, "nan"),
	FIELD(COP_FIELD_F64, seconds),
	FIELD(COP_FIELD_F64, images_per_second),
	FIELD(COP_FIELD_F64, data_wait),
	FIELD(COP_FIELD_F64, began),
	FIELD(COP_FIELD_F64, ended),
	FIELD(COP_FIELD_F64, joules),
	FIELD(COP_FIELD_I64, cores),
	FIELD(COP_FIELD_F64, gpus),
	LATER_FIELD(COP_FIELD_F64, gpu_utilisation, "nan"),
	LATER_FIELD(COP_FIELD_F64, gpu_memory, "nan"),
	FIELD(COP_FIELD_I64, restarts),
	FIELD(COP_FIELD_TEXT, host),
	FIELD(COP_FIELD_TEXT, device),
	LATER_FIELD(COP_FIELD_TEXT, engine, ""),
	FIELD(COP_FIELD_TEXT, job),
};
const size_t cop_row_nfields = sizeof(cop_row_fields) / sizeof(cop_row_fields[0]);

int cop_row_store(struct cop_h5 *f, const struct cop_row *row, struct cop_err *err)
{
	int rc = 0;
	for (size_t i = 0; i < cop_row_nfields && !rc; i++) {
		const struct cop_row_field *d = &cop_row_fields[i];
		const void *v = (const char *)row + d->offset;
		if (d->kind == COP_FIELD_I64)
			rc = cop_h5_put_i64(f, "/", d->name, *(const int64_t *)v, err);
		else if (d->kind == COP_FIELD_F64)
			rc = cop_h5_put_f64(f, "/", d->name, *(const double *)v, err);
		else
			rc = cop_h5_put_str(f, "/", d->name, v, err);
	}
	return rc;
}

void cop_row_field_lacks(const struct cop_row_field *d, struct cop_row *row)
{
	void *v = (char *)row + d->offset;
	if (d->kind == COP_FIELD_TEXT) {
		memset(v, 0, COP_TEXT);
		snprintf(v, COP_TEXT, "%s", d->otherwise);
	} else if (d->kind == COP_FIELD_I64) {
		*(int64_t *)v = strtoll(d->otherwise, NULL, 10);
	} else {
		*(double *)v = strtod(d->otherwise, NULL);
	}
}

/* A field of an open cell's file; *lacks: it is older than the field. */
static int get_field(struct cop_h5 *f, const struct cop_row_field *d, struct cop_row *row, bool *lacks,
		     struct cop_err *err)
{
	void *v = (char *)row + d->offset;
	char *text = NULL;
	*lacks = d->otherwise && !cop_h5_has_attr(f, "/", d->name);
	if (*lacks) {
		cop_row_field_lacks(d, row);
		return 0;
	}
	if (d->kind == COP_FIELD_I64)
		return cop_h5_get_i64(f, "/", d->name, v, err);
	if (d->kind == COP_FIELD_F64)
		return cop_h5_get_f64(f, "/", d->name, v, err);
	int rc = cop_h5_get_str(f, "/", d->name, &text, err);
	if (!rc)
		snprintf(v, COP_TEXT, "%s", text);
	free(text);
	return rc;
}

/* *lacking: bit i: the file is older than field i. */
static int get_row(struct cop_h5 *f, struct cop_row *row, uint64_t *lacking, struct cop_err *err)
{
	int rc = 0;
	*lacking = 0;
	for (size_t i = 0; i < cop_row_nfields && !rc; i++) {
		bool lacks;
		rc = get_field(f, &cop_row_fields[i], row, &lacks, err);
		*lacking |= (uint64_t)lacks << i;
	}
	return rc;
}

static const struct {
	const char *name;
	size_t offset;
	bool later; /* files of before it was there lack it */
} layer_columns[] = {
	{"total", offsetof(struct cop_layer_count, total), false},
	{"nnz", offsetof(struct cop_layer_count, nnz), false},
	{"sparse", offsetof(struct cop_layer_count, sparse), true},
};
enum { LAYER_COLUMNS = sizeof(layer_columns) / sizeof(layer_columns[0]) };

static bool knows_engine(const struct cop_layer_count *layer, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (layer[i].sparse < 0)
			return false;
	return true;
}

static int store_column(struct cop_h5 *f, const char *group, const char *name, const struct cop_layer_count *layer,
			size_t n, size_t offset, struct cop_err *err)
{
	int64_t *column = cop_xcalloc(n, sizeof(*column)), dim = (int64_t)n;
	char *path = cop_xasprintf("%s/%s", group, name);
	for (size_t i = 0; i < n; i++)
		column[i] = *(const int64_t *)(const void *)((const char *)&layer[i] + offset);
	int rc = cop_h5_write(f, path, COP_H5_I64, 1, &dim, column, 0, err);
	free(path);
	free(column);
	return rc;
}

int cop_layers_store(struct cop_h5 *f, const char *group, const struct cop_layer_count *layer, size_t n,
		     struct cop_err *err)
{
	const char **name = cop_xcalloc(n, sizeof(*name));
	for (size_t i = 0; i < n; i++)
		name[i] = layer[i].name;
	char *path = cop_xasprintf("%s/name", group);
	int rc = cop_h5_write_strings(f, path, name, n, err);
	for (size_t k = 0; k < LAYER_COLUMNS && !rc; k++)
		if (!layer_columns[k].later || knows_engine(layer, n))
			rc = store_column(f, group, layer_columns[k].name, layer, n, layer_columns[k].offset, err);
	free(path);
	free(name);
	return rc;
}

static int load_column(struct cop_h5 *f, const char *path, struct cop_layer_count *layer, size_t n, size_t offset,
		       struct cop_err *err)
{
	int64_t *column = cop_xcalloc(n, sizeof(*column));
	int rc = cop_h5_read(f, path, COP_H5_I64, n, column, err);
	for (size_t i = 0; i < n && !rc; i++)
		*(int64_t *)(void *)((char *)&layer[i] + offset) = column[i];
	free(column);
	return rc;
}

static int load_columns(struct cop_h5 *f, const char *group, struct cop_layer_count *layer, size_t n,
			struct cop_err *err)
{
	int rc = 0;
	for (size_t k = 0; k < LAYER_COLUMNS && !rc; k++) {
		char *path = cop_xasprintf("%s/%s", group, layer_columns[k].name);
		if (!layer_columns[k].later || cop_h5_has(f, path))
			rc = load_column(f, path, layer, n, layer_columns[k].offset, err);
		free(path);
	}
	return rc;
}

int cop_layers_load(struct cop_h5 *f, const char *group, struct cop_layer_count **layer, size_t *n, struct cop_err *err)
{
	char **name = NULL, *path = cop_xasprintf("%s/name", group);
	size_t count = 0;
	int rc = cop_h5_read_strings(f, path, &name, &count, err);
	struct cop_layer_count *got = cop_xcalloc(count, sizeof(*got));
	for (size_t i = 0; i < count; i++) {
		snprintf(got[i].name, sizeof(got[i].name), "%s", name[i]);
		got[i].sparse = -1;
		free(name[i]);
	}
	free(name);
	free(path);
	if (!rc)
		rc = load_columns(f, group, got, count, err);
	if (rc) {
		free(got);
		return rc;
	}
	*layer = got;
	*n = count;
	return 0;
}

/* Over all that cop_cell_read finds in the file: what is too small for a checksum of its own, or an attribute, has none
 * in HDF5. */
static uint64_t digest(const struct cop_cell *c, uint64_t lacking)
{
	const char *hash = c->hash ? c->hash : "";
	uint64_t h = cop_hash(COP_HASH_START, hash, strlen(hash));
	for (size_t i = 0; i < cop_row_nfields; i++) {
		const struct cop_row_field *d = &cop_row_fields[i];
		const char *v = (const char *)&c->row + d->offset;
		if (!(lacking >> i & 1))
			h = cop_hash(h, v, d->kind == COP_FIELD_TEXT ? strnlen(v, COP_TEXT - 1) : 8);
	}
	h = cop_history_hash(h, &c->history);
	for (size_t i = 0; i < c->nlayers; i++) {
		h = cop_hash(h, c->layer[i].name, strlen(c->layer[i].name));
		h = cop_hash(h, &c->layer[i].total, sizeof(c->layer[i].total));
		h = cop_hash(h, &c->layer[i].nnz, sizeof(c->layer[i].nnz));
		if (c->layer[i].sparse >= 0)
			h = cop_hash(h, &c->layer[i].sparse, sizeof(c->layer[i].sparse));
	}
	return h;
}

int cop_cell_store_digest(struct cop_h5 *f, const struct cop_cell *c, struct cop_err *err)
{
	return cop_digest_store(f, "/", digest(c, 0), err);
}

static int fill_file(struct cop_h5 *f, const struct cop_cell *c, const char *experiment, const struct cop_layout *l,
		     const float *param, const uint8_t *mask, const struct cop_layout *buffers, const float *buffer,
		     struct cop_err *err)
{
	int rc = cop_row_store(f, &c->row, err);
	if (!rc)
		rc = cop_h5_put_str(f, "/", "experiment", experiment, err);
	if (!rc)
		rc = cop_h5_put_str(f, "/", "experiment_hash", c->hash ? c->hash : "", err);
	if (!rc)
		rc = cop_cell_store_digest(f, c, err);
	if (!rc)
		rc = cop_history_store(f, "history", &c->history, err);
	if (!rc)
		rc = cop_layers_store(f, "layers", c->layer, c->nlayers, err);
	if (!rc && param)
		rc = cop_store_tensors(f, "params", l, param, 1, err);
	if (!rc && param && buffers && buffers->n)
		rc = cop_store_tensors(f, "buffers", buffers, buffer, 0, err);
	if (!rc && mask)
		rc = cop_store_masks(f, l, mask, err);
	return rc;
}

int cop_cell_write(const char *path, const struct cop_cell *c, const char *experiment, const struct cop_layout *l,
		   const float *param, const uint8_t *mask, const struct cop_layout *buffers, const float *buffer,
		   struct cop_err *err)
{
	struct cop_h5 *f;
	int rc = cop_h5_create(&f, path, COP_CELL_FORMAT, err);
	if (rc)
		return rc;
	rc = fill_file(f, c, experiment, l, param, mask, buffers, buffer, err);
	if (rc) {
		cop_h5_abandon(f);
		return rc;
	}
	return cop_h5_commit(f, err);
}

int cop_cell_read(const char *path, struct cop_cell *c, struct cop_err *err)
{
	struct cop_h5 *f;
	uint64_t lacking;
	*c = (struct cop_cell){0};
	int rc = cop_h5_open(&f, path, COP_CELL_FORMAT, err);
	if (rc)
		return rc;
	rc = get_row(f, &c->row, &lacking, err);
	if (!rc)
		rc = cop_h5_get_str(f, "/", "experiment_hash", &c->hash, err);
	if (!rc)
		rc = cop_history_load(f, "history", &c->history, err);
	if (!rc)
		rc = cop_layers_load(f, "layers", &c->layer, &c->nlayers, err);
	if (!rc)
		rc = cop_digest_check(f, "/", digest(c, lacking), err);
	cop_h5_close(f);
	if (rc)
		cop_cell_release(c);
	return rc;
}

int cop_cell_probe(const char *path, struct cop_cell *c, struct cop_err *err)
{
	struct cop_h5 *f;
	*c = (struct cop_cell){0};
	int rc = cop_h5_open(&f, path, COP_CELL_FORMAT, err);
	if (rc)
		return rc;
	static const char *const names[] = {"index",      "replicate", "round",   "quantile",
					    "reset_step", "criterion", "retrain", "child"};
	for (size_t k = 0; k < sizeof(names) / sizeof(names[0]) && !rc; k++)
		for (size_t i = 0; i < cop_row_nfields && !rc; i++) {
			bool lacks;
			if (strcmp(cop_row_fields[i].name, names[k]) == 0)
				rc = get_field(f, &cop_row_fields[i], &c->row, &lacks, err);
		}
	if (!rc)
		rc = cop_h5_get_str(f, "/", "experiment_hash", &c->hash, err);
	cop_h5_close(f);
	if (rc)
		cop_cell_release(c);
	return rc;
}

void cop_cell_release(struct cop_cell *c)
{
	cop_history_release(&c->history);
	free(c->layer);
	free(c->hash);
	*c = (struct cop_cell){0};
}
