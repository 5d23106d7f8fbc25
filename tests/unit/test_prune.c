/* Masks by magnitude: exact counts, ties, and what is left alone. */
#include "base/mem.h"
#include "base/rng.h"
#include "prune/allocation.h"
#include "prune/mask.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct net {
	struct cop_layout l;
	float *w;
	uint8_t *mask;
};

/* Two prunable tensors with one that is not between them; sizes that need padding. */
static void make_net(struct net *n, int64_t rows)
{
	*n = (struct net){0};
	cop_layout_add(&n->l, "fc1/weight", 2, (int64_t[]){rows, 13}, true);
	cop_layout_add(&n->l, "fc1/bias", 1, (int64_t[]){rows}, false);
	cop_layout_add(&n->l, "fc2/weight", 2, (int64_t[]){3, rows}, true);
	struct cop_err err;
	assert_int_equal(cop_alloc(&n->w, n->l.total, sizeof(float), "weights", &err), 0);
	assert_int_equal(cop_alloc(&n->mask, n->l.total, 1, "mask", &err), 0);
}

static void free_net(struct net *n)
{
	cop_layout_release(&n->l);
	free(n->w);
	free(n->mask);
}

static void fill(struct net *n, uint64_t seed, uint32_t values)
{
	struct cop_stream s;
	cop_stream_init(&s, seed, COP_PURPOSE_TEST, 0, 0);
	for (size_t i = 0; i < n->l.n; i++)
		for (size_t j = 0; j < n->l.tensor[i].count; j++) {
			double v = values ? (double)cop_stream_below(&s, values) : cop_stream_normal(&s);
			n->w[n->l.tensor[i].offset + j] = (float)(cop_stream_u32(&s) & 1 ? v : -v);
		}
}

/* What is left of `before` (NULL: all) is cut until q of it is gone, over all tensors or in each. */
static int prune_to(struct net *n, double q, bool by_layer, const uint8_t *before, double *threshold,
		    struct cop_err *err)
{
	struct cop_allocation a;
	int rc = cop_allocate(&a, &n->l, by_layer ? COP_SCOPE_LAYER : COP_SCOPE_GLOBAL, NULL, &q, 1, err);
	if (!rc)
		rc = cop_prune_magnitudes(&n->l, &a, n->w, before, n->mask, threshold, err);
	cop_allocation_release(&a);
	return rc;
}

struct place {
	float magnitude;
	size_t at;
};

static int compare(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	if (x->magnitude != y->magnitude)
		return x->magnitude < y->magnitude ? -1 : 1;
	return (x->at > y->at) - (x->at < y->at);
}

/* The mask by sorting (magnitude, place); returns the largest magnitude cut. */
static double prune_by_sorting(const struct net *n, const struct cop_tensor *only, size_t cut, uint8_t *mask)
{
	struct place *p = cop_xcalloc(n->l.total, sizeof(*p));
	size_t count = 0;
	for (size_t i = 0; i < n->l.n; i++) {
		const struct cop_tensor *t = &n->l.tensor[i];
		if (!t->prunable || (only && t != only))
			continue;
		for (size_t j = t->offset; j < t->offset + t->count; j++)
			p[count++] = (struct place){fabsf(n->w[j]), j};
	}
	qsort(p, count, sizeof(*p), compare);
	for (size_t i = 0; i < cut; i++)
		mask[p[i].at] = 0;
	double last = cut ? (double)p[cut - 1].magnitude : 0;
	free(p);
	return last;
}

static void check_global(struct net *n, size_t cut)
{
	struct cop_err err = {0};
	uint8_t *wanted = cop_xmalloc(n->l.total);
	double threshold = -1;
	memset(wanted, 1, n->l.total);
	double last = prune_by_sorting(n, NULL, cut, wanted);
	memset(n->mask, 7, n->l.total);
	assert_int_equal(cop_prune_global(&n->l, n->w, cut, n->mask, &threshold, &err), 0);
	assert_memory_equal(n->mask, wanted, n->l.total);
	assert_true(threshold == last);
	assert_int_equal(cop_mask_nnz(&n->l, n->mask), cop_layout_count(&n->l, true) - cut);
	free(wanted);
}

