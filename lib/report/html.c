/* The page; see html.h. */
#include "report/html.h"
#include "report/speed.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/version.h"
#include "report/collapse.h"
#include "report/figures.h"
#include "report/html_style.h"
#include "report/text.h"
#include "report/usage.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { OPEN_TABLE_ROWS = 120, HOSTS_SHOWN = 4, WIDE_RESETS = 6, WIDE_LAYERS_CELLS = 5, RESETS_COMPARED = 3 };

struct page {
	struct cop_str b;
	const struct cop_results *r;
	const struct cop_grid *g; /* shows the first variant that has a cell */
};

static bool has_variants(const struct page *p)
{
	return p->g->variants.n > 1;
}

static void add_percent(struct cop_str *b, double v)
{
	if (isfinite(v))
		cop_str_addf(b, "%.2f %%", 100 * v);
	else
		cop_str_add(b, "–");
}

/* The devices and hosts that the cells ran on, each once. */
static void add_machines(struct page *p)
{
	size_t shown = 0;
	for (size_t i = 0; i < p->r->ncells; i++) {
		const struct cop_row *row = &p->r->cell[i].row;
		size_t k = 0;
		while (k < i && strncmp(p->r->cell[k].row.host, row->host, COP_TEXT) != 0)
			k++;
		if (k < i || !*row->host)
			continue;
		if (shown++ < HOSTS_SHOWN) {
			cop_str_add(&p->b, shown == 1 ? " · on " : ", ");
			cop_text_html(&p->b, row->host);
		}
	}
	if (shown > HOSTS_SHOWN)
		cop_str_addf(&p->b, " and %zu more", shown - HOSTS_SHOWN);
	if (p->r->ncells && *p->r->cell[0].row.device) {
		cop_str_add(&p->b, " (");
		cop_text_html(&p->b, p->r->cell[0].row.device);
		cop_str_add(&p->b, ")");
	}
}

static void add_head(struct page *p, const char *when)
{
	const char *name = p->r->name && *p->r->name ? p->r->name : "a run without a name";
	cop_str_add(&p->b, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
			   "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"/>\n"
			   /* whatever a name may hold, nothing is run and nothing is fetched */
			   "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
			   "style-src 'unsafe-inline'\"/>\n<title>");
	cop_text_html(&p->b, name);
	cop_str_addf(&p->b, " – coppice</title>\n<style>%s</style>\n</head>\n<body>\n<main>\n<header>\n<h1>",
		     cop_html_style);
	cop_text_html(&p->b, name);
	cop_str_add(&p->b, "</h1>\n<p class=\"meta\">");
	cop_text_html(&p->b, when);
	add_machines(p);
	cop_str_add(&p->b, " · coppice ");
	cop_text_html(&p->b, cop_version());
	cop_str_add(&p->b, " · experiment <code>");
	cop_text_html(&p->b, p->r->hash ? p->r->hash : "unknown");
	cop_str_add(&p->b, "</code></p>\n</header>\n");
}

static void begin_fact(struct page *p, const char *name)
{
	cop_str_addf(&p->b, "<div><dt>%s</dt><dd>", name);
}

static void add_place(struct page *p, const struct cop_grid *g, size_t place)
{
	size_t q = place / g->nr, k = place % g->nr;
	cop_str_addf(&p->b, "quantile %.6g, reset to ", g->quantile[q]);
	cop_text_html(&p->b, g->reset[k].name);
	if (*cop_grid_name(g)) {
		cop_str_add(&p->b, ", ");
		cop_text_html(&p->b, cop_grid_name(g));
		if (g->variants.v[g->shown].control)
			cop_str_add(&p->b, " (a control)");
	}
}

