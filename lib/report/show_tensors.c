/* Checkpoints and masks, shown tensor by tensor; see show.h. One tensor is in memory at a time. */
#include "base/layout.h"
#include "base/mem.h"
#include "base/str.h"
#include "report/show_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct listing {
	const char *group;
	struct cop_layout layout;
};

static int note_tensor(struct cop_h5 *f, const char *name, void *user, struct cop_err *err)
{
	struct listing *l = user;
	int rank = 0;
	int64_t dim[COP_RANK_MAX] = {0}, prunable = 0;
	if (strlen(name) >= COP_TENSOR_NAME)
		return cop_fail(err, COP_EINPUT, "'%s': the name '%.40s…' is too long", cop_h5_path(f), name);
	char *path = cop_xasprintf("%s/%s", l->group, name);
	int rc = cop_h5_shape(f, path, &rank, dim, err);
	if (!rc && cop_h5_has_attr(f, path, "prunable"))
		rc = cop_h5_get_i64(f, path, "prunable", &prunable, err);
	if (!rc)
		cop_layout_add(&l->layout, name, rank, dim, prunable != 0);
	free(path);
	return rc;
}

/* The tensors of a group: in the network's order where the file tells it, else by name. */
static int list_tensors(struct cop_h5 *f, struct listing *l, struct cop_err *err)
{
	char *order = cop_xasprintf("order/%s", l->group), **name = NULL;
	size_t n = 0;
	int rc = 0;
	if (!cop_h5_has(f, order)) {
		rc = cop_h5_visit(f, l->group, note_tensor, l, err);
	} else {
		rc = cop_h5_read_strings(f, order, &name, &n, err);
		for (size_t i = 0; i < n && !rc; i++)
			rc = note_tensor(f, name[i], l, err);
	}
	for (size_t i = 0; i < n; i++)
		free(name[i]);
	free(name);
	free(order);
	return rc;
}

static int add_tensor(struct cop_h5 *f, const char *group, const struct cop_tensor *t, struct cop_table *table,
		      struct cop_err *err)
{
	float *v = NULL;
	int64_t zeros = 0;
	double sum = 0, largest = t->count ? 0 : NAN;
	char *path = cop_xasprintf("%s/%s", group, t->name), shape[80];
	int rc = cop_alloc(&v, t->count, sizeof(*v), path, err);
	if (!rc)
		rc = cop_h5_read(f, path, COP_H5_F32, t->count, v, err);
	for (size_t i = 0; i < t->count && !rc; i++) {
		double a = fabs((double)v[i]);
		zeros += a == 0;
		sum += a;
		largest = a > largest || isnan(a) ? a : largest;
	}
	if (!rc) {
		cop_table_text(table, t->name);
		cop_table_text(table, cop_shape_text(t, shape, sizeof(shape)));
		cop_table_int(table, (int64_t)t->count);
		cop_table_bool(table, t->prunable);
		cop_table_int(table, zeros);
		cop_table_real(table, sum / (double)t->count);
		cop_table_real(table, largest);
	}
	free(v);
	free(path);
	return rc;
}

static int add_tensors(struct cop_h5 *f, const char *group, struct cop_sheet *s, struct cop_err *err)
{
	static const struct cop_column columns[] = {
		{"tensor", COP_COLUMN_TEXT, 0},    {"shape", COP_COLUMN_TEXT, 0}, {"count", COP_COLUMN_INT, 0},
		{"prunable", COP_COLUMN_BOOL, 0},  {"zeros", COP_COLUMN_INT, 0},  {"mean_abs", COP_COLUMN_GENERAL, 4},
		{"max_abs", COP_COLUMN_GENERAL, 4}};
	struct listing l = {.group = group};
	int rc = list_tensors(f, &l, err);
	if (!rc && strcmp(group, "params") == 0) {
		cop_sheet_int(s, "parameters", (int64_t)cop_layout_count(&l.layout, false));
		cop_sheet_int(s, "prunable", (int64_t)cop_layout_count(&l.layout, true));
	}
	struct cop_table *t = cop_sheet_table(s, group, columns, 7);
	for (size_t i = 0; i < l.layout.n && !rc; i++)
		rc = add_tensor(f, group, &l.layout.tensor[i], t, err);
	cop_layout_release(&l.layout);
	return rc;
}

