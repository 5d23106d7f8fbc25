/* The grid, the palette, the terminal's heat map and results.csv. */
#include "base/file.h"
#include "report/csv.h"
#include "report/heatmap.h"
#include "report/palette.h"
#include "report/speed.h"
#include "synthetic.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A cell of a grid made by hand. */
static struct cop_cell hand(int64_t index, double quantile, const char *reset, int64_t step, double top1)
{
	struct cop_cell c = {.row = {.index = index,
				     .quantile = quantile,
				     .reset_step = step,
				     .total = 1000,
				     .nnz = llround(1000 * (1 - quantile)),
				     .test_top1 = top1,
				     .val_top1 = NAN,
				     .test_loss = 0.1}};
	snprintf(c.row.reset, COP_TEXT, "%s", reset);
	return c;
}

static char experiment[] = "{\"sweep\": {\"quantiles\": [0.9, 0.5, 0.95], \"reset\": [\"0ep\", \"1ep\", \"500it\"]}}";

/* noinline: gcc 12 warns of a dangling pointer that is none */
__attribute__((noinline)) static char *drawn(const struct cop_grid *g, enum cop_colours colours, int width)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	assert_non_null(out);
	cop_heatmap_print(g, "tiny", out, colours, width);
	fclose(out);
	return text;
}

static void test_grid_gathers_replicates(void **state)
{
	(void)state;
	struct cop_cell cells[] = {
		hand(0, 0.9, "1ep", 917, 0.90), hand(1, 0.5, "0ep", 0, 0.96),   hand(2, 0.9, "0ep", 0, 0.80),
		hand(3, 0.5, "0ep", 0, 0.98),   hand(4, 0.5, "1ep", 917, 0.95),
	};
	struct cop_dense dense = {.test_top1 = 0.99};
	struct cop_results r = {.cell = cells, .ncells = 5, .dense = &dense, .ndense = 1, .experiment = experiment};
	struct cop_grid g;
	cop_grid_init(&g, &r);
	assert_int_equal(g.nq, 3);
	assert_int_equal(g.nr, 3);
	assert_true(g.quantile[0] == 0.5 && g.quantile[1] == 0.9 && g.quantile[2] == 0.95);
	/* 500it has no cell, but its step can be read, and it lies between */
	assert_string_equal(g.reset[0].name, "0ep");
	assert_string_equal(g.reset[1].name, "500it");
	assert_string_equal(g.reset[2].name, "1ep");
	assert_int_equal(g.reset[1].step, 500);
	const struct cop_spread *s = cop_grid_at(&g, 0, 0);
	assert_int_equal(s->n, 2);
	assert_true(fabs(s->mean - 0.97) < 1e-12 && s->min == 0.96 && s->max == 0.98);
	assert_true(fabs(s->sd - 0.02 / sqrt(2)) < 1e-9);
	/* t(0.975; 1) = 12.706 */
	assert_true(fabs(s->half - 12.7062047 * 0.01) < 1e-8);
	assert_true(cop_grid_at(&g, 0, 2)->n == 1 && isnan(cop_grid_at(&g, 0, 2)->half));
	assert_true(isnan(cop_grid_at(&g, 0, 2)->sd) && isnan(cop_spread_estimate(cop_grid_at(&g, 0, 2)).sd));
	assert_int_equal(cop_grid_at(&g, 2, 1)->n, 0);
	assert_int_equal(g.best, 0);
	assert_int_equal(g.replicates, 2);
	assert_true(g.low == 0.80 && g.high == 0.99);
	assert_true(fabs(g.left[1] - 0.1) < 1e-12 && fabs(g.left[2] - 0.05) < 1e-12);
	cop_grid_release(&g);
}

