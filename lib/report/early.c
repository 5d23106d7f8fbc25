/* Early stops; see early.h. */
#include "report/early.h"

#include "base/mem.h"
#include "report/table.h"
#include "report/text.h"
#include "sweep/experiment.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* No step that anybody reaches, and no accuracy: damaged files must not stretch the pictures. */
#define STEPS_MOST 1e12

/* What makes cells one series. */
static struct cop_early_series *find_series(struct cop_early *e, const struct cop_row *row, size_t variant,
					    size_t reset)
{
	const char *name = e->g->variants.v[variant].name;
	for (size_t i = 0; i < e->n; i++)
		if (e->series[i].variant == variant && e->series[i].reset == reset)
			return &e->series[i];
	e->series = cop_grow(e->series, &e->cap, e->n + 1, sizeof(*e->series));
	struct cop_early_series *s = &e->series[e->n++];
	*s = (struct cop_early_series){.order = row->reset_step,
				       .variant = variant,
				       .reset = reset,
				       .at = cop_xcalloc(e->g->nq, sizeof(struct cop_early_place))};
	snprintf(s->label, sizeof(s->label), "%s%s%s", name, *name ? ", " : "", e->g->reset[reset].name);
	return s;
}

static void add(const struct cop_early *e, struct cop_early_place *p, const struct cop_history *h)
{
	struct cop_early_stop stop = cop_history_early_stop(h);
	double top1 = e->tested ? stop.test_top1 : stop.val_top1;
	if (!(fabs(stop.step) < STEPS_MOST))
		return;
	cop_spread_add(&p->step, stop.step);
	if (top1 >= 0 && top1 <= 1)
		cop_spread_add(&p->top1, top1);
}

static void finish(struct cop_early_place *p)
{
	cop_spread_finish(&p->step);
	cop_spread_finish(&p->top1);
}

static const struct cop_history *history_of(const struct cop_results *r, size_t i)
{
	return i < r->ndense ? &r->dense[i].history : &r->cell[i - r->ndense].history;
}

/* The widest gap between rows; the first one may begin anywhere, and the last one end. */
static double widest_gap(const struct cop_results *r)
{
	double most = NAN;
	for (size_t i = 0; i < r->ndense + r->ncells; i++) {
		const struct cop_history *h = history_of(r, i);
		for (size_t k = 1; k < h->n; k++)
			most = fmax(most, h->row[k][COP_HISTORY_STEP] - h->row[k - 1][COP_HISTORY_STEP]);
	}
	return most < STEPS_MOST ? most : NAN;
}

static int by_order(const void *a, const void *b)
{
	const struct cop_early_series *x = a, *y = b;
	if (x->variant != y->variant)
		return x->variant < y->variant ? -1 : 1;
	return x->order != y->order ? (x->order > y->order) - (x->order < y->order) : strcmp(x->label, y->label);
}

/* Weights that were trained before: how fast they learn their steps do not tell. */
static bool goes_on(const struct cop_row *row)
{
	return cop_retrain_goes_on(cop_choice_find(COP_RETRAIN_CHOICES, row->retrain));
}

void cop_early_init(struct cop_early *e, const struct cop_results *r, const struct cop_grid *g)
{
	bool any = false;
	*e = (struct cop_early){.g = g, .every = widest_gap(r)};
	for (size_t i = 0; i < r->ndense + r->ncells; i++) {
		struct cop_early_stop stop = cop_history_early_stop(history_of(r, i));
		any |= isfinite(stop.step);
		e->tested |= isfinite(stop.test_top1);
	}
	for (size_t i = 0; i < r->ncells && any; i++) {
		const struct cop_row *row = &r->cell[i].row;
		size_t q = cop_grid_quantile(g, row->quantile), k = cop_grid_reset(g, row->reset);
		size_t v = cop_variants_find(&g->variants, row);
		if (q < g->nq && k < g->nr && v < g->variants.n && row->child == 0 && !goes_on(row))
			add(e, &find_series(e, row, v, k)->at[q], &r->cell[i].history);
	}
	for (size_t i = 0; i < r->ndense; i++)
		add(e, &e->dense, &r->dense[i].history);
	finish(&e->dense);
	for (size_t i = 0; i < e->n; i++)
		for (size_t q = 0; q < g->nq; q++)
			finish(&e->series[i].at[q]);
	if (e->n)
		qsort(e->series, e->n, sizeof(*e->series), by_order);
}

void cop_early_release(struct cop_early *e)
{
	for (size_t i = 0; i < e->n; i++)
		free(e->series[i].at);
	free(e->series);
	*e = (struct cop_early){0};
}

double cop_early_speed(const struct cop_early *e, const struct cop_early_place *p)
{
	return p->step.mean > 0 && e->dense.step.mean > 0 ? e->dense.step.mean / p->step.mean : NAN;
}

static void add_step(struct cop_table *t, const struct cop_spread *s)
{
	if (s->n)
		cop_table_int(t, llround(s->mean));
	else
		cop_table_none(t);
}

