/* What masks share: 'coppice mask compare', of two files by tensor, of several or of a run's cells each with each; see
   masks.h. */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/param.h"
#include "masks.h"
#include "prune/overlap.h"
#include "report/table.h"
#include "sweep/catalog.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const struct cop_column pair_columns[] = {
	{"tensor", COP_COLUMN_TEXT, 0},   {"weights", COP_COLUMN_INT, 0}, {"kept by A", COP_COLUMN_INT, 0},
	{"kept by B", COP_COLUMN_INT, 0}, {"by both", COP_COLUMN_INT, 0}, {"overlap", COP_COLUMN_REAL, 4},
	{"jaccard", COP_COLUMN_REAL, 4},
};

static void add_overlap(struct cop_table *t, const char *name, const struct cop_overlap *o)
{
	cop_table_text(t, name);
	cop_table_int(t, (int64_t)o->total);
	cop_table_int(t, (int64_t)o->a);
	cop_table_int(t, (int64_t)o->b);
	cop_table_int(t, (int64_t)o->both);
	cop_table_real(t, cop_overlap_fraction(o));
	cop_table_real(t, cop_overlap_jaccard(o));
}

static void print_pair(const struct mask_options *o, const struct cop_layout *l, const uint8_t *a, const uint8_t *b)
{
	struct cop_table t;
	struct cop_overlap all = {0};
	cop_table_init(&t, pair_columns, sizeof(pair_columns) / sizeof(pair_columns[0]));
	for (size_t i = 0; i < l->n; i++) {
		struct cop_overlap one = cop_mask_overlap(&l->tensor[i], a, b);
		add_overlap(&t, l->tensor[i].name, &one);
		all.total += one.total;
		all.a += one.a;
		all.b += one.b;
		all.both += one.both;
	}
	add_overlap(&t, "total", &all);
	if (o->json) {
		cJSON *j = cJSON_CreateObject();
		cJSON_AddStringToObject(j, "a", o->file[0]);
		cJSON_AddStringToObject(j, "b", o->file[1]);
		cop_json_add_num(j, "overlap", cop_overlap_fraction(&all));
		cop_json_add_num(j, "jaccard", cop_overlap_jaccard(&all));
		cJSON_AddItemToObject(j, "tensors", cop_table_json(&t));
		mask_print_json(j);
	} else {
		cop_table_print(&t, stdout, false);
	}
	cop_table_release(&t);
}

static int compare_pair(const struct mask_options *o, struct cop_err *err)
{
	struct cop_mask_file a, b = {0};
	uint8_t *mask = NULL;
	int rc = cop_mask_file_read(o->file[0], &a, err);
	if (rc)
		return rc;
	rc = cop_mask_file_read(o->file[1], &b, err);
	if (!rc)
		rc = mask_check_match(&a.layout, o->file[0], &b.layout, o->file[1], err);
	if (!rc)
		rc = mask_spread(&b, &a.layout, &mask, err);
	if (!rc)
		print_pair(o, &a.layout, a.mask, mask);
	free(mask);
	cop_mask_file_release(&a);
	cop_mask_file_release(&b);
	return rc;
}

/* Masks that are compared each with each. */
struct row {
	int64_t number; /* what the table calls it */
	char *name;     /* owned */
	cJSON *about;   /* owned, until it is printed */
};

struct many {
	struct cop_mask_set set;
	struct row *row; /* (set.n) */
	size_t cap;
	char *first; /* the first one's file, for messages; owned */
	uint64_t *both;
};

static void release_many(struct many *m)
{
	for (size_t i = 0; i < m->set.n; i++) {
		free(m->row[i].name);
		cJSON_Delete(m->row[i].about);
	}
	free(m->row);
	free(m->first);
	free(m->both);
	cop_mask_set_release(&m->set);
}

/* Takes what `row` owns, also where it fails. */
static int add_mask(struct many *m, const char *path, struct row row, struct cop_err *err)
{
	struct cop_mask_file f;
	int rc = cop_mask_file_read(path, &f, err);
	if (!rc && m->set.n)
		rc = mask_check_match(&m->set.layout, m->first, &f.layout, path, err);
	if (!rc)
		rc = cop_mask_set_add(&m->set, &f.layout, f.mask, err);
	if (!rc) {
		m->row = cop_grow(m->row, &m->cap, m->set.n, sizeof(*m->row));
		m->row[m->set.n - 1] = row;
		m->first = m->first ? m->first : cop_xstrdup(path);
	} else {
		free(row.name);
		cJSON_Delete(row.about);
	}
	cop_mask_file_release(&f);
	return rc;
}

static double measure(const struct many *m, bool overlap, size_t i, size_t j)
{
	struct cop_overlap o = cop_mask_set_pair(m->both, m->set.n, i, j, cop_layout_count(&m->set.layout, true));
	return overlap ? cop_overlap_fraction(&o) : cop_overlap_jaccard(&o);
}

