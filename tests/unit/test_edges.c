/*
 * The CPU backend where shapes and numbers are odd: windows that lie in their padding, step over pixels or are larger
 * than the image, few channels and many, batches of 1 and of 1000. Each convolution is held against loops in float64,
 * with a workspace of NaN that must not be left, and must have the same bits with any number of threads; by each of the
 * kernels' builds. And what is not a number must be seen at the end of a network.
 */
#include "base/mem.h"
#include "compute/sparse.h"
#include "engine.h"
#include "floats.h"
#include "graph64.h"
#include "random_graph.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const struct cop_backend *const engine = &cop_cpu_backend;

/* An error over the sum of the terms' sizes. */
static const double most = 1e-4;
enum { GUARD = 64 };

static float *normal(struct cop_stream *s, size_t n)
{
	float *p = floats(n);
	for (size_t i = 0; i < n; i++)
		p[i] = (float)cop_stream_normal(s);
	return p;
}

/*
 * One convolution: what goes in, and what the loops in float64 make of it. Of sparse weights w, dw and their sums are
 * of the survivors alone.
 */
struct trial {
	struct cop_conv d;
	struct cop_sparse sparse;
	size_t nx, ny, nw;
	float *x, *w, *bias, *dy, *about;
	double *y, *y_gross, *dx, *dx_gross, *dw, *dw_gross, *db, *db_gross;
};

/* What the engine makes of it. */
struct result {
	float *y, *dx, *dw, *db, *sums;
	int parts;
};

static void describe(const struct cop_conv *d, char *text, size_t size)
{
	snprintf(
		text, size,
		"%dx%dx%d to %dx%dx%d, kernel %dx%d, stride %dx%d, padding %dx%d, dilation %dx%d, groups %d, batch %d, "
		"%d survivors",
		d->in_c, d->in_h, d->in_w, d->out_c, d->out_h, d->out_w, d->kernel[0], d->kernel[1], d->stride[0],
		d->stride[1], d->padding[0], d->padding[1], d->dilation[0], d->dilation[1], d->groups, d->batch,
		d->sparse ? d->sparse->count : -1);
}

static void clear_beyond(const struct cop_conv *d, float *a, size_t n, float value)
{
	for (size_t i = 0; i < n; i++)
		a[i] = (int)(i % (size_t)d->ld) < d->batch ? a[i] : value;
}

/* One term of all sums: weight, input and output gradient that meet. */
static void add_term(struct trial *t, size_t w, size_t x, size_t y)
{
	double a = (double)t->w[w], b = (double)t->x[x], g = (double)t->dy[y];
	t->y[y] += a * b;
	t->y_gross[y] += fabs(a * b);
	t->dx[x] += a * g;
	t->dx_gross[x] += fabs(a * g);
	t->dw[w] += b * g;
	t->dw_gross[w] += fabs(b * g);
}

/* Output channel o at (y,x): all terms of all images. */
static void add_pixel(struct trial *t, int o, int y, int x)
{
	const struct cop_conv *d = &t->d;
	int in_g = d->in_c / d->groups, out_g = d->out_c / d->groups, taps = d->kernel[0] * d->kernel[1];
	size_t to = ((size_t)(y * d->out_w + x) * (size_t)d->out_c + (size_t)o) * (size_t)d->ld;
	for (int n = 0; n < d->batch; n++) {
		t->y[to + (size_t)n] += (double)t->bias[o];
		t->y_gross[to + (size_t)n] += fabs((double)t->bias[o]);
		t->db[o] += (double)t->dy[to + (size_t)n];
		t->db_gross[o] += fabs((double)t->dy[to + (size_t)n]);
	}
	for (int k = 0; k < in_g * taps; k++) {
		int c = o / out_g * in_g + k / taps, i = k % taps / d->kernel[1], j = k % taps % d->kernel[1];
		int iy = y * d->stride[0] - d->padding[0] + i * d->dilation[0];
		int ix = x * d->stride[1] - d->padding[1] + j * d->dilation[1];
		if (iy < 0 || iy >= d->in_h || ix < 0 || ix >= d->in_w)
			continue;
		size_t from = ((size_t)(iy * d->in_w + ix) * (size_t)d->in_c + (size_t)c) * (size_t)d->ld;
		for (size_t n = 0; n < (size_t)d->batch; n++)
			add_term(t, (size_t)(o * in_g * taps + k), from + n, to + n);
	}
}

