/* The grid; see cells.h. */
#include "sweep/cells.h"

#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "nn/schedule.h"
#include "prune/mask.h"

#include <inttypes.h>
#include <stdlib.h>

/* An experiment's axes, and which cell stands at each place of them. */
struct axes {
	const struct cop_experiment *e;
	int64_t *step; /* of each reset point */
	int64_t *at;   /* (replicates, quantiles, reset points): the cell's index, or -1 */
	size_t places;
};

static void release_axes(struct axes *a)
{
	free(a->step);
	free(a->at);
}

/* Every reset point as a step; equal ones and ones beyond the end are refused. */
static int reset_steps(const struct cop_experiment *e, int64_t steps_per_epoch, int64_t *step, struct cop_err *err)
{
	int64_t total = e->train.epochs * steps_per_epoch;
	for (size_t i = 0; i < e->sweep.reset.n; i++) {
		const char *text = e->sweep.reset.v[i];
		int rc = cop_point_parse("sweep.reset", text, steps_per_epoch, &step[i], err);
		if (rc)
			return rc;
		if (step[i] > total)
			return cop_fail(err, COP_EINPUT,
					"'sweep.reset' holds '%s', which is after the last epoch (%" PRId64
					" epochs, %" PRId64 " steps)",
					text, e->train.epochs, total);
		for (size_t j = 0; j < i; j++)
			if (step[j] == step[i])
				return cop_fail(err, COP_EINPUT,
						"'sweep.reset' holds '%s' and '%s', which are the same step %" PRId64,
						e->sweep.reset.v[j], text, step[i]);
	}
	return 0;
}

static int open_axes(struct axes *a, const struct cop_experiment *e, int64_t steps_per_epoch, struct cop_err *err)
{
	const struct cop_sweep_config *s = &e->sweep;
	*a = (struct axes){.e = e, .places = s->quantiles.n * s->reset.n * (size_t)s->replicates};
	a->step = cop_xcalloc(s->reset.n, sizeof(*a->step));
	a->at = cop_xcalloc(a->places, sizeof(*a->at));
	for (size_t i = 0; i < a->places; i++)
		a->at[i] = -1;
	return reset_steps(e, steps_per_epoch, a->step, err);
}

static size_t place(const struct axes *a, size_t replicate, size_t q, size_t k)
{
	return (replicate * a->e->sweep.quantiles.n + q) * a->e->sweep.reset.n + k;
}

/* Where a point stands on the axes; false where it is not in the grid. */
static bool find_place(const struct axes *a, const struct cop_point *p, size_t *at)
{
	const struct cop_sweep_config *s = &a->e->sweep;
	size_t q = 0, k = 0;
	while (q < s->quantiles.n && s->quantiles.v[q] != p->quantile)
		q++;
	while (k < s->reset.n && a->step[k] != p->reset_step)
		k++;
	if (q == s->quantiles.n || k == s->reset.n || p->replicate < 0 || p->replicate >= s->replicates ||
	    p->round != (s->rounds > 1 ? (int64_t)q + 1 : 1))
		return false;
	*at = place(a, (size_t)p->replicate, q, k);
	return true;
}

/* Each cell of round k prunes what the cell of round k - 1 with the same reset point left. */
static void link_rounds(struct cop_cells *g, const struct axes *a)
{
	size_t resets = a->e->sweep.reset.n;
	for (size_t i = 0; i < a->places; i++)
		if (a->at[i] >= 0)
			g->cell[a->at[i]].before = g->cell[a->at[i]].round > 1 ? a->at[i - resets] : -1;
}

static void add_point(struct cop_cells *g, struct axes *a, const struct cop_point *p, size_t at)
{
	a->at[at] = (int64_t)g->n;
	g->cell[g->n] = *p;
	g->cell[g->n].index = (int64_t)g->n;
	g->cell[g->n].reset = cop_xstrdup(p->reset);
	g->n++;
}

/* What is cut of which tensor: cells of one replicate and reset step for which it is equal have the same mask. */
static uint64_t cut_of(const struct cop_experiment *e, const struct cop_layout *params, double quantile)
{
	uint64_t hash = COP_HASH_START;
	if (e->sweep.scope == COP_SCOPE_GLOBAL)
		return cop_prune_count(quantile, cop_layout_count(params, true));
	for (size_t i = 0; i < params->n; i++) {
		uint64_t cut = cop_prune_count(quantile, params->tensor[i].count);
		if (params->tensor[i].prunable)
			hash = cop_hash(hash, &cut, sizeof(cut));
	}
	return hash;
}

/*
 * In rounds, too, equal counts mean equal masks: whatever stands between two such rounds of one reset point cuts
 * nothing, and what is trained is the same again.
 */
