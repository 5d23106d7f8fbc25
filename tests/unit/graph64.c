/* A graph in float64; see graph64.h. */
#include "graph64.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A node with what it reads: shapes and values. dx adds up: a node may have many readers. */
struct ends {
	const struct cop_node *d, *in;
	const double *x, *dy;
	double *y, *dx;
};

static struct ends ends_of(const struct graph64 *r, int k)
{
	const struct cop_node *d = &r->graph->node[k];
	int from = d->input[0];
	return (struct ends){d, &r->graph->node[from], r->y[from], r->dy[k], r->y[k], r->dy[from]};
}

/* Where (n,c,y,x) of what a node gives lies. */
static size_t at(const struct cop_node *d, int n, int c, int y, int x)
{
	return (((size_t)n * (size_t)d->c + (size_t)c) * (size_t)d->h + (size_t)y) * (size_t)d->w + (size_t)x;
}

size_t graph64_count(const struct graph64 *r, int node)
{
	return at(&r->graph->node[node], r->batch, 0, 0, 0);
}

static double *doubles(size_t n)
{
	return cop_xcalloc(n + 1, sizeof(double));
}

void graph64_init(struct graph64 *r, const struct cop_graph *g, int batch)
{
	*r = (struct graph64){.graph = g, .batch = batch};
	r->param = doubles(g->params.total);
	r->grad = doubles(g->params.total);
	r->gross = doubles(g->params.total);
	r->buffer = doubles(g->buffers.total);
	r->updated = doubles(g->buffers.total);
	double ***table[] = {&r->y, &r->dy, &r->mean, &r->variance, &r->keep};
	for (int i = 0; i < 5; i++)
		*table[i] = cop_xcalloc((size_t)g->n, sizeof(double *));
	for (int k = 0; k < g->n; k++) {
		size_t count = graph64_count(r, k);
		r->y[k] = doubles(count);
		r->dy[k] = doubles(count);
		if (g->node[k].op == COP_OP_BATCH_NORM) {
			r->mean[k] = doubles((size_t)g->node[k].c);
			r->variance[k] = doubles((size_t)g->node[k].c);
		}
		if (g->node[k].op == COP_OP_DROPOUT) {
			r->keep[k] = doubles(count);
			for (size_t i = 0; i < count; i++)
				r->keep[k][i] = 1;
		}
	}
}

void graph64_release(struct graph64 *r)
{
	double **table[] = {r->y, r->dy, r->mean, r->variance, r->keep};
	for (int i = 0; i < 5; i++) {
		for (int k = 0; k < r->graph->n; k++)
			free(table[i][k]);
		free(table[i]);
	}
	free(r->param);
	free(r->grad);
	free(r->gross);
	free(r->buffer);
	free(r->updated);
	*r = (struct graph64){0};
}

void graph64_load(struct graph64 *r, const float *param, const float *buffer)
{
	for (size_t i = 0; i < r->graph->params.total; i++)
		r->param[i] = (double)param[i];
	for (size_t i = 0; buffer && i < r->graph->buffers.total; i++)
		r->buffer[i] = (double)buffer[i];
}

/* One more term of the gradient of parameter i. */
static void add_term(struct graph64 *r, size_t i, double term)
{
	r->grad[i] += term;
	r->gross[i] += fabs(term);
}

/*
 * One output (n,o,y,x) of a convolution and all that it reads. Returns the sum; backward, its gradient g goes to
 * the weights and the data.
 */
static double conv_point(struct graph64 *r, const struct ends *e, int n, int o, int y, int x, double g, bool backward)
{
	const struct cop_conv_spec *s = &e->d->conv;
	int each = e->in->c / s->groups, first = o / (e->d->c / s->groups) * each;
	double sum = 0;
	size_t tap = e->d->weight + (size_t)o * (size_t)each * (size_t)s->kernel[0] * (size_t)s->kernel[1];
	for (int c = 0; c < each; c++)
		for (int i = 0; i < s->kernel[0]; i++)
			for (int j = 0; j < s->kernel[1]; j++, tap++) {
				int iy = y * s->stride[0] - s->padding[0] + i * s->dilation[0];
				int ix = x * s->stride[1] - s->padding[1] + j * s->dilation[1];
				if (iy < 0 || iy >= e->in->h || ix < 0 || ix >= e->in->w)
					continue;
				size_t from = at(e->in, n, first + c, iy, ix);
				sum += r->param[tap] * e->x[from];
				if (backward) {
					add_term(r, tap, g * e->x[from]);
					e->dx[from] += g * r->param[tap];
				}
			}
	return sum;
}

