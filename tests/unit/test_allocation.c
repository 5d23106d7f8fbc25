/* How many weights are cut of which tensor, and which: against plain references, counts exact, masks of chance. */
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "prune/allocation.h"
#include "prune/mask.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct cop_stream chance(uint64_t seed)
{
	struct cop_stream s;
	cop_stream_init(&s, seed, COP_PURPOSE_TEST, 1, 0);
	return s;
}

/* Linear layers, convolutions, small ones among them, with biases between. */
static void random_layout(struct cop_layout *l, struct cop_stream *s)
{
	size_t layers = 1 + cop_stream_below(s, 9);
	char name[32];
	*l = (struct cop_layout){0};
	for (size_t i = 0; i < layers; i++) {
		uint32_t most = cop_stream_below(s, 3) ? 40 : 4;
		int64_t out = 1 + cop_stream_below(s, most), in = 1 + cop_stream_below(s, most);
		snprintf(name, sizeof(name), "block%zu/fc/weight", i);
		if (cop_stream_below(s, 2))
			cop_layout_add(l, name, 2, (int64_t[]){out, in}, true);
		else
			cop_layout_add(l, name, 4, (int64_t[]){out, in, 3, 1 + 2 * cop_stream_below(s, 2)}, true);
		snprintf(name, sizeof(name), "block%zu/fc/bias", i);
		cop_layout_add(l, name, 1, (int64_t[]){out}, false);
	}
}

/* A network whose numbers are easy to follow. */
static void plain_layout(struct cop_layout *l)
{
	*l = (struct cop_layout){0};
	cop_layout_add(l, "conv1/weight", 4, (int64_t[]){4, 1, 3, 3}, true); /* 36 */
	cop_layout_add(l, "conv1/bias", 1, (int64_t[]){4}, false);
	cop_layout_add(l, "fc1/weight", 2, (int64_t[]){20, 10}, true); /* 200 */
	cop_layout_add(l, "fc2/weight", 2, (int64_t[]){10, 20}, true); /* 200 */
	cop_layout_add(l, "out/weight", 2, (int64_t[]){10, 10}, true); /* 100 */
}

static size_t cut_of(const struct cop_allocation *a, const struct cop_layout *l, const char *name)
{
	const struct cop_tensor *t = cop_layout_find(l, name);
	int g = a->group[t - l->tensor];
	return g < 0 ? 0 : a->cut[g];
}

static void allocate(struct cop_allocation *a, const struct cop_layout *l, enum cop_scope scope, const char *rates,
		     const double *q, size_t rounds)
{
	struct cop_rates r;
	struct cop_err err = {0};
	int rc = cop_rates_parse(&r, rates, &err);
	if (!rc)
		rc = cop_allocate(a, l, scope, &r, q, rounds, &err);
	if (rc)
		fail_msg("%s", err.msg);
	cop_rates_release(&r);
}

/* e such that the tensors keep `kept` weights together, tensor t min(P_t, e * sum of dims): by bisection. */
static double erk_by_bisection(const struct cop_layout *l, double kept)
{
	double low = 0, high = 1e9;
	for (int k = 0; k < 200; k++) {
		double e = (low + high) / 2, sum = 0;
		for (size_t i = 0; i < l->n; i++) {
			const struct cop_tensor *t = &l->tensor[i];
			double dims = 0, count = 1;
			for (int d = 0; d < t->rank; d++) {
				dims += (double)t->dim[d];
				count *= (double)t->dim[d];
			}
			if (t->prunable)
				sum += fmin(count, e * dims);
		}
		*(sum < kept ? &low : &high) = e;
	}
	return (low + high) / 2;
}