static void test_global(void **state)
{
	(void)state;
	for (uint32_t values = 0; values < 5; values++) {
		for (uint64_t seed = 0; seed < 4; seed++) {
			print_message("# values %u seed %u\n", values, (unsigned)seed);
			struct net n;
			make_net(&n, seed == 0 ? 1 : seed == 3 ? 700 : 5);
			fill(&n, seed, values);
			size_t total = cop_layout_count(&n.l, true);
			for (size_t step = 0; step <= 10; step++)
				check_global(&n, total * step / 10);
			check_global(&n, 1);
			check_global(&n, total - 1);
			free_net(&n);
		}
	}
}

static void test_layers(void **state)
{
	(void)state;
	const double q[] = {0, 0.1, 0.5, 0.97, 1};
	for (size_t i = 0; i < sizeof(q) / sizeof(q[0]); i++) {
		struct net n;
		make_net(&n, 11);
		fill(&n, i, i % 2 ? 3 : 0);
		struct cop_err err = {0};
		uint8_t *wanted = cop_xmalloc(n.l.total);
		memset(wanted, 1, n.l.total);
		double threshold = -1, most = 0;
		for (size_t t = 0; t < n.l.n; t += 2) {
			size_t cut = (size_t)floor(q[i] * (double)n.l.tensor[t].count + 0.5);
			most = fmax(most, prune_by_sorting(&n, &n.l.tensor[t], cut, wanted));
			assert_int_equal(cop_prune_count(q[i], n.l.tensor[t].count), cut);
		}
		assert_int_equal(prune_to(&n, q[i], true, NULL, &threshold, &err), 0);
		assert_memory_equal(n.mask, wanted, n.l.total);
		assert_true(threshold == most);
		free(wanted);
		free_net(&n);
	}
}

static void test_count(void **state)
{
	(void)state;
	assert_int_equal(cop_prune_count(0.5, 5), 3);
	assert_int_equal(cop_prune_count(0.1, 24), 2);
	assert_int_equal(cop_prune_count(0.1, 25), 3);
	assert_int_equal(cop_prune_count(0.964, 266200), 256617);
	assert_int_equal(cop_prune_count(1, 7), 7);
	assert_int_equal(cop_prune_count(0, 7), 0);
	assert_int_equal(cop_prune_count(1, 0), 0);
}

/* Zeros of both signs are equal and go in order, denormals next, infinities last. */
static void test_order_of_values(void **state)
{
	(void)state;
	struct net n;
	make_net(&n, 1);
	const float w[] = {-0.0f, INFINITY, 0.0f, -1e-45f, 1, -1, 1, 2, 0.0f, 3, 4, 5, -INFINITY};
	memcpy(n.w, w, sizeof(w));
	for (size_t i = 0; i < 3; i++)
		n.w[n.l.tensor[2].offset + i] = 9;
	struct cop_err err = {0};
	double threshold;
	assert_int_equal(cop_prune_global(&n.l, n.w, 2, n.mask, &threshold, &err), 0);
	assert_memory_equal(n.mask, ((uint8_t[]){0, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}), 13);
	assert_true(threshold == 0);
	assert_int_equal(cop_prune_global(&n.l, n.w, 6, n.mask, &threshold, &err), 0);
	assert_memory_equal(n.mask, ((uint8_t[]){0, 1, 0, 0, 0, 0, 1, 1, 0, 1, 1, 1, 1}), 13);
	assert_true(threshold == 1);
	assert_int_equal(cop_prune_global(&n.l, n.w, 15, n.mask, &threshold, &err), 0);
	assert_int_equal(n.mask[1], 0);
	assert_int_equal(n.mask[12], 1);
	assert_true(isinf(threshold));
	free_net(&n);
}

static void test_below(void **state)
{
	(void)state;
	struct net n;
	make_net(&n, 2);
	fill(&n, 1, 4);
	struct cop_err err = {0};
	assert_int_equal(cop_prune_below(&n.l, n.w, 1, n.mask, &err), 0);
	for (size_t i = 0; i < n.l.n; i++)
		for (size_t j = n.l.tensor[i].offset; j < n.l.tensor[i].offset + n.l.tensor[i].count; j++)
			assert_int_equal(n.mask[j], !n.l.tensor[i].prunable || fabsf(n.w[j]) > 1);
	n.w[n.l.tensor[0].offset] = -INFINITY;
	cop_mask_apply(&n.l, n.mask, n.w);
	for (size_t i = 0; i < n.l.total; i++)
		assert_true(n.mask[i] || (n.w[i] == 0 && !signbit(n.w[i])));
	free_net(&n);
}

