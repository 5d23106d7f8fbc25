/*
 * The loader: every batch has the bits of a direct gather, whatever the number of threads, the order in which steps are
 * asked for, and whether it is stopped in the middle. And the choice between ahead of the step and in it.
 */
#include "base/mem.h"
#include "base/rng.h"
#include "nn/ahead.h"
#include "nn/loader.h"
#include "nn/samples.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { H = 9, W = 11, C = 3, F = H * W * C, TRAINING = 150, TESTING = 61, CLASSES = 7, STEPS = 40 };

static uint8_t images[TRAINING + TESTING][F];
static int32_t labels[TRAINING + TESTING];
static uint32_t order[TRAINING], in_turn[TESTING];

/* The training part is the images from TESTING on, in disorder; the test part the first ones. */
enum { MOVE = 1, FLIP = 2, BOX = 4 };

static struct cop_data make_data(int kind)
{
	struct cop_data d = {.info = {.height = H, .width = W, .channels = C, .nclasses = CLASSES},
			     .train = {.images = images[0], .labels = labels, .index = order, .n = TRAINING},
			     .test = {.images = images[0], .labels = labels, .index = in_turn, .n = TESTING},
			     .scale = {0.01f, 0.02f, 0.03f},
			     .shift = {-1, 0.5f, 2},
			     .crop_padding = kind & MOVE ? 2 : 0,
			     .flip = kind & FLIP,
			     .resized_crop = kind & BOX,
			     .scale_min = 0.2};
	return d;
}

static int fill(void **state)
{
	(void)state;
	struct cop_stream s;
	cop_stream_init(&s, 77, COP_PURPOSE_TEST, 0, 0);
	for (size_t i = 0; i < sizeof(images); i++)
		images[i / F][i % F] = (uint8_t)cop_stream_below(&s, 256);
	for (size_t i = 0; i < TRAINING + TESTING; i++)
		labels[i] = (int32_t)cop_stream_below(&s, CLASSES);
	cop_permutation(order, TRAINING, 78, COP_PURPOSE_TEST, 0);
	for (uint32_t i = 0; i < TRAINING; i++)
		order[i] += TESTING;
	for (uint32_t i = 0; i < TESTING; i++)
		in_turn[i] = i;
	return 0;
}

/* What a batch must be: the picks of the shuffle, gathered here and now. */
struct expected {
	struct cop_shuffle shuffle;
	int batch, ld;
	size_t features;
	int32_t label[64];
	struct cop_pick pick[64];
	float *x;
};

static void expect_open(struct expected *e, const struct cop_data *d, int batch)
{
	struct cop_err err = {0};
	*e = (struct expected){.batch = batch, .ld = cop_leading(&cop_cpu_backend, batch)};
	cop_shuffle_init(&e->shuffle, d, 3, 4);
	e->features = (size_t)(d->info.height * d->info.width * d->info.channels);
	assert_int_equal(cop_alloc(&e->x, e->features, (size_t)e->ld * sizeof(float), "a test", &err), 0);
}

static void expect_close(struct expected *e)
{
	cop_shuffle_release(&e->shuffle);
	free(e->x);
}

static void compare(struct expected *e, const struct cop_data *d, const struct cop_part *part, int n,
		    const struct cop_batch *b, int threads, int64_t step)
{
	struct cop_image_source source = cop_data_source(d, part, NULL);
	for (int at = 0; at < e->ld; at += COP_GATHER)
		cop_gather16(&source, e->pick + at, n - at < COP_GATHER ? n - at : COP_GATHER, e->ld, e->x + at);
	bool same = b->n == n && b->ld == e->ld && memcmp(b->label, e->label, (size_t)n * sizeof(int32_t)) == 0 &&
		    memcmp(b->x, e->x, e->features * (size_t)e->ld * sizeof(float)) == 0;
	if (!same)
		fail_msg("batch %d, %d threads, step %lld: another batch", e->batch, threads, (long long)step);
}

static void check_step(struct cop_loader *l, struct expected *e, const struct cop_data *d, int threads, int64_t step)
{
	const struct cop_batch *b;
	struct cop_err err = {0};
	int64_t each = d->train.n / e->batch;
	assert_int_equal(cop_loader_take(l, step, &b, &err), 0);
	cop_shuffle_batch(&e->shuffle, step / each, step % each, e->batch, e->pick, e->label);
	compare(e, d, &d->train, e->batch, b, threads, step);
	cop_loader_give(l);
}

