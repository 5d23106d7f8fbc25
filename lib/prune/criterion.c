/* Scores, and the masks that they make; see criterion.h. */
#include "prune/criterion.h"

#include "base/mem.h"
#include "base/rng.h"
#include "prune/criterion_priv.h"
#include "prune/mask.h"
#include "store/scan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FLOW_TURNS = 100 /* synflow's */ };

struct cop_criterion_needs cop_criterion_needs(enum cop_criterion c)
{
	static const struct cop_criterion_needs needs[COP_CRITERIA] = {
		[COP_CRITERION_MAGNITUDE] = {.last = true},
		[COP_CRITERION_CHANGE] = {.first = true, .last = true},
		[COP_CRITERION_SAME_SIGN] = {.first = true, .last = true},
		[COP_CRITERION_RANDOM_LAYERWISE] = {.last = true},
		[COP_CRITERION_SNIP] = {.first = true, .samples = true},
		[COP_CRITERION_GRASP] = {.first = true, .samples = true},
		[COP_CRITERION_SYNFLOW] = {.first = true},
		[COP_CRITERION_GRADIENT_WEIGHT] = {.last = true, .samples = true},
	};
	return needs[c];
}

double cop_criterion_macs(enum cop_criterion c, double macs, double images)
{
	/* forward and backward, the latter for inputs and for weights */
	const double gradient = 3 * macs;
	switch (c) {
	case COP_CRITERION_SNIP:
	case COP_CRITERION_GRADIENT_WEIGHT:
		return gradient * images;
	case COP_CRITERION_GRASP:
		/* first the gradient alone, then with its tangents, which take two products for each one */
		return (gradient + 3 * gradient) * images;
	case COP_CRITERION_SYNFLOW:
		return gradient * FLOW_TURNS;
	default:
		return 0;
	}
}

int cop_scoring_watch(const struct cop_scoring *s, struct cop_err *err)
{
	return s->watch ? s->watch(s->user, err) : 0;
}

static bool is_there(const struct cop_scoring *s, size_t i)
{
	return !s->before || s->before[i];
}

static int complain(const struct cop_tensor *t, size_t i, bool score, struct cop_err *err)
{
	char place[256];
	struct cop_block b = {.rank = t->rank};
	for (int d = 0; d < t->rank; d++)
		b.count[d] = (uint64_t)t->dim[d];
	cop_block_place(&b, i, place, sizeof(place));
	return score ? cop_fail(err, COP_EINPUT, "the scores of '%s' hold NaN at %s", t->name, place)
		     : cop_fail(err, COP_EINPUT, "'%s' holds NaN at %s", t->name, place);
}

/* A NaN among parameters would be in every score: it is named where it lies. */
static int check_parameters(const struct cop_scoring *s, const float *w, struct cop_err *err)
{
	const struct cop_layout *l = &s->graph->params;
	for (size_t k = 0; k < l->n; k++)
		for (size_t i = 0; i < l->tensor[k].count; i++) {
			size_t at = l->tensor[k].offset + i;
			if (isnan(w[at]) && is_there(s, at))
				return complain(&l->tensor[k], i, false, err);
		}
	return 0;
}

static int check_inputs(const struct cop_scoring *s, enum cop_criterion c, struct cop_err *err)
{
	struct cop_criterion_needs needs = cop_criterion_needs(c);
	if ((needs.first && !s->first) || (needs.last && !s->last) || (needs.samples && !s->samples))
		COP_BUG("a criterion lacks what it looks at");
	int rc = needs.first ? check_parameters(s, s->first, err) : 0;
	return !rc && needs.last ? check_parameters(s, s->last, err) : rc;
}