/* What a tensor should lose, before rounding. */
static double share_by_formula(const struct cop_layout *l, size_t i, enum cop_scope scope, double q, size_t cut)
{
	const struct cop_tensor *t = &l->tensor[i];
	double total = (double)cop_layout_count(l, true), dims = 0;
	if (scope == COP_SCOPE_LAYER)
		return q * (double)t->count;
	if (scope == COP_SCOPE_UNIFORM)
		return i == 0 ? 0 : (double)cut * (double)t->count / (total - (double)l->tensor[0].count);
	for (int d = 0; d < t->rank; d++)
		dims += (double)t->dim[d];
	return (double)t->count - fmin((double)t->count, erk_by_bisection(l, total - (double)cut) * dims);
}

/* Rounded up or down, and up only where no tensor that was rounded down lacks more. */
static void check_rounding(const struct cop_layout *l, const struct cop_allocation *a, const double *share)
{
	const double noise = 1e-6;
	double least_up = 1, most_down = 0;
	for (size_t i = 0; i < l->n; i++) {
		if (!l->tensor[i].prunable)
			continue;
		double cut = (double)a->cut[a->group[i]], rest = share[i] - floor(share[i]);
		assert_true(fabs(cut - share[i]) < 1 + noise);
		if (cut > share[i] + noise)
			least_up = fmin(least_up, rest);
		else if (cut < share[i] - noise)
			most_down = fmax(most_down, rest);
	}
	assert_true(least_up > most_down - noise);
}

static void check_shares(const struct cop_layout *l, enum cop_scope scope, double q)
{
	struct cop_allocation a;
	double *share = cop_xcalloc(l->n, sizeof(*share));
	size_t total = cop_layout_count(l, true), cut = (size_t)floor(q * (double)total + 0.5), sum = 0;
	if (scope == COP_SCOPE_UNIFORM && cut > total - l->tensor[0].count) {
		free(share);
		return;
	}
	allocate(&a, l, scope, "{}", &q, 1);
	for (size_t i = 0; i < l->n; i++) {
		share[i] = share_by_formula(l, i, scope, q, cut);
		assert_int_equal(a.group[i] >= 0, l->tensor[i].prunable);
		if (!l->tensor[i].prunable)
			continue;
		sum += a.cut[a.group[i]];
		if (scope == COP_SCOPE_LAYER)
			assert_int_equal(a.cut[a.group[i]], (size_t)floor(share[i] + 0.5));
	}
	if (scope != COP_SCOPE_LAYER) {
		assert_int_equal(sum, cut);
		check_rounding(l, &a, share);
	}
	free(share);
	cop_allocation_release(&a);
}

static void test_shares(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 60; seed++) {
		struct cop_stream s = chance(seed);
		struct cop_layout l;
		random_layout(&l, &s);
		print_message("# seed %u, %zu weights\n", (unsigned)seed, cop_layout_count(&l, true));
		for (int k = 0; k < 12; k++) {
			double q = k == 0 ? 0 : k == 1 ? 1 : k == 2 ? 0.5 : cop_stream_uniform(&s);
			check_shares(&l, COP_SCOPE_LAYER, q);
			check_shares(&l, COP_SCOPE_UNIFORM, q);
			check_shares(&l, COP_SCOPE_ERK, q);
			struct cop_allocation a;
			allocate(&a, &l, COP_SCOPE_GLOBAL, "{}", &q, 1);
			assert_int_equal(a.groups, 1);
			assert_int_equal(a.cut[0], cop_prune_count(q, cop_layout_count(&l, true)));
			cop_allocation_release(&a);
		}
		cop_layout_release(&l);
	}
}

