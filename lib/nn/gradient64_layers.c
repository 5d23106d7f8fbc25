/* The layers between products: batch norms, activations, sums, pools; see gradient64.h. */
#include "nn/gradient64_priv.h"

#include <math.h>
#include <string.h>

/* A channel of a batch norm: m values, one after another. */
struct channel {
	size_t m;
	double gamma[2], beta[2], mean[2], deviation[2];
	const double *x[2];
};

static double sum(const double *a, size_t m)
{
	double all = 0;
#pragma omp simd reduction(+ : all)
	for (size_t i = 0; i < m; i++)
		all += a[i];
	return all;
}

/* Sum of (a - p)(b - q). */
static double covariance(const double *a, double p, const double *b, double q, size_t m)
{
	double all = 0;
#pragma omp simd reduction(+ : all)
	for (size_t i = 0; i < m; i++)
		all += (a[i] - p) * (b[i] - q);
	return all;
}

static struct channel channel_of(const struct cop_gradient64 *d, const struct cop_ends64 *e, int node, int c)
{
	struct channel h = {.m = (size_t)d->n * (size_t)e->d->h * (size_t)e->d->w};
	for (int lane = 0; lane < d->lanes; lane++) {
		h.x[lane] = e->x[lane] + (size_t)c * h.m;
		h.gamma[lane] = d->param[lane][e->d->weight + (size_t)c];
		h.beta[lane] = d->param[lane][e->d->bias_at + (size_t)c];
		h.mean[lane] = d->norm[node][lane * e->d->c + c];
		h.deviation[lane] = d->norm[node][(2 + lane) * e->d->c + c];
	}
	return h;
}

/* s = sqrt(variance + epsilon); along the direction mean' is the mean of x', s' = mean((x - mean)(x' - mean')) / s. */
static void set_statistics(struct cop_gradient64 *d, const struct cop_ends64 *e, int node, int c)
{
	struct channel h = channel_of(d, e, node, c);
	double *mean = d->norm[node] + c, *deviation = mean + 2 * e->d->c, m = (double)h.m;
	if (d->mode.running) {
		mean[0] = d->buffer[e->d->running_mean + (size_t)c];
		deviation[0] = sqrt(d->buffer[e->d->running_var + (size_t)c] + e->d->epsilon);
		return; /* they do not move */
	}
	mean[0] = sum(h.x[0], h.m) / m;
	deviation[0] = sqrt(covariance(h.x[0], mean[0], h.x[0], mean[0], h.m) / m + e->d->epsilon);
	if (d->lanes == 1)
		return;
	double along = sum(h.x[1], h.m) / m;
	mean[e->d->c] = along;
	deviation[e->d->c] = covariance(h.x[0], mean[0], h.x[1], along, h.m) / m / deviation[0];
}

/* y = gamma z + beta with z = (x - mean) / s; z' = (x' - mean' - z s') / s. */
static void batch_norm_forward(struct cop_gradient64 *d, int node)
{
	struct cop_ends64 e = cop_ends64(d, node, 0);
#pragma omp parallel for schedule(static) num_threads(d->threads) if (e.count > COP_WORTH64)
	for (int c = 0; c < e.d->c; c++) {
		set_statistics(d, &e, node, c);
		struct channel h = channel_of(d, &e, node, c);
		size_t at = (size_t)c * h.m;
		for (size_t i = 0; i < h.m; i++) {
			double z = (h.x[0][i] - h.mean[0]) / h.deviation[0];
			e.y[0][at + i] = h.gamma[0] * z + h.beta[0];
			if (d->lanes == 1)
				continue;
			double along = (h.x[1][i] - h.mean[1] - z * h.deviation[1]) / h.deviation[0];
			e.y[1][at + i] = h.gamma[1] * z + h.gamma[0] * along + h.beta[1];
		}
	}
}

/* Of a channel: sum dy and sum dy z, and their derivatives. */
struct slopes {
	double beta[2], gamma[2];
};

