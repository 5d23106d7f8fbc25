/* The ground floor: errors, strings, files, JSON keys, hashes, layouts, memory, random numbers. */
#include "base/err.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/layout.h"
#include "base/mem.h"
#include "base/param.h"
#include "base/rng.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void test_errors(void **state)
{
	(void)state;
	struct cop_err err = {0};
	assert_int_equal(cop_fail(&err, COP_EINPUT, "no file '%s'", "x"), COP_EINPUT);
	assert_string_equal(err.msg, "no file 'x'");
	assert_int_equal(cop_context(&err, "cannot plan '%s'", "RUN"), COP_EINPUT);
	assert_string_equal(err.msg, "cannot plan 'RUN': no file 'x'");
	assert_int_equal(cop_fail(NULL, COP_EPARTIAL, "unheard"), COP_EPARTIAL);
	errno = ENOSPC;
	assert_int_equal(cop_fail_errno(&err, COP_EFAILED, "cannot write '%d'", 3), COP_EFAILED);
	assert_string_equal(err.msg, "cannot write '3': No space left on device");
	/* a message may be put into the message that follows it, and none grows beyond its place */
	for (int i = 0; i < 2000; i++)
		cop_context(&err, "again");
	assert_true(strlen(err.msg) < sizeof(err.msg));
	cop_fail(&err, COP_EFAILED, "first");
	cop_fail(&err, COP_EFAILED, "second after %s", err.msg);
	assert_string_equal(err.msg, "second after first");
}

static void test_numbers(void **state)
{
	(void)state;
	const char *const no_real[] = {"",     " ",     "1 ",   " 1",  "1x",  "nan", "inf",
				       "-inf", "1e999", "0x10", "1,5", "--1", "."};
	const char *const no_int[] = {"", "1.0", "1e3", " 1", "1 ", "9223372036854775808", "0x1", "+-1", "one"};
	double v = 7;
	int64_t k = 7;
	for (size_t i = 0; i < sizeof(no_real) / sizeof(no_real[0]); i++)
		if (cop_parse_f64(no_real[i], &v) || v != 7)
			fail_msg("'%s' was taken for a number", no_real[i]);
	for (size_t i = 0; i < sizeof(no_int) / sizeof(no_int[0]); i++)
		if (cop_parse_i64(no_int[i], &k) || k != 7)
			fail_msg("'%s' was taken for a whole number", no_int[i]);
	assert_true(cop_parse_f64("-1.25e-3", &v) && v == -0.00125);
	assert_true(cop_parse_i64("-9223372036854775808", &k) && k == INT64_MIN);
}

static void test_words(void **state)
{
	(void)state;
	const struct {
		const char *a, *b;
		size_t d;
	} pairs[] = {{"", "", 0},         {"", "abc", 3},      {"kitten", "sitting", 3},
		     {"flaw", "lawn", 2}, {"plan", "plan", 0}, {"intention", "execution", 5}};
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		assert_int_equal(cop_str_distance(pairs[i].a, pairs[i].b), pairs[i].d);
		assert_int_equal(cop_str_distance(pairs[i].b, pairs[i].a), pairs[i].d);
	}
	const char *const words[] = {"plan", "train", "status"};
	assert_string_equal(cop_str_nearest("trian", words, 3), "train");
	assert_string_equal(cop_str_nearest("stat", words, 3), "status");
	assert_null(cop_str_nearest("zzzzzz", words, 3));
	assert_true(cop_str_ends("3ep", "ep") && !cop_str_ends("p", "ep"));
	struct cop_str s = {0};
	char *empty = cop_str_take(&s);
	assert_string_equal(empty, "");
	free(empty);
	for (int i = 0; i < 1000; i++)
		cop_str_addf(&s, "%d,", i);
	assert_int_equal(s.len, 10 * 2 + 90 * 3 + 900 * 4);
	cop_str_addn(&s, "tail!!", 4);
	assert_true(cop_str_ends(s.s, "999,tail") && strlen(s.s) == s.len);
	cop_str_release(&s);
}

