/* SVG; see svg.h. */
#include "report/svg.h"

#include "report/text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The styles of a picture on its own: literal colours, because not every reader of SVG knows variables. */
static const char styles[] =
	"<style>text{font:12px system-ui,-apple-system,'Segoe UI','DejaVu "
	"Sans',Helvetica,Arial,sans-serif;fill:#1b1b1f;"
	"font-variant-numeric:tabular-nums}.soft{fill:#5c5f66}.small{font-size:10px}.strong{font-weight:600}"
	".mid{text-anchor:middle}.end{text-anchor:end}.pale{fill:#fff}.deep{fill:#111}"
	".none{fill:none;stroke:#c3c7ce;stroke-dasharray:3 3}.best{fill:none;stroke:#1b1b1f;stroke-width:2.5}"
	".tick{stroke:#5c5f66}</style>";

double cop_axis_at(const struct cop_axis *a, double v)
{
	double t = a->log ? log(v / a->from) / log(a->to / a->from) : (v - a->from) / (a->to - a->from);
	return a->at_from + t * (a->at_to - a->at_from);
}

void cop_ticks_even(struct cop_ticks *t, double min, double max, int wanted)
{
	*t = (struct cop_ticks){0};
	if (!(max > min) || !isfinite(max - min))
		return;
	double rough = (max - min) / wanted, power = pow(10, floor(log10(rough))), part = rough / power;
	double step = power * (part < 1.5 ? 1 : part < 3.5 ? 2 : part < 7.5 ? 5 : 10);
	double first = ceil(min / step - 1e-9);
	t->digits = step < 1 ? (int)ceil(-log10(step) - 1e-9) : 0;
	for (int i = 0; i < COP_TICKS_MAX && (first + i) * step <= max + 1e-9 * step; i++)
		t->v[t->n++] = (first + i) * step;
}

void cop_ticks_log(struct cop_ticks *t, double min, double max)
{
	static const double parts[] = {1, 2, 5};
	*t = (struct cop_ticks){0};
	if (!(min > 0 && max > min && isfinite(max)))
		return;
	for (double power = pow(10, floor(log10(min))); power <= max; power *= 10)
		for (size_t i = 0; i < 3 && t->n < COP_TICKS_MAX; i++) {
			double v = parts[i] * power;
			if (v >= min * (1 - 1e-9) && v <= max * (1 + 1e-9))
				t->v[t->n++] = v;
		}
}

void cop_svg_begin(struct cop_str *b, double width, double height, const char *about, bool alone)
{
	cop_str_addf(b,
		     "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
		     "viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"",
		     width, height, width, height);
	cop_text_html(b, about);
	cop_str_add(b, "\">\n");
	if (alone)
		cop_str_addf(b, "%s\n<rect width=\"%.0f\" height=\"%.0f\" fill=\"#fff\"/>\n", styles, width, height);
}

void cop_svg_end(struct cop_str *b)
{
	cop_str_add(b, "</svg>\n");
}

void cop_svg_text(struct cop_str *b, double x, double y, const char *classes, const char *text)
{
	cop_str_addf(b, "<text x=\"%.1f\" y=\"%.1f\"", x, y);
	if (*classes)
		cop_str_addf(b, " class=\"%s\"", classes);
	cop_str_add(b, ">");
	cop_text_html(b, text);
	cop_str_add(b, "</text>\n");
}

const char *cop_svg_colour(struct cop_rgb c, char buf[8])
{
	snprintf(buf, 8, "#%02x%02x%02x", c.r, c.g, c.b);
	return buf;
}

static void begin_group(struct cop_str *b, const char *classes, struct cop_rgb on_light, struct cop_rgb on_dark)
{
	char light[8], dark[8];
	cop_str_addf(b, "<g class=\"%s\" style=\"--l:%s;--d:%s\">\n", classes, cop_svg_colour(on_light, light),
		     cop_svg_colour(on_dark, dark));
}

