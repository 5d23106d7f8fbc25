/*
 * JPEGs as means of cells: against the mean of every pixel of a full decode, for all samplings, restart intervals and
 * odd sizes; damage is refused where a full decode refuses it; and real photographs, where they are.
 */
#include "base/rng.h"
#include "data/image.h"

#include <glob.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jpeglib.h>

/* How a picture is stored. */
struct form {
	int width, height, channels, across, down, quality, interval;
	bool progressive, optimized;
};

struct bytes {
	unsigned char *data;
	unsigned long len;
};

/* Waves that differ by colour, within 30..225, so that nothing is cut off. */
static uint8_t wave(int y, int x, int c, unsigned seed)
{
	double v = sin(0.11 * x + 0.05 * y * (c + 1) + seed) + sin(0.07 * y - 0.02 * x * c + 2 * seed);
	return (uint8_t)(127.5 + 45 * v);
}

static struct bytes make(const struct form *f, unsigned seed)
{
	struct jpeg_compress_struct j;
	struct jpeg_error_mgr manager;
	struct bytes b = {0};
	j.err = jpeg_std_error(&manager);
	jpeg_create_compress(&j);
	jpeg_mem_dest(&j, &b.data, &b.len);
	j.image_width = (JDIMENSION)f->width;
	j.image_height = (JDIMENSION)f->height;
	j.input_components = f->channels;
	j.in_color_space = f->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
	jpeg_set_defaults(&j);
	jpeg_set_quality(&j, f->quality, TRUE);
	j.comp_info[0].h_samp_factor = f->across;
	j.comp_info[0].v_samp_factor = f->down;
	j.restart_interval = (unsigned)f->interval;
	j.optimize_coding = f->optimized;
	if (f->progressive)
		jpeg_simple_progression(&j);
	jpeg_start_compress(&j, TRUE);
	uint8_t *line = malloc((size_t)f->width * 3);
	for (int y = 0; y < f->height; y++) {
		JSAMPROW row = line;
		for (int i = 0; i < f->width * f->channels; i++)
			line[i] = wave(y, i / f->channels, i % f->channels, seed);
		jpeg_write_scanlines(&j, &row, 1);
	}
	jpeg_finish_compress(&j);
	jpeg_destroy_compress(&j);
	free(line);
	return b;
}

static int side(int n, int cell)
{
	return (n + cell - 1) / cell;
}

/* The largest difference of a cell's mean from the mean of the pixels. */
static double worst_of(const struct cop_image *small, const struct cop_image *full)
{
	int rows = side(full->height, small->cell), columns = side(full->width, small->cell), n = full->channels;
	double worst = 0;
	/* cells over the edge hold what the encoder made up there */
	for (int i = 0; i < (full->height / small->cell) * columns * n; i++) {
		int c = i % n, x = i / n % columns, y = i / n / columns;
		if ((x + 1) * small->cell > full->width)
			continue;
		double sum = 0;
		for (int k = 0; k < small->cell * small->cell; k++) {
			int py = y * small->cell + k / small->cell, px = x * small->cell + k % small->cell;
			sum += full->pixel[(py * full->width + px) * n + c];
		}
		double off = fabs(sum / (small->cell * small->cell) - small->pixel[(y * columns + x) * n + c]);
		worst = fmax(worst, off);
	}
	assert_true(rows > 0);
	return worst;
}

/* Decodes to a size for which cells of `cell` do, expects those `wanted`, and says how far from the full decode they
 * are. */
static double decode_both(const struct bytes *b, int cell, int wanted)
{
	struct cop_image small, full;
	struct cop_err err = {0};
	assert_int_equal(cop_image_decode("a picture", b->data, b->len, 0, 0, &full, &err), 0);
	int least = full.height < full.width ? full.height : full.width;
	assert_int_equal(cop_image_decode("a picture", b->data, b->len, 0, least / cell / 2, &small, &err), 0);
	assert_int_equal(full.cell, 1);
	assert_int_equal(small.cell, wanted);
	assert_int_equal(small.width, full.width);
	assert_int_equal(small.height, full.height);
	assert_int_equal(small.channels, full.channels);
	double worst = worst_of(&small, &full);
	cop_image_release(&small);
	cop_image_release(&full);
	return worst;
}

/* {across, down} of the first component; with the last ones nothing is averaged on the way. */
static const int sampling[][2] = {{1, 1}, {2, 1}, {1, 2}, {2, 2}, {4, 1}, {3, 1}};