static void test_plain_map(void **state)
{
	(void)state;
	struct cop_cell cells[] = {
		hand(0, 0.9, "1ep", 917, 0.90), hand(1, 0.5, "0ep", 0, 0.96),   hand(2, 0.9, "0ep", 0, 0.80),
		hand(3, 0.5, "0ep", 0, 0.98),   hand(4, 0.5, "1ep", 917, 0.95),
	};
	struct cop_dense dense = {.test_top1 = 0.99};
	struct cop_results r = {.cell = cells, .ncells = 5, .dense = &dense, .ndense = 1, .experiment = experiment};
	struct cop_grid g;
	cop_grid_init(&g, &r);
	char *text = drawn(&g, COP_COLOURS_NONE, 80);
	assert_string_equal(text, "tiny: test top-1 in percent by quantile (down) and reset point (across),\n"
				  "mean of 2 replicates ± half the width of its 95% interval\n\n"
				  "quantile  left %     0ep         500it           1ep\n"
				  "   dense  100.00   99.00\n"
				  "     0.5   50.00   97.00 ±12.71*     -         95.00\n"
				  "     0.9   10.00   80.00             -         90.00\n"
				  "    0.95    5.00       -             -             -\n\n"
				  "* the best cell, - not finished\n");
	free(text);
	cop_grid_release(&g);
}

static struct cop_cell of(struct cop_cell c, const char *criterion, const char *retrain, int64_t child)
{
	snprintf(c.row.criterion, COP_TEXT, "%s", criterion);
	snprintf(c.row.retrain, COP_TEXT, "%s", retrain);
	c.row.child = child;
	return c;
}

/* Each variant has its own means, those of the experiment come first and in its order, and other children count
 * nowhere. */
static void test_variants(void **state)
{
	(void)state;
	static char two[] = "{\"sweep\": {\"quantiles\": [0.5, 0.9], \"reset\": [\"0ep\"], \"criterion\": "
			    "[\"magnitude\", \"random\"], \"retrain\": \"rewind\", \"controls\": [\"random\"]}}";
	struct cop_cell cells[] = {
		of(hand(0, 0.5, "0ep", 0, 0.9), "snip", "rewind", 0),
		of(hand(1, 0.5, "0ep", 0, 0.96), "", "", 0),
		of(hand(2, 0.5, "0ep", 0, 0.1), "", "", 1),
		of(hand(3, 0.5, "0ep", 0, 0.98), "", "", 0),
		of(hand(4, 0.5, "0ep", 0, 0.8), "random", "rewind", 0),
		of(hand(5, 0.9, "0ep", 0, 0.2), "random", "random", 0),
		of(hand(6, 0.9, "0ep", 0, 0.99), "magnitude", "random", 0),
	};
	struct cop_dense dense = {.test_top1 = 0.97};
	struct cop_results r = {.cell = cells, .ncells = 7, .dense = &dense, .ndense = 1, .experiment = two};
	static const char *const names[] = {"magnitude, rewind", "magnitude, random", "random, rewind",
					    "random, random", "snip, rewind"};
	struct cop_grid g;
	cells[5].row.nnz = 200;
	cop_grid_init(&g, &r);
	assert_int_equal(g.variants.n, 5);
	assert_int_equal(g.replicates, 2);
	assert_true(g.low == 0.2 && g.high == 0.99);
	assert_int_equal(cop_grid_best_variant(&g), 1);
	for (size_t v = 0; v < 5; v++) {
		struct cop_grid shown = cop_grid_show(&g, v);
		assert_string_equal(cop_grid_name(&shown), names[v]);
		assert_int_equal(g.variants.v[v].control, v == 1 || v == 3);
		assert_int_equal(cop_grid_at(&shown, 0, 0)->n, v == 0 ? 2 : v == 2 || v == 4);
		assert_int_equal(cop_grid_at(&shown, 1, 0)->n, v == 1 || v == 3);
		assert_true(fabs(shown.left[1] - (v == 3 ? 0.2 : 0.1)) < 1e-12);
		assert_int_equal(shown.best, v == 1 || v == 3);
	}
	assert_true(fabs(cop_grid_at(&g, 0, 0)->mean - 0.97) < 1e-12);
	assert_true(cop_grid_shows(&g, &cells[1].row) && !cop_grid_shows(&g, &cells[2].row) &&
		    !cop_grid_shows(&g, &cells[0].row));
	char *text = drawn(&g, COP_COLOURS_NONE, 80);
	assert_non_null(strstr(text, "\n\nmagnitude, rewind:\nquantile  left %     0ep\n"
				     "   dense   100.0   97.00\n"
				     "     0.5    50.0   97.00 ±12.71*\n"
				     "     0.9    10.0       -\n"
				     "\nmagnitude, random:\nquantile"));
	assert_non_null(strstr(text, "     0.9    20.0   20.00       *\n\nsnip, rewind:\n"));
	assert_non_null(strstr(text, "\n* the best cell of each, - not finished\n"));
	free(text);
	cop_grid_release(&g);
	/* names are of what differs; one variant has none unless it is another than the usual one */
	r.experiment = NULL;
	r.ncells = 1;
	cop_grid_init(&g, &r);
	assert_string_equal(cop_grid_name(&g), "snip, rewind");
	cop_grid_release(&g);
	r.cell = &cells[1];
	r.ncells = 4;
	cop_grid_init(&g, &r);
	assert_int_equal(g.variants.n, 2);
	assert_string_equal(cop_grid_name(&g), "magnitude");
	assert_string_equal(g.variants.v[1].name, "random");
	cop_grid_release(&g);
	r.ncells = 3;
	cop_grid_init(&g, &r);
	assert_string_equal(cop_grid_name(&g), "");
	cop_grid_release(&g);
}

