/* Convolutions; see conv.h. */
#include "compute/conv.h"

#include "compute/conv_priv.h"

#include <math.h>
#include <omp.h>
#include <string.h>

/* Scratch that a thread reads into, and that should stay in its second-level cache; columns of one call of dots. */
enum {
	FORWARD_BYTES = 448 << 10,
	BACKWARD_BYTES = 640 << 10,
	DOTS_COLUMNS = 768,
	SPLIT = 64,
	TASKS = 16,
	STRIPS = 16,
	AHEAD = 12
};

/* How a convolution is cut: images into chunks of `cols`, output rows into blocks of `rows`, blocks into strips. */
struct cut {
	struct cop_conv d;                            /* with a pointwise convolution's pixels in one column of rows */
	int taps, in_g, out_g, in_blocks, out_blocks; /* of a group: channels, and blocks of COP_ROWS channels */
	int cols, chunks, rows, row_blocks, strips, splits;
	bool pointwise;             /* a row of the output sees the same row of the input, and no other */
	bool whole;                 /* everything is read into shared scratch at once, and shared out by channels */
	size_t in_pixel, out_pixel; /* scratch floats of a pixel: inputs, gradients of outputs */
	size_t in_rows, out_rows;   /* most rows of scratch that a block needs */
};

static int up8(int n)
{
	return (n + COP_ROWS - 1) / COP_ROWS * COP_ROWS;
}

static int least(int a, int b)
{
	return a < b ? a : b;
}

static int most(int a, int b)
{
	return a > b ? a : b;
}

/* Pixels an odd number of cache lines apart: the same rows of all of them do not fall upon a few sets of the cache. */
static size_t odd_lines(size_t floats)
{
	return floats / 16 % 2 ? floats : floats + 16;
}

static void size_scratch(struct cut *c, bool backward, int cols, int rows)
{
	size_t ld = cop_scratch_ld(cols);
	c->cols = cols;
	c->rows = rows;
	c->chunks = (c->d.ld + cols - 1) / cols;
	c->row_blocks = (c->d.out_h + rows - 1) / rows;
	c->in_pixel = odd_lines((size_t)c->d.in_c * ld);
	c->out_pixel = odd_lines((size_t)up8(c->out_g) * (size_t)c->d.groups * ld);
	/* looking at every block of a large image takes a good part of the time of the product */
	if (c->pointwise)
		c->in_rows = c->out_rows = (size_t)rows;
	else
		cop_most_rows(&c->d, rows, &c->in_rows, &c->out_rows);
	if (!backward)
		c->out_rows = 0;
}

static size_t panel_floats(const struct cut *c)
{
	return c->in_rows * (size_t)c->d.in_w * c->in_pixel + c->out_rows * (size_t)c->d.out_w * c->out_pixel;
}

/* The most images a chunk whose scratch fits, and then the most rows a block that leave enough tasks. */
static void choose_block(struct cut *c, bool backward, size_t bytes)
{
	for (int chunks = 1; chunks <= c->d.ld / 16; chunks++) {
		int cols = (c->d.ld / 16 + chunks - 1) / chunks * 16;
		size_scratch(c, backward, cols, 1);
		if (cols <= 192 && panel_floats(c) * sizeof(float) <= bytes)
			break;
	}
	for (int rows = c->rows + 1; rows <= c->d.out_h; rows++) {
		struct cut more = *c;
		size_scratch(&more, backward, c->cols, rows);
		if (panel_floats(&more) * sizeof(float) > bytes || more.row_blocks * more.chunks < TASKS)
			break;
		*c = more;
	}
}

static struct cut begin_cut(const struct cop_conv *d)
{
	struct cut c = {.d = *d, .taps = d->kernel[0] * d->kernel[1]};
	if (c.taps == 1 && d->stride[0] == 1 && d->stride[1] == 1 && d->padding[0] == 0 && d->padding[1] == 0) {
		c.pointwise = true;
		c.d.in_h = c.d.out_h = d->in_h * d->in_w;
		c.d.in_w = c.d.out_w = 1;
	}
	c.in_g = d->in_c / d->groups;
	c.out_g = d->out_c / d->groups;
	c.in_blocks = up8(c.in_g) / COP_ROWS;
	c.out_blocks = up8(c.out_g) / COP_ROWS;
	return c;
}

