/*
 * Convolutions whose weights are the survivors of a mask: the work of a pixel is one multiplication of a vector for
 * each of them that its window holds. Forward and backward the sums of an output row stay in registers over all its
 * entries; the weights' gradient is a dot product for each survivor and no other. See conv.h for the rest.
 */
#include "compute/conv_cut.h"

#include <omp.h>
#include <string.h>

enum {
	GROUP = 448,  /* survivors whose running sums are kept at once: they stay in the first-level cache */
	ROW_COST = 4, /* a row's own work, storing and summing it, in survivors */
	ROOM = GROUP + COP_ROWS
};
_Static_assert(ROOM *COP_LANES >= COP_ROWS * COP_CUT_COLUMNS, "watched rows have room where the running sums have");

static int most(int a, int b)
{
	return a > b ? a : b;
}

static int least(int a, int b)
{
	return a < b ? a : b;
}

/* Scratch of a thread, and of the running sums; forward, of rows that are only watched. */
static size_t thread_floats(const struct cop_cut *c)
{
	return cop_cut_scratch(c) + ROOM * COP_LANES;
}

size_t cop_conv_sparse_space(const struct cop_conv *d, bool backward, int threads)
{
	struct cop_cut c = backward ? cop_cut_backward(d) : cop_cut_forward(d);
	size_t shared = 0;
	if (backward)
		shared = (size_t)c.strips * (size_t)(d->sparse->count + d->out_c);
	return shared + (size_t)threads * thread_floats(&c) + 64;
}

/* The panels of a window's taps, NULL for those that lie outside of the image. */
static void spread(const struct cop_taps *t, int taps, const float **x)
{
	for (int k = 0; k < taps; k++)
		x[k] = NULL;
	for (int k = 0; k < t->n; k++)
		x[t->at[k]] = t->x[k];
}

/* Channels `r` of a chunk. */
static struct cop_panel panel_of(const struct cop_cut *c, int chunk, struct cop_range r)
{
	return cop_cut_panel(c, r.to - r.from, chunk);
}

struct forward {
	struct cop_cut c;
	const struct cop_activation *x;
	const float *w;
	const struct cop_output *out;
};

/* Of the output, and those that are only watched. */
static int row_count(const struct forward *f)
{
	return f->c.d.out_c + f->c.d.sparse->watched;
}

/* Rows of one pixel that go to memory: [r.from, r.to), all of them below out_c. */
static void write_rows(const struct forward *f, const struct cop_panels *p, const float *const *tap, int chunk,
		       size_t pixel, struct cop_range r, float *lanes)
{
	const struct cop_cut *c = &f->c;
	const struct cop_sparse *s = c->d.sparse;
	struct cop_panel out = panel_of(c, chunk, r);
	float *to = f->out->y + (pixel * (size_t)c->d.out_c + (size_t)r.from) * out.ld + (size_t)(chunk * c->cols);
	cop_kernels()->sparse_product(s->out, s->out_begin + r.from, out.rows, tap, p->ld, f->w, out.cols, to, out.ld,
				      false);
	cop_finish_output(f->out, &out, r.from, pixel * (size_t)row_count(f) + (size_t)r.from, to, lanes);
}

/* Rows of which only the sums are wanted, some at a time into `scratch`. */
static void watch_rows(const struct forward *f, const struct cop_panels *p, const float *const *tap, int chunk,
		       size_t pixel, struct cop_range r, float *scratch, float *lanes)
{
	const struct cop_sparse *s = f->c.d.sparse;
	for (int from = r.from; from < r.to; from += COP_ROWS, lanes += 2 * COP_LANES * COP_ROWS) {
		struct cop_range some = {from, from + COP_ROWS < r.to ? from + COP_ROWS : r.to};
		struct cop_panel out = panel_of(&f->c, chunk, some);
		out.ld = (size_t)f->c.cols;
		cop_kernels()->sparse_product(s->out, s->out_begin + from, out.rows, tap, p->ld, f->w, out.cols,
					      scratch, out.ld, false);
		cop_finish_output(f->out, &out, from, pixel * (size_t)row_count(f) + (size_t)from, scratch, lanes);
	}
}

static void forward_rows(const struct forward *f, int chunk, struct cop_range rows, struct cop_range channels,
			 float *scratch, struct cop_held *held, float *lanes)
{
	const struct cop_cut *c = &f->c;
	struct cop_panels p = cop_cut_input(c, f->x, chunk, cop_rows_seen(&c->d, rows.from, rows.to), scratch, held);
	struct cop_range write = {channels.from, least(channels.to, c->d.out_c)};
	struct cop_range watch = {most(channels.from, c->d.out_c), channels.to};
	float *watch_lanes = lanes + 2 * COP_LANES * (size_t)(watch.from - channels.from);
	const float *tap[COP_WINDOW_MAX];
	struct cop_taps t;
	for (int y = rows.from; y < rows.to; y++)
		for (int x = 0; x < c->d.out_w; x++) {
			size_t pixel = (size_t)(y * c->d.out_w + x);
			cop_taps_in(&c->d, &p, y, x, &t);
			spread(&t, c->taps, tap);
			if (write.from < write.to)
				write_rows(f, &p, tap, chunk, pixel, write, lanes);
			if (watch.from < watch.to)
				watch_rows(f, &p, tap, chunk, pixel, watch, scratch + cop_cut_scratch(c), watch_lanes);
		}
}