/* Keeps a fraction of the weights, whole rows and columns of zeros among them. */
static uint8_t *draw_mask(struct cop_stream *s, const struct cop_conv *d, size_t n, double density)
{
	uint8_t *mask = cop_xcalloc(n, 1);
	size_t in_g = (size_t)(d->in_c / d->groups), taps = (size_t)(d->kernel[0] * d->kernel[1]);
	int dead_row = random_between(s, 0, 3), dead_column = random_between(s, 0, 3);
	for (size_t i = 0; i < n; i++)
		mask[i] = cop_stream_uniform(s) < density && (int)(i / (in_g * taps)) % 4 != dead_row &&
			  (int)(i / taps % in_g) % 4 != dead_column;
	return mask;
}

static void compress(const uint8_t *mask, struct trial *t)
{
	size_t k = 0;
	for (size_t i = 0; i < t->nw; i++)
		if (mask[i]) {
			t->w[k] = t->w[i];
			t->dw[k] = t->dw[i];
			t->dw_gross[k++] = t->dw_gross[i];
		}
	t->nw = k;
}

/* density: of the weights; 1: all of them, not listed. */
static void begin(struct trial *t, struct cop_stream *s, const struct cop_conv *d, double density)
{
	*t = (struct trial){.d = *d};
	t->nx = (size_t)(d->in_c * d->in_h * d->in_w * d->ld);
	t->ny = (size_t)(d->out_c * d->out_h * d->out_w * d->ld);
	t->nw = (size_t)(d->out_c * (d->in_c / d->groups) * d->kernel[0] * d->kernel[1]);
	t->x = normal(s, t->nx);
	t->w = normal(s, t->nw);
	t->bias = normal(s, (size_t)d->out_c);
	t->about = normal(s, (size_t)d->out_c);
	t->dy = normal(s, t->ny);
	clear_beyond(d, t->x, t->nx, 1e7f);
	clear_beyond(d, t->dy, t->ny, -1e7f);
	uint8_t *mask = density < 1 ? draw_mask(s, d, t->nw, density) : NULL;
	for (size_t i = 0; i < t->nw && mask; i++)
		t->w[i] = mask[i] ? t->w[i] : 0;
	double **all[] = {&t->y, &t->y_gross, &t->dx, &t->dx_gross, &t->dw, &t->dw_gross, &t->db, &t->db_gross};
	const size_t size[] = {t->ny, t->nx, t->nw, (size_t)d->out_c};
	for (size_t i = 0; i < 8; i++)
		*all[i] = cop_xcalloc(size[i / 2], sizeof(double));
	for (int o = 0; o < d->out_c; o++)
		for (int p = 0; p < d->out_h * d->out_w; p++)
			add_pixel(t, o, p / d->out_w, p % d->out_w);
	if (mask) {
		struct cop_err err;
		assert_int_equal(cop_sparse_init(&t->sparse, d->out_c, d->in_c, d->kernel[0] * d->kernel[1], d->groups,
						 mask, &err),
				 0);
		compress(mask, t);
		t->d.sparse = &t->sparse;
	}
	free(mask);
}

static void end(struct trial *t)
{
	void *all[] = {t->x,  t->w,  t->bias,     t->about, t->dy,       t->y,       t->y_gross,
		       t->dx, t->dw, t->dx_gross, t->db,    t->dw_gross, t->db_gross};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		free(all[i]);
	cop_sparse_release(&t->sparse);
}

static float *workspace(const struct cop_conv *d, bool backward, size_t *n)
{
	*n = engine->conv_space(d, &(struct cop_conv_use){.backward = backward, .data = true});
	float *space = floats_of(*n + GUARD, NAN);
	for (size_t i = *n; i < *n + GUARD; i++)
		space[i] = 12345;
	return space;
}

static void check_guard(const struct cop_conv *d, float *space, size_t n)
{
	char text[200];
	describe(d, text, sizeof(text));
	for (size_t i = n; i < n + GUARD; i++)
		if (space[i] != 12345)
			fail_msg("%s: the workspace was left", text);
	free(space);
}