/* Masks i and j are equal where neither keeps a weight that the other has not. */
static bool equal(const struct many *m, size_t i, size_t j)
{
	size_t n = m->set.n;
	return m->both[i * n + j] == m->both[i * n + i] && m->both[i * n + j] == m->both[j * n + j];
}

static size_t first_equal(const struct many *m, size_t i)
{
	size_t k = 0;
	while (!equal(m, k, i))
		k++;
	return k;
}

/* Besides i itself. */
static size_t count_equal(const struct many *m, size_t i)
{
	size_t count = 0;
	for (size_t k = 0; k < m->set.n; k++)
		count += k != i && equal(m, i, k);
	return count;
}

/* Of equal masks the first one. */
static void print_matrix(const struct many *m, const char *heading, bool overlap)
{
	enum { BEFORE = 3, DIGITS = 24 };
	size_t n = m->set.n, shown = 0, *place = cop_xcalloc(n, sizeof(*place));
	struct cop_column *column = cop_xcalloc(BEFORE + n, sizeof(*column));
	char(*number)[DIGITS] = cop_xcalloc(n, sizeof(*number));
	struct cop_table t;
	column[0] = (struct cop_column){heading, COP_COLUMN_INT, 0};
	column[1] = (struct cop_column){overlap ? "overlap" : "jaccard", COP_COLUMN_TEXT, 0};
	column[2] = (struct cop_column){"kept", COP_COLUMN_INT, 0};
	for (size_t i = 0; i < n; i++)
		if (first_equal(m, i) == i)
			place[shown++] = i;
	for (size_t i = 0; i < shown; i++) {
		snprintf(number[i], DIGITS, "%" PRId64, m->row[place[i]].number);
		column[BEFORE + i] = (struct cop_column){number[i], COP_COLUMN_REAL, 3};
	}
	cop_table_init(&t, column, BEFORE + shown);
	for (size_t i = 0; i < shown; i++) {
		size_t a = place[i], others = count_equal(m, a);
		char *name = others ? cop_xasprintf("%s (+%zu equal)", m->row[a].name, others)
				    : cop_xstrdup(m->row[a].name);
		cop_table_int(&t, m->row[a].number);
		cop_table_text(&t, name);
		cop_table_int(&t, (int64_t)m->both[a * n + a]);
		for (size_t j = 0; j < shown; j++)
			cop_table_real(&t, measure(m, overlap, a, place[j]));
		free(name);
	}
	cop_table_print(&t, stdout, false);
	cop_table_release(&t);
	free(number);
	free(column);
	free(place);
}

static cJSON *matrix_json(const struct many *m, bool overlap)
{
	cJSON *rows = cJSON_CreateArray();
	for (size_t i = 0; i < m->set.n; i++) {
		cJSON *row = cJSON_CreateArray();
		for (size_t j = 0; j < m->set.n; j++)
			cJSON_AddItemToArray(row, cop_json_number(measure(m, overlap, i, j)));
		cJSON_AddItemToArray(rows, row);
	}
	return rows;
}

/* Into `to`; the rows give away what they are about. */
static void fill_json(struct many *m, cJSON *to)
{
	size_t n = m->set.n;
	cJSON *masks = cJSON_AddArrayToObject(to, "masks");
	for (size_t i = 0; i < n; i++) {
		cop_json_add_num(m->row[i].about, "kept", (double)m->both[i * n + i]);
		cJSON_AddItemToArray(masks, m->row[i].about);
		m->row[i].about = NULL;
	}
	cop_json_add_num(to, "weights", (double)cop_layout_count(&m->set.layout, true));
	cJSON_AddItemToObject(to, "jaccard", matrix_json(m, false));
	cJSON_AddItemToObject(to, "overlap", matrix_json(m, true));
}

static int count_pairs(struct many *m, struct cop_err *err)
{
	int rc = cop_alloc(&m->both, m->set.n * m->set.n, sizeof(*m->both), "a matrix", err);
	if (!rc)
		cop_mask_set_overlaps(&m->set, m->set.layout.n, m->both);
	return rc;
}

static int compare_files(const struct mask_options *o, struct cop_err *err)
{
	struct many m = {0};
	int rc = 0;
	for (size_t i = 0; i < o->nfiles && !rc; i++) {
		struct row row = {(int64_t)i + 1, cop_xstrdup(o->file[i]), cJSON_CreateObject()};
		cJSON_AddStringToObject(row.about, "file", o->file[i]);
		rc = add_mask(&m, o->file[i], row, err);
	}
	if (!rc)
		rc = count_pairs(&m, err);
	if (!rc && o->json) {
		cJSON *j = cJSON_CreateObject();
		fill_json(&m, j);
		mask_print_json(j);
	} else if (!rc) {
		print_matrix(&m, "mask", o->overlap);
	}
	release_many(&m);
	return rc;
}

