/* Convolutions; see conv.h. */
#include "compute/conv.h"

#include "compute/conv_cut.h"

#include <omp.h>
#include <string.h>

enum { DOTS_COLUMNS = 768 /* of one call of dots */ };

static int least(int a, int b)
{
	return a < b ? a : b;
}

static int most(int a, int b)
{
	return a > b ? a : b;
}

static size_t packed_forward(const struct cop_cut *c)
{
	return (size_t)c->d.groups * (size_t)c->out_blocks * (size_t)c->taps * (size_t)c->in_g * COP_ROWS;
}

static size_t packed_backward(const struct cop_cut *c)
{
	return (size_t)c->d.groups * (size_t)c->in_blocks * (size_t)c->taps * (size_t)c->out_g * COP_ROWS;
}

size_t cop_conv_space(const struct cop_conv *d, bool backward, int threads)
{
	if (cop_conv_depthwise(d))
		return cop_depthwise_space(d, backward, threads);
	if (d->sparse)
		return cop_conv_sparse_space(d, backward, threads);
	struct cop_cut c = backward ? cop_cut_backward(d) : cop_cut_forward(d);
	size_t shared = packed_forward(&c);
	if (backward)
		shared = packed_backward(&c) + shared * (size_t)(c.whole ? 1 : c.strips) +
			 (size_t)COP_PARTS * (size_t)d->out_c + (c.whole ? cop_cut_panels(&c) : 0);
	return shared + (size_t)threads * cop_cut_scratch(&c) + 64;
}

/* w (out_c, in_g, taps) into blocks of eight output channels, (group, block, tap, in_g, 8), padded with 0. */
static void pack_forward(const struct cop_cut *c, const float *w, float *to)
{
	int blocks = c->d.groups * c->out_blocks, taps = c->taps, in = c->in_g;
#pragma omp parallel for schedule(static) if (packed_forward(c) > 16384)
	for (int b = 0; b < blocks; b++) {
		int group = b / c->out_blocks, first = b % c->out_blocks * COP_ROWS;
		int rows = least(COP_ROWS, c->out_g - first);
		const float *from = w + (size_t)(group * c->out_g + first) * (size_t)(in * taps);
		float *at = to + (size_t)b * (size_t)(taps * in * COP_ROWS);
		for (int t = 0; t < taps; t++)
			for (int k = 0; k < in; k++, at += COP_ROWS)
				for (int r = 0; r < COP_ROWS; r++)
					at[r] = r < rows ? from[(size_t)(r * in + k) * (size_t)taps + (size_t)t] : 0;
	}
}

/* ... and into blocks of eight input channels, (group, block, tap, out_g, 8). */
static void pack_backward(const struct cop_cut *c, const float *w, float *to)
{
	int blocks = c->d.groups * c->in_blocks, taps = c->taps, in = c->in_g;
#pragma omp parallel for schedule(static) if (packed_backward(c) > 16384)
	for (int b = 0; b < blocks; b++) {
		int group = b / c->in_blocks, first = b % c->in_blocks * COP_ROWS;
		int rows = least(COP_ROWS, in - first);
		const float *from = w + ((size_t)(group * c->out_g) * (size_t)in + (size_t)first) * (size_t)taps;
		float *at = to + (size_t)b * (size_t)(taps * c->out_g * COP_ROWS);
		for (int t = 0; t < taps; t++)
			for (int o = 0; o < c->out_g; o++, at += COP_ROWS)
				for (int r = 0; r < COP_ROWS; r++)
					at[r] = r < rows ? from[(size_t)(o * in + r) * (size_t)taps + (size_t)t] : 0;
	}
}

/*
 * One pixel's product, 48 columns at a time so that the panels' columns stay in the first-level cache while the blocks
 * of rows go by. Of each group of `rows_g` rows, blocks [from, to).
 */