static struct cop_loader *open_loader(const struct cop_data *d, int batch, int threads)
{
	struct cop_loader *l;
	struct cop_err err = {0};
	assert_int_equal(cop_loader_open(&l, d, &cop_cpu_backend, batch, threads, COP_GIVES_INPUT, &err), 0);
	cop_loader_train(l, 3, 4, d->train.n / batch, STEPS);
	return l;
}

static const int thread_counts[] = {COP_LOADER_IN_STEP, COP_LOADER_AUTO, 1, 2, 3, 7};
enum { THREAD_COUNTS = sizeof(thread_counts) / sizeof(thread_counts[0]) };

static void test_training(void **state)
{
	(void)state;
	const int batches[] = {1, 16, 20, 49};
	const int kinds[] = {0, MOVE, FLIP, MOVE | FLIP, BOX, BOX | FLIP};
	for (int kind = 0; kind < 6; kind++)
		for (int b = 0; b < 4; b++)
			for (int k = 0; k < THREAD_COUNTS; k++) {
				struct cop_data d = make_data(kinds[kind]);
				struct expected e;
				expect_open(&e, &d, batches[b]);
				struct cop_loader *l = open_loader(&d, batches[b], thread_counts[k]);
				for (int64_t step = 0; step < STEPS; step++)
					check_step(l, &e, &d, thread_counts[k], step);
				cop_loader_free(l);
				expect_close(&e);
			}
}

/* Steps in any order, some never given back, and an end at any moment. */
static void test_jumping(void **state)
{
	(void)state;
	struct cop_data d = make_data(MOVE | FLIP);
	struct expected e;
	expect_open(&e, &d, 20);
	for (uint32_t seed = 0; seed < 40; seed++) {
		int threads = thread_counts[seed % THREAD_COUNTS];
		struct cop_loader *l = open_loader(&d, 20, threads);
		struct cop_stream s;
		cop_stream_init(&s, seed, COP_PURPOSE_TEST, 2, 0);
		for (uint32_t jumps = cop_stream_below(&s, 6); jumps; jumps--) {
			int64_t step = cop_stream_below(&s, STEPS);
			for (uint32_t k = cop_stream_below(&s, 5); k && step < STEPS; k--)
				check_step(l, &e, &d, threads, step++);
			if (step < STEPS && cop_stream_below(&s, 2)) {
				const struct cop_batch *b;
				struct cop_err err = {0};
				assert_int_equal(cop_loader_take(l, step, &b, &err), 0);
			}
		}
		cop_loader_free(l);
	}
	expect_close(&e);
}

/* Images so large that the threads are busy with the steps ahead when another is asked for. */
static void test_busy(void **state)
{
	(void)state;
	enum { SIDE = 112, EACH = SIDE * SIDE * 3, N = 40 };
	struct cop_data d = make_data(BOX | FLIP);
	uint8_t *large = cop_xmalloc(N * EACH);
	struct expected e;
	struct cop_stream s;
	cop_stream_init(&s, 5, COP_PURPOSE_TEST, 3, 0);
	for (size_t i = 0; i < N * EACH; i++)
		large[i] = (uint8_t)(i * i >> 8);
	d.info.height = d.info.width = SIDE;
	d.train = (struct cop_part){.images = large, .labels = labels, .index = in_turn, .n = N};
	expect_open(&e, &d, 20);
	struct cop_loader *l = open_loader(&d, 20, 2);
	for (int k = 0; k < 60; k++)
		check_step(l, &e, &d, 2, cop_stream_below(&s, STEPS));
	cop_loader_free(l);
	expect_close(&e);
	free(large);
}

/* A part: in its order, the last batch smaller; then training again. */
static void test_parts(void **state)
{
	(void)state;
	struct cop_data d = make_data(BOX | FLIP);
	struct expected e;
	expect_open(&e, &d, 20);
	for (int k = 0; k < THREAD_COUNTS; k++) {
		struct cop_loader *l = open_loader(&d, 20, thread_counts[k]);
		check_step(l, &e, &d, thread_counts[k], 5);
		for (int twice = 0; twice < 2; twice++) {
			cop_loader_aim(l, &d.test);
			for (int64_t at = 0; at < 4; at++) {
				const struct cop_batch *b;
				struct cop_err err = {0};
				int n = at < 3 ? 20 : 1;
				assert_int_equal(cop_loader_take(l, at, &b, &err), 0);
				for (int i = 0; i < n; i++) {
					e.pick[i] = (struct cop_pick){.index = (uint32_t)(at * 20 + i)};
					e.label[i] = labels[at * 20 + i];
				}
				compare(&e, &d, &d.test, n, b, thread_counts[k], at);
				cop_loader_give(l);
			}
		}
		cop_loader_train(l, 3, 4, TRAINING / 20, STEPS);
		check_step(l, &e, &d, thread_counts[k], 6);
		cop_loader_free(l);
	}
	expect_close(&e);
}

