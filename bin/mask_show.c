/* What masks keep, by tensor: 'coppice mask show'; see masks.h. */
#include "base/mem.h"
#include "masks.h"
#include "prune/mask.h"
#include "report/table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is printed of a tensor. */
static const struct cop_column show_columns[] = {
	{"tensor", COP_COLUMN_TEXT, 0},     {"shape", COP_COLUMN_TEXT, 0},   {"weights", COP_COLUMN_INT, 0},
	{"kept", COP_COLUMN_INT, 0},        {"density", COP_COLUMN_REAL, 4}, {"dead outputs", COP_COLUMN_INT, 0},
	{"dead inputs", COP_COLUMN_INT, 0},
};

static double density(size_t kept, size_t count)
{
	return count ? (double)kept / (double)count : NAN;
}

static int fill_show(struct cop_table *t, const struct cop_layout *l, const uint8_t *mask, struct cop_err *err)
{
	char shape[128];
	size_t outputs, inputs, dead_outputs = 0, dead_inputs = 0;
	for (size_t i = 0; i < l->n; i++) {
		const struct cop_tensor *p = &l->tensor[i];
		if (!p->prunable)
			continue;
		size_t kept = cop_mask_kept(p, mask);
		int rc = cop_mask_dead(p, mask, &outputs, &inputs, err);
		if (rc)
			return rc;
		cop_table_text(t, p->name);
		cop_table_text(t, cop_shape_text(p, shape, sizeof(shape)));
		cop_table_int(t, (int64_t)p->count);
		cop_table_int(t, (int64_t)kept);
		cop_table_real(t, density(kept, p->count));
		cop_table_int(t, (int64_t)outputs);
		cop_table_int(t, (int64_t)inputs);
		dead_outputs += outputs;
		dead_inputs += inputs;
	}
	size_t total = cop_layout_count(l, true), kept = cop_mask_nnz(l, mask);
	cop_table_text(t, "total");
	cop_table_none(t);
	cop_table_int(t, (int64_t)total);
	cop_table_int(t, (int64_t)kept);
	cop_table_real(t, density(kept, total));
	cop_table_int(t, (int64_t)dead_outputs);
	cop_table_int(t, (int64_t)dead_inputs);
	return 0;
}

void mask_print_json(cJSON *j)
{
	char *text = cJSON_Print(j);
	puts(text);
	free(text);
	cJSON_Delete(j);
}

static bool has_collapsed(const struct cop_tensor *t, const uint8_t *mask)
{
	return t->prunable && t->count && cop_mask_kept(t, mask) == 0;
}

static void print_collapsed(const char *path, const struct cop_layout *l, const uint8_t *mask)
{
	bool any = false;
	for (size_t i = 0; i < l->n; i++) {
		if (!has_collapsed(&l->tensor[i], mask))
			continue;
		if (any)
			printf(", ");
		else
			printf("\ncollapsed%s%s: ", *path ? " in " : "", path);
		printf("%s", l->tensor[i].name);
		any = true;
	}
	if (any)
		putchar('\n');
}

static cJSON *collapsed_json(const struct cop_layout *l, const uint8_t *mask)
{
	cJSON *list = cJSON_CreateArray();
	for (size_t i = 0; i < l->n; i++)
		if (has_collapsed(&l->tensor[i], mask))
			cJSON_AddItemToArray(list, cJSON_CreateString(l->tensor[i].name));
	return list;
}

static int mask_json(const char *path, const struct cop_mask_file *m, const struct cop_layout *l, const uint8_t *mask,
		     cJSON **to, struct cop_err *err)
{
	struct cop_table t;
	cop_table_init(&t, show_columns, sizeof(show_columns) / sizeof(show_columns[0]));
	int rc = fill_show(&t, l, mask, err);
	if (!rc) {
		cJSON *j = *to = cJSON_CreateObject();
		cJSON_AddStringToObject(j, "file", path);
		cop_json_add_num(j, "quantile", m->quantile);
		cop_json_add_num(j, "threshold", m->threshold);
		cJSON_AddStringToObject(j, "scope", m->scope);
		cJSON_AddStringToObject(j, "criterion", m->criterion);
		cop_json_add_num(j, "total", (double)cop_layout_count(l, true));
		cop_json_add_num(j, "nnz", (double)cop_mask_nnz(l, mask));
		cJSON_AddItemToObject(j, "tensors", cop_table_json(&t));
		cJSON_AddItemToObject(j, "collapsed", collapsed_json(l, mask));
	}
	cop_table_release(&t);
	return rc;
}

