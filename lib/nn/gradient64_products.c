/*
 * Convolutions and linear layers as products of matrices; see gradient64.h. A linear layer is a convolution of one
 * pixel. With the channels outermost, the pixels of any rows of the output are columns of one matrix, and what a
 * window sees of them is another (im2col): y = w columns(x), columns(dx) = w' dy, dw = dy columns(x)'.
 *
 * A task is a number of whole images, since windows of one image overlap; it takes its rows some at a time, so that
 * their columns stay in a cache. The weights' gradient is added up in parts, each over the tasks of one thread at a
 * time, which are then added up in their order.
 */
#include "compute/product64.h"
#include "nn/gradient64_priv.h"

#include <omp.h>
#include <string.h>

enum {
	COLUMNS = 1 << 18,     /* numbers of columns at a time, about */
	TASKS = 16,            /* wanted at least */
	WIDTH = 128,           /* columns that a product wants at least, where there are as many images */
	PARTS = 16,            /* of the weights' gradient at most, and: */
	PART_NUMBERS = 1 << 24 /* numbers in all of them, where there is more than one */
};

/* A layer as products over n images. Of a group: in, out channels; window: in * kernel. */
struct products {
	const struct cop_conv_spec *s;
	int groups, in, out, window, in_h, in_w, h, w, n;
	int columns, in_columns; /* of the whole output and input: n * pixels */
	bool direct;             /* the input is its own matrix of columns */
	int images, rows;        /* of a task; of it at a time */
	int tasks, parts;
	size_t weights;
};

static int least(int a, int b)
{
	return a < b ? a : b;
}

static int most(int a, int b)
{
	return a > b ? a : b;
}

/* How many images a task has: as many as keep the columns small, but not so many that tasks become few. */
static void cut_tasks(struct products *p)
{
	int64_t each = (int64_t)p->window * p->h * p->w;
	p->images = (int)(COLUMNS / each < p->n ? COLUMNS / each : p->n);
	p->images = least(p->images, most(p->n / TASKS, (WIDTH - 1) / (p->h * p->w) + 1));
	p->images = most(p->images, 1);
	p->rows = p->images * p->h;
	if (p->images * each > COLUMNS)
		p->rows = most(1, (int)(COLUMNS / ((int64_t)p->window * p->w)));
	p->tasks = (p->n + p->images - 1) / p->images;
	size_t parts = PART_NUMBERS / p->weights;
	p->parts = least(p->tasks, parts < PARTS ? (int)parts : PARTS);
	p->parts = most(p->parts, 1);
}

static struct products products_of(const struct cop_gradient64 *d, int node, int n)
{
	static const struct cop_conv_spec whole = {.kernel = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}, .groups = 1};
	const struct cop_node *own = &d->graph->node[node], *from = &d->graph->node[own->input[0]];
	const struct cop_conv_spec *s = own->op == COP_OP_CONV ? &own->conv : &whole;
	struct products p = {.s = s, .groups = s->groups, .in = from->c / s->groups, .out = own->c / s->groups};
	p.window = p.in * s->kernel[0] * s->kernel[1];
	p.in_h = from->h;
	p.in_w = from->w;
	p.h = own->h;
	p.w = own->w;
	p.n = n;
	p.columns = n * own->h * own->w;
	p.in_columns = n * from->h * from->w;
	p.direct = p.window == p.in;
	for (int i = 0; i < 2; i++)
		p.direct = p.direct && s->stride[i] == 1 && s->padding[i] == 0;
	p.weights = (size_t)own->c * (size_t)p.window;
	cut_tasks(&p);
	return p;
}

void cop_products64_space(const struct cop_gradient64 *d, int node, int n, size_t *column, size_t *part)
{
	struct products p = products_of(d, node, n);
	*column = p.direct ? 0 : (size_t)d->lanes * (size_t)p.window * (size_t)p.rows * (size_t)p.w;
	*part = (size_t)p.parts * p.weights;
}

/* Rows `from` to before `to` of all images' output rows, n * h: a task's, at a time. */
struct rows {
	int from, to;
};

/* Of a tap's row of columns: output pixels x from..to-1 see the input's, the first of them `at`. */
struct span {
	int from, to, at;
};

static struct span span_of(const struct products *p, int j)
{
	int first = j * p->s->dilation[1] - p->s->padding[1], stride = p->s->stride[1];
	int from = first < 0 ? (stride - 1 - first) / stride : 0;
	int to = p->in_w - 1 - first < 0 ? 0 : (p->in_w - 1 - first) / stride + 1;
	to = least(to, p->w);
	return (struct span){from, most(from, to), first + from * stride};
}

/* Where in a channel's plane of all images the input row lies that tap i sees from an output row; -1: in the padding.
 */