static void test_no_results(void **state)
{
	(void)state;
	struct cop_results r = {0};
	struct cop_grid g;
	cop_grid_init(&g, &r);
	assert_true(isnan(g.low) && g.best == 0 && g.nq == 0);
	char *text = drawn(&g, COP_COLOURS_TRUE, 80);
	assert_non_null(strstr(text, "no cell is finished"));
	free(text);
	cop_grid_release(&g);
}

/* The longest line below the heading. */
static size_t widest(const char *text)
{
	size_t longest = 0;
	for (const char *p = strstr(text, "\n\n"); p; p = strchr(p, '\n')) {
		size_t n = strcspn(++p, "\n");
		longest = n > longest ? n : longest;
	}
	return longest;
}

static size_t count(const char *text, const char *what)
{
	size_t n = 0;
	for (const char *p = text; (p = strstr(p, what)); p += strlen(what))
		n++;
	return n;
}

static void test_wide_map_wraps(void **state)
{
	(void)state;
	struct cop_results r;
	synthetic_results(&r, &(struct synthetic){.quantiles = 5, .resets = 6, .replicates = 1, .name = "wide"});
	struct cop_grid g;
	cop_grid_init(&g, &r);
	char *wide = drawn(&g, COP_COLOURS_NONE, 80), *narrow = drawn(&g, COP_COLOURS_NONE, 40);
	assert_int_equal(count(wide, "quantile  left"), 1);
	assert_int_equal(count(narrow, "quantile  left"), 2);
	assert_int_equal(count(narrow, "dense"), 2);
	assert_int_equal(count(narrow, "*"), 2); /* the mark and the legend */
	assert_true(widest(narrow) <= 40);
	free(wide);
	free(narrow);
	cop_grid_release(&g);
	cop_results_release(&r);
}

static void test_colours(void **state)
{
	(void)state;
	struct cop_results r;
	synthetic_results(&r,
			  &(struct synthetic){.quantiles = 4, .resets = 3, .replicates = 1, .name = "c", .missing = 1});
	struct cop_grid g;
	cop_grid_init(&g, &r);
	char *true_colour = drawn(&g, COP_COLOURS_TRUE, 80), *few = drawn(&g, COP_COLOURS_256, 80);
	/* eleven cells, the dense network, and a strip of 24; each is ended */
	assert_int_equal(count(true_colour, "\033[48;2;"), 36);
	assert_int_equal(count(few, "\033[48;5;"), 36);
	assert_int_equal(count(few, "\033[0m"), 36);
	free(true_colour);
	free(few);
	cop_grid_release(&g);
	cop_results_release(&r);
}