/* Numbers worked out by hand. */
static void test_known(void **state)
{
	(void)state;
	struct cop_layout l;
	struct cop_allocation a;
	plain_layout(&l);
	const double q = 0.5; /* cuts 268 of 536 */
	allocate(&a, &l, COP_SCOPE_UNIFORM, "{}", &q, 1);
	/* 268/500 of 200, 200 and 100: 107.2, 107.2, 53.6 */
	assert_int_equal(cut_of(&a, &l, "conv1/weight"), 0);
	assert_int_equal(cut_of(&a, &l, "fc1/weight"), 107);
	assert_int_equal(cut_of(&a, &l, "fc2/weight"), 107);
	assert_int_equal(cut_of(&a, &l, "out/weight"), 54);
	cop_allocation_release(&a);
	allocate(&a, &l, COP_SCOPE_ERK, "{}", &q, 1);
	/* sums of dims 11, 30, 30, 20: e = 268/91 = 2.945 keeps 32.4, 88.35, 88.35, 58.9; cut 3.6, 111.65, 111.65, 41.1
	 */
	assert_int_equal(cut_of(&a, &l, "conv1/weight"), 3);
	assert_int_equal(cut_of(&a, &l, "fc1/weight"), 112);
	assert_int_equal(cut_of(&a, &l, "fc2/weight"), 112);
	assert_int_equal(cut_of(&a, &l, "out/weight"), 41);
	cop_allocation_release(&a);
	const double little =
		0.25; /* keeps 402: at e = 402/91 the first would keep 48.6 of 36; then e = 366/80 = 4.575 */
	allocate(&a, &l, COP_SCOPE_ERK, "{}", &little, 1);
	assert_int_equal(cut_of(&a, &l, "conv1/weight"), 0);
	assert_int_equal(cut_of(&a, &l, "fc1/weight"), 63); /* 200 - 137.25 = 62.75 */
	assert_int_equal(cut_of(&a, &l, "fc2/weight"), 63);
	assert_int_equal(cut_of(&a, &l, "out/weight"), 8); /* 100 - 91.5 = 8.5: one of three is rounded down */
	cop_allocation_release(&a);
	cop_layout_release(&l);
	/* they lack alike, though not as doubles: the first of them gets the one that is left */
	l = (struct cop_layout){0};
	cop_layout_add(&l, "a/weight", 2, (int64_t[]){1, 7}, true);
	cop_layout_add(&l, "b/weight", 2, (int64_t[]){1, 10}, true);
	cop_layout_add(&l, "c/weight", 2, (int64_t[]){10, 10}, true);
	cop_layout_add(&l, "d/weight", 2, (int64_t[]){10, 10}, true);
	const double third = 70.0 / 217; /* 70 of 210: 3.33, 33.33, 33.33 */
	allocate(&a, &l, COP_SCOPE_UNIFORM, "{}", &third, 1);
	assert_int_equal(cut_of(&a, &l, "b/weight"), 4);
	assert_int_equal(cut_of(&a, &l, "c/weight"), 33);
	assert_int_equal(cut_of(&a, &l, "d/weight"), 33);
	cop_allocation_release(&a);
	cop_layout_release(&l);
}

static void test_rates(void **state)
{
	(void)state;
	struct cop_layout l;
	struct cop_allocation a;
	plain_layout(&l);
	for (enum cop_scope scope = COP_SCOPE_GLOBAL; scope <= COP_SCOPE_ERK; scope++) {
		const double q[] = {0.2, 0.36, 0.488};
		allocate(&a, &l, scope, "{\"out\": 0.5, \"c*\": 0}", q, 1);
		assert_int_equal(cut_of(&a, &l, "out/weight"), 10);
		assert_int_equal(a.group[0], -1);
		/* the first tensor has a rate, so scope uniform has none that stays whole */
		if (scope == COP_SCOPE_GLOBAL)
			assert_int_equal(cut_of(&a, &l, "fc2/weight"), 80);
		else
			assert_int_equal(cut_of(&a, &l, "fc1/weight"), 40);
		cop_allocation_release(&a);
		allocate(&a, &l, scope, "{\"out\": 0.5}", q, 3);
		assert_int_equal(cut_of(&a, &l, "out/weight"), 27); /* 1 - 0.9^3 = 0.271 */
		cop_allocation_release(&a);
		/* the first pattern that matches counts, a layer is a path, and factors of 1 leave the share as it is
		 */
		allocate(&a, &l, scope, "{\"fc1\": 0, \"[fo]*\": 1, \"*\": 2}", q, 3);
		assert_int_equal(cut_of(&a, &l, "fc1/weight"), 0);
		assert_int_equal(cut_of(&a, &l, "fc2/weight"), 98);   /* 97.6 */
		assert_int_equal(cut_of(&a, &l, "conv1/weight"), 28); /* 1 - 0.6^3 = 0.784 of 36 */
		cop_allocation_release(&a);
	}
	cop_layout_release(&l);
}

