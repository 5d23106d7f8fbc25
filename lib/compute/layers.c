/* Batch norm, addition and what else lies between convolutions; see backend.h for what each does. */
#include "compute/layers.h"

#include "base/rng.h"
#include "compute/conv_priv.h"

#include <math.h>
#include <string.h>

/* Channels that a thread takes at a time, so that their sums have room beside it. */
enum { CHANNELS = 32 };

static int least(int a, int b)
{
	return a < b ? a : b;
}

/* The two sums of channel c over all parts. */
static void add_parts(const struct cop_sums *s, int channels, int c, double *first, double *second)
{
	*first = *second = 0;
	for (int k = 0; k < s->parts; k++) {
		const float *at = s->part + 2 * ((size_t)k * (size_t)channels + (size_t)c);
		*first += (double)at[0];
		*second += (double)at[1];
	}
}

static void set_affine(const struct cop_normed *out, int c, double mean, double inv, float weight, float bias)
{
	double scale = (double)weight * inv;
	out->mean[c] = (float)mean;
	out->inv[c] = (float)inv;
	out->scale[c] = (float)scale;
	out->shift[c] = (float)((double)bias - mean * scale);
}

/* Not below 0 by rounding. Sums that overflowed become NaN: else the norm would give its bias for whatever it reads,
   and a diverged network would not be seen. */
static double variance(double squares, double off)
{
	double var = squares - off * off;
	return !isfinite(var) ? (double)NAN : var > 0 ? var : 0;
}

void cop_cpu_norm_train(const struct cop_norm *n, const struct cop_sums *sums, const float *weight, const float *bias,
			float *running_mean, float *running_var, const struct cop_normed *out)
{
	for (int c = 0; c < n->c; c++) {
		double first, second;
		add_parts(sums, n->c, c, &first, &second);
		double off = first / n->count, mean = (double)running_mean[c] + off;
		double var = variance(second / n->count, off);
		double unbiased = n->count > 1 ? var * n->count / (n->count - 1) : var;
		set_affine(out, c, mean, 1 / sqrt(var + n->epsilon), weight[c], bias[c]);
		running_mean[c] = (float)((1 - n->momentum) * (double)running_mean[c] + n->momentum * mean);
		running_var[c] = (float)((1 - n->momentum) * (double)running_var[c] + n->momentum * unbiased);
	}
}

void cop_cpu_norm_evaluate(const struct cop_norm *n, const float *weight, const float *bias, const float *running_mean,
			   const float *running_var, const struct cop_normed *out)
{
	for (int c = 0; c < n->c; c++)
		set_affine(out, c, (double)running_mean[c], 1 / sqrt((double)running_var[c] + n->epsilon), weight[c],
			   bias[c]);
}

/* With S = sum g and T = sum g (raw - mean): dbias = S, dweight = inv T, and the gradient of raw is
   weight inv (g - S/count - (raw - mean) inv^2 T/count). */
void cop_cpu_norm_backward(const struct cop_norm *n, const struct cop_sums *sums, const float *weight,
			   const struct cop_normed *of, float *dweight, float *dbias, const struct cop_slopes *out)
{
	for (int c = 0; c < n->c; c++) {
		double s, t, inv = (double)of->inv[c], a = (double)weight[c] * inv;
		add_parts(sums, n->c, c, &s, &t);
		dbias[c] = (float)s;
		dweight[c] = (float)(inv * t);
		out->a[c] = (float)a;
		out->b[c] = (float)(-a * inv * inv * t / n->count);
		out->c[c] = (float)(-a * s / n->count);
	}
}

static int pixels(const struct cop_shape *s)
{
	return s->h * s->w;
}

/* Channels [first, ...) of a pixel as a panel; *at: where in the activation. */
static struct cop_panel panel_of(const struct cop_shape *s, int pixel, int first, int channels, size_t *at)
{
	*at = ((size_t)pixel * (size_t)s->c + (size_t)first) * (size_t)s->ld;
	return (struct cop_panel){
		.rows = least(channels, s->c - first), .cols = s->ld, .valid = s->batch, .ld = (size_t)s->ld};
}

/* Blocks of channels times parts of the pixels: what the layers with sums are cut into. */
struct grid {
	int blocks, parts;
};

static struct grid grid_of(const struct cop_shape *s)
{
	struct grid g = {(s->c + CHANNELS - 1) / CHANNELS, least(pixels(s), 16)};
	return g;
}