static void test_categories_stand_out(void **state)
{
	(void)state;
	const struct cop_rgb light = {0xff, 0xff, 0xff}, dark = {0x16, 0x18, 0x1b}; /* the page's */
	for (size_t i = 0; i < COP_CATEGORIES; i++) {
		assert_true(cop_contrast(cop_category(i, false), light) >= 3);
		assert_true(cop_contrast(cop_category(i, true), dark) >= 3);
		for (size_t k = 0; k < i; k++) {
			struct cop_rgb a = cop_category(i, false), b = cop_category(k, false);
			assert_true(abs(a.r - b.r) + abs(a.g - b.g) + abs(a.b - b.b) > 60);
		}
	}
	struct cop_rgb first = cop_category(0, true), again = cop_category(COP_CATEGORIES, true);
	assert_memory_equal(&first, &again, sizeof(first));
}

static void test_palette_is_even(void **state)
{
	(void)state;
	double before = -1;
	for (int i = 0; i <= 100; i++) {
		struct cop_rgb c = cop_palette(i / 100.0);
		double y = cop_luminance(c);
		assert_true(y > before);
		/* about the cube root is lightness; no step may be much larger than another */
		if (i > 0)
			assert_true(cbrt(y) - cbrt(before) < 0.02);
		before = y;
		struct cop_rgb ink = cop_wants_dark_text(c) ? (struct cop_rgb){0x11, 0x11, 0x11}
							    : (struct cop_rgb){255, 255, 255};
		assert_true(cop_contrast(c, ink) >= 4.2);
	}
	assert_true(fabs(cop_contrast((struct cop_rgb){0}, (struct cop_rgb){255, 255, 255}) - 21) < 1e-9);
	assert_false(cop_wants_dark_text(cop_palette(0)));
	assert_true(cop_wants_dark_text(cop_palette(1)));
	assert_int_equal(cop_palette(NAN).r, cop_palette(0).r);
	assert_int_equal(cop_xterm256((struct cop_rgb){0}), 16);
	assert_int_equal(cop_xterm256((struct cop_rgb){255, 255, 255}), 231);
	assert_int_equal(cop_xterm256((struct cop_rgb){255, 0, 0}), 196);
	assert_int_equal(cop_xterm256((struct cop_rgb){95, 135, 175}), 67);
	assert_int_equal(cop_xterm256((struct cop_rgb){128, 128, 128}), 244);
}

static void test_environment(void **state)
{
	(void)state;
	setenv("COLORTERM", "truecolor", 1);
	assert_int_equal(cop_colours_known(), COP_COLOURS_TRUE);
	unsetenv("COLORTERM");
	assert_int_equal(cop_colours_known(), COP_COLOURS_256);
	FILE *none = fopen("/dev/null", "w");
	assert_non_null(none);
	assert_false(cop_colours_wanted(none));
	assert_int_equal(cop_terminal_width(none), 80);
	fclose(none);
}