static void conv_forward(struct graph64 *r, int k, bool training)
{
	(void)training;
	struct ends e = ends_of(r, k);
	for (int n = 0; n < r->batch; n++)
		for (int o = 0; o < e.d->c; o++)
			for (int y = 0; y < e.d->h; y++)
				for (int x = 0; x < e.d->w; x++)
					e.y[at(e.d, n, o, y, x)] = conv_point(r, &e, n, o, y, x, 0, false) +
								   (e.d->bias ? r->param[e.d->bias_at + (size_t)o] : 0);
}

static void conv_backward(struct graph64 *r, int k)
{
	struct ends e = ends_of(r, k);
	for (int n = 0; n < r->batch; n++)
		for (int o = 0; o < e.d->c; o++)
			for (int y = 0; y < e.d->h; y++)
				for (int x = 0; x < e.d->w; x++) {
					double g = e.dy[at(e.d, n, o, y, x)];
					conv_point(r, &e, n, o, y, x, g, true);
					if (e.d->bias)
						add_term(r, e.d->bias_at + (size_t)o, g);
				}
}

static void linear_forward(struct graph64 *r, int k, bool training)
{
	(void)training;
	struct ends e = ends_of(r, k);
	for (int n = 0; n < r->batch; n++)
		for (int o = 0; o < e.d->c; o++) {
			const double *w = r->param + e.d->weight + (size_t)o * (size_t)e.in->c;
			double sum = e.d->bias ? r->param[e.d->bias_at + (size_t)o] : 0;
			for (int i = 0; i < e.in->c; i++)
				sum += w[i] * e.x[n * e.in->c + i];
			e.y[n * e.d->c + o] = sum;
		}
}

static void linear_backward(struct graph64 *r, int k)
{
	struct ends e = ends_of(r, k);
	for (int n = 0; n < r->batch; n++)
		for (int o = 0; o < e.d->c; o++) {
			size_t row = e.d->weight + (size_t)o * (size_t)e.in->c;
			double g = e.dy[n * e.d->c + o];
			for (int i = 0; i < e.in->c; i++) {
				add_term(r, row + (size_t)i, g * e.x[n * e.in->c + i]);
				e.dx[n * e.in->c + i] += g * r->param[row + (size_t)i];
			}
			if (e.d->bias)
				add_term(r, e.d->bias_at + (size_t)o, g);
		}
}

/* Sum over batch, height and width of channel c of (a - shift) (b - shift); b NULL: of a - shift. */
static double channel_sum(const struct cop_node *d, int batch, int c, const double *a, const double *b, double shift)
{
	double sum = 0;
	for (int n = 0; n < batch; n++)
		for (int y = 0; y < d->h; y++)
			for (int x = 0; x < d->w; x++) {
				size_t i = at(d, n, c, y, x);
				sum += (a[i] - shift) * (b ? b[i] - shift : 1);
			}
	return sum;
}

/* Mean and variance of the batch, and the running ones after it. */
static void batch_statistics(struct graph64 *r, int k, int c)
{
	struct ends e = ends_of(r, k);
	double m = (double)r->batch * e.d->h * e.d->w, keep = 1 - e.d->momentum;
	size_t rm = e.d->running_mean + (size_t)c, rv = e.d->running_var + (size_t)c;
	double mean = channel_sum(e.d, r->batch, c, e.x, NULL, 0) / m;
	double squares = channel_sum(e.d, r->batch, c, e.x, e.x, mean);
	r->mean[k][c] = mean;
	r->variance[k][c] = squares / m;
	r->updated[rm] = keep * r->buffer[rm] + e.d->momentum * mean;
	r->updated[rv] = keep * r->buffer[rv] + e.d->momentum * (m > 1 ? squares / (m - 1) : 0);
}