void cop_cpu_moments(const struct cop_shape *s, const float *y, const float *about, struct cop_sums *sums)
{
	struct grid g = grid_of(s);
#pragma omp parallel for schedule(static)
	for (int k = 0; k < g.blocks * g.parts; k++) {
		float lanes[CHANNELS * 2 * COP_LANES] = {0};
		int part = k / g.blocks, first = k % g.blocks * CHANNELS;
		struct cop_range r = cop_part(pixels(s), g.parts, part);
		struct cop_panel p = {0};
		for (int i = r.from; i < r.to; i++) {
			size_t at;
			p = panel_of(s, i, first, CHANNELS, &at);
			cop_kernels()->moments(&p, y + at, about + first, lanes);
		}
		cop_store_sums(lanes, p.rows, sums->part + 2 * (size_t)(part * s->c + first));
	}
	sums->parts = g.parts;
}

void cop_cpu_clamp(const struct cop_shape *s, float lo, float hi, float *y)
{
#pragma omp parallel for schedule(static)
	for (int i = 0; i < pixels(s); i++) {
		size_t at;
		struct cop_panel p = panel_of(s, i, 0, s->c, &at);
		cop_kernels()->bias(&p, y + at, NULL, lo, hi);
	}
}

void cop_cpu_copy(const struct cop_shape *s, const struct cop_activation *x, float *y)
{
#pragma omp parallel for schedule(static)
	for (int i = 0; i < pixels(s); i++) {
		size_t at;
		struct cop_panel p = panel_of(s, i, 0, s->c, &at);
		cop_kernels()->read(&p, x->raw + at, &x->as, y + at, p.ld);
	}
}

void cop_cpu_add(const struct cop_shape *s, const struct cop_activation *a, const struct cop_activation *b, float lo,
		 float hi, float *y)
{
#pragma omp parallel for schedule(static)
	for (int i = 0; i < pixels(s); i++) {
		size_t at;
		struct cop_panel p = panel_of(s, i, 0, s->c, &at);
		cop_kernels()->add(&p, a->raw + at, &a->as, b->raw + at, &b->as, lo, hi, y + at);
	}
}

void cop_cpu_slope(const struct cop_shape *s, const struct cop_slope *slope, const float *raw, float *g)
{
#pragma omp parallel for schedule(static)
	for (int i = 0; i < pixels(s); i++) {
		size_t at;
		struct cop_panel p = panel_of(s, i, 0, s->c, &at);
		cop_kernels()->read_slope(&p, g + at, raw + at, slope, g + at, p.ld);
	}
}

void cop_cpu_pass(const struct cop_shape *s, const float *g, const struct cop_sink *to)
{
	struct grid d = grid_of(s);
	bool idle = to->g == g && (!to->last || (!to->cuts && !to->sums));
#pragma omp parallel for schedule(static) if (!idle)
	for (int k = 0; k < (idle ? 0 : d.blocks * d.parts); k++) {
		float lanes[CHANNELS * 2 * COP_LANES] = {0};
		int part = k / d.blocks, first = k % d.blocks * CHANNELS;
		struct cop_range r = cop_part(pixels(s), d.parts, part);
		struct cop_panel p = {0};
		for (int i = r.from; i < r.to; i++) {
			size_t at;
			p = panel_of(s, i, first, CHANNELS, &at);
			if (to->g != g)
				cop_kernels()->copy(&p, g + at, to->g + at, to->add);
			cop_finish_sink(to, &p, first, at, lanes);
		}
		if (to->sums)
			cop_store_sums(lanes, p.rows, to->sums->part + 2 * (size_t)(part * s->c + first));
	}
	if (to->sums)
		to->sums->parts = d.parts;
}

/* Completes a gradient that was written without it. */
static void complete(const struct cop_shape *s, const struct cop_sink *to)
{
	cop_cpu_pass(s, to->g, to);
}

void cop_cpu_flatten(const struct cop_shape *s, const struct cop_activation *x, float *y)
{
	int n = pixels(s);
#pragma omp parallel for schedule(static)
	for (int c = 0; c < s->c; c++)
		for (int i = 0; i < n; i++) {
			size_t at;
			struct cop_panel p = panel_of(s, i, c, 1, &at);
			struct cop_reading as = cop_reading_from(&x->as, c);
			cop_kernels()->read(&p, x->raw + at, &as, y + (size_t)(c * n + i) * p.ld, p.ld);
		}
}

