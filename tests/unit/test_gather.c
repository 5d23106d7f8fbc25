/*
 * The network's input, value by value: moved and mirrored images bit for bit against the slow way of making them, boxes
 * against bilinear interpolation in float64.
 */
#include "base/mem.h"
#include "base/rng.h"
#include "compute/backend.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { IMAGES = 40, MOST = 48 };

enum kind { STILL, MOVED, BOXED, MIXED, KINDS };
static const char *const kind_names[KINDS] = {"still", "moved", "boxed", "mixed"};

static const float scale[] = {0.01f, 0.3f, 2.0f, 0.5f}, shift[] = {-1, 0.25f, 7, 3};

/* Value (y, x, ch) of a moved image: what lies outside is black. */
static double moved_pixel(const struct cop_image_source *s, const struct cop_pick *p, int y, int x, int ch)
{
	int row = y + p->dy, column = (p->flip ? s->width - 1 - x : x) + p->dx;
	if (row < 0 || row >= s->height || column < 0 || column >= s->width)
		return 0;
	size_t pixel = ((size_t)p->index * (size_t)s->height + (size_t)row) * (size_t)s->width + (size_t)column;
	return s->images[pixel * (size_t)s->channels + (size_t)ch];
}

/* The pixel's place in the box, cut off at its middle rows and columns; then the mean of four. */
static double box_pixel(const struct cop_image_source *s, const struct cop_pick *p, int y, int x, int ch)
{
	const struct cop_box *b = &p->box;
	const struct cop_pick plain = {.index = p->index};
	double v = fmax(((p->flip ? s->width - 1 - x : x) + 0.5) * b->width / s->width - 0.5, 0);
	double u = fmax((y + 0.5) * b->height / s->height - 0.5, 0);
	int top = (int)floor(u), left = (int)floor(v), bottom = top + 1, right = left + 1;
	double du = u - top, dv = v - left;
	bottom = bottom < b->height ? bottom : b->height - 1;
	right = right < b->width ? right : b->width - 1;
#define AT(row, column) moved_pixel(s, &plain, b->top + (row), b->left + (column), ch)
	return (1 - du) * ((1 - dv) * AT(top, left) + dv * AT(top, right)) +
	       du * ((1 - dv) * AT(bottom, left) + dv * AT(bottom, right));
#undef AT
}

static struct cop_pick draw_pick(struct cop_stream *r, const struct cop_image_source *s, enum kind kind)
{
	struct cop_pick p = {.index = cop_stream_below(r, IMAGES)};
	if (kind == STILL || cop_stream_below(r, 4) == 0)
		return p;
	p.flip = cop_stream_below(r, 2);
	if (kind == MOVED || (kind == MIXED && cop_stream_below(r, 2))) {
		p.dy = (int16_t)((int)cop_stream_below(r, 17) - 8);
		p.dx = (int16_t)((int)cop_stream_below(r, 17) - 8);
		return p;
	}
	p.box.height = (uint16_t)(1 + cop_stream_below(r, (uint32_t)s->height));
	p.box.width = (uint16_t)(1 + cop_stream_below(r, (uint32_t)s->width));
	p.box.top = (uint16_t)cop_stream_below(r, (uint32_t)(s->height - p.box.height + 1));
	p.box.left = (uint16_t)cop_stream_below(r, (uint32_t)(s->width - p.box.width + 1));
	return p;
}

static void check_value(const struct cop_image_source *s, const struct cop_pick *p, int y, int x, int c, float got,
			const char *where)
{
	double pixel = p->box.height ? box_pixel(s, p, y, x, c) : moved_pixel(s, p, y, x, c);
	float wanted = (float)pixel * s->scale[c] + s->shift[c];
	double most = p->box.height ? 1e-4 * (double)s->scale[c] : 0;
	if (!(fabs((double)got - (double)wanted) <= most))
		fail_msg("%s: (%d,%d,%d) is %.9g, not %.9g", where, y, x, c, (double)got, (double)wanted);
}