/* 1 - prod(1 - f r_k), in logarithms. */
static void test_rates_over_rounds(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 200; seed++) {
		struct cop_stream s = chance(seed);
		struct cop_layout l = {0};
		cop_layout_add(&l, "a/weight", 2, (int64_t[]){1000, 997}, true);
		cop_layout_add(&l, "b/weight", 2, (int64_t[]){10, 10}, true);
		double factor = cop_stream_uniform(&s), left = 1, log_kept = 0, q[12];
		size_t rounds = 1 + cop_stream_below(&s, 12);
		for (size_t k = 0; k < rounds; k++) {
			double r = cop_stream_uniform(&s) * 0.6;
			left *= 1 - r;
			q[k] = 1 - left;
			log_kept += log1p(-factor * r);
		}
		char *text = cop_xasprintf("{\"a\": %.17g}", factor);
		struct cop_allocation a;
		allocate(&a, &l, COP_SCOPE_GLOBAL, text, q, rounds);
		assert_true(fabs((double)a.cut[a.group[0]] + expm1(log_kept) * 997000) <= 0.5 + 1e-4);
		assert_int_equal(a.cut[a.group[1]], cop_prune_count(q[rounds - 1], 100));
		cop_allocation_release(&a);
		free(text);
		cop_layout_release(&l);
	}
}

/* Small tensors and small steps: largest remainders alone would give back what an earlier round cut. */
static void test_rounds_do_not_fall(void **state)
{
	(void)state;
	enum { ROUNDS = 60 };
	size_t steps = 0;
	for (uint64_t seed = 0; seed < 40; seed++) {
		struct cop_stream s = chance(1000 + seed);
		struct cop_layout l;
		random_layout(&l, &s);
		double q[ROUNDS] = {0};
		for (size_t k = 1; k < ROUNDS; k++)
			q[k] = fmin(1, q[k - 1] + cop_stream_uniform(&s) * 2.0 / 100);
		for (enum cop_scope scope = COP_SCOPE_GLOBAL; scope <= COP_SCOPE_ERK; scope++) {
			size_t before[32] = {0};
			size_t least = l.tensor[0].count, total = cop_layout_count(&l, true);
			for (size_t k = 0; k < ROUNDS; k++) {
				size_t cut = cop_prune_count(q[k], total), sum = 0;
				struct cop_allocation a;
				if (scope == COP_SCOPE_UNIFORM && cut > total - least)
					break;
				allocate(&a, &l, scope, "{}", q, k + 1);
				for (int g = 0; g < a.groups; g++) {
					assert_true(a.cut[g] >= before[g]);
					before[g] = a.cut[g];
					sum += a.cut[g];
				}
				if (scope != COP_SCOPE_LAYER)
					assert_int_equal(sum, cut);
				cop_allocation_release(&a);
				steps++;
			}
		}
		cop_layout_release(&l);
	}
	assert_true(steps > 1000);
}

static void expect_error(const struct cop_layout *l, enum cop_scope scope, const char *rates, const double *q,
			 size_t rounds, const char *says)
{
	struct cop_rates r;
	struct cop_allocation a;
	struct cop_err err = {0};
	int rc = cop_rates_parse(&r, rates, &err);
	if (!rc) {
		rc = cop_allocate(&a, l, scope, &r, q, rounds, &err);
		assert_null(a.group);
	}
	assert_int_equal(rc, COP_EINPUT);
	if (!strstr(err.msg, says))
		fail_msg("'%s' lacks '%s'", err.msg, says);
	cop_rates_release(&r);
}

