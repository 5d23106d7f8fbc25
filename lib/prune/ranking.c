/* Which weights are cut: the lowest of each group; see allocation.h. */
#include "base/mem.h"
#include "prune/allocation.h"
#include "prune/quantile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 1 << 16 };

enum sign { SIGN_ANY, SIGN_NEGATIVE, SIGN_OTHER };

/* What one group is ranked by. Where `weights` are given their magnitudes are the scores. */
struct contest {
	const struct cop_layout *l;
	const struct cop_allocation *a;
	int group;
	const float *weights;
	const double *score;
	const uint8_t *before;
	enum sign sign; /* which scores selection sees: it ranks by magnitude */
	void *piece;    /* (PIECE): those of them, where it does not see all */
};

static bool in_group(const struct contest *c, size_t tensor)
{
	return c->l->tensor[tensor].prunable && c->a->group[tensor] == c->group;
}

static bool is_there(const struct contest *c, size_t i)
{
	return !c->before || c->before[i];
}

static double score_of(const struct contest *c, size_t i)
{
	return c->weights ? fabs((double)c->weights[i]) : c->score[i];
}

static enum cop_float type_of(const struct contest *c)
{
	return c->weights ? COP_FLOAT32 : COP_FLOAT64;
}

static int visit_block(const struct contest *c, const struct cop_tensor *t, const void *data, size_t n,
		       cop_block_fn *visit, void *to, struct cop_err *err)
{
	struct cop_block b = {.data = data, .n = n, .type = type_of(c), .name = t->name, .rank = 1, .count = {n}};
	return visit(&b, to, err);
}

/* The scores of a tensor that are in the contest and of the sign, piece by piece. */
static int read_some(const struct contest *c, const struct cop_tensor *t, cop_block_fn *visit, void *to,
		     struct cop_err *err)
{
	size_t n = 0;
	int rc = 0;
	for (size_t i = t->offset; i < t->offset + t->count && !rc; i++) {
		if (!is_there(c, i) || (c->sign != SIGN_ANY && (c->score[i] < 0) != (c->sign == SIGN_NEGATIVE)))
			continue;
		if (c->weights)
			((float *)c->piece)[n++] = c->weights[i];
		else
			((double *)c->piece)[n++] = c->score[i];
		if (n < PIECE)
			continue;
		rc = visit_block(c, t, c->piece, n, visit, to, err);
		n = 0;
	}
	return rc || !n ? rc : visit_block(c, t, c->piece, n, visit, to, err);
}

static int read_scores(void *user, cop_block_fn *visit, void *to, struct cop_err *err)
{
	const struct contest *c = user;
	int rc = 0;
	for (size_t k = 0; k < c->l->n && !rc; k++) {
		const struct cop_tensor *t = &c->l->tensor[k];
		if (!in_group(c, k))
			continue;
		if (c->before || c->sign != SIGN_ANY)
			rc = read_some(c, t, visit, to, err);
		else if (c->weights)
			rc = visit_block(c, t, c->weights + t->offset, t->count, visit, to, err);
		else
			rc = visit_block(c, t, c->score + t->offset, t->count, visit, to, err);
	}
	return rc;
}

/* Below some hundred thousand scores waiting for other threads, at each layer and pass, takes longer than counting. */
static int threads_for(const struct contest *c)
{
	enum { FEW = 1 << 19 };
	size_t n = 0;
	for (size_t i = 0; i < c->l->n; i++)
		n += in_group(c, i) ? c->l->tensor[i].count : 0;
	return n < FEW ? 1 : 0;
}

/* The magnitude of rank `rank` among the scores of a sign. */
static int find_magnitude(struct contest *c, enum sign sign, size_t rank, double *value, struct cop_err *err)
{
	struct cop_source source = {.type = type_of(c), .read = read_scores, .user = c};
	struct cop_order order = {.rank = rank};
	c->sign = sign;
	int rc = cop_order_find(&source, &order, 1, threads_for(c), err);
	*value = order.value;
	return rc;
}

/* The largest of the `cut` lowest scores, `negative` of all being negative: large magnitudes are low there. cut > 0. */
static int find_bound(struct contest *c, size_t negative, size_t cut, double *bound, struct cop_err *err)
{
	if (cut > negative)
		return find_magnitude(c, negative ? SIGN_OTHER : SIGN_ANY, cut - negative - 1, bound, err);
	int rc = find_magnitude(c, SIGN_NEGATIVE, negative - cut, bound, err);
	*bound = -*bound;
	return rc;
}

/* What a group has. */
struct tally {
	size_t all, there, negative;
};

