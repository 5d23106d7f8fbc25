/*
 * Pools: a tile of some channels and some images is read whole into scratch, and every window is taken from there.
 * Tiles do not touch each other, so that a gradient can be scattered within one.
 */
#include "compute/conv_priv.h"
#include "compute/layers.h"

#include <omp.h>
#include <string.h>

/* The floats that a tile may have, where it does not come to more with one channel of 16 images. */
enum { TILE_MOST = 256 << 10, CHANNELS = 4, COLUMNS = 64 };

static int least(int a, int b)
{
	return a < b ? a : b;
}

/* How the work is cut: `channels` by `cols` images a tile. */
struct cut {
	const struct cop_pool *p;
	struct cop_conv d;
	int channels, cols, channel_blocks, chunks;
	size_t pixel; /* of scratch, in floats */
	float scale;  /* of a mean */
};

static struct cut cut_of(const struct cop_pool *p)
{
	struct cut c = {.p = p, .d = p->window, .channels = least(CHANNELS, p->window.in_c)};
	size_t pixels = (size_t)c.d.in_h * (size_t)c.d.in_w;
	c.cols = least(COLUMNS, c.d.ld);
	while (c.cols > 16 && pixels * (size_t)(c.channels * c.cols) > TILE_MOST)
		c.cols = (c.cols / 2 + 15) / 16 * 16;
	while (c.channels > 1 && pixels * (size_t)(c.channels * c.cols) > TILE_MOST)
		c.channels /= 2;
	c.channel_blocks = (c.d.in_c + c.channels - 1) / c.channels;
	c.chunks = (c.d.ld + c.cols - 1) / c.cols;
	c.pixel = (size_t)(c.channels * c.cols);
	c.scale = 1.0f / (float)(c.d.kernel[0] * c.d.kernel[1]);
	return c;
}

static size_t tile_floats(const struct cut *c)
{
	return (size_t)c->d.in_h * (size_t)c->d.in_w * c->pixel;
}

size_t cop_cpu_pool_space(const struct cop_pool *p, int threads)
{
	struct cut c = cut_of(p);
	return (size_t)threads * tile_floats(&c);
}

/* A tile's channels and images in an activation. */
struct tile {
	int first, from;
	struct cop_panel panel;
};

static struct tile tile_of(const struct cut *c, int number)
{
	struct tile t = {.first = number / c->chunks * c->channels, .from = number % c->chunks * c->cols};
	int left = c->d.batch - t.from, cols = least(c->cols, c->d.ld - t.from);
	t.panel = (struct cop_panel){.rows = least(c->channels, c->d.in_c - t.first),
				     .cols = cols,
				     .valid = left < 0 ? 0 : least(cols, left),
				     .ld = (size_t)c->d.ld};
	return t;
}

/* Where pixel i of the tile lies in an activation. */
static size_t place(const struct cut *c, const struct tile *t, size_t i)
{
	return (i * (size_t)c->d.in_c + (size_t)t->first) * (size_t)c->d.ld + (size_t)t->from;
}

static struct cop_panels read_tile(const struct cut *c, const struct tile *t, const struct cop_activation *x, float *to)
{
	struct cop_reading as = cop_reading_from(&x->as, t->first);
	size_t pixels = (size_t)c->d.in_h * (size_t)c->d.in_w;
	for (size_t i = 0; i < pixels; i++)
		cop_kernels()->read(&t->panel, x->raw + place(c, t, i), &as, to + i * c->pixel, (size_t)c->cols);
	return (struct cop_panels){to, COP_EVERY_ROW, c->d.in_w, c->pixel, (size_t)c->cols};
}

static void pool_tile(const struct cut *c, int number, const struct cop_activation *x, float *y, float *scratch)
{
	struct tile tile = tile_of(c, number);
	struct cop_panels from = read_tile(c, &tile, x, scratch);
	struct cop_taps t;
	for (int i = 0; i < c->d.out_h * c->d.out_w; i++) {
		float *out = y + place(c, &tile, (size_t)i);
		cop_taps_in(&c->d, &from, i / c->d.out_w, i % c->d.out_w, &t);
		if (c->p->max)
			cop_kernels()->pool_max(&tile.panel, t.n, t.x, from.ld, out);
		else
			cop_kernels()->pool_sum(&tile.panel, t.n, t.x, from.ld, c->scale, out);
	}
}

void cop_cpu_pool(const struct cop_pool *p, const struct cop_activation *x, float *y, float *space)
{
	struct cut c = cut_of(p);
#pragma omp parallel for schedule(static)
	for (int k = 0; k < c.channel_blocks * c.chunks; k++)
		pool_tile(&c, k, x, y, space + (size_t)omp_get_thread_num() * tile_floats(&c));
}

/* Scatters the gradient of one output pixel over its window. */
static void scatter(const struct cut *c, const struct tile *tile, const struct cop_taps *t,
		    const struct cop_panels *from, const float *dy, float *g)
{
	float *to[COP_WINDOW_MAX];
	for (int k = 0; k < t->n; k++) {
		to[k] = g + place(c, tile, (size_t)(t->x[k] - from->base) / from->pixel);
		if (!c->p->max)
			cop_kernels()->add_scaled(&tile->panel, dy, c->scale, to[k]);
	}
	if (c->p->max)
		cop_kernels()->pool_max_back(&tile->panel, t->n, t->x, from->ld, dy, to);
}

static void clear_tile(const struct cut *c, const struct tile *t, float *g)
{
	size_t pixels = (size_t)c->d.in_h * (size_t)c->d.in_w;
	for (size_t i = 0; i < pixels; i++)
		for (int r = 0; r < t->panel.rows; r++)
			memset(g + place(c, t, i) + (size_t)r * t->panel.ld, 0, (size_t)t->panel.cols * sizeof(*g));
}

static void pool_tile_backward(const struct cut *c, int number, const struct cop_activation *x, const float *dy,
			       const struct cop_sink *dx, float *scratch)
{
	struct tile tile = tile_of(c, number);
	struct cop_panels from = read_tile(c, &tile, x, scratch);
	struct cop_taps t;
	if (!dx->add)
		clear_tile(c, &tile, dx->g);
	for (int i = 0; i < c->d.out_h * c->d.out_w; i++) {
		cop_taps_in(&c->d, &from, i / c->d.out_w, i % c->d.out_w, &t);
		scatter(c, &tile, &t, &from, dy + place(c, &tile, (size_t)i), dx->g);
	}
}

void cop_cpu_pool_backward(const struct cop_pool *p, const struct cop_activation *x, const float *dy,
			   const struct cop_sink *dx, float *space)
{
	struct cut c = cut_of(p);
#pragma omp parallel for schedule(static)
	for (int k = 0; k < c.channel_blocks * c.chunks; k++)
		pool_tile_backward(&c, k, x, dy, dx, space + (size_t)omp_get_thread_num() * tile_floats(&c));
	struct cop_shape in = {c.d.in_c, c.d.in_h, c.d.in_w, c.d.batch, c.d.ld};
	cop_cpu_pass(&in, dx->g, dx);
}