/* Series shown[from] .. shown[to - 1]; the dense network is the same beside each. */
static void print_block(const struct cop_early *e, const size_t *shown, size_t from, size_t to, FILE *out)
{
	struct cop_table t;
	struct cop_column *column = cop_xcalloc(to - from + 2, sizeof(*column));
	column[0] = (struct cop_column){"quantile", COP_COLUMN_TEXT, 0};
	column[1] = (struct cop_column){"left", COP_COLUMN_PERCENT, 2};
	for (size_t i = from; i < to; i++)
		column[2 + i - from] = (struct cop_column){e->series[shown[i]].label, COP_COLUMN_INT, 0};
	cop_table_init(&t, column, to - from + 2);
	cop_table_text(&t, "dense");
	cop_table_real(&t, 1);
	for (size_t i = from; i < to; i++)
		add_step(&t, &e->dense.step);
	for (size_t q = 0; q < e->g->nq; q++) {
		char text[COP_NUMBER_TEXT];
		snprintf(text, sizeof(text), "%.6g", e->g->quantile[q]);
		cop_table_text(&t, text);
		cop_table_real(&t, e->g->left[q]);
		for (size_t i = from; i < to; i++)
			add_step(&t, &e->series[shown[i]].at[q].step);
	}
	cop_table_print(&t, out, false);
	cop_table_release(&t);
	free(column);
}

void cop_early_print(const struct cop_early *e, FILE *out, int width)
{
	enum { LABELS = 16, LEAST = 8 };
	size_t widest = LEAST, fit = 1, n = 0, *shown = cop_xcalloc(e->n + 1, sizeof(*shown));
	for (size_t i = 0; i < e->n; i++) {
		size_t w = cop_text_width(e->series[i].label);
		if (e->g->variants.n > 1 && e->series[i].reset != cop_grid_best_reset(e->g))
			continue;
		widest = w > widest ? w : widest;
		shown[n++] = i;
	}
	if (width >= LABELS + (int)widest + 2)
		fit = ((size_t)width - LABELS) / (widest + 2);
	if (n)
		fprintf(out, "\nearly stop, the step of the least validation loss (mean of the replicates):\n");
	for (size_t from = 0, to; from < n; from = to) {
		to = from + fit < n ? from + fit : n;
		if (from > 0)
			fprintf(out, "\n");
		print_block(e, shown, from, to, out);
	}
	free(shown);
}

static const struct cop_column columns[] = {
	{"reset", COP_COLUMN_TEXT, 0},         {"quantile", COP_COLUMN_GENERAL, 6},
	{"left", COP_COLUMN_PERCENT, 2},       {"replicates", COP_COLUMN_INT, 0},
	{"step", COP_COLUMN_REAL, 0},          {"step_half", COP_COLUMN_REAL, 0},
	{"times_sooner", COP_COLUMN_REAL, 2},  {"split", COP_COLUMN_TEXT, 0},
	{"top1", COP_COLUMN_PERCENT, 2},       {"top1_half", COP_COLUMN_PERCENT, 2},
	{"difference", COP_COLUMN_PERCENT, 2}, {"difference_half", COP_COLUMN_PERCENT, 2},
	{"criterion", COP_COLUMN_TEXT, 0},     {"retrain", COP_COLUMN_TEXT, 0},
};

/* s NULL: the dense network. */
static void add_row(struct cop_table *t, const struct cop_early *e, const struct cop_early_series *s, size_t q,
		    const struct cop_early_place *p)
{
	const struct cop_variant *v = s ? &e->g->variants.v[s->variant] : NULL;
	double left = s ? e->g->table[s->variant].left[q] : 1;
	struct cop_estimate here = cop_spread_estimate(&p->top1), dense = cop_spread_estimate(&e->dense.top1);
	struct cop_difference d = cop_difference_of(&here, &dense);
	cop_table_text(t, s ? e->g->reset[s->reset].name : "dense");
	cop_table_real(t, s ? e->g->quantile[q] : 0);
	cop_table_real(t, left);
	cop_table_int(t, (int64_t)p->step.n);
	cop_table_real(t, p->step.mean);
	cop_table_real(t, p->step.half);
	cop_table_real(t, cop_early_speed(e, p));
	cop_table_text(t, e->tested ? "test" : "validation");
	cop_table_real(t, p->top1.mean);
	cop_table_real(t, p->top1.half);
	cop_table_real(t, s ? d.mean : NAN);
	cop_table_real(t, s ? d.half : NAN);
	for (int i = 0; i < 2; i++)
		if (v)
			cop_table_text(t, i ? v->retrain : v->criterion);
		else
			cop_table_none(t);
}

struct cJSON *cop_early_json(const struct cop_early *e)
{
	struct cop_table t;
	cop_table_init(&t, columns, sizeof(columns) / sizeof(columns[0]));
	if (e->dense.step.n)
		add_row(&t, e, NULL, 0, &e->dense);
	for (size_t i = 0; i < e->n; i++)
		for (size_t q = 0; q < e->g->nq; q++)
			if (e->series[i].at[q].step.n)
				add_row(&t, e, &e->series[i], q, &e->series[i].at[q]);
	struct cJSON *json = cop_table_json(&t);
	cop_table_release(&t);
	return json;
}
