/* What a sweep took: sums, energy, and how many were under way at once. */
#include "base/json.h"
#include "report/usage.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define T0 1.7e9 /* some time */

static struct cop_cell cell(double seconds, double began, double ended, double joules, const char *host)
{
	struct cop_cell c = {.row = {.same_as = -1,
				     .seconds = seconds,
				     .began = T0 + began,
				     .ended = T0 + ended,
				     .joules = joules,
				     .cores = 2}};
	snprintf(c.row.host, sizeof(c.row.host), "%s", host);
	return c;
}

static void test_sums(void **state)
{
	(void)state;
	char experiment[] = "{\"cost\": {\"carbon_g_per_kwh\": 400}}";
	struct cop_cell cells[] = {cell(3600, 0, 3600, 3.6e6, "a"), cell(1800, 0, 1800, NAN, "b"),
				   cell(900, 1800, 2700, 1.8e6, "b"), cell(900, 1800, 2700, 1.8e6, "b")};
	struct cop_dense dense = {
		.seconds = 60, .cores = 4, .gpus = 1, .joules = 0, .began = T0 - 100, .ended = T0 - 40};
	struct cop_results r = {.experiment = experiment, .cell = cells, .ncells = 4, .dense = &dense, .ndense = 1};
	struct cop_usage u;
	cells[3].row.same_as = 2; /* a copy took nothing */
	cop_usage_init(&u, &r);
	assert_int_equal(u.results, 4);
	assert_float_equal(u.core_hours, 2 * (1 + 0.5 + 0.25) + 4.0 / 60, 1e-12);
	assert_float_equal(u.gpu_hours, 1.0 / 60, 1e-12);
	assert_int_equal(u.metered, 3);
	assert_float_equal(u.joules, 5.4e6, 1e-6);
	assert_float_equal(u.carbon, 1.5 * 400, 1e-9);
	assert_float_equal(u.median, 1800, 0);
	assert_float_equal(u.longest, 3600, 0);
	assert_int_equal(u.nhosts, 2);
	assert_string_equal(u.host[0].name, "b");
	assert_int_equal(u.host[0].results, 2);
	assert_float_equal(u.host[0].joules, 1.8e6, 1e-6);
	cop_usage_release(&u);
}

/* Utilisation is of GPU-hours whose results tell it, memory the most of any. */
static void test_gpus(void **state)
{
	(void)state;
	struct cop_cell cells[] = {cell(3600, 0, 3600, NAN, "a"), cell(1800, 0, 1800, NAN, "b"),
				   cell(900, 0, 900, NAN, "b"), cell(7200, 0, 7200, NAN, "b")};
	struct cop_dense dense = {
		.seconds = 3600, .gpus = 2, .joules = NAN, .gpu_utilisation = 0.9, .gpu_memory = 3.26e9};
	struct cop_results r = {.cell = cells, .ncells = 4, .dense = &dense, .ndense = 1};
	struct cop_usage u;
	char text[COP_USAGE_GPU_TEXT];
	for (int i = 0; i < 4; i++) {
		cells[i].row.gpus = 0.5;
		cells[i].row.gpu_utilisation = cells[i].row.gpu_memory = NAN;
	}
	cells[0].row.gpu_utilisation = 0.5;
	cells[1].row.gpu_memory = 4e6;
	cells[2].row.gpu_utilisation = 1.5; /* of a damaged file */
	cells[2].row.gpu_memory = INFINITY;
	cells[3].row = (struct cop_row){
		.same_as = 1, .seconds = 9, .gpus = 1, .gpu_utilisation = 0, .gpu_memory = 9e9, .host = "b"};
	cop_usage_init(&u, &r);
	assert_float_equal(cop_usage_utilisation(&u.gpu), (2 * 0.9 + 0.5 * 0.5) / 2.5, 1e-12);
	assert_float_equal(u.gpu.memory, 3.26e9, 0);
	assert_string_equal(cop_usage_gpu_text(&u.gpu, text), " (82% utilised, 3.3 GB of memory)");
	assert_string_equal(u.host[0].name, "b");
	assert_string_equal(cop_usage_gpu_text(&u.host[0].gpu, text), " (4.0 MB of memory)");
	assert_string_equal(cop_usage_gpu_text(&u.host[1].gpu, text), " (50% utilised)");
	cJSON *json = cop_usage_json(&u), *host = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "hosts"), 0);
	assert_float_equal(cJSON_GetNumberValue(cJSON_GetObjectItem(json, "gpu_memory")), 3.26e9, 0);
	assert_true(cJSON_IsNull(cJSON_GetObjectItem(host, "gpu_utilisation")));
	cJSON_Delete(json);
	struct cop_str page = {0};
	cop_usage_html(&page, &u);
	assert_non_null(strstr(page.s, "GPU-hours (82% utilised, 3.3 GB of memory)"));
	assert_non_null(strstr(page.s, "<td>–</td><td>4.0 MB</td>"));
	cop_str_release(&page);
	cop_usage_release(&u);
	r.ndense = r.ncells = 0;
	cop_usage_init(&u, &r);
	assert_string_equal(cop_usage_gpu_text(&u.gpu, text), "");
	cop_usage_release(&u);
}

