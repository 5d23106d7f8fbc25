/*
 * What the backend does for linear layers and the loss, in float32, against central differences of an independent
 * float64 reference; the ranks of labels; the optimizers with and without masks. Whole networks: test_engine.c.
 */
#include "base/mem.h"
#include "base/rng.h"
#include "floats.h"
#include "reference64.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* An error is the largest one of a tensor over the largest gradient in it. */
static const double most_gradient = 1e-5, most_loss = 1e-6;

static const struct cop_backend *const engine = &cop_cpu_backend;

static double *doubles(size_t n)
{
	return cop_xcalloc(n, sizeof(double));
}

static struct cop_stream random_from(uint32_t seed)
{
	struct cop_stream s;
	cop_stream_init(&s, seed, COP_PURPOSE_TEST, 0, 0);
	return s;
}

static void fill(struct cop_stream *s, float *p, size_t n, double scale)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (float)(scale * cop_stream_normal(s));
}

/* The same spread, but quick to draw. */
static void fill_evenly(struct cop_stream *s, float *p, size_t n, double scale)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (float)(scale * 0x1p-31 * ((double)cop_stream_u32(s) - 0x1p31));
}

/* (rows, ld) of float to (rows, batch) of double: the engine's padding stays behind. */
static void unpad(const float *from, double *to, int rows, int ld, int batch)
{
	for (int r = 0; r < rows; r++)
		for (int n = 0; n < batch; n++)
			to[r * batch + n] = (double)from[r * ld + n];
}

/* Values and their reference, gathered until the verdict. */
struct verdict {
	double worst, largest;
	size_t n;
};

static void compare(struct verdict *v, double got, double wanted)
{
	double error = fabs(got - wanted);
	/* written so that NaN is the worst of all */
	if (!(error <= v->worst))
		v->worst = error;
	v->largest = fmax(v->largest, fabs(wanted));
	v->n++;
}

static void judge(const struct verdict *v, double most, uint32_t seed, const char *what)
{
	if (v->n == 0 || !(v->worst <= most * v->largest))
		fail_msg("%s (seed %u): error %g, largest value %g, %zu compared", what, seed, v->worst, v->largest,
			 v->n);
}

/* One linear layer with random everything, and the function sum(c * y) whose gradients are looked at. */
struct layer {
	struct cop_linear d;
	int batch;
	float *w, *b, *x, *c;
	double *w64, *b64, *x64, *c64, *y64;
};

static void make_layer(struct layer *l, struct cop_linear d, int batch, struct cop_stream *s)
{
	size_t in = (size_t)d.in, out = (size_t)d.out, ld = (size_t)cop_leading(&cop_cpu_backend, batch);
	d.ld = (int)ld;
	*l = (struct layer){.d = d, .batch = batch};
	fill(s, l->w = floats(in * out), in * out, 1);
	fill(s, l->b = floats(out), out, 1);
	fill(s, l->x = floats(in * ld), in * ld, 1);
	fill(s, l->c = floats(out * ld), out * ld, 1);
	for (size_t i = 0; d.from_relu && i < in * ld; i++)
		l->x[i] = l->x[i] > 0 ? l->x[i] : 0;
	for (size_t o = 0; o < out; o++)
		memset(l->c + o * ld + batch, 0, (ld - (size_t)batch) * sizeof(float));
	unpad(l->w, l->w64 = doubles(in * out), d.out, d.in, d.in);
	unpad(l->b, l->b64 = doubles(out), d.out, 1, 1);
	unpad(l->x, l->x64 = doubles(in * (size_t)batch), d.in, (int)ld, batch);
	unpad(l->c, l->c64 = doubles(out * (size_t)batch), d.out, (int)ld, batch);
	l->y64 = doubles(out * (size_t)batch);
}

static void free_layer(struct layer *l)
{
	void *all[] = {l->w, l->b, l->x, l->c, l->w64, l->b64, l->x64, l->c64, l->y64};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		free(all[i]);
}