void cop_cpu_flatten_backward(const struct cop_shape *s, const float *dy, const struct cop_sink *dx)
{
	int n = pixels(s);
#pragma omp parallel for schedule(static)
	for (int c = 0; c < s->c; c++)
		for (int i = 0; i < n; i++) {
			size_t at;
			struct cop_panel p = panel_of(s, i, c, 1, &at);
			cop_kernels()->copy(&p, dy + (size_t)(c * n + i) * p.ld, dx->g + at, dx->add);
		}
	complete(s, dx);
}

/* Columns that are worked on at a time where a row needs room of its own. */
enum { COLUMNS = 256 };

/* y, a row of ld images, times 1/(1-rate) or put to 0. A row draws from a stream of its own, in the images' order. */
static void drop_row(const struct cop_shape *s, const struct cop_drop *d, int row, float *y)
{
	struct cop_stream r;
	cop_stream_init(&r, d->seed + ((uint64_t)d->node << 40), COP_PURPOSE_DROPOUT, (uint32_t)d->dials->step,
			(uint32_t)row);
	uint32_t limit = (uint32_t)(d->rate * 4294967296.0);
	float kept = (float)(1 / (1 - d->rate));
	for (int n = 0; n < s->ld; n++)
		y[n] = n < s->batch && cop_stream_u32(&r) >= limit ? y[n] * kept : 0.0f;
}

void cop_cpu_dropout(const struct cop_shape *s, const struct cop_drop *d, const struct cop_activation *x, float *y)
{
	cop_cpu_copy(s, x, y);
#pragma omp parallel for schedule(static)
	for (int row = 0; row < pixels(s) * s->c; row++)
		drop_row(s, d, row, y + (size_t)row * (size_t)s->ld);
}

void cop_cpu_dropout_backward(const struct cop_shape *s, const struct cop_drop *d, float *dy, const struct cop_sink *dx)
{
#pragma omp parallel for schedule(static)
	for (int row = 0; row < pixels(s) * s->c; row++)
		drop_row(s, d, row, dy + (size_t)row * (size_t)s->ld);
	cop_cpu_pass(s, dy, dx);
}

/* The mean over all pixels of channel c and images [from, from + COLUMNS). */
static void mean_of(const struct cop_shape *in, const struct cop_activation *x, int c, int from, float *y)
{
	int n = pixels(in), cols = least(COLUMNS, in->ld - from), valid = least(cols, in->batch - from);
	struct cop_panel p = {.rows = 1, .cols = cols, .valid = valid > 0 ? valid : 0, .ld = (size_t)in->ld};
	struct cop_reading as = cop_reading_from(&x->as, c);
	float row[COLUMNS], *out = y + (size_t)c * p.ld + from;
	memset(out, 0, (size_t)cols * sizeof(*out));
	for (int i = 0; i < n; i++) {
		const float *raw = x->raw + ((size_t)i * (size_t)in->c + (size_t)c) * p.ld + from;
		cop_kernels()->read(&p, raw, &as, row, p.ld);
		cop_kernels()->add_scaled(&p, row, 1.0f / (float)n, out);
	}
}

void cop_cpu_global_pool(const struct cop_shape *in, const struct cop_activation *x, float *y)
{
#pragma omp parallel for schedule(static)
	for (int c = 0; c < in->c; c++)
		for (int from = 0; from < in->ld; from += COLUMNS)
			mean_of(in, x, c, from, y);
}

void cop_cpu_global_pool_backward(const struct cop_shape *in, const float *dy, const struct cop_sink *dx)
{
	int n = pixels(in);
	float scale = 1.0f / (float)n;
#pragma omp parallel for schedule(static)
	for (int i = 0; i < n; i++) {
		size_t at;
		struct cop_panel p = panel_of(in, i, 0, in->c, &at);
		if (!dx->add)
			memset(dx->g + at, 0, (size_t)p.rows * p.ld * sizeof(float));
		cop_kernels()->add_scaled(&p, dy, scale, dx->g + at);
	}
	complete(in, dx);
}

