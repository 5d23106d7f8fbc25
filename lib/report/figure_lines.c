/* Lines against a number; see figure_lines.h. */
#include "report/figure_lines.h"

#include "base/mem.h"
#include "report/svg.h"
#include "report/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { WIDTH = 480, LEFT = 48, LEFT_COUNTS = 58, RIGHT = 466, TOP = 34, BOTTOM = 262, LEGEND_Y = 320 };

/* Intervals may widen the picture by so much of what the points span: those of two replicates would flatten the rest.
 */
#define INTERVALS_MOST 0.15

/* Units of the picture from line to line, and from the first one to the last at most. */
#define BESIDE 2.0
#define BESIDE_MOST 12.0

struct cop_line *cop_lines_add(struct cop_lines *f, const char *label, bool dashed)
{
	f->line = cop_grow(f->line, &f->cap, f->n + 1, sizeof(*f->line));
	f->line[f->n] = (struct cop_line){.label = label, .kind = f->n, .dashed = dashed};
	return &f->line[f->n++];
}

void cop_line_add(struct cop_line *l, double x, double y, double half)
{
	l->at = cop_grow(l->at, &l->cap, l->n + 1, sizeof(*l->at));
	l->at[l->n++] = (struct cop_line_point){x, y, half};
}

void cop_lines_release(struct cop_lines *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->line[i].at);
	free(f->line);
	*f = (struct cop_lines){0};
}

static int left_of(const struct cop_lines *f)
{
	return f->counts ? LEFT_COUNTS : LEFT;
}

static bool has_place(const struct cop_lines *f, const struct cop_line_point *p)
{
	return isfinite(p->x) && isfinite(p->y) && !(f->falling && !(p->x > 0));
}

static void widen(double range[2], double v)
{
	range[0] = fmin(range[0], v);
	range[1] = fmax(range[1], v);
}

/* Of the points and the level (half 0), or of their intervals. */
static void widen_all(const struct cop_lines *f, double y[2], bool intervals)
{
	if (f->level_name && isfinite(f->level)) {
		double half = intervals && isfinite(f->level_half) ? f->level_half : 0;
		widen(y, f->level - half);
		widen(y, f->level + half);
	}
	for (size_t i = 0; i < f->n; i++)
		for (size_t k = 0; k < f->line[i].n; k++) {
			const struct cop_line_point *p = &f->line[i].at[k];
			double half = intervals && isfinite(p->half) ? p->half : 0;
			if (!has_place(f, p) || p->y < f->floor)
				continue;
			widen(y, p->y - half);
			widen(y, p->y + half);
		}
}

/* False where there is nothing to draw. */
static bool find_axes(const struct cop_lines *f, struct cop_plot *plot)
{
	double x[2] = {INFINITY, -INFINITY}, y[2] = {INFINITY, -INFINITY}, wide[2] = {INFINITY, -INFINITY};
	for (size_t i = 0; i < f->n; i++)
		for (size_t k = 0; k < f->line[i].n; k++)
			if (has_place(f, &f->line[i].at[k]))
				widen(x, f->line[i].at[k].x);
	widen_all(f, y, false);
	widen_all(f, wide, true);
	if (!isfinite(x[1] - x[0]) || !isfinite(y[1] - y[0]))
		return false;
	double span = y[1] - y[0], pad = fmax(0.06 * span, f->counts ? 1 : 0.05), most = INTERVALS_MOST * span;
	double low = fmax(wide[0], y[0] - most) - pad, high = fmin(wide[1], y[1] + most) + pad;
	if (f->counts)
		low = fmax(low, 0);
	*plot = (struct cop_plot){.x = {x[0], x[1], left_of(f), RIGHT, f->falling},
				  .y = {low, high, BOTTOM, TOP, false},
				  .x_name = f->x_name,
				  .y_name = f->y_name};
	if (f->falling) {
		plot->x.from = 1.12 * x[1];
		plot->x.to = x[0] / 1.12;
		cop_ticks_log(&plot->x_ticks, plot->x.to, plot->x.from);
	} else {
		double beside = x[1] > x[0] ? 0.03 * (x[1] - x[0]) : 1;
		plot->x.from -= beside;
		plot->x.to += beside;
		cop_ticks_even(&plot->x_ticks, x[0], x[1], 5);
		if (!(x[1] > x[0]))
			plot->x_ticks = (struct cop_ticks){.v = {x[0]}, .n = 1};
	}
	cop_ticks_even(&plot->y_ticks, low, high, 6);
	return true;
}

/* A line, and behind it how far its mean can be trusted. */
static void add_level(struct cop_str *b, const struct cop_lines *f, const struct cop_plot *p)
{
	if (!f->level_name || !isfinite(f->level))
		return;
	if (isfinite(f->level_half)) {
		double top = cop_axis_at(&p->y, f->level + f->level_half);
		double bottom = cop_axis_at(&p->y, f->level - f->level_half);
		cop_str_addf(b, "<rect class=\"band\" x=\"%d\" y=\"%.1f\" width=\"%d\" height=\"%.1f\"/>\n", left_of(f),
			     top, RIGHT - left_of(f), bottom - top);
	}
	cop_str_addf(b, "<path class=\"reference\" d=\"M%d %.1fH%d\"/>\n", left_of(f), cop_axis_at(&p->y, f->level),
		     RIGHT);
}

static void add_number(struct cop_str *b, const struct cop_lines *f, double v)
{
	char text[COP_NUMBER_TEXT];
	if (f->counts)
		cop_str_add(b, cop_text_count(llround(v), text));
	else
		cop_str_addf(b, "%.2f", v);
}