/* Into how many parts the channels can be shared out; those of several groups are not. */
static int most_splits(const struct cut *c, int blocks)
{
	return c->d.groups > 1 ? 1 : most(blocks * COP_ROWS / SPLIT, 1);
}

static struct cut cut_forward(const struct cop_conv *d)
{
	struct cut c = begin_cut(d);
	choose_block(&c, false, FORWARD_BYTES);
	c.strips = least(c.row_blocks * c.chunks, STRIPS);
	c.splits = least((TASKS + c.strips - 1) / c.strips, most_splits(&c, c.out_blocks));
	return c;
}

/*
 * Each strip has sums of its own for the weights' gradient. Where a strip would have too few columns to be worth them,
 * everything is read first, and the work is shared out by channels instead.
 */
static struct cut cut_backward(const struct cop_conv *d)
{
	struct cut c = begin_cut(d);
	long columns = (long)c.d.out_h * c.d.out_w * c.d.ld;
	int worth = (int)(columns / 256 < STRIPS ? columns / 256 : STRIPS);
	if (worth < 4) {
		size_scratch(&c, true, c.d.ld, c.d.out_h);
		c.whole = true;
		c.strips = least(c.d.in_h, COP_PARTS);
		c.splits = most_splits(&c, c.in_blocks);
		return c;
	}
	choose_block(&c, true, BACKWARD_BYTES);
	c.strips = least(c.row_blocks * c.chunks, worth);
	c.splits = 1;
	return c;
}

static size_t packed_forward(const struct cut *c)
{
	return (size_t)c->d.groups * (size_t)c->out_blocks * (size_t)c->taps * (size_t)c->in_g * COP_ROWS;
}

static size_t packed_backward(const struct cut *c)
{
	return (size_t)c->d.groups * (size_t)c->in_blocks * (size_t)c->taps * (size_t)c->out_g * COP_ROWS;
}

/* Scratch of one thread: panels, then COP_LANES partial sums a channel, three of them. */
static size_t thread_floats(const struct cut *c)
{
	return (c->whole ? 0 : panel_floats(c)) + 3 * COP_LANES * (size_t)most(c->d.in_c, c->d.out_c);
}

size_t cop_conv_space(const struct cop_conv *d, bool backward, int threads)
{
	if (cop_conv_depthwise(d))
		return cop_depthwise_space(d, backward, threads);
	struct cut c = backward ? cut_backward(d) : cut_forward(d);
	size_t shared = packed_forward(&c);
	if (backward)
		shared = packed_backward(&c) + shared * (size_t)(c.whole ? 1 : c.strips) +
			 (size_t)COP_PARTS * (size_t)d->out_c + (c.whole ? panel_floats(&c) : 0);
	return shared + (size_t)threads * thread_floats(&c) + 64;
}

/* w (out_c, in_g, taps) into blocks of eight output channels, (group, block, tap, in_g, 8), padded with 0. */
static void pack_forward(const struct cut *c, const float *w, float *to)
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
static void pack_backward(const struct cut *c, const float *w, float *to)
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

/* Whether the value can be used where it lies: nothing to be done on the way, and no columns to be cleared. */
static bool lies_ready(const struct cut *c, const struct cop_activation *x)
{
	return !x->as.scale && x->as.lo == -INFINITY && x->as.hi == INFINITY && c->d.batch == c->d.ld;
}

/* Behind the last channel of a pixel comes the first of the next: rows ahead are always ld floats apart. */
static struct cop_panel panel_of(const struct cut *c, int channels, int chunk)
{
	int first = chunk * c->cols, cols = least(c->cols, c->d.ld - first);
	return (struct cop_panel){.rows = channels,
				  .cols = cols,
				  .valid = most(0, least(cols, c->d.batch - first)),
				  .ld = (size_t)c->d.ld,
				  .ahead = AHEAD * (size_t)c->d.ld};
}