/* Steps that take `rest` and a batch that takes `making`, hidden where it is made ahead but for `left`. */
static struct cop_ahead simulate(double rest, double making, double left, int *trials)
{
	struct cop_ahead a;
	bool was = false;
	cop_ahead_init(&a);
	*trials = 0;
	for (int i = 0; i < 100000 && !a.settled; i++) {
		double waited = a.ahead ? left : making;
		bool now = cop_ahead_step(&a, rest + waited, waited);
		*trials += now && !was;
		was = now;
	}
	assert_true(a.settled);
	return a;
}

static void test_choice(void **state)
{
	(void)state;
	int trials;
	/* LeNet's: too short to be handed over, so nothing is tried */
	assert_false(simulate(260e-6, 20e-6, 0, &trials).ahead);
	assert_int_equal(trials, 0);
	/* a share that is not worth it */
	assert_false(simulate(0.1, 1e-3, 0, &trials).ahead);
	assert_int_equal(trials, 0);
	/* a tenth, which the threads hide; and one that they only move into the rest of the step */
	assert_true(simulate(0.01, 1e-3, 1e-5, &trials).ahead);
	assert_int_equal(trials, 3);
	assert_false(simulate(0.01, 1e-3, 1.1e-3, &trials).ahead);
	assert_int_equal(trials, 3);
}

/* Samples are training's first batches, (batch,C,H,W): value by value, moved and mirrored as the picks say. */
static void test_samples(void **state)
{
	(void)state;
	enum { BATCH = 37, BATCHES = 6 /* of which 4 are an epoch */ };
	const struct cop_data d = make_data(MOVE | FLIP);
	struct cop_samples s;
	struct cop_shuffle shuffle;
	struct cop_err err = {0};
	static float x[BATCH * F];
	int32_t label[BATCH], wanted[BATCH];
	struct cop_pick pick[BATCH];
	assert_int_equal(cop_samples_open(&s, &d, BATCH, BATCHES, 3, 4, &err), 0);
	assert_int_equal(s.batch, BATCH);
	assert_int_equal(s.n, BATCHES);
	cop_shuffle_init(&shuffle, &d, 3, 4);
	for (int turn = 0; turn < 2 * BATCHES; turn++) {
		int64_t k = turn < BATCHES ? turn : turn * 5 % BATCHES; /* in turn, and not */
		assert_int_equal(s.read(&s, k, x, label, &err), 0);
		cop_shuffle_batch(&shuffle, k / 4, k % 4, BATCH, pick, wanted);
		assert_memory_equal(label, wanted, sizeof(label));
		for (int i = 0; i < BATCH * F; i++) {
			int n = i / F, c = i % F / (H * W), row = i % (H * W) / W, column = i % W;
			int from = (pick[n].flip ? W - 1 - column : column) + pick[n].dx;
			bool inside = row + pick[n].dy >= 0 && row + pick[n].dy < H && from >= 0 && from < W;
			int pixel = inside ? images[pick[n].index][((row + pick[n].dy) * W + from) * C + c] : 0;
			float value = (float)pixel * d.scale[c] + d.shift[c];
			if (!(x[i] - value < 1e-5f && value - x[i] < 1e-5f))
				fail_msg("batch %d, image %d, channel %d, row %d, column %d: %g, not %g", (int)k, n, c,
					 row, column, (double)x[i], (double)value);
		}
	}
	cop_shuffle_release(&shuffle);
	cop_samples_close(&s);
	assert_int_equal(cop_samples_open(&s, &d, TRAINING + 1, 1, 3, 4, &err), COP_EINPUT);
	cop_samples_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_training), cmocka_unit_test(test_jumping),
					   cmocka_unit_test(test_busy),     cmocka_unit_test(test_parts),
					   cmocka_unit_test(test_choice),   cmocka_unit_test(test_samples)};
	cop_cpu_set_threads(2);
	return cmocka_run_group_tests(tests, fill, NULL);
}