static void test_bad_input(void **state)
{
	(void)state;
	struct cop_layout l;
	plain_layout(&l);
	const double q[] = {0.2, 0.8};
	expect_error(&l, COP_SCOPE_GLOBAL, "[1]", q, 1, "an object");
	expect_error(&l, COP_SCOPE_GLOBAL, "{\"a\"", q, 1, "rates");
	expect_error(&l, COP_SCOPE_GLOBAL, "{\"out\": -0.5}", q, 1, "'out' must be a number of 0 or more");
	expect_error(&l, COP_SCOPE_GLOBAL, "{\"out\": 1, \"fc1\": \"x\"}", q, 1, "'fc1' must be a number");
	expect_error(&l, COP_SCOPE_GLOBAL, "{\"out\": 1e999}", q, 1, "'out' must be a number");
	expect_error(&l, COP_SCOPE_GLOBAL, "{\"fc3\": 1}", q, 1, "'fc3'");
	expect_error(&l, COP_SCOPE_GLOBAL, "{\"fc3\": 1}", q, 1, "nearest is 'fc1'");
	expect_error(&l, COP_SCOPE_GLOBAL, "{\"conv1/bias\": 1}", q, 1, "'conv1/bias'");
	expect_error(&l, COP_SCOPE_GLOBAL, "{\"out\": 5.01}", q, 1, "'out': 5.01 times 0.2");
	expect_error(&l, COP_SCOPE_GLOBAL, "{\"out\": 1.4}", q, 2, "'out': 1.4 times 0.75");
	expect_error(&l, COP_SCOPE_GLOBAL, "{}", (double[]){0.5, 0.4}, 2, "'0.4'");
	expect_error(&l, COP_SCOPE_GLOBAL, "{}", (double[]){1.5}, 1, "'1.5'");
	expect_error(&l, COP_SCOPE_GLOBAL, "{}", (double[]){-0.1}, 1, "'-0.1'");
	expect_error(&l, COP_SCOPE_ERK, "{}", (double[]){NAN}, 1, "nan");
	expect_error(&l, COP_SCOPE_UNIFORM, "{}", (double[]){0.95}, 1, "'conv1/weight' whole: 500 weights");
	struct cop_allocation a;
	allocate(&a, &l, COP_SCOPE_GLOBAL, "{\"out\": 5}", q, 1);
	assert_int_equal(cut_of(&a, &l, "out/weight"), 100);
	cop_allocation_release(&a);
	cop_layout_release(&l);
}

struct place {
	double score;
	size_t at;
};

static int compare(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	if (x->score != y->score)
		return x->score < y->score ? -1 : 1;
	return (x->at > y->at) - (x->at < y->at);
}

/* Each group's weights that are left, sorted by score and place; `cut` is what goes in all. */
static double mask_by_sorting(const struct cop_layout *l, const struct cop_allocation *a, const double *score,
			      const uint8_t *before, uint8_t *mask)
{
	struct place *p = cop_xcalloc(l->total, sizeof(*p));
	double most = -HUGE_VAL;
	bool any = false;
	memcpy(mask, before, l->total);
	for (int g = 0; g < a->groups; g++) {
		size_t n = 0, gone = 0;
		for (size_t i = 0; i < l->n; i++)
			for (size_t k = 0; a->group[i] == g && k < l->tensor[i].count; k++) {
				size_t at = l->tensor[i].offset + k;
				if (before[at])
					p[n++] = (struct place){score[at], at};
				else
					gone++;
			}
		qsort(p, n, sizeof(*p), compare);
		for (size_t k = 0; k < a->cut[g] - gone; k++) {
			mask[p[k].at] = 0;
			most = fmax(most, p[k].score);
			any = true;
		}
	}
	free(p);
	return any ? most : 0;
}

