/* The grid; see grid.h. */
#include "report/grid.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/order.h"
#include "base/str.h"
#include "report/speed.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A quantile that went through JSON and back is the same one. */
#define SAME_QUANTILE 1e-9
/* No accuracy: a damaged file must not stretch the pictures beyond what numbers can say. */
#define ABSURD 1e6

size_t cop_grid_quantile(const struct cop_grid *g, double quantile)
{
	size_t i = 0;
	while (i < g->nq && !(fabs(g->quantile[i] - quantile) < SAME_QUANTILE))
		i++;
	return i;
}

size_t cop_grid_reset(const struct cop_grid *g, const char *reset)
{
	size_t i = 0;
	while (i < g->nr && strncmp(g->reset[i].name, reset, COP_TEXT - 1) != 0)
		i++;
	return i;
}

static void add_quantile(struct cop_grid *g, size_t *cap, double quantile)
{
	if (!isfinite(quantile) || cop_grid_quantile(g, quantile) < g->nq)
		return;
	g->quantile = cop_grow(g->quantile, cap, g->nq + 1, sizeof(*g->quantile));
	g->quantile[g->nq++] = quantile;
}

static void add_reset(struct cop_grid *g, size_t *cap, const char *name, int64_t step)
{
	size_t at = cop_grid_reset(g, name);
	if (at == g->nr) {
		g->reset = cop_grow(g->reset, cap, g->nr + 1, sizeof(*g->reset));
		g->reset[g->nr++] = (struct cop_grid_reset){.step = -1};
		snprintf(g->reset[at].name, COP_TEXT, "%.*s", COP_TEXT - 1, name);
	}
	if (step >= 0)
		g->reset[at].step = step;
}

/* How many steps an epoch has, from the first history that tells; 0: none does. */
static double steps_per_epoch(const struct cop_results *r)
{
	for (size_t i = 0; i < r->ndense + r->ncells; i++) {
		const struct cop_history *h = i < r->ndense ? &r->dense[i].history : &r->cell[i - r->ndense].history;
		const double *last = h->n ? h->row[h->n - 1] : NULL;
		if (last && last[COP_HISTORY_EPOCH] > 0 && last[COP_HISTORY_STEP] > 0)
			return last[COP_HISTORY_STEP] / last[COP_HISTORY_EPOCH];
	}
	return 0;
}

/* "3ep" and "500it" as steps; -1 where that cannot be said. */
static int64_t step_of(const char *reset, double per_epoch)
{
	char *end;
	double v = strtod(reset, &end);
	if (end == reset || !(v >= 0 && v < 1e15))
		return -1;
	if (strcmp(end, "it") == 0)
		return llround(v);
	if (strcmp(end, "ep") == 0 && (v == 0 || per_epoch > 0))
		return llround(v * per_epoch);
	return -1;
}

static void add_planned(struct cop_grid *g, size_t *qcap, size_t *rcap, const struct cop_results *r, const cJSON *sweep)
{
	const cJSON *item;
	double per_epoch = steps_per_epoch(r);
	cJSON_ArrayForEach (item, cJSON_GetObjectItemCaseSensitive(sweep, "quantiles")) {
		if (cJSON_IsNumber(item))
			add_quantile(g, qcap, item->valuedouble);
	}
	cJSON_ArrayForEach (item, cJSON_GetObjectItemCaseSensitive(sweep, "reset")) {
		if (cJSON_IsString(item))
			add_reset(g, rcap, item->valuestring, step_of(item->valuestring, per_epoch));
	}
}

static int by_step(const void *a, const void *b)
{
	const struct cop_grid_reset *x = a, *y = b;
	uint64_t s = (uint64_t)x->step, t = (uint64_t)y->step; /* -1 comes last */
	return s != t ? (s > t) - (s < t) : strcmp(x->name, y->name);
}

void cop_spread_add(struct cop_spread *s, double v)
{
	if (!isfinite(v))
		return;
	s->min = s->n ? fmin(s->min, v) : v;
	s->max = s->n ? fmax(s->max, v) : v;
	cop_moments_add(&s->sums, v);
	s->n = s->sums.n;
}

void cop_spread_finish(struct cop_spread *s)
{
	struct cop_estimate e = cop_moments_estimate(&s->sums);
	s->mean = e.mean;
	s->sd = e.sd;
	s->half = e.half;
	if (!s->n)
		s->min = s->max = NAN;
}

