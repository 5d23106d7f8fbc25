/*
 * The gradients of nn/gradient64.h against the plain network in float64 (graph64.h) over drawn networks: of the loss in
 * training, by running statistics, with linear activations, of the sum of the outputs; products with second derivatives
 * against differences of its gradients; the same bits for any number of threads.
 */
#include "base/mem.h"
#include "base/rng.h"
#include "compute/backend.h"
#include "graph64.h"
#include "nn/gradient64.h"
#include "random_graph.h"
#include "sanitized.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A drawn network with numbers, on both sides. */
struct subject {
	struct cop_graph g;
	struct graph64 r;
	struct cop_stream s;
	uint32_t seed;
	int batch, classes;
	float *x;
	int32_t *label;
	double *out; /* of the code under test */
	double loss;
};

static double *doubles(size_t n)
{
	return cop_xcalloc(n + 1, sizeof(double));
}

static void begin(struct subject *u, uint32_t seed)
{
	*u = (struct subject){.seed = seed};
	cop_stream_init(&u->s, seed, COP_PURPOSE_TEST, 1, 0);
}

static void draw_numbers(struct subject *u)
{
	struct graph64 *r = &u->r;
	for (size_t k = 0; k < u->g.params.n; k++) {
		const struct cop_tensor *t = &u->g.params.tensor[k];
		double scale = t->rank > 1 ? sqrt(2 * (double)t->dim[0] / (double)t->count) : 1;
		for (size_t i = t->offset; i < t->offset + t->count; i++)
			r->param[i] = scale * cop_stream_normal(&u->s);
	}
	for (size_t i = 0; i < u->g.buffers.total; i++)
		r->buffer[i] = 0.5 + cop_stream_uniform(&u->s);
	for (size_t i = 0; i < graph64_count(r, 0); i++)
		r->y[0][i] = (double)(u->x[i] = (float)cop_stream_normal(&u->s));
}

/* Numbers that keep away from kinks, by `margin` of a tensor's root mean square (0: any). */
static void set_up(struct subject *u, int batch, bool training, double margin)
{
	struct cop_err err = {0};
	if (cop_graph_finish(&u->g, u->classes, &err))
		fail_msg("seed %u: %s", u->seed, err.msg);
	u->batch = batch;
	graph64_init(&u->r, &u->g, batch);
	u->x = cop_xcalloc(graph64_count(&u->r, 0), sizeof(float));
	u->label = cop_xcalloc((size_t)batch, sizeof(*u->label));
	u->out = doubles(u->g.params.total);
	for (int i = 0; i < batch; i++)
		u->label[i] = random_between(&u->s, 0, u->classes - 1);
	double found = -1;
	for (int turn = 0; turn < 300 && found < margin; turn++) {
		draw_numbers(u);
		graph64_forward(&u->r, training);
		found = graph64_margin(&u->r);
	}
	if (found < margin)
		fail_msg("seed %u: every draw comes near a kink", u->seed);
}

static void tear_down(struct subject *u)
{
	free(u->x);
	free(u->label);
	free(u->out);
	graph64_release(&u->r);
	cop_graph_release(&u->g);
}

/* The code under test, into u->out. */
static void work_out(struct subject *u, const struct cop_gradient64_mode *mode, const double *direction, bool sum)
{
	struct cop_gradient64 *d;
	struct cop_err err = {0};
	const struct cop_place64 at = {.param = u->r.param, .buffer = u->r.buffer, .direction = direction};
	if (cop_gradient64_new(&d, &u->g, u->batch, mode, &err))
		fail_msg("seed %u: %s", u->seed, err.msg);
	memset(u->out, 0, u->g.params.total * sizeof(double));
	u->loss = cop_gradient64_add(d, &at, u->x, sum ? NULL : u->label, u->out);
	cop_gradient64_free(d);
}

/* The norm of a tensor's errors over its norm; `gross`: what its terms add up to without signs. */
static void compare(const struct subject *u, const double *wanted, const double *gross, double most)
{
	for (size_t k = 0; k < u->g.params.n; k++) {
		const struct cop_tensor *t = &u->g.params.tensor[k];
		double off = 0, norm = 0, noise = 0;
		for (size_t i = t->offset; i < t->offset + t->count; i++) {
			off += (u->out[i] - wanted[i]) * (u->out[i] - wanted[i]);
			norm += wanted[i] * wanted[i];
			noise += gross[i] * gross[i];
		}
		if (!(sqrt(off) <= most * sqrt(norm) + 1e-13 * sqrt(noise)))
			fail_msg("seed %u, batch %d: '%s' is off by %g of %g (gross %g)", u->seed, u->batch, t->name,
				 sqrt(off), sqrt(norm), sqrt(noise));
	}
}

