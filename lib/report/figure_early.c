/* Early stop against the weights left; see figures.h. */
#include "report/figures.h"
#include "report/svg.h"
#include "report/text.h"

#include <math.h>
#include <stdio.h>

enum { WIDTH = 480, LEFT = 58, RIGHT = 466, TOP = 34, BOTTOM = 262, LEGEND_Y = 320 };

/* One of the two pictures. */
struct picture {
	const struct cop_early *e;
	size_t reset; /* of several variants */
	bool accuracy;
	struct cop_plot plot;
};

static bool variants(const struct cop_early *e)
{
	return e->g->variants.n > 1;
}

/* Whether a series is in the picture. */
static bool drawn(const struct picture *p, size_t series)
{
	return !variants(p->e) || p->e->series[series].reset == p->reset;
}

static const char *label(const struct cop_early *e, size_t series)
{
	const struct cop_early_series *s = &e->series[series];
	return variants(e) ? e->g->variants.v[s->variant].name : s->label;
}

/* With a colour by its place among those that can be in the picture. */
static void begin_series(struct cop_str *b, const struct cop_early *e, size_t series, const char *classes)
{
	size_t v = e->series[series].variant;
	char all[64];
	snprintf(all, sizeof(all), "%s%s", classes, variants(e) && e->g->variants.v[v].control ? " dashed" : "");
	cop_svg_series(b, all, variants(e) ? v : series, variants(e) ? e->g->variants.n : e->n);
}

static const struct cop_spread *value(const struct picture *p, const struct cop_early_place *at)
{
	return p->accuracy ? &at->top1 : &at->step;
}

static double scaled(const struct picture *p, double v)
{
	return p->accuracy ? 100 * v : v;
}

static double height_of(const struct picture *p, double v)
{
	return cop_axis_at(&p->plot.y, scaled(p, v));
}

/* Everything pruned has no place on a logarithmic axis. */
static const struct cop_spread *place(const struct picture *p, size_t series, size_t q)
{
	const struct cop_spread *s = value(p, &p->e->series[series].at[q]);
	return s->n && p->e->g->left[q] > 0 && drawn(p, series) ? s : NULL;
}

/* Of the replicates, not of their intervals: those of two replicates would leave nothing to see. */
static void widen(double range[2], const struct cop_spread *s)
{
	if (!s || !s->n)
		return;
	range[0] = fmin(range[0], s->min);
	range[1] = fmax(range[1], s->max);
}

/* False where there is nothing to draw. */
static bool find_axes(struct picture *p)
{
	const struct cop_early *e = p->e;
	double y[2] = {INFINITY, -INFINITY}, x[2] = {INFINITY, 0};
	for (size_t i = 0; i < e->n; i++)
		for (size_t q = 0; q < e->g->nq; q++) {
			const struct cop_spread *s = place(p, i, q);
			widen(y, s);
			x[0] = s ? fmin(x[0], 100 * e->g->left[q]) : x[0];
			x[1] = s ? fmax(x[1], 100 * e->g->left[q]) : x[1];
		}
	if (!(x[1] > 0))
		return false;
	widen(y, value(p, &e->dense));
	double pad = fmax(0.08 * (y[1] - y[0]), p->accuracy ? 0.0005 : 1);
	double low = p->accuracy ? y[0] - pad : fmax(0, y[0] - pad);
	p->plot = (struct cop_plot){.x = {1.12 * x[1], x[0] / 1.12, LEFT, RIGHT, true},
				    .y = {scaled(p, low), scaled(p, y[1] + pad), BOTTOM, TOP, false},
				    .x_name = "weights left (%)",
				    .y_name = !p->accuracy ? "early stop (step)"
					      : e->tested  ? "test top-1 at early stop (%)"
							   : "validation top-1 at early stop (%)"};
	cop_ticks_log(&p->plot.x_ticks, p->plot.x.to, p->plot.x.from);
	cop_ticks_even(&p->plot.y_ticks, p->plot.y.from, p->plot.y.to, 6);
	return true;
}

static void add_number(struct cop_str *b, const struct picture *p, double v)
{
	char text[COP_NUMBER_TEXT];
	if (p->accuracy)
		cop_str_addf(b, "%.2f %%", 100 * v);
	else
		cop_str_add(b, cop_text_count(llround(v), text));
}