static void run(const struct trial *t, int threads, struct result *r)
{
	const struct cop_conv *d = &t->d;
	size_t n;
	cop_cpu_set_threads(threads);
	*r = (struct result){floats_of(t->ny, NAN),
			     floats_of(t->nx, NAN),
			     floats_of(t->nw, NAN),
			     floats_of((size_t)d->out_c, NAN),
			     floats((size_t)(2 * COP_PARTS * d->out_c)),
			     0};
	const struct cop_activation x = {t->x, {.lo = -INFINITY, .hi = INFINITY}};
	const struct cop_gradient dy = {.g = t->dy};
	const struct cop_sink dx = {.g = r->dx};
	struct cop_sums sums = {r->sums, 0};
	const struct cop_output out = {
		.y = r->y, .bias = t->bias, .lo = -INFINITY, .hi = INFINITY, .about = t->about, .sums = &sums};
	float *space = workspace(d, false, &n);
	engine->conv_forward(d, &x, t->w, &out, space);
	check_guard(d, space, n);
	space = workspace(d, true, &n);
	engine->conv_backward(d, &dy, &x, t->w, &dx, r->dw, r->db, space);
	check_guard(d, space, n);
	r->parts = sums.parts;
}

static void release(struct result *r)
{
	free(r->y);
	free(r->dx);
	free(r->dw);
	free(r->db);
	free(r->sums);
}

static void judge(const struct trial *t, const float *got, const double *wanted, const double *gross, size_t n,
		  bool images, const char *what)
{
	char text[200];
	for (size_t i = 0; i < n; i++) {
		bool beyond = images && (int)(i % (size_t)t->d.ld) >= t->d.batch;
		double error = fabs((double)got[i] - wanted[i]);
		/* written so that NaN fails */
		if (beyond ? isfinite(got[i]) != 0 : error <= most * gross[i])
			continue;
		describe(&t->d, text, sizeof(text));
		fail_msg("%s: %s is %g at %zu, not %g", text, what, (double)got[i], i, wanted[i]);
	}
}

static bool same(const float *a, const float *b, size_t n)
{
	return memcmp(a, b, n * sizeof(*a)) == 0;
}

static void check_conv(struct cop_stream *s, const struct cop_conv *d, double density)
{
	struct trial t;
	struct result one, more;
	size_t out = (size_t)d->out_c;
	begin(&t, s, d, density);
	run(&t, 1, &one);
	judge(&t, one.y, t.y, t.y_gross, t.ny, true, "the output");
	judge(&t, one.dx, t.dx, t.dx_gross, t.nx, true, "the input's gradient");
	judge(&t, one.dw, t.dw, t.dw_gross, t.nw, false, "the weights' gradient");
	judge(&t, one.db, t.db, t.db_gross, out, false, "the bias's gradient");
	assert_in_range(one.parts, 1, COP_PARTS);
	for (int threads = 2; threads <= 5; threads += 3) {
		run(&t, threads, &more);
		if (!same(one.y, more.y, t.ny) || !same(one.dx, more.dx, t.nx) || !same(one.dw, more.dw, t.nw) ||
		    !same(one.db, more.db, out) || one.parts != more.parts ||
		    !same(one.sums, more.sums, (size_t)(2 * COP_PARTS) * out)) {
			char text[200];
			describe(&t.d, text, sizeof(text));
			fail_msg("%s: other bits with %d threads", text, threads);
		}
		release(&more);
	}
	release(&one);
	end(&t);
}

/* Works out the sides; false where the window does not fit. */
static bool set_sides(struct cop_conv *d)
{
	int *side[2] = {&d->out_h, &d->out_w};
	for (int i = 0; i < 2; i++) {
		int room = (i ? d->in_w : d->in_h) + 2 * d->padding[i] - d->dilation[i] * (d->kernel[i] - 1) - 1;
		if (room < 0)
			return false;
		*side[i] = room / d->stride[i] + 1;
	}
	d->ld = cop_leading(&cop_cpu_backend, d->batch);
	return true;
}