static void test_cells(void **state)
{
	(void)state;
	struct cop_stream s;
	cop_stream_init(&s, 11, COP_PURPOSE_TEST, 0, 0);
	for (unsigned seed = 0; seed < 420; seed++) {
		const int *by = sampling[seed % 6];
		struct form f = {.width = 64 + (int)cop_stream_below(&s, 90),
				 .height = 64 + (int)cop_stream_below(&s, 90),
				 .channels = seed % 7 ? 3 : 1,
				 .across = by[0],
				 .down = by[1],
				 .quality = 85 + (int)cop_stream_below(&s, 15),
				 .interval = seed % 3 ? 0 : 1 + (int)cop_stream_below(&s, 12),
				 /* libjpeg's own cells have coarse colours where only one direction is sampled less */
				 .progressive = seed % 11 == 0 && by[0] == by[1],
				 .optimized = seed % 2};
		struct bytes b = make(&f, seed);
		for (int cell = 2; cell <= 8; cell *= 2) {
			double worst = decode_both(&b, cell, by[0] > 2 ? 1 : cell);
			if (worst > 8) {
				fprintf(stderr, "seed %u: %dx%dx%d, sampled %dx%d, cells of %d: %g off\n", seed,
					f.width, f.height, f.channels, f.across, f.down, cell, worst);
				fail();
			}
		}
		free(b.data);
	}
}

/* What a full decode refuses is refused, and what is read has sane values whatever the bits are. */
static void test_damage(void **state)
{
	(void)state;
	struct cop_stream s;
	cop_stream_init(&s, 12, COP_PURPOSE_TEST, 0, 0);
	int refused = 0;
	for (unsigned seed = 0; seed < 6000; seed++) {
		struct form f = {96,
				 80,
				 seed % 5 ? 3 : 1,
				 1 + (int)(seed % 2),
				 1 + (int)(seed / 2 % 2),
				 90,
				 seed % 3 ? 0 : 4,
				 false,
				 seed % 7 == 0};
		struct bytes b = make(&f, seed);
		if (seed % 4 == 0)
			b.len -= 1 + cop_stream_below(&s, (uint32_t)b.len - 1);
		else
			for (uint32_t k = 1 + cop_stream_below(&s, 3); k; k--)
				b.data[cop_stream_below(&s, (uint32_t)b.len)] ^= (uint8_t)(1 +
											   cop_stream_below(&s, 255));
		struct cop_image full = {0}, small = {0};
		struct cop_err err = {0};
		int rc = cop_image_decode("x", b.data, b.len, 3, 0, &full, &err);
		int rc_small = cop_image_decode("x", b.data, b.len, 3, 8, &small, &err);
		if (rc != rc_small)
			fprintf(stderr, "seed %u: %d in full, %d in cells\n", seed, rc, rc_small);
		assert_int_equal(rc, rc_small);
		refused += rc != 0;
		cop_image_release(&full);
		cop_image_release(&small);
		free(b.data);
	}
	assert_in_range(refused, 2000, 6000);
}

/* The mean absolute difference of two ways to 64 x 64: by cells, and by a full decode. */
static double difference(const char *path, int size)
{
	struct cop_err err = {0};
	uint8_t *out[2];
	for (int way = 0; way < 2; way++) {
		struct cop_image im;
		out[way] = malloc((size_t)(3 * size * size));
		assert_int_equal(cop_image_read(path, 3, way ? size : 0, &im, &err), 0);
		assert_int_equal(cop_image_fit(&im, size, COP_RESIZE_CROP, out[way], &err), 0);
		cop_image_release(&im);
	}
	double sum = 0;
	for (int i = 0; i < 3 * size * size; i++)
		sum += abs(out[0][i] - out[1][i]);
	free(out[0]);
	free(out[1]);
	return sum / (3 * size * size);
}

static void test_photographs(void **state)
{
	(void)state;
	const char *shared = getenv("COPPICE_SHARED"), *root = getenv("ROOT");
	char pattern[4096];
	glob_t found;
	snprintf(pattern, sizeof(pattern), "%s%s/data/imagenet-sample/*.JPEG",
		 shared ? ""
		 : root ? root
			: ".",
		 shared ? shared : "/../shared");
	if (glob(pattern, 0, NULL, &found) != 0) {
		printf("ok photographs # SKIP no %s\n", pattern);
		fflush(stdout);
		skip();
	}
	double sum = 0, worst = 0;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		double off = difference(found.gl_pathv[i], 64);
		worst = fmax(worst, off);
		sum += off;
	}
	print_message("%zu photographs: %.3f of 255 off, the worst %.3f\n", found.gl_pathc,
		      sum / (double)found.gl_pathc, worst);
	globfree(&found);
	assert_true(worst <= 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cells),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_photographs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