static void add_point(struct cop_str *b, const struct picture *p, size_t i, size_t q)
{
	const struct cop_spread *s = place(p, i, q);
	const struct cop_grid *g = p->e->g;
	double x = cop_axis_at(&p->plot.x, 100 * g->left[q]);
	struct cop_str title = {0};
	if (isfinite(s->half))
		cop_str_addf(b, "<path class=\"bar\" d=\"M%.1f %.1fV%.1f\"/>\n", x, height_of(p, s->mean - s->half),
			     height_of(p, s->mean + s->half));
	cop_str_addf(&title, "%s, %.3g %% left: ", label(p->e, i), 100 * g->left[q]);
	add_number(&title, p, s->mean);
	if (isfinite(s->half)) {
		cop_str_add(&title, " ± ");
		add_number(&title, p, s->half);
	}
	cop_svg_mark(b, variants(p->e) ? p->e->series[i].variant : i, x, height_of(p, s->mean), title.s);
	cop_str_release(&title);
}

static void add_series(struct cop_str *b, const struct picture *p, size_t i)
{
	begin_series(b, p->e, i, "series stop");
	cop_str_add(b, "<polyline points=\"");
	for (size_t q = 0; q < p->e->g->nq; q++)
		if (place(p, i, q))
			cop_str_addf(b, "%.1f,%.1f ", cop_axis_at(&p->plot.x, 100 * p->e->g->left[q]),
				     height_of(p, place(p, i, q)->mean));
	cop_str_add(b, "\"/>\n");
	for (size_t q = 0; q < p->e->g->nq; q++)
		if (place(p, i, q))
			add_point(b, p, i, q);
	cop_str_add(b, "</g>\n");
}

/* A line, and behind it how far its mean can be trusted. */
static void add_dense(struct cop_str *b, const struct picture *p)
{
	const struct cop_spread *s = value(p, &p->e->dense);
	if (!s->n)
		return;
	if (isfinite(s->half)) {
		double top = height_of(p, s->mean + s->half), bottom = height_of(p, s->mean - s->half);
		cop_str_addf(b, "<rect class=\"band\" x=\"%d\" y=\"%.1f\" width=\"%d\" height=\"%.1f\"/>\n", LEFT, top,
			     RIGHT - LEFT, bottom - top);
	}
	cop_str_addf(b, "<path class=\"reference\" d=\"M%d %.1fH%d\"/>\n", LEFT, height_of(p, s->mean), RIGHT);
}

static void add_dense_label(struct cop_str *b, const struct picture *p)
{
	const struct cop_spread *s = value(p, &p->e->dense);
	struct cop_str text = {0};
	if (!s->n)
		return;
	cop_str_add(&text, "dense ");
	add_number(&text, p, s->mean);
	cop_svg_text(b, RIGHT, height_of(p, s->mean) - 6, "small soft end halo", text.s);
	cop_str_release(&text);
}

static double add_legend(struct cop_str *b, const struct picture *p)
{
	const struct cop_early *e = p->e;
	struct cop_legend l = {.left = LEFT, .right = RIGHT, .x = LEFT, .y = LEGEND_Y};
	double x, y;
	if (!variants(e)) {
		cop_svg_text(b, LEFT, LEGEND_Y + 4, "soft", "reset to");
		l.x = l.left = LEFT + 60;
	}
	for (size_t i = 0; i < e->n; i++) {
		if (!drawn(p, i))
			continue;
		cop_legend_add(b, &l, label(e, i), &x, &y);
		begin_series(b, e, i, "key");
		cop_str_addf(b, "<path class=\"line\" d=\"M%.1f %.1fh22\"/>", x, y);
		cop_svg_mark(b, variants(e) ? e->series[i].variant : i, x + 11, y, NULL);
		cop_str_add(b, "</g>\n");
	}
	return l.y + COP_LEGEND_LINE;
}

void cop_figure_early(struct cop_str *b, const struct cop_early *e, size_t reset, bool accuracy)
{
	struct picture p = {.e = e, .reset = reset, .accuracy = accuracy};
	if (!find_axes(&p))
		return;
	/* the legend's height is known once it is drawn */
	struct cop_str legend = {0};
	double height = add_legend(&legend, &p);
	cop_svg_begin(b, WIDTH, height,
		      accuracy ? "top-1 at early stop against weights left" : "early stop against weights left", false);
	cop_plot_frame(b, &p.plot);
	cop_str_addf(b, "<svg x=\"0\" y=\"%d\" width=\"%d\" height=\"%d\" viewBox=\"0 %d %d %d\">\n", TOP - 4, WIDTH,
		     BOTTOM - TOP + 4, TOP - 4, WIDTH, BOTTOM - TOP + 4);
	add_dense(b, &p);
	for (size_t i = 0; i < e->n; i++)
		if (drawn(&p, i))
			add_series(b, &p, i);
	add_dense_label(b, &p);
	cop_str_add(b, "</svg>\n");
	cop_str_add(b, legend.s);
	cop_svg_end(b);
	cop_str_release(&legend);
}