static void pixel_product(const struct cop_cut *c, const struct cop_taps *t, const float *packed, int depth,
			  size_t x_group, size_t ldx, int rows_g, int from, int to, int cols, float *out, bool add)
{
	size_t ldo = (size_t)c->d.ld, block = (size_t)c->taps * (size_t)depth * COP_ROWS;
	int blocks = cop_up_rows(rows_g) / COP_ROWS;
	const float *w[COP_WINDOW_MAX];
	for (int k = 0; k < t->n; k++)
		w[k] = packed + (size_t)t->at[k] * (size_t)depth * COP_ROWS;
	for (int g = 0; g < c->d.groups; g++)
		for (int n = 0; n < cols; n += 48)
			for (int b = from; b < to; b++)
				cop_kernels()->product(t->n, t->x, (size_t)g * x_group + (size_t)n, ldx, w,
						       (size_t)(g * blocks + b) * block, depth,
						       least(COP_ROWS, rows_g - b * COP_ROWS), least(48, cols - n),
						       out + (size_t)(g * rows_g + b * COP_ROWS) * ldo + n, ldo, add);
}

/* The channels of blocks [from, to) of each group: a panel, from channel *first on. One group, or all blocks. */
static struct cop_panel channels_of(const struct cop_cut *c, int chunk, int rows_g, int from, int to, int *first)
{
	int end = c->d.groups > 1 ? rows_g * c->d.groups : least(to * COP_ROWS, rows_g);
	*first = c->d.groups > 1 ? 0 : from * COP_ROWS;
	return cop_cut_panel(c, end - *first, chunk);
}

struct forward {
	struct cop_cut c;
	const struct cop_activation *x;
	const float *packed;
	const struct cop_output *out;
};

static void forward_rows(const struct forward *f, int chunk, struct cop_range rows, int from, int to, float *scratch,
			 struct cop_held *held, float *lanes)
{
	const struct cop_cut *c = &f->c;
	struct cop_panels p = cop_cut_input(c, f->x, chunk, cop_rows_seen(&c->d, rows.from, rows.to), scratch, held);
	int first;
	struct cop_panel out = channels_of(c, chunk, c->out_g, from, to, &first);
	struct cop_taps t;
	for (int y = rows.from; y < rows.to; y++)
		for (int x = 0; x < c->d.out_w; x++) {
			float *at = f->out->y + (size_t)(y * c->d.out_w + x) * (size_t)c->d.out_c * out.ld +
				    (size_t)(chunk * c->cols);
			cop_taps_in(&c->d, &p, y, x, &t);
			pixel_product(c, &t, f->packed, c->in_g, (size_t)c->in_g * p.ld, p.ld, c->out_g, from, to,
				      out.cols, at, false);
			at += (size_t)first * out.ld;
			cop_finish_output(f->out, &out, first,
					  (size_t)(y * c->d.out_w + x) * (size_t)c->d.out_c + (size_t)first, at, lanes);
		}
}

static void forward_task(const struct forward *f, int strip, int split, float *scratch)
{
	const struct cop_cut *c = &f->c;
	struct cop_range blocks = cop_part(c->row_blocks * c->chunks, c->strips, strip);
	struct cop_range rows = cop_part(c->out_blocks, c->splits, split);
	float *lanes = scratch + cop_cut_panels(c);
	int first;
	struct cop_panel out = channels_of(c, 0, c->out_g, rows.from, rows.to, &first);
	if (f->out->sums)
		memset(lanes, 0, (size_t)out.rows * 2 * COP_LANES * sizeof(float));
	struct cop_held held = {.chunk = -1};
	for (int b = blocks.from; b < blocks.to; b++)
		forward_rows(f, b / c->row_blocks, cop_cut_rows(c, b), rows.from, rows.to, scratch, &held, lanes);
	if (f->out->sums)
		cop_store_sums(lanes, out.rows,
			       f->out->sums->part + 2 * ((size_t)strip * (size_t)c->d.out_c + (size_t)first));
}

void cop_conv_forward(const struct cop_conv *d, const struct cop_activation *x, const float *w,
		      const struct cop_output *out, float *space)
{
	if (cop_conv_depthwise(d)) {
		cop_depthwise_forward(d, x, w, out, space);
		return;
	}
	if (d->sparse) {
		cop_conv_sparse_forward(d, x, w, out, space);
		return;
	}
	struct forward f = {cop_cut_forward(d), x, space, out};
	pack_forward(&f.c, w, space);
	float *scratch = space + packed_forward(&f.c);
	size_t each = cop_cut_scratch(&f.c);
	int tasks = f.c.strips * f.c.splits;
#pragma omp parallel for schedule(dynamic)
	for (int k = 0; k < tasks; k++)
		forward_task(&f, k / f.c.splits, k % f.c.splits, scratch + (size_t)omp_get_thread_num() * each);
	if (out->sums)
		out->sums->parts = f.c.strips;
}