/* On the right, where lines have fallen, and on top of those that have not. */
static void add_level_label(struct cop_str *b, const struct cop_lines *f, const struct cop_plot *p)
{
	struct cop_str text = {0};
	if (!f->level_name || !isfinite(f->level))
		return;
	cop_str_addf(&text, "%s ", f->level_name);
	add_number(&text, f, f->level);
	cop_str_add(&text, f->y_unit);
	cop_svg_text(b, RIGHT, cop_axis_at(&p->y, f->level) - 6, "small soft end halo", text.s);
	cop_str_release(&text);
}

static bool has_intervals(const struct cop_lines *f)
{
	for (size_t i = 0; i < f->n; i++)
		for (size_t k = 0; k < f->line[i].n; k++)
			if (isfinite(f->line[i].at[k].half))
				return true;
	return false;
}

/* Lines stand a little beside each other, so that their intervals do not cover one another: how far line i does. */
static double beside(const struct cop_lines *f, size_t i, bool intervals)
{
	double apart = intervals ? fmin(BESIDE, BESIDE_MOST / (double)f->n) : 0;
	return apart * ((double)i - ((double)f->n - 1) / 2);
}

/* Where colours begin again, another shape has them. */
static size_t mark_of(const struct cop_lines *f, size_t i)
{
	size_t kind = f->line[i].kind;
	return f->categories ? kind + kind / COP_CATEGORIES : kind;
}

static void add_point(struct cop_str *b, const struct cop_lines *f, const struct cop_plot *p, size_t i, size_t k,
		      double shift)
{
	const struct cop_line *l = &f->line[i];
	const struct cop_line_point *at = &l->at[k];
	double x = cop_axis_at(&p->x, at->x) + shift;
	struct cop_str title = {0};
	cop_str_addf(&title, "%s%s%s, %.3g%s: ", f->legend, *f->legend ? " " : "", l->label, at->x, f->x_unit);
	add_number(&title, f, at->y);
	cop_str_add(&title, f->y_unit);
	if (isfinite(at->half)) {
		cop_str_add(&title, " ± ");
		add_number(&title, f, at->half);
		cop_str_addf(b, "<path class=\"bar\" d=\"M%.1f %.1fV%.1f\"/>\n", x,
			     cop_axis_at(&p->y, at->y - at->half), cop_axis_at(&p->y, at->y + at->half));
	}
	cop_svg_mark(b, mark_of(f, i), x, cop_axis_at(&p->y, at->y), title.s);
	cop_str_release(&title);
}

static void begin_series(struct cop_str *b, const struct cop_lines *f, size_t i, const char *classes)
{
	char all[64];
	snprintf(all, sizeof(all), "%s%s", classes, f->line[i].dashed ? " dashed" : "");
	if (f->categories)
		cop_svg_category(b, all, f->line[i].kind);
	else
		cop_svg_series(b, all, f->line[i].kind, f->n);
}

static void add_series(struct cop_str *b, const struct cop_lines *f, const struct cop_plot *p, size_t i, double shift)
{
	const struct cop_line *l = &f->line[i];
	begin_series(b, f, i, f->classes);
	cop_str_add(b, "<polyline points=\"");
	for (size_t k = 0; k < l->n; k++)
		if (has_place(f, &l->at[k]))
			cop_str_addf(b, "%.1f,%.1f ", cop_axis_at(&p->x, l->at[k].x) + shift,
				     cop_axis_at(&p->y, l->at[k].y));
	cop_str_add(b, "\"/>\n");
	for (size_t k = 0; k < l->n; k++)
		if (has_place(f, &l->at[k]))
			add_point(b, f, p, i, k, shift);
	cop_str_add(b, "</g>\n");
}

static double add_legend(struct cop_str *b, const struct cop_lines *f)
{
	struct cop_legend l = {.left = left_of(f), .right = RIGHT, .x = left_of(f), .y = LEGEND_Y};
	double x, y;
	if (*f->legend) {
		cop_svg_text(b, l.left, LEGEND_Y + 4, "soft", f->legend);
		l.x = l.left = l.left + 60;
	}
	for (size_t i = 0; i < f->n; i++) {
		cop_legend_add(b, &l, f->line[i].label, &x, &y);
		begin_series(b, f, i, "key");
		cop_str_addf(b, "<path class=\"line\" d=\"M%.1f %.1fh22\"/>", x, y);
		cop_svg_mark(b, mark_of(f, i), x + 11, y, NULL);
		cop_str_add(b, "</g>\n");
	}
	return l.y + COP_LEGEND_LINE;
}

void cop_figure_lines(struct cop_str *b, const struct cop_lines *f)
{
	struct cop_plot p;
	if (!find_axes(f, &p))
		return;
	/* the legend's height is known once it is drawn */
	struct cop_str legend = {0};
	double height = add_legend(&legend, f);
	cop_svg_begin(b, WIDTH, height, f->about, false);
	cop_plot_frame(b, &p);
	cop_str_addf(b, "<svg x=\"0\" y=\"%d\" width=\"%d\" height=\"%d\" viewBox=\"0 %d %d %d\">\n", TOP - 4, WIDTH,
		     BOTTOM - TOP + 4, TOP - 4, WIDTH, BOTTOM - TOP + 4);
	add_level(b, f, &p);
	bool intervals = has_intervals(f);
	for (size_t i = 0; i < f->n; i++)
		add_series(b, f, &p, i, beside(f, i, intervals));
	add_level_label(b, f, &p);
	cop_str_add(b, "</svg>\n");
	cop_str_add(b, legend.s);
	cop_svg_end(b);
	cop_str_release(&legend);
}
