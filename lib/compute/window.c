/* Which rows and pixels a window joins, forward and backward; see conv_priv.h. */
#include "compute/conv_priv.h"

#include <math.h>

static int least(int a, int b)
{
	return a < b ? a : b;
}

static int most(int a, int b)
{
	return a > b ? a : b;
}

size_t cop_scratch_ld(int cols)
{
	/* an odd number of cache lines, so that the rows of a tile spread over the sets of the cache */
	return (size_t)(cols > 48 && cols / 16 % 2 == 0 ? cols + 16 : cols);
}

struct cop_range cop_part(int n, int parts, int s)
{
	return (struct cop_range){(int)((long)n * s / parts), (int)((long)n * (s + 1) / parts)};
}

struct cop_range cop_rows_seen(const struct cop_conv *d, int from, int to)
{
	int first = from * d->stride[0] - d->padding[0];
	int last = (to - 1) * d->stride[0] - d->padding[0] + (d->kernel[0] - 1) * d->dilation[0];
	struct cop_range r = {most(first, 0), least(last + 1, d->in_h)};
	return r.from < r.to ? r : (struct cop_range){0, 0};
}

struct cop_range cop_rows_owned(const struct cop_conv *d, int from, int to)
{
	int first = from ? least(from * d->stride[0], d->in_h) : 0;
	return (struct cop_range){first, to == d->out_h ? d->in_h : least(to * d->stride[0], d->in_h)};
}

struct cop_range cop_rows_needed(const struct cop_conv *d, int from, int to)
{
	struct cop_range own = cop_rows_owned(d, from, to), r = {from, to};
	if (own.from >= own.to)
		return r;
	int first = own.from + d->padding[0] - (d->kernel[0] - 1) * d->dilation[0];
	int last = (own.to - 1 + d->padding[0]) / d->stride[0];
	first = first > 0 ? (first + d->stride[0] - 1) / d->stride[0] : 0;
	return (struct cop_range){least(from, first), least(most(to, last + 1), d->out_h)};
}

struct cop_range cop_block_rows(const struct cop_conv *d, int row_blocks, int rows, int block)
{
	int from = block % row_blocks * rows;
	return (struct cop_range){from, least(from + rows, d->out_h)};
}

void cop_most_rows(const struct cop_conv *d, int rows, size_t *seen, size_t *needed)
{
	int in_most = 0, out_most = 0;
	for (int from = 0; from < d->out_h; from += rows) {
		int to = least(from + rows, d->out_h);
		struct cop_range in = cop_rows_seen(d, from, to), out = cop_rows_needed(d, from, to);
		in_most = most(in_most, in.to - in.from);
		out_most = most(out_most, out.to - out.from);
	}
	*seen = (size_t)in_most;
	*needed = (size_t)out_most;
}

struct cop_reading cop_reading_from(const struct cop_reading *r, int first)
{
	struct cop_reading as = *r;
	if (as.scale)
		as.scale += first, as.shift += first;
	return as;
}

struct cop_slope cop_slope_from(const struct cop_slope *s, int first)
{
	if (!s->a)
		return *s;
	return (struct cop_slope){s->a + first, s->b + first, s->c + first, s->mean + first};
}

struct cop_range cop_to_read(struct cop_held *h, int chunk, struct cop_range wanted)
{
	struct cop_range r = wanted;
	if (h->chunk == chunk && h->rows.from <= wanted.from && h->rows.to >= wanted.from)
		r.from = h->rows.to < wanted.to ? h->rows.to : wanted.to;
	h->chunk = chunk;
	h->rows = wanted;
	return r;
}

const float *cop_pixel(const struct cop_panels *p, int y, int x)
{
	return p->base + (size_t)(y % p->slots * p->width + x) * p->pixel;
}

void cop_taps_in(const struct cop_conv *d, const struct cop_panels *p, int y, int x, struct cop_taps *t)
{
	t->n = 0;
	for (int i = 0; i < d->kernel[0]; i++) {
		int iy = y * d->stride[0] - d->padding[0] + i * d->dilation[0];
		if (iy < 0 || iy >= d->in_h)
			continue;
		const float *row = cop_pixel(p, iy, 0);
		for (int j = 0; j < d->kernel[1]; j++) {
			int ix = x * d->stride[1] - d->padding[1] + j * d->dilation[1];
			if (ix < 0 || ix >= d->in_w)
				continue;
			t->x[t->n] = row + (size_t)ix * p->pixel;
			t->at[t->n++] = i * d->kernel[1] + j;
		}
	}
}

void cop_taps_out(const struct cop_conv *d, const struct cop_panels *p, int y, int x, struct cop_taps *t)
{
	t->n = 0;
	for (int i = 0; i < d->kernel[0]; i++) {
		int oy = y + d->padding[0] - i * d->dilation[0];
		if (oy < 0 || oy % d->stride[0] || oy / d->stride[0] >= d->out_h)
			continue;
		const float *row = cop_pixel(p, oy / d->stride[0], 0);
		for (int j = 0; j < d->kernel[1]; j++) {
			int ox = x + d->padding[1] - j * d->dilation[1];
			if (ox < 0 || ox % d->stride[1] || ox / d->stride[1] >= d->out_w)
				continue;
			t->x[t->n] = row + (size_t)(ox / d->stride[1]) * p->pixel;
			t->at[t->n++] = i * d->kernel[1] + j;
		}
	}
}

void cop_store_sums(const float *lanes, int n, float *part)
{
	for (int i = 0; i < 2 * n; i++)
		part[i] = (float)cop_lanes_sum(lanes + (size_t)i * COP_LANES);
}

void cop_add_strips(const float *part, int strips, int n, float *out)
{
	for (int i = 0; i < n; i++) {
		out[i] = part[i];
		for (int s = 1; s < strips; s++)
			out[i] += part[s * n + i];
	}
}

void cop_finish_output(const struct cop_output *o, const struct cop_panel *p, int first, size_t at, float *y,
		       float *lanes)
{
	const float *add = o->base ? o->base + at : o->bias ? o->bias + first : NULL;
	if (add || o->lo > -INFINITY || o->hi < INFINITY)
		cop_kernels()->bias(p, y, add, o->lo, o->hi);
	if (o->sums)
		cop_kernels()->moments(p, y, o->about + first, lanes);
}

void cop_finish_sink(const struct cop_sink *s, const struct cop_panel *p, int first, size_t at, float *lanes)
{
	if (!s->last || (!s->cuts && !s->sums))
		return;
	struct cop_reading as = cop_reading_from(&s->of.as, first);
	cop_kernels()->finish(p, s->g + at, s->of.raw + at, &as, s->mean ? s->mean + first : NULL,
			      s->sums ? lanes : NULL);
}