static int entries(const char *folder)
{
	int n = 0;
	DIR *d = opendir(folder);
	for (struct dirent *e; (e = readdir(d));)
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(d);
	return n;
}

static void assert_content(const char *path, const char *wanted)
{
	char *text;
	size_t len;
	struct cop_err err;
	assert_int_equal(cop_read_file(path, &text, &len, &err), 0);
	assert_int_equal(len, strlen(wanted));
	assert_string_equal(text, wanted);
	free(text);
}

static void test_files(void **state)
{
	(void)state;
	struct cop_err err = {0};
	char *text;
	size_t len;
	char folder[] = "base.XXXXXX";
	assert_non_null(mkdtemp(folder));
	assert_int_equal(chdir(folder), 0);
	assert_int_equal(cop_write_file("a", "one", 3, &err), 0);
	assert_content("a", "one");
	assert_int_equal(cop_write_file("a", "", 0, &err), 0);
	assert_content("a", "");
	assert_int_equal(entries("."), 1);
	/* what is in the way stays, and no temporary does */
	assert_int_equal(cop_mkdirs("b/c/d", &err), 0);
	assert_int_equal(cop_mkdirs("b/c/d", &err), 0);
	assert_true(cop_is_folder("b/c/d") && !cop_is_folder("a"));
	assert_int_equal(cop_write_file("b/c", "x", 1, &err), COP_EFAILED);
	assert_non_null(strstr(err.msg, "'b/c'"));
	assert_int_equal(cop_write_file("none/file", "x", 1, &err), COP_EFAILED);
	assert_non_null(strstr(err.msg, "'none/file': No such file"));
	assert_int_equal(entries("."), 2);
	assert_int_equal(cop_mkdirs("a/under", &err), COP_EINPUT);
	assert_non_null(strstr(err.msg, "cannot make folder 'a'"));
	assert_int_equal(cop_read_file("none", &text, &len, &err), COP_EINPUT);
	assert_int_equal(cop_read_file("b", &text, &len, &err), COP_EINPUT);
	/* renaming onto a folder fails and takes the temporary away */
	char *name = cop_temporary_name("b/c");
	char *other = cop_temporary_name("b/c");
	assert_string_not_equal(name, other);
	assert_true(strncmp(name, "b/.", 3) == 0);
	assert_int_equal(cop_write_file(name, "x", 1, &err), 0);
	assert_int_equal(cop_rename_into_place(name, "b/c", &err), COP_EFAILED);
	assert_false(cop_exists(name));
	free(name);
	free(other);
	cop_remove("a");
	cop_remove("a");
	cop_remove_if_empty("b");
	assert_true(cop_exists("b"));
	cop_remove_if_empty("b/c/d");
	cop_remove_if_empty("b/c");
	cop_remove_if_empty("b");
	assert_int_equal(chdir(".."), 0);
	assert_int_equal(rmdir(folder), 0);
}

static void test_names_of_files(void **state)
{
	(void)state;
	const char *const paths[][3] = {
		{"a", ".", "a"}, {"/a", "/", "a"}, {"x/y/z.h5", "x/y", "z.h5"}, {"x/", "x", ""}};
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		char *folder = cop_folder_of(paths[i][0]);
		assert_string_equal(folder, paths[i][1]);
		assert_string_equal(cop_name_of(paths[i][0]), paths[i][2]);
		free(folder);
	}
	char here[4096], *absolute = cop_absolute("not/there");
	assert_non_null(getcwd(here, sizeof(here)));
	assert_true(strncmp(absolute, here, strlen(here)) == 0 && cop_str_ends(absolute, "/not/there"));
	free(absolute);
	absolute = cop_absolute(".");
	assert_string_equal(absolute, here);
	free(absolute);
}

struct keys {
	const char *text;
	struct cop_str all;
	int stop_after;
};

static int note_key(const char *path, const char *at, void *user)
{
	struct keys *k = user;
	cop_str_addf(&k->all, "%s:%d ", path, cop_line_of(k->text, at));
	return --k->stop_after == 0 ? 42 : 0;
}