void cop_svg_series(struct cop_str *b, const char *classes, size_t i, size_t n)
{
	double t = n > 1 ? (double)i / (double)(n - 1) : 0.5;
	begin_group(b, classes, cop_palette(0.02 + 0.64 * t), cop_palette(0.36 + 0.64 * t));
}

void cop_svg_category(struct cop_str *b, const char *classes, size_t i)
{
	begin_group(b, classes, cop_category(i, false), cop_category(i, true));
}

void cop_svg_mark(struct cop_str *b, size_t i, double x, double y, const char *title)
{
	static const char *const shapes[] = {
		"a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0-6.4 0", /* circle; the others are drawn from their middle */
		"m-2.9-2.9h5.8v5.8h-5.8z",
		"m0-4.2l4.2 4.2-4.2 4.2-4.2-4.2z",
		"m0-3.9l3.9 6.7h-7.8z",
		"m0 3.9l3.9-6.7h-7.8z",
		"m-3.6-1.6l3.6-2.4 3.6 2.4v3.2l-3.6 2.4-3.6-2.4z",
		"m-1.4-4h2.8v2.6h2.6v2.8h-2.6v2.6h-2.8v-2.6h-2.6v-2.8h2.6z",
	};
	enum { NSHAPES = sizeof(shapes) / sizeof(shapes[0]) };
	double start = i % NSHAPES == 0 ? x - 3.2 : x;
	cop_str_addf(b, "<path class=\"mark\" d=\"M%.1f %.1f%s\">", start, y, shapes[i % NSHAPES]);
	if (title) {
		cop_str_add(b, "<title>");
		cop_text_html(b, title);
		cop_str_add(b, "</title>");
	}
	cop_str_add(b, "</path>\n");
}

static void tick_text(const struct cop_axis *a, const struct cop_ticks *t, double v, char *buf, size_t size)
{
	if (a->log)
		snprintf(buf, size, "%g", v);
	else if (t->digits == 0 && fabs(v) >= 1000 && fabs(v) < 1e15)
		cop_text_count(llround(v), buf);
	else
		snprintf(buf, size, "%.*f", t->digits, fabs(v) < 1e-12 ? 0.0 : v);
}

void cop_plot_frame(struct cop_str *b, const struct cop_plot *p)
{
	double left = p->x.at_from, right = p->x.at_to, bottom = p->y.at_from, top = p->y.at_to;
	char text[COP_NUMBER_TEXT];
	for (size_t i = 0; i < p->y_ticks.n; i++) {
		double y = cop_axis_at(&p->y, p->y_ticks.v[i]);
		cop_str_addf(b, "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>\n", left, y, right);
		tick_text(&p->y, &p->y_ticks, p->y_ticks.v[i], text, sizeof(text));
		cop_svg_text(b, left - 8, y + 4, "soft end", text);
	}
	cop_str_addf(b, "<path class=\"axis\" d=\"M%.1f %.1fV%.1fH%.1f\"/>\n", left, top, bottom, right);
	for (size_t i = 0; i < p->x_ticks.n; i++) {
		double x = cop_axis_at(&p->x, p->x_ticks.v[i]);
		cop_str_addf(b, "<path class=\"axis\" d=\"M%.1f %.1fv5\"/>\n", x, bottom);
		tick_text(&p->x, &p->x_ticks, p->x_ticks.v[i], text, sizeof(text));
		cop_svg_text(b, x, bottom + 18, "soft mid", text);
	}
	cop_svg_text(b, (left + right) / 2, bottom + 37, "mid", p->x_name);
	cop_svg_text(b, left - 40, top - 12, "", p->y_name);
}

void cop_legend_add(struct cop_str *b, struct cop_legend *l, const char *text, double *x, double *y)
{
	/* nobody can measure the text here: a digit is about 7 wide in every usual font at this size */
	double width = 28 + 7.0 * (double)cop_text_width(text) + 14;
	if (l->x > l->left && l->x + width > l->right + 14) {
		l->x = l->left;
		l->y += COP_LEGEND_LINE;
	}
	*x = l->x;
	*y = l->y;
	cop_svg_text(b, l->x + 28, l->y + 4, "soft", text);
	l->x += width;
}
