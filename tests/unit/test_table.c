/* Tables and the text in them: alignment, JSON that keeps every digit, hostile bytes. */
#include "report/table.h"
#include "report/text.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct cop_column columns[] = {
	{"layer", COP_COLUMN_TEXT, 0},   {"weights", COP_COLUMN_INT, 0}, {"kept %", COP_COLUMN_PERCENT, 1},
	{"loss", COP_COLUMN_GENERAL, 3}, {"lr", COP_COLUMN_REAL, 2},     {"prunable", COP_COLUMN_BOOL, 0},
};

static void fill(struct cop_table *t)
{
	cop_table_init(t, columns, 6);
	cop_table_text(t, "fc1/weight");
	cop_table_int(t, 235200);
	cop_table_real(t, 0.2134);
	cop_table_real(t, 0.1234567890123456);
	cop_table_real(t, 1.0);
	cop_table_bool(t, true);
	cop_table_text(t, "größe");
	cop_table_int(t, INT64_C(9007199254740993));
	cop_table_real(t, NAN);
	cop_table_real(t, INFINITY);
	cop_table_none(t);
	cop_table_bool(t, false);
}

static char *printed(const struct cop_table *t, bool json)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	assert_non_null(out);
	cop_table_print(t, out, json);
	fclose(out);
	return text;
}

static void test_short(void **state)
{
	(void)state;
	const struct {
		double v;
		const char *text;
	} cases[] = {{0, "0"},
		     {640, "640"},
		     {999, "999"},
		     {1000, "1.0k"},
		     {999949, "999.9k"},
		     {999950, "1.0M"},
		     {25728512, "25.7M"},
		     {300774272, "300.8M"},
		     {-1234567, "-1.2M"},
		     {4.1e9, "4.1G"},
		     {2.5e16, "25000.0T"},
		     {1e300, "1e+288T"}};
	char buf[COP_NUMBER_TEXT];
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(cop_text_short(cases[i].v, buf), cases[i].text);
	static const struct cop_column macs[] = {{"macs", COP_COLUMN_SHORT, 0}};
	struct cop_table t;
	cop_table_init(&t, macs, 1);
	cop_table_real(&t, 25728512);
	cop_table_none(&t);
	char *text = printed(&t, false), *json = printed(&t, true);
	assert_string_equal(text, " macs\n25.7M\n    -\n");
	assert_non_null(strstr(json, "25728512"));
	free(text);
	free(json);
	cop_table_release(&t);
}

static void test_text_is_aligned_by_code_points(void **state)
{
	(void)state;
	struct cop_table t;
	fill(&t);
	char *text = printed(&t, false);
	assert_string_equal(text, "layer                weights  kept %   loss    lr  prunable\n"
				  "fc1/weight            235200    21.3  0.123  1.00  yes\n"
				  "größe       9007199254740993       -    inf     -  no\n");
	assert_int_equal(cop_table_rows(&t), 2);
	free(text);
	cop_table_release(&t);
}

static void test_json_keeps_every_digit(void **state)
{
	(void)state;
	struct cop_table t;
	fill(&t);
	char *text = printed(&t, true);
	assert_string_equal(text, "[\n"
				  "{\"layer\":\"fc1/weight\",\"weights\":235200,\"kept %\":0.2134,"
				  "\"loss\":0.1234567890123456,\"lr\":1,\"prunable\":true},\n"
				  "{\"layer\":\"größe\",\"weights\":9007199254740993,\"kept %\":null,\"loss\":null,"
				  "\"lr\":null,\"prunable\":false}\n]\n");
	cJSON *json = cJSON_Parse(text);
	assert_int_equal(cJSON_GetArraySize(json), 2);
	cJSON_Delete(json);
	free(text);
	cop_table_release(&t);
}

static void test_empty_table(void **state)
{
	(void)state;
	struct cop_table t;
	cop_table_init(&t, columns, 2);
	char *text = printed(&t, false), *json = printed(&t, true);
	assert_string_equal(text, "layer  weights\n");
	assert_string_equal(json, "[\n]\n");
	free(text);
	free(json);
	cop_table_release(&t);
}

static void test_hostile_text_is_cleaned(void **state)
{
	(void)state;
	char *clean = cop_text_clean("a\x1b[31m\xff"
				     "b\xc3\x28\xed\xa0\x80\xc2\x85\n");
	assert_string_equal(clean, "a\xEF\xBF\xBD[31m\xEF\xBF\xBD"
				   "b\xEF\xBF\xBD(\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"
				   "\xEF\xBF\xBD\xEF\xBF\xBD");
	free(clean);
	/* a lead byte just before the end must not read on */
	clean = cop_text_clean("x\xf0\x9f");
	assert_string_equal(clean, "x\xEF\xBF\xBD\xEF\xBF\xBD");
	free(clean);
	assert_int_equal(cop_text_width("aé→😀"), 4);
	assert_int_equal(cop_text_width("\xff\xff"), 2);
}

static void test_html_is_escaped(void **state)
{
	(void)state;
	struct cop_str b = {0};
	cop_text_html(&b, "<script a=\"1\" b='2'>&amp;\x01");
	assert_string_equal(b.s, "&lt;script a=&quot;1&quot; b=&#39;2&#39;&gt;&amp;amp;\xEF\xBF\xBD");
	cop_str_release(&b);
	cop_text_html(&b, "");
	assert_string_equal(b.s, "");
	cop_str_release(&b);
}

static void test_numbers(void **state)
{
	(void)state;
	char buf[COP_NUMBER_TEXT];
	assert_string_equal(cop_text_number(0.1, buf), "0.1");
	assert_string_equal(cop_text_number(0.1f, buf), "0.10000000149011612");
	assert_string_equal(cop_text_number(1e-300 / 3, buf), "3.3333333333333334e-301");
	assert_string_equal(cop_text_number(-0.0, buf), "-0");
	assert_string_equal(cop_text_number(4100, buf), "4100");
	assert_string_equal(cop_text_number(-999999999999999, buf), "-999999999999999");
	assert_string_equal(cop_text_number(1e15, buf), "1e+15");
	assert_string_equal(cop_text_count(0, buf), "0");
	assert_string_equal(cop_text_count(999, buf), "999");
	assert_string_equal(cop_text_count(-1000, buf), "-1,000");
	assert_string_equal(cop_text_count(-100, buf), "-100");
	assert_string_equal(cop_text_count(INT64_MIN, buf), "-9,223,372,036,854,775,808");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_short),
		cmocka_unit_test(test_text_is_aligned_by_code_points),
		cmocka_unit_test(test_json_keeps_every_digit),
		cmocka_unit_test(test_empty_table),
		cmocka_unit_test(test_hostile_text_is_cleaned),
		cmocka_unit_test(test_html_is_escaped),
		cmocka_unit_test(test_numbers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