static void assert_keys(const char *text, const char *wanted)
{
	struct keys k = {.text = text};
	assert_int_equal(cop_json_keys(text, note_key, &k), 0);
	assert_string_equal(k.all.s ? k.all.s : "", wanted);
	cop_str_release(&k.all);
}

static void test_json_keys(void **state)
{
	(void)state;
	assert_keys("{}", "");
	assert_keys("[1, {\"a\": 2}]", "");
	assert_keys("{\"a\": 1,\n \"b\": {\"c\": \"x\",\n\n\"d\": {}}, \"e\": null}", "a:1 b:2 b.c:2 b.d:4 e:4 ");
	assert_keys("{\"a\": [1, [{\"x\": \"]}\"}, {}], \"b\\\"c\"],\n\"b\": true}", "a:1 b:2 ");
	assert_keys("{\"a\": \"x\\\"}, \\\\\", \"b\\\"\": 1,\n\"c\": -1.5e3}", "a:1 b\\\":1 c:2 ");
	assert_keys("{\"a\": 1, \"a\": {\"a\": 2, \"a\": 3}}", "a:1 a:1 a.a:1 a.a:1 ");
	struct keys k = {.text = "{\"a\": {\"b\": 1, \"c\": 2}, \"d\": 3}", .stop_after = 2};
	assert_int_equal(cop_json_keys(k.text, note_key, &k), 42);
	assert_string_equal(k.all.s, "a:1 a.b:1 ");
	cop_str_release(&k.all);
	/* what is no JSON is not walked for ever, nor beyond its end */
	const char *const broken[] = {"",        "{",        "{\"",         "{\"a",       "{\"a\"",
				      "{\"a\":", "{\"a\":{", "{\"a\":\"\\", "{\"a\":[\"", "}"};
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		k = (struct keys){.text = broken[i]};
		cop_json_keys(broken[i], note_key, &k);
		cop_str_release(&k.all);
	}
}

static void test_json(void **state)
{
	(void)state;
	cJSON *j = NULL;
	struct cop_err err = {0};
	assert_int_equal(cop_json_parse("{\"a\": 1,\n\"b\": tru}", "f.json", &j, &err), COP_EINPUT);
	assert_non_null(strstr(err.msg, "'f.json' line 2: not valid JSON near 'tru}'"));
	assert_int_equal(cop_json_parse("{} x", "f.json", &j, &err), COP_EINPUT);
	assert_int_equal(cop_json_parse("", "f.json", &j, &err), COP_EINPUT);
	assert_int_equal(cop_json_parse("{\"n\": 2.5, \"s\": \"x\", \"b\": true}", "f.json", &j, &err), 0);
	assert_true(cop_json_num(j, "n", 0) == 2.5 && cop_json_num(j, "s", -1) == -1 && cop_json_num(j, "z", 3) == 3);
	assert_string_equal(cop_json_str(j, "s", ""), "x");
	assert_string_equal(cop_json_str(j, "n", "no"), "no");
	assert_true(cop_json_bool(j, "b", false) && cop_json_bool(j, "n", true));
	cJSON_Delete(j);
}

static void test_hash(void **state)
{
	(void)state;
	/* from draft-eastlake-fnv, appendix C */
	const struct {
		const char *text;
		uint64_t hash;
	} known[] = {{"", UINT64_C(0xcbf29ce484222325)},
		     {"a", UINT64_C(0xaf63dc4c8601ec8c)},
		     {"foobar", UINT64_C(0x85944171f73967e8)}};
	for (size_t i = 0; i < 3; i++)
		assert_true(cop_hash(COP_HASH_START, known[i].text, strlen(known[i].text)) == known[i].hash);
	assert_true(cop_hash(cop_hash(COP_HASH_START, "foo", 3), "bar", 3) == known[2].hash);
}