struct cop_estimate cop_spread_estimate(const struct cop_spread *s)
{
	return (struct cop_estimate){.n = s->n, .mean = s->mean, .sd = s->sd, .half = s->half};
}

static void add_value(struct cop_spread *s, double v)
{
	if (fabs(v) < ABSURD)
		cop_spread_add(s, v);
}

/* Where a row belongs; false: nowhere. */
static bool find_place(const struct cop_grid *g, const struct cop_row *row, size_t *v, size_t *q, size_t *k)
{
	*v = cop_variants_find(&g->variants, row);
	*q = cop_grid_quantile(g, row->quantile);
	*k = cop_grid_reset(g, row->reset);
	return *v < g->variants.n && *q < g->nq && *k < g->nr;
}

/* Of a place that nothing is known of: as much as is left of another variant, or what the quantile says. */
static double left_elsewhere(const struct cop_grid *g, const size_t *count, size_t q)
{
	for (size_t v = 0; v < g->variants.n; v++)
		if (count[v * g->nq + q])
			return g->table[v].left[q];
	return 1 - g->quantile[q];
}

static void gather(struct cop_grid *g, const struct cop_results *r)
{
	size_t *count = cop_xcalloc(g->variants.n * g->nq, sizeof(*count)), v, q, k;
	for (size_t i = 0; i < r->ncells; i++) {
		const struct cop_row *row = &r->cell[i].row;
		if (!find_place(g, row, &v, &q, &k))
			continue;
		add_value(&g->speed[q], cop_speed_of(row, r));
		if (row->child != 0)
			continue;
		add_value(&g->table[v].top1[q * g->nr + k], row->test_top1);
		if (row->total > 0) {
			g->table[v].left[q] += (double)row->nnz / (double)row->total;
			count[v * g->nq + q]++;
		}
	}
	for (v = 0; v < g->variants.n; v++)
		for (q = 0; q < g->nq; q++) {
			size_t n = count[v * g->nq + q];
			g->table[v].left[q] = n ? g->table[v].left[q] / (double)n : NAN;
		}
	for (v = 0; v < g->variants.n; v++)
		for (q = 0; q < g->nq; q++)
			if (!count[v * g->nq + q])
				g->table[v].left[q] = left_elsewhere(g, count, q);
	free(count);
	for (size_t i = 0; i < r->ndense; i++)
		add_value(&g->dense, r->dense[i].test_top1);
}

static void summarise_table(struct cop_grid *g, struct cop_grid_table *t)
{
	t->best = g->nq * g->nr;
	for (size_t i = 0; i < g->nq * g->nr; i++) {
		struct cop_spread *s = &t->top1[i];
		cop_spread_finish(s);
		g->low = fmin(g->low, s->mean);
		g->high = fmax(g->high, s->mean);
		if (s->n > g->replicates)
			g->replicates = s->n;
		/* of equals the sparsest, and of those the earliest reset point */
		if (s->n && (t->best == g->nq * g->nr || s->mean > t->top1[t->best].mean ||
			     (s->mean == t->top1[t->best].mean && i / g->nr > t->best / g->nr)))
			t->best = i;
	}
}

static void summarise(struct cop_grid *g)
{
	cop_spread_finish(&g->dense);
	for (size_t q = 0; q < g->nq; q++)
		cop_spread_finish(&g->speed[q]);
	g->low = g->high = g->dense.mean;
	for (size_t v = 0; v < g->variants.n; v++)
		summarise_table(g, &g->table[v]);
}

/* What is found along the axes, planned or finished. */
static void find_axes(struct cop_grid *g, const struct cop_results *r)
{
	size_t qcap = 0, rcap = 0;
	cJSON *json = NULL;
	const cJSON *sweep = NULL;
	if (r->experiment && cop_json_parse(r->experiment, "experiment", &json, NULL) == 0)
		sweep = cJSON_GetObjectItemCaseSensitive(json, "sweep");
	for (size_t i = 0; i < r->ncells; i++) {
		add_quantile(g, &qcap, r->cell[i].row.quantile);
		add_reset(g, &rcap, r->cell[i].row.reset, r->cell[i].row.reset_step);
	}
	add_planned(g, &qcap, &rcap, r, sweep);
	cop_variants_init(&g->variants, r, sweep);
	cJSON_Delete(json);
	if (g->nq)
		qsort(g->quantile, g->nq, sizeof(*g->quantile), cop_compare_doubles);
	if (g->nr)
		qsort(g->reset, g->nr, sizeof(*g->reset), by_step);
}

