/* Writing RUN/results.h5; see results.h. */
#include "store/results.h"

#include "base/mem.h"
#include "store/results_priv.h"
#include "store/row_fields.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct cop_results_writer {
	struct cop_h5 *f;
	struct cop_row *row, *old; /* (n), (nold): what is in, and what was there before */
	struct cop_source_row *source, *old_source;
	size_t n, row_cap, source_cap, nold;
	size_t at; /* of what was there before: decided so far */
};

static int put_facts(struct cop_results_writer *w, const char *name, const char *experiment, const char *hash,
		     struct cop_err *err)
{
	int rc = cop_h5_put_str(w->f, "/", "name", name, err);
	if (!rc)
		rc = cop_h5_put_str(w->f, "/", "experiment", experiment, err);
	return rc ? rc : cop_h5_put_str(w->f, "/", "experiment_hash", hash, err);
}

int cop_results_begin(struct cop_results_writer **out, const char *path, const char *name, const char *experiment,
		      const char *hash, struct cop_err *err)
{
	struct cop_results_writer *w = cop_xcalloc(1, sizeof(*w));
	int rc = cop_h5_create(&w->f, path, COP_RESULTS_FORMAT, err);
	if (!rc)
		rc = put_facts(w, name, experiment, hash, err);
	if (rc)
		cop_results_abandon(w);
	else
		*out = w;
	return rc;
}

static int check_hash(struct cop_h5 *f, const char *hash, struct cop_err *err)
{
	char *got = NULL;
	int rc = cop_h5_get_str(f, "/", "experiment_hash", &got, err);
	if (!rc && strcmp(got, hash) != 0)
		rc = cop_fail(err, COP_EINPUT, "'%s' is of another experiment", cop_h5_path(f));
	free(got);
	return rc;
}

/* What is there, and from where. Another version's rows have other columns, which nobody could fill. */
static int load_old(struct cop_results_writer *w, struct cop_err *err)
{
	size_t n = 0;
	hid_t row = cop_row_type(), source = cop_source_type();
	bool known = cop_h5_table_is(w->f, "cells", row) && cop_h5_table_is(w->f, "sources", source);
	int rc = known ? cop_results_rows(w->f, &w->old, &w->nold, err)
		       : cop_fail(err, COP_EINPUT, "'%s' was written by another version", cop_h5_path(w->f));
	if (!rc)
		rc = cop_h5_table_read(w->f, "sources", source, COP_RESULTS_MAX, &w->old_source, &n, err);
	bool good = n == w->nold;
	for (size_t k = 0; k < n && good; k++)
		good = w->old[k].index == w->old_source[k].cell && (k == 0 || w->old[k].index > w->old[k - 1].index);
	if (!rc && !good)
		rc = cop_fail(err, COP_EINPUT, "'cells' and 'sources' in '%s' are not of the same cells",
			      cop_h5_path(w->f));
	H5Tclose(row);
	H5Tclose(source);
	return rc;
}

/* Takes out what is written anew each time. */
static int clear(struct cop_results_writer *w, struct cop_err *err)
{
	int rc = cop_h5_drop_attr(w->f, "name", err);
	if (!rc)
		rc = cop_h5_drop_attr(w->f, "experiment", err);
	if (!rc)
		rc = cop_h5_drop_attr(w->f, "experiment_hash", err);
	if (!rc)
		rc = cop_h5_drop(w->f, "missing", err);
	return rc ? rc : cop_h5_drop(w->f, "dense", err);
}

int cop_results_resume(struct cop_results_writer **out, const char *path, const char *name, const char *experiment,
		       const char *hash, uint64_t sum, struct cop_err *err)
{
	struct cop_results_writer *w = cop_xcalloc(1, sizeof(*w));
	int rc = cop_h5_update(&w->f, path, COP_RESULTS_FORMAT, sum, err);
	if (!rc)
		rc = check_hash(w->f, hash, err);
	if (!rc)
		rc = load_old(w, err);
	if (!rc)
		rc = clear(w, err);
	if (!rc)
		rc = put_facts(w, name, experiment, hash, err);
	if (rc)
		cop_results_abandon(w);
	else
		*out = w;
	return rc;
}

static void free_writer(struct cop_results_writer *w)
{
	free(w->row);
	free(w->old);
	free(w->source);
	free(w->old_source);
	free(w);
}

void cop_results_abandon(struct cop_results_writer *w)
{
	if (!w)
		return;
	cop_h5_abandon(w->f);
	free_writer(w);
}

size_t cop_results_count(const struct cop_results_writer *w)
{
	return w->nold;
}

const struct cop_row *cop_results_row(const struct cop_results_writer *w, size_t k)
{
	return &w->old[k];
}

