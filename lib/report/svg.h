/*
 * What the figures are made of: SVG elements appended to a string, axes that turn values into places, ticks at round
 * numbers, and the frame and legend of a plot. Colours and fonts come from classes, which the page (or cop_svg_begin,
 * for a picture that stands alone) defines.
 */
#ifndef COP_REPORT_SVG_H
#define COP_REPORT_SVG_H

#include "base/str.h"
#include "report/palette.h"

#include <stdbool.h>
#include <stddef.h>

enum { COP_TICKS_MAX = 16 };

/* A value's place lies between at_from and at_to as the value between from and to; `log`: as its logarithm. */
struct cop_axis {
	double from, to, at_from, at_to;
	bool log;
};

double cop_axis_at(const struct cop_axis *a, double v);

/* Values to mark on an axis: multiples of 1, 2 or 5 times a power of ten. `digits`: behind the point. */
struct cop_ticks {
	double v[COP_TICKS_MAX];
	size_t n;
	int digits;
};

/* About `wanted` of them within min..max; none where the range is empty or no number. */
void cop_ticks_even(struct cop_ticks *t, double min, double max, int wanted);
void cop_ticks_log(struct cop_ticks *t, double min, double max); /* 1, 2 and 5 times powers of ten */

/*
 * Begins a picture of width x height; `about` is read out to those who cannot see it. One that stands alone carries a
 * white background and its own styles, else the page's hold.
 */
void cop_svg_begin(struct cop_str *b, double width, double height, const char *about, bool alone);
void cop_svg_end(struct cop_str *b);

/* Text at (x, y), escaped; `classes` is "" or space-separated: "soft", "end", "mid", "small", "strong". */
void cop_svg_text(struct cop_str *b, double x, double y, const char *classes, const char *text);

/* "#rrggbb" into buf; returns buf. */
const char *cop_svg_colour(struct cop_rgb c, char buf[8]);

/*
 * Begins a group whose lines and marks have the colour of place i of n on the scale: a darker part of it on a light
 * page, a lighter part on a dark one. End it with "</g>".
 */
void cop_svg_series(struct cop_str *b, const char *classes, size_t i, size_t n);

/* The same with the colour of category i, of COP_CATEGORIES. */
void cop_svg_category(struct cop_str *b, const char *classes, size_t i);

/* A mark at (x, y): one shape for each i, seven of them; `title` is shown on pointing (may be NULL). */
void cop_svg_mark(struct cop_str *b, size_t i, double x, double y, const char *title);

/* The frame of a plot: grid, ticks and their numbers, and the names of the axes. */
struct cop_plot {
	struct cop_axis x, y;
	struct cop_ticks x_ticks, y_ticks;
	const char *x_name, *y_name;
};

void cop_plot_frame(struct cop_str *b, const struct cop_plot *p);

/* Entries of a legend flow from left to right and wrap at `right`. Starts at (left, y). */
struct cop_legend {
	double left, right, x, y;
};

enum { COP_LEGEND_LINE = 18 };

/* Makes room for an entry of `text` and writes the text; its sample belongs at *x .. *x + 22, at height *y. */
void cop_legend_add(struct cop_str *b, struct cop_legend *l, const char *text, double *x, double *y);

#endif