void cop_grid_init(struct cop_grid *g, const struct cop_results *r)
{
	*g = (struct cop_grid){0};
	find_axes(g, r);
	g->speed = cop_xcalloc(g->nq, sizeof(*g->speed));
	g->table = cop_xcalloc(g->variants.n, sizeof(*g->table));
	for (size_t v = 0; v < g->variants.n; v++) {
		g->table[v].left = cop_xcalloc(g->nq, sizeof(*g->left));
		g->table[v].top1 = cop_xcalloc(g->nq * g->nr, sizeof(*g->top1));
	}
	gather(g, r);
	summarise(g);
	*g = cop_grid_show(g, 0);
}

struct cop_grid cop_grid_show(const struct cop_grid *g, size_t v)
{
	struct cop_grid shown = *g;
	shown.shown = v;
	shown.best = g->table[v].best;
	shown.left = g->table[v].left;
	shown.top1 = g->table[v].top1;
	return shown;
}

bool cop_grid_shows(const struct cop_grid *g, const struct cop_row *row)
{
	return row->child == 0 && cop_variants_find(&g->variants, row) == g->shown;
}

const char *cop_grid_name(const struct cop_grid *g)
{
	return g->variants.n ? g->variants.v[g->shown].name : "";
}

size_t cop_grid_best_variant(const struct cop_grid *g)
{
	size_t found = 0;
	for (size_t v = 1; v < g->variants.n; v++) {
		const struct cop_grid_table *t = &g->table[v], *best = &g->table[found];
		if (t->best < g->nq * g->nr &&
		    (best->best == g->nq * g->nr || t->top1[t->best].mean > best->top1[best->best].mean))
			found = v;
	}
	return found;
}

void cop_grid_release(struct cop_grid *g)
{
	for (size_t v = 0; v < g->variants.n; v++) {
		free(g->table[v].left);
		free(g->table[v].top1);
	}
	free(g->table);
	cop_variants_release(&g->variants);
	free(g->quantile);
	free(g->speed);
	free(g->reset);
	*g = (struct cop_grid){0};
}

const struct cop_spread *cop_grid_at(const struct cop_grid *g, size_t quantile, size_t reset)
{
	return &g->top1[quantile * g->nr + reset];
}

double cop_grid_scale(const struct cop_grid *g, double v)
{
	double range = g->high - g->low;
	return range > 0 ? fmin(1, fmax(0, (v - g->low) / range)) : 1;
}

/* Of the variant that is shown the sparsest place within COP_TICKET_BELOW of the dense network, the best of equals; nq
 * nr: none. */
static size_t find_ticket_shown(const struct cop_grid *g)
{
	size_t found = g->nq * g->nr;
	for (size_t i = found; i-- > 0;) {
		if (!g->top1[i].n || !(g->top1[i].mean >= g->dense.mean - COP_TICKET_BELOW))
			continue;
		bool same_row = found < g->nq * g->nr && found / g->nr == i / g->nr;
		if (found == g->nq * g->nr || (same_row && g->top1[i].mean >= g->top1[found].mean))
			found = i;
	}
	return found;
}

size_t cop_grid_ticket(const struct cop_grid *g, struct cop_grid *shown)
{
	size_t found = g->nq * g->nr;
	*shown = *g;
	for (size_t v = 0; v < g->variants.n; v++) {
		struct cop_grid here = cop_grid_show(g, v);
		size_t at = find_ticket_shown(&here);
		if (at == g->nq * g->nr)
			continue;
		bool same_row = found < g->nq * g->nr && at / g->nr == found / g->nr;
		if (found == g->nq * g->nr || at / g->nr > found / g->nr ||
		    (same_row && here.top1[at].mean > shown->top1[found].mean)) {
			found = at;
			*shown = here;
		}
	}
	return found;
}

size_t cop_grid_best_reset(const struct cop_grid *g)
{
	struct cop_grid best = cop_grid_show(g, cop_grid_best_variant(g));
	return g->nr ? best.best % g->nr : 0;
}