static void test_under_way(void **state)
{
	(void)state;
	/* one from 0 to 400, three from 100 to 200, none in 400..500, one in 500..800 */
	struct cop_cell cells[] = {cell(400, 0, 400, NAN, "a"), cell(100, 100, 200, NAN, "a"),
				   cell(100, 50, 200, NAN, "a"), /* it waited first */
				   cell(100, 100, 200, NAN, "a"), cell(999, 500, 800, NAN, "a")};
	struct cop_results r = {.cell = cells, .ncells = 5};
	struct cop_usage u;
	cop_usage_init(&u, &r);
	assert_int_equal(u.most, 4);
	assert_float_equal(u.together, (400 + 300 + 300) / 800.0, 1e-9);
	double sum = 0;
	for (int i = 0; i < COP_USAGE_SLOTS; i++) {
		double t = 2 * i + 1, expected = t < 100 ? 1 : t < 200 ? 4 : t < 400 ? 1 : t < 500 ? 0 : 1;
		assert_float_equal(u.under_way[i], expected, 1e-6);
		sum += u.under_way[i];
	}
	assert_float_equal(sum / COP_USAGE_SLOTS, u.together, 1e-9);
	assert_true(isnan(u.carbon));
	cop_usage_release(&u);
}

static void test_little(void **state)
{
	(void)state;
	struct cop_results none = {0};
	struct cop_usage u;
	struct cop_str b = {0};
	cop_usage_init(&u, &none);
	cop_usage_html(&b, &u);
	assert_int_equal(u.results, 0);
	assert_true(isnan(u.together) && isnan(u.median));
	assert_int_equal(b.len, 0);
	cop_usage_release(&u);
	/* what no clock says, and what a damaged file may */
	struct cop_cell cells[] = {cell(5, 0, 0, NAN, "a"), cell(-1, 9, 3, INFINITY, "<b>"),
				   cell(1e300, 0, 0, -5, "c")};
	cells[0].row.began = cells[0].row.ended = 0;
	struct cop_results r = {.cell = cells, .ncells = 3};
	cop_usage_init(&u, &r);
	cop_usage_html(&b, &u);
	cJSON *json = cop_usage_json(&u);
	assert_float_equal(u.core_hours, 10.0 / 3600, 1e-12);
	assert_int_equal(u.metered, 0);
	assert_int_equal(u.most, 1);
	assert_null(strstr(b.s, "<b>"));
	assert_true(cJSON_IsNull(cJSON_GetObjectItem(json, "kwh")));
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(json, "hosts")), 3);
	cJSON_Delete(json);
	cop_str_release(&b);
	cop_usage_release(&u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_gpus),
		cmocka_unit_test(test_under_way),
		cmocka_unit_test(test_little),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