static double value(const struct layer *l)
{
	double sum = 0;
	ref_linear(l->d.in, l->d.out, l->batch, false, l->w64, l->b64, l->x64, l->y64);
	for (int i = 0; i < l->d.out * l->batch; i++)
		sum += l->c64[i] * l->y64[i];
	return sum;
}

/* d value / d *at; *at is one of the layer's doubles. The function is linear in each, so a wide step is exact. */
static double slope(struct layer *l, double *at)
{
	double kept = *at, h = 0.25;
	*at = kept + h;
	double up = value(l);
	*at = kept - h;
	double down = value(l);
	*at = kept;
	return (up - down) / (2 * h);
}

/* About 40 places of each tensor, the last among them. */
static size_t stride(size_t n)
{
	return n > 40 ? n / 40 : 1;
}

static void check_forward(const struct layer *l, uint32_t seed)
{
	struct verdict v = {0};
	float *y = floats((size_t)l->d.out * (size_t)l->d.ld);
	engine->linear_forward(&l->d, l->w, l->b, l->x, y);
	ref_linear(l->d.in, l->d.out, l->batch, l->d.relu, l->w64, l->b64, l->x64, l->y64);
	for (int o = 0; o < l->d.out; o++)
		for (int n = 0; n < l->batch; n++)
			compare(&v, (double)y[o * l->d.ld + n], l->y64[o * l->batch + n]);
	if (v.largest > 0)
		judge(&v, most_loss, seed, "linear_forward");
	free(y);
}

static void check_weights(struct layer *l, uint32_t seed)
{
	struct verdict weights = {0}, biases = {0};
	size_t n = (size_t)l->d.in * (size_t)l->d.out, out = (size_t)l->d.out;
	float *dw = floats(n), *db = floats(out);
	engine->linear_backward_weights(&l->d, l->c, l->x, dw, db);
	for (size_t i = 0; i < n; i += stride(n))
		compare(&weights, (double)dw[i], slope(l, &l->w64[i]));
	compare(&weights, (double)dw[n - 1], slope(l, &l->w64[n - 1]));
	for (size_t i = 0; i < out; i += stride(out))
		compare(&biases, (double)db[i], slope(l, &l->b64[i]));
	judge(&weights, most_gradient, seed, "linear_backward_weights, weight");
	judge(&biases, most_gradient, seed, "linear_backward_weights, bias");
	free(dw);
	free(db);
}

/* Behind a ReLU the gradient is of what went into it: 0 where that was not positive. */
static void check_data(struct layer *l, uint32_t seed)
{
	struct verdict v = {0};
	size_t in = (size_t)l->d.in, ld = (size_t)l->d.ld, batch = (size_t)l->batch, n = in * batch;
	float *dx = floats(in * ld);
	engine->linear_backward_data(&l->d, l->w, l->c, l->x, dx);
	for (size_t i = 0; i < n; i += stride(n)) {
		bool cut = l->d.from_relu && !(l->x64[i] > 0);
		compare(&v, (double)dx[i / batch * ld + i % batch], cut ? 0 : slope(l, &l->x64[i]));
		if (cut)
			assert_true(dx[i / batch * ld + i % batch] == 0);
	}
	if (v.largest > 0)
		judge(&v, most_gradient, seed, "linear_backward_data");
	else
		assert_true(v.worst == 0);
	free(dx);
}

static void test_linear(void **state)
{
	(void)state;
	/* odd sizes, one image, whole and broken sixteens, and one large enough to be cut into blocks for threads */
	const int shape[][3] = {{1, 1, 1},   {3, 2, 1},     {7, 5, 16},   {16, 16, 17},
				{5, 40, 31}, {33, 129, 48}, {129, 33, 2}, {210, 200, 50}};
	for (uint32_t k = 0; k < sizeof(shape) / sizeof(shape[0]); k++)
		for (uint32_t relu = 0; relu < 2; relu++) {
			uint32_t seed = 100 + 2 * k + relu;
			struct cop_stream s = random_from(seed);
			struct layer l;
			struct cop_linear d = {
				.in = shape[k][0], .out = shape[k][1], .relu = relu != 0, .from_relu = relu != 0};
			make_layer(&l, d, shape[k][2], &s);
			check_forward(&l, seed);
			check_weights(&l, seed);
			check_data(&l, seed);
			free_layer(&l);
		}
}