/* Rows `wanted` of a chunk's input: where they lie, or read into `scratch`, which holds some of them already. */
static struct cop_panels input_panels(const struct cut *c, const struct cop_activation *x, int chunk,
				      struct cop_range wanted, float *scratch, struct cop_held *held)
{
	size_t in_memory = (size_t)c->d.in_c * (size_t)c->d.ld, ld = cop_scratch_ld(c->cols);
	const float *raw = x->raw + (size_t)(chunk * c->cols);
	if (lies_ready(c, x))
		return (struct cop_panels){raw, COP_EVERY_ROW, c->d.in_w, in_memory, (size_t)c->d.ld};
	struct cop_panel p = panel_of(c, c->d.in_c, chunk);
	struct cop_range r = cop_to_read(held, chunk, wanted);
	int slots = (int)c->in_rows;
	for (int y = r.from; y < r.to; y++)
		for (int k = 0; k < c->d.in_w; k++)
			cop_kernels()->read(&p, raw + (size_t)(y * c->d.in_w + k) * in_memory, &x->as,
					    scratch + (size_t)(y % slots * c->d.in_w + k) * c->in_pixel, ld);
	return (struct cop_panels){scratch, slots, c->d.in_w, c->in_pixel, ld};
}

/* Rows of the output's gradient, each group's channels padded with zeros to a multiple of eight. */
static void read_gradient(const struct cut *c, const struct cop_gradient *dy, int chunk, int y, int x, float *to)
{
	struct cop_panel p = panel_of(c, c->out_g, chunk);
	size_t ld = cop_scratch_ld(c->cols), row = (size_t)c->d.ld;
	size_t at = (size_t)(y * c->d.out_w + x) * (size_t)c->d.out_c * row + (size_t)(chunk * c->cols);
	int padded = up8(c->out_g);
	for (int g = 0; g < c->d.groups; g++, to += (size_t)padded * ld) {
		int first = g * c->out_g;
		struct cop_slope s = cop_slope_from(&dy->slope, first);
		cop_kernels()->read_slope(&p, dy->g + at + (size_t)first * row,
					  s.a ? dy->raw + at + (size_t)first * row : NULL, &s, to, ld);
		memset(to + (size_t)c->out_g * ld, 0, (size_t)(padded - c->out_g) * ld * sizeof(float));
	}
}

static struct cop_panels gradient_panels(const struct cut *c, const struct cop_gradient *dy, int chunk,
					 struct cop_range wanted, float *scratch, struct cop_held *held)
{
	struct cop_range r = cop_to_read(held, chunk, wanted);
	int slots = (int)c->out_rows;
	for (int y = r.from; y < r.to; y++)
		for (int x = 0; x < c->d.out_w; x++)
			read_gradient(c, dy, chunk, y, x,
				      scratch + (size_t)(y % slots * c->d.out_w + x) * c->out_pixel);
	return (struct cop_panels){scratch, slots, c->d.out_w, c->out_pixel, cop_scratch_ld(c->cols)};
}

/*
 * One pixel's product, 48 columns at a time so that the panels' columns stay in the first-level cache while the blocks
 * of rows go by. Of each group of `rows_g` rows, blocks [from, to).
 */
static void pixel_product(const struct cut *c, const struct cop_taps *t, const float *packed, int depth, size_t x_group,
			  size_t ldx, int rows_g, int from, int to, int cols, float *out, bool add)
{
	size_t ldo = (size_t)c->d.ld, block = (size_t)c->taps * (size_t)depth * COP_ROWS;
	int blocks = up8(rows_g) / COP_ROWS;
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
static struct cop_panel channels_of(const struct cut *c, int chunk, int rows_g, int from, int to, int *first)
{
	int end = c->d.groups > 1 ? rows_g * c->d.groups : least(to * COP_ROWS, rows_g);
	*first = c->d.groups > 1 ? 0 : from * COP_ROWS;
	return panel_of(c, end - *first, chunk);
}

struct forward {
	struct cut c;
	const struct cop_activation *x;
	const float *packed;
	const struct cop_output *out;
};

static void forward_rows(const struct forward *f, int chunk, struct cop_range rows, int from, int to, float *scratch,
			 struct cop_held *held, float *lanes)
{
	const struct cut *c = &f->c;
	struct cop_panels p = input_panels(c, f->x, chunk, cop_rows_seen(&c->d, rows.from, rows.to), scratch, held);
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
			cop_finish_output(f->out, &out, first, at, lanes);
		}
}