static void batch_norm_forward(struct graph64 *r, int k, bool training)
{
	struct ends e = ends_of(r, k);
	for (int c = 0; c < e.d->c; c++) {
		double gamma = r->param[e.d->weight + (size_t)c], beta = r->param[e.d->bias_at + (size_t)c];
		r->mean[k][c] = r->buffer[e.d->running_mean + (size_t)c];
		r->variance[k][c] = r->buffer[e.d->running_var + (size_t)c];
		if (training)
			batch_statistics(r, k, c);
		double deviation = sqrt(r->variance[k][c] + e.d->epsilon);
		for (int n = 0; n < r->batch; n++)
			for (int y = 0; y < e.d->h; y++)
				for (int x = 0; x < e.d->w; x++) {
					size_t i = at(e.d, n, c, y, x);
					e.y[i] = gamma * (e.x[i] - r->mean[k][c]) / deviation + beta;
				}
	}
}

/*
 * With z = (x - mean) / s and s = sqrt(variance + epsilon): dgamma = sum dy z, dbeta = sum dy, and
 * dx = gamma/s (dy - dbeta/m - z dgamma/m), m the number of values of a channel.
 */
static void batch_norm_backward(struct graph64 *r, int k)
{
	struct ends e = ends_of(r, k);
	double m = (double)r->batch * e.d->h * e.d->w;
	for (int c = 0; c < e.d->c; c++) {
		double gamma = r->param[e.d->weight + (size_t)c], mean = r->mean[k][c];
		double s = sqrt(r->variance[k][c] + e.d->epsilon);
		size_t to_gamma = e.d->weight + (size_t)c, to_beta = e.d->bias_at + (size_t)c;
		for (int n = 0; n < r->batch; n++)
			for (int y = 0; y < e.d->h; y++)
				for (int x = 0; x < e.d->w; x++) {
					size_t i = at(e.d, n, c, y, x);
					double z = (e.x[i] - mean) / s;
					r->grad[to_gamma] += e.dy[i] * z;
					r->gross[to_gamma] += fabs(e.dy[i]) * fmax(fabs(z), 1);
					add_term(r, to_beta, e.dy[i]);
				}
		double dgamma = r->grad[to_gamma], dbeta = r->grad[to_beta];
		for (int n = 0; n < r->batch; n++)
			for (int y = 0; y < e.d->h; y++)
				for (int x = 0; x < e.d->w; x++) {
					size_t i = at(e.d, n, c, y, x);
					double z = (e.x[i] - mean) / s;
					e.dx[i] += gamma / s * (e.dy[i] - dbeta / m - z * dgamma / m);
				}
	}
}

static void relu_forward(struct graph64 *r, int k, bool training)
{
	(void)training;
	struct ends e = ends_of(r, k);
	double most = e.d->op == COP_OP_RELU6 ? 6 : INFINITY;
	for (size_t i = 0; i < graph64_count(r, k); i++)
		e.y[i] = fmin(fmax(e.x[i], 0), most);
}

static void relu_backward(struct graph64 *r, int k)
{
	struct ends e = ends_of(r, k);
	double most = e.d->op == COP_OP_RELU6 ? 6 : INFINITY;
	for (size_t i = 0; i < graph64_count(r, k); i++)
		e.dx[i] += e.x[i] > 0 && e.x[i] < most ? e.dy[i] : 0;
}

static void add_forward(struct graph64 *r, int k, bool training)
{
	(void)training;
	const int *input = r->graph->node[k].input;
	for (size_t i = 0; i < graph64_count(r, k); i++)
		r->y[k][i] = r->y[input[0]][i] + r->y[input[1]][i];
}

static void add_backward(struct graph64 *r, int k)
{
	const int *input = r->graph->node[k].input;
	for (size_t i = 0; i < graph64_count(r, k); i++) {
		r->dy[input[0]][i] += r->dy[k][i];
		r->dy[input[1]][i] += r->dy[k][i];
	}
}

/* The window of a pool at (y,x), cut to the image: rows top to below bottom, columns left to before right. */
struct window {
	int top, bottom, left, right;
};

