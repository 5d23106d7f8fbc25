/* The crew of decoding threads gives images in order and keeps to its window; its benchmark; progress tells pace and
 * time left. */
#include "base/log.h"
#include "data/advance.h"
#include "data/bench.h"
#include "data/crew.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <png.h>

static char folder[] = "/tmp/coppice-crew.XXXXXX";

/* Image number `at` is grey of the value `at`, but each seventh file is not there. */
static char *path_of(const void *user, size_t at)
{
	(void)user;
	char *path = malloc(64);
	snprintf(path, 64, "%s/%s%zu.png", folder, at % 7 == 3 ? "no" : "", at % 64);
	return path;
}

static void write_images(void)
{
	assert_non_null(mkdtemp(folder));
	for (int i = 0; i < 64; i++) {
		char path[64];
		uint8_t pixel[12];
		png_image im = {.version = PNG_IMAGE_VERSION, .width = 4, .height = 3, .format = PNG_FORMAT_GRAY};
		memset(pixel, i, sizeof(pixel));
		snprintf(path, sizeof(path), "%s/%d.png", folder, i);
		assert_int_equal(png_image_write_to_file(&im, path, 0, pixel, 0, NULL), 1);
	}
}

static void remove_images(void)
{
	for (int i = 0; i < 64; i++) {
		char path[64];
		snprintf(path, sizeof(path), "%s/%d.png", folder, i);
		unlink(path);
	}
	rmdir(folder);
}

static void expect_order(size_t n, int threads, size_t bytes, int size)
{
	struct cop_crew_job job = {.path = path_of, .n = n, .bytes = bytes, .size = size};
	struct cop_crew *c = NULL;
	struct cop_err err;
	size_t seen = 0;
	assert_int_equal(cop_crew_start(&c, &job, threads, &err), 0);
	for (const struct cop_crew_image *i; (i = cop_crew_next(c)); seen++) {
		assert_int_equal(i->rc, seen % 7 == 3 ? COP_EINPUT : 0);
		if (i->rc) {
			assert_non_null(strstr(i->err.msg, "cannot open"));
			continue;
		}
		assert_int_equal(i->im.width, size ? size : 4);
		assert_int_equal(i->im.pixel[0], seen % 64);
	}
	assert_int_equal(seen, n);
	assert_null(cop_crew_next(c));
	cop_crew_end(c);
}

static void test_order(void **state)
{
	(void)state;
	write_images();
	for (int threads = 1; threads <= 7; threads += 2)
		for (size_t n = 0; n < 400; n = n * 3 + 1) {
			expect_order(n, threads, 12, 0);
			expect_order(n, threads, 300 << 20, 0);
			expect_order(n, threads, 4, 2);
		}
	/* ended before it is through */
	for (size_t n = 0; n < 50; n += 7) {
		struct cop_crew_job job = {.path = path_of, .n = 3000, .bytes = 12};
		struct cop_crew *c = NULL;
		struct cop_err err;
		assert_int_equal(cop_crew_start(&c, &job, 3, &err), 0);
		for (size_t i = 0; i < n; i++)
			assert_non_null(cop_crew_next(c));
		cop_crew_end(c);
	}
	remove_images();
}

static void test_bench(void **state)
{
	(void)state;
	struct cop_bench_images b;
	struct cop_err err = {0};
	strcpy(folder, "/tmp/coppice-crew.XXXXXX");
	write_images();
	assert_int_equal(cop_bench_pack(folder, 2, 2, 0.05, &b, &err), 0);
	assert_true(b.images >= 64 && b.images % 64 == 0);
	assert_true(b.seconds >= 0.05 && b.images_per_second > 0);
	/* the files have 70 bytes or so */
	assert_true(b.bytes_per_second > 40 * b.images_per_second && b.bytes_per_second < 200 * b.images_per_second);
	remove_images();
	assert_int_equal(cop_bench_pack(folder, 2, 2, 0.05, &b, &err), COP_EINPUT);
	assert_int_equal(cop_bench_pack("/", 2, 2, 0.05, &b, &err), COP_EINPUT);
	assert_non_null(strstr(err.msg, "'/' holds no images"));
}

static char note[256];
static double done;

static void hear(const char *what, double is, double total, const char *text, void *user)
{
	(void)user;
	assert_string_equal(what, "packing");
	done = is / total;
	snprintf(note, sizeof(note), "%s", text);
}

static void test_advance(void **state)
{
	(void)state;
	static const struct cop_log_sink sink = {.progress = hear};
	struct cop_advance a;
	cop_log_set_sink(&sink);
	cop_advance_begin(&a, "train", 1000000);
	nanosleep(&(struct timespec){.tv_nsec = 600000000}, NULL);
	cop_advance(&a, 600);
	/* at most 1000 a second, so a quarter of an hour and more */
	double pace = 0, left = 0;
	assert_int_equal(sscanf(note, "train, %lf images/s, %lf min left", &pace, &left), 2);
	assert_in_range((int)pace, 1, 1000);
	double want = (1000000 - 600) / pace / 60;
	assert_true(left > want - 1 - want / 50 && left < want + 1 + want / 50);
	cop_advance(&a, 500000);
	assert_true(done < 0.001); /* too soon after the last */
	cop_advance_end(&a);
	assert_true(done == 1);
	cop_log_set_sink(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_bench),
		cmocka_unit_test(test_advance),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
