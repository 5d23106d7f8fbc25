/* Overlaps of tickets; see overlaps.h. */
#include "report/overlaps.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "prune/overlap.h"
#include "report/figures.h"
#include "store/mask.h"
#include "sweep/run.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* While they are gathered; set.n is o->n. */
struct gathering {
	struct cop_overlaps *o;
	struct cop_mask_set set;
	const struct cop_grid *g;
	const char *run;
	const struct cop_row *row[COP_OVERLAPS_READ]; /* whose files were read */
	size_t read;
	bool replicates; /* there are several */
};

/* "magnitude, replicate 1, reset to 2ep"; what all cells share is left out. */
static char *label_of(const struct gathering *s, const struct cop_row *row)
{
	const struct cop_grid *g = s->g;
	struct cop_str b = {0};
	size_t v = cop_variants_find(&g->variants, row);
	if (v < g->variants.n)
		cop_str_add(&b, g->variants.v[v].name);
	if (s->replicates)
		cop_str_addf(&b, "%sreplicate %" PRId64, b.len ? ", " : "", row->replicate);
	if (g->nr > 1 || !b.len)
		cop_str_addf(&b, "%sreset to %.*s", b.len ? ", " : "", COP_TEXT - 1, row->reset);
	return cop_str_take(&b);
}

/* One that is known counts for the cell that had it first. */
static void add_mask(struct gathering *s, const struct cop_mask_file *f, const struct cop_row *row)
{
	struct cop_overlaps *o = s->o;
	struct cop_err err;
	if (cop_mask_set_add(&s->set, &f->layout, f->mask, &err)) {
		cop_warn("cell %" PRId64 ": %s: its mask is not among the overlaps", row->index, err.msg);
		return;
	}
	if (cop_mask_set_find_last(&s->set) < o->n)
		cop_mask_set_drop(&s->set);
	else
		o->mask[o->n++] = (struct cop_overlaps_mask){.row = row, .label = label_of(s, row)};
}

static bool same_word(const char *a, const char *b)
{
	return strncmp(a, b, COP_TEXT - 1) == 0;
}

/* Whether a file with this mask was read: scores that are cut up to the same one are the same scores. */
static bool is_known(const struct gathering *s, const struct cop_row *row)
{
	for (size_t i = 0; i < s->read; i++) {
		const struct cop_row *r = s->row[i];
		if (r->replicate == row->replicate && r->round == row->round && r->nnz == row->nnz &&
		    r->threshold == row->threshold && same_word(r->criterion, row->criterion) &&
		    same_word(r->retrain, row->retrain))
			return true;
	}
	return false;
}

static void add_cell(struct gathering *s, const struct cop_row *row)
{
	struct cop_mask_file f;
	struct cop_err err;
	if (row->same_as >= 0 || is_known(s, row))
		return;
	if (s->read == COP_OVERLAPS_READ || s->o->n == COP_OVERLAPS_MAX) {
		s->o->more = true;
		return;
	}
	s->row[s->read++] = row;
	char *path = cop_cell_path(s->run, row->index);
	bool has = false;
	int rc = cop_exists(path) ? cop_mask_file_has(path, &has, &err) : 0;
	if (has)
		rc = cop_mask_file_read(path, &f, &err);
	if (rc)
		cop_warn("%s: its mask is not among the overlaps", err.msg);
	if (has && !rc) {
		add_mask(s, &f, row);
		cop_mask_file_release(&f);
	}
	free(path);
}

static void measure(struct cop_overlaps *o, const struct cop_mask_set *set)
{
	size_t total = cop_layout_count(&set->layout, true);
	uint64_t *both = cop_xcalloc(o->n * o->n, sizeof(*both)), least = UINT64_MAX;
	cop_mask_set_overlaps(set, set->layout.n, both);
	o->v = cop_xcalloc(o->n * o->n, sizeof(*o->v));
	for (size_t i = 0; i < o->n * o->n; i++) {
		struct cop_overlap pair = cop_mask_set_pair(both, o->n, i / o->n, i % o->n, total);
		o->v[i] = cop_overlap_fraction(&pair);
		least = both[i / o->n * (o->n + 1)] < least ? both[i / o->n * (o->n + 1)] : least;
	}
	o->chance = total ? (double)least / (double)total : NAN;
	free(both);
}

