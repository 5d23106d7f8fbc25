/*
 * Depthwise convolutions: a channel sees itself alone, so there is no product, and the work is bound by loads. Channels
 * are cut into blocks so small that several rows of them stay in the second-level cache; see conv.h for the rest.
 */
#include "compute/conv_priv.h"

#include <math.h>
#include <omp.h>
#include <string.h>

enum { SCRATCH_BYTES = 512 << 10, CHANNELS = 8, TASKS = 16, AHEAD = 12 };

/* Blocks of `channels`, chunks of `cols` images, blocks of `rows` output rows; these two in strips. */
struct cut {
	struct cop_conv d;
	int taps, channels, channel_blocks, cols, chunks, rows, row_blocks, strips;
	size_t pixel, ld, in_rows, out_rows; /* scratch, in floats and rows */
};

bool cop_conv_depthwise(const struct cop_conv *d)
{
	return d->groups == d->in_c && d->out_c == d->in_c && d->in_c > 1;
}

static int least(int a, int b)
{
	return a < b ? a : b;
}

static void size_rows(struct cut *c, bool backward, int rows)
{
	c->rows = rows;
	c->row_blocks = (c->d.out_h + rows - 1) / rows;
	cop_most_rows(&c->d, rows, &c->in_rows, &c->out_rows);
	if (!backward)
		c->out_rows = 0;
}

static size_t panel_floats(const struct cut *c)
{
	return (c->in_rows * (size_t)c->d.in_w + c->out_rows * (size_t)c->d.out_w) * c->pixel;
}

/* Scratch of one thread: panels, then partial sums: two a channel for moments, one for the bias, one a weight. */
static size_t thread_floats(const struct cut *c)
{
	return panel_floats(c) + (size_t)(3 + c->taps) * COP_LANES * (size_t)c->channels;
}

static struct cut cut_of(const struct cop_conv *d, bool backward)
{
	struct cut c = {.d = *d, .taps = d->kernel[0] * d->kernel[1]};
	c.chunks = (d->ld + 191) / 192;
	c.cols = (d->ld / 16 + c.chunks - 1) / c.chunks * 16;
	c.chunks = (d->ld + c.cols - 1) / c.cols;
	c.ld = cop_scratch_ld(c.cols);
	for (c.channels = least(CHANNELS, d->in_c);; c.channels = (c.channels + 1) / 2) {
		c.pixel = (size_t)c.channels * c.ld;
		int rows = d->out_h;
		for (size_rows(&c, backward, rows); rows > 1 && panel_floats(&c) * sizeof(float) > SCRATCH_BYTES;)
			size_rows(&c, backward, --rows);
		if (rows >= least(4, d->out_h) || c.channels == 1)
			break;
	}
	c.channel_blocks = (d->in_c + c.channels - 1) / c.channels;
	int blocks = c.row_blocks * c.chunks;
	c.strips = least(least(blocks, COP_PARTS), (TASKS + c.channel_blocks - 1) / c.channel_blocks);
	return c;
}

size_t cop_depthwise_space(const struct cop_conv *d, bool backward, int threads)
{
	struct cut c = cut_of(d, backward);
	size_t sums = (size_t)c.strips * (size_t)d->in_c * (size_t)(c.taps + 1);
	return sums + (size_t)threads * thread_floats(&c);
}

/* Channels [first, first + rows) of a chunk of images. */
static struct cop_panel panel_of(const struct cut *c, int block, int chunk, int *first)
{
	*first = block * c->channels;
	int from = chunk * c->cols, cols = least(c->cols, c->d.ld - from), left = c->d.batch - from;
	return (struct cop_panel){.rows = least(c->channels, c->d.in_c - *first),
				  .cols = cols,
				  .valid = left < 0 ? 0 : least(cols, left),
				  .ld = (size_t)c->d.ld,
				  .ahead = (size_t)((AHEAD + c->channels - 1) / c->channels * c->d.in_c) *
					   (size_t)c->d.ld};
}

/* Where a pixel's panel lies in an activation of `width` pixels a row. */
static size_t place(const struct cut *c, int y, int x, int width, int first, int chunk)
{
	return ((size_t)(y * width + x) * (size_t)c->d.in_c + (size_t)first) * (size_t)c->d.ld +
	       (size_t)(chunk * c->cols);
}

