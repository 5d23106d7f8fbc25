/* Early stops: what is gathered of which cells, and what is drawn of it. */
#include "base/str.h"
#include "report/figures.h"
#include "report/html.h"
#include "synthetic.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 9 };

static size_t count(const char *text, const char *what)
{
	size_t n = 0;
	for (const char *p = text; (p = strstr(p, what)); p += strlen(what))
		n++;
	return n;
}

/* Rows each 500 steps from `from`; the validation loss is least at `stop`, where the accuracies are these. */
static struct cop_history history(double from, double stop, double val_top1, double test_top1)
{
	struct cop_history h = {0};
	for (int i = 0; i < ROWS; i++) {
		double step = from + 500 * i;
		double row[COP_HISTORY_COLUMNS] = {[COP_HISTORY_STEP] = step,
						   [COP_HISTORY_EPOCH] = step / 1000,
						   [COP_HISTORY_VAL_LOSS] = 1 + fabs(step - stop),
						   [COP_HISTORY_VAL_TOP1] = step == stop ? val_top1 : 0.1,
						   [COP_HISTORY_TEST_TOP1] = step == stop ? test_top1 : NAN};
		cop_history_add(&h, row);
	}
	return h;
}

static struct cop_cell cell(int64_t replicate, double quantile, const char *reset, int64_t step, struct cop_history h)
{
	struct cop_cell c = {.row = {.replicate = replicate,
				     .quantile = quantile,
				     .reset_step = step,
				     .same_as = -1,
				     .total = 1000,
				     .nnz = llround(1000 * (1 - quantile)),
				     .test_top1 = 0.9},
			     .history = h};
	snprintf(c.row.reset, COP_TEXT, "%s", reset);
	return c;
}

/* noinline: gcc 12 warns of a dangling pointer that is none */
__attribute__((noinline)) static char *printed(const struct cop_early *e, int width)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	assert_non_null(out);
	cop_early_print(e, out, width);
	fclose(out);
	return text;
}

static void near(double got, double wanted)
{
	if (!(fabs(got - wanted) <= 1e-9 * fabs(wanted)))
		fail_msg("%.12g, not %.12g", got, wanted);
}

/* Two replicates of two reset points, the later one first, and one cell of another quantile. */
static void test_gathering(void **state)
{
	(void)state;
	for (int tested = 0; tested < 2; tested++) {
		double none = tested ? 0.75 : NAN;
		struct cop_cell cells[] = {
			cell(0, 0.5, "500it", 500, history(500, 1500, 0.91, tested ? 0.81 : NAN)),
			cell(0, 0.5, "0ep", 0, history(0, 2000, 0.93, tested ? 0.83 : NAN)),
			cell(1, 0.5, "0ep", 0, history(0, 3000, 0.95, tested ? 0.85 : NAN)),
			cell(1, 0.9, "0ep", 0, history(0, 4000, 0.9, none)),
		};
		struct cop_dense dense[] = {
			{.test_top1 = 0.98, .history = history(0, 4000, 0.97, none)},
			{.test_top1 = 0.98, .replicate = 1, .history = history(0, 4000, 0.99, none)}};
		struct cop_results r = {.cell = cells, .ncells = 4, .dense = dense, .ndense = 2};
		struct cop_grid g;
		struct cop_early e;
		cop_grid_init(&g, &r);
		cop_early_init(&e, &r, &g);
		assert_int_equal(e.n, 2);
		assert_true(e.tested == tested && e.every == 500);
		assert_string_equal(e.series[0].label, "0ep");
		assert_string_equal(e.series[1].label, "500it");
		const struct cop_early_place *p = &e.series[0].at[0];
		assert_int_equal(p->step.n, 2);
		near(p->step.mean, 2500);
		near(p->step.half, 12.706204736 * 500);
		near(p->top1.mean, tested ? 0.84 : 0.94);
		near(cop_early_speed(&e, p), 1.6);
		assert_true(e.series[0].at[1].step.n == 1 && e.series[0].at[1].step.mean == 4000);
		assert_true(e.series[1].at[0].step.mean == 1500 && isnan(e.series[1].at[0].step.half));
		assert_int_equal(e.series[1].at[1].step.n, 0);
		assert_true(isnan(cop_early_speed(&e, &e.series[1].at[1])));
		assert_true(e.dense.step.mean == 4000 && e.dense.step.half == 0);
		char *lines = printed(&e, 80), *narrow = printed(&e, 30);
		assert_string_equal(lines,
				    "\nearly stop, the step of the least validation loss (mean of the replicates):\n"
				    "quantile    left   0ep  500it\n"
				    "dense     100.00  4000   4000\n"
				    "0.5        50.00  2500   1500\n"
				    "0.9        10.00  4000      -\n");
		assert_non_null(strstr(narrow, "quantile    left   0ep\n"));
		assert_non_null(strstr(narrow, "\n\nquantile    left  500it\ndense     100.00   4000\n"));
		free(lines);
		free(narrow);
		cJSON *json = cop_early_json(&e), *row = cJSON_GetArrayItem(json, 1);
		assert_int_equal(cJSON_GetArraySize(json), 4);
		assert_string_equal(cJSON_GetObjectItem(cJSON_GetArrayItem(json, 0), "reset")->valuestring, "dense");
		assert_string_equal(cJSON_GetObjectItem(row, "split")->valuestring, tested ? "test" : "validation");
		char *text = cJSON_PrintUnformatted(row);
		assert_non_null(strstr(text, "\"step\":2500,"));
		assert_non_null(strstr(text, "\"times_sooner\":1.6,"));
		free(text);
		cJSON_Delete(json);
		cop_early_release(&e);
		cop_grid_release(&g);
		for (size_t i = 0; i < 4; i++)
			cop_history_release(&cells[i].history);
		for (size_t i = 0; i < 2; i++)
			cop_history_release(&dense[i].history);
	}
}