static struct row row_of(const struct cop_point *p)
{
	char text[COP_POINT_TEXT];
	const char *variant = cop_point_variant(p, text);
	struct row row = {p->index,
			  cop_xasprintf("replicate %" PRId64 ", reset %s%s%s", p->replicate, p->reset,
					*variant ? ", " : "", variant),
			  cJSON_CreateObject()};
	cop_json_add_num(row.about, "cell", (double)p->index);
	cop_json_add_num(row.about, "replicate", (double)p->replicate);
	cJSON_AddStringToObject(row.about, "reset", p->reset);
	cJSON_AddStringToObject(row.about, "criterion",
				cop_choice_text(COP_CRITERION_CHOICES, p->criterion, text, sizeof(text)));
	cJSON_AddStringToObject(row.about, "retrain",
				cop_choice_text(COP_RETRAIN_CHOICES, p->retrain, text, sizeof(text)));
	cop_json_add_num(row.about, "child", (double)p->child);
	return row;
}

static int add_cells(struct many *m, const struct cop_catalog *c, double quantile, struct cop_err *err)
{
	const struct cop_run *run = c->run;
	int rc = 0;
	for (size_t i = 0; i < run->ncells && !rc; i++) {
		if (run->cell[i].quantile != quantile || !cop_catalog_valid(c, (int64_t)i))
			continue;
		char *path = cop_run_cell(run, (int64_t)i);
		rc = add_mask(m, path, row_of(&run->cell[i]), err);
		free(path);
		cop_progress("reading masks", (double)(i + 1), (double)run->ncells, "quantile %g", quantile);
	}
	cop_progress("reading masks", 1, 1, "%s", "");
	return rc;
}

/* The cells of one quantile; none that is done is no table. */
static int compare_cells(const struct mask_options *o, const struct cop_catalog *c, double quantile, cJSON *list,
			 struct cop_err *err)
{
	struct many m = {0};
	int rc = add_cells(&m, c, quantile, err);
	if (!rc && m.set.n)
		rc = count_pairs(&m, err);
	if (!rc && m.set.n && o->json) {
		cJSON *j = cJSON_CreateObject();
		cop_json_add_num(j, "quantile", quantile);
		fill_json(&m, j);
		cJSON_AddItemToArray(list, j);
	} else if (!rc && m.set.n) {
		printf("quantile %.9g\n\n", quantile);
		print_matrix(&m, "cell", o->overlap);
		putchar('\n');
	}
	release_many(&m);
	return rc;
}

static bool has_quantile(const struct cop_reals *all, double quantile)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->v[i] == quantile)
			return true;
	return false;
}

static int compare_quantiles(const struct mask_options *o, const struct cop_catalog *c, struct cop_err *err)
{
	const struct cop_reals *all = &c->run->experiment.sweep.quantiles;
	size_t there = 0;
	if (o->how != MASK_NONE && !has_quantile(all, o->value))
		return cop_fail(err, COP_EINPUT, "no cell of '%s' has the quantile '%g'", o->file[0], o->value);
	for (size_t i = 0; i < c->run->ncells; i++)
		there += cop_catalog_valid(c, (int64_t)i);
	if (there == 0)
		return cop_fail(err, COP_EINPUT, "no cell of '%s' is done", o->file[0]);
	if (there < c->run->ncells)
		cop_info("%zu of %zu cells are not done", c->run->ncells - there, c->run->ncells);
	cJSON *list = cJSON_CreateArray();
	int rc = 0;
	for (size_t i = 0; i < all->n && !rc; i++)
		if (o->how == MASK_NONE || all->v[i] == o->value)
			rc = compare_cells(o, c, all->v[i], list, err);
	if (!rc && o->json)
		mask_print_json(list);
	else
		cJSON_Delete(list);
	return rc;
}

static int compare_run(const struct mask_options *o, struct cop_err *err)
{
	struct cop_run run;
	struct cop_catalog c;
	int rc = cop_run_open(&run, o->file[0], err);
	if (rc)
		return rc;
	if (!run.experiment.sweep.keep_weights) {
		cop_run_release(&run);
		return cop_fail(err, COP_EINPUT, "the cells of '%s' hold no masks ('sweep.keep_weights' is false)",
				o->file[0]);
	}
	cop_catalog_open(&c, &run);
	rc = compare_quantiles(o, &c, err);
	cop_catalog_close(&c);
	cop_run_release(&run);
	return rc;
}

int mask_compare(const struct mask_options *o, struct cop_err *err)
{
	bool run = o->nfiles == 1 && cop_is_folder(o->file[0]);
	if (run)
		return compare_run(o, err);
	if (o->how != MASK_NONE)
		return cop_fail(err, COP_EINPUT, "--quantile chooses among the cells of a run's folder");
	if (o->nfiles == 1)
		return cop_fail(err, COP_EINPUT, "compare '%s' with which other file?", o->file[0]);
	return o->nfiles == 2 ? compare_pair(o, err) : compare_files(o, err);
}
