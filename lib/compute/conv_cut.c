/* How the work of a convolution is cut; see conv_cut.h. */
#include "compute/conv_cut.h"

#include <math.h>
#include <string.h>

/*
 * Scratch that a thread reads into. `rows` are added as long as it stays in the second-level cache; for whole rows of
 * images it may be larger, where that leaves enough tasks: pieces of them lie apart in memory, and take twice as long
 * to be read and written.
 */
struct scratch_bytes {
	size_t cols, rows;
};

static const struct scratch_bytes forward_bytes = {1 << 20, 448 << 10}, backward_bytes = {2 << 20, 640 << 10};
enum { SPLIT = 64, TASKS = 16, STRIPS = 16, AHEAD = 12 };

int cop_up_rows(int n)
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

static void size_scratch(struct cop_cut *c, bool backward, int cols, int rows)
{
	size_t ld = cop_scratch_ld(cols);
	c->cols = cols;
	c->rows = rows;
	c->chunks = (c->d.ld + cols - 1) / cols;
	c->row_blocks = (c->d.out_h + rows - 1) / rows;
	c->in_pixel = odd_lines((size_t)c->d.in_c * ld);
	c->out_pixel = odd_lines((size_t)cop_up_rows(c->out_g) * (size_t)c->d.groups * ld);
	/* looking at every block of a large image takes a good part of the time of the product */
	if (c->pointwise)
		c->in_rows = c->out_rows = (size_t)rows;
	else
		cop_most_rows(&c->d, rows, &c->in_rows, &c->out_rows);
	if (!backward)
		c->out_rows = 0;
}

size_t cop_cut_panels(const struct cop_cut *c)
{
	return c->in_rows * (size_t)c->d.in_w * c->in_pixel + c->out_rows * (size_t)c->d.out_w * c->out_pixel;
}

/* The most images a chunk whose scratch fits, and then the most rows a block, that leave enough tasks. */
static void choose_block(struct cop_cut *c, bool backward)
{
	struct scratch_bytes limit = backward ? backward_bytes : forward_bytes;
	for (int chunks = 1; chunks <= c->d.ld / 16; chunks++) {
		int cols = (c->d.ld / 16 + chunks - 1) / chunks * 16;
		size_scratch(c, backward, cols, 1);
		size_t bytes = c->row_blocks * c->chunks < TASKS ? limit.rows : limit.cols;
		if (cols <= COP_CUT_COLUMNS && cop_cut_panels(c) * sizeof(float) <= bytes)
			break;
	}
	for (int rows = c->rows + 1; rows <= c->d.out_h; rows++) {
		struct cop_cut more = *c;
		size_scratch(&more, backward, c->cols, rows);
		if (cop_cut_panels(&more) * sizeof(float) > limit.rows || more.row_blocks * more.chunks < TASKS)
			break;
		*c = more;
	}
}

static struct cop_cut begin_cut(const struct cop_conv *d)
{
	struct cop_cut c = {.d = *d, .taps = d->kernel[0] * d->kernel[1]};
	if (c.taps == 1 && d->stride[0] == 1 && d->stride[1] == 1 && d->padding[0] == 0 && d->padding[1] == 0) {
		c.pointwise = true;
		c.d.in_h = c.d.out_h = d->in_h * d->in_w;
		c.d.in_w = c.d.out_w = 1;
	}
	c.in_g = d->in_c / d->groups;
	c.out_g = d->out_c / d->groups;
	c.in_blocks = cop_up_rows(c.in_g) / COP_ROWS;
	c.out_blocks = cop_up_rows(c.out_g) / COP_ROWS;
	return c;
}

/* Into how many parts the channels can be shared out; those of several groups are not, but of sparse products. */
static int most_splits(const struct cop_cut *c, int blocks)
{
	if (c->d.sparse)
		return most(least(c->d.in_c, c->d.out_c) / SPLIT, 1);
	return c->d.groups > 1 ? 1 : most(blocks * COP_ROWS / SPLIT, 1);
}

struct cop_cut cop_cut_forward(const struct cop_conv *d)
{
	struct cop_cut c = begin_cut(d);
	choose_block(&c, false);
	c.strips = least(c.row_blocks * c.chunks, STRIPS);
	c.splits = least((TASKS + c.strips - 1) / c.strips, most_splits(&c, c.out_blocks));
	return c;
}

struct cop_cut cop_cut_backward(const struct cop_conv *d)
{
	struct cop_cut c = begin_cut(d);
	long columns = (long)c.d.out_h * c.d.out_w * c.d.ld;
	int worth = (int)(columns / 256 < STRIPS ? columns / 256 : STRIPS);
	if (worth < 4 && !d->sparse) {
		size_scratch(&c, true, c.d.ld, c.d.out_h);
		c.whole = true;
		c.strips = least(c.d.in_h, COP_PARTS);
		c.splits = most_splits(&c, c.in_blocks);
		return c;
	}
	choose_block(&c, true);
	c.strips = least(c.row_blocks * c.chunks, d->sparse ? STRIPS : worth);
	c.splits = d->sparse ? least((TASKS + c.strips - 1) / c.strips, most_splits(&c, c.in_blocks)) : 1;
	return c;
}

size_t cop_cut_scratch(const struct cop_cut *c)
{
	int rows = c->d.out_c + (c->d.sparse ? c->d.sparse->watched : 0);
	return (c->whole ? 0 : cop_cut_panels(c)) + 3 * COP_LANES * (size_t)most(c->d.in_c, rows);
}