static struct window window_at(const struct ends *e, int y, int x)
{
	const struct cop_conv_spec *s = &e->d->conv;
	int top = y * s->stride[0] - s->padding[0], left = x * s->stride[1] - s->padding[1];
	int bottom = top + s->kernel[0], right = left + s->kernel[1];
	return (struct window){top < 0 ? 0 : top, bottom > e->in->h ? e->in->h : bottom, left < 0 ? 0 : left,
			       right > e->in->w ? e->in->w : right};
}

/* Where the largest value of a window lies, the first of equals; *next: how far the largest of the others is below. */
static size_t largest_at(const struct ends *e, int n, int c, struct window v, double *next)
{
	size_t best = at(e->in, n, c, v.top, v.left);
	*next = INFINITY;
	for (int y = v.top; y < v.bottom; y++)
		for (int x = v.left; x < v.right; x++) {
			size_t i = at(e->in, n, c, y, x);
			if (e->x[i] > e->x[best]) {
				*next = e->x[i] - e->x[best];
				best = i;
			} else if (i != best && e->x[best] - e->x[i] < *next) {
				*next = e->x[best] - e->x[i];
			}
		}
	return best;
}

/* Both passes of a maximum pool, and the smallest gap between a largest value and the next that is not 0. */
static double max_pool(const struct graph64 *r, int k, bool backward)
{
	struct ends e = ends_of(r, k);
	double least = INFINITY, next;
	for (int n = 0; n < r->batch; n++)
		for (int c = 0; c < e.d->c; c++)
			for (int y = 0; y < e.d->h; y++)
				for (int x = 0; x < e.d->w; x++) {
					size_t from = largest_at(&e, n, c, window_at(&e, y, x), &next);
					size_t to = at(e.d, n, c, y, x);
					if (backward)
						e.dx[from] += e.dy[to];
					else
						e.y[to] = e.x[from];
					if (next > 0 && next < least)
						least = next;
				}
	return least;
}

static void max_pool_forward(struct graph64 *r, int k, bool training)
{
	(void)training;
	max_pool(r, k, false);
}

static void max_pool_backward(struct graph64 *r, int k)
{
	max_pool(r, k, true);
}

/* A mean over the whole kernel, what lies in the padding counting as 0; global: over the image. */
static void mean_pool(const struct graph64 *r, int k, bool backward)
{
	struct ends e = ends_of(r, k);
	bool global = e.d->op == COP_OP_GLOBAL_AVG_POOL;
	double share = global ? 1.0 / (e.in->h * e.in->w) : 1.0 / (e.d->conv.kernel[0] * e.d->conv.kernel[1]);
	for (int n = 0; n < r->batch; n++)
		for (int c = 0; c < e.d->c; c++)
			for (int y = 0; y < e.d->h; y++)
				for (int x = 0; x < e.d->w; x++) {
					struct window v = global ? (struct window){0, e.in->h, 0, e.in->w}
								 : window_at(&e, y, x);
					size_t to = at(e.d, n, c, y, x);
					double sum = 0;
					for (int i = v.top; i < v.bottom; i++)
						for (int j = v.left; j < v.right; j++) {
							size_t from = at(e.in, n, c, i, j);
							sum += e.x[from];
							if (backward)
								e.dx[from] += share * e.dy[to];
						}
					if (!backward)
						e.y[to] = share * sum;
				}
}

static void mean_pool_forward(struct graph64 *r, int k, bool training)
{
	(void)training;
	mean_pool(r, k, false);
}

static void mean_pool_backward(struct graph64 *r, int k)
{
	mean_pool(r, k, true);
}

/* (C,H,W) of an image is already in the order that a flat one has. */
static void flatten_forward(struct graph64 *r, int k, bool training)
{
	(void)training;
	memcpy(r->y[k], r->y[r->graph->node[k].input[0]], graph64_count(r, k) * sizeof(double));
}

static void flatten_backward(struct graph64 *r, int k)
{
	for (size_t i = 0; i < graph64_count(r, k); i++)
		r->dy[r->graph->node[k].input[0]][i] += r->dy[k][i];
}

static void dropout_forward(struct graph64 *r, int k, bool training)
{
	struct ends e = ends_of(r, k);
	for (size_t i = 0; i < graph64_count(r, k); i++)
		e.y[i] = training ? e.x[i] * r->keep[k][i] / (1 - e.d->rate) : e.x[i];
}