static void add_time(struct page *p)
{
	double seconds = 0;
	for (size_t i = 0; i < p->r->ncells; i++)
		seconds += isfinite(p->r->cell[i].row.seconds) ? p->r->cell[i].row.seconds : 0;
	for (size_t i = 0; i < p->r->ndense; i++)
		seconds += isfinite(p->r->dense[i].seconds) ? p->r->dense[i].seconds : 0;
	begin_fact(p, "Training time, all tasks");
	if (seconds < 120)
		cop_str_addf(&p->b, "%.0f s", seconds);
	else if (seconds < 7200)
		cop_str_addf(&p->b, "%.0f min", seconds / 60);
	else
		cop_str_addf(&p->b, "%.1f h", seconds / 3600);
	cop_str_add(&p->b, "</dd></div>\n");
}

static void add_cell_fact(struct page *p, const char *name, const struct cop_grid *g, size_t place, bool ticket)
{
	begin_fact(p, name);
	if (place >= g->nq * g->nr) {
		cop_str_add(&p->b, "–</dd></div>\n");
		return;
	}
	if (ticket)
		cop_str_addf(&p->b, "%.3g %% left</dd><dd>", 100 * g->left[place / g->nr]);
	add_percent(&p->b, g->top1[place].mean);
	cop_str_add(&p->b, ticket ? ", " : "</dd><dd>");
	add_place(p, g, place);
	cop_str_add(&p->b, "</dd></div>\n");
}

static void add_facts(struct page *p)
{
	char count[COP_NUMBER_TEXT];
	const struct cop_results *r = p->r;
	struct cop_grid best = cop_grid_show(p->g, cop_grid_best_variant(p->g)), ticket;
	size_t ticket_place = cop_grid_ticket(p->g, &ticket);
	cop_str_add(&p->b, "<dl class=\"facts\">\n");
	begin_fact(p, "Cells finished");
	cop_str_addf(&p->b, "%zu of %zu</dd>", r->ncells, r->ncells + r->nmissing);
	cop_str_addf(&p->b, "<dd>%zu quantiles, %zu reset points", p->g->nq, p->g->nr);
	if (has_variants(p))
		cop_str_addf(&p->b, ", %zu ways to cut or retrain", p->g->variants.n);
	if (p->g->replicates > 1)
		cop_str_addf(&p->b, ", %zu replicates", p->g->replicates);
	cop_str_add(&p->b, "</dd></div>\n");
	begin_fact(p, "Dense network, test top-1");
	add_percent(&p->b, p->g->dense.mean);
	cop_str_add(&p->b, "</dd>");
	int64_t total = r->ndense ? r->dense[0].total : r->ncells ? r->cell[0].row.total : 0;
	if (total > 0)
		cop_str_addf(&p->b, "<dd>%s prunable weights</dd>", cop_text_count(total, count));
	cop_str_add(&p->b, "</div>\n");
	add_cell_fact(p, "Best cell, test top-1", &best, best.best, false);
	add_cell_fact(p, "Sparsest within 0.5 points of dense", &ticket, ticket_place, true);
	add_time(p);
	cop_str_add(&p->b, "</dl>\n");
}

/* A figure with its heading, of `part` (""; text); nothing where the figure drew nothing. */
static void add_figure(struct page *p, const char *classes, const char *heading, const char *part, struct cop_str *svg,
		       const char *caption)
{
	struct cop_str of = {0};
	if (*part) {
		cop_str_add(&of, ": ");
		cop_text_html(&of, part);
	}
	if (svg->len)
		cop_str_addf(&p->b,
			     "<figure class=\"%s\">\n<h2>%s%s</h2>\n<div class=\"scroll\">\n%s</div>\n<figcaption>%s"
			     "</figcaption>\n</figure>\n",
			     classes, heading, of.s ? of.s : "", svg->s, caption);
	cop_str_release(svg);
	cop_str_release(&of);
}

