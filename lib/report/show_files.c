/* Datasets, cells and results, shown; see show.h. */
#include "base/mem.h"
#include "report/grid.h"
#include "report/show_priv.h"
#include "store/dataset.h"
#include "store/results.h"
#include "store/row_fields.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HISTORY_SHOWN = 5, BEST_SHOWN = 5 };

static void add_moments(struct cop_sheet *s, const struct cop_dataset_info *d)
{
	double mean[COP_CHANNELS_MAX], std[COP_CHANNELS_MAX];
	for (int c = 0; c < d->channels; c++) {
		mean[c] = d->mean[c];
		std[c] = d->std[c];
	}
	cop_sheet_reals(s, "mean", mean, (size_t)d->channels);
	cop_sheet_reals(s, "std", std, (size_t)d->channels);
}

/* How many images of each class a split has into count[class]. */
static int count_labels(struct cop_h5 *f, const struct cop_dataset_info *d, enum cop_split split, int64_t *count,
			struct cop_err *err)
{
	int32_t *label = NULL;
	char path[32];
	if (!d->n[split])
		return 0;
	snprintf(path, sizeof(path), "%s/labels", cop_split_names[split]);
	int rc = cop_alloc(&label, (size_t)d->n[split], sizeof(*label), path, err);
	if (!rc)
		rc = cop_h5_read(f, path, COP_H5_I32, (size_t)d->n[split], label, err);
	for (int64_t i = 0; i < d->n[split] && !rc; i++) {
		if (label[i] < 0 || label[i] >= d->nclasses)
			rc = cop_fail(err, COP_EINPUT, "'%s': label %d of '%s' has no class", d->path, (int)label[i],
				      path);
		else
			count[label[i]]++;
	}
	free(label);
	return rc;
}

static int add_classes(struct cop_h5 *f, struct cop_sheet *s, const struct cop_dataset_info *d, struct cop_err *err)
{
	static const struct cop_column columns[] = {
		{"class", COP_COLUMN_TEXT, 0}, {"train", COP_COLUMN_INT, 0}, {"test", COP_COLUMN_INT, 0}};
	int64_t *count = cop_xcalloc((size_t)d->nclasses * COP_SPLITS, sizeof(*count));
	int rc = 0;
	for (int k = 0; k < COP_SPLITS && !rc; k++)
		rc = count_labels(f, d, (enum cop_split)k, count + (size_t)k * (size_t)d->nclasses, err);
	struct cop_table *t = cop_sheet_table(s, "classes", columns, 3);
	for (int c = 0; c < d->nclasses && !rc; c++) {
		cop_table_text(t, d->classes[c]);
		for (int k = 0; k < COP_SPLITS; k++)
			cop_table_int(t, count[k * d->nclasses + c]);
	}
	free(count);
	return rc;
}

int cop_show_dataset(struct cop_h5 *f, struct cop_sheet *s, struct cop_err *err)
{
	struct cop_dataset_info d;
	char shape[64];
	int rc = cop_dataset_info_read(cop_h5_path(f), &d, err);
	if (rc)
		return rc;
	cop_show_root(f, s);
	snprintf(shape, sizeof(shape), "%dx%dx%d", d.height, d.width, d.channels);
	cop_sheet_text(s, "image", shape);
	cop_sheet_int(s, "train_images", d.n[COP_SPLIT_TRAIN]);
	cop_sheet_int(s, "test_images", d.n[COP_SPLIT_TEST]);
	if (d.skipped)
		cop_sheet_int(s, "skipped", d.skipped);
	add_moments(s, &d);
	cop_sheet_text(s, "fingerprint", d.fingerprint);
	rc = add_classes(f, s, &d, err);
	cop_dataset_info_release(&d);
	return rc;
}