static struct cop_range block_rows(const struct cut *c, int block)
{
	return cop_block_rows(&c->d, c->row_blocks, c->rows, block);
}

static void forward_task(const struct forward *f, int strip, int split, float *scratch)
{
	const struct cut *c = &f->c;
	struct cop_range blocks = cop_part(c->row_blocks * c->chunks, c->strips, strip);
	struct cop_range rows = cop_part(c->out_blocks, c->splits, split);
	float *lanes = scratch + panel_floats(c);
	int first;
	struct cop_panel out = channels_of(c, 0, c->out_g, rows.from, rows.to, &first);
	if (f->out->sums)
		memset(lanes, 0, (size_t)out.rows * 2 * COP_LANES * sizeof(float));
	struct cop_held held = {.chunk = -1};
	for (int b = blocks.from; b < blocks.to; b++)
		forward_rows(f, b / c->row_blocks, block_rows(c, b), rows.from, rows.to, scratch, &held, lanes);
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
	struct forward f = {cut_forward(d), x, space, out};
	pack_forward(&f.c, w, space);
	float *scratch = space + packed_forward(&f.c);
	size_t each = thread_floats(&f.c);
	int tasks = f.c.strips * f.c.splits;
#pragma omp parallel for schedule(dynamic)
	for (int k = 0; k < tasks; k++)
		forward_task(&f, k / f.c.splits, k % f.c.splits, scratch + (size_t)omp_get_thread_num() * each);
	if (out->sums)
		out->sums->parts = f.c.strips;
}

