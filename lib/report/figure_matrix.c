/* A matrix of numbers as a heat map; see figures.h. */
#include "report/figures.h"
#include "report/svg.h"
#include "report/text.h"

#include <math.h>
#include <stdio.h>

enum { TOP = 28, CELL_W = 40, CELL_H = 24, GAP = 2, LABEL_MOST = 60 };

static void add_value(struct cop_str *b, double x, double y, double v, const char *row, const char *column)
{
	char colour[8], text[COP_NUMBER_TEXT] = "–";
	struct cop_rgb c = cop_palette(v);
	if (isfinite(v))
		snprintf(text, sizeof(text), "%.2f", v);
	cop_str_addf(b,
		     "<g><rect class=\"pair\" x=\"%.1f\" y=\"%.1f\" width=\"%d\" height=\"%d\" rx=\"2\" "
		     "fill=\"%s\"/><title>",
		     x, y, CELL_W, CELL_H, cop_svg_colour(c, colour));
	cop_text_html(b, row);
	cop_str_add(b, " and ");
	cop_text_html(b, column);
	cop_str_addf(b, ": %s</title>", text);
	cop_svg_text(b, x + CELL_W / 2.0, y + CELL_H / 2.0 + 4, cop_wants_dark_text(c) ? "mid deep" : "mid pale", text);
	cop_str_add(b, "</g>\n");
}

void cop_figure_matrix(struct cop_str *b, const char *about, char *const *label, const double *v, size_t n)
{
	size_t longest = 0;
	char text[COP_NUMBER_TEXT];
	if (!n)
		return;
	for (size_t i = 0; i < n; i++)
		longest = cop_text_width(label[i]) > longest ? cop_text_width(label[i]) : longest;
	double left = 7.0 * (double)(longest < LABEL_MOST ? longest : LABEL_MOST) + 40;
	cop_svg_begin(b, left + (double)n * (CELL_W + GAP) + 4, TOP + (double)n * (CELL_H + GAP) + 4, about, false);
	for (size_t i = 0; i < n; i++) {
		double y = TOP + (double)i * (CELL_H + GAP), x = left + (double)i * (CELL_W + GAP);
		snprintf(text, sizeof(text), "%zu", i + 1);
		cop_svg_text(b, x + CELL_W / 2.0, TOP - 10, "mid strong", text);
		cop_svg_text(b, left - 12, y + CELL_H / 2.0 + 4, "end strong", text);
		cop_svg_text(b, 2, y + CELL_H / 2.0 + 4, "", label[i]);
		for (size_t k = 0; k < n; k++)
			add_value(b, left + (double)k * (CELL_W + GAP), y, v[i * n + k], label[i], label[k]);
	}
	cop_svg_end(b);
}