/* The row of the grid that is worth to look at; nq where nothing is finished. */
static size_t quantile_of(const struct cop_grid *g)
{
	struct cop_grid shown;
	size_t place = cop_grid_ticket(g, &shown);
	if (place < g->nq * g->nr)
		return place / g->nr;
	shown = cop_grid_show(g, cop_grid_best_variant(g));
	return shown.best < g->nq * g->nr ? shown.best / g->nr : g->nq;
}

void cop_overlaps_read(struct cop_overlaps *o, const char *run, const struct cop_results *r, const struct cop_grid *g)
{
	size_t q = quantile_of(g);
	struct gathering s = {.o = o, .g = g, .run = run};
	*o = (struct cop_overlaps){.quantile = q < g->nq ? g->quantile[q] : NAN};
	o->mask = cop_xcalloc(COP_OVERLAPS_MAX, sizeof(*o->mask));
	for (size_t i = 0; i < r->ncells; i++)
		s.replicates |= r->cell[i].row.replicate != r->cell[0].row.replicate;
	for (size_t k = 0; k < g->nr && q < g->nq; k++)
		for (size_t i = 0; i < r->ncells; i++) {
			const struct cop_row *row = &r->cell[i].row;
			if (row->child == 0 && cop_grid_quantile(g, row->quantile) == q &&
			    cop_grid_reset(g, row->reset) == k)
				add_cell(&s, row);
		}
	if (o->n > 1)
		measure(o, &s.set);
	else
		cop_overlaps_release(o);
	cop_mask_set_release(&s.set);
}

void cop_overlaps_release(struct cop_overlaps *o)
{
	for (size_t i = 0; i < o->n; i++)
		free(o->mask[i].label);
	free(o->mask);
	free(o->v);
	*o = (struct cop_overlaps){0};
}

void cop_figure_overlaps(struct cop_str *b, const struct cop_overlaps *o)
{
	char *label[COP_OVERLAPS_MAX];
	for (size_t i = 0; i < o->n; i++)
		label[i] = o->mask[i].label;
	cop_figure_matrix(b, "overlaps of the tickets' masks", label, o->v, o->n);
}

static cJSON *mask_json(const struct cop_overlaps_mask *m)
{
	cJSON *json = cJSON_CreateObject();
	cop_json_add_num(json, "cell", (double)m->row->index);
	cop_json_add_num(json, "replicate", (double)m->row->replicate);
	cJSON_AddStringToObject(json, "reset", m->row->reset);
	cJSON_AddStringToObject(json, "criterion", m->row->criterion);
	cJSON_AddStringToObject(json, "retrain", m->row->retrain);
	return json;
}

cJSON *cop_overlaps_json(const struct cop_overlaps *o)
{
	if (!o->n)
		return cJSON_CreateNull();
	cJSON *json = cJSON_CreateObject();
	cop_json_add_num(json, "quantile", o->quantile);
	cop_json_add_num(json, "chance", o->chance);
	cJSON *masks = cJSON_AddArrayToObject(json, "masks"), *rows = cJSON_AddArrayToObject(json, "overlap");
	for (size_t i = 0; i < o->n; i++) {
		cJSON *row = cJSON_CreateArray();
		for (size_t j = 0; j < o->n; j++)
			cJSON_AddItemToArray(row, cop_json_number(o->v[i * o->n + j]));
		cJSON_AddItemToArray(rows, row);
		cJSON_AddItemToArray(masks, mask_json(&o->mask[i]));
	}
	return json;
}
