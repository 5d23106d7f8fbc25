/* How many weights are cut of which tensor; see allocation.h. */
#include "prune/allocation.h"

#include "base/mem.h"
#include "base/str.h"
#include "prune/mask.h"

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The layer's name: the tensor's without "/weight". */
static const char *layer_of(const struct cop_tensor *t, char name[COP_TENSOR_NAME])
{
	snprintf(name, COP_TENSOR_NAME, "%s", t->name);
	if (cop_str_ends(name, "/weight"))
		name[strlen(name) - strlen("/weight")] = '\0';
	return name;
}

static const struct cop_rate *rate_of(const struct cop_rates *rates, const struct cop_tensor *t)
{
	char name[COP_TENSOR_NAME];
	for (size_t i = 0; rates && i < rates->n; i++)
		if (fnmatch(rates->rate[i].pattern, layer_of(t, name), 0) == 0)
			return &rates->rate[i];
	return NULL;
}

static int no_match(const struct cop_layout *l, const char *pattern, struct cop_err *err)
{
	char name[COP_TENSOR_NAME], nearest[COP_TENSOR_NAME] = "";
	size_t least = SIZE_MAX;
	for (size_t i = 0; i < l->n; i++) {
		size_t d = cop_str_distance(pattern, layer_of(&l->tensor[i], name));
		if (!l->tensor[i].prunable || d >= least)
			continue;
		least = d;
		memcpy(nearest, name, sizeof(name));
	}
	return cop_fail(err, COP_EINPUT, "rate of '%s': no layer with weights to cut has such a name%s%s%s", pattern,
			*nearest ? " (the nearest is '" : "", nearest, *nearest ? "')" : "");
}

static int check_patterns(const struct cop_layout *l, const struct cop_rates *rates, struct cop_err *err)
{
	char name[COP_TENSOR_NAME];
	for (size_t i = 0; rates && i < rates->n; i++) {
		bool met = false;
		for (size_t k = 0; k < l->n && !met; k++)
			met = l->tensor[k].prunable &&
			      fnmatch(rates->rate[i].pattern, layer_of(&l->tensor[k], name), 0) == 0;
		if (!met)
			return no_match(l, rates->rate[i].pattern, err);
	}
	return 0;
}

static int check_rounds(const double *q, size_t rounds, struct cop_err *err)
{
	if (rounds == 0)
		COP_BUG("pruning without a round");
	for (size_t k = 0; k < rounds; k++)
		if (!(q[k] >= (k ? q[k - 1] : 0) && q[k] <= 1))
			return cop_fail(err, COP_EINPUT,
					"'%g' cannot be the part of the weights that is cut%s: it must be in 0..1, and "
					"not fall from round to round",
					q[k], rounds > 1 ? " after a round" : "");
	return 0;
}

/* *share: of a layer with a rate of its own, after all rounds; without the noise of its last digits. */
static int share_of(const struct cop_rate *rate, const double *q, size_t rounds, double *share, struct cop_err *err)
{
	const double noise = 1e-9, digits = 1e12;
	double gone = 0, before = 0;
	for (size_t k = 0; k < rounds; before = q[k++]) {
		double r = before < 1 ? (q[k] - before) / (1 - before) : 0;
		if (rate->factor * r > 1 + noise)
			return cop_fail(err, COP_EINPUT, "rate of '%s': %g times %g is more than all of it",
					rate->pattern, rate->factor, r);
		gone += fmin(rate->factor * r, 1) * (1 - gone);
	}
	*share = round(gone * digits) / digits;
	return 0;
}

/* The tensors without a rate of their own, and what is cut of them by the last round that was worked out. */
struct rest {
	const struct cop_tensor **t; /* (n) */
	size_t *cut;                 /* (n) */
	double *share;               /* (n): what to cut, before it is rounded */
	size_t n, count;             /* count: weights in all */
	bool first;                  /* the network's first prunable tensor is among them, and so is t[0] */
};

static void find_rest(struct rest *r, const struct cop_layout *l, const struct cop_rates *rates)
{
	bool met = false;
	*r = (struct rest){.t = cop_xcalloc(l->n, sizeof(*r->t)),
			   .cut = cop_xcalloc(l->n, sizeof(*r->cut)),
			   .share = cop_xcalloc(l->n, sizeof(*r->share))};
	for (size_t i = 0; i < l->n; i++) {
		const struct cop_tensor *t = &l->tensor[i];
		if (!t->prunable)
			continue;
		if (!rate_of(rates, t)) {
			r->first |= !met;
			r->count += t->count;
			r->t[r->n++] = t;
		}
		met = true;
	}
}

static void release_rest(struct rest *r)
{
	free(r->t);
	free(r->cut);
	free(r->share);
}

static int uniform_shares(struct rest *r, size_t cut, struct cop_err *err)
{
	size_t whole = r->first ? r->t[0]->count : 0;
	if (cut > r->count - whole)
		return cop_fail(err, COP_EINPUT,
				"scope 'uniform' keeps '%s' whole: %zu weights are left to cut, not '%zu'",
				r->t[0]->name, r->count - whole, cut);
	double open = (double)(r->count - whole);
	for (size_t i = 0; i < r->n; i++)
		r->share[i] = cut == 0 || (i == 0 && r->first) ? 0 : (double)cut * (double)r->t[i]->count / open;
	return 0;
}