struct backward {
	struct cop_cut c;
	const struct cop_gradient *dy;
	const struct cop_activation *x;
	const struct cop_sink *dx;
	const float *packed;
	float *dw_part, *db_part; /* (strips, packed_forward), (strips, out_c) or NULL */
};

/* The gradient of input rows [rows.from, rows.to), channel blocks [from, to). */
static void backward_data(const struct backward *b, const struct cop_panels *p, int chunk, struct cop_range rows,
			  int from, int to, float *lanes)
{
	const struct cop_cut *c = &b->c;
	const struct cop_sink *s = b->dx;
	int first;
	struct cop_panel in = channels_of(c, chunk, c->in_g, from, to, &first);
	struct cop_taps t;
	for (int y = rows.from; y < rows.to; y++)
		for (int x = 0; x < c->d.in_w; x++) {
			size_t at = (size_t)(y * c->d.in_w + x) * (size_t)c->d.in_c * in.ld + (size_t)(chunk * c->cols);
			cop_taps_out(&c->d, p, y, x, &t);
			pixel_product(c, &t, b->packed, c->out_g, (size_t)cop_up_rows(c->out_g) * p->ld, p->ld, c->in_g,
				      from, to, in.cols, s->g + at, s->add);
			cop_finish_sink(s, &in, first, at + (size_t)first * in.ld, lanes);
		}
}

/* Runs of one tap over some output rows: at most `room` pixels; *at says where to go on, and becomes -1 at the end. */
static int tap_runs(const struct cop_conv *d, const struct cop_panels *dy, const struct cop_panels *x,
		    struct cop_range rows, int tap, int room, int *at, const float **from_dy, const float **from_x)
{
	int i = tap / d->kernel[1], j = tap % d->kernel[1], n = 0, k = *at, end = (rows.to - rows.from) * d->out_w;
	for (; k < end && n < room; k++) {
		int oy = rows.from + k / d->out_w, ox = k % d->out_w;
		int iy = oy * d->stride[0] - d->padding[0] + i * d->dilation[0];
		int ix = ox * d->stride[1] - d->padding[1] + j * d->dilation[1];
		if (iy < 0 || iy >= d->in_h || ix < 0 || ix >= d->in_w)
			continue;
		from_dy[n] = cop_pixel(dy, oy, ox);
		from_x[n++] = cop_pixel(x, iy, ix);
	}
	*at = k < end ? k : -1;
	return n;
}

/* The weights' sums over output rows, for blocks [from, to) of output channels of each group; into a packed `dw`. */
static void backward_weights(const struct cop_cut *c, const struct cop_panels *dy, const struct cop_panels *x,
			     struct cop_range rows, int cols, int from, int to, float *dw)
{
	enum { ROOM = DOTS_COLUMNS / 16 };
	const float *a[ROOM], *b[ROOM];
	int room = most(1, DOTS_COLUMNS / cols);
	size_t tap_size = (size_t)(c->in_g * COP_ROWS), padded = (size_t)cop_up_rows(c->out_g);
	for (int tap = 0; tap < c->taps; tap++)
		for (int at = 0; at >= 0;) {
			int n = tap_runs(&c->d, dy, x, rows, tap, room, &at, a, b);
			if (!n)
				continue;
			for (int g = 0; g < c->d.groups; g++)
				for (int k = from; k < to; k++)
					cop_kernels()->dots(
						n, a, ((size_t)g * padded + (size_t)(k * COP_ROWS)) * dy->ld, dy->ld, b,
						(size_t)(g * c->in_g) * x->ld, x->ld, c->in_g, cols,
						dw + ((size_t)(g * c->out_blocks + k) * (size_t)c->taps + (size_t)tap) *
								tap_size);
		}
}