/* The loss and its gradient with logits of some scale. */
static void check_softmax(int classes, int batch, double scale, uint32_t seed)
{
	size_t ld = (size_t)cop_leading(&cop_cpu_backend, batch), n = (size_t)(classes * batch);
	struct cop_stream s = random_from(seed);
	struct verdict v = {0}, loss_verdict = {0};
	struct cop_loss loss = {0};
	float *logits = floats((size_t)classes * ld), *dy = floats((size_t)classes * ld);
	double *logits64 = doubles(n);
	int32_t *label = cop_xcalloc((size_t)batch, sizeof(*label));
	fill(&s, logits, (size_t)classes * ld, scale);
	fill(&s, dy, (size_t)classes * ld, 1);
	for (int i = 0; i < batch; i++)
		label[i] = (int32_t)cop_stream_below(&s, (uint32_t)classes);
	unpad(logits, logits64, classes, (int)ld, batch);
	engine->softmax_xent(classes, batch, (int)ld, logits, label, dy, &loss);
	compare(&loss_verdict, loss.loss / batch, ref_loss(classes, batch, logits64, label));
	judge(&loss_verdict, most_loss, seed, "loss");
	assert_int_equal(loss.images, batch);
	for (size_t i = 0; i < n; i++) {
		double kept = logits64[i], h = 1e-5;
		logits64[i] = kept + h;
		double up = ref_loss(classes, batch, logits64, label);
		logits64[i] = kept - h;
		double down = ref_loss(classes, batch, logits64, label);
		logits64[i] = kept;
		compare(&v, (double)dy[i / (size_t)batch * ld + i % (size_t)batch], (up - down) / (2 * h));
	}
	judge(&v, most_gradient, seed, "gradient of the loss");
	for (int k = 0; k < classes; k++)
		for (size_t i = (size_t)batch; i < ld; i++)
			assert_true(dy[(size_t)k * ld + i] == 0);
	free(logits);
	free(dy);
	free(logits64);
	free(label);
}

static void test_softmax(void **state)
{
	(void)state;
	check_softmax(2, 1, 1, 1);
	check_softmax(10, 1, 1, 2);
	check_softmax(10, 16, 1, 3);
	check_softmax(10, 37, 1, 4);
	check_softmax(100, 5, 3, 5);
	check_softmax(3, 50, 0.01, 6);
	check_softmax(10, 33, 20, 7);
}

/* Logits so large that their exponentials overflow: the loss is a difference of two, the gradient 0 and 1. */
static void test_huge_logits(void **state)
{
	(void)state;
	enum { CLASSES = 3, LD = 16 };
	float logits[CLASSES * LD] = {0}, dy[CLASSES * LD];
	const float column[][CLASSES] = {{1e30f, -1e30f, 0}, {1e4f, 9e3f, 9e3f}, {-1e6f, -1e6f, -1e6f - 800}};
	const int32_t label[] = {0, 1, 1};
	for (int n = 0; n < 3; n++)
		for (int k = 0; k < CLASSES; k++)
			logits[k * LD + n] = column[n][k];
	struct cop_loss loss = {0};
	engine->softmax_xent(CLASSES, 3, LD, logits, label, dy, &loss);
	assert_true(fabs(loss.loss - (0 + 1000 + log(2))) < 1e-6 * 1000);
	const double wanted[][CLASSES] = {{0, 0, 0}, {1, -1, 0}, {0.5, -0.5, 0}};
	for (int n = 0; n < 3; n++)
		for (int k = 0; k < CLASSES; k++)
			assert_true(fabs((double)dy[k * LD + n] * 3 - wanted[n][k]) < 1e-6);
	const int32_t worst[] = {1, 2, 2};
	loss = (struct cop_loss){0};
	engine->softmax_xent(CLASSES, 1, LD, logits, worst, NULL, &loss);
	assert_true(fabs(loss.loss / 2e30 - 1) < 1e-6);
	/* what has no loss must not look as if it had one */
	logits[0] = NAN;
	loss = (struct cop_loss){0};
	engine->softmax_xent(CLASSES, 1, LD, logits, label, dy, &loss);
	assert_true(isnan(loss.loss));
	assert_int_equal(loss.top1, 0);
}