static void forward_task(const struct forward *f, int strip, int split, float *scratch)
{
	const struct cop_cut *c = &f->c;
	const struct cop_sparse *s = c->d.sparse;
	int all = f->out->sums ? row_count(f) : c->d.out_c;
	struct cop_range blocks = cop_part(c->row_blocks * c->chunks, c->strips, strip);
	struct cop_range channels = cop_sparse_part(s->out_begin, all, ROW_COST, c->splits, split);
	int n = channels.to - channels.from;
	float *lanes = scratch + cop_cut_panels(c);
	if (f->out->sums)
		memset(lanes, 0, (size_t)n * 2 * COP_LANES * sizeof(float));
	struct cop_held held = {.chunk = -1};
	for (int b = blocks.from; b < blocks.to; b++)
		forward_rows(f, b / c->row_blocks, cop_cut_rows(c, b), channels, scratch, &held, lanes);
	if (f->out->sums)
		cop_store_sums(lanes, n,
			       f->out->sums->part + 2 * ((size_t)strip * (size_t)all + (size_t)channels.from));
}

void cop_conv_sparse_forward(const struct cop_conv *d, const struct cop_activation *x, const float *w,
			     const struct cop_output *out, float *space)
{
	struct forward f = {cop_cut_forward(d), x, w, out};
	size_t each = thread_floats(&f.c);
	int tasks = f.c.strips * f.c.splits;
#pragma omp parallel for schedule(dynamic)
	for (int k = 0; k < tasks; k++)
		forward_task(&f, k / f.c.splits, k % f.c.splits, space + (size_t)omp_get_thread_num() * each);
	if (out->sums)
		out->sums->parts = f.c.strips;
}

struct backward {
	struct cop_cut c;
	const struct cop_gradient *dy;
	const struct cop_activation *x;
	const struct cop_sink *dx;
	const float *w;
	float *dw_part, *db_part; /* (strips, survivors), (strips, out_c) or NULL */
};

/* The gradient of input rows, for some channels. */
static void backward_data(const struct backward *b, const struct cop_panels *p, int chunk, struct cop_range rows,
			  struct cop_range channels, float *lanes)
{
	const struct cop_cut *c = &b->c;
	const struct cop_sparse *s = c->d.sparse;
	struct cop_panel in = panel_of(c, chunk, channels);
	const float *tap[COP_WINDOW_MAX];
	struct cop_taps t;
	for (int y = rows.from; y < rows.to; y++)
		for (int x = 0; x < c->d.in_w; x++) {
			size_t pixel = (size_t)(y * c->d.in_w + x) * (size_t)c->d.in_c + (size_t)channels.from;
			size_t at = pixel * in.ld + (size_t)(chunk * c->cols);
			cop_taps_out(&c->d, p, y, x, &t);
			spread(&t, c->taps, tap);
			cop_kernels()->sparse_product(s->in, s->in_begin + channels.from, in.rows, tap, p->ld, b->w,
						      in.cols, b->dx->g + at, in.ld, b->dx->add);
			cop_finish_sink(b->dx, &in, channels.from, at, lanes);
		}
}

/* The next rows from `from` on of one group of channels, whose survivors are GROUP at most or which is one row. */
static int group_end(const struct cop_sparse *s, int from, int to)
{
	int out_g = s->out_c / s->groups, end = from + 1, border = (from / out_g + 1) * out_g;
	to = to < border ? to : border;
	while (end < to && s->out_begin[end + 1] - s->out_begin[from] <= GROUP)
		end++;
	return end;
}

/* Sums over output rows for survivors [begin[0], begin[rows]) of `rows` channels from `first` on; GROUP at most. */
static void dots_of(const struct backward *b, const struct cop_panels *dy, const struct cop_panels *x,
		    struct cop_range rows, int cols, int first, const int *begin, int channels, float *sums, float *dw)
{
	const struct cop_cut *c = &b->c;
	const struct cop_sparse *s = c->d.sparse;
	const float *tap[COP_WINDOW_MAX];
	struct cop_taps t;
	int count = begin[channels] - begin[0];
	size_t row = (size_t)(first / c->out_g * cop_up_rows(c->out_g) + first % c->out_g);
	memset(sums, 0, (size_t)count * COP_LANES * sizeof(float));
	for (int oy = rows.from; oy < rows.to; oy++)
		for (int ox = 0; ox < c->d.out_w; ox++) {
			cop_taps_in(&c->d, x, oy, ox, &t);
			spread(&t, c->taps, tap);
			cop_kernels()->sparse_dots(s->out, begin, channels, cop_pixel(dy, oy, ox) + row * dy->ld,
						   dy->ld, tap, x->ld, cols, sums);
		}
	cop_kernels()->add_sums(sums, count, dw + begin[0]);
}