static void test_bad_weights(void **state)
{
	(void)state;
	struct net n;
	make_net(&n, 4);
	fill(&n, 1, 0);
	struct cop_err err = {0};
	double threshold;
	assert_int_equal(cop_prune_global(&n.l, n.w, 4 * 16 + 1, n.mask, &threshold, &err), COP_EINPUT);
	assert_non_null(strstr(err.msg, "'65'"));
	n.w[n.l.tensor[1].offset] = NAN; /* not prunable */
	assert_int_equal(cop_prune_global(&n.l, n.w, 3, n.mask, &threshold, &err), 0);
	n.w[n.l.tensor[2].offset + 7] = NAN;
	for (size_t cut = 0; cut < 64; cut += 21) {
		assert_int_equal(cop_prune_global(&n.l, n.w, cut, n.mask, &threshold, &err), COP_EINPUT);
		assert_string_equal(err.msg, "'fc2/weight' holds NaN at [1, 3]");
		assert_int_equal(prune_to(&n, (double)cut / 64, true, NULL, &threshold, &err), COP_EINPUT);
		assert_string_equal(err.msg, "'fc2/weight' holds NaN at [1, 3]");
	}
	assert_int_equal(cop_prune_below(&n.l, n.w, 1, n.mask, &err), COP_EINPUT);
	free_net(&n);
}

/* The next round by sorting: what is cut already goes first, then survivors by (magnitude, place). */
static void next_by_sorting(const struct net *n, const struct cop_tensor *only, const uint8_t *before, size_t cut,
			    uint8_t *mask)
{
	struct place *p = cop_xcalloc(n->l.total, sizeof(*p));
	size_t count = 0, gone = 0;
	for (size_t i = 0; i < n->l.n; i++) {
		const struct cop_tensor *t = &n->l.tensor[i];
		if (!t->prunable || (only && t != only))
			continue;
		for (size_t j = t->offset; j < t->offset + t->count; j++) {
			gone += !before[j];
			if (before[j])
				p[count++] = (struct place){fabsf(n->w[j]), j};
		}
	}
	qsort(p, count, sizeof(*p), compare);
	for (size_t i = 0; i < cut - gone; i++)
		mask[p[i].at] = 0;
	free(p);
}

/* Rounds with new weights each, many of them zero or equal: the survivors' zeros must not be taken for what is cut. */
static void test_survivors(void **state)
{
	(void)state;
	const double q[] = {0.2, 0.36, 0.36, 0.488, 0.9, 1};
	for (uint64_t seed = 0; seed < 12; seed++) {
		bool by_layer = seed % 2;
		struct net n;
		make_net(&n, seed < 6 ? 7 : 131);
		size_t total = cop_layout_count(&n.l, true);
		uint8_t *before = cop_xmalloc(n.l.total), *wanted = cop_xmalloc(n.l.total);
		memset(before, 1, n.l.total);
		print_message("# seed %u\n", (unsigned)seed);
		for (size_t k = 0; k < sizeof(q) / sizeof(q[0]); k++) {
			struct cop_err err = {0};
			double threshold = -1;
			fill(&n, seed * 100 + k, seed % 3 ? 2 : 0);
			cop_mask_apply(&n.l, before, n.w);
			memcpy(wanted, before, n.l.total);
			for (size_t t = 0; by_layer && t < n.l.n; t += 2)
				next_by_sorting(&n, &n.l.tensor[t], before, cop_prune_count(q[k], n.l.tensor[t].count),
						wanted);
			if (!by_layer)
				next_by_sorting(&n, NULL, before, cop_prune_count(q[k], total), wanted);
			memset(n.mask, 7, n.l.total);
			assert_int_equal(prune_to(&n, q[k], by_layer, before, &threshold, &err), 0);
			assert_memory_equal(n.mask, wanted, n.l.total);
			if (!by_layer)
				assert_int_equal(cop_mask_nnz(&n.l, n.mask), total - cop_prune_count(q[k], total));
			memcpy(before, n.mask, n.l.total);
		}
		struct cop_err err = {0};
		double threshold;
		assert_int_equal(prune_to(&n, 0.5, by_layer, before, &threshold, &err), COP_EINPUT);
		free(before);
		free(wanted);
		free_net(&n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_global),    cmocka_unit_test(test_layers),
		cmocka_unit_test(test_count),     cmocka_unit_test(test_order_of_values),
		cmocka_unit_test(test_below),     cmocka_unit_test(test_bad_weights),
		cmocka_unit_test(test_survivors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