static int name_nan(const struct contest *c, const struct cop_tensor *t, struct cop_err *err)
{
	char place[256];
	struct cop_block b = {.rank = t->rank};
	size_t i = 0;
	for (int d = 0; d < t->rank; d++)
		b.count[d] = (uint64_t)t->dim[d];
	while (!is_there(c, t->offset + i) || !isnan(score_of(c, t->offset + i)))
		i++;
	return cop_fail(err, COP_EINPUT, "'%s' holds NaN at %s", t->name, cop_block_place(&b, i, place, sizeof(place)));
}

static int count_group(const struct contest *c, struct tally *sum, struct cop_err *err)
{
	*sum = (struct tally){0};
	for (size_t k = 0; k < c->l->n; k++) {
		const struct cop_tensor *t = &c->l->tensor[k];
		size_t there = 0, negative = 0, nans = 0;
		if (!in_group(c, k))
			continue;
#pragma omp parallel for schedule(static) reduction(+ : there, negative, nans)
		for (size_t i = t->offset; i < t->offset + t->count; i++) {
			double v = is_there(c, i) ? score_of(c, i) : 0;
			there += is_there(c, i);
			negative += v < 0;
			nans += isnan(v) != 0;
		}
		if (nans)
			return name_nan(c, t, err);
		sum->all += t->count;
		sum->there += there;
		sum->negative += negative;
	}
	return 0;
}

/* Cuts what is below `bound`; returns how many those are. */
static size_t cut_below(const struct contest *c, const struct cop_tensor *t, double bound, uint8_t *mask)
{
	size_t below = 0;
#pragma omp parallel for schedule(static) reduction(+ : below)
	for (size_t i = t->offset; i < t->offset + t->count; i++) {
		bool low = is_there(c, i) && score_of(c, i) < bound;
		mask[i] &= !low;
		below += low;
	}
	return below;
}

/* Cuts the first of those that equal `bound`, at most `left` of them; returns how many are left to cut. */
static size_t cut_equals(const struct contest *c, const struct cop_tensor *t, double bound, uint8_t *mask, size_t left)
{
	for (size_t i = t->offset; left && i < t->offset + t->count; i++) {
		if (!is_there(c, i) || score_of(c, i) != bound)
			continue;
		mask[i] = 0;
		left--;
	}
	return left;
}

/* Cuts `cut` more of the group, the largest of which is `bound`. */
static void cut_lowest(const struct contest *c, size_t cut, double bound, uint8_t *mask)
{
	for (size_t k = 0; k < c->l->n; k++)
		if (in_group(c, k))
			cut -= cut_below(c, &c->l->tensor[k], bound, mask);
	for (size_t k = 0; k < c->l->n; k++)
		if (in_group(c, k))
			cut = cut_equals(c, &c->l->tensor[k], bound, mask, cut);
}

static int rank_group(struct contest *c, uint8_t *mask, double *most, struct cop_err *err)
{
	struct tally n;
	double bound;
	size_t cut = c->a->cut[c->group];
	int rc = count_group(c, &n, err);
	if (rc)
		return rc;
	size_t gone = n.all - n.there;
	if (cut > n.all)
		return cop_fail(err, COP_EINPUT, "cannot cut '%zu' of %zu weights", cut, n.all);
	if (cut < gone)
		return cop_fail(err, COP_EINPUT, "cannot cut '%zu' of %zu weights: %zu are cut already", cut, n.all,
				gone);
	if (cut == gone)
		return 0;
	rc = find_bound(c, n.negative, cut - gone, &bound, err);
	if (!rc) {
		cut_lowest(c, cut - gone, bound, mask);
		*most = fmax(*most, bound);
	}
	return rc;
}

static int prune(struct contest *c, uint8_t *mask, double *threshold, struct cop_err *err)
{
	double most = NAN; /* fmax passes over it */
	if (c->before)
		memcpy(mask, c->before, c->l->total);
	else
		memset(mask, 1, c->l->total);
	int rc = cop_alloc(&c->piece, PIECE, sizeof(double), "scores", err);
	for (c->group = 0; c->group < c->a->groups && !rc; c->group++)
		rc = rank_group(c, mask, &most, err);
	free(c->piece);
	*threshold = isnan(most) ? 0 : most;
	return rc;
}

int cop_prune_scores(const struct cop_layout *l, const struct cop_allocation *a, const double *score,
		     const uint8_t *before, uint8_t *mask, double *threshold, struct cop_err *err)
{
	struct contest c = {.l = l, .a = a, .score = score, .before = before};
	return prune(&c, mask, threshold, err);
}

int cop_prune_magnitudes(const struct cop_layout *l, const struct cop_allocation *a, const float *weights,
			 const uint8_t *before, uint8_t *mask, double *threshold, struct cop_err *err)
{
	struct contest c = {.l = l, .a = a, .weights = weights, .before = before};
	return prune(&c, mask, threshold, err);
}