/* 0 where nothing can be cut: between tensors, in those that stay, and where it was cut before. */
static int finish_scores(const struct cop_scoring *s, double *score, struct cop_err *err)
{
	const struct cop_layout *l = &s->graph->params;
	size_t done = 0;
	for (size_t k = 0; k < l->n; k++) {
		const struct cop_tensor *t = &l->tensor[k];
		if (!t->prunable)
			continue;
		memset(score + done, 0, (t->offset - done) * sizeof(*score));
		done = t->offset + t->count;
		for (size_t i = t->offset; i < done; i++) {
			score[i] = is_there(s, i) ? score[i] : 0;
			if (isnan(score[i]))
				return complain(t, i - t->offset, true, err);
		}
	}
	memset(score + done, 0, (l->total - done) * sizeof(*score));
	return 0;
}

static int sign(float v)
{
	return (v > 0) - (v < 0);
}

/* |w_T|, |w_T - w_0|, |w_T| of an equal sign. */
static void score_values(const struct cop_scoring *s, enum cop_criterion c, double *score)
{
	for (size_t i = 0; i < s->graph->params.total; i++) {
		double last = (double)s->last[i];
		score[i] = fabs(c == COP_CRITERION_CHANGE ? last - (double)s->first[i] : last);
		if (c == COP_CRITERION_SAME_SIGN && sign(s->first[i]) != sign(s->last[i]))
			score[i] = 0;
	}
}

/* Each tensor's draws are its own, so that a weight's is the same in every round. */
static void score_draws(const struct cop_scoring *s, double *score)
{
	const struct cop_layout *l = &s->graph->params;
	for (size_t k = 0; k < l->n; k++) {
		const struct cop_tensor *t = &l->tensor[k];
		struct cop_stream draw;
		cop_stream_init(&draw, s->seed, COP_PURPOSE_PRUNE, (uint32_t)k, 0);
		for (size_t i = t->offset; i < t->offset + t->count && t->prunable; i++)
			score[i] = cop_stream_uniform(&draw);
	}
}

static int score_flow(const struct cop_scoring *s, double *score, struct cop_err *err)
{
	struct cop_flow *f;
	int rc = cop_flow_new(&f, s, err);
	if (rc)
		return rc;
	cop_flow_scores(f, s->before, score);
	cop_flow_free(f);
	return 0;
}

int cop_criterion_scores(const struct cop_scoring *s, enum cop_criterion c, double *score, struct cop_err *err)
{
	int rc = check_inputs(s, c, err);
	if (rc)
		return rc;
	switch (c) {
	case COP_CRITERION_RANDOM:
	case COP_CRITERION_RANDOM_LAYERWISE:
		score_draws(s, score);
		break;
	case COP_CRITERION_SNIP:
		rc = cop_score_gradient(s, s->first, score, err);
		break;
	case COP_CRITERION_GRADIENT_WEIGHT:
		rc = cop_score_gradient(s, s->last, score, err);
		break;
	case COP_CRITERION_GRASP:
		rc = cop_score_grasp(s, score, err);
		break;
	case COP_CRITERION_SYNFLOW:
		rc = score_flow(s, score, err);
		break;
	default:
		score_values(s, c, score);
	}
	return rc ? rc : finish_scores(s, score, err);
}

/* The prunable weights of a group, and those that `before` cuts. */
static void count_group(const struct cop_scoring *s, const struct cop_allocation *a, int group, size_t *all,
			size_t *gone)
{
	const struct cop_layout *l = &s->graph->params;
	*all = *gone = 0;
	for (size_t k = 0; k < l->n; k++) {
		if (a->group[k] != group)
			continue;
		*all += l->tensor[k].count;
		*gone += s->before ? l->tensor[k].count - cop_mask_kept(&l->tensor[k], s->before) : 0;
	}
}