static struct slopes slopes_of(const struct cop_gradient64 *d, const struct channel *h, const double *const dy[2])
{
	struct slopes s = {{0}, {0}};
	double scale = 1 / h->deviation[0];
	s.beta[0] = sum(dy[0], h->m);
	s.gamma[0] = covariance(dy[0], 0, h->x[0], h->mean[0], h->m) * scale;
	if (d->lanes == 1)
		return s;
	s.beta[1] = sum(dy[1], h->m);
	/* sum dy' z + dy z', the second with z' = (x' - mean') / s - z s' / s */
	s.gamma[1] = (covariance(dy[1], 0, h->x[0], h->mean[0], h->m) +
		      covariance(dy[0], 0, h->x[1], h->mean[1], h->m) - s.gamma[0] * h->deviation[1]) *
		     scale;
	return s;
}

/*
 * dx = gamma/s r, r = dy - (sum dy + z sum dy z) / m; by running statistics r = dy. Along the direction
 * dx' = (gamma' - gamma s'/s)/s r + gamma/s r'.
 */
static void channel_backward(const struct cop_gradient64 *d, const struct channel *h, const struct slopes *s,
			     const double *const dy[2], double *const dx[2])
{
	double share = d->mode.running ? 0 : 1 / (double)h->m, scale = 1 / h->deviation[0];
	double by = h->gamma[0] * scale, by_along = (h->gamma[1] - by * h->deviation[1]) * scale;
	for (size_t i = 0; i < h->m; i++) {
		double z = (h->x[0][i] - h->mean[0]) * scale;
		double r = dy[0][i] - share * (s->beta[0] + z * s->gamma[0]);
		dx[0][i] += by * r;
		if (d->lanes == 1)
			continue;
		double along = (h->x[1][i] - h->mean[1] - z * h->deviation[1]) * scale;
		dx[1][i] += by_along * r +
			    by * (dy[1][i] - share * (s->beta[1] + along * s->gamma[0] + z * s->gamma[1]));
	}
}

static void batch_norm_backward(struct cop_gradient64 *d, int node)
{
	struct cop_ends64 e = cop_ends64(d, node, 0);
	int out = d->lanes - 1;
#pragma omp parallel for schedule(static) num_threads(d->threads) if (e.count > COP_WORTH64)
	for (int c = 0; c < e.d->c; c++) {
		struct channel h = channel_of(d, &e, node, c);
		size_t at = (size_t)c * h.m;
		const double *dy[2] = {e.dy[0] + at, out ? e.dy[1] + at : NULL};
		double *dx[2] = {e.dx[0] ? e.dx[0] + at : NULL, e.dx[1] ? e.dx[1] + at : NULL};
		struct slopes s = slopes_of(d, &h, dy);
		d->out[e.d->weight + (size_t)c] += s.gamma[out];
		d->out[e.d->bias_at + (size_t)c] += s.beta[out];
		if (dx[0])
			channel_backward(d, &h, &s, dy, dx);
	}
}

static double ceiling(const struct cop_node *d)
{
	return d->op == COP_OP_RELU6 ? 6 : INFINITY;
}

/* NaN goes through. */
static void relu_forward(struct cop_gradient64 *d, int node)
{
	struct cop_ends64 e = cop_ends64(d, node, 0);
	double most = ceiling(e.d);
	if (d->mode.linear) {
		memcpy(e.y[0], e.x[0], e.count * (size_t)d->lanes * sizeof(double));
		return;
	}
#pragma omp parallel for schedule(static) num_threads(d->threads) if (e.count > COP_WORTH64)
	for (size_t i = 0; i < e.count; i++) {
		double x = e.x[0][i];
		e.y[0][i] = x <= 0 ? 0 : x >= most ? most : x;
		if (d->lanes > 1)
			e.y[1][i] = x <= 0 || x >= most ? 0 : e.x[1][i];
	}
}

