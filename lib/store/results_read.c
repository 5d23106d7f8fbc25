/* Reading RUN/results.h5; see results.h. */
#include "base/layout.h"
#include "base/mem.h"
#include "store/results_priv.h"
#include "store/row_fields.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A fixed-length string that fills its field has no end in the file. */
static void end_texts(struct cop_row *row)
{
	for (size_t i = 0; i < cop_row_nfields; i++)
		if (cop_row_fields[i].kind == COP_FIELD_TEXT)
			((char *)row)[cop_row_fields[i].offset + COP_TEXT - 1] = '\0';
}

/* What the table has no column for. */
static void fill_in(struct cop_h5 *f, struct cop_row *rows, size_t n)
{
	for (size_t i = 0; i < cop_row_nfields; i++) {
		const struct cop_row_field *d = &cop_row_fields[i];
		if (!d->otherwise || cop_h5_table_has(f, "cells", d->name))
			continue;
		for (size_t k = 0; k < n; k++)
			cop_row_field_lacks(d, &rows[k]);
	}
}

int cop_results_rows(struct cop_h5 *f, struct cop_row **rows, size_t *n, struct cop_err *err)
{
	hid_t type = cop_row_type();
	*rows = NULL;
	int rc = cop_h5_table_read(f, "cells", type, COP_RESULTS_MAX, rows, n, err);
	H5Tclose(type);
	fill_in(f, *rows, *n);
	for (size_t i = 0; i < *n; i++)
		end_texts(&(*rows)[i]);
	return rc;
}

static int load_cell(struct cop_h5 *f, struct cop_cell *c, struct cop_err *err)
{
	char history[COP_GROUP_NAME], layers[COP_GROUP_NAME];
	cop_results_groups(c->row.index, history, layers);
	int rc = cop_history_load(f, history, &c->history, err);
	return rc ? rc : cop_layers_load(f, layers, &c->layer, &c->nlayers, err);
}

static int load_cells(struct cop_h5 *f, struct cop_results *r, struct cop_err *err)
{
	size_t n = 0;
	struct cop_row *rows;
	int rc = cop_results_rows(f, &rows, &n, err);
	r->cell = cop_xcalloc(n, sizeof(*r->cell));
	for (; r->ncells < n && !rc; r->ncells++) {
		r->cell[r->ncells].row = rows[r->ncells];
		rc = load_cell(f, &r->cell[r->ncells], err);
	}
	free(rows);
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
	rc = cop_alloc(&r->missing, r->nmissing, sizeof(*r->missing), "the missing cells", err);
	return rc ? rc : cop_h5_read(f, "missing", COP_H5_I64, r->nmissing, r->missing, err);
}

static int load_dense(struct cop_h5 *f, const char *group, struct cop_dense *d, struct cop_err *err)
{
	int rc = cop_history_load(f, group, &d->history, err);
	for (size_t i = 0; i < COP_DENSE_REALS && !rc; i++) {
		double *v = (double *)(void *)((char *)d + cop_dense_reals[i].offset);
		*v = NAN;
		if (!cop_dense_reals[i].later || cop_h5_has_attr(f, group, cop_dense_reals[i].name))
			rc = cop_h5_get_f64(f, group, cop_dense_reals[i].name, v, err);
	}
	for (size_t i = 0; i < COP_DENSE_COUNTS && !rc; i++)
		rc = cop_h5_get_i64(f, group, cop_dense_counts[i].name,
				    (int64_t *)(void *)((char *)d + cop_dense_counts[i].offset), err);
	/* files of before it was there lack it */
	if (!rc && cop_h5_has_attr(f, group, "device")) {
		char *text = NULL;
		rc = cop_h5_get_str(f, group, "device", &text, err);
		snprintf(d->device, sizeof(d->device), "%s", rc ? "" : text);
		free(text);
	}
	return rc;
}

/* Replicates are few and numbered from 0; one that is not done leaves a gap. */
static int load_all_dense(struct cop_h5 *f, struct cop_results *r, struct cop_err *err)
{
	enum { REPLICATES_MAX = 10000 };
	int rc = 0;
	H5G_info_t info;
	if (!cop_h5_has(f, "dense"))
		return 0;
	if (H5Gget_info_by_name(cop_h5_id(f), "dense", &info, H5P_DEFAULT) < 0)
		return cop_h5_fail(err, COP_EINPUT, f, "cannot read group", "dense");
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
