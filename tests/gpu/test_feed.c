/*
 * What lies between a trainer and a GPU: numbers and masks there and back (nn/mirror.h), and batches (nn/feed.h) that
 * are sent or taken from images which are there already.
 */
#include "base/mem.h"
#include "base/rng.h"
#include "floats.h"
#include "images.h"
#include "module.h"
#include "nn/feed.h"
#include "nn/mirror.h"
#include "random_graph.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BATCH = 16 };

static void must(int rc, const struct cop_err *err)
{
	if (rc)
		fail_msg("%s", err->msg);
}

/* mirror */

static void random_bits(struct cop_stream *s, float *to, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t bits = cop_stream_u32(s);
		memcpy(&to[i], &bits, sizeof(bits));
	}
}

/* Every bit there and back, NaN among them, and a mask's as the updates have them. */
static void check_mirror(const struct cop_graph *g, struct cop_stream *s, const char *what)
{
	const struct cop_backend *b = module_backend();
	size_t n = g->params.total, buffers = g->buffers.total, bytes = (n + 7) / 8;
	struct cop_loss loss = {.loss = 1.5, .top1 = 2, .top5 = 3, .images = 4}, loss_back = {0};
	float *there[4], *back[4];
	struct cop_mirror m;
	struct cop_err err = {0};
	for (int k = 0; k < 4; k++) {
		size_t count = k == 3 ? buffers : n;
		there[k] = floats(count + 1);
		back[k] = floats(count + 1);
		random_bits(s, there[k], count);
	}
	uint8_t *mask = cop_xcalloc(n + 1, 1), *bits = cop_xcalloc(bytes + 1, 1);
	float *as_floats = floats(n + 1), *turned = floats(n + 1);
	for (size_t i = 0; i < n; i++)
		as_floats[i] = mask[i] = cop_stream_below(s, 3) != 0;
	const struct cop_arrays to = {there[0], {there[1], there[2]}, there[3], mask, &loss};
	const struct cop_arrays from = {back[0], {back[1], back[2]}, back[3], NULL, &loss_back};
	must(cop_mirror_init(&m, b, g, 2, &err), &err);
	must(cop_mirror_put(&m, &to, &err), &err);
	must(cop_mirror_get(&m, &from, &err), &err);
	for (int k = 0; k < 4; k++)
		if (memcmp(there[k], back[k], (k == 3 ? buffers : n) * sizeof(float)) != 0)
			fail_msg("%s: array %d came back with other bits", what, k);
	assert_memory_equal(&loss, &loss_back, sizeof(loss));

	/* the mask as numbers takes the same way: what they are on the device is what the bits say */
	const struct cop_arrays numbers = {as_floats, {there[1], there[2]}, there[3], NULL, &loss};
	must(cop_mirror_put(&m, &numbers, &err), &err);
	must(b->get(turned, m.param, n * sizeof(float), &err), &err);
	must(b->get(bits, m.mask, bytes, &err), &err);
	for (size_t i = 0; i < 8 * bytes; i++) {
		bool bit = bits[i / 8] >> (i % 8) & 1, wanted = i < n && turned[i] != 0;
		if (bit != wanted)
			fail_msg("%s: bit %zu of the mask is %d", what, i, bit);
	}
	cop_mirror_release(&m);
	for (int k = 0; k < 4; k++) {
		free(there[k]);
		free(back[k]);
	}
	free(mask);
	free(bits);
	free(as_floats);
	free(turned);
}

static void test_mirror(void **state)
{
	(void)state;
	struct cop_stream s;
	cop_stream_init(&s, 9, COP_PURPOSE_TEST, 3, 0);
	for (int i = 0; i < 30; i++) {
		struct cop_graph g = {0};
		struct cop_err err = {0};
		must(cop_graph_finish(&g, random_graph(&g, &s, 4, 4, 4), &err), &err);
		check_mirror(&g, &s, "a drawn network");
		cop_graph_release(&g);
	}
	/* numbers that fill no byte of bits; layouts end with padding, so that networks have none of these */
	for (size_t n = 1; n < 20; n++) {
		struct cop_graph g = {.params = {.total = n}, .buffers = {.total = n % 3}};
		check_mirror(&g, &s, "a few numbers");
	}
}

/* feed */

struct fed {
	float *x; /* (batches, BATCH, SIDE, SIDE, CHANNELS) */
	int32_t *label;
	struct cop_dials *dials;
	int *n;
};
enum { EACH = SIDE * SIDE * CHANNELS, BATCHES = 11 };
_Static_assert(TESTING > COP_FEED_DEPTH * BATCH && TESTING % BATCH != 0, "a last batch that is smaller");

static void *pinned(size_t bytes)
{
	void *p = NULL;
	struct cop_err err = {0};
	must(module_backend()->queue->alloc_pinned(&p, bytes, "a test", &err), &err);
	memset(p, 0, bytes);
	return p;
}