static void relu_backward(struct cop_gradient64 *d, int node)
{
	struct cop_ends64 e = cop_ends64(d, node, 0);
	double most = ceiling(e.d);
	if (!e.dx[0])
		return;
	for (int lane = 0; lane < d->lanes; lane++) {
#pragma omp parallel for schedule(static) num_threads(d->threads) if (e.count > COP_WORTH64)
		for (size_t i = 0; i < e.count; i++)
			if (d->mode.linear || !(e.y[0][i] <= 0 || e.y[0][i] >= most))
				e.dx[lane][i] += e.dy[lane][i];
	}
}

/* Dropout without dropping, and sums: what has one input takes it over. */
static void add_forward(struct cop_gradient64 *d, int node)
{
	struct cop_ends64 e = cop_ends64(d, node, 0);
	memcpy(e.y[0], e.x[0], e.count * (size_t)d->lanes * sizeof(double));
	if (e.d->ninputs == 1)
		return;
	struct cop_ends64 other = cop_ends64(d, node, 1);
#pragma omp parallel for schedule(static) num_threads(d->threads) if (e.count > COP_WORTH64)
	for (size_t i = 0; i < e.count * (size_t)d->lanes; i++)
		e.y[0][i] += other.x[0][i];
}

static void add_backward(struct cop_gradient64 *d, int node)
{
	for (int j = 0; j < d->graph->node[node].ninputs; j++) {
		struct cop_ends64 e = cop_ends64(d, node, j);
		if (!e.dx[0])
			continue;
#pragma omp parallel for schedule(static) num_threads(d->threads) if (e.count > COP_WORTH64)
		for (size_t i = 0; i < e.count * (size_t)d->lanes; i++)
			e.dx[0][i] += e.dy[0][i];
	}
}

/* A pool's window at (y,x), cut to the image: rows top to below bottom, columns left to before right. */
struct window {
	int top, bottom, left, right;
};

static struct window window_at(const struct cop_ends64 *e, int y, int x)
{
	const struct cop_conv_spec *s = &e->d->conv;
	if (e->d->op == COP_OP_GLOBAL_AVG_POOL)
		return (struct window){0, e->in->h, 0, e->in->w};
	int top = y * s->stride[0] - s->padding[0], left = x * s->stride[1] - s->padding[1];
	int bottom = top + s->kernel[0], right = left + s->kernel[1];
	return (struct window){top < 0 ? 0 : top, bottom > e->in->h ? e->in->h : bottom, left < 0 ? 0 : left,
			       right > e->in->w ? e->in->w : right};
}

/* Where a window's largest value lies, the first of equals. */
static int largest_at(const struct cop_ends64 *e, const double *x, struct window v)
{
	int best = v.top * e->in->w + v.left;
	for (int i = v.top; i < v.bottom; i++)
		for (int j = v.left; j < v.right; j++)
			best = x[i * e->in->w + j] > x[best] ? i * e->in->w + j : best;
	return best;
}

/* One plane of an image and a channel. Forward: in (x) to out (y); backward: in (dx) takes from out (dy). */
static void max_plane(const struct cop_gradient64 *d, const struct cop_ends64 *e, size_t plane, bool backward)
{
	size_t from = plane * (size_t)e->in->h * (size_t)e->in->w, to = plane * (size_t)e->d->h * (size_t)e->d->w;
	for (int y = 0; y < e->d->h; y++)
		for (int x = 0; x < e->d->w; x++, to++) {
			size_t best = from + (size_t)largest_at(e, e->x[0] + from, window_at(e, y, x));
			for (int lane = 0; lane < d->lanes; lane++)
				if (backward)
					e->dx[lane][best] += e->dy[lane][to];
				else
					e->y[lane][to] = e->x[lane][best];
		}
}

