/* Training curves; see figures.h. */
#include "base/mem.h"
#include "base/order.h"
#include "report/figures.h"
#include "report/svg.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 480, LEFT = 48, RIGHT = 466, TOP = 34, BOTTOM = 262, LEGEND_Y = 320, CURVES_MAX = 11 };

struct curve {
	const struct cop_history *history;
	size_t quantile, style; /* style 0: drawn, 1: dashed */
};

struct curves {
	const struct cop_grid *g;
	const struct cop_history *dense;
	struct curve curve[CURVES_MAX];
	size_t n;
	size_t quantile[CURVES_MAX], nquantiles;
	enum cop_history_column column;
	double scale; /* percent of fractions */
	double first, last, low, high;
};

static bool has_validation(const struct cop_history *h)
{
	return h->n && isfinite(h->row[h->n - 1][COP_HISTORY_VAL_TOP1]);
}

static const struct cop_cell *find_cell(const struct cop_results *r, const struct cop_grid *g, int64_t replicate,
					size_t q, size_t k)
{
	for (size_t i = 0; i < r->ncells; i++) {
		const struct cop_row *row = &r->cell[i].row;
		if (row->replicate == replicate && cop_grid_shows(g, row) && cop_grid_quantile(g, row->quantile) == q &&
		    cop_grid_reset(g, row->reset) == k)
			return &r->cell[i];
	}
	return NULL;
}

/* The best cell's reset point and the earliest; as many quantiles, evenly from first to last, as there is room for. */
static void choose(struct curves *s, const struct cop_results *r, struct cop_curves *c)
{
	const struct cop_grid *g = s->g;
	size_t resets[2] = {g->best % g->nr, 0}, room;
	c->nresets = resets[0] == 0 ? 1 : 2;
	room = CURVES_MAX / c->nresets;
	s->nquantiles = g->nq < room ? g->nq : room;
	for (size_t i = 0; i < s->nquantiles; i++)
		s->quantile[i] = s->nquantiles > 1 ? i * (g->nq - 1) / (s->nquantiles - 1) : 0;
	c->replicate = r->cell[0].row.replicate;
	for (size_t i = 0; i < r->ndense && !s->dense; i++)
		if (r->dense[i].replicate == c->replicate && r->dense[i].history.n)
			s->dense = &r->dense[i].history;
	for (size_t k = 0; k < c->nresets; k++) {
		c->reset[k] = g->reset[resets[k]].name;
		for (size_t i = 0; i < s->nquantiles; i++) {
			const struct cop_cell *cell = find_cell(r, g, c->replicate, s->quantile[i], resets[k]);
			if (cell && cell->history.n)
				s->curve[s->n++] = (struct curve){&cell->history, i, k};
		}
	}
	c->shown = s->n;
	c->cells = r->ncells;
}

static bool drawable(const double *row, enum cop_history_column column)
{
	return fabs(row[COP_HISTORY_STEP]) < 1e15 && fabs(row[column]) < 1e6;
}

/* From the first step to the last of all curves; false where there is no such range. */
static bool find_steps(struct curves *s)
{
	s->first = INFINITY;
	s->last = -INFINITY;
	for (size_t i = 0; i <= s->n; i++) {
		const struct cop_history *h = i < s->n ? s->curve[i].history : s->dense;
		for (size_t k = 0; h && k < h->n; k++) {
			if (!drawable(h->row[k], s->column))
				continue;
			s->first = fmin(s->first, h->row[k][COP_HISTORY_STEP]);
			s->last = fmax(s->last, h->row[k][COP_HISTORY_STEP]);
		}
	}
	return s->last > s->first;
}

/* The points after the first tenth of all steps into v; returns how many. All of them where `from_start`. */
static size_t gather_points(const struct curves *s, bool from_start, double *v)
{
	size_t n = 0;
	double after = s->first + 0.1 * (s->last - s->first);
	for (size_t i = 0; i <= s->n; i++) {
		const struct cop_history *h = i < s->n ? s->curve[i].history : s->dense;
		for (size_t k = 0; h && k < h->n; k++)
			if (drawable(h->row[k], s->column) && (from_start || h->row[k][COP_HISTORY_STEP] > after))
				v[n++] = s->scale * h->row[k][s->column];
	}
	qsort(v, n, sizeof(*v), cop_compare_doubles);
	return n;
}

/* The first steps would flatten all the rest, and so would one curve that lags: they may leave the picture. */
static void find_range(struct curves *s, struct cop_curves *c)
{
	size_t cap = s->dense ? s->dense->n : 0;
	for (size_t i = 0; i < s->n; i++)
		cap += s->curve[i].history->n;
	double *v = cop_xcalloc(cap, sizeof(*v));
	size_t n = gather_points(s, false, v);
	s->low = c->validation ? v[n / 20] : v[0];
	s->high = c->validation ? v[n - 1] : v[n - 1 - n / 20];
	double pad = fmax(0.05 * (s->high - s->low), 1e-3 * s->scale);
	s->low -= pad;
	s->high += pad;
	n = gather_points(s, true, v);
	c->clipped = v[0] < s->low || v[n - 1] > s->high;
	free(v);
}