static void test_layout(void **state)
{
	(void)state;
	struct cop_layout l = {0}, copy = {0};
	char text[40];
	cop_layout_add(&l, "fc1/weight", 2, (int64_t[]){3, 7}, true);
	cop_layout_add(&l, "fc1/bias", 1, (int64_t[]){3}, false);
	cop_layout_add(&l, "scale", 0, NULL, false);
	assert_true(l.tensor[0].offset == 0 && l.tensor[1].offset == 32 && l.tensor[2].offset == 48 && l.total == 64);
	assert_int_equal(cop_layout_count(&l, false), 25);
	assert_int_equal(cop_layout_count(&l, true), 21);
	assert_ptr_equal(cop_layout_find(&l, "fc1/bias"), &l.tensor[1]);
	assert_null(cop_layout_find(&l, "fc1"));
	assert_string_equal(cop_shape_text(&l.tensor[0], text, sizeof(text)), "3x7");
	cop_layout_copy(&copy, &l);
	assert_true(cop_layout_same(&l, &copy));
	copy.tensor[0].dim[0] = 7;
	copy.tensor[0].dim[1] = 3;
	assert_false(cop_layout_same(&l, &copy));
	cop_layout_release(&l);
	cop_layout_release(&copy);
}

static void test_memory(void **state)
{
	(void)state;
	struct cop_err err = {0};
	unsigned char *p = NULL;
	void *untouched = &err;
	assert_int_equal(cop_alloc(&p, 3, 7, "things", &err), 0);
	assert_int_equal((uintptr_t)p % 64, 0);
	for (int i = 0; i < 21; i++)
		assert_int_equal(p[i], 0);
	free(p);
	assert_int_equal(cop_alloc(&p, 0, 8, "nothing", &err), 0);
	assert_non_null(p);
	free(p);
	assert_int_equal(cop_alloc(&untouched, SIZE_MAX / 2, 3, "the moon", &err), COP_EFAILED);
	assert_string_equal(err.msg, "the size of the moon overflows");
	assert_int_equal(cop_alloc(&untouched, SIZE_MAX - 5, 1, "the moon", &err), COP_EFAILED);
	assert_int_equal(cop_alloc(&untouched, SIZE_MAX / 4, 1, "the moon", &err), COP_EFAILED);
	assert_non_null(strstr(err.msg, "out of memory"));
	assert_ptr_equal(untouched, &err);
}