struct cop_range cop_cut_rows(const struct cop_cut *c, int block)
{
	return cop_block_rows(&c->d, c->row_blocks, c->rows, block);
}

bool cop_cut_lies_ready(const struct cop_cut *c, const struct cop_activation *x)
{
	return !x->as.scale && x->as.lo == -INFINITY && x->as.hi == INFINITY && c->d.batch == c->d.ld;
}

/* Behind the last channel of a pixel comes the first of the next: rows ahead are always ld floats apart. */
struct cop_panel cop_cut_panel(const struct cop_cut *c, int channels, int chunk)
{
	int first = chunk * c->cols, cols = least(c->cols, c->d.ld - first);
	return (struct cop_panel){.rows = channels,
				  .cols = cols,
				  .valid = most(0, least(cols, c->d.batch - first)),
				  .ld = (size_t)c->d.ld,
				  .ahead = AHEAD * (size_t)c->d.ld};
}

/* One pixel of the input: the channels that anybody reads. */
static void read_input(const struct cop_cut *c, const struct cop_activation *x, int chunk, const float *raw, float *to)
{
	struct cop_range all = {0, c->d.in_c};
	struct cop_runs wanted = c->d.sparse ? c->d.sparse->read : (struct cop_runs){1, &all};
	size_t ld = cop_scratch_ld(c->cols);
	for (int i = 0; i < wanted.n; i++) {
		size_t first = (size_t)wanted.run[i].from;
		struct cop_panel p = cop_cut_panel(c, wanted.run[i].to - wanted.run[i].from, chunk);
		struct cop_reading as = cop_reading_from(&x->as, wanted.run[i].from);
		cop_kernels()->read(&p, raw + first * (size_t)c->d.ld, &as, to + first * ld, ld);
	}
}

struct cop_panels cop_cut_input(const struct cop_cut *c, const struct cop_activation *x, int chunk,
				struct cop_range wanted, float *scratch, struct cop_held *held)
{
	size_t in_memory = (size_t)c->d.in_c * (size_t)c->d.ld, ld = cop_scratch_ld(c->cols);
	const float *raw = x->raw + (size_t)(chunk * c->cols);
	if (cop_cut_lies_ready(c, x))
		return (struct cop_panels){raw, COP_EVERY_ROW, c->d.in_w, in_memory, (size_t)c->d.ld};
	struct cop_range r = cop_to_read(held, chunk, wanted);
	int slots = (int)c->in_rows;
	for (int y = r.from; y < r.to; y++)
		for (int k = 0; k < c->d.in_w; k++)
			read_input(c, x, chunk, raw + (size_t)(y * c->d.in_w + k) * in_memory,
				   scratch + (size_t)(y % slots * c->d.in_w + k) * c->in_pixel);
	return (struct cop_panels){scratch, slots, c->d.in_w, c->in_pixel, ld};
}

/* Channels of one pixel of the output's gradient, `first` on. */
static void read_slopes(const struct cop_cut *c, const struct cop_gradient *dy, int chunk, size_t at, int first,
			int channels, float *to)
{
	struct cop_panel p = cop_cut_panel(c, channels, chunk);
	struct cop_slope s = cop_slope_from(&dy->slope, first);
	at += (size_t)first * (size_t)c->d.ld;
	cop_kernels()->read_slope(&p, dy->g + at, s.a ? dy->raw + at : NULL, &s, to, cop_scratch_ld(c->cols));
}

/* One pixel of it: each group's channels padded with zeros to a multiple of eight, or those that have survivors. */
static void read_gradient(const struct cop_cut *c, const struct cop_gradient *dy, int chunk, int y, int x, float *to)
{
	size_t ld = cop_scratch_ld(c->cols), row = (size_t)c->d.ld;
	size_t at = (size_t)(y * c->d.out_w + x) * (size_t)c->d.out_c * row + (size_t)(chunk * c->cols);
	int padded = cop_up_rows(c->out_g);
	struct cop_range all = {0, c->out_g};
	struct cop_runs wanted = c->d.sparse && !c->biased ? c->d.sparse->written : (struct cop_runs){1, &all};
	for (int g = 0; g < c->d.groups; g++, to += (size_t)padded * ld) {
		for (int i = 0; i < wanted.n; i++)
			read_slopes(c, dy, chunk, at, g * c->out_g + wanted.run[i].from,
				    wanted.run[i].to - wanted.run[i].from, to + (size_t)wanted.run[i].from * ld);
		if (!c->d.sparse)
			memset(to + (size_t)c->out_g * ld, 0, (size_t)(padded - c->out_g) * ld * sizeof(float));
	}
}

struct cop_panels cop_cut_gradient(const struct cop_cut *c, const struct cop_gradient *dy, int chunk,
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

void cop_cut_bias(const struct cop_cut *c, const struct cop_panels *dy, struct cop_range rows, int cols, float *sums)
{
	struct cop_panel p = {.rows = c->out_g, .cols = cols, .valid = cols, .ld = dy->ld};
	for (int y = rows.from; y < rows.to; y++)
		for (int x = 0; x < c->d.out_w; x++)
			for (int g = 0; g < c->d.groups; g++)
				cop_kernels()->row_sums(
					&p, cop_pixel(dy, y, x) + (size_t)(g * cop_up_rows(c->out_g)) * dy->ld,
					sums + (size_t)(g * c->out_g) * COP_LANES);
}
