/* RUN/results.h5; see results.h. */
#include "store/results.h"

#include "base/mem.h"
#include "store/h5_priv.h"
#include "store/row_fields.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The compound type of one row; fixed-length strings, so that any reader can take the table whole. */
static hid_t row_type(void)
{
	hid_t row = H5Tcreate(H5T_COMPOUND, sizeof(struct cop_row));
	hid_t text = H5Tcopy(H5T_C_S1);
	H5Tset_size(text, COP_TEXT);
	H5Tset_cset(text, H5T_CSET_UTF8);
	for (size_t i = 0; i < cop_row_nfields; i++) {
		const struct cop_row_field *d = &cop_row_fields[i];
		hid_t type = d->kind == COP_FIELD_I64   ? H5T_NATIVE_INT64
			     : d->kind == COP_FIELD_F64 ? H5T_NATIVE_DOUBLE
							: text;
		H5Tinsert(row, d->name, d->offset, type);
	}
	H5Tclose(text);
	return row;
}

static int store_table(struct cop_h5 *f, const struct cop_results *r, struct cop_err *err)
{
	struct cop_row *rows = cop_xcalloc(r->ncells, sizeof(*rows));
	for (size_t i = 0; i < r->ncells; i++)
		rows[i] = r->cell[i].row;
	hsize_t n = r->ncells;
	hid_t type = row_type(), packed = H5Tcopy(type);
	H5Tpack(packed);
	hid_t space = H5Screate_simple(1, &n, NULL);
	hid_t set = H5Dcreate2(cop_h5_id(f), "cells", packed, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
	int rc = 0;
	if (set < 0 || (n && H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) < 0))
		rc = cop_h5_fail(err, COP_EFAILED, f, "cannot write", "cells");
	if (set >= 0)
		H5Dclose(set);
	H5Sclose(space);
	H5Tclose(packed);
	H5Tclose(type);
	free(rows);
	return rc;
}

static int store_dense(struct cop_h5 *f, const struct cop_dense *d, struct cop_err *err)
{
	char *group = cop_xasprintf("dense/%" PRId64, d->replicate);
	int rc = cop_history_store(f, group, &d->history, err);
	const struct {
		const char *name;
		double v;
	} facts[] = {{"test_top1", d->test_top1},
		     {"test_top5", d->test_top5},
		     {"test_loss", d->test_loss},
		     {"val_top1", d->val_top1},
		     {"seconds", d->seconds},
		     {"images_per_second", d->images_per_second},
		     {"data_wait", d->data_wait},
		     {"began", d->began},
		     {"ended", d->ended},
		     {"joules", d->joules},
		     {"gpus", d->gpus}};
	for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]) && !rc; i++)
		rc = cop_h5_put_f64(f, group, facts[i].name, facts[i].v, err);
	if (!rc)
		rc = cop_h5_put_i64(f, group, "total", d->total, err);
	if (!rc)
		rc = cop_h5_put_i64(f, group, "cores", d->cores, err);
	free(group);
	return rc;
}

static int store_all(struct cop_h5 *f, const struct cop_results *r, struct cop_err *err)
{
	int64_t nmissing = (int64_t)r->nmissing;
	int rc = cop_h5_put_str(f, "/", "name", r->name, err);
	if (!rc)
		rc = cop_h5_put_str(f, "/", "experiment", r->experiment, err);
	if (!rc)
		rc = cop_h5_put_str(f, "/", "experiment_hash", r->hash, err);
	if (!rc)
		rc = store_table(f, r, err);
	if (!rc)
		rc = cop_h5_write(f, "missing", COP_H5_I64, 1, &nmissing, r->missing, 0, err);
	for (size_t i = 0; i < r->ncells && !rc; i++) {
		const struct cop_cell *c = &r->cell[i];
		char *history = cop_xasprintf("history/%06" PRId64, c->row.index);
		char *layers = cop_xasprintf("layers/%06" PRId64, c->row.index);
		rc = cop_history_store(f, history, &c->history, err);
		if (!rc)
			rc = cop_layers_store(f, layers, c->layer, c->nlayers, err);
		free(history);
		free(layers);
	}
	for (size_t i = 0; i < r->ndense && !rc; i++)
		rc = store_dense(f, &r->dense[i], err);
	return rc;
}

int cop_results_write(const char *path, const struct cop_results *r, struct cop_err *err)
{
	struct cop_h5 *f;
	int rc = cop_h5_create(&f, path, COP_RESULTS_FORMAT, err);
	if (rc)
		return rc;
	rc = store_all(f, r, err);
	if (rc) {
		cop_h5_abandon(f);
		return rc;
	}
	return cop_h5_commit(f, err);
}

/* A fixed-length string that fills its field has no end in the file. */
static void end_texts(struct cop_row *row)
{
	for (size_t i = 0; i < cop_row_nfields; i++)
		if (cop_row_fields[i].kind == COP_FIELD_TEXT)
			((char *)row)[cop_row_fields[i].offset + COP_TEXT - 1] = '\0';
}

