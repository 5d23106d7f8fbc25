/*
 * The figures and the page: what is drawn is counted and placed, what comes from a file is escaped.
 *
 * `test_report RUN QUANTILES RESETS REPLICATES MISSING VALIDATION NAME [VARIANTS]` writes made-up results into
 * RUN/results.h5 instead, for the tests of the command line.
 */
#include "base/file.h"
#include "base/mem.h"
#include "report/figures.h"
#include "report/html.h"
#include "report/report.h"
#include "report/svg.h"
#include "synthetic.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static size_t count(const char *text, const char *what)
{
	size_t n = 0;
	for (const char *p = text; (p = strstr(p, what)); p += strlen(what))
		n++;
	return n;
}

static const struct synthetic usual = {
	.quantiles = 7, .resets = 5, .replicates = 3, .missing = 4, .validation = true, .name = "usual"};

static void test_heatmap_has_every_place(void **state)
{
	(void)state;
	struct cop_results r;
	struct cop_grid g;
	struct cop_str svg = {0};
	struct synthetic hole = usual;
	hole.replicates = 1;
	synthetic_results(&r, &hole);
	cop_grid_init(&g, &r);
	cop_figure_heatmap(&svg, &g, false);
	assert_int_equal(count(svg.s, "<rect class=\"cell\""), 7 * 5 - 4);
	assert_int_equal(count(svg.s, "<rect class=\"cell none\""), 4);
	assert_int_equal(count(svg.s, "<rect class=\"best\""), 1);
	assert_int_equal(count(svg.s, "<rect class=\"dense\""), 1);
	assert_int_equal(count(svg.s, "<title>"), 35);
	assert_int_equal(count(svg.s, "±"), 0);
	assert_null(strstr(svg.s, "<style>"));
	cop_str_release(&svg);
	cop_figure_heatmap(&svg, &g, true);
	assert_non_null(strstr(svg.s, "<style>"));
	assert_null(strstr(svg.s, "var("));
	cop_str_release(&svg);
	cop_grid_release(&g);
	cop_results_release(&r);
}

/* The y of each point of the first polyline grows as accuracy falls, and the dense line lies at its mean. */
static void test_sparsity_is_placed(void **state)
{
	(void)state;
	struct cop_results r;
	struct cop_grid g;
	struct cop_str svg = {0};
	synthetic_results(&r, &usual);
	cop_grid_init(&g, &r);
	cop_figure_sparsity(&svg, &g, false);
	assert_int_equal(count(svg.s, "<polyline"), 5);
	assert_int_equal(count(svg.s, "<g class=\"series\""), 5);
	assert_int_equal(count(svg.s, "class=\"bar\""), 35);
	assert_int_equal(count(svg.s, "class=\"reference\""), 1);
	const char *p = strstr(svg.s, "points=\"") + strlen("points=\"");
	double x0 = -1, y0 = 0;
	for (size_t q = 0; q < g.nq; q++) {
		char *end;
		double x = strtod(p, &end), y = strtod(end + 1, &end);
		assert_true(x > x0);
		if (q > 0) {
			double fell = cop_grid_at(&g, q - 1, 0)->mean - cop_grid_at(&g, q, 0)->mean;
			assert_true(fell > 0.001 ? y > y0 : fell < -0.001 ? y < y0 : true);
		}
		x0 = x;
		y0 = y;
		p = end + 1;
	}
	cop_str_release(&svg);
	cop_grid_release(&g);
	cop_results_release(&r);
}

static size_t figure_count(const char *page, const char *heading, const char *what)
{
	const char *at = strstr(page, heading);
	assert_non_null(at);
	char *figure = cop_xstrdup(at);
	*strstr(figure, "</figure>") = '\0';
	size_t n = count(figure, what);
	free(figure);
	return n;
}

