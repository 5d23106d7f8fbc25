/* A run's report; see report.h. */
#include "report/report.h"

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "report/collapse.h"
#include "report/figures.h"
#include "report/heatmap.h"
#include "report/html.h"
#include "report/places.h"
#include "report/speed.h"
#include "report/table.h"
#include "report/usage.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct cop_column columns[] = {
	{"quantile", COP_COLUMN_GENERAL, 6},
	{"left", COP_COLUMN_PERCENT, 2},
	{"reset", COP_COLUMN_TEXT, 0},
	{"reset_step", COP_COLUMN_INT, 0},
	{"replicates", COP_COLUMN_INT, 0},
	{"test_top1", COP_COLUMN_PERCENT, 2},
	{"test_top1_min", COP_COLUMN_PERCENT, 2},
	{"test_top1_max", COP_COLUMN_PERCENT, 2},
	{"test_top1_sd", COP_COLUMN_PERCENT, 2},
	{"test_top1_half", COP_COLUMN_PERCENT, 2},
	{"dense_top1", COP_COLUMN_PERCENT, 2},
	{"dense_top1_half", COP_COLUMN_PERCENT, 2},
	{"difference", COP_COLUMN_PERCENT, 2},
	{"difference_half", COP_COLUMN_PERCENT, 2},
	{"difference_p", COP_COLUMN_GENERAL, 3},
	{"criterion", COP_COLUMN_TEXT, 0},
	{"retrain", COP_COLUMN_TEXT, 0},
	{"control", COP_COLUMN_BOOL, 0},
};

/* The rows of the variant that is shown. */
static void add_rows(struct cop_table *t, const struct cop_grid *g)
{
	struct cop_estimate dense = cop_spread_estimate(&g->dense);
	const struct cop_variant *v = &g->variants.v[g->shown];
	for (size_t i = 0; i < g->nq * g->nr; i++) {
		const struct cop_grid_reset *reset = &g->reset[i % g->nr];
		const struct cop_spread *s = &g->top1[i];
		struct cop_estimate here = cop_spread_estimate(s);
		struct cop_difference from_dense = cop_difference_of(&here, &dense);
		cop_table_real(t, g->quantile[i / g->nr]);
		cop_table_real(t, g->left[i / g->nr]);
		cop_table_text(t, reset->name);
		if (reset->step < 0)
			cop_table_none(t);
		else
			cop_table_int(t, reset->step);
		cop_table_int(t, (int64_t)s->n);
		cop_table_real(t, s->mean);
		cop_table_real(t, s->min);
		cop_table_real(t, s->max);
		cop_table_real(t, s->sd);
		cop_table_real(t, s->half);
		cop_table_real(t, dense.mean);
		cop_table_real(t, dense.half);
		cop_table_real(t, from_dense.mean);
		cop_table_real(t, from_dense.half);
		cop_table_real(t, from_dense.p);
		cop_table_text(t, v->criterion);
		cop_table_text(t, v->retrain);
		cop_table_bool(t, v->control);
	}
}

static cJSON *grid_json(const struct cop_grid *g)
{
	struct cop_table t;
	cop_table_init(&t, columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t v = 0; v < g->variants.n; v++) {
		struct cop_grid shown = cop_grid_show(g, v);
		add_rows(&t, &shown);
	}
	cJSON *json = cop_table_json(&t);
	cop_table_release(&t);
	return json;
}

static void print_json(const struct cop_html_parts *of, const struct cop_usage *u, FILE *out)
{
	const struct cop_results *r = of->results;
	const struct cop_grid *g = of->grid;
	cJSON *json = cJSON_CreateObject();
	struct cop_early e;
	cop_early_init(&e, r, g);
	cJSON_AddItemToObject(json, "grid", grid_json(g));
	cJSON_AddItemToObject(json, "early_stop", cop_early_json(&e));
	cop_early_release(&e);
	cJSON_AddItemToObject(json, "speed", cop_speed_json(g));
	struct cop_collapse c;
	cop_collapse_init(&c, r, g);
	cJSON_AddItemToObject(json, "collapsed", cop_collapse_json(&c));
	cop_collapse_release(&c);
	cJSON_AddItemToObject(json, "overlaps", cop_overlaps_json(of->overlaps));
	cJSON_AddItemToObject(json, "instability", cop_places_json(of->stability->place, of->stability->n));
	cJSON_AddItemToObject(json, "usage", cop_usage_json(u));
	char *text = cJSON_Print(json);
	fprintf(out, "%s\n", text ? text : "null");
	cJSON_free(text);
	cJSON_Delete(json);
}

