/* Numbers in JSON that read back as the same double. */
#include "base/json.h"
#include "base/rng.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect_same(double v)
{
	cJSON *o = cJSON_CreateObject();
	cop_json_add_num(o, "v", v);
	char *text = cJSON_PrintUnformatted(o);
	cJSON_Delete(o);
	struct cop_err err = {0};
	assert_int_equal(cop_json_parse(text, "test", &o, &err), 0);
	if (cop_json_num(o, "v", NAN) != v)
		fail_msg("%.17g became %s", v, text);
	cJSON_Delete(o);
	free(text);
}

static void test_round_trip(void **state)
{
	(void)state;
	const double v[] = {0,    -1,       0.1, 0.30000000000000004, nextafter(1, 2), DBL_MAX, -DBL_MIN, DBL_TRUE_MIN,
			    1e22, 123456789};
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		expect_same(v[i]);
	struct cop_stream s;
	cop_stream_init(&s, 3, COP_PURPOSE_TEST, 0, 0);
	for (int i = 0; i < 1000; i++)
		expect_same(ldexp(cop_stream_uniform(&s), (int)cop_stream_below(&s, 200) - 100));
}

static void test_not_finite(void **state)
{
	(void)state;
	cJSON *o = cJSON_CreateObject();
	cop_json_add_num(o, "a", NAN);
	cop_json_add_num(o, "b", -INFINITY);
	cop_json_add_num(o, "c", 0.5);
	char *text = cJSON_PrintUnformatted(o);
	assert_string_equal(text, "{\"a\":null,\"b\":null,\"c\":0.5}");
	free(text);
	cJSON_Delete(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip), cmocka_unit_test(test_not_finite)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