static void expect_loss(const struct subject *u, double wanted)
{
	if (!(fabs(u->loss - wanted) <= 1e-11 * (1 + fabs(wanted))))
		fail_msg("seed %u: a loss of %.15g, not %.15g", u->seed, u->loss, wanted);
}

static int any_batch(struct subject *u)
{
	static const int batches[] = {2, 3, 5, 16, 33};
	return batches[random_between(&u->s, 0, 4)];
}

/* As in training: batch norms by the batch. */
static void test_training(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 60; seed += every(7)) {
		struct subject u;
		begin(&u, seed);
		int batch = any_batch(&u);
		u.classes = random_graph(&u.g, &u.s, random_between(&u.s, 1, 8), batch, 24);
		set_up(&u, batch, true, 1e-8);
		double loss = graph64_loss(&u.r, u.label);
		graph64_backward(&u.r);
		work_out(&u, &(struct cop_gradient64_mode){0}, NULL, false);
		expect_loss(&u, loss);
		compare(&u, u.r.grad, u.r.gross, 1e-10);
		tear_down(&u);
	}
}

/*
 * By running statistics a batch norm is w x + b of each channel, w = gamma/s and b = beta - mean gamma/s: for the plain
 * network it is made a convolution of each channel by itself, whose tensors lie where the batch norm's do.
 */
static void norms_to_convolutions(struct subject *u, struct cop_graph *plain)
{
	for (int k = 0; k < plain->n; k++) {
		struct cop_node *d = &plain->node[k];
		if (d->op != COP_OP_BATCH_NORM)
			continue;
		d->op = COP_OP_CONV;
		d->bias = true;
		d->conv = (struct cop_conv_spec){
			.out = d->c, .kernel = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}, .groups = d->c};
		for (int c = 0; c < d->c; c++) {
			double *w = &u->r.param[d->weight + (size_t)c], *b = &u->r.param[d->bias_at + (size_t)c];
			double s = sqrt(u->r.buffer[d->running_var + (size_t)c] + d->epsilon);
			*w /= s;
			*b -= u->r.buffer[d->running_mean + (size_t)c] * *w;
		}
	}
}

/* dgamma = (dw - mean db) / s. */
static void slopes_of_norms(struct subject *u)
{
	for (int k = 0; k < u->g.n; k++) {
		const struct cop_node *d = &u->g.node[k];
		for (int c = 0; d->op == COP_OP_BATCH_NORM && c < d->c; c++) {
			size_t w = d->weight + (size_t)c, b = d->bias_at + (size_t)c;
			double s = sqrt(u->r.buffer[d->running_var + (size_t)c] + d->epsilon);
			double mean = u->r.buffer[d->running_mean + (size_t)c];
			u->r.grad[w] = (u->r.grad[w] - mean * u->r.grad[b]) / s;
			u->r.gross[w] = (u->r.gross[w] + fabs(mean) * u->r.gross[b]) / s;
		}
	}
}

/* Of the network with its batch norms as convolutions; `linear`: its activations let everything through. */
static double plain_gradient(struct subject *u, bool linear, bool sum)
{
	struct cop_graph plain = u->g;
	plain.node = cop_xcalloc((size_t)u->g.n, sizeof(*plain.node));
	memcpy(plain.node, u->g.node, (size_t)u->g.n * sizeof(*plain.node));
	double *param = doubles(u->g.params.total), loss = 0;
	memcpy(param, u->r.param, u->g.params.total * sizeof(double));
	norms_to_convolutions(u, &plain);
	for (int k = 0; k < plain.n && linear; k++)
		if (plain.node[k].op == COP_OP_RELU || plain.node[k].op == COP_OP_RELU6) {
			plain.node[k].op = COP_OP_DROPOUT;
			plain.node[k].rate = 0;
		}
	int last = plain.n - 1;
	u->r.graph = &plain;
	graph64_forward(&u->r, false);
	if (!sum)
		loss = graph64_loss(&u->r, u->label);
	for (size_t i = 0; i < graph64_count(&u->r, last) && sum; i++) {
		u->r.dy[last][i] = 1;
		loss += u->r.y[last][i];
	}
	graph64_backward(&u->r);
	u->r.graph = &u->g;
	memcpy(u->r.param, param, u->g.params.total * sizeof(double));
	slopes_of_norms(u);
	free(plain.node);
	free(param);
	return loss;
}

