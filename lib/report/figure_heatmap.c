/* The heat map as a figure; see figures.h. */
#include "report/figures.h"
#include "report/palette.h"
#include "report/svg.h"
#include "report/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { LEFT = 132, TOP = 46, CELL_W = 66, GAP = 2, DENSE_H = 30, BAR_W = 200, BAR_H = 10 };

/* Where things are, for one map. */
struct place {
	const struct cop_grid *g;
	double cell_h, top, width, bottom;
	bool spread; /* a second line in each cell */
};

static void add_title(struct cop_str *b, const struct cop_grid *g, size_t q, size_t k)
{
	const struct cop_spread *s = cop_grid_at(g, q, k);
	struct cop_str t = {0};
	cop_str_addf(&t, "quantile %.6g, reset to %s", g->quantile[q], g->reset[k].name);
	if (g->reset[k].step >= 0)
		cop_str_addf(&t, " (step %lld)", (long long)g->reset[k].step);
	if (!s->n)
		cop_str_add(&t, ": not finished");
	else
		cop_str_addf(&t, ": %.2f %% test top-1, %.3g %% of the weights left", 100 * s->mean, 100 * g->left[q]);
	if (s->n > 1)
		cop_str_addf(&t, " ± %.2f; %zu replicates from %.2f to %.2f %%, standard deviation %.2f", 100 * s->half,
			     s->n, 100 * s->min, 100 * s->max, 100 * s->sd);
	cop_str_add(b, "<title>");
	cop_text_html(b, t.s);
	cop_str_add(b, "</title>");
	cop_str_release(&t);
}

static void add_rect(struct cop_str *b, double x, double y, double w, double h, const char *classes, const char *fill)
{
	cop_str_addf(b, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"2\"", classes, x,
		     y, w, h);
	if (fill)
		cop_str_addf(b, " fill=\"%s\"", fill);
	cop_str_add(b, "/>");
}

static void add_value(struct cop_str *b, double x, double y, double v, bool dark, bool strong)
{
	char number[COP_NUMBER_TEXT];
	snprintf(number, sizeof(number), "%.2f", 100 * v);
	cop_svg_text(b, x, y,
		     dark     ? strong ? "mid deep strong" : "mid deep"
		     : strong ? "mid pale strong"
			      : "mid pale",
		     number);
}

static void add_cell(struct cop_str *b, const struct place *p, size_t q, size_t k)
{
	const struct cop_spread *s = cop_grid_at(p->g, q, k);
	double x = LEFT + (double)k * (CELL_W + GAP), y = p->top + (double)q * (p->cell_h + GAP);
	double mid = x + CELL_W / 2.0, base = y + p->cell_h / 2 + 4;
	bool best = q * p->g->nr + k == p->g->best;
	char colour[8], number[COP_NUMBER_TEXT];
	cop_str_add(b, "<g>");
	add_title(b, p->g, q, k);
	if (!s->n) {
		add_rect(b, x + 0.5, y + 0.5, CELL_W - 1, p->cell_h - 1, "cell none", NULL);
		cop_svg_text(b, mid, base, "mid soft", "–");
		cop_str_add(b, "</g>\n");
		return;
	}
	struct cop_rgb c = cop_palette(cop_grid_scale(p->g, s->mean));
	bool dark = cop_wants_dark_text(c);
	add_rect(b, x, y, CELL_W, p->cell_h, "cell", cop_svg_colour(c, colour));
	add_value(b, mid, p->spread ? base - 6 : base, s->mean, dark, best);
	if (p->spread && s->n > 1) {
		snprintf(number, sizeof(number), "± %.2f", 100 * s->half);
		cop_svg_text(b, mid, base + 7, dark ? "mid small deep" : "mid small pale", number);
	}
	if (best)
		add_rect(b, x - 1, y - 1, CELL_W + 2, p->cell_h + 2, "best", NULL);
	cop_str_add(b, "</g>\n");
}

static void add_dense(struct cop_str *b, const struct place *p)
{
	const struct cop_grid *g = p->g;
	double y = TOP, w = (double)g->nr * (CELL_W + GAP) - GAP;
	cop_svg_text(b, LEFT - 70, y + DENSE_H / 2.0 + 4, "end strong", "dense");
	cop_svg_text(b, LEFT - 12, y + DENSE_H / 2.0 + 4, "end soft", "100 %");
	if (!g->dense.n) {
		add_rect(b, LEFT + 0.5, y + 0.5, w - 1, DENSE_H - 1, "dense none", NULL);
		return;
	}
	char colour[8];
	struct cop_rgb c = cop_palette(cop_grid_scale(g, g->dense.mean));
	add_rect(b, LEFT, y, w, DENSE_H, "dense", cop_svg_colour(c, colour));
	add_value(b, LEFT + w / 2, y + DENSE_H / 2.0 + 4, g->dense.mean, cop_wants_dark_text(c), false);
}

