/* Lines between cells; see connect.h. */
#include "store/connect.h"

#include "base/hash.h"
#include "base/mem.h"
#include "store/digest.h"
#include "store/row_fields.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const cop_connect_names[COP_CONNECT_COLUMNS] = {
	[COP_CONNECT_ALPHA] = "alpha",           [COP_CONNECT_TEST_ERROR] = "test_error",
	[COP_CONNECT_TEST_LOSS] = "test_loss",   [COP_CONNECT_TRAIN_ERROR] = "train_error",
	[COP_CONNECT_TRAIN_LOSS] = "train_loss",
};

const char *const cop_connect_instabilities[COP_CONNECT_COLUMNS] = {
	[COP_CONNECT_TEST_ERROR] = "test_error_instability",
	[COP_CONNECT_TEST_LOSS] = "test_loss_instability",
	[COP_CONNECT_TRAIN_ERROR] = "train_error_instability",
	[COP_CONNECT_TRAIN_LOSS] = "train_loss_instability",
};

/* More points than anybody measures: a file that says so is damaged. */
enum { POINTS_MAX = 100000 };

#define FIELD(kind, name)                                          \
	{                                                          \
#name, kind, offsetof(struct cop_connection, name) \
	}
static const struct {
	const char *name;
	enum cop_field_kind kind;
	size_t offset;
} fields[] = {
	FIELD(COP_FIELD_I64, first),          FIELD(COP_FIELD_I64, second),     FIELD(COP_FIELD_TEXT, first_digest),
	FIELD(COP_FIELD_TEXT, second_digest), FIELD(COP_FIELD_I64, replicate),  FIELD(COP_FIELD_I64, round),
	FIELD(COP_FIELD_TEXT, criterion),     FIELD(COP_FIELD_TEXT, retrain),   FIELD(COP_FIELD_F64, quantile),
	FIELD(COP_FIELD_TEXT, reset),         FIELD(COP_FIELD_I64, reset_step), FIELD(COP_FIELD_I64, first_child),
	FIELD(COP_FIELD_I64, second_child),   FIELD(COP_FIELD_I64, total),      FIELD(COP_FIELD_I64, nnz),
	FIELD(COP_FIELD_TEXT, statistics),    FIELD(COP_FIELD_I64, batches),    FIELD(COP_FIELD_I64, train_images),
	FIELD(COP_FIELD_I64, points),
};
enum { NFIELDS = sizeof(fields) / sizeof(fields[0]) };

void cop_connection_make(struct cop_connection *c)
{
	for (int k = 0; k < COP_CONNECT_COLUMNS; k++) {
		c->column[k] = cop_xcalloc((size_t)c->points, sizeof(double));
		for (int64_t i = 0; i < c->points; i++)
			c->column[k][i] = k == COP_CONNECT_ALPHA ? (double)i / (double)(c->points - 1) : NAN;
	}
}

void cop_connection_release(struct cop_connection *c)
{
	for (int k = 0; k < COP_CONNECT_COLUMNS; k++)
		free(c->column[k]);
	free(c->hash);
	*c = (struct cop_connection){0};
}

struct cop_barrier cop_barrier_of(const double *v, int64_t n)
{
	const struct cop_barrier none = {NAN, NAN, NAN};
	struct cop_barrier b = {(v[0] + v[n - 1]) / 2, v[0], 0};
	for (int64_t i = 0; i < n; i++) {
		if (!isfinite(v[i]))
			return none;
		b.highest = v[i] > b.highest ? v[i] : b.highest;
	}
	b.instability = b.highest - b.ends;
	return b;
}

bool cop_connect_is_stable(double instability)
{
	return instability < COP_CONNECT_STABLE;
}

int cop_connect_digest(struct cop_h5 *f, char digest[COP_TEXT], struct cop_err *err)
{
	char *params = NULL, *buffers = NULL;
	if (!cop_h5_has(f, "params"))
		return cop_fail(err, COP_EINPUT, "'%s' holds no weights", cop_h5_path(f));
	int rc = cop_h5_get_str(f, "params", "digest", &params, err);
	if (!rc && cop_h5_has(f, "buffers"))
		rc = cop_h5_get_str(f, "buffers", "digest", &buffers, err);
	if (!rc)
		snprintf(digest, COP_TEXT, "%s%s%s", params, buffers ? "-" : "", buffers ? buffers : "");
	free(params);
	free(buffers);
	return rc;
}

static bool has_column(const struct cop_connection *c, int k)
{
	return c->train_images > 0 || (k != COP_CONNECT_TRAIN_ERROR && k != COP_CONNECT_TRAIN_LOSS);
}