static void add_line(struct cop_str *b, const struct curves *s, const struct cop_plot *p, const struct cop_history *h)
{
	cop_str_add(b, "<polyline points=\"");
	for (size_t i = 0; i < h->n; i++)
		if (drawable(h->row[i], s->column))
			cop_str_addf(b, "%.1f,%.1f ", cop_axis_at(&p->x, h->row[i][COP_HISTORY_STEP]),
				     cop_axis_at(&p->y, s->scale * h->row[i][s->column]));
	cop_str_add(b, "\"/>\n");
}

static double add_legend(struct cop_str *b, const struct curves *s, const struct cop_curves *c)
{
	struct cop_legend l = {.left = LEFT, .right = RIGHT, .x = LEFT, .y = LEGEND_Y};
	double x, y;
	char text[100];
	if (s->dense) {
		cop_legend_add(b, &l, "dense", &x, &y);
		cop_str_addf(b, "<path class=\"dense\" d=\"M%.1f %.1fh22\"/>\n", x, y);
	}
	for (size_t i = 0; i < s->nquantiles; i++) {
		snprintf(text, sizeof(text), "%.3g %% left", 100 * s->g->left[s->quantile[i]]);
		cop_legend_add(b, &l, text, &x, &y);
		cop_svg_series(b, "key", i, s->nquantiles);
		cop_str_addf(b, "<path class=\"line\" d=\"M%.1f %.1fh22\"/></g>\n", x, y);
	}
	for (size_t k = 0; k < c->nresets && c->nresets > 1; k++) {
		snprintf(text, sizeof(text), "reset to %s", c->reset[k]);
		cop_legend_add(b, &l, text, &x, &y);
		cop_str_addf(b, "<path class=\"%s\" d=\"M%.1f %.1fh22\"/>\n", k ? "sample dashed" : "sample", x, y);
	}
	return l.y + COP_LEGEND_LINE;
}

static void draw(struct cop_str *b, const struct curves *s, const struct cop_curves *c)
{
	struct cop_plot p = {.x = {s->first, s->last, LEFT, RIGHT, false},
			     .y = {s->low, s->high, BOTTOM, TOP, false},
			     .x_name = "step",
			     .y_name = c->validation ? "validation top-1 (%)" : "training loss"};
	cop_ticks_even(&p.x_ticks, s->first, s->last, 4);
	cop_ticks_even(&p.y_ticks, s->low, s->high, 6);
	struct cop_str legend = {0};
	double height = add_legend(&legend, s, c);
	cop_svg_begin(b, WIDTH, height, c->validation ? "validation top-1 against step" : "training loss against step",
		      false);
	cop_plot_frame(b, &p);
	cop_str_addf(b, "<svg x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" viewBox=\"%d %d %d %d\">\n", LEFT, TOP,
		     RIGHT - LEFT, BOTTOM - TOP, LEFT, TOP, RIGHT - LEFT, BOTTOM - TOP);
	for (size_t i = 0; i < s->n; i++) {
		cop_svg_series(b, s->curve[i].style ? "curve dashed" : "curve", s->curve[i].quantile, s->nquantiles);
		add_line(b, s, &p, s->curve[i].history);
		cop_str_add(b, "</g>\n");
	}
	if (s->dense) {
		cop_str_add(b, "<g class=\"curve dense\">\n");
		add_line(b, s, &p, s->dense);
		cop_str_add(b, "</g>\n");
	}
	cop_str_add(b, "</svg>\n");
	cop_str_add(b, legend.s);
	cop_svg_end(b);
	cop_str_release(&legend);
}

void cop_figure_curves(struct cop_str *b, const struct cop_results *r, const struct cop_grid *g, struct cop_curves *c)
{
	struct curves s = {.g = g};
	*c = (struct cop_curves){0};
	if (!r->ncells || g->best >= g->nq * g->nr)
		return;
	choose(&s, r, c);
	c->validation = s.dense && has_validation(s.dense);
	for (size_t i = 0; i < s.n && !c->validation; i++)
		c->validation = has_validation(s.curve[i].history);
	s.column = c->validation ? COP_HISTORY_VAL_TOP1 : COP_HISTORY_TRAIN_LOSS;
	s.scale = c->validation ? 100 : 1;
	if (!find_steps(&s))
		return;
	find_range(&s, c);
	draw(b, &s, c);
}