/* graph64's dropout goes by its keep, which only its own have. */
static void keep_all(struct subject *u)
{
	for (int k = 0; k < u->g.n; k++) {
		enum cop_op op = u->g.node[k].op;
		if (op != COP_OP_RELU && op != COP_OP_RELU6)
			continue;
		u->r.keep[k] = doubles(graph64_count(&u->r, k));
		for (size_t i = 0; i < graph64_count(&u->r, k); i++)
			u->r.keep[k][i] = 1;
	}
}

static void test_running(void **state)
{
	(void)state;
	for (uint32_t seed = 100; seed < 132; seed += every(7)) {
		struct subject u;
		begin(&u, seed);
		/* of 70 the images are done in parts */
		int batch = seed % 4 ? any_batch(&u) : 70;
		bool linear = seed % 2, sum = seed % 3 == 0;
		u.classes = random_graph(&u.g, &u.s, random_between(&u.s, 1, seed % 4 ? 8 : 3), batch, 24);
		set_up(&u, batch, false, 1e-9);
		keep_all(&u);
		double loss = plain_gradient(&u, linear, sum);
		work_out(&u, &(struct cop_gradient64_mode){.running = true, .linear = linear}, NULL, sum);
		expect_loss(&u, loss);
		compare(&u, u.r.grad, u.r.gross, 1e-10);
		tear_down(&u);
	}
}

/* The gradient at w + step v, of the loss with logits over the temperature. */
static void gradient_at(struct subject *u, const double *w, const double *v, double step, double temperature)
{
	int last = u->g.n - 1;
	size_t logits = graph64_count(&u->r, last);
	for (size_t i = 0; i < u->g.params.total; i++)
		u->r.param[i] = w[i] + step * v[i];
	graph64_forward(&u->r, true);
	for (size_t i = 0; i < logits; i++)
		u->r.y[last][i] /= temperature;
	graph64_loss(&u->r, u->label);
	for (size_t i = 0; i < logits; i++)
		u->r.dy[last][i] /= temperature;
	graph64_backward(&u->r);
}

/* Differences of the fourth order. */
static void differences(struct subject *u, const double *v, double step, double temperature, double *wanted)
{
	static const double at[4] = {-2, -1, 1, 2}, factor[4] = {1, -8, 8, -1};
	double *w = doubles(u->g.params.total);
	memcpy(w, u->r.param, u->g.params.total * sizeof(double));
	for (int k = 0; k < 4; k++) {
		gradient_at(u, w, v, at[k] * step, temperature);
		for (size_t i = 0; i < u->g.params.total; i++)
			wanted[i] += factor[k] * u->r.grad[i] / (12 * step);
	}
	memcpy(u->r.param, w, u->g.params.total * sizeof(double));
	free(w);
}

static void test_second(void **state)
{
	(void)state;
	for (uint32_t seed = 200; seed < 240; seed += every(7)) {
		struct subject u;
		begin(&u, seed);
		int batch = any_batch(&u);
		u.classes = random_graph(&u.g, &u.s, random_between(&u.s, 1, 5), batch, 24);
		double margin = batch < 10 ? 1e-4 : 2e-5, temperature = seed % 3 ? 1 : 200;
		set_up(&u, batch, true, margin);
		double *v = doubles(u.g.params.total), *wanted = doubles(u.g.params.total);
		double step = 0.02 * margin;
		/* of the weights that can be pruned, or of all parameters */
		for (size_t k = 0; k < u.g.params.n; k++) {
			const struct cop_tensor *t = &u.g.params.tensor[k];
			for (size_t i = t->offset; i < t->offset + t->count && (t->prunable || seed % 2); i++)
				v[i] = u.r.param[i] * cop_stream_normal(&u.s);
		}
		differences(&u, v, step, temperature, wanted);
		/* what the differences are off by for rounding */
		for (size_t i = 0; i < u.g.params.total; i++)
			u.r.gross[i] *= 0.3 / step;
		work_out(&u, &(struct cop_gradient64_mode){.second = true, .temperature = temperature}, v, false);
		compare(&u, wanted, u.r.gross, 1e-6);
		free(v);
		free(wanted);
		tear_down(&u);
	}
}