static int64_t input_row(const struct products *p, int row, int i)
{
	int y = row % p->h * p->s->stride[0] - p->s->padding[0] + i * p->s->dilation[0];
	return y < 0 || y >= p->in_h ? -1 : ((int64_t)(row / p->h) * p->in_h + y) * p->in_w;
}

/* The columns (window, rows * w) of a group's channels x (in, in_columns). */
static void gather(const struct products *p, const double *x, struct rows r, double *column)
{
	int stride = p->s->stride[1];
	for (int c = 0; c < p->in; c++, x += p->in_columns)
		for (int i = 0; i < p->s->kernel[0]; i++)
			for (int j = 0; j < p->s->kernel[1]; j++) {
				struct span s = span_of(p, j);
				for (int row = r.from; row < r.to; row++, column += p->w) {
					int64_t at = input_row(p, row, i);
					memset(column, 0, (size_t)p->w * sizeof(double));
					for (int k = s.from; k < s.to && at >= 0; k++)
						column[k] = x[at + s.at + (k - s.from) * stride];
				}
			}
}

/* ... and back: each column's numbers are added to where they came from. */
static void scatter(const struct products *p, const double *column, struct rows r, double *dx)
{
	int stride = p->s->stride[1];
	for (int c = 0; c < p->in; c++, dx += p->in_columns)
		for (int i = 0; i < p->s->kernel[0]; i++)
			for (int j = 0; j < p->s->kernel[1]; j++) {
				struct span s = span_of(p, j);
				for (int row = r.from; row < r.to; row++, column += p->w) {
					int64_t at = input_row(p, row, i);
					for (int k = s.from; k < s.to && at >= 0; k++)
						dx[at + s.at + (k - s.from) * stride] += column[k];
				}
			}
}

/* What one task works on: a group, some rows, and the thread's memory. */
struct piece {
	const struct products *p;
	const struct cop_ends64 *e;
	int group;
	struct rows rows;
	double *column;
};

static int columns_of(const struct piece *b)
{
	return (b->rows.to - b->rows.from) * b->p->w;
}

/* Lane by lane: the group's weights; dy and y of the rows; and the columns of x, which are made. */
static struct cop_matrix64 weights_at(const struct cop_gradient64 *d, const struct piece *b, int lane)
{
	size_t at = b->e->d->weight + (size_t)b->group * (size_t)b->p->out * (size_t)b->p->window;
	return (struct cop_matrix64){d->param[lane] + at, b->p->window, false};
}

static size_t output_at(const struct piece *b)
{
	return (size_t)b->group * (size_t)b->p->out * (size_t)b->p->columns + (size_t)b->rows.from * (size_t)b->p->w;
}

static size_t input_at(const struct piece *b)
{
	return (size_t)b->group * (size_t)b->p->in * (size_t)b->p->in_columns;
}

static struct cop_matrix64 slopes_at(const struct piece *b, int lane)
{
	return (struct cop_matrix64){b->e->dy[lane] + output_at(b), b->p->columns, false};
}

static double *column_at(const struct piece *b, int lane)
{
	return b->column + (size_t)lane * (size_t)b->p->window * (size_t)columns_of(b);
}

static void make_columns(const struct cop_gradient64 *d, const struct piece *b, struct cop_matrix64 column[2])
{
	for (int lane = 0; lane < d->lanes; lane++) {
		const double *x = b->e->x[lane] + input_at(b);
		column[lane] = (struct cop_matrix64){column_at(b, lane), columns_of(b), false};
		if (b->p->direct)
			column[lane] = (struct cop_matrix64){x + (size_t)b->rows.from * (size_t)b->p->w,
							     b->p->in_columns, false};
		else
			gather(b->p, x, b->rows, column_at(b, lane));
	}
}

/* y = w x, and along the direction w x' + w' x; and the bias, where there is one. */
static void piece_forward(struct cop_gradient64 *d, const struct piece *b)
{
	const struct products *p = b->p;
	struct cop_matrix64 column[2];
	make_columns(d, b, column);
	for (int lane = 0; lane < d->lanes; lane++) {
		double *y = b->e->y[lane] + output_at(b);
		for (int k = 0; k <= lane; k++)
			cop_product64(p->out, columns_of(b), p->window, weights_at(d, b, k), column[lane - k], k > 0, y,
				      p->columns);
		for (int o = 0; o < p->out && b->e->d->bias; o++, y += p->columns) {
			double bias = d->param[lane][b->e->d->bias_at + (size_t)(b->group * p->out + o)];
			for (int i = 0; i < columns_of(b); i++)
				y[i] += bias;
		}
	}
}