static void add_heatmap(struct page *p, const struct cop_grid *g)
{
	struct cop_str svg = {0}, caption = {0};
	bool magnitude = true;
	for (size_t v = 0; v < g->variants.n; v++)
		magnitude = magnitude && strcmp(g->variants.v[v].criterion, "magnitude") == 0;
	cop_figure_heatmap(&svg, g, false);
	if (g->shown > 0)
		cop_str_add(&caption, "As in the first map; colours mean the same in all of them.");
	else
		cop_str_addf(
			&caption,
			"Test top-1 in percent by %squantile (the share of weights pruned, down) and the point that "
			"training went back to (across); the top row is the dense network.",
			magnitude ? "magnitude " : "");
	if (g->replicates > 1 && g->shown == 0)
		cop_str_addf(&caption,
			     " Mean of %zu replicates ± half the width of its 95 %% confidence interval (Student's t).",
			     g->replicates);
	if (g->best < g->nq * g->nr && g->shown == 0)
		cop_str_addf(&caption, " The frame marks the best cell%s.", has_variants(p) ? " of each map" : "");
	add_figure(p, g->nr > WIDE_RESETS ? "wide roomy" : "", "Accuracy of every ticket", cop_grid_name(g), &svg,
		   caption.s);
	cop_str_release(&caption);
}

static void add_heatmaps(struct page *p)
{
	for (size_t v = 0; v < p->g->variants.n; v++) {
		struct cop_grid shown = cop_grid_show(p->g, v);
		add_heatmap(p, &shown);
	}
}

static const char *intervals(const struct page *p)
{
	return p->g->replicates > 1 ? " Means with their 95 % confidence intervals." : "";
}

static const char near_caption[] =
	"The vertical axis begins where cells are no more than two points below the dense network; lines that leave it "
	"go on in the figure of the whole.";

/* All variants at one reset point. */
static void add_variants(struct page *p, size_t reset)
{
	struct cop_str svg = {0};
	char *part = cop_xasprintf("reset to %s", p->g->reset[reset].name);
	char *caption = cop_xasprintf("Each line is one way to choose the weights or to retrain what is left, controls "
				      "dashed; dashed from side to side, the dense network.%s",
				      intervals(p));
	cop_figure_variants(&svg, p->g, reset, false);
	add_figure(p, "", "Ways to cut and retrain", part, &svg, caption);
	if (cop_figure_variants_have_near(p->g, reset)) {
		cop_figure_variants(&svg, p->g, reset, true);
		add_figure(p, "", "The same, near the dense network", "", &svg, near_caption);
	}
	free(caption);
	free(part);
}

/* At each reset point, of many at the first, the last and the best cell's. */
static void compare_variants(struct page *p)
{
	const struct cop_grid *g = p->g;
	for (size_t k = 0; k < g->nr && has_variants(p); k++)
		if (g->nr <= RESETS_COMPARED || k == 0 || k == g->nr - 1 || k == cop_grid_best_reset(g))
			add_variants(p, k);
}

static void add_sparsity(struct page *p)
{
	struct cop_str svg = {0};
	char *caption = cop_xasprintf("Each line is one reset point; dashed, the dense network.%s", intervals(p));
	cop_figure_sparsity(&svg, p->g, false);
	add_figure(p, "", "Accuracy against sparsity", cop_grid_name(p->g), &svg, caption);
	if (cop_figure_has_near(p->g)) {
		cop_figure_sparsity(&svg, p->g, true);
		add_figure(p, "", "The same, near the dense network", "", &svg, near_caption);
	}
	free(caption);
}

static void add_curves(struct page *p)
{
	struct cop_str svg = {0}, caption = {0};
	struct cop_curves c;
	cop_figure_curves(&svg, p->r, p->g, &c);
	cop_str_addf(&caption, "The dense network and %zu of %zu cells, of replicate %" PRId64, c.shown, c.cells,
		     c.replicate);
	for (size_t k = 0; k < c.nresets; k++) {
		cop_str_add(&caption, k ? " and (dashed) " : ", reset to ");
		cop_text_html(&caption, c.reset[k]);
	}
	cop_str_add(&caption, "; colour tells how much is left.");
	if (c.clipped)
		cop_str_add(&caption, c.validation ? " The first steps lie below the picture."
						   : " The first steps lie above the picture.");
	add_figure(p, "", "Training", cop_grid_name(p->g), &svg, caption.s);
	cop_str_release(&caption);
}