static void backward_weights(const struct backward *b, const struct cop_panels *dy, const struct cop_panels *x,
			     struct cop_range rows, int cols, struct cop_range channels, float *sums, float *dw)
{
	const struct cop_sparse *s = b->c.d.sparse;
	for (int from = channels.from, end; from < channels.to; from = end) {
		end = group_end(s, from, channels.to);
		if (s->out_begin[end] - s->out_begin[from] <= GROUP) {
			dots_of(b, dy, x, rows, cols, from, s->out_begin + from, end - from, sums, dw);
			continue;
		}
		/* one long row, a piece at a time */
		for (int k = s->out_begin[from]; k < s->out_begin[end]; k += GROUP) {
			int left = s->out_begin[end] - k, piece[2] = {k, k + (left < GROUP ? left : GROUP)};
			dots_of(b, dy, x, rows, cols, from, piece, 1, sums, dw);
		}
	}
}

static void backward_task(const struct backward *b, int strip, int split, float *scratch)
{
	const struct cop_cut *c = &b->c;
	const struct cop_sparse *s = c->d.sparse;
	struct cop_range blocks = cop_part(c->row_blocks * c->chunks, c->strips, strip);
	struct cop_range in = cop_sparse_part(s->in_begin, s->in_c, ROW_COST, c->splits, split);
	struct cop_range out = cop_sparse_part(s->out_begin, s->out_c, 0, c->splits, split);
	size_t channels = (size_t)most(c->d.in_c, c->d.out_c);
	float *x_scratch = scratch + c->out_rows * (size_t)c->d.out_w * c->out_pixel;
	float *lanes = scratch + cop_cut_panels(c), *db = lanes + 2 * COP_LANES * channels;
	float *sums = scratch + cop_cut_scratch(c), *dw = b->dw_part + (size_t)strip * (size_t)s->count;
	memset(lanes, 0, 3 * COP_LANES * channels * sizeof(float));
	memset(dw + s->out_begin[out.from], 0, (size_t)(s->out_begin[out.to] - s->out_begin[out.from]) * sizeof(float));
	struct cop_held dy_held = {.chunk = -1}, x_held = dy_held;
	for (int k = blocks.from; k < blocks.to; k++) {
		int chunk = k / c->row_blocks, cols = panel_of(c, chunk, in).cols;
		struct cop_range rows = cop_cut_rows(c, k);
		struct cop_panels dy = cop_cut_gradient(c, b->dy, chunk, cop_rows_needed(&c->d, rows.from, rows.to),
							scratch, &dy_held);
		struct cop_panels x = cop_cut_input(c, b->x, chunk, cop_rows_seen(&c->d, rows.from, rows.to), x_scratch,
						    &x_held);
		if (b->dx)
			backward_data(b, &dy, chunk, cop_rows_owned(&c->d, rows.from, rows.to), in, lanes);
		backward_weights(b, &dy, &x, rows, cols, out, sums, dw);
		if (b->db_part && split == 0)
			cop_cut_bias(c, &dy, rows, cols, db);
	}
	if (b->dx && b->dx->sums)
		cop_store_sums(lanes, in.to - in.from, b->dx->sums->part + 2 * (size_t)(strip * c->d.in_c + in.from));
	for (int i = 0; i < c->d.out_c && b->db_part && split == 0; i++)
		b->db_part[strip * c->d.out_c + i] = (float)cop_lanes_sum(db + (size_t)i * COP_LANES);
}

void cop_conv_sparse_backward(const struct cop_conv *d, const struct cop_gradient *dy, const struct cop_activation *x,
			      const float *w, const struct cop_sink *dx, float *dw, float *db, float *space)
{
	struct backward b = {.c = cop_cut_backward(d), .dy = dy, .x = x, .dx = dx, .w = w, .dw_part = space};
	int strips = b.c.strips, tasks = strips * b.c.splits;
	b.c.biased = db != NULL;
	float *next = space + (size_t)strips * (size_t)d->sparse->count;
	b.db_part = db ? next : NULL;
	next += (size_t)strips * (size_t)d->out_c;
	size_t each = thread_floats(&b.c);
#pragma omp parallel for schedule(dynamic)
	for (int k = 0; k < tasks; k++)
		backward_task(&b, k / b.c.splits, k % b.c.splits, next + (size_t)omp_get_thread_num() * each);
	cop_add_strips(b.dw_part, strips, d->sparse->count, dw);
	if (db)
		cop_add_strips(b.db_part, strips, d->out_c, db);
	if (dx && dx->sums)
		dx->sums->parts = strips;
}
