/* Quantiles and order statistics against sorting. */
#include "base/mem.h"
#include "base/rng.h"
#include "prune/quantile.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A tensor cut into blocks, of any type. */
struct blocks {
	const void *data;
	size_t n, block;
	enum cop_float type;
};

static int read_blocks(void *user, cop_block_fn *visit, void *to, struct cop_err *err)
{
	const struct blocks *s = user;
	int rc = 0;
	for (size_t from = 0; !rc && from < s->n; from += s->block) {
		struct cop_block b = {.data = (const char *)s->data + from * (size_t)s->type, .type = s->type};
		b.n = s->n - from < s->block ? s->n - from : s->block;
		b.name = "layer/weight";
		b.rank = 1;
		b.start[0] = from;
		b.count[0] = b.n;
		rc = visit(&b, to, err);
	}
	return rc;
}

static struct cop_source source_of(struct blocks *s)
{
	return (struct cop_source){.type = s->type, .read = read_blocks, .user = s};
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* float16 by its definition */
static double half_value(uint16_t h)
{
	int exponent = h >> 10 & 31;
	double mantissa = h & 1023;
	if (exponent == 31)
		return mantissa > 0 ? NAN : INFINITY;
	return exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
}

static double magnitude(const struct blocks *s, size_t i)
{
	switch (s->type) {
	case COP_FLOAT16:
		return half_value(((const uint16_t *)s->data)[i]);
	case COP_FLOAT32:
		return fabs((double)((const float *)s->data)[i]);
	case COP_FLOAT64:
		return fabs(((const double *)s->data)[i]);
	}
	return NAN;
}

static double *sorted(const struct blocks *s)
{
	double *v = cop_xcalloc(s->n, sizeof(*v));
	for (size_t i = 0; i < s->n; i++)
		v[i] = magnitude(s, i);
	qsort(v, s->n, sizeof(*v), compare);
	return v;
}

static void expect_double(double got, double wanted, const char *what, double q)
{
	if (memcmp(&got, &wanted, sizeof(got)) != 0)
		fail_msg("%s of %g: %.17g instead of %.17g", what, q, got, wanted);
}

/* Every rank of a spread, found by selection, is what sorting puts there; threads give the same bits. */
static void check_orders(struct blocks *s, const double *v, int threads)
{
	enum { N = 40 };
	struct cop_order o[N];
	struct cop_err err = {0};
	struct cop_source source = source_of(s);
	for (size_t i = 0; i < N; i++)
		o[i].rank = (s->n - 1) * ((i * 17) % N) / (N - 1);
	if (cop_order_find(&source, o, N, threads, &err))
		fail_msg("%s", err.msg);
	for (size_t i = 0; i < N; i++) {
		expect_double(o[i].value, v[o[i].rank], "rank", (double)o[i].rank);
		size_t below = 0;
		while (v[below] < o[i].value)
			below++;
		assert_int_equal(o[i].below, below);
	}
}

static void check_summary(const struct blocks *s, const double *v, const struct cop_summary *sum)
{
	size_t zeros = 0;
	long double total = 0;
	for (size_t i = 0; i < s->n; i++) {
		zeros += v[i] == 0;
		total += v[i];
	}
	assert_int_equal(sum->count, s->n);
	assert_int_equal(sum->zeros, zeros);
	expect_double(sum->min, v[0], "minimum", 0);
	expect_double(sum->max, v[s->n - 1], "maximum", 1);
	double mean = (double)(total / (long double)s->n);
	if (total > (long double)DBL_MAX)
		assert_true(isinf(sum->mean));
	else
		assert_true(fabs(sum->mean - mean) <= 1e-14 * mean);
}

/* The textbook formula in long double: the result may differ from it by the rounding of float32 at most. */
static void check_quantiles(struct blocks *s, const double *v, int threads, double *value, size_t nq)
{
	struct cop_err err = {0};
	struct cop_summary sum;
	struct cop_source source = source_of(s);
	double *q = cop_xcalloc(nq, sizeof(*q));
	for (size_t i = 0; i < nq; i++)
		q[i] = nq > 1 ? (double)i / (double)(nq - 1) : 0.5;
	if (cop_quantile(&source, q, nq, threads, &sum, value, &err))
		fail_msg("%s", err.msg);
	check_summary(s, v, &sum);
	for (size_t i = 0; i < nq; i++) {
		double at = q[i] * (double)(s->n - 1);
		size_t k = (size_t)at;
		double a = v[k], b = v[k + 1 < s->n ? k + 1 : k];
		long double t = (long double)at - k, wanted = a == b || t == 0 ? a : a + t * ((long double)b - a);
		/* half a unit of the difference, which is rounded to the type as numpy's is */
		long double room = s->type == COP_FLOAT16   ? (b - a) * 0x1p-11L
				   : s->type == COP_FLOAT32 ? (b - a) * 0x1p-24L
							    : b * 0x1p-52L;
		if (isinf(b) && t > 0 && a != b)
			assert_true(isinf(value[i]));
		else if (isinf(a) || fabsl(wanted - value[i]) <= room + b * 0x1p-52L + (long double)DBL_TRUE_MIN)
			assert_true(!isnan(value[i]));
		else
			fail_msg("quantile %g: %.17g instead of %.17g", q[i], value[i], (double)wanted);
		if (i)
			assert_true(value[i] >= value[i - 1]);
	}
	free(q);
}

static void check_all(const void *data, size_t n, enum cop_float type)
{
	enum { NQ = 101 };
	struct blocks whole = {data, n, n, type}, cut = {data, n, 1000, type};
	double *v = sorted(&whole), one[NQ], other[NQ];
	check_orders(&whole, v, 1);
	check_orders(&cut, v, 3);
	check_quantiles(&whole, v, 1, one, NQ);
	for (int threads = 2; threads <= 4; threads += 2) {
		check_quantiles(&whole, v, threads, other, NQ);
		assert_memory_equal(one, other, sizeof(one));
	}
	check_quantiles(&cut, v, 2, other, NQ);
	assert_memory_equal(one, other, sizeof(one));
	check_quantiles(&whole, v, 2, one, 1);
	free(v);
}

enum { MANY = 40000 };

static void test_few_values(void **state)
{
	(void)state;
	static float x[MANY];
	for (size_t i = 0; i < MANY; i++)
		x[i] = -0.125f;
	check_all(x, MANY, COP_FLOAT32);
	for (size_t i = 0; i < MANY; i++)
		x[i] = i % 3 ? -0.125f : nextafterf(0.125f, 1);
	check_all(x, MANY, COP_FLOAT32);
	for (size_t i = 0; i < MANY; i++)
		x[i] = i % 10 ? i % 2 ? 0.0f : -0.0f : 1.0f;
	check_all(x, MANY, COP_FLOAT32);
	for (size_t n = 1; n <= 5; n++)
		check_all(x, n, COP_FLOAT32);
}

static void test_denormals(void **state)
{
	(void)state;
	static float x[MANY];
	static double y[MANY];
	for (size_t i = 0; i < MANY; i++) {
		x[i] = (float)(i * 7919 % MANY) * FLT_TRUE_MIN * (i % 2 ? 1 : -1);
		y[i] = (double)(i * 7919 % MANY) * DBL_TRUE_MIN * (i % 2 ? 1 : -1);
	}
	check_all(x, MANY, COP_FLOAT32);
	check_all(y, MANY, COP_FLOAT64);
}

static void test_infinities(void **state)
{
	(void)state;
	static float x[MANY];
	for (size_t i = 0; i < MANY; i++)
		x[i] = i % 4 ? (float)i : i % 8 ? INFINITY : -INFINITY;
	check_all(x, MANY, COP_FLOAT32);
	float two[] = {1, -INFINITY};
	double q[] = {0, 0.25, 0.75, 1}, value[4];
	struct blocks s = {two, 2, 2, COP_FLOAT32};
	struct cop_source source = source_of(&s);
	struct cop_err err = {0};
	assert_int_equal(cop_quantile(&source, q, 4, 1, NULL, value, &err), 0);
	assert_true(value[0] == 1 && isinf(value[1]) && isinf(value[2]) && isinf(value[3]));
}

static void test_every_half(void **state)
{
	(void)state;
	static uint16_t x[1 << 16];
	size_t n = 0;
	for (unsigned h = 0; h < 1 << 16; h++)
		if (!isnan(half_value((uint16_t)h)))
			x[n++] = (uint16_t)h;
	check_all(x, n, COP_FLOAT16);
}

/* Bits drawn evenly reach every exponent; a normal has them close together. */
static void test_random(void **state)
{
	(void)state;
	static float x[MANY];
	static double y[MANY];
	static uint16_t h[MANY];
	for (uint32_t seed = 0; seed < 12; seed++) {
		print_message("# seed %u\n", seed);
		struct cop_stream s;
		cop_stream_init(&s, seed, COP_PURPOSE_TEST, 0, 0);
		for (size_t i = 0; i < MANY; i++) {
			uint32_t bits = cop_stream_u32(&s);
			double scale = seed % 3 ? 1 : ldexp(1, (int)cop_stream_below(&s, 200) - 100);
			x[i] = (float)(cop_stream_normal(&s) * scale);
			y[i] = cop_stream_normal(&s) * scale;
			h[i] = (uint16_t)(bits % 0x7c00 | (bits & 0x80000000u) >> 16);
			if (seed % 3 == 2) {
				uint64_t wide = (uint64_t)bits << 32 | cop_stream_u32(&s);
				wide = wide % UINT64_C(0x7ff0000000000000);
				bits %= 0x7f800000u;
				memcpy(&x[i], &bits, sizeof(bits));
				memcpy(&y[i], &wide, sizeof(wide));
			}
		}
		size_t n = seed < 6 ? MANY : 1 + cop_stream_below(&s, 5000);
		check_all(x, n, COP_FLOAT32);
		check_all(y, n, COP_FLOAT64);
		check_all(h, n, COP_FLOAT16);
	}
}

/* So many quantiles that counters must be narrow and passes many. */
static void test_many_quantiles(void **state)
{
	(void)state;
	enum { NQ = 5001 };
	static double x[MANY], value[NQ];
	struct cop_stream s;
	cop_stream_init(&s, 5, COP_PURPOSE_TEST, 0, 0);
	for (size_t i = 0; i < MANY; i++)
		x[i] = cop_stream_normal(&s);
	struct blocks whole = {x, MANY, MANY, COP_FLOAT64};
	double *v = sorted(&whole);
	check_quantiles(&whole, v, 2, value, NQ);
	free(v);
}

/* Tensors of several types at once are compared in the widest. */
static const float mixed_float[] = {-3, 0.1f};
static const double mixed_double[] = {0.1, 2};
static const uint16_t mixed_half[] = {0x3c00, 0x8000};

static int read_mixed(void *user, cop_block_fn *visit, void *to, struct cop_err *err)
{
	(void)user;
	struct cop_block b = {.n = 2, .rank = 0, .name = "mixed"};
	b.data = mixed_float;
	b.type = COP_FLOAT32;
	int rc = visit(&b, to, err);
	b.data = mixed_half;
	b.type = COP_FLOAT16;
	rc = rc ? rc : visit(&b, to, err);
	b.data = mixed_double;
	b.type = COP_FLOAT64;
	return rc ? rc : visit(&b, to, err);
}

static void test_mixed_types(void **state)
{
	(void)state;
	const double wanted[] = {0, 0.1, (double)0.1f, 1, 2, 3}, q[] = {0, 0.2, 0.4, 0.6, 0.8, 1};
	double value[6];
	struct cop_source source = {.type = COP_FLOAT64, .read = read_mixed};
	struct cop_summary sum;
	struct cop_err err = {0};
	assert_int_equal(cop_quantile(&source, q, 6, 2, &sum, value, &err), 0);
	for (size_t i = 0; i < 6; i++)
		expect_double(value[i], wanted[i], "quantile", q[i]);
	assert_int_equal(sum.zeros, 1);
}

static void test_nan_is_named(void **state)
{
	(void)state;
	static float x[MANY];
	double q = 0.5, value = 0;
	struct cop_err err = {0};
	struct blocks s = {x, MANY, 1000, COP_FLOAT32};
	struct cop_source source = source_of(&s);
	x[31234] = -NAN;
	x[31777] = NAN;
	assert_int_equal(cop_quantile(&source, &q, 1, 2, NULL, &value, &err), COP_EINPUT);
	assert_string_equal(err.msg, "'layer/weight' holds NaN at [31234]");
	uint16_t h[] = {1, 0x7c01};
	s = (struct blocks){h, 2, 2, COP_FLOAT16};
	source = source_of(&s);
	assert_int_equal(cop_quantile(&source, &q, 1, 2, NULL, &value, &err), COP_EINPUT);
	assert_string_equal(err.msg, "'layer/weight' holds NaN at [1]");
	double d[] = {NAN, 1};
	s = (struct blocks){d, 2, 2, COP_FLOAT64};
	source = source_of(&s);
	assert_int_equal(cop_quantile(&source, &q, 1, 2, NULL, &value, &err), COP_EINPUT);
	assert_string_equal(err.msg, "'layer/weight' holds NaN at [0]");
	assert_true(value == 0);
}

static void test_place(void **state)
{
	(void)state;
	char buf[64];
	struct cop_block b = {.rank = 3, .start = {5, 0, 7}, .count = {2, 3, 4}};
	assert_string_equal(cop_block_place(&b, 1 * 12 + 2 * 4 + 3, buf, sizeof(buf)), "[6, 2, 10]");
	b.rank = 0;
	assert_string_equal(cop_block_place(&b, 0, buf, sizeof(buf)), "[]");
	char tiny[4];
	b.rank = 3;
	cop_block_place(&b, 0, tiny, sizeof(tiny));
	assert_int_equal(strlen(tiny), 3);
}

static void test_bad_questions(void **state)
{
	(void)state;
	float x[] = {1, 2};
	struct blocks s = {x, 2, 2, COP_FLOAT32};
	struct cop_source source = source_of(&s);
	struct cop_err err = {0};
	double bad[] = {0.5, 1.2}, value[2];
	assert_int_equal(cop_quantile(&source, bad, 2, 1, NULL, value, &err), COP_EINPUT);
	assert_non_null(strstr(err.msg, "'1.2'"));
	bad[1] = NAN;
	assert_int_equal(cop_quantile(&source, bad, 2, 1, NULL, value, &err), COP_EINPUT);
	struct cop_order order = {.rank = 2};
	assert_int_equal(cop_order_find(&source, &order, 1, 1, &err), COP_EINPUT);
	assert_non_null(strstr(err.msg, "'2'"));
}

static void test_nothing(void **state)
{
	(void)state;
	struct blocks s = {NULL, 0, 1, COP_FLOAT32};
	struct cop_source source = source_of(&s);
	struct cop_summary sum;
	struct cop_err err = {0};
	double q = 0.5, value = 0;
	assert_int_equal(cop_quantile(&source, &q, 1, 1, &sum, &value, &err), 0);
	assert_true(sum.count == 0 && isnan(sum.min) && isnan(sum.max) && isnan(sum.mean) && isnan(value));
}

/* A source that gives other data the second time must not be believed. */
struct changing {
	int reading;
	float value[3][4];
	size_t n[3];
};

static int read_changing(void *user, cop_block_fn *visit, void *to, struct cop_err *err)
{
	struct changing *c = user;
	struct cop_block b = {.data = c->value[c->reading], .n = c->n[c->reading], .type = COP_FLOAT32, .name = "x"};
	c->reading++;
	return visit(&b, to, err);
}

static void test_changing_data(void **state)
{
	(void)state;
	struct changing c = {0, {{1, 2, 3, 4}, {1, 2, 3, 0}}, {4, 3}};
	struct cop_source source = {.type = COP_FLOAT32, .read = read_changing, .user = &c};
	struct cop_err err = {0};
	double q = 0.5, value;
	assert_int_equal(cop_quantile(&source, &q, 1, 1, NULL, &value, &err), COP_EFAILED);
	assert_non_null(strstr(err.msg, "changed"));
	c = (struct changing){0, {{1, 2, 3, 4}, {5, 6, 7, 8}}, {4, 4}};
	assert_int_equal(cop_quantile(&source, &q, 1, 1, NULL, &value, &err), COP_EFAILED);
}

static void test_arrays(void **state)
{
	(void)state;
	float a[] = {-4, 3}, b[] = {1, -2, 0};
	struct cop_array array[] = {{"a", a, 2, 0, NULL}, {"empty", NULL, 0, 0, NULL}, {"b", b, 3, 0, NULL}};
	struct cop_arrays all = {array, 3};
	struct cop_source source = cop_source_arrays(&all);
	double q[] = {0.625, 0.25}, value[2];
	struct cop_summary sum;
	struct cop_err err = {0};
	assert_int_equal(cop_quantile(&source, q, 2, 0, &sum, value, &err), 0);
	assert_true(value[0] == 2.5 && value[1] == 1 && sum.mean == 2 && sum.count == 5 && sum.zeros == 1);
	b[1] = NAN;
	assert_int_equal(cop_quantile(&source, q, 2, 0, &sum, value, &err), COP_EINPUT);
	assert_string_equal(err.msg, "'b' holds NaN at [1]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_few_values),  cmocka_unit_test(test_denormals),
		cmocka_unit_test(test_infinities),  cmocka_unit_test(test_every_half),
		cmocka_unit_test(test_random),      cmocka_unit_test(test_many_quantiles),
		cmocka_unit_test(test_mixed_types), cmocka_unit_test(test_nan_is_named),
		cmocka_unit_test(test_place),       cmocka_unit_test(test_bad_questions),
		cmocka_unit_test(test_nothing),     cmocka_unit_test(test_changing_data),
		cmocka_unit_test(test_arrays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