static int load_table(struct cop_h5 *f, struct cop_results *r, struct cop_err *err)
{
	int rank = 0, rc = 0;
	int64_t dim[COP_RANK_MAX] = {0};
	rc = cop_h5_shape(f, "cells", &rank, dim, err);
	if (rc)
		return rc;
	enum { CELLS_MAX = 10000000 };
	size_t n = rank == 1 ? (size_t)dim[0] : 0;
	if (n > CELLS_MAX)
		return cop_fail(err, COP_EINPUT, "'cells' in '%s' has a size that cannot be", cop_h5_path(f));
	struct cop_row *rows = cop_xcalloc(n, sizeof(*rows));
	hid_t type = row_type();
	hid_t set = H5Dopen2(cop_h5_id(f), "cells", H5P_DEFAULT);
	if (set < 0 || (n && H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) < 0))
		rc = cop_h5_fail(err, COP_EINPUT, f, "cannot read", "cells");
	if (set >= 0)
		H5Dclose(set);
	H5Tclose(type);
	r->cell = cop_xcalloc(n, sizeof(*r->cell));
	r->ncells = rc ? 0 : n;
	for (size_t i = 0; i < r->ncells; i++) {
		end_texts(&rows[i]);
		r->cell[i].row = rows[i];
	}
	free(rows);
	return rc;
}

static int load_cells(struct cop_h5 *f, struct cop_results *r, struct cop_err *err)
{
	int rc = 0;
	for (size_t i = 0; i < r->ncells && !rc; i++) {
		struct cop_cell *c = &r->cell[i];
		char *history = cop_xasprintf("history/%06" PRId64, c->row.index);
		char *layers = cop_xasprintf("layers/%06" PRId64, c->row.index);
		rc = cop_history_load(f, history, &c->history, err);
		if (!rc)
			rc = cop_layers_load(f, layers, &c->layer, &c->nlayers, err);
		free(history);
		free(layers);
	}
	return rc;
}

static int load_missing(struct cop_h5 *f, struct cop_results *r, struct cop_err *err)
{
	int rank = 0;
	int64_t dim[COP_RANK_MAX] = {0};
	int rc = cop_h5_shape(f, "missing", &rank, dim, err);
	if (rc)
		return rc;
	r->nmissing = rank == 1 ? (size_t)dim[0] : 0;
	r->missing = cop_xcalloc(r->nmissing, sizeof(*r->missing));
	return cop_h5_read(f, "missing", COP_H5_I64, r->nmissing, r->missing, err);
}

static int load_dense(struct cop_h5 *f, const char *group, struct cop_dense *d, struct cop_err *err)
{
	struct {
		const char *name;
		double *v;
	} facts[] = {{"test_top1", &d->test_top1},
		     {"test_top5", &d->test_top5},
		     {"test_loss", &d->test_loss},
		     {"val_top1", &d->val_top1},
		     {"seconds", &d->seconds},
		     {"images_per_second", &d->images_per_second},
		     {"data_wait", &d->data_wait},
		     {"began", &d->began},
		     {"ended", &d->ended},
		     {"joules", &d->joules},
		     {"gpus", &d->gpus}};
	int rc = cop_history_load(f, group, &d->history, err);
	for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]) && !rc; i++)
		rc = cop_h5_get_f64(f, group, facts[i].name, facts[i].v, err);
	if (!rc)
		rc = cop_h5_get_i64(f, group, "total", &d->total, err);
	if (!rc)
		rc = cop_h5_get_i64(f, group, "cores", &d->cores, err);
	return rc;
}

/* Replicates are few and numbered from 0; one that is not done leaves a gap. */
static int load_all_dense(struct cop_h5 *f, struct cop_results *r, struct cop_err *err)
{
	enum { REPLICATES_MAX = 10000 };
	int rc = 0;
	H5G_info_t info;
	if (!cop_h5_has(f, "dense") || H5Gget_info_by_name(cop_h5_id(f), "dense", &info, H5P_DEFAULT) < 0)
		return 0;
	r->dense = cop_xcalloc(info.nlinks, sizeof(*r->dense));
	for (int64_t k = 0; k < REPLICATES_MAX && r->ndense < info.nlinks && !rc; k++) {
		char *group = cop_xasprintf("dense/%" PRId64, k);
		if (cop_h5_has(f, group)) {
			r->dense[r->ndense].replicate = k;
			rc = load_dense(f, group, &r->dense[r->ndense++], err);
		}
		free(group);
	}
	return rc;
}

int cop_results_read(const char *path, struct cop_results *r, struct cop_err *err)
{
	struct cop_h5 *f;
	*r = (struct cop_results){0};
	int rc = cop_h5_open(&f, path, COP_RESULTS_FORMAT, err);
	if (rc)
		return rc;
	rc = cop_h5_get_str(f, "/", "name", &r->name, err);
	if (!rc)
		rc = cop_h5_get_str(f, "/", "experiment", &r->experiment, err);
	if (!rc)
		rc = cop_h5_get_str(f, "/", "experiment_hash", &r->hash, err);
	if (!rc)
		rc = load_table(f, r, err);
	if (!rc)
		rc = load_cells(f, r, err);
	if (!rc)
		rc = load_missing(f, r, err);
	if (!rc)
		rc = load_all_dense(f, r, err);
	cop_h5_close(f);
	if (rc)
		cop_results_release(r);
	return rc;
}

void cop_results_release(struct cop_results *r)
{
	for (size_t i = 0; i < r->ncells; i++)
		cop_cell_release(&r->cell[i]);
	for (size_t i = 0; i < r->ndense; i++)
		cop_history_release(&r->dense[i].history);
	free(r->cell);
	free(r->dense);
	free(r->missing);
	free(r->name);
	free(r->experiment);
	free(r->hash);
	*r = (struct cop_results){0};
}
