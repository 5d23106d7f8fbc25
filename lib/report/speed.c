/* Cells beside the dense run; see speed.h. */
#include "report/speed.h"

#include "base/json.h"
#include "report/table.h"

#include <math.h>
#include <string.h>

static bool alike(const struct cop_row *row, const struct cop_dense *d)
{
	return *row->device && strcmp(row->device, d->device) == 0 && row->cores == d->cores && row->gpus == d->gpus;
}

double cop_speed_of(const struct cop_row *row, const struct cop_results *r)
{
	for (size_t i = 0; i < r->ndense && row->same_as < 0; i++) {
		const struct cop_dense *d = &r->dense[i];
		if (d->replicate == row->replicate)
			return alike(row, d) && row->images_per_second > 0 && d->images_per_second > 0
				       ? row->images_per_second / d->images_per_second
				       : NAN;
	}
	return NAN;
}

static const struct cop_column columns[] = {
	{"quantile", COP_COLUMN_GENERAL, 6}, {"left", COP_COLUMN_PERCENT, 2}, {"cells", COP_COLUMN_INT, 0},
	{"speedup", COP_COLUMN_REAL, 2},     {"least", COP_COLUMN_REAL, 2},   {"most", COP_COLUMN_REAL, 2},
};

static void fill_table(struct cop_table *t, const struct cop_grid *g)
{
	cop_table_init(t, columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t q = 0; q < g->nq; q++) {
		const struct cop_spread *s = &g->speed[q];
		if (!s->n)
			continue;
		cop_table_real(t, g->quantile[q]);
		cop_table_real(t, g->left[q]);
		cop_table_int(t, (int64_t)s->n);
		cop_table_real(t, s->mean);
		cop_table_real(t, s->min);
		cop_table_real(t, s->max);
	}
}

void cop_speed_print(const struct cop_grid *g, FILE *out)
{
	struct cop_table t;
	fill_table(&t, g);
	if (cop_table_rows(&t)) {
		fprintf(out, "\ncells beside the dense run, images a second (the dense run's is 1):\n");
		cop_table_print(&t, out, false);
	}
	cop_table_release(&t);
}

struct cJSON *cop_speed_json(const struct cop_grid *g)
{
	struct cop_table t;
	fill_table(&t, g);
	cJSON *json = cop_table_json(&t);
	cop_table_release(&t);
	return json;
}

void cop_speed_html(struct cop_str *b, const struct cop_grid *g)
{
	size_t known = 0;
	for (size_t q = 0; q < g->nq; q++)
		known += g->speed[q].n;
	if (!known)
		return;
	cop_str_add(b, "<section>\n<h2>How fast</h2>\n<p>Images a second within training steps, beside the dense run's "
		       "of the same replicate, which counts as 1; of cells that ran on the same device with as many "
		       "threads.</p>\n<div class=\"scroll\"><table>\n<thead><tr><th>quantile</th><th>left %</th>"
		       "<th>cells</th><th>times dense</th><th>least</th><th>most</th></tr></thead>\n<tbody>\n");
	for (size_t q = 0; q < g->nq; q++) {
		const struct cop_spread *s = &g->speed[q];
		if (s->n)
			cop_str_addf(b,
				     "<tr class=\"speed\"><td>%.6g</td><td>%.4g</td><td>%zu</td><td>%.2f</td>"
				     "<td>%.2f</td><td>%.2f</td></tr>\n",
				     g->quantile[q], 100 * g->left[q], s->n, s->mean, s->min, s->max);
	}
	cop_str_add(b, "</tbody>\n</table></div>\n</section>\n");
}