static void test_philox(void **state)
{
	(void)state;
	/* the known answers that come with Random123, philox4x32 with 10 rounds */
	const uint32_t known[][10] = {
		{0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
		{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d, 0x41c83b0e,
		 0xa20bc7c6, 0x6d5451fd},
		{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb,
		 0x5001e420, 0x24126ea1},
	};
	for (int i = 0; i < 3; i++) {
		uint32_t out[4];
		cop_philox4x32(known[i], known[i] + 4, out);
		assert_memory_equal(out, known[i] + 6, sizeof(out));
	}
}

/* Chi-square of `n` even draws over `bins`. */
static double chi_square(const int *count, uint32_t bins, double n)
{
	double sum = 0, wanted = n / bins;
	for (uint32_t i = 0; i < bins; i++)
		sum += (count[i] - wanted) * (count[i] - wanted) / wanted;
	return sum;
}

/* 99.9% bounds of chi-square with few and many degrees of freedom; the seed is fixed, so this fails always or never. */
static void test_uniform(void **state)
{
	(void)state;
	enum { DRAWS = 100000, MOST = 1000 };
	const uint32_t bins[] = {2, 3, 10, 1000};
	const double bound[] = {10.83, 13.82, 27.88, 1143.9};
	struct cop_stream s;
	for (int k = 0; k < 4; k++) {
		int count[MOST] = {0};
		cop_stream_init(&s, 77, COP_PURPOSE_TEST, 1, (uint32_t)k);
		for (int i = 0; i < DRAWS; i++) {
			uint32_t v = cop_stream_below(&s, bins[k]);
			assert_true(v < bins[k]);
			count[v]++;
		}
		assert_true(chi_square(count, bins[k], DRAWS) < bound[k]);
	}
	/* a range for which a third of all words must be thrown away to be fair */
	int count[3] = {0};
	uint32_t range = 3u << 30;
	for (int i = 0; i < DRAWS; i++)
		count[cop_stream_below(&s, range) >> 30]++;
	assert_true(chi_square(count, 3, DRAWS) < bound[1]);
	assert_int_equal(cop_stream_below(&s, 1), 0);
}

static void test_real_draws(void **state)
{
	(void)state;
	enum { DRAWS = 200000 };
	struct cop_stream s;
	double sum = 0, moment[5] = {0};
	cop_stream_init(&s, 78, COP_PURPOSE_TEST, 0, 0);
	for (int i = 0; i < DRAWS; i++) {
		double u = cop_stream_uniform(&s);
		assert_true(u >= 0 && u < 1);
		sum += u;
	}
	assert_true(fabs(sum / DRAWS - 0.5) < 4 / sqrt(12.0 * DRAWS));
	for (int i = 0; i < DRAWS; i++) {
		double v = cop_stream_normal(&s), power = 1;
		for (int k = 1; k <= 4; k++)
			moment[k] += (power *= v) / DRAWS;
	}
	/* four standard errors of each moment of the normal distribution: 0, 1, 0, 3 */
	assert_true(fabs(moment[1]) < 4 * sqrt(1.0 / DRAWS));
	assert_true(fabs(moment[2] - 1) < 4 * sqrt(2.0 / DRAWS));
	assert_true(fabs(moment[3]) < 4 * sqrt(15.0 / DRAWS));
	assert_true(fabs(moment[4] - 3) < 4 * sqrt(96.0 / DRAWS));
}

static void test_streams(void **state)
{
	(void)state;
	struct cop_stream a, b;
	const struct {
		uint64_t seed;
		enum cop_purpose purpose;
		uint32_t epoch, item;
	} other[] = {{6, COP_PURPOSE_TEST, 1, 2},
		     {5 + (UINT64_C(1) << 32), COP_PURPOSE_TEST, 1, 2},
		     {5, COP_PURPOSE_INIT, 1, 2},
		     {5, COP_PURPOSE_TEST, 2, 2},
		     {5, COP_PURPOSE_TEST, 1, 3}};
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
		int same = 0;
		cop_stream_init(&a, 5, COP_PURPOSE_TEST, 1, 2);
		cop_stream_init(&b, other[i].seed, other[i].purpose, other[i].epoch, other[i].item);
		for (int k = 0; k < 100; k++)
			same += cop_stream_u32(&a) == cop_stream_u32(&b);
		assert_true(same < 2);
	}
}

static void test_permutation(void **state)
{
	(void)state;
	enum { N = 1000 };
	uint32_t perm[N], again[N];
	bool seen[N] = {false};
	int fixed = 0, places[6] = {0};
	cop_permutation(perm, N, 9, COP_PURPOSE_ORDER, 3);
	cop_permutation(again, N, 9, COP_PURPOSE_ORDER, 3);
	assert_memory_equal(perm, again, sizeof(perm));
	for (uint32_t i = 0; i < N; i++) {
		assert_true(perm[i] < N && !seen[perm[i]]);
		seen[perm[i]] = true;
		fixed += perm[i] == i;
	}
	assert_true(fixed < 8);
	cop_permutation(perm, 1, 9, COP_PURPOSE_ORDER, 0);
	assert_int_equal(perm[0], 0);
	/* each order of three equally often: 99.9% bound of five degrees of freedom */
	for (uint32_t epoch = 0; epoch < 30000; epoch++) {
		cop_permutation(perm, 3, 9, COP_PURPOSE_TEST, epoch);
		places[perm[0] * 2 + (perm[1] > perm[2])]++;
	}
	assert_true(chi_square(places, 6, 30000) < 20.52);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors),         cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_words),          cmocka_unit_test(test_files),
		cmocka_unit_test(test_names_of_files), cmocka_unit_test(test_json_keys),
		cmocka_unit_test(test_json),           cmocka_unit_test(test_hash),
		cmocka_unit_test(test_layout),         cmocka_unit_test(test_memory),
		cmocka_unit_test(test_philox),         cmocka_unit_test(test_uniform),
		cmocka_unit_test(test_real_draws),     cmocka_unit_test(test_streams),
		cmocka_unit_test(test_permutation),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