/* A map for each variant, and figures that hold all of them against each other, controls dashed. */
static void test_variants_are_compared(void **state)
{
	(void)state;
	struct cop_results r;
	struct cop_grid g;
	struct synthetic want = {.quantiles = 7,
				 .resets = 5,
				 .replicates = 2,
				 .missing = 37,
				 .variants = 4,
				 .validation = true,
				 .name = "four"};
	static const char *const maps[] = {"magnitude, rewind", "magnitude, reinit", "random, rewind",
					   "random, reinit"};
	synthetic_results(&r, &want);
	cop_grid_init(&g, &r);
	char *page = cop_html_text(&(struct cop_html_parts){&r, &g, NULL, NULL}, ""), heading[100];
	for (size_t v = 0; v < 4; v++) {
		snprintf(heading, sizeof(heading), "<h2>Accuracy of every ticket: %s</h2>", maps[v]);
		/* of the last one a replicate is missing, and two places of the other */
		assert_int_equal(figure_count(page, heading, "<rect class=\"cell\""), v < 3 ? 35 : 33);
		assert_int_equal(figure_count(page, heading, "±"), (v < 3 ? 2 * 35 : 0) + (v == 0));
	}
	/* the first, the last and the best cell's reset point */
	assert_int_equal(g.best % g.nr, 2);
	assert_int_equal(count(page, "<h2>Ways to cut and retrain: reset to "), 3);
	const char *of = "<h2>Ways to cut and retrain: reset to 0ep</h2>";
	assert_int_equal(figure_count(page, of, "<g class=\"series variant\""), 2);
	assert_int_equal(figure_count(page, of, "<g class=\"series variant dashed\""), 2);
	assert_int_equal(figure_count(page, of, "<path class=\"mark\""), 4 * 7 + 4);
	assert_int_equal(figure_count(page, of, "<path class=\"bar\""), 3 * 7);
	assert_int_equal(figure_count(page, of, "<rect class=\"band\""), 1);
	assert_int_equal(figure_count(page, "<h2>Early stop: reset to 500it</h2>", "<g class=\"series stop"), 4);
	assert_int_equal(figure_count(page, "<h2>Early stop: reset to 500it</h2>", "<g class=\"series stop dashed\""),
			 2);
	/* all of them have the same layers */
	assert_int_equal(count(page, "<h2>What is left of each layer: magnitude, rewind</h2>"), 1);
	assert_int_equal(count(page, "<h2>What is left of each layer"), 1);
	assert_int_equal(count(page, "<td class=\"text\">random</td><td class=\"text\">reinit</td><td>0</td>"), 33);
	assert_true(count(page, ", magnitude, rewind</dd>") == 2);
	assert_int_equal(count(page, "id=\"scale3\""), 1);
	assert_null(strstr(page, "nan"));
	free(page);
	cop_grid_release(&g);
	cop_results_release(&r);
}

static void test_curves_are_few(void **state)
{
	(void)state;
	struct cop_results r;
	struct cop_grid g;
	struct cop_curves c;
	struct cop_str svg = {0};
	synthetic_results(&r, &usual);
	cop_grid_init(&g, &r);
	cop_figure_curves(&svg, &r, &g, &c);
	assert_true(c.shown >= 7 && c.shown <= 11);
	assert_int_equal(count(svg.s, "<polyline"), c.shown + 1);
	assert_true(c.validation && c.clipped);
	assert_int_equal(c.replicate, 0);
	cop_str_release(&svg);
	for (size_t i = 0; i < r.ncells; i++)
		for (size_t k = 0; k < r.cell[i].history.n; k++)
			r.cell[i].history.row[k][COP_HISTORY_VAL_TOP1] = NAN;
	for (size_t i = 0; i < r.ndense; i++)
		for (size_t k = 0; k < r.dense[i].history.n; k++)
			r.dense[i].history.row[k][COP_HISTORY_VAL_TOP1] = NAN;
	cop_figure_curves(&svg, &r, &g, &c);
	assert_false(c.validation);
	assert_non_null(strstr(svg.s, "training loss"));
	assert_null(strstr(svg.s, "nan"));
	cop_str_release(&svg);
	cop_grid_release(&g);
	cop_results_release(&r);
}

static void test_layers(void **state)
{
	(void)state;
	struct cop_results r;
	struct cop_grid g;
	struct cop_str svg = {0};
	synthetic_results(&r, &usual);
	cop_grid_init(&g, &r);
	cop_figure_layers(&svg, &r, &g);
	assert_int_equal(count(svg.s, "<rect class=\"layer\""), (3 + 1) * 7);
	assert_non_null(strstr(svg.s, "235,200"));
	assert_non_null(strstr(svg.s, "266,200"));
	assert_non_null(strstr(svg.s, ">3.60<")); /* all, at 0.964 */
	cop_str_release(&svg);
	cop_grid_release(&g);
	cop_results_release(&r);
}