static void find_equals(struct cop_cells *g, const struct axes *a, const struct cop_layout *params)
{
	const struct cop_sweep_config *s = &a->e->sweep;
	uint64_t *cut = cop_xcalloc(s->quantiles.n, sizeof(*cut));
	for (size_t q = 0; q < s->quantiles.n; q++)
		cut[q] = cut_of(a->e, params, s->quantiles.v[q]);
	for (size_t i = 0; i < a->places; i++) {
		struct cop_point *p = &g->cell[a->at[i]];
		size_t k = i % s->reset.n, q = i / s->reset.n % s->quantiles.n, r = i / s->reset.n / s->quantiles.n;
		p->same_as = -1;
		for (size_t other = 0; other < s->quantiles.n; other++) {
			int64_t index = a->at[place(a, r, other, k)];
			if (other != q && cut[other] == cut[q] && index < p->index &&
			    (p->same_as < 0 || index < p->same_as))
				p->same_as = index;
		}
	}
	free(cut);
}

static int keep_earlier(struct cop_cells *g, struct axes *a, const struct cop_cells *earlier, struct cop_err *err)
{
	for (size_t i = 0; i < earlier->n; i++) {
		const struct cop_point *p = &earlier->cell[i];
		size_t at;
		if (!find_place(a, p, &at) || a->at[at] >= 0)
			return cop_fail(err, COP_EINPUT,
					"cell %" PRId64 " (replicate %" PRId64
					", quantile %g, reset '%s') was planned here and is no longer in the "
					"grid: 'sweep.quantiles', 'sweep.reset', 'sweep.replicates' and "
					"'sweep.rounds' can only grow; plan into another folder",
					p->index, p->replicate, p->quantile, p->reset);
		add_point(g, a, p, at);
	}
	return 0;
}

/* Without a number; `reset` is the experiment's. */
static struct cop_point point_at(const struct axes *a, size_t at)
{
	const struct cop_sweep_config *s = &a->e->sweep;
	size_t k = at % s->reset.n, q = at / s->reset.n % s->quantiles.n;
	return (struct cop_point){.replicate = (int64_t)(at / s->reset.n / s->quantiles.n),
				  .round = s->rounds > 1 ? (int64_t)q + 1 : 1,
				  .quantile = s->quantiles.v[q],
				  .reset = s->reset.v[k],
				  .reset_step = a->step[k],
				  .same_as = -1,
				  .before = -1};
}

int cop_cells_make(struct cop_cells *g, const struct cop_experiment *e, int64_t steps_per_epoch,
		   const struct cop_layout *params, const struct cop_cells *earlier, struct cop_err *err)
{
	struct axes a;
	*g = (struct cop_cells){.steps_per_epoch = steps_per_epoch, .total_steps = e->train.epochs * steps_per_epoch};
	int rc = open_axes(&a, e, steps_per_epoch, err);
	g->cell = cop_xcalloc(a.places, sizeof(*g->cell));
	if (!rc)
		rc = keep_earlier(g, &a, earlier, err);
	for (size_t i = 0; i < a.places && !rc; i++) {
		struct cop_point p = point_at(&a, i);
		if (a.at[i] < 0)
			add_point(g, &a, &p, i);
	}
	if (rc) {
		cop_cells_release(g);
	} else {
		link_rounds(g, &a);
		find_equals(g, &a, params);
	}
	release_axes(&a);
	return rc;
}

/* Fills place_of, the place of each number, or a->places; returns how many of `known` have one. */
static size_t settle(struct axes *a, const struct cop_point *known, size_t n, size_t *place_of)
{
	size_t kept = 0, next = 0;
	for (size_t i = 0; i < a->places; i++)
		place_of[i] = a->places;
	for (size_t i = 0; i < n; i++) {
		size_t at, number = (size_t)known[i].index;
		if (number >= a->places || place_of[number] < a->places || !find_place(a, &known[i], &at) ||
		    a->at[at] >= 0)
			continue;
		place_of[number] = at;
		a->at[at] = known[i].index;
		kept++;
	}
	for (size_t at = 0; at < a->places; at++) {
		if (a->at[at] >= 0)
			continue;
		while (place_of[next] < a->places)
			next++;
		place_of[next] = at;
	}
	return kept;
}

int cop_cells_restore(struct cop_cells *g, const struct cop_experiment *e, int64_t steps_per_epoch,
		      const struct cop_point *known, size_t n, size_t *kept, struct cop_err *err)
{
	struct axes a;
	*g = (struct cop_cells){.steps_per_epoch = steps_per_epoch, .total_steps = e->train.epochs * steps_per_epoch};
	int rc = open_axes(&a, e, steps_per_epoch, err);
	if (!rc) {
		size_t *place_of = cop_xcalloc(a.places, sizeof(*place_of));
		*kept = settle(&a, known, n, place_of);
		g->cell = cop_xcalloc(a.places, sizeof(*g->cell));
		for (size_t i = 0; i < a.places; i++) {
			struct cop_point p = point_at(&a, place_of[i]);
			add_point(g, &a, &p, place_of[i]);
		}
		link_rounds(g, &a);
		free(place_of);
	}
	release_axes(&a);
	return rc;
}