static const struct cop_conv odd[] = {
	/* pixels that no window sees, windows that see no pixel */
	{2, 1, 1, 3, .kernel = {1, 1}, .stride = {2, 2}, .padding = {1, 1}, .dilation = {1, 1}, .groups = 1,
	 .batch = 5},
	{2, 1, 1, 3, .kernel = {2, 2}, .stride = {7, 9}, .padding = {40, 30}, .dilation = {3, 5}, .groups = 1,
	 .batch = 3},
	{4, 9, 9, 4, .kernel = {1, 1}, .stride = {5, 4}, .padding = {0, 0}, .dilation = {1, 1}, .groups = 4,
	 .batch = 17},
	/* larger than the image */
	{3, 2, 5, 9, .kernel = {7, 9}, .stride = {1, 1}, .padding = {3, 4}, .dilation = {1, 1}, .groups = 1,
	 .batch = 31},
	{6, 3, 3, 6, .kernel = {5, 5}, .stride = {1, 3}, .padding = {8, 9}, .dilation = {4, 4}, .groups = 6,
	 .batch = 16},
	/* columns that do not divide; batches of one and many */
	{5, 4, 4, 7, .kernel = {3, 3}, .stride = {1, 1}, .padding = {1, 1}, .dilation = {1, 1}, .groups = 1,
	 .batch = 1000},
	{9, 3, 4, 9, .kernel = {3, 3}, .stride = {2, 2}, .padding = {1, 1}, .dilation = {1, 1}, .groups = 9,
	 .batch = 1000},
	{130, 1, 1, 75, .kernel = {1, 1}, .stride = {1, 1}, .padding = {0, 0}, .dilation = {1, 1}, .groups = 1,
	 .batch = 1},
	{70, 2, 2, 150, .kernel = {1, 1}, .stride = {1, 1}, .padding = {0, 0}, .dilation = {1, 1}, .groups = 10,
	 .batch = 33},
	{3, 33, 31, 5, .kernel = {3, 1}, .stride = {2, 1}, .padding = {1, 0}, .dilation = {1, 1}, .groups = 1,
	 .batch = 20},
};

static void test_odd_windows(void **state)
{
	(void)state;
	struct cop_stream s;
	cop_stream_init(&s, 1, COP_PURPOSE_TEST, 11, 0);
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		struct cop_conv d = odd[i];
		assert_true(set_sides(&d));
		check_conv(&s, &d, 1);
		if (d.groups != d.in_c || d.in_c != d.out_c)
			check_conv(&s, &d, 0.3);
	}
}

static bool is_quick(const struct cop_conv *d)
{
	double taps = (double)d->in_c / d->groups * d->kernel[0] * d->kernel[1];
	double outputs = (double)d->out_c * d->out_h * d->out_w * d->ld;
	return taps * outputs < 1.5e6 && outputs < 1e6;
}

static struct cop_conv draw_conv(struct cop_stream *s)
{
	static const int batches[] = {1, 2, 15, 16, 17, 48, 100, 208};
	struct cop_conv d;
	do {
		d = (struct cop_conv){.in_c = random_between(s, 1, 40), .out_c = random_between(s, 1, 40), .groups = 1};
		d.batch = batches[random_between(s, 0, 7)];
		d.in_h = random_between(s, 1, 9);
		d.in_w = random_between(s, 1, 9);
		int kind = random_between(s, 0, 3);
		if (kind == 0)
			d.groups = d.out_c = d.in_c;
		if (kind == 1) {
			d.groups = random_between(s, 2, 4);
			d.in_c *= d.groups;
			d.out_c *= d.groups;
		}
		for (int i = 0; i < 2; i++) {
			d.kernel[i] = random_between(s, 1, random_between(s, 1, 6));
			d.stride[i] = random_between(s, 1, random_between(s, 1, 5));
			d.padding[i] = random_between(s, 0, random_between(s, 0, 9));
			d.dilation[i] = random_between(s, 1, random_between(s, 1, 3));
		}
	} while (!set_sides(&d) || !is_quick(&d));
	return d;
}

static void test_drawn_windows(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 150; seed++) {
		struct cop_stream s;
		cop_stream_init(&s, seed, COP_PURPOSE_TEST, 12, 0);
		struct cop_conv d = draw_conv(&s);
		check_conv(&s, &d, 1);
	}
}

/* Each seed with some density, from nothing at all to everything. */
static void test_sparse_windows(void **state)
{
	static const double densities[] = {0, 0.01, 0.1, 0.5, 0.9};
	(void)state;
	for (uint32_t seed = 1; seed <= 150; seed++) {
		struct cop_stream s;
		cop_stream_init(&s, seed, COP_PURPOSE_TEST, 13, 0);
		struct cop_conv d = draw_conv(&s);
		while (d.groups == d.in_c && d.in_c > 1)
			d = draw_conv(&s);
		check_conv(&s, &d, densities[seed % 5]);
	}
}