/* The mean over the whole window, padding counting as 0. */
static void mean_plane(const struct cop_gradient64 *d, const struct cop_ends64 *e, size_t plane, bool backward)
{
	int area = e->d->op == COP_OP_GLOBAL_AVG_POOL ? e->in->h * e->in->w
						      : e->d->conv.kernel[0] * e->d->conv.kernel[1];
	size_t from = plane * (size_t)e->in->h * (size_t)e->in->w, first = plane * (size_t)e->d->h * (size_t)e->d->w;
	for (int lane = 0; lane < d->lanes; lane++) {
		size_t to = first;
		for (int y = 0; y < e->d->h; y++)
			for (int x = 0; x < e->d->w; x++, to++) {
				struct window v = window_at(e, y, x);
				double all = 0;
				for (int i = v.top; i < v.bottom; i++)
					for (int j = v.left; j < v.right; j++)
						if (backward)
							e->dx[lane][from + (size_t)(i * e->in->w + j)] +=
								e->dy[lane][to] / area;
						else
							all += e->x[lane][from + (size_t)(i * e->in->w + j)];
				if (!backward)
					e->y[lane][to] = all / area;
			}
	}
}

static void pool(struct cop_gradient64 *d, int node, bool backward)
{
	struct cop_ends64 e = cop_ends64(d, node, 0);
	size_t planes = (size_t)e.d->c * (size_t)d->n;
	if (backward && !e.dx[0])
		return;
#pragma omp parallel for schedule(static) num_threads(d->threads) if (e.in_count > COP_WORTH64)
	for (size_t k = 0; k < planes; k++)
		if (e.d->op == COP_OP_MAX_POOL)
			max_plane(d, &e, k, backward);
		else
			mean_plane(d, &e, k, backward);
}

static void pool_forward(struct cop_gradient64 *d, int node)
{
	pool(d, node, false);
}

static void pool_backward(struct cop_gradient64 *d, int node)
{
	pool(d, node, true);
}

/* (C, n, pixels) and (C*pixels, n). */
static void flatten_forward(struct cop_gradient64 *d, int node)
{
	struct cop_ends64 e = cop_ends64(d, node, 0);
	size_t pixels = (size_t)e.in->h * (size_t)e.in->w, n = (size_t)d->n, rows = (size_t)e.in->c * (size_t)d->lanes;
#pragma omp parallel for schedule(static) num_threads(d->threads) if (e.count > COP_WORTH64)
	for (size_t c = 0; c < rows; c++)
		for (size_t i = 0; i < n; i++)
			for (size_t k = 0; k < pixels; k++)
				e.y[0][(c * pixels + k) * n + i] = e.x[0][(c * n + i) * pixels + k];
}

static void flatten_backward(struct cop_gradient64 *d, int node)
{
	struct cop_ends64 e = cop_ends64(d, node, 0);
	size_t pixels = (size_t)e.in->h * (size_t)e.in->w, n = (size_t)d->n, rows = (size_t)e.in->c * (size_t)d->lanes;
	if (!e.dx[0])
		return;
#pragma omp parallel for schedule(static) num_threads(d->threads) if (e.count > COP_WORTH64)
	for (size_t c = 0; c < rows; c++)
		for (size_t i = 0; i < n; i++)
			for (size_t k = 0; k < pixels; k++)
				e.dx[0][(c * n + i) * pixels + k] += e.dy[0][(c * pixels + k) * n + i];
}

const struct cop_op64 cop_ops64[COP_OPS] = {
	[COP_OP_CONV] = {cop_products64_forward, cop_products64_backward, .reads_input = true},
	[COP_OP_LINEAR] = {cop_products64_forward, cop_products64_backward, .reads_input = true},
	[COP_OP_BATCH_NORM] = {batch_norm_forward, batch_norm_backward, .reads_input = true},
	[COP_OP_RELU] = {relu_forward, relu_backward, .reads_own = true},
	[COP_OP_RELU6] = {relu_forward, relu_backward, .reads_own = true},
	[COP_OP_ADD] = {add_forward, add_backward},
	[COP_OP_DROPOUT] = {add_forward, add_backward},
	[COP_OP_MAX_POOL] = {pool_forward, pool_backward, .reads_input = true},
	[COP_OP_AVG_POOL] = {pool_forward, pool_backward},
	[COP_OP_GLOBAL_AVG_POOL] = {pool_forward, pool_backward},
	[COP_OP_FLATTEN] = {flatten_forward, flatten_backward},
};