static void add_early(struct page *p)
{
	struct cop_str svg = {0}, caption = {0};
	struct cop_early e;
	cop_early_init(&e, p->r, p->g);
	size_t reset = cop_grid_best_reset(p->g);
	char *part = has_variants(p) && p->g->nr ? cop_xasprintf("reset to %s", p->g->reset[reset].name)
						 : cop_xstrdup("");
	cop_figure_early(&svg, &e, reset, false);
	cop_str_add(&caption,
		    "How fast networks learn: the step of the least validation loss, counted from initialisation");
	if (isfinite(e.every))
		cop_str_addf(&caption, " and known to within %.0f steps", e.every);
	cop_str_addf(&caption, ". Each line is one %s; dashed%s, the dense network.%s",
		     has_variants(p) ? "way to choose the weights or to retrain what is left, controls dashed"
				     : "reset point",
		     has_variants(p) ? " from side to side" : "", intervals(p));
	add_figure(p, "", "Early stop", part, &svg, caption.s);
	cop_figure_early(&svg, &e, reset, true);
	add_figure(p, "", "Accuracy at early stop", part, &svg,
		   e.tested ? "Test top-1 with the weights of the step of the least validation loss."
			    : "Validation top-1 at the step of the least validation loss; "
			      "<code>train.test_early_stop</code> "
			      "has the test split measured there.");
	free(part);
	cop_str_release(&caption);
	cop_early_release(&e);
}

/* Of each variant but those that leave the same as an earlier one. */
static void add_layers(struct page *p)
{
	struct cop_str drawn[COP_VARIANTS_MAX] = {0};
	for (size_t v = 0; v < p->g->variants.n; v++) {
		struct cop_grid shown = cop_grid_show(p->g, v);
		struct cop_str svg = {0};
		size_t k = 0;
		cop_figure_layers(&svg, p->r, &shown);
		while (k < v && (!svg.len || !drawn[k].len || strcmp(drawn[k].s, svg.s) != 0))
			k++;
		if (k < v) {
			cop_str_release(&svg);
			continue;
		}
		if (svg.len)
			cop_str_add(&drawn[v], svg.s);
		add_figure(p, p->g->nq > WIDE_LAYERS_CELLS ? "wide roomy" : "", "What is left of each layer",
			   cop_grid_name(&shown), &svg,
			   has_variants(p) ? "Percent of a layer's weights that survive the mask; the colour follows "
					     "the logarithm. What leaves the same of each layer is drawn once."
					   : "Percent of a layer's weights that survive the mask; the colour follows "
					     "the logarithm.");
	}
	for (size_t v = 0; v < p->g->variants.n; v++)
		cop_str_release(&drawn[v]);
}

static void add_stability(struct page *p, const struct cop_stability *s)
{
	struct cop_str svg = {0};
	cop_figure_stability(&svg, s, p->g);
	add_figure(
		p, "", "Instability against reset point", "", &svg,
		"How far the test error rises on the straight line between two children of a ticket, trained from the "
		"same state with other orders of the images, above the mean of its ends. Below the dashed line "
		"training "
		"counts as stable. Means of the replicates, where there are several with their 95 % confidence "
		"intervals.");
	cop_figure_paths(&svg, s, p->g);
	char *caption = cop_xasprintf("The same lines point by point (%" PRId64
				      " of each), means of the pairs and replicates of a place: of each "
				      "share of the weights at its first and its last reset point.",
				      s->n ? s->place[0].pair->points : 0);
	add_figure(p, "", "Error between two children", "", &svg, caption);
	free(caption);
}