/* A network of one operation between a convolution and the classes. */
static void make_net(struct cop_net *net, enum cop_op op)
{
	struct cop_graph g = {0};
	struct cop_err err = {0};
	const struct cop_conv_spec one = {.out = 3, .kernel = {1, 1}},
				   window = {.out = 3, .kernel = {3, 3}, .padding = {1, 1}};
	int x = cop_graph_conv(&g, cop_graph_input(&g, 2, 4, 4), NULL, &one);
	x = op == COP_OP_BATCH_NORM ? cop_graph_batch_norm(&g, x, NULL) : x;
	x = op == COP_OP_CONV ? cop_graph_conv(&g, x, NULL, &window) : x;
	x = op == COP_OP_ADD ? cop_graph_add(&g, x, cop_graph_conv(&g, 0, NULL, &one)) : x;
	x = op == COP_OP_MAX_POOL ? cop_graph_max_pool(&g, x, &window) : x;
	x = op == COP_OP_AVG_POOL ? cop_graph_avg_pool(&g, x, &window) : x;
	x = op == COP_OP_RELU6 ? cop_graph_relu6(&g, x) : cop_graph_relu(&g, x);
	x = op == COP_OP_GLOBAL_AVG_POOL ? cop_graph_global_avg_pool(&g, x) : cop_graph_flatten(&g, x);
	cop_graph_linear(&g, x, NULL, 2, true);
	if (cop_graph_finish(&g, 2, &err))
		fail_msg("%s", err.msg);
	cop_net_take(net, &g);
}

enum { IMAGES = 3 };

/* The logits (2, ld) of three images, into `logits`: with the first one's pixels scaled, and the first weights. */
static void run_net(const struct cop_net *net, bool training, float pixels, float weights, float logits[2][IMAGES])
{
	struct cop_work w;
	struct cop_err err = {0};
	const struct cop_graph *g = &net->graph;
	if (cop_work_init(&w, net, engine, IMAGES, training, NULL, &err))
		fail_msg("%s", err.msg);
	struct cop_stream s;
	cop_stream_init(&s, 5, COP_PURPOSE_TEST, 13, 0);
	float *x = normal(&s, (size_t)(2 * 4 * 4 * w.ld)), *param = floats(g->params.total),
	      *buffer = floats(g->buffers.total + 1);
	for (int i = 0; i < 2 * 4 * 4; i++)
		x[i * w.ld] *= pixels;
	cop_graph_draw(g, COP_INIT_KAIMING_NORMAL, 3, param, buffer);
	for (size_t i = 0; i < g->params.tensor[0].count; i++)
		param[i] *= weights;
	const float *y = cop_net_forward(&w, param, buffer, x);
	for (int k = 0; k < 2 * IMAGES; k++)
		logits[k / IMAGES][k % IMAGES] = y[k / IMAGES * w.ld + k % IMAGES];
	free(x);
	free(param);
	free(buffer);
	cop_work_release(&w);
}

static void test_nan_is_seen(void **state)
{
	(void)state;
	static const enum cop_op ops[] = {COP_OP_CONV,    COP_OP_ADD,   COP_OP_MAX_POOL,        COP_OP_AVG_POOL,
					  COP_OP_FLATTEN, COP_OP_RELU6, COP_OP_GLOBAL_AVG_POOL, COP_OP_BATCH_NORM};
	for (size_t i = 0; i < 2 * sizeof(ops) / sizeof(ops[0]); i++) {
		struct cop_net net;
		float y[2][IMAGES];
		bool training = i % 2;
		enum cop_op op = ops[i / 2];
		make_net(&net, op);
		run_net(&net, training, 1, 1, y);
		for (int k = 0; k < 2 * IMAGES; k++)
			assert_true(isfinite(y[k / IMAGES][k % IMAGES]));
		run_net(&net, training, NAN, 1, y);
		for (int k = 0; k < 2 * IMAGES; k++) {
			bool hit = k % IMAGES == 0 || (training && op == COP_OP_BATCH_NORM);
			if (isnan(y[k / IMAGES][k % IMAGES]) != hit)
				fail_msg("%s: NaN in image 0 makes %g of image %d", cop_op_name(op),
					 (double)y[k / IMAGES][k % IMAGES], k % IMAGES);
		}
		cop_net_release(&net);
	}
}

/* Values whose squares, or whose sum, are more than a float holds: a batch norm would make its bias of them. */
static void test_overflow_is_seen(void **state)
{
	(void)state;
	struct cop_net net;
	float y[2][IMAGES];
	static const float weights[] = {1e18f, 1e22f, 3e37f};
	make_net(&net, COP_OP_BATCH_NORM);
	for (int i = 0; i < 3; i++) {
		run_net(&net, true, 1, weights[i], y);
		for (int k = 0; k < 2 * IMAGES; k++)
			if (isnan(y[k / IMAGES][k % IMAGES]) != (i > 0))
				fail_msg("weights times %g: a logit is %g", (double)weights[i],
					 (double)y[k / IMAGES][k % IMAGES]);
	}
	cop_net_release(&net);
}