struct backward {
	struct cut c;
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
	const struct cut *c = &b->c;
	const struct cop_sink *s = b->dx;
	int first;
	struct cop_panel in = channels_of(c, chunk, c->in_g, from, to, &first);
	struct cop_taps t;
	for (int y = rows.from; y < rows.to; y++)
		for (int x = 0; x < c->d.in_w; x++) {
			size_t at = (size_t)(y * c->d.in_w + x) * (size_t)c->d.in_c * in.ld + (size_t)(chunk * c->cols);
			cop_taps_out(&c->d, p, y, x, &t);
			pixel_product(c, &t, b->packed, c->out_g, (size_t)up8(c->out_g) * p->ld, p->ld, c->in_g, from,
				      to, in.cols, s->g + at, s->add);
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
static void backward_weights(const struct cut *c, const struct cop_panels *dy, const struct cop_panels *x,
			     struct cop_range rows, int cols, int from, int to, float *dw)
{
	enum { ROOM = DOTS_COLUMNS / 16 };
	const float *a[ROOM], *b[ROOM];
	int room = most(1, DOTS_COLUMNS / cols);
	size_t tap_size = (size_t)(c->in_g * COP_ROWS), padded = (size_t)up8(c->out_g);
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

/* Sums of the output's gradient over rows, for the bias: sums (out_c, COP_LANES). */
static void bias_sums(const struct cut *c, const struct cop_panels *dy, struct cop_range rows, int cols, float *sums)
{
	struct cop_panel p = {.rows = c->out_g, .cols = cols, .valid = cols, .ld = dy->ld};
	for (int y = rows.from; y < rows.to; y++)
		for (int x = 0; x < c->d.out_w; x++)
			for (int g = 0; g < c->d.groups; g++)
				cop_kernels()->row_sums(&p, cop_pixel(dy, y, x) + (size_t)(g * up8(c->out_g)) * dy->ld,
							sums + (size_t)(g * c->out_g) * COP_LANES);
}

static void backward_strip(const struct backward *b, int strip, float *scratch)
{
	const struct cut *c = &b->c;
	struct cop_range blocks = cop_part(c->row_blocks * c->chunks, c->strips, strip);
	size_t packed = packed_forward(c), channels = (size_t)most(c->d.in_c, c->d.out_c);
	float *x_scratch = scratch + c->out_rows * (size_t)c->d.out_w * c->out_pixel,
	      *lanes = scratch + panel_floats(c);
	float *dw = b->dw_part + (size_t)strip * packed, *db = lanes + 2 * COP_LANES * channels;
	memset(lanes, 0, 3 * COP_LANES * channels * sizeof(float));
	memset(dw, 0, packed * sizeof(float));
	struct cop_held dy_held = {.chunk = -1}, x_held = dy_held;
	for (int k = blocks.from; k < blocks.to; k++) {
		int chunk = k / c->row_blocks, cols = panel_of(c, 1, chunk).cols;
		struct cop_range rows = block_rows(c, k);
		struct cop_panels dy = gradient_panels(c, b->dy, chunk, cop_rows_needed(&c->d, rows.from, rows.to),
						       scratch, &dy_held);
		struct cop_panels x = input_panels(c, b->x, chunk, cop_rows_seen(&c->d, rows.from, rows.to), x_scratch,
						   &x_held);
		if (b->dx)
			backward_data(b, &dy, chunk, cop_rows_owned(&c->d, rows.from, rows.to), 0, c->in_blocks, lanes);
		backward_weights(c, &dy, &x, rows, cols, 0, c->out_blocks, dw);
		if (b->db_part)
			bias_sums(c, &dy, rows, cols, db);
	}
	if (b->dx && b->dx->sums)
		cop_store_sums(lanes, c->d.in_c, b->dx->sums->part + 2 * (size_t)strip * (size_t)c->d.in_c);
	for (int i = 0; i < c->d.out_c && b->db_part; i++)
		b->db_part[strip * c->d.out_c + i] = (float)cop_lanes_sum(db + (size_t)i * COP_LANES);
}

/* Everything read at once, in parallel: rows of the gradient first, then rows of the input. */
static void read_whole(const struct backward *b, float *dy_to, float *x_to, struct cop_panels *dy, struct cop_panels *x)
{
	const struct cut *c = &b->c;
	bool ready = lies_ready(c, b->x);
	int rows = c->d.out_h + (ready ? 0 : (int)c->in_rows);
#pragma omp parallel for schedule(static)
	for (int k = 0; k < rows; k++) {
		int i = k - c->d.out_h;
		struct cop_held none = {.chunk = -1};
		if (i < 0)
			gradient_panels(c, b->dy, 0, (struct cop_range){k, k + 1}, dy_to, &none);
		else
			input_panels(c, b->x, 0, (struct cop_range){i, i + 1}, x_to, &none);
	}
	struct cop_held all = {0, {0, (int)c->in_rows}}, all_dy = {0, {0, c->d.out_h}};
	*dy = gradient_panels(c, b->dy, 0, all_dy.rows, dy_to, &all_dy);
	*x = input_panels(c, b->x, 0, all.rows, x_to, &all);
}

/* One task of the input's gradient: some of its rows, some of its channels. */
static void whole_data(const struct backward *b, const struct cop_panels *dy, int task, float *lanes)
{
	const struct cut *c = &b->c;
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
	const struct cut *c = &b->c;
	size_t size = (size_t)c->taps * (size_t)c->in_g * COP_ROWS;
	for (int g = 0; g < c->d.groups; g++)
		memset(b->dw_part + (size_t)(g * c->out_blocks + block) * size, 0, size * sizeof(float));
	backward_weights(c, dy, x, (struct cop_range){0, c->d.out_h}, c->d.ld, block, block + 1, b->dw_part);
}

static void backward_whole(const struct backward *b, float *shared, float *scratch, size_t each)
{
	const struct cut *c = &b->c;
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
	bias_sums(c, &dy, (struct cop_range){0, c->d.out_h}, c->d.ld, sums);
	for (int i = 0; i < c->d.out_c; i++)
		b->db_part[i] = (float)cop_lanes_sum(sums + (size_t)i * COP_LANES);
}

/* Adds up the strips' sums, in their order, into dw (out_c, in_g, taps). */
static void unpack_weights(const struct cut *c, int strips, float *part, float *dw)
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
	struct backward b = {.c = cut_backward(d), .dy = dy, .x = x, .dx = dx, .packed = space};
	int strips = b.c.whole ? 1 : b.c.strips;
	pack_backward(&b.c, w, space);
	b.dw_part = space + packed_backward(&b.c);
	float *next = b.dw_part + packed_forward(&b.c) * (size_t)strips;
	b.db_part = db ? next : NULL;
	next += (size_t)COP_PARTS * (size_t)d->out_c;
	float *scratch = next + (b.c.whole ? panel_floats(&b.c) : 0);
	size_t each = thread_floats(&b.c);
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
