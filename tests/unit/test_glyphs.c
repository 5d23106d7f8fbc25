/* Glyphs: the same image for the same seed, split and index; nothing else; and digits that are there. */
#include "base/hash.h"
#include "data/glyphs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { PIXELS = COP_GLYPH_SIDE * COP_GLYPH_SIDE };

/* The golden value must hold on every machine: see the header of glyphs.h. */
static void test_golden(void **state)
{
	(void)state;
	uint64_t h = COP_HASH_START;
	uint8_t image[PIXELS];
	for (uint32_t i = 0; i < 200; i++) {
		assert_int_equal(cop_glyph_draw(1, COP_SPLIT_TRAIN, i, image), (int)(i % 10));
		h = cop_hash(h, image, PIXELS);
	}
	assert_int_equal(h, UINT64_C(0xf5dbf526e20dcb65));
}

static void test_depends_on_what_it_should(void **state)
{
	(void)state;
	uint8_t a[PIXELS], b[PIXELS];
	cop_glyph_draw(5, COP_SPLIT_TEST, 12345, a);
	cop_glyph_draw(5, COP_SPLIT_TEST, 777, b);
	cop_glyph_draw(5, COP_SPLIT_TEST, 12345, b);
	assert_memory_equal(a, b, PIXELS);
	cop_glyph_draw(5, COP_SPLIT_TRAIN, 12345, b);
	assert_memory_not_equal(a, b, PIXELS);
	cop_glyph_draw(6, COP_SPLIT_TEST, 12345, b);
	assert_memory_not_equal(a, b, PIXELS);
	cop_glyph_draw(5, COP_SPLIT_TEST, 12355, b);
	assert_memory_not_equal(a, b, PIXELS);
}

/* Each digit leaves ink on the page, most of it inside, and neither drowns in noise nor fills the page. */
static void test_ink(void **state)
{
	(void)state;
	uint8_t image[PIXELS];
	for (uint32_t i = 0; i < 2000; i++) {
		cop_glyph_draw(3, COP_SPLIT_TRAIN, i, image);
		int bright = 0, border = 0;
		for (int k = 0; k < PIXELS; k++) {
			int x = k % COP_GLYPH_SIDE, y = k / COP_GLYPH_SIDE;
			bright += image[k] > 110;
			border += image[k] > 110 &&
				  (x == 0 || y == 0 || x == COP_GLYPH_SIDE - 1 || y == COP_GLYPH_SIDE - 1);
		}
		assert_in_range(bright, 12, 350);
		assert_in_range(border, 0, 24);
	}
}

/* The nearest mean image tells most digits: they look like themselves, and not all alike. */
static void test_classes_differ(void **state)
{
	(void)state;
	static double mean[COP_GLYPH_CLASSES][PIXELS];
	uint8_t image[PIXELS];
	for (uint32_t i = 0; i < 4000; i++) {
		int label = cop_glyph_draw(1, COP_SPLIT_TRAIN, i, image);
		for (int k = 0; k < PIXELS; k++)
			mean[label][k] += image[k] / 400.0;
	}
	int right = 0;
	for (uint32_t i = 0; i < 1000; i++) {
		int label = cop_glyph_draw(1, COP_SPLIT_TEST, i, image), best = 0;
		double least = 1e30;
		for (int c = 0; c < COP_GLYPH_CLASSES; c++) {
			double d = 0;
			for (int k = 0; k < PIXELS; k++)
				d += (image[k] - mean[c][k]) * (image[k] - mean[c][k]);
			if (d < least) {
				least = d;
				best = c;
			}
		}
		right += best == label;
	}
	assert_in_range(right, 550, 950);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_depends_on_what_it_should),
		cmocka_unit_test(test_ink),
		cmocka_unit_test(test_classes_differ),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