const struct cop_stamp *cop_results_stamp(const struct cop_results_writer *w, size_t k)
{
	return &w->old_source[k].stamp;
}

static int drop_cell(struct cop_results_writer *w, int64_t index, struct cop_err *err)
{
	char history[COP_GROUP_NAME], layers[COP_GROUP_NAME];
	cop_results_groups(index, history, layers);
	int rc = cop_h5_drop(w->f, history, err);
	return rc ? rc : cop_h5_drop(w->f, layers, err);
}

/* Takes out what was there before `index` and has not been kept. */
static int drop_below(struct cop_results_writer *w, int64_t index, struct cop_err *err)
{
	int rc = 0;
	for (; w->at < w->nold && w->old[w->at].index < index && !rc; w->at++)
		rc = drop_cell(w, w->old[w->at].index, err);
	return rc;
}

static void add_row(struct cop_results_writer *w, const struct cop_row *row, const struct cop_stamp *stamp)
{
	w->row = cop_grow(w->row, &w->row_cap, w->n + 1, sizeof(*w->row));
	w->source = cop_grow(w->source, &w->source_cap, w->n + 1, sizeof(*w->source));
	w->row[w->n] = *row;
	w->source[w->n] = (struct cop_source_row){.cell = row->index};
	if (stamp)
		w->source[w->n].stamp = *stamp;
	w->n++;
}

int cop_results_keep(struct cop_results_writer *w, size_t k, struct cop_err *err)
{
	int rc = drop_below(w, w->old[k].index, err);
	if (rc)
		return rc;
	add_row(w, &w->old[k], &w->old_source[k].stamp);
	w->at = k + 1;
	return 0;
}

int cop_results_add(struct cop_results_writer *w, const struct cop_cell *c, const struct cop_stamp *stamp,
		    struct cop_err *err)
{
	char history[COP_GROUP_NAME], layers[COP_GROUP_NAME];
	cop_results_groups(c->row.index, history, layers);
	int rc = drop_below(w, c->row.index + 1, err);
	if (!rc)
		rc = cop_history_store(w->f, history, &c->history, err);
	if (!rc)
		rc = cop_layers_store(w->f, layers, c->layer, c->nlayers, err);
	if (!rc)
		add_row(w, &c->row, stamp);
	return rc;
}

int cop_results_add_dense(struct cop_results_writer *w, const struct cop_dense *d, struct cop_err *err)
{
	char *group = cop_xasprintf("dense/%" PRId64, d->replicate);
	int rc = cop_history_store(w->f, group, &d->history, err);
	for (size_t i = 0; i < COP_DENSE_REALS && !rc; i++)
		rc = cop_h5_put_f64(w->f, group, cop_dense_reals[i].name,
				    *(const double *)((const char *)d + cop_dense_reals[i].offset), err);
	for (size_t i = 0; i < COP_DENSE_COUNTS && !rc; i++)
		rc = cop_h5_put_i64(w->f, group, cop_dense_counts[i].name,
				    *(const int64_t *)((const char *)d + cop_dense_counts[i].offset), err);
	if (!rc)
		rc = cop_h5_put_str(w->f, group, "device", d->device, err);
	free(group);
	return rc;
}

static int write_tables(struct cop_results_writer *w, struct cop_err *err)
{
	hid_t row = cop_row_type(), source = cop_source_type();
	int rc = cop_h5_table_write(w->f, "cells", row, w->row, w->n, err);
	if (!rc)
		rc = cop_h5_table_write(w->f, "sources", source, w->source, w->n, err);
	H5Tclose(row);
	H5Tclose(source);
	return rc;
}

int cop_results_end(struct cop_results_writer *w, const int64_t *missing, size_t nmissing, struct cop_err *err)
{
	int64_t dim = (int64_t)nmissing;
	int rc = drop_below(w, INT64_MAX, err);
	if (!rc)
		rc = write_tables(w, err);
	if (!rc)
		rc = cop_h5_write(w->f, "missing", COP_H5_I64, 1, &dim, missing, 0, err);
	if (rc) {
		cop_results_abandon(w);
		return rc;
	}
	rc = cop_h5_commit(w->f, err);
	free_writer(w);
	return rc;
}

int cop_results_write(const char *path, const struct cop_results *r, struct cop_err *err)
{
	struct cop_results_writer *w;
	int rc = cop_results_begin(&w, path, r->name, r->experiment, r->hash, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < r->ncells && !rc; i++)
		rc = cop_results_add(w, &r->cell[i], NULL, err);
	for (size_t i = 0; i < r->ndense && !rc; i++)
		rc = cop_results_add_dense(w, &r->dense[i], err);
	if (rc) {
		cop_results_abandon(w);
		return rc;
	}
	return cop_results_end(w, r->missing, r->nmissing, err);
}