static void dropout_backward(struct graph64 *r, int k)
{
	struct ends e = ends_of(r, k);
	for (size_t i = 0; i < graph64_count(r, k); i++)
		e.dx[i] += e.dy[i] * r->keep[k][i] / (1 - e.d->rate);
}

static const struct {
	void (*forward)(struct graph64 *r, int k, bool training);
	void (*backward)(struct graph64 *r, int k);
} operations[COP_OPS] = {
	[COP_OP_CONV] = {conv_forward, conv_backward},
	[COP_OP_BATCH_NORM] = {batch_norm_forward, batch_norm_backward},
	[COP_OP_RELU] = {relu_forward, relu_backward},
	[COP_OP_RELU6] = {relu_forward, relu_backward},
	[COP_OP_ADD] = {add_forward, add_backward},
	[COP_OP_MAX_POOL] = {max_pool_forward, max_pool_backward},
	[COP_OP_AVG_POOL] = {mean_pool_forward, mean_pool_backward},
	[COP_OP_GLOBAL_AVG_POOL] = {mean_pool_forward, mean_pool_backward},
	[COP_OP_FLATTEN] = {flatten_forward, flatten_backward},
	[COP_OP_DROPOUT] = {dropout_forward, dropout_backward},
	[COP_OP_LINEAR] = {linear_forward, linear_backward},
};

void graph64_forward(struct graph64 *r, bool training)
{
	memcpy(r->updated, r->buffer, r->graph->buffers.total * sizeof(double));
	for (int k = 1; k < r->graph->n; k++)
		operations[r->graph->node[k].op].forward(r, k, training);
}

void graph64_backward(struct graph64 *r)
{
	memset(r->grad, 0, r->graph->params.total * sizeof(double));
	memset(r->gross, 0, r->graph->params.total * sizeof(double));
	for (int k = 0; k < r->graph->n - 1; k++)
		memset(r->dy[k], 0, graph64_count(r, k) * sizeof(double));
	for (int k = r->graph->n - 1; k > 0; k--)
		operations[r->graph->node[k].op].backward(r, k);
}

double graph64_loss(struct graph64 *r, const int32_t *label)
{
	int last = r->graph->n - 1, classes = r->graph->node[last].c;
	double all = 0;
	for (int n = 0; n < r->batch; n++) {
		const double *y = r->y[last] + (size_t)n * (size_t)classes;
		double *dy = r->dy[last] + (size_t)n * (size_t)classes, top = -INFINITY, sum = 0;
		for (int k = 0; k < classes; k++)
			top = fmax(top, y[k]);
		for (int k = 0; k < classes; k++)
			sum += exp(y[k] - top);
		for (int k = 0; k < classes; k++)
			dy[k] = (exp(y[k] - top) / sum - (k == label[n])) / r->batch;
		all += top + log(sum) - y[label[n]];
	}
	return all / r->batch;
}

static double root_mean_square(const double *v, size_t n)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += v[i] * v[i];
	return sqrt(sum / (double)n);
}

/* The smallest distance from one of the two kinks that is not 0. */
static double relu_margin(const struct graph64 *r, int k)
{
	struct ends e = ends_of(r, k);
	double least = INFINITY;
	for (size_t i = 0; i < graph64_count(r, k); i++) {
		double low = fabs(e.x[i]), high = e.d->op == COP_OP_RELU6 ? fabs(e.x[i] - 6) : INFINITY;
		least = low > 0 && low < least ? low : least;
		least = high > 0 && high < least ? high : least;
	}
	return least;
}

double graph64_margin(const struct graph64 *r)
{
	double least = INFINITY;
	for (int k = 1; k < r->graph->n; k++) {
		enum cop_op op = r->graph->node[k].op;
		int from = r->graph->node[k].input[0];
		double own = INFINITY;
		if (op == COP_OP_RELU || op == COP_OP_RELU6)
			own = relu_margin(r, k);
		else if (op == COP_OP_MAX_POOL)
			own = max_pool(r, k, false);
		own /= root_mean_square(r->y[from], graph64_count(r, from));
		least = own < least ? own : least;
	}
	return least;
}