/* kinds: 0 above 0, 1 both signs, 2 few values, 3 all below 0 */
static void random_scores(double *score, size_t n, int kind, struct cop_stream *s)
{
	for (size_t i = 0; i < n; i++) {
		double v = kind == 2 ? (double)cop_stream_below(s, 5) - 2 : cop_stream_normal(s);
		if (kind == 2 && v == 0 && cop_stream_below(s, 2))
			v = -0.0;
		score[i] = kind == 0 ? fabs(v) : kind == 3 ? -fabs(v) : v;
	}
}

static void check_masks(const struct cop_layout *l, enum cop_scope scope, int kind, struct cop_stream *s)
{
	const double q[] = {0.3, 0.3, 0.65, 0.9};
	double *score = cop_xcalloc(l->total, sizeof(*score)), threshold = -7;
	float *weights = cop_xcalloc(l->total, sizeof(*weights));
	uint8_t *before = cop_xmalloc(l->total), *mask = cop_xmalloc(l->total), *wanted = cop_xmalloc(l->total);
	memset(before, 1, l->total);
	for (size_t k = 0; k < 4; k++) {
		struct cop_allocation a;
		struct cop_err err = {0};
		if (scope == COP_SCOPE_UNIFORM &&
		    cop_prune_count(q[k], cop_layout_count(l, true)) > cop_layout_count(l, true) - l->tensor[0].count)
			break;
		allocate(&a, l, scope, "{}", q, k + 1);
		random_scores(score, l->total, kind, s);
		double last = mask_by_sorting(l, &a, score, before, wanted);
		memset(mask, 7, l->total);
		assert_int_equal(cop_prune_scores(l, &a, score, k ? before : NULL, mask, &threshold, &err), 0);
		assert_memory_equal(mask, wanted, l->total);
		assert_true(threshold == last);

		for (size_t i = 0; i < l->total; i++) {
			weights[i] = (float)score[i];
			score[i] = fabs((double)weights[i]);
		}
		last = mask_by_sorting(l, &a, score, before, wanted);
		assert_int_equal(cop_prune_magnitudes(l, &a, weights, k ? before : NULL, mask, &threshold, &err), 0);
		assert_memory_equal(mask, wanted, l->total);
		assert_true(threshold == last);
		memcpy(before, mask, l->total);
		cop_allocation_release(&a);
	}
	free(score);
	free(weights);
	free(before);
	free(mask);
	free(wanted);
}

static void test_masks(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 24; seed++) {
		struct cop_stream s = chance(2000 + seed);
		struct cop_layout l;
		random_layout(&l, &s);
		print_message("# seed %u, %zu weights\n", (unsigned)seed, cop_layout_count(&l, true));
		for (enum cop_scope scope = COP_SCOPE_GLOBAL; scope <= COP_SCOPE_ERK; scope++)
			for (int kind = 0; kind < 4; kind++)
				check_masks(&l, scope, kind, &s);
		cop_layout_release(&l);
	}
	/* one that takes several pieces and threads */
	struct cop_stream s = chance(3000);
	struct cop_layout l = {0};
	cop_layout_add(&l, "a/weight", 2, (int64_t[]){1000, 600}, true);
	cop_layout_add(&l, "b/weight", 2, (int64_t[]){70, 1000}, true);
	for (int kind = 0; kind < 4; kind++)
		check_masks(&l, COP_SCOPE_GLOBAL, kind, &s);
	cop_layout_release(&l);
}