int cop_cells_write(const struct cop_cells *g, const char *path, struct cop_err *err)
{
	cJSON *root = cJSON_CreateObject();
	cJSON_AddNumberToObject(root, "steps_per_epoch", (double)g->steps_per_epoch);
	cJSON_AddNumberToObject(root, "total_steps", (double)g->total_steps);
	cJSON *list = cJSON_AddArrayToObject(root, "cells");
	for (size_t i = 0; i < g->n; i++) {
		const struct cop_point *p = &g->cell[i];
		cJSON *c = cJSON_CreateObject();
		cJSON_AddNumberToObject(c, "index", (double)p->index);
		cJSON_AddNumberToObject(c, "replicate", (double)p->replicate);
		cJSON_AddNumberToObject(c, "round", (double)p->round);
		cJSON_AddNumberToObject(c, "quantile", p->quantile);
		cJSON_AddStringToObject(c, "reset", p->reset);
		cJSON_AddNumberToObject(c, "reset_step", (double)p->reset_step);
		if (p->same_as >= 0)
			cJSON_AddNumberToObject(c, "same_as", (double)p->same_as);
		cJSON_AddItemToArray(list, c);
	}
	int rc = cop_json_write(path, root, err);
	cJSON_Delete(root);
	return rc;
}

/* Whether a cell that says it is the same as another can be: that one comes before it and is computed itself. */
static bool good_twin(const struct cop_cells *g, const struct cop_point *p)
{
	if (p->same_as == -1)
		return true;
	if (p->same_as < 0 || p->same_as >= p->index)
		return false;
	const struct cop_point *twin = &g->cell[p->same_as];
	return twin->same_as == -1 && twin->replicate == p->replicate && twin->reset_step == p->reset_step;
}

static int read_point(struct cop_cells *g, struct axes *a, const cJSON *item, const char *path, struct cop_err *err)
{
	struct cop_point *p = &g->cell[g->n];
	size_t at;
	*p = (struct cop_point){
		.index = (int64_t)cop_json_num(item, "index", -1),
		.replicate = (int64_t)cop_json_num(item, "replicate", -1),
		.round = (int64_t)cop_json_num(item, "round", 1),
		.quantile = cop_json_num(item, "quantile", -1),
		.reset_step = (int64_t)cop_json_num(item, "reset_step", -1),
		.same_as = (int64_t)cop_json_num(item, "same_as", -1),
		.before = -1,
		.reset = cop_xstrdup(cop_json_str(item, "reset", "")),
	};
	g->n++;
	if (p->index != (int64_t)g->n - 1 || !find_place(a, p, &at) || a->at[at] >= 0 || !good_twin(g, p))
		return cop_fail(err, COP_EINPUT, "'%s': cell %zu is not what experiment.json says; plan again", path,
				g->n - 1);
	a->at[at] = p->index;
	return 0;
}

/* Beyond those of the experiment there may be some of a larger one, whose plan did not come to its end. */
static int read_points(struct cop_cells *g, struct axes *a, const cJSON *list, const char *path, struct cop_err *err)
{
	size_t n = (size_t)cJSON_GetArraySize(list);
	int rc = n >= a->places
			 ? 0
			 : cop_fail(err, COP_EINPUT, "'%s' has %zu cells, but experiment.json asks for %zu; plan again",
				    path, n, a->places);
	g->cell = cop_xcalloc(n, sizeof(*g->cell));
	const cJSON *item;
	cJSON_ArrayForEach (item, list) {
		if (rc || g->n == a->places)
			break;
		rc = read_point(g, a, item, path, err);
	}
	if (!rc)
		link_rounds(g, a);
	return rc;
}

int cop_cells_read(struct cop_cells *g, const char *path, const struct cop_experiment *e, struct cop_err *err)
{
	cJSON *root = NULL;
	struct axes a = {0};
	*g = (struct cop_cells){0};
	int rc = cop_json_read(path, &root, err);
	if (rc)
		return rc;
	g->steps_per_epoch = (int64_t)cop_json_num(root, "steps_per_epoch", 0);
	g->total_steps = (int64_t)cop_json_num(root, "total_steps", -1);
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, "cells");
	if (!cJSON_IsArray(list) || g->steps_per_epoch < 1 || g->steps_per_epoch > INT32_MAX ||
	    g->total_steps != e->train.epochs * g->steps_per_epoch)
		rc = cop_fail(err, COP_EINPUT, "'%s' is damaged; plan again", path);
	if (!rc)
		rc = open_axes(&a, e, g->steps_per_epoch, err);
	if (!rc)
		rc = read_points(g, &a, list, path, err);
	release_axes(&a);
	cJSON_Delete(root);
	if (rc)
		cop_cells_release(g);
	return rc;
}

void cop_cells_release(struct cop_cells *g)
{
	for (size_t i = 0; i < g->n; i++)
		free(g->cell[i].reset);
	free(g->cell);
	*g = (struct cop_cells){0};
}