/* After turn t of T each group keeps n_0 (n_T / n_0)^(t/T) weights, n_0 before and n_T after all of them, rounded. */
static void share_turn(const struct cop_scoring *s, const struct cop_allocation *a, int turn, size_t *cut)
{
	for (int g = 0; g < a->groups; g++) {
		size_t all, gone;
		count_group(s, a, g, &all, &gone);
		double begin = (double)(all - gone), end = (double)(all - a->cut[g]);
		double kept = begin > 0 ? floor(begin * pow(end / begin, (double)turn / FLOW_TURNS) + 0.5) : 0;
		cut[g] = turn == FLOW_TURNS || kept < end ? a->cut[g] : all - (size_t)kept;
	}
}

/* Some weights at a time, for each that goes changes the flow through the others. */
static int cut_flow(const struct cop_scoring *s, const struct cop_allocation *a, double *score, uint8_t *mask,
		    double *threshold, struct cop_err *err)
{
	struct cop_flow *f;
	int rc = cop_flow_new(&f, s, err);
	if (rc)
		return rc;
	struct cop_scoring now = *s;
	struct cop_allocation part = {a->group, cop_xcalloc((size_t)a->groups + 1, sizeof(size_t)), a->groups};
	uint8_t *before = NULL;
	rc = cop_alloc(&before, s->graph->params.total, 1, "a mask", err);
	*threshold = 0;
	for (int turn = 1; turn <= FLOW_TURNS && !rc; turn++) {
		double largest = 0;
		rc = cop_scoring_watch(s, err);
		if (rc)
			break;
		share_turn(s, a, turn, part.cut);
		cop_flow_scores(f, now.before, score);
		rc = finish_scores(&now, score, err);
		if (!rc)
			rc = cop_prune_scores(&s->graph->params, &part, score, now.before, mask, &largest, err);
		if (rc)
			break;
		*threshold = largest > 0 ? largest : *threshold;
		memcpy(before, mask, s->graph->params.total);
		now.before = before;
	}
	free(before);
	free(part.cut);
	cop_flow_free(f);
	return rc;
}

/* As many of each tensor as magnitude takes, those with the lowest draws. */
static int cut_layerwise(const struct cop_scoring *s, const struct cop_allocation *a, const double *score,
			 uint8_t *mask, double *threshold, struct cop_err *err)
{
	const struct cop_layout *l = &s->graph->params;
	struct cop_allocation each = {cop_xcalloc(l->n, sizeof(int)), cop_xcalloc(l->n, sizeof(size_t)), 0};
	int rc = cop_prune_magnitudes(l, a, s->last, s->before, mask, threshold, err);
	for (size_t k = 0; k < l->n && !rc; k++) {
		each.group[k] = a->group[k] < 0 ? -1 : each.groups;
		if (a->group[k] >= 0)
			each.cut[each.groups++] = l->tensor[k].count - cop_mask_kept(&l->tensor[k], mask);
	}
	if (!rc)
		rc = cop_prune_scores(l, &each, score, s->before, mask, threshold, err);
	free(each.group);
	free(each.cut);
	return rc;
}

int cop_criterion_mask(const struct cop_scoring *s, enum cop_criterion c, const struct cop_allocation *a, uint8_t *mask,
		       double *threshold, struct cop_err *err)
{
	const struct cop_layout *l = &s->graph->params;
	if (c == COP_CRITERION_MAGNITUDE)
		return cop_prune_magnitudes(l, a, s->last, s->before, mask, threshold, err);
	double *score = NULL;
	int rc = cop_alloc(&score, l->total, sizeof(*score), "scores", err);
	if (!rc && c == COP_CRITERION_SYNFLOW) {
		rc = check_inputs(s, c, err);
		if (!rc)
			rc = cut_flow(s, a, score, mask, threshold, err);
	} else if (!rc) {
		rc = cop_criterion_scores(s, c, score, err);
		if (!rc && c == COP_CRITERION_RANDOM_LAYERWISE)
			rc = cut_layerwise(s, a, score, mask, threshold, err);
		else if (!rc)
			rc = cop_prune_scores(l, a, score, s->before, mask, threshold, err);
	}
	free(score);
	return rc;
}
