/* Weights left by layer; see figures.h. */
#include "base/mem.h"
#include "report/figures.h"
#include "report/palette.h"
#include "report/svg.h"
#include "report/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOP = 46, CELL_W = 56, CELL_H = 24, GAP = 2, NAME_MAX_WIDTH = 40, MOST_DIGITS = 6 };

#define SHARE_PARTS 1e9

/* Shares by layer and quantile; the last row is all layers together. */
struct shares {
	const struct cop_layer_count *layer; /* of the first cell */
	size_t n;
	double *share; /* (n + 1, nq); NaN: not finished */
	double least;
};

static double share_of(const struct cop_cell *c, size_t layer, size_t n)
{
	int64_t total = layer < n ? c->layer[layer].total : c->row.total;
	int64_t nnz = layer < n ? c->layer[layer].nnz : c->row.nnz;
	return total > 0 ? (double)nnz / (double)total : NAN;
}

static void gather(struct shares *s, const struct cop_results *r, const struct cop_grid *g)
{
	size_t *count = cop_xcalloc(g->nq, sizeof(*count));
	s->share = cop_xcalloc((s->n + 1) * g->nq, sizeof(*s->share));
	for (size_t i = 0; i < r->ncells; i++) {
		const struct cop_cell *c = &r->cell[i];
		size_t q = cop_grid_quantile(g, c->row.quantile);
		if (q == g->nq || c->nlayers != s->n || !cop_grid_shows(g, &c->row))
			continue;
		count[q]++;
		for (size_t l = 0; l <= s->n; l++)
			s->share[l * g->nq + q] += share_of(c, l, s->n);
	}
	s->least = 1;
	for (size_t i = 0; i < (s->n + 1) * g->nq; i++) {
		size_t q = i % g->nq;
		/* means of the same shares are the same, however many cells there are */
		s->share[i] = count[q] ? round(SHARE_PARTS * s->share[i] / (double)count[q]) / SHARE_PARTS : NAN;
		if (s->share[i] > 0)
			s->least = fmin(s->least, s->share[i]);
	}
	free(count);
}

/* Shares span decades: their logarithm is what the colour tells. */
static double scale(const struct shares *s, double share)
{
	if (!(share > 0))
		return 0;
	return s->least < 1 ? 1 - log(share) / log(s->least) : 1;
}

static void add_cell(struct cop_str *b, const struct shares *s, double x, double y, double share)
{
	char colour[8], text[COP_NUMBER_TEXT];
	if (isnan(share)) {
		cop_str_addf(b, "<rect class=\"layer none\" x=\"%.1f\" y=\"%.1f\" width=\"%d\" height=\"%d\"/>\n", x, y,
			     CELL_W, CELL_H);
		return;
	}
	struct cop_rgb c = cop_palette(scale(s, share));
	cop_str_addf(b, "<rect class=\"layer\" x=\"%.1f\" y=\"%.1f\" width=\"%d\" height=\"%d\" rx=\"2\" fill=\"%s\"/>",
		     x, y, CELL_W, CELL_H, cop_svg_colour(c, colour));
	snprintf(text, sizeof(text), 100 * share < 10 ? "%.2f" : "%.1f", 100 * share);
	cop_svg_text(b, x + CELL_W / 2.0, y + CELL_H / 2.0 + 4, cop_wants_dark_text(c) ? "mid deep" : "mid pale", text);
}

static void add_row(struct cop_str *b, const struct shares *s, const struct cop_grid *g, size_t l, double left,
		    double y)
{
	char count[COP_NUMBER_TEXT];
	uint64_t weights = 0; /* wraps where a damaged file's counts do */
	for (size_t i = 0; i < s->n; i++)
		weights += l == s->n || l == i ? (uint64_t)s->layer[i].total : 0;
	cop_svg_text(b, 2, y + CELL_H / 2.0 + 4, l == s->n ? "strong" : "", l == s->n ? "all" : s->layer[l].name);
	cop_svg_text(b, left - 12, y + CELL_H / 2.0 + 4, "soft end", cop_text_count((int64_t)weights, count));
	for (size_t q = 0; q < g->nq; q++)
		add_cell(b, s, left + (double)q * (CELL_W + GAP), y, s->share[l * g->nq + q]);
}

static double name_width(const struct shares *s)
{
	size_t longest = 8;
	for (size_t l = 0; l < s->n; l++) {
		size_t w = cop_text_width(s->layer[l].name);
		longest = w > longest ? w : longest;
	}
	return 7.0 * (double)(longest < NAME_MAX_WIDTH ? longest : NAME_MAX_WIDTH) + 90;
}

void cop_figure_layers(struct cop_str *b, const struct cop_results *r, const struct cop_grid *g)
{
	struct shares s = {0};
	for (size_t i = 0; i < r->ncells && !s.n; i++) {
		if (!cop_grid_shows(g, &r->cell[i].row))
			continue;
		s.layer = r->cell[i].layer;
		s.n = r->cell[i].nlayers;
	}
	if (!s.n)
		return;
	gather(&s, r, g);
	double left = name_width(&s), width = left + (double)g->nq * (CELL_W + GAP) + 4;
	char text[COP_NUMBER_TEXT];
	cop_svg_begin(b, width, TOP + (double)(s.n + 1) * (CELL_H + GAP) + 12,
		      "heat map: weights left by layer and quantile, in percent", false);
	cop_svg_text(b, left + (width - left) / 2, 14, "mid", "quantile");
	cop_svg_text(b, 2, TOP - 10, "", "layer");
	cop_svg_text(b, left - 12, TOP - 10, "soft end", "weights");
	for (size_t q = 0; q < g->nq; q++) {
		/* those of rounds have more digits than a column has room for */
		snprintf(text, sizeof(text), "%.6g", g->quantile[q]);
		if (strlen(text) > MOST_DIGITS && g->quantile[q] < 0.9999)
			snprintf(text, sizeof(text), "%.4f", g->quantile[q]);
		cop_svg_text(b, left + (double)q * (CELL_W + GAP) + CELL_W / 2.0, TOP - 10, "mid strong", text);
	}
	for (size_t l = 0; l <= s.n; l++)
		add_row(b, &s, g, l, left, TOP + (double)l * (CELL_H + GAP) + (l == s.n ? 6 : 0));
	cop_svg_end(b);
	free(s.share);
}
