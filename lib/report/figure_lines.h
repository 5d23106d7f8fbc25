/*
 * Lines with their 95% intervals against one number, and a level that they are held against: the dense network's
 * accuracy, or what counts as little. One <svg> each.
 */
#ifndef COP_REPORT_FIGURE_LINES_H
#define COP_REPORT_FIGURE_LINES_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

struct cop_line_point {
	double x, y, half; /* half: the interval is y ± half; NaN: there is none */
};

struct cop_line {
	const char *label; /* the caller's */
	size_t kind;       /* its colour and mark: of its place among the lines, unless it is changed */
	bool dashed;
	struct cop_line_point *at; /* in the order of x as it is drawn */
	size_t n, cap;
};

struct cop_lines {
	const char *about;           /* read out to those who cannot see it */
	const char *x_name, *y_name; /* of the axes */
	const char *x_unit, *y_unit; /* behind the numbers of a mark's title: " % left" */
	const char *legend;          /* before the labels, there and in titles: "reset to"; "": nothing */
	const char *classes;         /* of each line's group */
	bool categories;             /* lines are of different kinds: colours that stand apart, not along a scale */
	bool counts;              /* y is a whole number of something, not below 0; else two digits behind the point */
	bool falling;             /* x is on a logarithmic scale and decreases; x <= 0 has no place */
	double floor;             /* what lies below is out of sight; -INFINITY: nothing is */
	const char *level_name;   /* NULL: there is no level */
	double level, level_half; /* dashed, its interval behind it */
	struct cop_line *line;
	size_t n, cap;
};

/* A further line without points; dashed: one that the others are held against. label must outlive *f. */
struct cop_line *cop_lines_add(struct cop_lines *f, const char *label, bool dashed);
void cop_line_add(struct cop_line *l, double x, double y, double half);
void cop_lines_release(struct cop_lines *f);

/* Nothing where there is no number. */
void cop_figure_lines(struct cop_str *b, const struct cop_lines *f);

#endif