static void check_gather(const struct cop_image_source *s, int batch, enum kind kind, uint32_t seed)
{
	struct cop_pick pick[MOST];
	struct cop_stream r;
	cop_stream_init(&r, seed, COP_PURPOSE_TEST, 1, 0);
	for (int i = 0; i < batch; i++)
		pick[i] = draw_pick(&r, s, kind);
	int ld = cop_leading(&cop_cpu_backend, batch);
	size_t n = (size_t)(s->height * s->width * s->channels * ld);
	float *x = cop_xcalloc(n, sizeof(*x)), *next = x;
	for (size_t i = 0; i < n; i++)
		x[i] = NAN;
	cop_cpu_backend.gather(s, pick, batch, ld, x);
	for (int y = 0; y < s->height; y++)
		for (int k = 0; k < s->width; k++)
			for (int c = 0; c < s->channels; c++, next += ld)
				for (int i = 0; i < ld; i++) {
					char where[96];
					snprintf(where, sizeof(where), "seed %u, %s, %dx%dx%d, image %d of %d", seed,
						 kind_names[kind], s->height, s->width, s->channels, i, batch);
					if (i < batch)
						check_value(s, &pick[i], y, k, c, next[i], where);
					else if (next[i] != 0)
						fail_msg("%s: not 0", where);
				}
	free(x);
}

static void test_gather(void **state)
{
	(void)state;
	const struct {
		int height, width, channels;
	} shape[] = {{7, 9, 1}, {7, 9, 3}, {28, 28, 1}, {5, 70, 3}, {3, 131, 4}, {9, 1, 2}, {1, 1, 1}};
	const int batches[] = {1, 15, 16, 17, 48};
	uint32_t seed = 300;
	for (size_t k = 0; k < sizeof(shape) / sizeof(shape[0]); k++) {
		size_t each = (size_t)(shape[k].height * shape[k].width * shape[k].channels);
		/* its size to the byte, so that a sanitizer sees what reads beyond */
		uint8_t *images = cop_xmalloc(IMAGES * each);
		struct cop_image_source s = {images, shape[k].height, shape[k].width, shape[k].channels, scale, shift};
		struct cop_stream r;
		cop_stream_init(&r, 299 + (uint64_t)k, COP_PURPOSE_TEST, 0, 0);
		for (size_t i = 0; i < IMAGES * each; i++)
			images[i] = (uint8_t)cop_stream_below(&r, 256);
		for (int b = 0; b < 5; b++)
			for (int kind = STILL; kind < KINDS; kind++)
				check_gather(&s, batches[b], kind, seed++);
		free(images);
	}
}

/* A box that is the whole image changes no bit. */
static void test_whole_box(void **state)
{
	(void)state;
	enum { SIDE = 13, F = SIDE * SIDE * 3 };
	static uint8_t images[IMAGES * F];
	static float plain[F * 16], boxed[F * 16];
	struct cop_image_source s = {images, SIDE, SIDE, 3, scale, shift};
	struct cop_pick pick[16];
	struct cop_stream r;
	cop_stream_init(&r, 9, COP_PURPOSE_TEST, 0, 0);
	for (size_t i = 0; i < sizeof(images); i++)
		images[i] = (uint8_t)cop_stream_below(&r, 256);
	for (uint32_t i = 0; i < 16; i++)
		pick[i] = (struct cop_pick){.index = i, .flip = i % 2};
	cop_gather16(&s, pick, 16, 16, plain);
	for (uint32_t i = 0; i < 16; i++)
		pick[i].box = (struct cop_box){.height = SIDE, .width = SIDE};
	cop_gather16(&s, pick, 16, 16, boxed);
	assert_memory_equal(plain, boxed, sizeof(plain));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_gather), cmocka_unit_test(test_whole_box)};
	cop_cpu_set_threads(2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