static const struct cop_column history_columns[] = {
	{"epoch", COP_COLUMN_GENERAL, 4},     {"step", COP_COLUMN_GENERAL, 15},      {"lr", COP_COLUMN_GENERAL, 4},
	{"train_loss", COP_COLUMN_REAL, 4},   {"train_top1", COP_COLUMN_PERCENT, 2}, {"val_loss", COP_COLUMN_REAL, 4},
	{"val_top1", COP_COLUMN_PERCENT, 2},  {"val_top5", COP_COLUMN_PERCENT, 2},   {"seconds", COP_COLUMN_REAL, 1},
	{"test_top1", COP_COLUMN_PERCENT, 2},
};

static void add_history(struct cop_sheet *s, const struct cop_history *h)
{
	int columns = cop_history_told(h);
	struct cop_table *t = cop_sheet_table(s, "last_history", history_columns, (size_t)columns);
	for (size_t i = h->n > HISTORY_SHOWN ? h->n - HISTORY_SHOWN : 0; i < h->n; i++)
		for (int c = 0; c < columns; c++)
			cop_table_real(t, h->row[i][c]);
}

static bool is_fraction(const char *name)
{
	return strstr(name, "top1") || strstr(name, "top5") || strcmp(name, "gpu_utilisation") == 0;
}

static void add_fields(struct cop_sheet *s, const struct cop_row *row)
{
	for (size_t i = 0; i < cop_row_nfields; i++) {
		const struct cop_row_field *d = &cop_row_fields[i];
		const void *v = (const char *)row + d->offset;
		if (d->kind == COP_FIELD_I64)
			cop_sheet_int(s, d->name, *(const int64_t *)v);
		else if (d->kind == COP_FIELD_TEXT)
			cop_sheet_text(s, d->name, v);
		else if (strcmp(d->name, "gpu_memory") == 0)
			cop_sheet_bytes(s, d->name, *(const double *)v);
		else if (is_fraction(d->name))
			cop_sheet_percent(s, d->name, *(const double *)v);
		else
			cop_sheet_real(s, d->name, *(const double *)v, strstr(d->name, "step") ? 15 : 6);
	}
}

int cop_show_cell(struct cop_h5 *f, struct cop_sheet *s, struct cop_err *err)
{
	static const struct cop_column columns[] = {{"layer", COP_COLUMN_TEXT, 0},
						    {"total", COP_COLUMN_INT, 0},
						    {"nnz", COP_COLUMN_INT, 0},
						    {"left", COP_COLUMN_PERCENT, 2},
						    {"sparse", COP_COLUMN_BOOL, 0}};
	struct cop_cell c;
	int rc = cop_cell_read(cop_h5_path(f), &c, err);
	if (rc)
		return rc;
	cop_show_root(f, s);
	add_fields(s, &c.row);
	cop_sheet_text(s, "weights", cop_h5_has(f, "params") ? "kept" : "not kept");
	struct cop_table *t = cop_sheet_table(s, "layers", columns, 5);
	for (size_t i = 0; i < c.nlayers; i++) {
		cop_table_text(t, c.layer[i].name);
		cop_table_int(t, c.layer[i].total);
		cop_table_int(t, c.layer[i].nnz);
		cop_table_real(t, c.layer[i].total > 0 ? (double)c.layer[i].nnz / (double)c.layer[i].total : NAN);
		if (c.layer[i].sparse < 0)
			cop_table_none(t);
		else
			cop_table_bool(t, c.layer[i].sparse != 0);
	}
	add_history(s, &c.history);
	cop_cell_release(&c);
	return 0;
}

static int by_accuracy(const void *a, const void *b)
{
	const struct cop_row *x = &(*(const struct cop_cell *const *)a)->row;
	const struct cop_row *y = &(*(const struct cop_cell *const *)b)->row;
	double u = isnan(x->test_top1) ? -1 : x->test_top1, v = isnan(y->test_top1) ? -1 : y->test_top1;
	return u != v ? (u < v) - (u > v) : (x->index > y->index) - (x->index < y->index);
}