static void test_page_escapes_names(void **state)
{
	(void)state;
	struct cop_results r;
	struct cop_grid g;
	struct synthetic hostile = usual;
	hostile.name = "</title><script>alert(1)</script>&\x01\xff";
	synthetic_results(&r, &hostile);
	for (size_t i = 0; i < r.ncells; i++) {
		snprintf(r.cell[i].row.host, COP_TEXT, "<script src=%zu>\"'", i);
		snprintf(r.cell[i].row.device, COP_TEXT, "</style><script>");
		snprintf(r.cell[i].row.retrain, COP_TEXT, i % 2 ? "<script>" : "rewind");
		if (strcmp(r.cell[i].row.reset, "1ep") == 0)
			snprintf(r.cell[i].row.reset, COP_TEXT, "1ep<script>");
		snprintf(r.cell[i].layer[0].name, COP_TENSOR_NAME, "fc1\"><script>");
	}
	free(r.experiment);
	free(r.hash);
	r.experiment = cop_xstrdup("{\"a\": \"</pre><script>\"");
	r.hash = cop_xstrdup("<script>");
	cop_grid_init(&g, &r);
	char *text = cop_html_text(&(struct cop_html_parts){&r, &g, NULL, NULL}, "<script>");
	assert_int_equal(count(text, "<script"), 0);
	assert_true(count(text, "&lt;script") > 100);
	/* the figures' name space is the only address, and is not fetched */
	assert_int_equal(count(text, "http://"), count(text, "<svg xmlns=\"http://www.w3.org/2000/svg\""));
	assert_int_equal(count(text, "https://"), 0);
	assert_null(strchr(text, '\x01'));
	free(text);
	cop_grid_release(&g);
	cop_results_release(&r);
}

static void test_page_says_what_matters(void **state)
{
	(void)state;
	struct cop_results r;
	struct cop_grid g;
	synthetic_results(&r, &usual);
	r.missing[3] = 200;
	cop_grid_init(&g, &r);
	char *text = cop_html_text(&(struct cop_html_parts){&r, &g, NULL, NULL}, "1 May 2030");
	assert_non_null(strstr(text, "<h1>usual</h1>"));
	assert_non_null(strstr(text, "1 May 2030"));
	assert_non_null(strstr(text, ">101 of 105<"));
	assert_non_null(strstr(text, "101–103, 200."));
	assert_non_null(strstr(text, "node00, node01, node02, node03"));
	assert_int_equal(count(text, "<tr><td>"), 101);
	free(text);
	cop_grid_release(&g);
	cop_results_release(&r);
}

/* Results that a damaged or foreign file may hold must not break the drawing. */
static void test_strange_results(void **state)
{
	(void)state;
	struct cop_results r;
	struct cop_grid g;
	struct cop_results nothing = {0};
	cop_grid_init(&g, &nothing);
	char *text = cop_html_text(&(struct cop_html_parts){&nothing, &g, NULL, NULL}, "");
	assert_non_null(strstr(text, "0 of 0"));
	assert_null(strstr(text, "nan"));
	assert_int_equal(count(text, "<svg"), 0);
	free(text);
	cop_grid_release(&g);
	synthetic_results(&r, &(struct synthetic){.quantiles = 1, .resets = 1, .replicates = 1, .name = "one"});
	static const double odd[] = {NAN, INFINITY, -INFINITY, 1e300, -1e300, 0, 1};
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		struct cop_row *row = &r.cell[0].row;
		row->test_top1 = row->test_loss = row->seconds = row->threshold = odd[i];
		row->total = i % 2 ? 0 : 100;
		row->nnz = 0;
		for (size_t k = 0; k < r.cell[0].history.n; k++)
			r.cell[0].history.row[k][COP_HISTORY_TRAIN_LOSS] = r.cell[0].history.row[k][COP_HISTORY_STEP] =
				odd[i];
		cop_grid_init(&g, &r);
		text = cop_html_text(&(struct cop_html_parts){&r, &g, NULL, NULL}, "");
		assert_null(strstr(text, "nan"));
		assert_null(strstr(text, "inf,"));
		assert_int_equal(count(text, "<svg"), count(text, "</svg>"));
		free(text);
		cop_grid_release(&g);
	}
	cop_results_release(&r);
}