static double sum_of_dims(const struct cop_tensor *t)
{
	double sum = 0;
	for (int d = 0; d < t->rank; d++)
		sum += (double)t->dim[d];
	return sum;
}

/* Tensors whose density would be above 1 stay whole, and what they do not take goes to the others, until none is. */
static void erk_shares(struct rest *r, size_t cut)
{
	bool *whole = cop_xcalloc(r->n, sizeof(*whole)), changed;
	double scale;
	do {
		double kept = (double)(r->count - cut), dims = 0;
		for (size_t i = 0; i < r->n; i++)
			if (whole[i])
				kept -= (double)r->t[i]->count;
			else
				dims += sum_of_dims(r->t[i]);
		scale = dims > 0 ? kept / dims : 0;
		changed = false;
		for (size_t i = 0; i < r->n; i++)
			if (!whole[i] && scale * sum_of_dims(r->t[i]) > (double)r->t[i]->count)
				changed = whole[i] = true;
	} while (changed);
	for (size_t i = 0; i < r->n; i++)
		r->share[i] = whole[i] ? 0 : (double)r->t[i]->count - scale * sum_of_dims(r->t[i]);
	free(whole);
}

/* Whole numbers with the sum `cut`: shares rounded down, one more where most is lacking; none below that before. */
static void round_shares(struct rest *r, size_t cut)
{
	const double noise = 1e-7; /* of shares: what lacks as much to within it is a tie */
	size_t sum = 0, *low = cop_xcalloc(r->n, sizeof(*low));
	for (size_t i = 0; i < r->n; i++) {
		low[i] = r->cut[i];
		r->cut[i] = (size_t)fmin(fmax(r->share[i], (double)low[i]), (double)r->t[i]->count);
		sum += r->cut[i];
	}
	for (; sum != cut; sum += sum < cut ? 1 : (size_t)-1) {
		size_t best = r->n;
		double most = -HUGE_VAL;
		for (size_t i = 0; i < r->n; i++) {
			double lacking = r->share[i] - (double)r->cut[i];
			bool open = sum < cut ? r->cut[i] < r->t[i]->count : r->cut[i] > low[i];
			lacking = sum < cut ? lacking : -lacking;
			if (!open || lacking <= most + noise)
				continue;
			most = lacking;
			best = i;
		}
		if (best == r->n)
			COP_BUG("there is nothing left to cut");
		r->cut[best] += sum < cut ? 1 : (size_t)-1;
	}
	free(low);
}

static int cut_rest(struct rest *r, enum cop_scope scope, const double *q, size_t rounds, struct cop_err *err)
{
	int rc = 0;
	if (scope == COP_SCOPE_LAYER) {
		for (size_t i = 0; i < r->n; i++)
			r->cut[i] = cop_prune_count(q[rounds - 1], r->t[i]->count);
		return 0;
	}
	for (size_t k = 0; k < rounds && r->n && !rc; k++) {
		size_t cut = cop_prune_count(q[k], r->count);
		if (scope == COP_SCOPE_UNIFORM)
			rc = uniform_shares(r, cut, err);
		else
			erk_shares(r, cut);
		if (!rc)
			round_shares(r, cut);
	}
	return rc;
}

static int add_group(struct cop_allocation *a, size_t cut)
{
	a->cut[a->groups] = cut;
	return a->groups++;
}

static int assign(struct cop_allocation *a, const struct cop_layout *l, bool together, const struct rest *r,
		  const struct cop_rates *rates, const double *q, size_t rounds, struct cop_err *err)
{
	int all = together && r->n ? add_group(a, cop_prune_count(q[rounds - 1], r->count)) : -1;
	size_t next = 0;
	for (size_t i = 0; i < l->n; i++) {
		const struct cop_tensor *t = &l->tensor[i];
		const struct cop_rate *rate = rate_of(rates, t);
		double share = 0;
		a->group[i] = -1;
		if (!t->prunable || (rate && rate->factor == 0))
			continue;
		int rc = rate ? share_of(rate, q, rounds, &share, err) : 0;
		if (rc)
			return rc;
		if (rate)
			a->group[i] = add_group(a, cop_prune_count(share, t->count));
		else
			a->group[i] = together ? all : add_group(a, r->cut[next++]);
	}
	return 0;
}

int cop_allocate(struct cop_allocation *a, const struct cop_layout *l, enum cop_scope scope,
		 const struct cop_rates *rates, const double *q, size_t rounds, struct cop_err *err)
{
	struct rest r;
	bool together = scope == COP_SCOPE_GLOBAL;
	*a = (struct cop_allocation){.group = cop_xcalloc(l->n, sizeof(*a->group)),
				     .cut = cop_xcalloc(l->n + 1, sizeof(*a->cut))};
	find_rest(&r, l, rates);
	int rc = check_rounds(q, rounds, err);
	if (!rc)
		rc = check_patterns(l, rates, err);
	if (!rc && !together)
		rc = cut_rest(&r, scope, q, rounds, err);
	if (!rc)
		rc = assign(a, l, together, &r, rates, q, rounds, err);
	release_rest(&r);
	if (rc)
		cop_allocation_release(a);
	return rc;
}

void cop_allocation_release(struct cop_allocation *a)
{
	free(a->group);
	free(a->cut);
	*a = (struct cop_allocation){0};
}
