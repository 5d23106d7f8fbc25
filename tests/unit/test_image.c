/* Images: exact pixels of every PNG and JPEG layout, damage at every byte, and fitting against a plain reference. */
#include "base/rng.h"
#include "data/image.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jpeglib.h>
#include <png.h>
#include <zlib.h>

enum { H = 13, W = 17, ROOM = 1 << 16 };

/* A smooth picture, so that JPEG at full quality is close to it; c: 0 red, 1 green, 2 blue. */
static uint8_t source(int y, int x, int c)
{
	return (uint8_t)(40 + 9 * y + (c == 1 ? 3 : 5) * x + 20 * c * (x > 8));
}

struct bytes {
	uint8_t data[ROOM];
	size_t len;
};

static void put(png_structp png, png_bytep from, size_t n)
{
	struct bytes *b = png_get_io_ptr(png);
	assert_true(b->len + n <= ROOM);
	memcpy(b->data + b->len, from, n);
	b->len += n;
}

static void no_flush(png_structp png)
{
	(void)png;
}

/* Writes `row` bytes a line, filled by `fill`. */
static void make_png(struct bytes *b, int colour, int depth, int interlace, size_t row,
		     void (*fill)(uint8_t *row, int y))
{
	png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
	png_infop info = png_create_info_struct(png);
	uint8_t *image = calloc(H, row);
	png_bytep rows[H];
	b->len = 0;
	for (int y = 0; y < H; y++)
		fill(rows[y] = image + (size_t)y * row, y);
	png_set_write_fn(png, b, put, no_flush);
	png_set_IHDR(png, info, W, H, depth, colour, interlace, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	if (colour == PNG_COLOR_TYPE_PALETTE) {
		const png_color palette[4] = {{1, 2, 3}, {10, 20, 30}, {100, 150, 200}, {255, 0, 7}};
		const png_byte alpha[2] = {0, 128};
		png_set_PLTE(png, info, palette, 4);
		png_set_tRNS(png, info, alpha, 2, NULL);
	}
	png_set_gAMA(png, info, 0.3);
	png_write_info(png, info);
	png_write_image(png, rows);
	png_write_end(png, info);
	png_destroy_write_struct(&png, &info);
	free(image);
}

static void fill_grey(uint8_t *row, int y)
{
	for (int x = 0; x < W; x++)
		row[x] = source(y, x, 0);
}

static void fill_grey_alpha(uint8_t *row, int y)
{
	for (int x = 0; x < W; x++) {
		row[2 * x] = source(y, x, 0);
		row[2 * x + 1] = (uint8_t)(x * 15);
	}
}

static void fill_bits(uint8_t *row, int y)
{
	for (int x = 0; x < W; x++)
		row[x / 8] |= (uint8_t)(((x + y) % 3 == 0) << (7 - x % 8));
}

static void fill_rgb(uint8_t *row, int y)
{
	for (int x = 0; x < W; x++)
		for (int c = 0; c < 3; c++)
			row[3 * x + c] = source(y, x, c);
}

static void fill_rgba(uint8_t *row, int y)
{
	for (int x = 0; x < W; x++) {
		for (int c = 0; c < 3; c++)
			row[4 * x + c] = source(y, x, c);
		row[4 * x + 3] = (uint8_t)(y * 19);
	}
}

/* 16 bits: v * 257 is exactly v in 8. */
static void fill_rgb16(uint8_t *row, int y)
{
	for (int x = 0; x < W; x++)
		for (int c = 0; c < 3; c++)
			row[6 * x + 2 * c] = row[6 * x + 2 * c + 1] = source(y, x, c);
}

static void fill_palette(uint8_t *row, int y)
{
	for (int x = 0; x < W; x++)
		row[x] = (uint8_t)((x + y) % 4);
}

static void expect_pixels(const struct bytes *b, int forced, int channels, int (*want)(int y, int x, int c))
{
	struct cop_image im;
	struct cop_err err = {0};
	assert_int_equal(cop_image_decode("a picture", b->data, b->len, forced, 0, &im, &err), 0);
	assert_int_equal(im.height, H);
	assert_int_equal(im.width, W);
	assert_int_equal(im.channels, channels);
	for (int y = 0; y < H; y++)
		for (int x = 0; x < W; x++)
			for (int c = 0; c < channels; c++)
				assert_int_equal(im.pixel[(y * W + x) * channels + c], want(y, x, c));
	cop_image_release(&im);
}

static int want_source(int y, int x, int c)
{
	return source(y, x, c);
}

static int want_grey(int y, int x, int c)
{
	(void)c;
	return source(y, x, 0);
}

static int want_bits(int y, int x, int c)
{
	(void)c;
	return (x + y) % 3 == 0 ? 255 : 0;
}

static int want_palette(int y, int x, int c)
{
	static const int v[4][3] = {{1, 2, 3}, {10, 20, 30}, {100, 150, 200}, {255, 0, 7}};
	return v[(x + y) % 4][c];
}

static int want_luma(int y, int x, int c)
{
	(void)c;
	double v = 0.299 * source(y, x, 0) + 0.587 * source(y, x, 1) + 0.114 * source(y, x, 2);
	return (int)floor(v + 0.5);
}

static void test_png(void **state)
{
	(void)state;
	static struct bytes b;
	for (int interlace = 0; interlace < 2; interlace++) {
		make_png(&b, PNG_COLOR_TYPE_GRAY, 8, interlace, W, fill_grey);
		expect_pixels(&b, 0, 1, want_grey);
		expect_pixels(&b, 1, 1, want_grey);
		expect_pixels(&b, 3, 3, want_grey);
		make_png(&b, PNG_COLOR_TYPE_GRAY_ALPHA, 8, interlace, 2 * W, fill_grey_alpha);
		expect_pixels(&b, 0, 1, want_grey);
		make_png(&b, PNG_COLOR_TYPE_GRAY, 1, interlace, (W + 7) / 8, fill_bits);
		expect_pixels(&b, 0, 1, want_bits);
		make_png(&b, PNG_COLOR_TYPE_RGB, 8, interlace, 3 * W, fill_rgb);
		expect_pixels(&b, 0, 3, want_source);
		expect_pixels(&b, 3, 3, want_source);
		expect_pixels(&b, 1, 1, want_luma);
		make_png(&b, PNG_COLOR_TYPE_RGBA, 8, interlace, 4 * W, fill_rgba);
		expect_pixels(&b, 0, 3, want_source);
		make_png(&b, PNG_COLOR_TYPE_RGB, 16, interlace, 6 * W, fill_rgb16);
		expect_pixels(&b, 0, 3, want_source);
		make_png(&b, PNG_COLOR_TYPE_PALETTE, 8, interlace, W, fill_palette);
		expect_pixels(&b, 0, 3, want_palette);
	}
}

static void make_jpeg(struct bytes *b, int channels, bool progressive)
{
	struct jpeg_compress_struct j;
	struct jpeg_error_mgr manager;
	unsigned char *out = NULL;
	unsigned long len = 0;
	j.err = jpeg_std_error(&manager);
	jpeg_create_compress(&j);
	jpeg_mem_dest(&j, &out, &len);
	j.image_width = W;
	j.image_height = H;
	j.input_components = channels;
	j.in_color_space = channels == 1 ? JCS_GRAYSCALE : channels == 3 ? JCS_RGB : JCS_CMYK;
	jpeg_set_defaults(&j);
	jpeg_set_quality(&j, 100, TRUE);
	j.comp_info[0].h_samp_factor = j.comp_info[0].v_samp_factor = 1;
	if (progressive)
		jpeg_simple_progression(&j);
	jpeg_start_compress(&j, TRUE);
	for (int y = 0; y < H; y++) {
		uint8_t line[4 * W];
		JSAMPROW row = line;
		for (int x = 0; x < W; x++)
			for (int c = 0; c < channels; c++)
				line[x * channels + c] = source(y, x, c % 3);
		jpeg_write_scanlines(&j, &row, 1);
	}
	jpeg_finish_compress(&j);
	jpeg_destroy_compress(&j);
	assert_true(len <= ROOM);
	memcpy(b->data, out, len);
	b->len = len;
	free(out);
}

static void expect_close(const struct bytes *b, int forced, int channels)
{
	struct cop_image im;
	struct cop_err err = {0};
	assert_int_equal(cop_image_decode("a picture", b->data, b->len, forced, 0, &im, &err), 0);
	assert_int_equal(im.height, H);
	assert_int_equal(im.width, W);
	assert_int_equal(im.channels, channels);
	for (int i = 0; i < H * W * channels; i++) {
		int y = i / channels / W, x = i / channels % W, c = i % channels;
		int want = forced == 1 ? want_luma(y, x, c) : source(y, x, c);
		assert_in_range(im.pixel[i] + 3 - want, 0, 6);
	}
	cop_image_release(&im);
}

static void test_jpeg(void **state)
{
	(void)state;
	static struct bytes b;
	for (int progressive = 0; progressive < 2; progressive++) {
		make_jpeg(&b, 1, progressive);
		expect_close(&b, 0, 1);
		make_jpeg(&b, 3, progressive);
		expect_close(&b, 0, 3);
		expect_close(&b, 1, 1);
	}
}

/* Four inks, as the standard has them and as Photoshop writes them: inverted, which its marker tells. */
static void test_inks(void **state)
{
	(void)state;
	static struct bytes b;
	make_jpeg(&b, 4, false);
	struct cop_image im;
	struct cop_err err = {0};
	uint8_t *at = memmem(b.data, b.len, "Adobe", 5);
	assert_non_null(at);
	for (int adobe = 0; adobe < 2; adobe++) {
		at[0] = adobe ? 'A' : 'a';
		assert_int_equal(cop_image_decode("a picture", b.data, b.len, 0, 0, &im, &err), 0);
		assert_int_equal(im.channels, 3);
		for (int i = 0; i < H * W * 3; i++) {
			int y = i / 3 / W, x = i / 3 % W, ink = source(y, x, i % 3), black = source(y, x, 0);
			double want = adobe ? ink * black / 255.0 : (255 - ink) * (255 - black) / 255.0;
			assert_true(fabs(im.pixel[i] - want) <= 4);
		}
		cop_image_release(&im);
		assert_int_equal(cop_image_decode("a picture", b.data, b.len, 1, 0, &im, &err), 0);
		assert_int_equal(im.channels, 1);
		cop_image_release(&im);
	}
}

/* Orientation is what a viewer would apply: the pixels stay where they are stored. */
static void test_orientation(void **state)
{
	(void)state;
	static const uint8_t exif[] = "\xff\xe1\x00\x22"
				      "Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0";
	static struct bytes b;
	make_jpeg(&b, 3, false);
	memmove(b.data + 2 + 36, b.data + 2, b.len - 2);
	memcpy(b.data + 2, exif, 36);
	b.len += 36;
	expect_close(&b, 0, 3);
}

static void expect_refusal(const struct bytes *b, const char *says)
{
	struct cop_image im;
	struct cop_err err = {0};
	assert_int_equal(cop_image_decode("a picture", b->data, b->len, 0, 0, &im, &err), COP_EINPUT);
	assert_non_null(strstr(err.msg, "'a picture'"));
	assert_non_null(strstr(err.msg, says));
	assert_null(im.pixel);
}

static void test_refusals(void **state)
{
	(void)state;
	static struct bytes b;
	expect_refusal(&b, "neither");
	b.len = (size_t)snprintf((char *)b.data, ROOM, "GIF89a and so on");
	expect_refusal(&b, "neither");
	/* a header that promises 60000 x 60000: the size stands behind IHDR, its checksum behind that */
	make_png(&b, PNG_COLOR_TYPE_GRAY, 8, 0, W, fill_grey);
	memcpy(b.data + 16, "\x00\x00\xea\x60\x00\x00\xea\x60", 8);
	uint32_t crc = (uint32_t)crc32(crc32(0, NULL, 0), b.data + 12, 17);
	for (int i = 0; i < 4; i++)
		b.data[29 + i] = (uint8_t)(crc >> (24 - 8 * i));
	expect_refusal(&b, "60000x60000");
}

/* A file that ends early is an error at whatever byte, and says so in one line. */
static void expect_truncation(const struct bytes *whole)
{
	for (size_t len = 1; len < whole->len; len++) {
		struct cop_image im;
		struct cop_err err = {0};
		uint8_t *exact = malloc(len); /* so that a sanitizer sees a read beyond the end */
		memcpy(exact, whole->data, len);
		assert_int_equal(cop_image_decode("x", exact, len, 0, 0, &im, &err), COP_EINPUT);
		assert_null(im.pixel);
		assert_null(strchr(err.msg, '\n'));
		free(exact);
	}
}

static void test_truncation(void **state)
{
	(void)state;
	static struct bytes b;
	make_png(&b, PNG_COLOR_TYPE_RGB, 8, 1, 3 * W, fill_rgb);
	expect_truncation(&b);
	make_jpeg(&b, 3, false);
	expect_truncation(&b);
	make_jpeg(&b, 1, true);
	expect_truncation(&b);
}

/* Whatever bits flip, decoding ends with an image of sane size or an error. */
static void test_damage(void **state)
{
	(void)state;
	static struct bytes whole, b;
	struct cop_stream s;
	cop_stream_init(&s, 4, COP_PURPOSE_TEST, 0, 0);
	int failed = 0;
	for (int round = 0; round < 3000; round++) {
		if (round % 2)
			make_jpeg(&whole, round % 4 == 1 ? 3 : 1, round % 8 < 4);
		else
			make_png(&whole, PNG_COLOR_TYPE_RGB, 8, round / 2 % 2, 3 * W, fill_rgb);
		b = whole;
		for (uint32_t k = cop_stream_below(&s, 4) + 1; k; k--)
			b.data[cop_stream_below(&s, (uint32_t)b.len)] ^= (uint8_t)(1u << cop_stream_below(&s, 8));
		struct cop_image im;
		struct cop_err err = {0};
		int rc = cop_image_decode("x", b.data, b.len, 0, 0, &im, &err);
		assert_true(rc == 0 || rc == COP_EINPUT);
		if (!rc)
			assert_true((int64_t)im.height * im.width <= COP_IMAGE_PIXELS_MAX);
		failed += rc != 0;
		cop_image_release(&im);
	}
	assert_in_range(failed, 1000, 3000);
}

/* The mean over [x0,x1) x [y0,y1) of channel c, in floating point, sampled pixel by pixel. */
static double area_mean(const struct cop_image *im, double y0, double y1, double x0, double x1, int c)
{
	double sum = 0;
	for (int y = (int)y0; y < im->height && y < y1; y++)
		for (int x = (int)x0; x < im->width && x < x1; x++) {
			double hy = fmin(y + 1, y1) - fmax(y, y0), hx = fmin(x + 1, x1) - fmax(x, x0);
			sum += fmax(0, hy) * fmax(0, hx) * im->pixel[(y * im->width + x) * im->channels + c];
		}
	return sum / ((y1 - y0) * (x1 - x0));
}

static void expect_fit(int height, int width, int channels, int size, enum cop_resize resize)
{
	struct cop_image im = {height, width, channels, 1, malloc((size_t)(height * width * channels))};
	uint8_t *out = malloc((size_t)(size * size * channels));
	struct cop_stream s;
	struct cop_err err;
	cop_stream_init(&s, 9, COP_PURPOSE_TEST, (uint32_t)height, (uint32_t)width);
	for (int i = 0; i < height * width * channels; i++)
		im.pixel[i] = (uint8_t)cop_stream_below(&s, 256);
	assert_int_equal(cop_image_fit(&im, size, resize, out, &err), 0);
	int least = height < width ? height : width;
	double high = floor((double)height * size / least + 0.5), wide = floor((double)width * size / least + 0.5);
	if (resize == COP_RESIZE_STRETCH)
		high = wide = size;
	double top = floor((high - size) / 2), left = floor((wide - size) / 2);
	for (int i = 0; i < size * size * channels; i++) {
		int c = i % channels, x = i / channels % size, y = i / channels / size;
		double want = area_mean(&im, (top + y) * height / high, (top + y + 1) * height / high,
					(left + x) * width / wide, (left + x + 1) * width / wide, c);
		assert_true(fabs(out[i] - want) <= 0.5 + 1e-6);
	}
	free(out);
	free(im.pixel);
}

static void test_fit(void **state)
{
	(void)state;
	for (int resize = COP_RESIZE_CROP; resize <= COP_RESIZE_STRETCH; resize++) {
		expect_fit(32, 32, 3, 32, resize);
		expect_fit(64, 64, 3, 32, resize);
		expect_fit(37, 50, 3, 16, resize);
		expect_fit(50, 37, 1, 16, resize);
		expect_fit(100, 33, 3, 32, resize);
		expect_fit(7, 9, 1, 20, resize);
		expect_fit(1, 40, 1, 8, resize);
		expect_fit(375, 500, 3, 64, resize);
		expect_fit(3, 20000, 3, 64, resize);
	}
}

/* Means of cells stand for their pixels: an image that is the same within each gives the same either way. */
static void expect_cells(int height, int width, int cell, int size, enum cop_resize resize)
{
	int rows = (height + cell - 1) / cell, columns = (width + cell - 1) / cell;
	struct cop_image im = {height, width, 1, 1, malloc((size_t)(height * width))};
	struct cop_image means = {height, width, 1, cell, malloc((size_t)(rows * columns))};
	uint8_t *a = malloc((size_t)(size * size)), *b = malloc((size_t)(size * size));
	struct cop_stream s;
	struct cop_err err;
	cop_stream_init(&s, 10, COP_PURPOSE_TEST, (uint32_t)height, (uint32_t)width);
	for (int i = 0; i < rows * columns; i++)
		means.pixel[i] = (uint8_t)cop_stream_below(&s, 256);
	for (int i = 0; i < height * width; i++)
		im.pixel[i] = means.pixel[i / width / cell * columns + i % width / cell];
	assert_int_equal(cop_image_fit(&im, size, resize, a, &err), 0);
	assert_int_equal(cop_image_fit(&means, size, resize, b, &err), 0);
	assert_memory_equal(a, b, (size_t)(size * size));
	free(a);
	free(b);
	free(im.pixel);
	free(means.pixel);
}

static void test_fit_cells(void **state)
{
	(void)state;
	for (int cell = 2; cell <= 8; cell *= 2)
		for (int resize = COP_RESIZE_CROP; resize <= COP_RESIZE_STRETCH; resize++) {
			expect_cells(375, 500, cell, 16, resize);
			expect_cells(131, 77, cell, 9, resize);
			expect_cells(17, 400, cell, 20, resize);
		}
}

static void test_kinds(void **state)
{
	(void)state;
	assert_int_equal(cop_image_kind_of_name("a.b.PNG"), COP_IMAGE_PNG);
	assert_int_equal(cop_image_kind_of_name("a.JPEG"), COP_IMAGE_JPEG);
	assert_int_equal(cop_image_kind_of_name("a.jpg"), COP_IMAGE_JPEG);
	assert_int_equal(cop_image_kind_of_name("png"), COP_IMAGE_NONE);
	assert_int_equal(cop_image_kind_of_name("a.gif"), COP_IMAGE_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_png),        cmocka_unit_test(test_jpeg),   cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_truncation), cmocka_unit_test(test_damage), cmocka_unit_test(test_fit),
		cmocka_unit_test(test_kinds),      cmocka_unit_test(test_inks),   cmocka_unit_test(test_orientation),
		cmocka_unit_test(test_fit_cells),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