static struct cop_loss ranks(const float *column, int classes, int32_t label)
{
	struct cop_loss loss = {0};
	float logits[16 * 16] = {0};
	for (int k = 0; k < classes; k++)
		logits[k * 16] = column[k];
	engine->softmax_xent(classes, 1, 16, logits, &label, NULL, &loss);
	return loss;
}

/* Equal logits rank by class. */
static void test_ranks(void **state)
{
	(void)state;
	const float equal[10] = {0};
	const float steps[10] = {5, 9, 9, 1, 7, 7, 7, 2, 0, 7};
	/* classes by rank: 1 2 4 5 6 9 0 7 3 8 */
	const int rank[10] = {6, 0, 1, 8, 2, 3, 4, 7, 9, 5};
	for (int32_t k = 0; k < 10; k++) {
		assert_int_equal(ranks(equal, 10, k).top1, k == 0);
		assert_int_equal(ranks(equal, 10, k).top5, k < 5);
		assert_int_equal(ranks(steps, 10, k).top1, rank[k] == 0);
		assert_int_equal(ranks(steps, 10, k).top5, rank[k] < 5);
		if (k < 3)
			assert_int_equal(ranks(equal, 3, k).top5, 1);
	}
}

/* Fifty steps of both, with gradients that are given. 16,403 values: more than one of the engine's blocks. */
enum { WEIGHTS = 16403, STEPS = 50 };

struct optimizer {
	const char *name;
	float lr;
	struct cop_sgd sgd;
	struct cop_adam adam;
	bool is_adam;
};

static const struct optimizer optimizers[] = {
	{.name = "sgd", .lr = 0.1f},
	{.name = "momentum and decay", .lr = 0.05f, .sgd = {.momentum = 0.9f, .weight_decay = 5e-3f}},
	{.name = "nesterov and decay", .lr = 0.05f, .sgd = {.momentum = 0.9f, .weight_decay = 5e-3f, .nesterov = true}},
	{.name = "adam", .lr = 0.0012f, .adam = {.beta1 = 0.9f, .beta2 = 0.999f, .epsilon = 1e-8f}, .is_adam = true},
	{.name = "adam and decay",
	 .lr = 0.01f,
	 .adam = {.beta1 = 0.8f, .beta2 = 0.99f, .epsilon = 1e-3f, .weight_decay = 0.05f},
	 .is_adam = true},
};
enum { OPTIMIZERS = sizeof(optimizers) / sizeof(optimizers[0]) };

static void step_engine(const struct optimizer *o, int t, const float *g, const uint8_t *mask, float *w, float *m,
			float *v)
{
	const struct cop_dials dials = {.updates = t - 1, .lr = o->lr};
	if (o->is_adam) {
		engine->adam(&o->adam, &dials, WEIGHTS, g, mask, w, m, v);
	} else {
		engine->sgd(&o->sgd, &dials, WEIGHTS, g, mask, w, v);
	}
}

