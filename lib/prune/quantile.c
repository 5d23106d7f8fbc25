/* Quantiles of magnitudes; see quantile.h. */
#include "prune/quantile.h"

#include "base/mem.h"
#include "prune/select.h"

#include <math.h>
#include <stdlib.h>

static int feed_block(const struct cop_block *b, void *user, struct cop_err *err)
{
	return cop_select_feed(user, b, err);
}

static int one_pass(struct cop_select *s, const struct cop_source *source, struct cop_err *err)
{
	int rc = source->read(source->user, feed_block, s, err);
	return rc ? rc : cop_select_end(s, err);
}

static int survey(struct cop_select **s, const struct cop_source *source, int threads, struct cop_err *err)
{
	int rc = cop_select_new(s, source->type, threads, err);
	return rc ? rc : one_pass(*s, source, err);
}

static int resolve(struct cop_select *s, const struct cop_source *source, const uint64_t *rank, size_t n,
		   struct cop_err *err)
{
	int rc = cop_select_want(s, rank, n, err);
	while (!rc && cop_select_open(s))
		rc = one_pass(s, source, err);
	return rc;
}

static int compare_ranks(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

/* Sorts and drops what is there twice; returns how many are left. */
static size_t sort_ranks(uint64_t *rank, size_t n)
{
	size_t kept = 0;
	qsort(rank, n, sizeof(*rank), compare_ranks);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || rank[i] != rank[i - 1])
			rank[kept++] = rank[i];
	return kept;
}

static size_t place_of(const uint64_t *rank, size_t n, uint64_t wanted)
{
	const uint64_t *at = bsearch(&wanted, rank, n, sizeof(*rank), compare_ranks);
	return (size_t)(at - rank);
}

/* The neighbours of q * (count - 1), and how far it is from the lower one. */
static double neighbours(double q, uint64_t count, uint64_t *lower, uint64_t *upper)
{
	double last = (double)(count - 1), at = q * last;
	if (at >= last) {
		*lower = *upper = count - 1;
		return 0;
	}
	*lower = (uint64_t)at;
	*upper = *lower + 1;
	return at - (double)*lower;
}

/* A difference as numpy has it, rounded to the type of its operands. 0 <= v, finite. */
static double round_to(enum cop_float type, double v)
{
	if (type == COP_FLOAT64 || v == 0)
		return v;
	if (type == COP_FLOAT32)
		return (double)(float)v;
	int exponent = ilogb(v) < -14 ? -14 : ilogb(v);
	double rounded = ldexp(rint(ldexp(v, 10 - exponent)), exponent - 10);
	return rounded > 65504 ? INFINITY : rounded;
}

static double interpolate(enum cop_float type, double a, double b, double t)
{
	if (a == b || t == 0)
		return a;
	if (isinf(b))
		return b;
	double difference = round_to(type, b - a);
	return t < 0.5 ? a + difference * t : b - difference * (1 - t);
}

static int select_quantiles(struct cop_select *s, const struct cop_source *source, uint64_t count, const double *q,
			    size_t nq, uint64_t *rank, double *value, struct cop_err *err)
{
	uint64_t lower, upper;
	for (size_t i = 0; i < nq; i++)
		neighbours(q[i], count, &rank[2 * i], &rank[2 * i + 1]);
	size_t n = sort_ranks(rank, 2 * nq);
	int rc = resolve(s, source, rank, n, err);
	for (size_t i = 0; !rc && i < nq; i++) {
		double t = neighbours(q[i], count, &lower, &upper);
		double a = cop_select_value(s, place_of(rank, n, lower), NULL);
		double b = cop_select_value(s, place_of(rank, n, upper), NULL);
		value[i] = interpolate(source->type, a, b, t);
	}
	return rc;
}

int cop_quantile(const struct cop_source *source, const double *q, size_t nq, int threads, struct cop_summary *summary,
		 double *value, struct cop_err *err)
{
	struct cop_select *s = NULL;
	uint64_t *rank = NULL;
	struct cop_summary all;
	for (size_t i = 0; i < nq; i++)
		if (!(q[i] >= 0 && q[i] <= 1))
			return cop_fail(err, COP_EINPUT, "quantile '%g' is not in 0..1", q[i]);
	int rc = survey(&s, source, threads, err);
	if (rc)
		goto out;
	all = cop_select_summary(s);
	for (size_t i = 0; all.count == 0 && i < nq; i++)
		value[i] = NAN;
	if (all.count && nq) {
		rc = cop_alloc(&rank, nq, 2 * sizeof(*rank), "ranks", err);
		if (!rc)
			rc = select_quantiles(s, source, all.count, q, nq, rank, value, err);
	}
	if (!rc && summary)
		*summary = all;
out:
	free(rank);
	cop_select_free(s);
	return rc;
}

int cop_order_find(const struct cop_source *source, struct cop_order *order, size_t n, int threads, struct cop_err *err)
{
	struct cop_select *s = NULL;
	uint64_t *rank = NULL;
	size_t distinct = 0;
	int rc = survey(&s, source, threads, err);
	if (!rc)
		rc = cop_alloc(&rank, n, sizeof(*rank), "ranks", err);
	uint64_t count = rc ? 0 : cop_select_summary(s).count;
	for (size_t i = 0; !rc && i < n; i++) {
		rank[i] = order[i].rank;
		if (rank[i] >= count)
			rc = cop_fail(err, COP_EINPUT, "there is no element of rank '%llu' among %llu",
				      (unsigned long long)rank[i], (unsigned long long)count);
	}
	if (!rc) {
		distinct = sort_ranks(rank, n);
		rc = resolve(s, source, rank, distinct, err);
	}
	for (size_t i = 0; !rc && i < n; i++)
		order[i].value = cop_select_value(s, place_of(rank, distinct, order[i].rank), &order[i].below);
	free(rank);
	cop_select_free(s);
	return rc;
}

static int read_arrays(void *user, cop_block_fn *visit, void *to, struct cop_err *err)
{
	const struct cop_arrays *a = user;
	int rc = 0;
	for (size_t i = 0; !rc && i < a->n; i++) {
		const struct cop_array *one = &a->array[i];
		struct cop_block b = {.data = one->data, .n = one->n, .type = COP_FLOAT32, .name = one->name};
		b.rank = one->rank ? one->rank : 1;
		b.count[0] = one->n;
		for (int d = 0; d < one->rank; d++)
			b.count[d] = (uint64_t)one->dim[d];
		rc = visit(&b, to, err);
	}
	return rc;
}

struct cop_source cop_source_arrays(const struct cop_arrays *a)
{
	/* read_arrays only reads it */
	union {
		const struct cop_arrays *in;
		void *out;
	} user = {.in = a};
	return (struct cop_source){.type = COP_FLOAT32, .read = read_arrays, .user = user.out};
}