static void add_labels(struct cop_str *b, const struct place *p)
{
	const struct cop_grid *g = p->g;
	char text[COP_NUMBER_TEXT];
	cop_svg_text(b, LEFT + p->width / 2, 14, "mid", "reset to");
	cop_svg_text(b, LEFT - 70, TOP - 10, "end", "quantile");
	cop_svg_text(b, LEFT - 12, TOP - 10, "end soft", "left");
	for (size_t k = 0; k < g->nr; k++)
		cop_svg_text(b, LEFT + (double)k * (CELL_W + GAP) + CELL_W / 2.0, TOP - 10, "mid strong",
			     g->reset[k].name);
	for (size_t q = 0; q < g->nq; q++) {
		double y = p->top + (double)q * (p->cell_h + GAP) + p->cell_h / 2 + 4;
		snprintf(text, sizeof(text), "%.6g", g->quantile[q]);
		cop_svg_text(b, LEFT - 70, y, "end strong", text);
		snprintf(text, sizeof(text), "%.3g %%", 100 * g->left[q]);
		cop_svg_text(b, LEFT - 12, y, "end soft", text);
	}
}

static void add_bar_text(struct cop_str *b, double v, double x, double y, const char *classes)
{
	char text[COP_NUMBER_TEXT];
	snprintf(text, sizeof(text), "%.2f %%", 100 * v);
	cop_svg_text(b, x, y, classes, text);
}

/* The scale below the map, and on it where the dense network is. */
static void add_bar(struct cop_str *b, const struct place *p)
{
	enum { STOPS = 16 };
	double x = LEFT, y = p->bottom + 18;
	char colour[8];
	if (!isfinite(p->g->low))
		return;
	/* a page has one map for each variant */
	cop_str_addf(b, "<linearGradient id=\"scale%zu\">", p->g->shown);
	for (int i = 0; i <= STOPS; i++)
		cop_str_addf(b, "<stop offset=\"%.4f\" stop-color=\"%s\"/>", i / (double)STOPS,
			     cop_svg_colour(cop_palette(i / (double)STOPS), colour));
	cop_str_addf(b, "</linearGradient>\n<path fill=\"url(#scale%zu)\" d=\"M%.1f %.1fh%dv%dh-%dz\"/>\n", p->g->shown,
		     x, y, BAR_W, BAR_H, BAR_W);
	add_bar_text(b, p->g->low, x, y + BAR_H + 14, "soft");
	add_bar_text(b, p->g->high, x + BAR_W, y + BAR_H + 14, "soft end");
	if (p->width > BAR_W + 110)
		cop_svg_text(b, x + BAR_W + 14, y + BAR_H - 1, "soft", "test top-1 (%)");
	if (!p->g->dense.n)
		return;
	double at = x + cop_grid_scale(p->g, p->g->dense.mean) * BAR_W;
	cop_str_addf(b, "<path class=\"tick\" d=\"M%.1f %.1fv%d\"/>\n", at, y - 4, BAR_H + 8);
	cop_svg_text(b, at + (at > x + BAR_W - 40 ? 6 : 0), y - 7,
		     at > x + BAR_W - 40 ? "small soft end" : "small soft mid", "dense");
}

void cop_figure_heatmap(struct cop_str *b, const struct cop_grid *g, bool alone)
{
	if (!g->nq || !g->nr)
		return;
	struct place p = {.g = g, .spread = g->replicates > 1, .top = TOP + DENSE_H + 8};
	p.cell_h = p.spread ? 38 : 30;
	p.width = (double)g->nr * (CELL_W + GAP) - GAP;
	p.bottom = p.top + (double)g->nq * (p.cell_h + GAP) - GAP;
	double width = LEFT + (p.width > BAR_W ? p.width : BAR_W) + 8;
	char about[COP_VARIANT_NAME + 64];
	snprintf(about, sizeof(about), "heat map: mean test top-1 by quantile and reset point%s%s",
		 *cop_grid_name(g) ? ", " : "", cop_grid_name(g));
	cop_svg_begin(b, width, p.bottom + 48, about, alone);
	add_labels(b, &p);
	add_dense(b, &p);
	for (size_t q = 0; q < g->nq; q++)
		for (size_t k = 0; k < g->nr; k++)
			add_cell(b, &p, q, k);
	add_bar(b, &p);
	cop_svg_end(b);
}