static void test_masks_with_rates(void **state)
{
	(void)state;
	struct cop_layout l;
	struct cop_allocation a;
	struct cop_err err = {0};
	plain_layout(&l);
	double *score = cop_xcalloc(l.total, sizeof(*score)), threshold;
	uint8_t *mask = cop_xmalloc(l.total);
	struct cop_stream s = chance(1);
	random_scores(score, l.total, 1, &s);
	const double q = 0.4;
	allocate(&a, &l, COP_SCOPE_GLOBAL, "{\"out\": 0.5, \"fc2\": 0}", &q, 1);
	score[l.tensor[3].offset] = NAN; /* of fc2, which is not looked at */
	assert_int_equal(cop_prune_scores(&l, &a, score, NULL, mask, &threshold, &err), 0);
	assert_int_equal(cop_mask_kept(&l.tensor[3], mask), 200);
	assert_int_equal(cop_mask_kept(&l.tensor[4], mask), 80);
	assert_int_equal(cop_mask_kept(&l.tensor[0], mask) + cop_mask_kept(&l.tensor[2], mask), 236 - 94);
	score[l.tensor[2].offset + 57] = NAN;
	assert_int_equal(cop_prune_scores(&l, &a, score, NULL, mask, &threshold, &err), COP_EINPUT);
	assert_string_equal(err.msg, "'fc1/weight' holds NaN at [5, 7]");
	uint8_t *before = cop_xmalloc(l.total);
	memset(before, 1, l.total);
	before[l.tensor[2].offset + 57] = 0;
	assert_int_equal(cop_prune_scores(&l, &a, score, before, mask, &threshold, &err), 0);
	assert_int_equal(cop_mask_kept(&l.tensor[0], mask) + cop_mask_kept(&l.tensor[2], mask), 236 - 94);
	memset(before + l.tensor[4].offset, 0, 21);
	assert_int_equal(cop_prune_scores(&l, &a, score, before, mask, &threshold, &err), COP_EINPUT);
	assert_string_equal(err.msg, "cannot cut '20' of 100 weights: 21 are cut already");
	cop_allocation_release(&a);
	free(before);
	free(score);
	free(mask);
	cop_layout_release(&l);
}

/* Keeps every third weight of conv1, all of fc1, none of fc2, 17 of out. */
static uint8_t *patterned(const struct cop_layout *l)
{
	uint8_t *mask = cop_xmalloc(l->total);
	memset(mask, 1, l->total);
	for (size_t i = 0; i < 36; i++)
		mask[l->tensor[0].offset + i] = i % 3 == 0;
	memset(mask + l->tensor[3].offset, 0, 200);
	memset(mask + l->tensor[4].offset + 17, 0, 83);
	return mask;
}

static void test_chance_keeps_counts(void **state)
{
	(void)state;
	struct cop_layout l;
	plain_layout(&l);
	uint8_t *was = patterned(&l), *mask = cop_xmalloc(l.total), *again = cop_xmalloc(l.total);
	for (uint64_t seed = 0; seed < 50; seed++) {
		memcpy(mask, was, l.total);
		cop_mask_shuffle(&l, mask, seed);
		for (size_t i = 0; i < l.n; i++)
			assert_int_equal(cop_mask_kept(&l.tensor[i], mask), cop_mask_kept(&l.tensor[i], was));
		assert_true(memcmp(mask, was, l.total) != 0);
		memcpy(again, was, l.total);
		cop_mask_shuffle(&l, again, seed);
		assert_memory_equal(mask, again, l.total);
		cop_mask_shuffle(&l, again, seed + 1);
		assert_true(memcmp(mask, again, l.total) != 0);

		memcpy(mask, was, l.total);
		cop_mask_random(&l, NULL, mask, seed);
		assert_int_equal(cop_mask_nnz(&l, mask), 12 + 200 + 17);
		assert_true(cop_mask_kept(&l.tensor[3], mask) > 40);
		for (size_t i = 0; i < l.total; i++) /* biases and padding */
			assert_true(mask[i] == was[i] || mask[i] <= 1);
		for (size_t i = 0; i < l.tensor[1].count; i++)
			assert_int_equal(mask[l.tensor[1].offset + i], 1);
	}
	/* what is exempt stays as it is, and has no part in it */
	int group[] = {0, -1, 0, -1, 0};
	assert_true(l.n <= sizeof(group) / sizeof(group[0]));
	for (size_t i = 0; i < l.n; i++)
		group[i] = l.tensor[i].prunable && i != 3 ? 0 : -1;
	memcpy(mask, was, l.total);
	cop_mask_random(&l, &(struct cop_allocation){.group = group, .groups = 1}, mask, 5);
	assert_memory_equal(mask + l.tensor[3].offset, was + l.tensor[3].offset, l.tensor[3].count);
	assert_int_equal(cop_mask_nnz(&l, mask), 12 + 200 + 17);
	assert_true(memcmp(mask, was, l.total) != 0);
	/* the bits of one of each, which no machine and no later version may change */
	memcpy(mask, was, l.total);
	cop_mask_shuffle(&l, mask, 5);
	memcpy(again, was, l.total);
	cop_mask_random(&l, NULL, again, 5);
	assert_true(cop_hash(COP_HASH_START, mask, l.total) == UINT64_C(0x18d97f969e6d94a6));
	assert_true(cop_hash(COP_HASH_START, again, l.total) == UINT64_C(0x58defe7d01767768));
	free(was);
	free(mask);
	free(again);
	cop_layout_release(&l);
}

