/*
 * The boxes of resized_crop: drawn as torchvision draws them, distributed as they should be, and belonging to (seed,
 * epoch, image) alone.
 */
#include "base/mem.h"
#include "base/rng.h"
#include "nn/batches.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 4000 };

static struct cop_data make_data(int height, int width, double scale_min, bool flip)
{
	struct cop_data d = {.info = {.height = height, .width = width, .channels = 3},
			     .resized_crop = true,
			     .scale_min = scale_min,
			     .flip = flip};
	d.labels[0] = cop_xcalloc(N, sizeof(int32_t));
	d.train = (struct cop_part){.labels = d.labels[0], .index = cop_xcalloc(N, sizeof(uint32_t)), .n = N};
	for (uint32_t i = 0; i < N; i++)
		d.train.index[i] = i;
	return d;
}

/* All of an epoch's picks, by image. */
static struct cop_pick *draw(const struct cop_data *d, uint64_t order, uint64_t seed, int64_t epoch, int batch)
{
	struct cop_pick *pick = cop_xcalloc(N, sizeof(*pick)), *by_image = cop_xcalloc(N, sizeof(*pick));
	int32_t *label = cop_xcalloc(N, sizeof(*label));
	struct cop_shuffle o;
	cop_shuffle_init(&o, d, order, seed);
	for (int64_t at = 0; at < N / batch; at++)
		cop_shuffle_batch(&o, epoch, at, batch, pick + at * batch, label);
	for (int i = 0; i < N; i++)
		by_image[pick[i].index] = pick[i];
	cop_shuffle_release(&o);
	free(label);
	free(pick);
	return by_image;
}

/* torchvision's RandomResizedCrop.get_params, word for word but for the source of the numbers. */
static struct cop_box reference(struct cop_stream *s, int height, int width, double scale_min)
{
	struct cop_box b;
	for (int tries = 0; tries < 10; tries++) {
		double target = height * width * (scale_min + cop_stream_uniform(s) * (1 - scale_min));
		double low = log(3. / 4.), high = log(4. / 3.);
		double aspect = exp(low + cop_stream_uniform(s) * (high - low));
		long w = lrint(sqrt(target * aspect)), h = lrint(sqrt(target / aspect));
		if (0 < w && w <= width && 0 < h && h <= height) {
			b.height = (uint16_t)h;
			b.width = (uint16_t)w;
			b.top = (uint16_t)cop_stream_below(s, (uint32_t)(height - h + 1));
			b.left = (uint16_t)cop_stream_below(s, (uint32_t)(width - w + 1));
			return b;
		}
	}
	double ratio = (double)width / height;
	long w = width, h = height;
	if (ratio < 3. / 4.)
		h = lrint(w / (3. / 4.));
	else if (ratio > 4. / 3.)
		w = lrint(h * (4. / 3.));
	return (struct cop_box){(uint16_t)((height - h) / 2), (uint16_t)((width - w) / 2), (uint16_t)h, (uint16_t)w};
}

static void test_boxes(void **state)
{
	(void)state;
	const struct {
		int height, width;
		double scale_min;
	} shape[] = {{64, 64, 0.08}, {32, 32, 0.25}, {28, 20, 0.5}, {10, 40, 0.9},
		     {40, 10, 0.95}, {12, 12, 1.0},  {1, 1, 0.08},  {1, 9, 0.001}};
	for (uint64_t k = 0; k < sizeof(shape) / sizeof(shape[0]); k++) {
		int h = shape[k].height, w = shape[k].width, flips = 0;
		struct cop_data d = make_data(h, w, shape[k].scale_min, true);
		struct cop_pick *pick = draw(&d, 1, 50 + k, 3, 40);
		for (uint32_t i = 0; i < N; i++) {
			struct cop_stream s;
			const struct cop_box *b = &pick[i].box;
			cop_stream_init(&s, 50 + k, COP_PURPOSE_AUGMENT, 3, i);
			struct cop_box wanted = reference(&s, h, w, shape[k].scale_min);
			bool flip = cop_stream_below(&s, 2);
			if (memcmp(b, &wanted, sizeof(wanted)) != 0 || pick[i].flip != flip)
				fail_msg("seed %d, image %u: another box", 50 + (int)k, i);
			assert_true(b->height >= 1 && b->width >= 1 && b->top + b->height <= h &&
				    b->left + b->width <= w && !pick[i].dy && !pick[i].dx);
			flips += flip;
		}
		assert_true(abs(flips - N / 2) < 4 * sqrt(N) / 2);
		free(pick);
		cop_data_release(&d);
	}
}

/* Means over 4000 boxes, with bars of five standard errors or what rounding adds. */
static void test_distribution(void **state)
{
	(void)state;
	enum { SIDE = 1000 };
	struct cop_data d = make_data(SIDE, SIDE, 0.08, false);
	struct cop_pick *pick = draw(&d, 1, 9, 0, 100);
	double area = 0, low = 1, high = 0, shape = 0, widest = 0, place = 0, small = 0;
	for (int i = 0; i < N; i++) {
		const struct cop_box *b = &pick[i].box;
		double a = (double)b->height * b->width / SIDE / SIDE, r = log((double)b->width / b->height);
		area += a / N;
		low = fmin(low, a);
		high = fmax(high, a);
		shape += r / N;
		widest = fmax(widest, fabs(r));
		place += (b->top + 0.5) / (SIDE - b->height + 1) / N;
		small += a < 0.3 ? 1.0 / N : 0;
	}
	/* below an area of 3/4 every shape fits; above, more and more are drawn again */
	assert_true(low >= 0.0795 && low < 0.09 && high <= 1 && high > 0.95);
	assert_true(area > 0.48 && area < 0.54);
	assert_true(small > 0.22 / 0.92 * 0.95 && small < 0.22 / 0.92 * 1.25);
	assert_true(fabs(shape) < 5 * 0.166 / sqrt(N) && widest > 0.28 && widest < log(4.0 / 3) + 0.005);
	assert_true(fabs(place - 0.5) < 5 * 0.29 / sqrt(N));
	free(pick);
	cop_data_release(&d);
}

static int same_boxes(const struct cop_pick *a, const struct cop_pick *b)
{
	int same = 0;
	for (int i = 0; i < N; i++)
		same += memcmp(&a[i].box, &b[i].box, sizeof(a[i].box)) == 0 && a[i].flip == b[i].flip;
	return same;
}

static void test_whose(void **state)
{
	(void)state;
	struct cop_data d = make_data(64, 64, 0.08, true);
	struct cop_pick *pick = draw(&d, 1, 2, 0, 100),
			*other[] = {draw(&d, 99, 2, 0, 8), draw(&d, 1, 3, 0, 100), draw(&d, 1, 2, 1, 100)};
	assert_int_equal(same_boxes(pick, other[0]), N);
	assert_true(same_boxes(pick, other[1]) < N / 100);
	assert_true(same_boxes(pick, other[2]) < N / 100);
	for (int k = 0; k < 3; k++)
		free(other[k]);
	free(pick);
	cop_data_release(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_boxes), cmocka_unit_test(test_distribution),
					   cmocka_unit_test(test_whose)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