static void print_early(const struct cop_results *r, const struct cop_grid *g, FILE *out)
{
	struct cop_early e;
	cop_early_init(&e, r, g);
	cop_early_print(&e, out, cop_terminal_width(out));
	cop_early_release(&e);
}

static void print_collapse(const struct cop_results *r, const struct cop_grid *g, FILE *out)
{
	struct cop_collapse c;
	cop_collapse_init(&c, r, g);
	cop_collapse_print(&c, out);
	cop_collapse_release(&c);
}

static int write_svg(const char *path, const struct cop_grid *g, struct cop_err *err)
{
	struct cop_str svg = {0};
	cop_figure_heatmap(&svg, g, true);
	int rc = svg.len ? cop_write_file(path, svg.s, svg.len, err)
			 : cop_fail(err, COP_EINPUT, "cannot draw '%s': the results hold no cell", path);
	cop_str_release(&svg);
	return rc;
}

static int report_results(const char *run, const char *results, const char *html, const struct cop_results *r,
			  const struct cop_report_options *o, FILE *out, struct cop_err *err)
{
	struct cop_grid g;
	struct cop_usage u;
	struct cop_stability s;
	struct cop_overlaps overlaps;
	cop_grid_init(&g, r);
	cop_usage_init(&u, r);
	const struct cop_html_parts parts = {r, &g, &s, &overlaps};
	if (!o->json) {
		cop_heatmap_print(&g, r->name, out, o->colour ? cop_colours_known() : COP_COLOURS_NONE,
				  cop_terminal_width(out));
		print_early(r, &g, out);
		cop_speed_print(&g, out);
		print_collapse(r, &g, out);
	}
	/* after what the results alone say, for it reads files of the run */
	cop_stability_read(&s, run, r);
	cop_overlaps_read(&overlaps, run, r, &g);
	if (o->json)
		print_json(&parts, &u, out);
	else if (s.n) {
		fprintf(out, "\nthe line between children (stable: an instability below 2 points):\n");
		cop_places_print(s.place, s.n, out);
	}
	int rc = cop_html_write(html, &parts, err);
	cop_stability_release(&s);
	cop_overlaps_release(&overlaps);
	if (!rc && o->svg)
		rc = write_svg(o->svg, &g, err);
	cop_grid_release(&g);
	if (!rc && !o->json) {
		if (r->nmissing)
			fprintf(out, "%zu of %zu cells are not finished\n", r->nmissing, r->ncells + r->nmissing);
		cop_usage_print(&u, out);
		fprintf(out, "\n%s\n%s\n", results, html);
	}
	cop_usage_release(&u);
	return rc;
}

/* Cells come by renaming into their folder, which changes it: no need to open each of them. */
static void warn_of_newer_cells(const char *run, const char *results)
{
	char *cells = cop_xasprintf("%s/cells", run);
	if (cop_changed(cells) > cop_changed(results))
		cop_warn("cells have come or gone since '%s' was written: 'coppice collect %s' gathers them", results,
			 run);
	free(cells);
}

/* A page replaces a page, and nothing else. */
static int check_page(const char *path, struct cop_err *err)
{
	char *text = NULL;
	size_t len;
	if (!cop_exists(path))
		return 0;
	int rc = cop_read_file(path, &text, &len, err);
	if (!rc && len && strncmp(text, "<!", 2) != 0)
		rc = cop_fail(err, COP_EINPUT, "'%s' exists and is no HTML: it is left as it is", path);
	free(text);
	return rc;
}

int cop_report(const char *run, const struct cop_report_options *o, FILE *out, struct cop_err *err)
{
	struct cop_results r = {0};
	char *results = cop_xasprintf("%s/results.h5", run);
	char *html = o->html ? cop_xstrdup(o->html) : cop_xasprintf("%s/report.html", run);
	int rc = 0;
	if (!cop_is_folder(run))
		rc = cop_fail(err, COP_EINPUT, "'%s' is no run's folder", run);
	else if (!cop_exists(results))
		rc = cop_fail(err, COP_EINPUT, "'%s' has no results yet (run 'coppice collect %s' first)", run, run);
	else
		rc = cop_results_read(results, &r, err);
	if (!rc)
		rc = check_page(html, err);
	if (!rc)
		warn_of_newer_cells(run, results);
	if (!rc)
		rc = report_results(run, results, html, &r, o, out, err);
	cop_results_release(&r);
	free(results);
	free(html);
	return rc;
}

int cop_report_run(const char *run, FILE *out, bool colour, struct cop_err *err)
{
	return cop_report(run, &(struct cop_report_options){.colour = colour}, out, err);
}