static void add_overlaps(struct page *p, const struct cop_overlaps *o)
{
	enum { WIDE = 8 };
	struct cop_str svg = {0};
	char *part = cop_xasprintf("quantile %.6g", o->quantile);
	char *caption = cop_xasprintf(
		"The share of the weights of one mask that the other keeps, too; %.2g is what masks that keep weights "
		"at random have in common. Masks that are equal are drawn once, with the first cell's name.%s",
		o->chance, o->more ? " Not all cells were looked at; <code>coppice mask compare</code> does." : "");
	cop_figure_overlaps(&svg, o);
	add_figure(p, o->n > WIDE ? "wide" : "", "What tickets have in common", part, &svg, caption);
	free(caption);
	free(part);
}

static void add_missing(struct page *p)
{
	const struct cop_results *r = p->r;
	if (!r->nmissing)
		return;
	cop_str_addf(&p->b, "<section>\n<h2>Missing cells</h2>\n<p>%zu %s not finished: ", r->nmissing,
		     r->nmissing == 1 ? "cell is" : "cells are");
	for (size_t i = 0; i < r->nmissing; i++) {
		size_t k = i; /* a run of neighbours is written as first–last */
		while (k + 1 < r->nmissing && (uint64_t)r->missing[k + 1] == (uint64_t)r->missing[k] + 1)
			k++;
		cop_str_addf(&p->b, "%s%" PRId64, i ? ", " : "", r->missing[i]);
		if (k > i)
			cop_str_addf(&p->b, "%s%" PRId64, k > i + 1 ? "–" : ", ", r->missing[k]);
		i = k;
	}
	cop_str_add(&p->b, ". <code>coppice redo</code> submits them again.</p>\n</section>\n");
}

static void add_real(struct cop_str *b, double v, const char *format_digits, int digits)
{
	if (!isfinite(v))
		cop_str_add(b, "<td>–</td>");
	else if (*format_digits == 'f')
		cop_str_addf(b, "<td>%.*f</td>", digits, v);
	else
		cop_str_addf(b, "<td>%.*g</td>", digits, v);
}

static void add_words(struct cop_str *b, const struct cop_row *row)
{
	cop_str_add(b, "<td class=\"text\">");
	cop_text_html(b, row->criterion);
	cop_str_add(b, "</td><td class=\"text\">");
	cop_text_html(b, row->retrain);
	cop_str_addf(b, "</td><td>%" PRId64 "</td>", row->child);
}

static void add_row(struct cop_str *b, const struct cop_row *row, bool words)
{
	cop_str_addf(b, "<tr><td>%" PRId64 "</td><td>%" PRId64 "</td>", row->index, row->replicate);
	if (words)
		add_words(b, row);
	add_real(b, row->quantile, "g", 6);
	cop_str_add(b, "<td class=\"text\">");
	cop_text_html(b, row->reset);
	cop_str_addf(b, "</td><td>%" PRId64 "</td>", row->reset_step);
	add_real(b, row->total > 0 ? 100 * (double)row->nnz / (double)row->total : NAN, "g", 4);
	add_real(b, 100 * row->test_top1, "f", 2);
	add_real(b, 100 * row->test_top5, "f", 2);
	add_real(b, row->test_loss, "f", 4);
	add_real(b, 100 * row->val_top1, "f", 2);
	add_real(b, row->early_stop_step, "f", 0);
	add_real(b, row->threshold, "g", 4);
	add_real(b, row->seconds, "f", 1);
	cop_str_add(b, "<td class=\"text\">");
	cop_text_html(b, row->host);
	cop_str_add(b, "</td></tr>\n");
}

static void add_usage(struct page *p)
{
	struct cop_usage u;
	cop_usage_init(&u, p->r);
	cop_usage_html(&p->b, &u);
	cop_usage_release(&u);
}

