/* What a sweep took, on the page; see usage.h. */
#include "report/svg.h"
#include "report/text.h"
#include "report/usage.h"

#include <math.h>

enum { WIDTH = 980, LEFT = 48, RIGHT = 966, TOP = 34, BOTTOM = 190, HEIGHT = 236, HOSTS_SHOWN = 40 };

/* The unit in which a time has a number that can be read. */
static double unit_of(double seconds, const char **name)
{
	static const struct {
		double seconds;
		const char *name;
	} units[] = {{86400, "days"}, {3600, "hours"}, {60, "minutes"}};
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (seconds > 3 * units[i].seconds) {
			*name = units[i].name;
			return units[i].seconds;
		}
	*name = "seconds";
	return 1;
}

static void add_area(struct cop_str *b, const struct cop_usage *u, const struct cop_plot *p, double span)
{
	cop_svg_series(b, "busy", 0, 1);
	cop_str_addf(b, "<path class=\"area\" d=\"M%d %d", LEFT, BOTTOM);
	for (size_t i = 0; i < COP_USAGE_SLOTS; i++)
		cop_str_addf(b, "V%.1fH%.1f", cop_axis_at(&p->y, u->under_way[i]),
			     cop_axis_at(&p->x, span * (double)(i + 1) / COP_USAGE_SLOTS));
	cop_str_addf(b, "V%dz\"/>\n</g>\n", BOTTOM);
	cop_str_addf(b, "<path class=\"reference\" d=\"M%d %.1fH%d\"/>\n", LEFT, cop_axis_at(&p->y, u->together),
		     RIGHT);
}

static void add_figure(struct cop_str *b, const struct cop_usage *u)
{
	const char *unit;
	double seconds = u->ended - u->began, span, high = 1;
	if (!(seconds > 0))
		return;
	span = seconds / unit_of(seconds, &unit);
	for (size_t i = 0; i < COP_USAGE_SLOTS; i++)
		high = fmax(high, u->under_way[i]);
	struct cop_plot p = {.x = {0, span, LEFT, RIGHT, false},
			     .y = {0, 1.08 * high, BOTTOM, TOP, false},
			     .x_name = unit,
			     .y_name = "at once"};
	cop_ticks_even(&p.x_ticks, 0, span, 8);
	cop_ticks_even(&p.y_ticks, 0, 1.08 * high, 4);
	cop_str_add(b, "<figure class=\"wide\">\n<div class=\"scroll\">\n");
	cop_svg_begin(b, WIDTH, HEIGHT, "dense runs and cells under way against time", false);
	cop_plot_frame(b, &p);
	add_area(b, u, &p, span);
	cop_svg_end(b);
	cop_str_add(
		b,
		"</div>\n<figcaption>Dense runs and cells computed at once, from the first one's beginning to the last "
		"one's end; dashed, the average. What was interrupted is drawn in one go up to its end.</figcaption>\n"
		"</figure>\n");
}

static void add_sentence(struct cop_str *b, const struct cop_usage *u)
{
	char gpu[COP_USAGE_GPU_TEXT], hours[COP_NUMBER_TEXT], span[COP_NUMBER_TEXT], median[COP_NUMBER_TEXT],
		longest[COP_NUMBER_TEXT];
	cop_str_addf(b, "<p>%s core-hours", cop_text_hours(u->core_hours, hours));
	if (u->gpu_hours > 0)
		cop_str_addf(b, ", %s GPU-hours%s", cop_text_hours(u->gpu_hours, hours),
			     cop_usage_gpu_text(&u->gpu, gpu));
	if (u->metered)
		cop_str_addf(b, ", %.3g kWh", u->joules / 3.6e6);
	if (isfinite(u->carbon))
		cop_str_addf(b, ", %.3g g of CO<sub>2</sub>", u->carbon);
	if (!u->metered)
		cop_str_add(b, " (no counter of energy could be read)");
	else if (u->metered < u->results)
		cop_str_addf(b, " (energy: %zu of %zu results ran where it could be read)", u->metered, u->results);
	if (isfinite(u->together))
		cop_str_addf(b, ", within %s: %.1f at once on average, %zu at most",
			     cop_text_duration(u->ended - u->began, span), u->together, u->most);
	cop_str_add(b, ".");
	if (isfinite(u->median))
		cop_str_addf(b, " The median cell took %s, the longest %s.", cop_text_duration(u->median, median),
			     cop_text_duration(u->longest, longest));
	cop_str_add(b, "</p>\n");
}

static void add_gpu(struct cop_str *b, const struct cop_usage_gpu *g)
{
	double share = cop_usage_utilisation(g);
	char bytes[COP_NUMBER_TEXT];
	if (isfinite(share))
		cop_str_addf(b, "<td>%.0f %%</td>", 100 * share);
	else
		cop_str_add(b, "<td>–</td>");
	cop_str_addf(b, "<td>%s</td>", g->memory > 0 ? cop_text_bytes(g->memory, bytes) : "–");
}

static void add_hosts(struct cop_str *b, const struct cop_usage *u)
{
	char hours[COP_NUMBER_TEXT];
	if (u->nhosts < 2)
		return;
	cop_str_add(b, "<div class=\"scroll\"><table>\n<thead><tr><th class=\"text\">host</th><th>cells</th>"
		       "<th>core-hours</th><th>GPU-hours</th><th>utilised</th><th>memory</th><th>kWh</th></tr></"
		       "thead>\n<tbody>\n");
	for (size_t i = 0; i < u->nhosts && i < HOSTS_SHOWN; i++) {
		const struct cop_usage_host *h = &u->host[i];
		cop_str_add(b, "<tr><td class=\"text\">");
		cop_text_html(b, h->name);
		cop_str_addf(b, "</td><td>%zu</td><td>%s</td>", h->results, cop_text_hours(h->core_hours, hours));
		cop_str_addf(b, "<td>%s</td>", h->gpu_hours > 0 ? cop_text_hours(h->gpu_hours, hours) : "–");
		add_gpu(b, &h->gpu);
		if (h->metered)
			cop_str_addf(b, "<td>%.3g</td></tr>\n", h->joules / 3.6e6);
		else
			cop_str_add(b, "<td>–</td></tr>\n");
	}
	cop_str_add(b, "</tbody>\n</table></div>\n");
	if (u->nhosts > HOSTS_SHOWN)
		cop_str_addf(b, "<p class=\"soft\">and %zu more hosts</p>\n", u->nhosts - HOSTS_SHOWN);
}

void cop_usage_html(struct cop_str *b, const struct cop_usage *u)
{
	if (!u->results)
		return;
	cop_str_add(b, "<section>\n<h2>What it took</h2>\n");
	add_sentence(b, u);
	add_figure(b, u);
	add_hosts(b, u);
	cop_str_add(b, "</section>\n");
}