static void fed_init(struct fed *f)
{
	f->x = pinned((size_t)BATCHES * BATCH * EACH * sizeof(float));
	f->label = pinned(BATCHES * BATCH * sizeof(*f->label));
	f->dials = pinned(BATCHES * sizeof(*f->dials));
	f->n = cop_xcalloc(BATCHES, sizeof(*f->n));
}

static void fed_release(struct fed *f)
{
	module_backend()->queue->release_pinned(f->x);
	module_backend()->queue->release_pinned(f->label);
	module_backend()->queue->release_pinned(f->dials);
	free(f->n);
}

/* All batches of a part, or of training (NULL), as the device has them. Nothing waits but the feed itself. */
static void feed_all(const struct cop_part *part, bool sends, int threads, struct fed *out)
{
	const struct cop_backend *b = module_backend();
	struct cop_resident r;
	struct cop_loader *l;
	struct cop_feed f;
	struct cop_err err = {0};
	size_t free_bytes, total;
	must(b->queue->memory(&free_bytes, &total, &err), &err);
	must(cop_resident_init(&r, b, &images, sends ? total : 0, &err), &err);
	assert_int_equal(cop_resident_wants(&r), sends ? COP_GIVES_IMAGES : COP_GIVES_PICKS);
	must(cop_loader_open(&l, &images, b, BATCH, threads, cop_resident_wants(&r), &err), &err);
	if (part)
		cop_loader_aim(l, part);
	else
		cop_loader_train(l, 6, 7, BATCHES, BATCHES);
	must(cop_feed_init(&f, &r, l, BATCH, 0, &err), &err);
	for (int k = 0; k < BATCHES && (!part || k * BATCH < part->n); k++) {
		struct cop_dials dials = {.step = 100 + k, .lr = 0.5f * (float)k};
		must(cop_feed_send(&f, k, &dials, &err), &err);
		cop_feed_gather(&f, part == &images.test ? COP_SPLIT_TEST : COP_SPLIT_TRAIN, f.n);
		out->n[k] = f.n;
		b->queue->fetch(out->x + (size_t)k * BATCH * EACH, f.x, (size_t)f.n * EACH * sizeof(float));
		b->queue->fetch(out->label + k * BATCH, cop_feed_labels(&f), (size_t)f.n * sizeof(*out->label));
		b->queue->fetch(&out->dials[k], cop_feed_dials(&f), sizeof(*out->dials));
		cop_feed_done(&f);
	}
	must(b->queue->check(&err), &err);
	cop_feed_release(&f);
	cop_loader_free(l);
	cop_resident_release(&r);
}

/* As the CPU makes them: the same but for a rounding. */
static void check_fed(const struct cop_part *part, const struct fed *got)
{
	struct cop_loader *l;
	struct cop_err err = {0};
	must(cop_loader_open(&l, &images, &cop_cpu_backend, BATCH, COP_LOADER_IN_STEP, COP_GIVES_INPUT, &err), &err);
	if (part)
		cop_loader_aim(l, part);
	else
		cop_loader_train(l, 6, 7, BATCHES, BATCHES);
	for (int k = 0; k < BATCHES && (!part || k * BATCH < part->n); k++) {
		const struct cop_batch *in;
		must(cop_loader_take(l, k, &in, &err), &err);
		assert_int_equal(got->n[k], in->n);
		assert_memory_equal(got->label + k * BATCH, in->label, (size_t)in->n * sizeof(*in->label));
		assert_true(got->dials[k].step == 100 + k && got->dials[k].lr == 0.5f * (float)k);
		for (int i = 0; i < in->n; i++)
			for (int p = 0; p < EACH; p++) {
				double x = (double)got->x[(k * BATCH + i) * EACH + p],
				       wanted = (double)in->x[p * in->ld + i];
				if (!(fabs(x - wanted) < 1e-5))
					fail_msg("batch %d, image %d, number %d: %g, not %g", k, i, p, x, wanted);
			}
		cop_loader_give(l);
	}
	cop_loader_free(l);
}

static void test_feed(void **state)
{
	(void)state;
	const struct cop_part *parts[] = {NULL, &images.test, &images.validation};
	for (int p = 0; p < 3; p++)
		for (int threads = COP_LOADER_IN_STEP; threads <= 2; threads += 3) {
			struct fed resident, sent;
			fed_init(&resident);
			fed_init(&sent);
			feed_all(parts[p], false, threads, &resident);
			feed_all(parts[p], true, threads, &sent);
			check_fed(parts[p], &resident);
			assert_memory_equal(resident.x, sent.x, (size_t)BATCHES * BATCH * EACH * sizeof(float));
			assert_memory_equal(resident.label, sent.label, BATCHES * BATCH * sizeof(int32_t));
			fed_release(&resident);
			fed_release(&sent);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mirror),
		cmocka_unit_test(test_feed),
	};
	return cmocka_run_group_tests(tests, images_begin, images_end);
}