/* Over all that cop_connection_read finds in the file. */
static uint64_t digest_of(const struct cop_connection *c)
{
	uint64_t h = cop_hash(COP_HASH_START, c->hash, strlen(c->hash));
	for (size_t i = 0; i < NFIELDS; i++) {
		const char *v = (const char *)c + fields[i].offset;
		h = cop_hash(h, v, fields[i].kind == COP_FIELD_TEXT ? strnlen(v, COP_TEXT - 1) : 8);
	}
	for (int k = 0; k < COP_CONNECT_COLUMNS; k++)
		if (has_column(c, k))
			h = cop_hash(h, c->column[k], (size_t)c->points * sizeof(double));
	return h;
}

static int put_fields(struct cop_h5 *f, const struct cop_connection *c, struct cop_err *err)
{
	int rc = 0;
	for (size_t i = 0; i < NFIELDS && !rc; i++) {
		const void *v = (const char *)c + fields[i].offset;
		if (fields[i].kind == COP_FIELD_I64)
			rc = cop_h5_put_i64(f, "/", fields[i].name, *(const int64_t *)v, err);
		else if (fields[i].kind == COP_FIELD_F64)
			rc = cop_h5_put_f64(f, "/", fields[i].name, *(const double *)v, err);
		else
			rc = cop_h5_put_str(f, "/", fields[i].name, v, err);
	}
	return rc;
}

/* What others would have to work out of the columns. */
static int put_barriers(struct cop_h5 *f, const struct cop_connection *c, struct cop_err *err)
{
	int rc = 0;
	for (int k = COP_CONNECT_TEST_ERROR; k < COP_CONNECT_COLUMNS && !rc; k++)
		if (has_column(c, k))
			rc = cop_h5_put_f64(f, "/", cop_connect_instabilities[k],
					    cop_barrier_of(c->column[k], c->points).instability, err);
	return rc;
}

static int fill_file(struct cop_h5 *f, const struct cop_connection *c, struct cop_err *err)
{
	int rc = cop_h5_put_str(f, "/", "experiment_hash", c->hash, err);
	if (!rc)
		rc = put_fields(f, c, err);
	if (!rc)
		rc = put_barriers(f, c, err);
	for (int k = 0; k < COP_CONNECT_COLUMNS && !rc; k++)
		if (has_column(c, k))
			rc = cop_h5_write(f, cop_connect_names[k], COP_H5_F64, 1, &c->points, c->column[k], 0, err);
	return rc ? rc : cop_digest_store(f, "/", digest_of(c), err);
}

int cop_connection_write(const char *path, const struct cop_connection *c, struct cop_err *err)
{
	struct cop_h5 *f;
	int rc = cop_h5_create(&f, path, COP_CONNECT_FORMAT, err);
	if (rc)
		return rc;
	rc = fill_file(f, c, err);
	if (rc) {
		cop_h5_abandon(f);
		return rc;
	}
	return cop_h5_commit(f, err);
}

static int get_fields(struct cop_h5 *f, struct cop_connection *c, struct cop_err *err)
{
	int rc = 0;
	for (size_t i = 0; i < NFIELDS && !rc; i++) {
		void *v = (char *)c + fields[i].offset;
		char *text = NULL;
		if (fields[i].kind == COP_FIELD_I64)
			rc = cop_h5_get_i64(f, "/", fields[i].name, v, err);
		else if (fields[i].kind == COP_FIELD_F64)
			rc = cop_h5_get_f64(f, "/", fields[i].name, v, err);
		else
			rc = cop_h5_get_str(f, "/", fields[i].name, &text, err);
		if (text)
			snprintf(v, COP_TEXT, "%s", text);
		free(text);
	}
	if (!rc && (c->points < 2 || c->points > POINTS_MAX))
		rc = cop_fail(err, COP_EINPUT, "'%s' is damaged: it says that it has %lld points", cop_h5_path(f),
			      (long long)c->points);
	return rc;
}

static int load(struct cop_h5 *f, struct cop_connection *c, struct cop_err *err)
{
	int rc = cop_h5_get_str(f, "/", "experiment_hash", &c->hash, err);
	if (!rc)
		rc = get_fields(f, c, err);
	if (rc)
		return rc;
	cop_connection_make(c);
	for (int k = 0; k < COP_CONNECT_COLUMNS && !rc; k++)
		if (has_column(c, k))
			rc = cop_h5_read(f, cop_connect_names[k], COP_H5_F64, (size_t)c->points, c->column[k], err);
	return rc ? rc : cop_digest_check(f, "/", digest_of(c), err);
}

int cop_connection_read(const char *path, struct cop_connection *c, struct cop_err *err)
{
	struct cop_h5 *f;
	*c = (struct cop_connection){0};
	int rc = cop_h5_open(&f, path, COP_CONNECT_FORMAT, err);
	if (rc)
		return rc;
	rc = load(f, c, err);
	cop_h5_close(f);
	if (rc)
		cop_connection_release(c);
	return rc;
}