/* The y of each point in the order of its step, the first series' line; a mark and a bar for each place. */
static void test_drawing(void **state)
{
	(void)state;
	struct synthetic want = {
		.quantiles = 7, .resets = 5, .replicates = 3, .missing = 4, .validation = true, .name = "usual"};
	struct cop_results r;
	struct cop_grid g;
	struct cop_early e;
	synthetic_results(&r, &want);
	cop_grid_init(&g, &r);
	cop_early_init(&e, &r, &g);
	assert_true(e.tested && e.n == 5);
	for (int accuracy = 0; accuracy < 2; accuracy++) {
		struct cop_str svg = {0};
		cop_figure_early(&svg, &e, 0, accuracy);
		assert_int_equal(count(svg.s, "<polyline"), 5);
		assert_int_equal(count(svg.s, "<g class=\"series stop\""), 5);
		assert_int_equal(count(svg.s, "class=\"mark\""), 35 + 5);
		assert_int_equal(count(svg.s, "class=\"bar\""), 35);
		assert_int_equal(count(svg.s, "class=\"band\""), 1);
		assert_int_equal(count(svg.s, "class=\"reference\""), 1);
		assert_int_equal(count(svg.s, "nan"), 0);
		assert_non_null(strstr(svg.s, accuracy ? "test top-1 at early stop (%)" : "early stop (step)"));
		const char *p = strstr(svg.s, "points=\"") + strlen("points=\"");
		double x0 = -1, y0 = 0, before = 0;
		for (size_t q = 0; q < g.nq; q++) {
			char *end;
			const struct cop_early_place *at = &e.series[0].at[q];
			double x = strtod(p, &end), y = strtod(end + 1, &end),
			       v = accuracy ? 1000 * at->top1.mean : at->step.mean / 100;
			assert_true(x > x0);
			if (q > 0 && fabs(v - before) > 1)
				assert_true((v > before) == (y < y0));
			x0 = x;
			y0 = y;
			before = v;
			p = end + 1;
		}
		cop_str_release(&svg);
	}
	cop_early_release(&e);
	cop_grid_release(&g);
	cop_results_release(&r);
}

/* Without a validation split there is nothing to say; one replicate has no interval; what is damaged draws no nonsense.
 */
static void test_little(void **state)
{
	(void)state;
	struct cop_results r;
	struct cop_grid g;
	struct cop_early e;
	struct cop_str svg = {0};
	synthetic_results(&r, &(struct synthetic){.quantiles = 2, .resets = 2, .replicates = 1, .name = "none"});
	cop_grid_init(&g, &r);
	cop_early_init(&e, &r, &g);
	assert_int_equal(e.n, 0);
	cop_figure_early(&svg, &e, 0, false);
	cop_figure_early(&svg, &e, 0, true);
	assert_int_equal(svg.len, 0);
	char *lines = printed(&e, 80);
	assert_string_equal(lines, "");
	free(lines);
	cJSON *json = cop_early_json(&e);
	assert_int_equal(cJSON_GetArraySize(json), 0);
	cJSON_Delete(json);
	char *page = cop_html_text(&(struct cop_html_parts){&r, &g, NULL, NULL}, "");
	assert_null(strstr(page, "Early stop<"));
	free(page);
	cop_early_release(&e);
	cop_grid_release(&g);
	cop_results_release(&r);

	synthetic_results(&r, &(struct synthetic){
				      .quantiles = 2, .resets = 2, .replicates = 1, .name = "one", .validation = true});
	static const double odd[] = {NAN, INFINITY, -INFINITY, 1e300, -1e300, 0, 1};
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		for (size_t k = 0; k < r.cell[0].history.n; k++) {
			double *row = r.cell[0].history.row[k];
			row[COP_HISTORY_STEP] = row[COP_HISTORY_TEST_TOP1] = row[COP_HISTORY_VAL_TOP1] = odd[i];
		}
		cop_grid_init(&g, &r);
		page = cop_html_text(&(struct cop_html_parts){&r, &g, NULL, NULL}, "");
		assert_int_equal(count(page, "<h2>Early stop</h2>"), 1);
		assert_int_equal(count(page, "class=\"bar\""), 0);
		assert_int_equal(count(page, "class=\"band\""), 0);
		assert_int_equal(count(page, "nan"), 0);
		assert_int_equal(count(page, "inf,"), 0);
		assert_int_equal(count(page, "<svg"), count(page, "</svg>"));
		free(page);
		cop_grid_release(&g);
	}
	cop_results_release(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gathering),
		cmocka_unit_test(test_drawing),
		cmocka_unit_test(test_little),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