/* One channel at one pixel. */
static void add_channel(const struct cop_shape *s, const struct cop_term *a, const struct cop_term *b, int pixel, int c,
			float lo, float hi, float *y)
{
	const struct cop_term *term[2] = {a, b};
	struct cop_reading as[2];
	const float *raw[2] = {NULL, NULL};
	float constant = 0;
	size_t at;
	struct cop_panel p = panel_of(s, pixel, c, 1, &at);
	for (int k = 0; k < 2; k++) {
		int row = term[k]->row ? term[k]->row[c] : c;
		if (row < 0) {
			constant += term[k]->plane[(size_t)(-1 - row) * (size_t)pixels(s) + (size_t)pixel];
			continue;
		}
		as[k] = cop_reading_from(&term[k]->as.as, row);
		raw[k] = term[k]->as.raw + ((size_t)pixel * (size_t)term[k]->c + (size_t)row) * p.ld;
	}
	if (raw[0] && raw[1]) {
		cop_kernels()->add(&p, raw[0], &as[0], raw[1], &as[1], lo, hi, y + at);
		return;
	}
	if (raw[0] || raw[1])
		cop_kernels()->read(&p, raw[0] ? raw[0] : raw[1], raw[0] ? &as[0] : &as[1], y + at, p.ld);
	else
		memset(y + at, 0, p.ld * sizeof(*y));
	cop_kernels()->bias(&p, y + at, &constant, lo, hi);
}

void cop_cpu_add_terms(const struct cop_shape *s, const struct cop_term *a, const struct cop_term *b, float lo,
		       float hi, float *y)
{
#pragma omp parallel for schedule(static)
	for (int i = 0; i < pixels(s); i++)
		for (int c = 0; c < s->c; c++)
			add_channel(s, a, b, i, c, lo, hi, y);
}

void cop_cpu_pass_some(const struct cop_shape *s, const float *g, const int *channel, int n, const struct cop_sink *to)
{
	struct cop_shape own = *s;
	own.c = n;
	struct grid d = grid_of(&own);
#pragma omp parallel for schedule(static)
	for (int k = 0; k < d.blocks * d.parts; k++) {
		float lanes[CHANNELS * 2 * COP_LANES] = {0};
		int part = k / d.blocks, first = k % d.blocks * CHANNELS, end = least(first + CHANNELS, n);
		struct cop_range r = cop_part(pixels(s), d.parts, part);
		for (int i = r.from; i < r.to; i++)
			for (int c = first; c < end; c++) {
				size_t from, at;
				(void)panel_of(s, i, channel[c], 1, &from);
				struct cop_panel p = panel_of(&own, i, c, 1, &at);
				cop_kernels()->copy(&p, g + from, to->g + at, to->add);
				cop_finish_sink(to, &p, c, at, lanes + (size_t)(c - first) * 2 * COP_LANES);
			}
		if (to->sums)
			cop_store_sums(lanes, end - first, to->sums->part + 2 * (size_t)(part * n + first));
	}
	if (to->sums)
		to->sums->parts = d.parts;
}

/* One row of ld images, some columns at a time; that of the next pixel, `ahead` floats on, is asked for. */
static float image_sum(const struct cop_gradient *dy, const struct cop_slope *as, size_t at, int batch, int ld,
		       size_t ahead)
{
	float row[COLUMNS], lanes[COP_LANES] = {0};
	for (int from = 0; from < ld; from += COLUMNS) {
		int cols = least(COLUMNS, ld - from), valid = least(cols, batch - from);
		struct cop_panel p = {
			.rows = 1, .cols = cols, .valid = valid > 0 ? valid : 0, .ld = COLUMNS, .ahead = ahead};
		size_t first = at + (size_t)from;
		cop_kernels()->read_slope(&p, dy->g + first, as->a ? dy->raw + first : NULL, as, row, COLUMNS);
		cop_kernels()->row_sums(&p, row, lanes);
	}
	return (float)cop_lanes_sum(lanes);
}

void cop_cpu_image_sums(const struct cop_shape *s, const struct cop_gradient *dy, const int *channel, int n,
			float *sums)
{
	int all = pixels(s);
	size_t pixel = (size_t)s->c * (size_t)s->ld;
#pragma omp parallel for schedule(static)
	for (int i = 0; i < all; i++)
		for (int k = 0; k < n; k++) {
			struct cop_slope as = cop_slope_from(&dy->slope, channel[k]);
			size_t at = (size_t)i * pixel + (size_t)channel[k] * (size_t)s->ld;
			sums[(size_t)k * (size_t)all + (size_t)i] = image_sum(dy, &as, at, s->batch, s->ld, pixel);
		}
}