int cop_show_checkpoint(struct cop_h5 *f, struct cop_sheet *s, struct cop_err *err)
{
	static const char *const slots[] = {"momentum", "adam_m", "adam_v"};
	int64_t step = 0;
	double epoch = 0;
	struct cop_str found = {0};
	cop_show_root(f, s);
	int rc = cop_h5_get_i64(f, "/", "step", &step, err);
	if (!rc)
		rc = cop_h5_get_f64(f, "/", "epoch", &epoch, err);
	if (rc)
		return rc;
	cop_sheet_int(s, "step", step);
	cop_sheet_real(s, "epoch", epoch, 6);
	for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
		char *group = cop_xasprintf("optimizer/%s", slots[i]);
		if (cop_h5_has(f, group))
			cop_str_addf(&found, "%s%s", found.len ? ", " : "", slots[i]);
		free(group);
	}
	cop_sheet_text(s, "optimizer", found.len ? found.s : NULL);
	cop_str_release(&found);
	rc = add_tensors(f, "params", s, err);
	if (!rc && cop_h5_has(f, "buffers"))
		rc = add_tensors(f, "buffers", s, err);
	return rc;
}

static int add_mask(struct cop_h5 *f, const struct cop_tensor *t, struct cop_table *table, struct cop_err *err)
{
	uint8_t *v = NULL;
	int64_t kept = 0;
	char *path = cop_xasprintf("masks/%s", t->name), shape[80];
	int rc = cop_alloc(&v, t->count, 1, path, err);
	if (!rc)
		rc = cop_h5_read(f, path, COP_H5_U8, t->count, v, err);
	for (size_t i = 0; i < t->count && !rc; i++)
		kept += v[i] != 0;
	if (!rc) {
		cop_table_text(table, t->name);
		cop_table_text(table, cop_shape_text(t, shape, sizeof(shape)));
		cop_table_int(table, (int64_t)t->count);
		cop_table_int(table, kept);
		cop_table_real(table, (double)kept / (double)t->count);
	}
	free(v);
	free(path);
	return rc;
}

int cop_show_mask(struct cop_h5 *f, struct cop_sheet *s, struct cop_err *err)
{
	static const struct cop_column columns[] = {{"layer", COP_COLUMN_TEXT, 0},
						    {"shape", COP_COLUMN_TEXT, 0},
						    {"total", COP_COLUMN_INT, 0},
						    {"nnz", COP_COLUMN_INT, 0},
						    {"left", COP_COLUMN_PERCENT, 2}};
	static const char *const reals[] = {"quantile", "threshold"}, *const texts[] = {"scope", "criterion"},
				 *const counts[] = {"total", "nnz"};
	struct listing l = {.group = "masks"};
	cop_show_root(f, s);
	for (size_t i = 0; i < 2; i++) {
		double v;
		if (cop_h5_has_attr(f, "/", reals[i]) && cop_h5_get_f64(f, "/", reals[i], &v, NULL) == 0)
			cop_sheet_real(s, reals[i], v, 6);
	}
	for (size_t i = 0; i < 2; i++) {
		char *v = NULL;
		if (cop_h5_has_attr(f, "/", texts[i]) && cop_h5_get_str(f, "/", texts[i], &v, NULL) == 0)
			cop_sheet_text(s, texts[i], v);
		free(v);
	}
	for (size_t i = 0; i < 2; i++) {
		int64_t v;
		if (cop_h5_has_attr(f, "/", counts[i]) && cop_h5_get_i64(f, "/", counts[i], &v, NULL) == 0)
			cop_sheet_int(s, counts[i], v);
	}
	int rc = list_tensors(f, &l, err);
	struct cop_table *t = cop_sheet_table(s, "layers", columns, 5);
	for (size_t i = 0; i < l.layout.n && !rc; i++)
		rc = add_mask(f, &l.layout.tensor[i], t, err);
	cop_layout_release(&l.layout);
	return rc;
}