/* The columns of dx = w^T dy, and of dx' = w^T dy' + w'^T dy. */
static void piece_backward(struct cop_gradient64 *d, const struct piece *b)
{
	const struct products *p = b->p;
	for (int lane = 0; lane < d->lanes; lane++) {
		double *dx = b->e->dx[lane] + input_at(b);
		double *to = p->direct ? dx + (size_t)b->rows.from * (size_t)p->w : column_at(b, 0);
		for (int k = 0; k <= lane; k++) {
			struct cop_matrix64 w = weights_at(d, b, k);
			w.turned = true;
			cop_product64(p->window, columns_of(b), p->out, w, slopes_at(b, lane - k), p->direct || k > 0,
				      to, p->direct ? p->in_columns : columns_of(b));
		}
		if (!p->direct)
			scatter(p, to, b->rows, dx);
	}
}

/* Adds dw = dy x^T, or dw' = dy x'^T + dy' x^T, to `part`, (weights). */
static void piece_weights(struct cop_gradient64 *d, const struct piece *b, double *part)
{
	const struct products *p = b->p;
	struct cop_matrix64 column[2];
	int lane = d->lanes - 1;
	make_columns(d, b, column);
	part += (size_t)b->group * (size_t)p->out * (size_t)p->window;
	for (int k = 0; k <= lane; k++) {
		column[lane - k].turned = true;
		cop_product64(p->out, p->window, columns_of(b), slopes_at(b, k), column[lane - k], true, part,
			      p->window);
	}
}

/* A task's groups and rows, by one of the three above. */
enum what { FORWARD, BACKWARD, WEIGHTS };

static void do_task(struct cop_gradient64 *d, const struct products *p, const struct cop_ends64 *e, enum what what,
		    int task, double *part)
{
	int first = task * p->images * p->h, end = least(p->n, (task + 1) * p->images) * p->h;
	double *column = d->column + (size_t)omp_get_thread_num() * d->column_size;
	for (int group = 0; group < p->groups; group++)
		for (int row = first; row < end; row += p->rows) {
			struct piece b = {p, e, group, {row, least(end, row + p->rows)}, column};
			if (what == FORWARD)
				piece_forward(d, &b);
			else if (what == BACKWARD)
				piece_backward(d, &b);
			else
				piece_weights(d, &b, part);
		}
}

void cop_products64_forward(struct cop_gradient64 *d, int node)
{
	struct products p = products_of(d, node, d->n);
	struct cop_ends64 e = cop_ends64(d, node, 0);
#pragma omp parallel for schedule(dynamic) num_threads(d->threads) if (p.tasks > 1)
	for (int task = 0; task < p.tasks; task++)
		do_task(d, &p, &e, FORWARD, task, NULL);
}

static void weights_backward(struct cop_gradient64 *d, const struct products *p, const struct cop_ends64 *e)
{
#pragma omp parallel for schedule(dynamic) num_threads(d->threads) if (p->parts > 1)
	for (int k = 0; k < p->parts; k++) {
		double *part = d->part + (size_t)k * p->weights;
		int end = (int)((int64_t)p->tasks * (k + 1) / p->parts);
		memset(part, 0, p->weights * sizeof(double));
		for (int task = (int)((int64_t)p->tasks * k / p->parts); task < end; task++)
			do_task(d, p, e, WEIGHTS, task, part);
	}
#pragma omp parallel for schedule(static) num_threads(d->threads) if (p->weights > COP_WORTH64)
	for (size_t i = 0; i < p->weights; i++) {
		double all = 0;
		for (int k = 0; k < p->parts; k++)
			all += d->part[(size_t)k * p->weights + i];
		d->out[e->d->weight + i] += all;
	}
}

static void bias_backward(struct cop_gradient64 *d, const struct products *p, const struct cop_ends64 *e)
{
#pragma omp parallel for schedule(static) num_threads(d->threads) if (e->count > COP_WORTH64)
	for (int o = 0; o < e->d->c; o++) {
		const double *dy = e->dy[d->lanes - 1] + (size_t)o * (size_t)p->columns;
		double all = 0;
		for (int i = 0; i < p->columns; i++)
			all += dy[i];
		d->out[e->d->bias_at + (size_t)o] += all;
	}
}

void cop_products64_backward(struct cop_gradient64 *d, int node)
{
	struct products p = products_of(d, node, d->n);
	struct cop_ends64 e = cop_ends64(d, node, 0);
	weights_backward(d, &p, &e);
	if (e.d->bias)
		bias_backward(d, &p, &e);
	if (!e.dx[0])
		return;
#pragma omp parallel for schedule(dynamic) num_threads(d->threads) if (p.tasks > 1)
	for (int task = 0; task < p.tasks; task++)
		do_task(d, &p, &e, BACKWARD, task, NULL);
}