/* variants: which of them a cell is of is told, too. */
static void add_best(struct cop_sheet *s, const struct cop_results *r, bool variants)
{
	static const struct cop_column columns[] = {
		{"index", COP_COLUMN_INT, 0},        {"replicate", COP_COLUMN_INT, 0},
		{"quantile", COP_COLUMN_GENERAL, 6}, {"reset", COP_COLUMN_TEXT, 0},
		{"nnz", COP_COLUMN_INT, 0},          {"test_top1", COP_COLUMN_PERCENT, 2},
		{"test_loss", COP_COLUMN_REAL, 4},   {"criterion", COP_COLUMN_TEXT, 0},
		{"retrain", COP_COLUMN_TEXT, 0},     {"child", COP_COLUMN_INT, 0}};
	const struct cop_cell **order = cop_xcalloc(r->ncells, sizeof(*order));
	for (size_t i = 0; i < r->ncells; i++)
		order[i] = &r->cell[i];
	if (r->ncells)
		qsort(order, r->ncells, sizeof(*order), by_accuracy);
	struct cop_table *t = cop_sheet_table(s, "best_cells", columns, variants ? 10 : 7);
	for (size_t i = 0; i < r->ncells && i < BEST_SHOWN; i++) {
		cop_table_int(t, order[i]->row.index);
		cop_table_int(t, order[i]->row.replicate);
		cop_table_real(t, order[i]->row.quantile);
		cop_table_text(t, order[i]->row.reset);
		cop_table_int(t, order[i]->row.nnz);
		cop_table_real(t, order[i]->row.test_top1);
		cop_table_real(t, order[i]->row.test_loss);
		if (!variants)
			continue;
		cop_table_text(t, order[i]->row.criterion);
		cop_table_text(t, order[i]->row.retrain);
		cop_table_int(t, order[i]->row.child);
	}
	free(order);
}

static void add_dense(struct cop_sheet *s, const struct cop_results *r)
{
	static const struct cop_column columns[] = {
		{"replicate", COP_COLUMN_INT, 0},     {"weights", COP_COLUMN_INT, 0},
		{"test_top1", COP_COLUMN_PERCENT, 2}, {"test_top5", COP_COLUMN_PERCENT, 2},
		{"test_loss", COP_COLUMN_REAL, 4},    {"val_top1", COP_COLUMN_PERCENT, 2},
		{"seconds", COP_COLUMN_REAL, 1}};
	struct cop_table *t = cop_sheet_table(s, "dense", columns, 7);
	for (size_t i = 0; i < r->ndense; i++) {
		const struct cop_dense *d = &r->dense[i];
		cop_table_int(t, d->replicate);
		cop_table_int(t, d->total);
		cop_table_real(t, d->test_top1);
		cop_table_real(t, d->test_top5);
		cop_table_real(t, d->test_loss);
		cop_table_real(t, d->val_top1);
		cop_table_real(t, d->seconds);
	}
}

int cop_show_results(struct cop_h5 *f, struct cop_sheet *s, struct cop_err *err)
{
	struct cop_results r;
	struct cop_grid g;
	int rc = cop_results_read(cop_h5_path(f), &r, err);
	if (rc)
		return rc;
	cop_grid_init(&g, &r);
	cop_show_root(f, s);
	cop_sheet_int(s, "finished", (int64_t)r.ncells);
	cop_sheet_ints(s, "missing", r.missing, r.nmissing);
	cop_sheet_reals(s, "quantiles", g.quantile, g.nq);
	cop_sheet_int(s, "reset_points", (int64_t)g.nr);
	cop_sheet_int(s, "replicates", (int64_t)g.replicates);
	cop_sheet_percent(s, "dense_test_top1", g.dense.mean);
	cop_sheet_percent(s, "dense_test_top1_half", g.dense.half);
	add_dense(s, &r);
	add_best(s, &r, g.variants.n > 1);
	cop_grid_release(&g);
	cop_results_release(&r);
	return 0;
}