/* Beside the dense run of its replicate, where device, threads and GPUs are the same and it was no copy. */
static void test_speed(void **state)
{
	(void)state;
	struct cop_cell cells[] = {
		hand(0, 0.5, "0ep", 0, 0.9),    hand(1, 0.5, "1ep", 917, 0.9), hand(2, 0.9, "0ep", 0, 0.9),
		hand(3, 0.9, "1ep", 917, 0.9),  hand(4, 0.95, "0ep", 0, 0.9),  hand(5, 0.95, "1ep", 917, 0.9),
		hand(6, 0.95, "1ep", 917, 0.9),
	};
	struct cop_dense dense[] = {{.replicate = 0, .images_per_second = 100, .cores = 2, .device = "a"},
				    {.replicate = 1, .images_per_second = 50, .cores = 2, .device = "a"}};
	struct cop_results r = {.cell = cells, .ncells = 7, .dense = dense, .ndense = 2};
	for (size_t i = 0; i < 7; i++) {
		cells[i].row.images_per_second = 300;
		cells[i].row.cores = 2;
		cells[i].row.same_as = -1;
		snprintf(cells[i].row.device, COP_TEXT, "a");
	}
	cells[1].row.replicate = 1;
	cells[2].row.cores = 1;
	snprintf(cells[3].row.device, COP_TEXT, "b");
	cells[4].row.images_per_second = 450;
	cells[5].row.same_as = 4;
	cells[6].row.gpus = 1;
	struct cop_grid g;
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	cop_grid_init(&g, &r);
	cop_speed_print(&g, out);
	fclose(out);
	assert_string_equal(text, "\ncells beside the dense run, images a second (the dense run's is 1):\n"
				  "quantile   left  cells  speedup  least  most\n"
				  "     0.5  50.00      2     4.50   3.00  6.00\n"
				  "    0.95   5.00      1     4.50   4.50  4.50\n");
	free(text);
	cop_grid_release(&g);
	/* nothing is known */
	for (size_t i = 0; i < 2; i++)
		dense[i].device[0] = '\0';
	for (size_t i = 0; i < 7; i++)
		cells[i].row.device[0] = '\0';
	out = open_memstream(&text, &len);
	cop_grid_init(&g, &r);
	cop_speed_print(&g, out);
	fclose(out);
	assert_string_equal(text, "");
	free(text);
	cop_grid_release(&g);
}

static void test_csv(void **state)
{
	(void)state;
	struct cop_row rows[] = {hand(0, 0.1, "0ep", 0, 0.1f).row, hand(7, 0.9, "a,\"b\"", 917, NAN).row};
	rows[1].early_stop_step = 4100;
	rows[1].early_stop_val_top1 = 0.25;
	rows[1].early_stop_test_top1 = NAN;
	rows[1].gpu_utilisation = 0.5;
	rows[1].gpu_memory = NAN;
	snprintf(rows[1].host, COP_TEXT, "two\nlines");
	snprintf(rows[1].engine, COP_TEXT, "sparse 1 of 3 layers");
	memset(rows[1].job, 'x', COP_TEXT); /* without its end */
	char *text = cop_csv_text(rows, 2);
	char expected[1200];
	snprintf(expected, sizeof(expected),
		 "index,replicate,round,same_as,quantile,threshold,reset,reset_step,criterion,retrain,child,total,nnz,"
		 "test_top1,test_top5,test_"
		 "loss,val_top1,early_stop_step,early_stop_val_top1,early_stop_test_top1,"
		 "seconds,images_per_second,data_wait,began,ended,joules,cores,gpus,gpu_utilisation,gpu_memory,"
		 "restarts,host,device,engine,job\n"
		 "0,0,0,0,0.1,0,0ep,0,,,0,1000,900,0.10000000149011612,0,0.1,,0,0,0,0,0,0,0,0,0,0,0,0,0,0,,,,\n"
		 "7,0,0,0,0.9,0,\"a,\"\"b\"\"\",917,,,0,1000,100,,0,0.1,,4100,0.25,,0,0,0,0,0,0,0,0,0.5,,0,"
		 "\"two\nlines\",,"
		 "sparse 1 "
		 "of 3 layers,%.63s\n",
		 rows[1].job);
	assert_string_equal(text, expected);
	char path[] = "csv-test-XXXXXX";
	assert_true(close(mkstemp(path)) == 0);
	struct cop_err err;
	assert_int_equal(cop_csv_write(path, rows, 2, &err), 0);
	char *back;
	size_t len;
	assert_int_equal(cop_read_file(path, &back, &len, &err), 0);
	assert_string_equal(back, text);
	assert_int_equal(cop_csv_write("/nonexistent/a.csv", rows, 2, &err), COP_EFAILED);
	unlink(path);
	free(back);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grid_gathers_replicates),
		cmocka_unit_test(test_plain_map),
		cmocka_unit_test(test_variants),
		cmocka_unit_test(test_no_results),
		cmocka_unit_test(test_wide_map_wraps),
		cmocka_unit_test(test_colours),
		cmocka_unit_test(test_palette_is_even),
		cmocka_unit_test(test_categories_stand_out),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_speed),
		cmocka_unit_test(test_csv),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