static void backward_strip(const struct backward *b, int strip, float *scratch)
{
	const struct cop_cut *c = &b->c;
	struct cop_range blocks = cop_part(c->row_blocks * c->chunks, c->strips, strip);
	size_t packed = packed_forward(c), channels = (size_t)most(c->d.in_c, c->d.out_c);
	float *x_scratch = scratch + c->out_rows * (size_t)c->d.out_w * c->out_pixel,
	      *lanes = scratch + cop_cut_panels(c);
	float *dw = b->dw_part + (size_t)strip * packed, *db = lanes + 2 * COP_LANES * channels;
	memset(lanes, 0, 3 * COP_LANES * channels * sizeof(float));
	memset(dw, 0, packed * sizeof(float));
	struct cop_held dy_held = {.chunk = -1}, x_held = dy_held;
	for (int k = blocks.from; k < blocks.to; k++) {
		int chunk = k / c->row_blocks, cols = cop_cut_panel(c, 1, chunk).cols;
		struct cop_range rows = cop_cut_rows(c, k);
		struct cop_panels dy = cop_cut_gradient(c, b->dy, chunk, cop_rows_needed(&c->d, rows.from, rows.to),
							scratch, &dy_held);
		struct cop_panels x = cop_cut_input(c, b->x, chunk, cop_rows_seen(&c->d, rows.from, rows.to), x_scratch,
						    &x_held);
		if (b->dx)
			backward_data(b, &dy, chunk, cop_rows_owned(&c->d, rows.from, rows.to), 0, c->in_blocks, lanes);
		backward_weights(c, &dy, &x, rows, cols, 0, c->out_blocks, dw);
		if (b->db_part)
			cop_cut_bias(c, &dy, rows, cols, db);
	}
	if (b->dx && b->dx->sums)
		cop_store_sums(lanes, c->d.in_c, b->dx->sums->part + 2 * (size_t)strip * (size_t)c->d.in_c);
	for (int i = 0; i < c->d.out_c && b->db_part; i++)
		b->db_part[strip * c->d.out_c + i] = (float)cop_lanes_sum(db + (size_t)i * COP_LANES);
}

/* Everything read at once, in parallel: rows of the gradient first, then rows of the input. */
static void read_whole(const struct backward *b, float *dy_to, float *x_to, struct cop_panels *dy, struct cop_panels *x)
{
	const struct cop_cut *c = &b->c;
	bool ready = cop_cut_lies_ready(c, b->x);
	int rows = c->d.out_h + (ready ? 0 : (int)c->in_rows);
#pragma omp parallel for schedule(static)
	for (int k = 0; k < rows; k++) {
		int i = k - c->d.out_h;
		struct cop_held none = {.chunk = -1};
		if (i < 0)
			cop_cut_gradient(c, b->dy, 0, (struct cop_range){k, k + 1}, dy_to, &none);
		else
			cop_cut_input(c, b->x, 0, (struct cop_range){i, i + 1}, x_to, &none);
	}
	struct cop_held all = {0, {0, (int)c->in_rows}}, all_dy = {0, {0, c->d.out_h}};
	*dy = cop_cut_gradient(c, b->dy, 0, all_dy.rows, dy_to, &all_dy);
	*x = cop_cut_input(c, b->x, 0, all.rows, x_to, &all);
}

/* One task of the input's gradient: some of its rows, some of its channels. */
static void whole_data(const struct backward *b, const struct cop_panels *dy, int task, float *lanes)
{
	const struct cop_cut *c = &b->c;
	int strip = task / c->splits, first;
	struct cop_range rows = cop_part(c->d.in_h, c->strips, strip);
	struct cop_range blocks = cop_part(c->in_blocks, c->splits, task % c->splits);
	struct cop_panel in = channels_of(c, 0, c->in_g, blocks.from, blocks.to, &first);
	memset(lanes, 0, 2 * COP_LANES * (size_t)in.rows * sizeof(float));
	backward_data(b, dy, 0, rows, blocks.from, blocks.to, lanes);
	if (b->dx->sums)
		cop_store_sums(lanes, in.rows, b->dx->sums->part + 2 * (size_t)(strip * c->d.in_c + first));
}