static struct cop_panels read_input(const struct cut *c, const struct cop_activation *v, const struct cop_panel *p,
				    int first, int chunk, struct cop_range r, float *to)
{
	struct cop_panels all = {to, (int)c->in_rows, c->d.in_w, c->pixel, c->ld};
	struct cop_reading as = cop_reading_from(&v->as, first);
	for (int y = r.from; y < r.to; y++)
		for (int x = 0; x < c->d.in_w; x++)
			cop_kernels()->read(p, v->raw + place(c, y, x, c->d.in_w, first, chunk), &as,
					    to + (size_t)(y % all.slots * c->d.in_w + x) * c->pixel, c->ld);
	return all;
}

static struct cop_panels read_gradient(const struct cut *c, const struct cop_gradient *dy, const struct cop_panel *p,
				       int first, int chunk, struct cop_range r, float *to)
{
	struct cop_panels all = {to, (int)c->out_rows, c->d.out_w, c->pixel, c->ld};
	struct cop_slope s = cop_slope_from(&dy->slope, first);
	for (int y = r.from; y < r.to; y++)
		for (int x = 0; x < c->d.out_w; x++) {
			size_t at = place(c, y, x, c->d.out_w, first, chunk);
			cop_kernels()->read_slope(p, dy->g + at, s.a ? dy->raw + at : NULL, &s,
						  to + (size_t)(y % all.slots * c->d.out_w + x) * c->pixel, c->ld);
		}
	return all;
}

struct forward {
	struct cut c;
	const struct cop_activation *x;
	const float *w;
	const struct cop_output *out;
};

static void forward_block(const struct forward *f, int block, int chunk, struct cop_range rows, float *scratch,
			  struct cop_held *held, float *lanes)
{
	const struct cut *c = &f->c;
	int first;
	struct cop_panel p = panel_of(c, block, chunk, &first);
	struct cop_range seen = cop_to_read(held, chunk, cop_rows_seen(&c->d, rows.from, rows.to));
	struct cop_panels in = read_input(c, f->x, &p, first, chunk, seen, scratch);
	struct cop_taps t;
	for (int y = rows.from; y < rows.to; y++)
		for (int x = 0; x < c->d.out_w; x++) {
			float *out = f->out->y + place(c, y, x, c->d.out_w, first, chunk);
			cop_taps_in(&c->d, &in, y, x, &t);
			cop_kernels()->depthwise(&p, t.n, t.x, c->ld, t.at, f->w + first * c->taps, c->taps, out, 0);
			cop_finish_output(f->out, &p, first, 0, out, lanes);
		}
}

static struct cop_range rows_of(const struct cut *c, int block)
{
	return cop_block_rows(&c->d, c->row_blocks, c->rows, block);
}

static void forward_task(const struct forward *f, int task, float *scratch)
{
	const struct cut *c = &f->c;
	int block = task / c->strips, strip = task % c->strips, first;
	struct cop_range parts = cop_part(c->row_blocks * c->chunks, c->strips, strip);
	struct cop_panel p = panel_of(c, block, 0, &first);
	float *lanes = scratch + panel_floats(c);
	memset(lanes, 0, 2 * COP_LANES * (size_t)p.rows * sizeof(float));
	struct cop_held held = {.chunk = -1};
	for (int k = parts.from; k < parts.to; k++)
		forward_block(f, block, k / c->row_blocks, rows_of(c, k), scratch, &held, lanes);
	if (f->out->sums)
		cop_store_sums(lanes, p.rows, f->out->sums->part + 2 * (size_t)(strip * c->d.in_c + first));
}

void cop_depthwise_forward(const struct cop_conv *d, const struct cop_activation *x, const float *w,
			   const struct cop_output *out, float *space)
{
	struct forward f = {cut_of(d, false), x, w, out};
	size_t each = thread_floats(&f.c);
	int tasks = f.c.channel_blocks * f.c.strips;
#pragma omp parallel for schedule(dynamic)
	for (int k = 0; k < tasks; k++)
		forward_task(&f, k, space + (size_t)omp_get_thread_num() * each);
	if (out->sums)
		out->sums->parts = f.c.strips;
}

struct backward {
	struct cut c;
	const struct cop_gradient *dy;
	const struct cop_activation *x;
	const float *w;
	const struct cop_sink *dx;
	float *dw_part, *db_part; /* (strips, C, taps), (strips, C) */
};

static void backward_data(const struct backward *b, const struct cop_panels *dy, const struct cop_panel *p, int first,
			  int chunk, struct cop_range rows, float *lanes)
{
	const struct cut *c = &b->c;
	struct cop_taps t;
	for (int y = rows.from; y < rows.to; y++)
		for (int x = 0; x < c->d.in_w; x++) {
			size_t at = place(c, y, x, c->d.in_w, first, chunk);
			cop_taps_out(&c->d, dy, y, x, &t);
			cop_kernels()->depthwise(p, t.n, t.x, c->ld, t.at, b->w + first * c->taps, c->taps,
						 b->dx->g + at, b->dx->add);
			cop_finish_sink(b->dx, p, first, at, lanes);
		}
}