static void add_table(struct page *p)
{
	if (!p->r->ncells)
		return;
	bool words = has_variants(p);
	for (size_t i = 0; i < p->r->ncells; i++)
		words |= p->r->cell[i].row.child != 0;
	cop_str_addf(
		&p->b,
		"<details%s>\n<summary>All cells</summary>\n<div class=\"scroll\"><table>\n<thead><tr><th>cell</th>"
		"<th>replicate</th>%s<th>quantile</th><th class=\"text\">reset</th><th>at step</th><th>left %%</th>"
		"<th>test top-1 %%</th><th>top-5 %%</th><th>loss</th><th>val. top-1 %%</th><th>early "
		"stop</th><th>threshold</th>"
		"<th>seconds</th><th class=\"text\">host</th></tr></thead>\n<tbody>\n",
		p->r->ncells <= OPEN_TABLE_ROWS ? " open=\"open\"" : "",
		words ? "<th class=\"text\">criterion</th><th class=\"text\">retrain</th><th>child</th>" : "");
	for (size_t i = 0; i < p->r->ncells; i++)
		add_row(&p->b, &p->r->cell[i].row, words);
	cop_str_add(&p->b, "</tbody>\n</table></div>\n</details>\n");
}

static void add_experiment(struct page *p)
{
	cJSON *json = NULL;
	if (!p->r->experiment)
		return;
	char *text = NULL;
	if (cop_json_parse(p->r->experiment, "experiment", &json, NULL) == 0)
		text = cJSON_Print(json);
	cop_str_add(&p->b, "<details>\n<summary>The experiment, every default written out</summary>\n<pre>");
	/* line by line, because escaping takes the ends of lines for control characters */
	for (const char *s = text ? text : p->r->experiment; *s;) {
		size_t n = strcspn(s, "\n");
		struct cop_str line = {0};
		for (size_t i = 0; i < n; i++)
			cop_str_addn(&line, s[i] == '\t' ? "  " : &s[i], s[i] == '\t' ? 2 : 1);
		cop_text_html(&p->b, line.s ? line.s : "");
		cop_str_add(&p->b, "\n");
		cop_str_release(&line);
		s += n + (s[n] == '\n');
	}
	cop_str_add(&p->b, "</pre>\n</details>\n");
	cJSON_free(text);
	cJSON_Delete(json);
}

static void add_collapse(struct page *p)
{
	struct cop_collapse c;
	cop_collapse_init(&c, p->r, p->g);
	cop_collapse_html(&p->b, &c);
	cop_collapse_release(&c);
}

char *cop_html_text(const struct cop_html_parts *of, const char *when)
{
	const struct cop_grid *g = of->grid;
	size_t v = 0;
	while (v < g->variants.n && g->table[v].best == g->nq * g->nr)
		v++;
	struct cop_grid shown = cop_grid_show(g, v < g->variants.n ? v : 0);
	struct page p = {.r = of->results, .g = &shown};
	add_head(&p, when);
	add_facts(&p);
	cop_str_add(&p.b, "<div class=\"figures\">\n");
	add_heatmaps(&p);
	compare_variants(&p);
	add_sparsity(&p);
	add_early(&p);
	add_curves(&p);
	add_layers(&p);
	if (of->overlaps)
		add_overlaps(&p, of->overlaps);
	if (of->stability)
		add_stability(&p, of->stability);
	cop_str_add(&p.b, "</div>\n");
	add_missing(&p);
	cop_speed_html(&p.b, g);
	add_collapse(&p);
	add_usage(&p);
	add_table(&p);
	add_experiment(&p);
	cop_str_add(&p.b, "<footer>The same numbers, and more of them, are in <code>results.h5</code> and "
			  "<code>results.csv</code>.</footer>\n</main>\n</body>\n</html>\n");
	return cop_str_take(&p.b);
}

int cop_html_write(const char *path, const struct cop_html_parts *of, struct cop_err *err)
{
	char when[64] = "";
	time_t now = time(NULL);
	struct tm tm;
	if (localtime_r(&now, &tm))
		strftime(when, sizeof(when), "%-d %B %Y, %H:%M %Z", &tm);
	char *text = cop_html_text(of, when);
	int rc = cop_write_file(path, text, strlen(text), err);
	free(text);
	return rc;
}