static void test_matrix(void **state)
{
	(void)state;
	static char first[] = "replicate 0", second[] = "<b>", third[] = "replicate 2";
	char *label[] = {first, second, third};
	static const double v[] = {1, 0.25, NAN, 0.25, 1, 0.5, NAN, 0.5, 1};
	struct cop_str svg = {0};
	cop_figure_matrix(&svg, "what masks share", label, v, 0);
	assert_int_equal(svg.len, 0);
	cop_figure_matrix(&svg, "what masks share", label, v, 3);
	assert_int_equal(count(svg.s, "<rect class=\"pair\""), 9);
	assert_int_equal(count(svg.s, "<title>"), 9);
	assert_int_equal(count(svg.s, ">1.00<"), 3);
	assert_int_equal(count(svg.s, ">0.25<"), 2);
	assert_int_equal(count(svg.s, ">–<"), 2);
	assert_non_null(strstr(svg.s, "<title>replicate 0 and &lt;b&gt;: 0.25</title>"));
	assert_null(strstr(svg.s, "nan"));
	cop_str_release(&svg);
}

static void test_ticks_are_round(void **state)
{
	(void)state;
	struct cop_ticks t;
	cop_ticks_even(&t, 91.1, 98.4, 6);
	assert_int_equal(t.n, 7);
	assert_true(t.v[0] == 92 && t.v[6] == 98 && t.digits == 0);
	cop_ticks_even(&t, 0.012, 0.058, 5);
	assert_true(t.n == 4 && fabs(t.v[0] - 0.02) < 1e-12 && t.digits == 2);
	cop_ticks_even(&t, 1, 1, 5);
	assert_int_equal(t.n, 0);
	cop_ticks_even(&t, NAN, 1, 5);
	assert_int_equal(t.n, 0);
	cop_ticks_log(&t, 3.2, 56);
	assert_int_equal(t.n, 4);
	assert_true(fabs(t.v[0] - 5) < 1e-9 && fabs(t.v[3] - 50) < 1e-9);
	cop_ticks_log(&t, 1e-300, 1e300);
	assert_int_equal(t.n, COP_TICKS_MAX);
	struct cop_axis a = {100, 1, 0, 200, true};
	assert_true(fabs(cop_axis_at(&a, 10) - 100) < 1e-9);
}

static void test_report_of_a_run(void **state)
{
	(void)state;
	char run[] = "report-XXXXXX";
	struct cop_err err;
	struct cop_results r;
	assert_non_null(mkdtemp(run));
	char *text = NULL, *results = cop_xasprintf("%s/results.h5", run), *page = cop_xasprintf("%s/report.html", run);
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	assert_int_equal(cop_report_run(run, out, false, &err), COP_EINPUT);
	assert_non_null(strstr(err.msg, "coppice collect"));
	synthetic_results(&r, &usual);
	assert_int_equal(cop_results_write(results, &r, &err), 0);
	assert_int_equal(cop_report_run(run, out, false, &err), 0);
	fflush(out);
	assert_non_null(strstr(text, "quantile  left %"));
	assert_non_null(strstr(text, page));
	assert_true(cop_exists(page));
	fclose(out);
	free(text);
	unlink(results);
	unlink(page);
	assert_int_equal(rmdir(run), 0); /* nothing else was left */
	cop_results_release(&r);
	free(results);
	free(page);
}

static int write_results(int argc, char **argv)
{
	struct synthetic want = {.comparable = true,
				 .quantiles = strtoul(argv[2], NULL, 10),
				 .resets = strtoul(argv[3], NULL, 10),
				 .replicates = strtoul(argv[4], NULL, 10),
				 .missing = strtoul(argv[5], NULL, 10),
				 .validation = argv[6][0] == '1',
				 .variants = argc > 8 ? strtoul(argv[8], NULL, 10) : 1,
				 .name = argv[7]};
	struct cop_err err;
	struct cop_results r;
	char *path = cop_xasprintf("%s/results.h5", argv[1]);
	synthetic_results(&r, &want);
	int rc = cop_mkdirs(argv[1], &err);
	if (!rc)
		rc = cop_results_write(path, &r, &err);
	if (rc)
		fprintf(stderr, "%s\n", err.msg);
	cop_results_release(&r);
	free(path);
	return rc ? 1 : 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heatmap_has_every_place),
		cmocka_unit_test(test_sparsity_is_placed),
		cmocka_unit_test(test_variants_are_compared),
		cmocka_unit_test(test_curves_are_few),
		cmocka_unit_test(test_layers),
		cmocka_unit_test(test_page_escapes_names),
		cmocka_unit_test(test_page_says_what_matters),
		cmocka_unit_test(test_strange_results),
		cmocka_unit_test(test_ticks_are_round),
		cmocka_unit_test(test_matrix),
		cmocka_unit_test(test_report_of_a_run),
	};
	if (argc >= 8)
		return write_results(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