static void test_optimizers(void **state)
{
	(void)state;
	for (int k = 0; k < OPTIMIZERS; k++) {
		const struct optimizer *o = &optimizers[k];
		uint32_t seed = 50 + (uint32_t)k;
		struct cop_stream s = random_from(seed);
		float *g = floats(WEIGHTS), *w = floats(WEIGHTS), *m = floats(WEIGHTS), *v = floats(WEIGHTS);
		double *w64 = doubles(WEIGHTS), *m64 = doubles(WEIGHTS), *v64 = doubles(WEIGHTS);
		fill(&s, w, WEIGHTS, 0.1);
		unpad(w, w64, WEIGHTS, 1, 1);
		for (int t = 1; t <= STEPS; t++) {
			fill_evenly(&s, g, WEIGHTS, 0.2);
			step_engine(o, t, g, NULL, w, m, v);
			for (int i = 0; i < WEIGHTS && o->is_adam; i++)
				ref_adam(&o->adam, o->lr, t, (double)g[i], &w64[i], &m64[i], &v64[i]);
			for (int i = 0; i < WEIGHTS && !o->is_adam; i++)
				ref_sgd(&o->sgd, o->lr, (double)g[i], &w64[i], &v64[i]);
		}
		struct verdict of_w = {0}, of_m = {0}, of_v = {0};
		for (int i = 0; i < WEIGHTS; i++) {
			compare(&of_w, (double)w[i], w64[i]);
			compare(&of_m, (double)m[i], m64[i]);
			compare(&of_v, (double)v[i], v64[i]);
		}
		judge(&of_w, 1e-5, seed, o->name);
		judge(&of_v, 1e-5, seed, o->name);
		judge(&of_m, 1e-5, seed, o->name);
		void *all[] = {g, w, m, v, w64, m64, v64};
		for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
			free(all[i]);
	}
}

/*
 * A pruned weight is 0.0f in every bit after every step, whatever its gradient (NaN among them), and what is kept goes
 * the same way as without the mask.
 */
static void check_masked(const struct optimizer *o, uint32_t seed)
{
	struct cop_stream s = random_from(seed);
	float *g = floats(WEIGHTS), *w = floats(WEIGHTS), *m = floats(WEIGHTS), *v = floats(WEIGHTS);
	float *w0 = floats(WEIGHTS), *m0 = floats(WEIGHTS), *v0 = floats(WEIGHTS);
	uint8_t *mask = cop_xmalloc(WEIGHTS);
	const float nothing = 0.0f;
	fill(&s, w, WEIGHTS, 0.1);
	memcpy(w0, w, WEIGHTS * sizeof(float));
	for (int i = 0; i < WEIGHTS; i++) {
		mask[i] = cop_stream_below(&s, 5) == 0;
		w[i] = mask[i] ? w[i] : 0.0f;
	}
	for (int t = 1; t <= 100; t++) {
		fill_evenly(&s, g, WEIGHTS, 0.2);
		step_engine(o, t, g, NULL, w0, m0, v0);
		for (int i = 0; i < WEIGHTS; i++)
			g[i] = mask[i] ? g[i] : i % 3 == 0 ? NAN : i % 3 == 1 ? -INFINITY : 1e30f;
		step_engine(o, t, g, mask, w, m, v);
		for (int i = 0; i < WEIGHTS; i++)
			if (memcmp(&w[i], mask[i] ? &w0[i] : &nothing, sizeof(float)) != 0)
				fail_msg("%s (seed %u), step %d, weight %d, mask %d: %a", o->name, seed, t, i, mask[i],
					 (double)w[i]);
	}
	for (int i = 0; i < WEIGHTS; i++)
		assert_true(mask[i] || (m[i] == 0 && v[i] == 0));
	void *all[] = {g, w, m, v, w0, m0, v0, mask};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		free(all[i]);
}

static void test_masked(void **state)
{
	(void)state;
	for (int k = 0; k < OPTIMIZERS; k++)
		check_masked(&optimizers[k], 70 + (uint32_t)k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_linear), cmocka_unit_test(test_softmax),    cmocka_unit_test(test_huge_logits),
		cmocka_unit_test(test_ranks),  cmocka_unit_test(test_optimizers), cmocka_unit_test(test_masked),
	};
	cop_cpu_set_threads(2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
