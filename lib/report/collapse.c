/* Layers of which nothing is left; see collapse.h. */
#include "report/collapse.h"

#include "base/json.h"
#include "base/mem.h"
#include "report/table.h"
#include "report/text.h"

#include <stdlib.h>
#include <string.h>

/* A row's place; false where it has none that counts here. */
static bool find_place(const struct cop_grid *g, const struct cop_row *row, size_t *variant, size_t *quantile)
{
	*variant = cop_variants_find(&g->variants, row);
	*quantile = cop_grid_quantile(g, row->quantile);
	return row->child == 0 && *variant < g->variants.n && *quantile < g->nq;
}

static void count(struct cop_collapse *c, const struct cop_layer_count *layer, size_t order, size_t variant,
		  size_t quantile)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->v[i].order == order && c->v[i].variant == variant && c->v[i].quantile == quantile) {
			c->v[i].cells++;
			return;
		}
	c->v = cop_grow(c->v, &c->cap, c->n + 1, sizeof(*c->v));
	c->v[c->n] = (struct cop_collapsed){.order = order, .variant = variant, .quantile = quantile, .cells = 1};
	snprintf(c->v[c->n++].layer, COP_TENSOR_NAME, "%.*s", (int)strcspn(layer->name, "/"), layer->name);
}

static int by_place(const void *a, const void *b)
{
	const struct cop_collapsed *x = a, *y = b;
	if (x->variant != y->variant)
		return x->variant < y->variant ? -1 : 1;
	if (x->quantile != y->quantile)
		return x->quantile < y->quantile ? -1 : 1;
	return (x->order > y->order) - (x->order < y->order);
}

void cop_collapse_init(struct cop_collapse *c, const struct cop_results *r, const struct cop_grid *g)
{
	size_t variant, quantile;
	*c = (struct cop_collapse){.g = g};
	size_t *finished = cop_xcalloc(g->variants.n * g->nq + 1, sizeof(*finished));
	for (size_t i = 0; i < r->ncells; i++) {
		const struct cop_cell *cell = &r->cell[i];
		if (!find_place(g, &cell->row, &variant, &quantile))
			continue;
		finished[variant * g->nq + quantile]++;
		for (size_t k = 0; k < cell->nlayers; k++)
			if (cell->layer[k].total > 0 && cell->layer[k].nnz == 0)
				count(c, &cell->layer[k], k, variant, quantile);
	}
	for (size_t i = 0; i < c->n; i++)
		c->v[i].of = finished[c->v[i].variant * g->nq + c->v[i].quantile];
	if (c->n)
		qsort(c->v, c->n, sizeof(*c->v), by_place);
	free(finished);
}

void cop_collapse_release(struct cop_collapse *c)
{
	free(c->v);
	*c = (struct cop_collapse){0};
}

static const struct cop_column columns[] = {
	{"ticket", COP_COLUMN_TEXT, 0}, {"quantile", COP_COLUMN_GENERAL, 6}, {"layer", COP_COLUMN_TEXT, 0},
	{"cells", COP_COLUMN_INT, 0},   {"of", COP_COLUMN_INT, 0},
};

static void fill_table(struct cop_table *t, const struct cop_collapse *c)
{
	cop_table_init(t, columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < c->n; i++) {
		const struct cop_collapsed *v = &c->v[i];
		const char *name = c->g->variants.v[v->variant].name;
		cop_table_text(t, *name ? name : NULL);
		cop_table_real(t, c->g->quantile[v->quantile]);
		cop_table_text(t, v->layer);
		cop_table_int(t, (int64_t)v->cells);
		cop_table_int(t, (int64_t)v->of);
	}
}

void cop_collapse_print(const struct cop_collapse *c, FILE *out)
{
	struct cop_table t;
	if (c->n == 0)
		return;
	fill_table(&t, c);
	fprintf(out, "\nlayers that lost all their weights, in how many cells of those that are finished:\n");
	cop_table_print(&t, out, false);
	cop_table_release(&t);
}

struct cJSON *cop_collapse_json(const struct cop_collapse *c)
{
	struct cop_table t;
	fill_table(&t, c);
	cJSON *json = cop_table_json(&t);
	cop_table_release(&t);
	return json;
}

void cop_collapse_html(struct cop_str *b, const struct cop_collapse *c)
{
	if (c->n == 0)
		return;
	cop_str_add(
		b,
		"<section>\n<h2>Layers that are gone</h2>\n<p>Layers of which a mask left no weight, and in how many "
		"of the cells that are finished. What is left of the network goes past them.</p>\n"
		"<div class=\"scroll\"><table>\n<thead><tr><th class=\"text\">ticket</th><th>quantile</th>"
		"<th class=\"text\">layer</th><th>cells</th><th>of</th></tr></thead>\n<tbody>\n");
	for (size_t i = 0; i < c->n; i++) {
		const struct cop_collapsed *v = &c->v[i];
		cop_str_add(b, "<tr class=\"collapsed\"><td class=\"text\">");
		cop_text_html(b, c->g->variants.v[v->variant].name);
		cop_str_addf(b, "</td><td>%.6g</td><td class=\"text\">", c->g->quantile[v->quantile]);
		cop_text_html(b, v->layer);
		cop_str_addf(b, "</td><td>%zu</td><td>%zu</td></tr>\n", v->cells, v->of);
	}
	cop_str_add(b, "</tbody>\n</table></div>\n</section>\n");
}