/* Of `n` places k are kept; how often each was in `draws` masks, and each with its neighbour, within what chance
 * allows. */
static void check_uniform(const double *single, const double *pair, double n, double k, double draws)
{
	double p = k / n, both = p * (k - 1) / (n - 1), chi = 0, pairs = 0;
	for (size_t i = 0; i < (size_t)n; i++) {
		double d = single[i] - draws * p;
		chi += d * d / (draws * p * (1 - p)) * (n - 1) / n;
		pairs += pair[i];
	}
	print_message("# chi-square %.1f on %.0f degrees, neighbours %.5f of %.5f\n", chi, n - 1, pairs / n / draws,
		      both);
	/* five deviations of either */
	assert_true(fabs(chi - (n - 1)) < 5 * sqrt(2 * (n - 1)));
	assert_true(fabs(pairs / n / draws - both) < 5 * sqrt(both / (n * draws)));
}

static void test_chance_is_uniform(void **state)
{
	(void)state;
	enum { N = 60, DRAWS = 4000 };
	struct cop_layout l = {0};
	cop_layout_add(&l, "a/weight", 2, (int64_t[]){2, 8}, true);
	cop_layout_add(&l, "b/weight", 2, (int64_t[]){4, 11}, true);
	double single[2][N] = {{0}}, pair[2][N] = {{0}};
	uint8_t *mask = cop_xmalloc(l.total);
	for (uint64_t seed = 0; seed < DRAWS; seed++)
		for (int which = 0; which < 2; which++) {
			memset(mask, 1, l.total);
			memset(mask, 0, 14);
			memset(mask + l.tensor[1].offset, 0, 33);
			if (which)
				cop_mask_random(&l, NULL, mask, seed);
			else
				cop_mask_shuffle(&l, mask, seed);
			/* the first tensor fills its 16 places, so all are in a row */
			for (size_t i = 0; i < N; i++) {
				single[which][i] += mask[i];
				pair[which][i] += mask[i] && mask[(i + 1) % N];
			}
		}
	check_uniform(single[1], pair[1], N, 13, DRAWS);
	/* the last place of the second tensor has the first of it for a neighbour */
	pair[0][N - 1] = pair[0][N - 2];
	check_uniform(single[0] + 16, pair[0] + 16, 44, 11, DRAWS);
	free(mask);
	cop_layout_release(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shares),
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_rates_over_rounds),
		cmocka_unit_test(test_rounds_do_not_fall),
		cmocka_unit_test(test_bad_input),
		cmocka_unit_test(test_masks),
		cmocka_unit_test(test_masks_with_rates),
		cmocka_unit_test(test_chance_keeps_counts),
		cmocka_unit_test(test_chance_is_uniform),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