/* sums: (channels, taps, COP_LANES), then (channels, COP_LANES) for the bias. */
static void backward_weights(const struct backward *b, const struct cop_panels *dy, const struct cop_panels *in,
			     const struct cop_panel *p, struct cop_range rows, float *sums)
{
	const struct cut *c = &b->c;
	struct cop_panel own = *p;
	own.ld = c->ld;
	struct cop_taps t;
	for (int y = rows.from; y < rows.to; y++)
		for (int x = 0; x < c->d.out_w; x++) {
			const float *d = cop_pixel(dy, y, x);
			cop_taps_in(&c->d, in, y, x, &t);
			cop_kernels()->depthwise_dots(p, t.n, t.x, d, c->ld, t.at, c->taps, sums);
			if (b->db_part)
				cop_kernels()->row_sums(&own, d, sums + c->channels * c->taps * COP_LANES);
		}
}

static void backward_block(const struct backward *b, int block, int chunk, struct cop_range rows, float *scratch,
			   struct cop_held held[2], float *lanes, float *sums)
{
	const struct cut *c = &b->c;
	int first;
	struct cop_panel p = panel_of(c, block, chunk, &first);
	float *in_scratch = scratch + c->out_rows * (size_t)c->d.out_w * c->pixel;
	struct cop_range needed = cop_to_read(&held[0], chunk, cop_rows_needed(&c->d, rows.from, rows.to));
	struct cop_panels dy = read_gradient(c, b->dy, &p, first, chunk, needed, scratch);
	struct cop_range seen = cop_to_read(&held[1], chunk, cop_rows_seen(&c->d, rows.from, rows.to));
	struct cop_panels in = read_input(c, b->x, &p, first, chunk, seen, in_scratch);
	if (b->dx)
		backward_data(b, &dy, &p, first, chunk, cop_rows_owned(&c->d, rows.from, rows.to), lanes);
	backward_weights(b, &dy, &in, &p, rows, sums);
}

static void backward_task(const struct backward *b, int task, float *scratch)
{
	const struct cut *c = &b->c;
	int block = task / c->strips, strip = task % c->strips, first;
	struct cop_range parts = cop_part(c->row_blocks * c->chunks, c->strips, strip);
	struct cop_panel p = panel_of(c, block, 0, &first);
	float *lanes = scratch + panel_floats(c), *sums = lanes + 2 * COP_LANES * c->channels;
	memset(lanes, 0, (size_t)(3 + c->taps) * COP_LANES * (size_t)c->channels * sizeof(float));
	struct cop_held held[2] = {{.chunk = -1}, {.chunk = -1}};
	for (int k = parts.from; k < parts.to; k++)
		backward_block(b, block, k / c->row_blocks, rows_of(c, k), scratch, held, lanes, sums);
	if (b->dx && b->dx->sums)
		cop_store_sums(lanes, p.rows, b->dx->sums->part + 2 * (size_t)(strip * c->d.in_c + first));
	float *dw = b->dw_part + (size_t)(strip * c->d.in_c + first) * (size_t)c->taps;
	for (int i = 0; i < p.rows * c->taps; i++)
		dw[i] = (float)cop_lanes_sum(sums + (size_t)i * COP_LANES);
	for (int i = 0; i < p.rows && b->db_part; i++)
		b->db_part[strip * c->d.in_c + first + i] = (float)cop_lanes_sum(
			sums + (size_t)(c->channels * c->taps + i) * COP_LANES);
}

void cop_depthwise_backward(const struct cop_conv *d, const struct cop_gradient *dy, const struct cop_activation *x,
			    const float *w, const struct cop_sink *dx, float *dw, float *db, float *space)
{
	struct backward b = {cut_of(d, true), dy, x, w, dx, space, NULL};
	int n = d->in_c * b.c.taps, strips = b.c.strips, tasks = b.c.channel_blocks * strips;
	float *next = space + (size_t)strips * (size_t)n;
	b.db_part = db ? next : NULL;
	next += (size_t)strips * (size_t)d->in_c;
	size_t each = thread_floats(&b.c);
#pragma omp parallel for schedule(dynamic)
	for (int k = 0; k < tasks; k++)
		backward_task(&b, k, next + (size_t)omp_get_thread_num() * each);
	cop_add_strips(b.dw_part, strips, n, dw);
	if (db)
		cop_add_strips(b.db_part, strips, d->in_c, db);
	if (dx && dx->sums)
		dx->sums->parts = strips;
}