static void whole_weights(const struct backward *b, const struct cop_panels *dy, const struct cop_panels *x, int block)
{
	const struct cop_cut *c = &b->c;
	size_t size = (size_t)c->taps * (size_t)c->in_g * COP_ROWS;
	for (int g = 0; g < c->d.groups; g++)
		memset(b->dw_part + (size_t)(g * c->out_blocks + block) * size, 0, size * sizeof(float));
	backward_weights(c, dy, x, (struct cop_range){0, c->d.out_h}, c->d.ld, block, block + 1, b->dw_part);
}

static void backward_whole(const struct backward *b, float *shared, float *scratch, size_t each)
{
	const struct cop_cut *c = &b->c;
	struct cop_panels dy, x;
	read_whole(b, shared, shared + c->out_rows * (size_t)c->d.out_w * c->out_pixel, &dy, &x);
	int data = b->dx ? c->strips * c->splits : 0;
#pragma omp parallel for schedule(dynamic)
	for (int k = 0; k < data + c->out_blocks; k++) {
		if (k < data)
			whole_data(b, &dy, k, scratch + (size_t)omp_get_thread_num() * each);
		else
			whole_weights(b, &dy, &x, k - data);
	}
	if (!b->db_part)
		return;
	float *sums = scratch;
	memset(sums, 0, (size_t)c->d.out_c * COP_LANES * sizeof(float));
	cop_cut_bias(c, &dy, (struct cop_range){0, c->d.out_h}, c->d.ld, sums);
	for (int i = 0; i < c->d.out_c; i++)
		b->db_part[i] = (float)cop_lanes_sum(sums + (size_t)i * COP_LANES);
}

/* Adds up the strips' sums, in their order, into dw (out_c, in_g, taps). */
static void unpack_weights(const struct cop_cut *c, int strips, float *part, float *dw)
{
	size_t packed = packed_forward(c), size = (size_t)c->taps * (size_t)c->in_g * COP_ROWS;
	int taps = c->taps, in = c->in_g;
#pragma omp parallel for schedule(static) if (packed * (size_t)strips > 16384)
	for (int b = 0; b < c->d.groups * c->out_blocks; b++) {
		float *sum = part + (size_t)b * size;
		for (int s = 1; s < strips; s++)
			for (size_t i = 0; i < size; i++)
				sum[i] += sum[(size_t)s * packed + i];
		int first = b % c->out_blocks * COP_ROWS, rows = least(COP_ROWS, c->out_g - first);
		float *to = dw + (size_t)(b / c->out_blocks * c->out_g + first) * (size_t)(in * taps);
		for (int r = 0; r < rows; r++)
			for (int k = 0; k < in; k++)
				for (int t = 0; t < taps; t++)
					*to++ = sum[(size_t)(t * in + k) * COP_ROWS + (size_t)r];
	}
}

void cop_conv_backward(const struct cop_conv *d, const struct cop_gradient *dy, const struct cop_activation *x,
		       const float *w, const struct cop_sink *dx, float *dw, float *db, float *space)
{
	if (cop_conv_depthwise(d)) {
		cop_depthwise_backward(d, dy, x, w, dx, dw, db, space);
		return;
	}
	if (d->sparse) {
		cop_conv_sparse_backward(d, dy, x, w, dx, dw, db, space);
		return;
	}
	struct backward b = {.c = cop_cut_backward(d), .dy = dy, .x = x, .dx = dx, .packed = space};
	int strips = b.c.whole ? 1 : b.c.strips;
	pack_backward(&b.c, w, space);
	b.dw_part = space + packed_backward(&b.c);
	float *next = b.dw_part + packed_forward(&b.c) * (size_t)strips;
	b.db_part = db ? next : NULL;
	next += (size_t)COP_PARTS * (size_t)d->out_c;
	float *scratch = next + (b.c.whole ? cop_cut_panels(&b.c) : 0);
	size_t each = cop_cut_scratch(&b.c);
	if (b.c.whole) {
		backward_whole(&b, next, scratch, each);
	} else {
#pragma omp parallel for schedule(dynamic)
		for (int s = 0; s < strips; s++)
			backward_strip(&b, s, scratch + (size_t)omp_get_thread_num() * each);
	}
	unpack_weights(&b.c, strips, b.dw_part, dw);
	if (db)
		cop_add_strips(b.db_part, strips, d->out_c, db);
	if (dx && dx->sums)
		dx->sums->parts = b.c.strips;
}