/* An image of one channel lies in memory as it would lie flat, but who reads it flat must read so many channels. */
static int read_flat(struct cop_graph *g, enum cop_op op, int x)
{
	const struct cop_conv_spec one = {.out = 7, .kernel = {1, 1}};
	switch (op) {
	case COP_OP_CONV:
		return cop_graph_conv(g, x, NULL, &one);
	case COP_OP_BATCH_NORM:
		return cop_graph_batch_norm(g, x, NULL);
	case COP_OP_ADD:
		return cop_graph_add(g, x, cop_graph_batch_norm(g, cop_graph_linear(g, x, NULL, 12, true), NULL));
	case COP_OP_MAX_POOL:
		return cop_graph_max_pool(g, x, &one);
	case COP_OP_GLOBAL_AVG_POOL:
		return cop_graph_global_avg_pool(g, x);
	case COP_OP_FLATTEN:
		return cop_graph_flatten(g, x);
	case COP_OP_RELU:
		return cop_graph_relu(g, x);
	default:
		return x;
	}
}

static void check_flat(enum cop_op op, struct cop_stream *s)
{
	enum { BATCH = 9, CLASSES = 3 };
	static const int32_t label[BATCH] = {0, 1, 2, 2, 1, 0, 1, 0, 2};
	struct cop_graph g = {0};
	struct cop_err err = {0};
	struct engine e;
	struct graph64 r;
	int x = cop_graph_flatten(&g, cop_graph_input(&g, 1, 3, 4));
	cop_graph_linear(&g, read_flat(&g, op, x), NULL, CLASSES, true);
	if (cop_graph_finish(&g, CLASSES, &err))
		fail_msg("%s", err.msg);
	engine_init(&e, &g, BATCH, true);
	cop_graph_draw(&e.net.graph, COP_INIT_KAIMING_NORMAL, 4, e.param, e.buffer);
	graph64_init(&r, &e.net.graph, BATCH);
	graph64_load(&r, e.param, e.buffer);
	for (size_t i = 0; i < graph64_count(&r, 0); i++)
		r.y[0][i] = (double)(float)cop_stream_normal(s);
	graph64_forward(&r, true);
	double wanted = graph64_loss(&r, label);
	engine_forward(&e, r.y[0], label);
	if (!(fabs(e.loss - wanted) < 1e-5))
		fail_msg("%s of a flat image: the loss is %g, not %g", cop_op_name(op), e.loss, wanted);
	engine_backward(&e);
	graph64_backward(&r);
	for (size_t i = 0; i < e.net.graph.params.total; i++)
		if (!(fabs((double)e.grad[i] - r.grad[i]) <= 1e-5 * (1 + r.gross[i])))
			fail_msg("%s of a flat image: a gradient is %g, not %g", cop_op_name(op), (double)e.grad[i],
				 r.grad[i]);
	graph64_release(&r);
	engine_release(&e);
}

static void test_flat_images(void **state)
{
	(void)state;
	static const enum cop_op ops[] = {COP_OP_LINEAR,  COP_OP_BATCH_NORM,      COP_OP_ADD,      COP_OP_RELU,
					  COP_OP_FLATTEN, COP_OP_GLOBAL_AVG_POOL, COP_OP_MAX_POOL, COP_OP_CONV};
	struct cop_stream s;
	cop_stream_init(&s, 6, COP_PURPOSE_TEST, 14, 0);
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		check_flat(ops[i], &s);
}

/* Which kernels there are is chosen before main, so each build has a run of its own. */
static void run_again(char **argv, const char *kernels)
{
	setenv("COPPICE_KERNELS", kernels, 1);
	execv("/proc/self/exe", argv);
	print_message("# cannot run again with other kernels\n");
}

int main(int argc, char **argv)
{
	(void)argc;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_odd_windows),      cmocka_unit_test(test_drawn_windows),
		cmocka_unit_test(test_sparse_windows),   cmocka_unit_test(test_nan_is_seen),
		cmocka_unit_test(test_overflow_is_seen), cmocka_unit_test(test_flat_images),
	};
	const char *now = getenv("COPPICE_KERNELS");
	print_message("# kernels: %s\n", cop_kernels()->name);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	if (failed)
		return failed;
	if (!now || !*now)
		run_again(argv, "avx2");
	else if (strcmp(now, "avx2") == 0)
		run_again(argv, "plain");
	return 0;
}
