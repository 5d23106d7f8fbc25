/* Accuracy against sparsity; see figures.h. */
#include "report/figures.h"
#include "report/svg.h"

#include <math.h>
#include <stdio.h>

enum { WIDTH = 480, LEFT = 48, RIGHT = 466, TOP = 34, BOTTOM = 262, LEGEND_Y = 320 };

/* The near view is worth its place where something falls this far below the dense network, and goes this far down. */
#define FAR_BELOW 0.04
#define NEAR_BELOW 0.02

bool cop_figure_has_near(const struct cop_grid *g)
{
	bool near = false, far = false;
	for (size_t i = 0; i < g->nq * g->nr; i++) {
		double below = g->dense.mean - g->top1[i].mean;
		near |= below < NEAR_BELOW;
		far |= below > FAR_BELOW;
	}
	return near && far;
}

static void value_range(const struct cop_grid *g, bool near, double *low, double *high)
{
	*low = g->dense.n ? g->dense.min : INFINITY;
	*high = g->dense.n ? g->dense.max : -INFINITY;
	for (size_t i = 0; i < g->nq * g->nr; i++) {
		if (!g->top1[i].n || (near && g->top1[i].mean < g->dense.mean - NEAR_BELOW))
			continue;
		*low = fmin(*low, g->top1[i].min);
		*high = fmax(*high, g->top1[i].max);
	}
	double pad = fmax(0.06 * (*high - *low), 0.0005);
	*low -= pad;
	*high += pad;
}

static void left_range(const struct cop_grid *g, double *most, double *least)
{
	*most = 0;
	*least = INFINITY;
	for (size_t q = 0; q < g->nq; q++) {
		if (!(g->left[q] > 0)) /* everything pruned has no place on a logarithmic axis */
			continue;
		*most = fmax(*most, 100 * g->left[q]);
		*least = fmin(*least, 100 * g->left[q]);
	}
	*most *= 1.12;
	*least /= 1.12;
}

static void add_dense(struct cop_str *b, const struct cop_grid *g, const struct cop_plot *p)
{
	if (g->dense.n)
		cop_str_addf(b, "<path class=\"reference\" d=\"M%d %.1fH%d\"/>\n", LEFT,
			     cop_axis_at(&p->y, 100 * g->dense.mean), RIGHT);
}

/* On the right, where lines have fallen, and on top of those that have not. */
static void add_dense_label(struct cop_str *b, const struct cop_grid *g, const struct cop_plot *p)
{
	char text[64];
	if (!g->dense.n)
		return;
	snprintf(text, sizeof(text), "dense %.2f %%", 100 * g->dense.mean);
	cop_svg_text(b, RIGHT, cop_axis_at(&p->y, 100 * g->dense.mean) - 6, "small soft end halo", text);
}

static void add_point(struct cop_str *b, const struct cop_grid *g, const struct cop_plot *p, size_t q, size_t k)
{
	const struct cop_spread *s = cop_grid_at(g, q, k);
	double x = cop_axis_at(&p->x, 100 * g->left[q]);
	char title[200];
	if (s->n > 1)
		cop_str_addf(b, "<path class=\"bar\" d=\"M%.1f %.1fV%.1f\"/>\n", x, cop_axis_at(&p->y, 100 * s->min),
			     cop_axis_at(&p->y, 100 * s->max));
	snprintf(title, sizeof(title), "reset to %s, %.3g %% left: %.2f %%", g->reset[k].name, 100 * g->left[q],
		 100 * s->mean);
	cop_svg_mark(b, k, x, cop_axis_at(&p->y, 100 * s->mean), title);
}

static void add_series(struct cop_str *b, const struct cop_grid *g, const struct cop_plot *p, size_t k)
{
	cop_svg_series(b, "series", k, g->nr);
	cop_str_add(b, "<polyline points=\"");
	for (size_t q = 0; q < g->nq; q++)
		if (cop_grid_at(g, q, k)->n && g->left[q] > 0)
			cop_str_addf(b, "%.1f,%.1f ", cop_axis_at(&p->x, 100 * g->left[q]),
				     cop_axis_at(&p->y, 100 * cop_grid_at(g, q, k)->mean));
	cop_str_add(b, "\"/>\n");
	for (size_t q = 0; q < g->nq; q++)
		if (cop_grid_at(g, q, k)->n && g->left[q] > 0)
			add_point(b, g, p, q, k);
	cop_str_add(b, "</g>\n");
}

static double add_legend(struct cop_str *b, const struct cop_grid *g)
{
	struct cop_legend l = {.left = LEFT, .right = RIGHT, .x = LEFT, .y = LEGEND_Y};
	double x, y;
	cop_svg_text(b, LEFT, LEGEND_Y + 4, "soft", "reset to");
	l.x = l.left = LEFT + 60;
	for (size_t k = 0; k < g->nr; k++) {
		cop_legend_add(b, &l, g->reset[k].name, &x, &y);
		cop_svg_series(b, "key", k, g->nr);
		cop_str_addf(b, "<path class=\"line\" d=\"M%.1f %.1fh22\"/>", x, y);
		cop_svg_mark(b, k, x + 11, y, NULL);
		cop_str_add(b, "</g>\n");
	}
	return l.y + COP_LEGEND_LINE;
}

void cop_figure_sparsity(struct cop_str *b, const struct cop_grid *g, bool near)
{
	double low, high, most, least;
	value_range(g, near, &low, &high);
	left_range(g, &most, &least);
	if (!(high > low) || !(most > least) || !isfinite(high - low))
		return;
	struct cop_plot p = {.x = {most, least, LEFT, RIGHT, true},
			     .y = {100 * low, 100 * high, BOTTOM, TOP, false},
			     .x_name = "weights left (%)",
			     .y_name = "test top-1 (%)"};
	cop_ticks_log(&p.x_ticks, least, most);
	cop_ticks_even(&p.y_ticks, 100 * low, 100 * high, 6);
	/* the legend's height is known once it is drawn */
	struct cop_str legend = {0};
	double height = add_legend(&legend, g);
	cop_svg_begin(b, WIDTH, height,
		      near ? "test top-1 against weights left, near the dense network"
			   : "test top-1 against weights left",
		      false);
	cop_plot_frame(b, &p);
	cop_str_addf(b, "<svg x=\"0\" y=\"%d\" width=\"%d\" height=\"%d\" viewBox=\"0 %d %d %d\">\n", TOP - 4, WIDTH,
		     BOTTOM - TOP + 4, TOP - 4, WIDTH, BOTTOM - TOP + 4);
	add_dense(b, g, &p);
	for (size_t k = 0; k < g->nr; k++)
		add_series(b, g, &p, k);
	add_dense_label(b, g, &p);
	cop_str_add(b, "</svg>\n");
	cop_str_add(b, legend.s);
	cop_svg_end(b);
	cop_str_release(&legend);
}