static void print_origin(const struct cop_mask_file *m)
{
	printf("quantile %.9g", m->quantile);
	if (!isnan(m->threshold))
		printf(", threshold %.9g", m->threshold);
	if (*m->scope)
		printf(", scope %s", m->scope);
	if (*m->criterion)
		printf(", criterion %s", m->criterion);
	printf("\n\n");
}

int mask_print(const char *path, const struct cop_mask_file *m, const struct cop_layout *l, const uint8_t *mask,
	       bool json, struct cop_err *err)
{
	cJSON *j;
	if (json) {
		int rc = mask_json(path, m, l, mask, &j, err);
		if (!rc)
			mask_print_json(j);
		return rc;
	}
	struct cop_table t;
	cop_table_init(&t, show_columns, sizeof(show_columns) / sizeof(show_columns[0]));
	int rc = fill_show(&t, l, mask, err);
	if (!rc) {
		print_origin(m);
		cop_table_print(&t, stdout, false);
		print_collapsed("", l, mask);
	}
	cop_table_release(&t);
	return rc;
}

/* One row a tensor of the first mask, one column a mask. */
static void print_side_by_side(const struct mask_options *o, const struct cop_mask_file *m)
{
	struct cop_column *column = cop_xcalloc(o->nfiles + 2, sizeof(*column));
	struct cop_table t;
	column[0] = (struct cop_column){"tensor", COP_COLUMN_TEXT, 0};
	column[1] = (struct cop_column){"weights", COP_COLUMN_INT, 0};
	for (size_t k = 0; k < o->nfiles; k++)
		column[2 + k] = (struct cop_column){o->file[k], COP_COLUMN_REAL, 4};
	cop_table_init(&t, column, o->nfiles + 2);
	for (size_t i = 0; i < m[0].layout.n; i++) {
		const struct cop_tensor *p = &m[0].layout.tensor[i];
		cop_table_text(&t, p->name);
		cop_table_int(&t, (int64_t)p->count);
		for (size_t k = 0; k < o->nfiles; k++)
			cop_table_real(&t, density(cop_mask_kept(cop_layout_find(&m[k].layout, p->name), m[k].mask),
						   p->count));
	}
	cop_table_text(&t, "total");
	cop_table_int(&t, m[0].total);
	for (size_t k = 0; k < o->nfiles; k++)
		cop_table_real(&t, density((size_t)m[k].nnz, (size_t)m[k].total));
	cop_table_print(&t, stdout, false);
	for (size_t k = 0; k < o->nfiles; k++)
		print_collapsed(o->file[k], &m[k].layout, m[k].mask);
	cop_table_release(&t);
	free(column);
}

static int print_list(const struct mask_options *o, const struct cop_mask_file *m, struct cop_err *err)
{
	cJSON *list = cJSON_CreateArray();
	int rc = 0;
	for (size_t k = 0; k < o->nfiles && !rc; k++) {
		cJSON *j = NULL;
		rc = mask_json(o->file[k], &m[k], &m[k].layout, m[k].mask, &j, err);
		if (!rc)
			cJSON_AddItemToArray(list, j);
	}
	if (rc)
		cJSON_Delete(list);
	else
		mask_print_json(list);
	return rc;
}

int mask_show(const struct mask_options *o, struct cop_err *err)
{
	struct cop_mask_file *m = cop_xcalloc(o->nfiles, sizeof(*m));
	size_t n = 0;
	int rc = 0;
	for (; n < o->nfiles && !rc; n += !rc) {
		rc = cop_mask_file_read(o->file[n], &m[n], err);
		if (!rc && n && (rc = mask_check_match(&m[0].layout, o->file[0], &m[n].layout, o->file[n], err)))
			cop_mask_file_release(&m[n]);
	}
	if (!rc && n == 1)
		rc = mask_print(o->file[0], &m[0], &m[0].layout, m[0].mask, o->json, err);
	else if (!rc && o->json)
		rc = print_list(o, m, err);
	else if (!rc)
		print_side_by_side(o, m);
	while (n--)
		cop_mask_file_release(&m[n]);
	free(m);
	return rc;
}