/* Images whose columns are taken some rows at a time, with strides, dilation and groups. */
static void large_graph(struct subject *u, uint32_t seed)
{
	begin(u, seed);
	const struct cop_conv_spec a = {.out = 24, .kernel = {3, 3}, .padding = {1, 1}};
	const struct cop_conv_spec b = {
		.out = 16, .kernel = {5, 3}, .padding = {3, 0}, .stride = {1, 2}, .dilation = {2, 1}, .groups = 2};
	int x = cop_graph_conv(&u->g, cop_graph_input(&u->g, 3, 90, 70), "a", &a);
	x = cop_graph_relu(&u->g, x);
	x = cop_graph_conv(&u->g, x, "b", &a);
	x = cop_graph_conv(&u->g, x, "c", &b);
	cop_graph_linear(&u->g, cop_graph_global_avg_pool(&u->g, x), "fc", 4, true);
	u->classes = 4;
}

static void test_large(void **state)
{
	(void)state;
	struct subject u;
	large_graph(&u, 300);
	set_up(&u, 3, true, 0);
	double loss = graph64_loss(&u.r, u.label);
	graph64_backward(&u.r);
	work_out(&u, &(struct cop_gradient64_mode){0}, NULL, false);
	expect_loss(&u, loss);
	compare(&u, u.r.grad, u.r.gross, 1e-10);
	tear_down(&u);
}

/* The same bits for any number of threads, of gradients and of second derivatives. */
static void test_threads(void **state)
{
	(void)state;
	for (uint32_t seed = 400; seed < 408; seed += every(3)) {
		struct subject u;
		if (seed == 400) {
			large_graph(&u, seed);
		} else {
			begin(&u, seed);
			u.classes = random_graph(&u.g, &u.s, 4, 33, 24);
		}
		set_up(&u, seed == 400 ? 3 : 33, true, 0);
		const struct cop_gradient64_mode mode = {.second = seed % 2};
		double *first = doubles(u.g.params.total);
		for (int threads = 1; threads <= 3; threads++) {
			cop_cpu_set_threads(threads);
			work_out(&u, &mode, u.r.param, false);
			if (threads == 1)
				memcpy(first, u.out, u.g.params.total * sizeof(double));
			else if (memcmp(first, u.out, u.g.params.total * sizeof(double)) != 0)
				fail_msg("seed %u: %d threads give other bits than one", seed, threads);
		}
		cop_cpu_set_threads(2);
		free(first);
		tear_down(&u);
	}
}

/* Padding between tensors is not touched, and what is there is added to. */
static void test_adds(void **state)
{
	(void)state;
	struct subject u;
	begin(&u, 500);
	u.classes = random_graph(&u.g, &u.s, 4, 5, 24);
	set_up(&u, 5, true, 0);
	size_t n = u.g.params.total;
	double *once = doubles(n);
	work_out(&u, &(struct cop_gradient64_mode){0}, NULL, false);
	memcpy(once, u.out, n * sizeof(double));
	struct cop_gradient64 *d;
	struct cop_err err = {0};
	const struct cop_place64 at = {.param = u.r.param, .buffer = u.r.buffer};
	assert_int_equal(cop_gradient64_new(&d, &u.g, u.batch, &(struct cop_gradient64_mode){0}, &err), 0);
	for (int k = 0; k < 2; k++)
		cop_gradient64_add(d, &at, u.x, u.label, u.out);
	cop_gradient64_free(d);
	for (size_t i = 0; i < n; i++)
		if (!(fabs(u.out[i] - 3 * once[i]) <= 1e-14 * fabs(once[i])))
			fail_msg("number %zu is %g, not three times %g", i, u.out[i], once[i]);
	for (size_t k = 0; k + 1 < u.g.params.n; k++)
		for (size_t i = u.g.params.tensor[k].offset + u.g.params.tensor[k].count;
		     i < u.g.params.tensor[k + 1].offset; i++)
			assert_true(u.out[i] == 0);
	free(once);
	tear_down(&u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_training), cmocka_unit_test(test_running), cmocka_unit_test(test_second),
		cmocka_unit_test(test_large),    cmocka_unit_test(test_threads), cmocka_unit_test(test_adds),
	};
	cop_cpu_set_threads(2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
