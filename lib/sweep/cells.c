/* The grid; see cells.h. */
#include "sweep/cells.h"

#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "nn/schedule.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* A criterion with a way to retrain. */
struct variant {
	int criterion, retrain;
	bool control; /* it takes the masks of the criterion's first one */
	size_t first; /* which that is */
};

/* An experiment's axes, and which cell stands at each place of them. */
struct axes {
	const struct cop_experiment *e;
	struct variant *variant;
	size_t nvariants;
	int64_t *step; /* of each reset point */
	int64_t *at;   /* (replicates, variants, quantiles, reset points, children): the cell's index, or -1 */
	size_t places;
};

/* One place of them, by its number on each axis. */
struct place {
	size_t replicate, variant, quantile, reset, child;
};

static void release_axes(struct axes *a)
{
	free(a->variant);
	free(a->step);
	free(a->at);
}

static void list_variants(struct axes *a)
{
	const struct cop_sweep_config *s = &a->e->sweep;
	a->variant = cop_xcalloc(s->criterion.n * (s->retrain.n + s->controls.n), sizeof(*a->variant));
	for (size_t c = 0; c < s->criterion.n; c++) {
		struct variant v = {.criterion = (int)s->criterion.v[c], .first = a->nvariants};
		for (size_t k = 0; k < s->retrain.n + s->controls.n; k++) {
			v.control = k >= s->retrain.n;
			v.retrain = (int)(v.control ? s->controls.v[k - s->retrain.n] : s->retrain.v[k]);
			a->variant[a->nvariants++] = v;
		}
	}
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

size_t cop_cells_count(const struct cop_experiment *e)
{
	const struct cop_sweep_config *s = &e->sweep;
	return (size_t)s->replicates * s->criterion.n * (s->retrain.n + s->controls.n) * s->quantiles.n * s->reset.n *
	       (size_t)s->children;
}

static int open_axes(struct axes *a, const struct cop_experiment *e, int64_t steps_per_epoch, struct cop_err *err)
{
	*a = (struct axes){.e = e, .places = cop_cells_count(e)};
	list_variants(a);
	a->step = cop_xcalloc(e->sweep.reset.n, sizeof(*a->step));
	a->at = cop_xcalloc(a->places, sizeof(*a->at));
	for (size_t i = 0; i < a->places; i++)
		a->at[i] = -1;
	return reset_steps(e, steps_per_epoch, a->step, err);
}

static size_t number_of(const struct axes *a, const struct place *p)
{
	const struct cop_sweep_config *s = &a->e->sweep;
	size_t at = (p->replicate * a->nvariants + p->variant) * s->quantiles.n + p->quantile;
	return (at * s->reset.n + p->reset) * (size_t)s->children + p->child;
}

static struct place place_of(const struct axes *a, size_t at)
{
	const struct cop_sweep_config *s = &a->e->sweep;
	struct place p;
	p.child = at % (size_t)s->children;
	at /= (size_t)s->children;
	p.reset = at % s->reset.n;
	at /= s->reset.n;
	p.quantile = at % s->quantiles.n;
	at /= s->quantiles.n;
	p.variant = at % a->nvariants;
	p.replicate = at / a->nvariants;
	return p;
}

static int64_t round_of(const struct axes *a, size_t quantile)
{
	return a->e->sweep.rounds > 1 ? (int64_t)quantile + 1 : 1;
}

/* Where a point stands on the axes; false where it is not in the grid. */
static bool find_place(const struct axes *a, const struct cop_point *p, size_t *at)
{
	const struct cop_sweep_config *s = &a->e->sweep;
	struct place w = {0};
	while (w.quantile < s->quantiles.n && s->quantiles.v[w.quantile] != p->quantile)
		w.quantile++;
	while (w.reset < s->reset.n && a->step[w.reset] != p->reset_step)
		w.reset++;
	while (w.variant < a->nvariants &&
	       (a->variant[w.variant].criterion != p->criterion || a->variant[w.variant].retrain != p->retrain))
		w.variant++;
	if (w.quantile == s->quantiles.n || w.reset == s->reset.n || w.variant == a->nvariants || p->replicate < 0 ||
	    p->replicate >= s->replicates || p->child < 0 || p->child >= s->children ||
	    p->round != round_of(a, w.quantile))
		return false;
	w.replicate = (size_t)p->replicate;
	w.child = (size_t)p->child;
	*at = number_of(a, &w);
	return true;
}

/* The place of the cell whose trained weights a place of a later round prunes. */
static size_t place_before(const struct axes *a, size_t at)
{
	struct place p = place_of(a, at);
	if (a->variant[p.variant].control)
		p.variant = a->variant[p.variant].first;
	p.quantile--;
	p.child = 0;
	return number_of(a, &p);
}

static void link_rounds(struct cop_cells *g, const struct axes *a)
{
	for (size_t i = 0; i < a->places; i++)
		if (a->at[i] >= 0)
			g->cell[a->at[i]].before = g->cell[a->at[i]].round > 1 ? a->at[place_before(a, i)] : -1;
}

static void add_point(struct cop_cells *g, struct axes *a, const struct cop_point *p, size_t at)
{
	a->at[at] = (int64_t)g->n;
	g->cell[g->n] = *p;
	g->cell[g->n].index = (int64_t)g->n;
	g->cell[g->n].reset = cop_xstrdup(p->reset);
	g->n++;
}

/* What is cut of which tensors together: cells of one replicate and training for which it is equal have equal masks. */
struct cut {
	uint64_t hash;
	bool any;
};

static int find_cut(struct cut *c, const struct axes *a, const struct cop_layout *params, size_t quantile,
		    struct cop_err *err)
{
	struct cop_allocation all = {0};
	*c = (struct cut){.hash = COP_HASH_START};
	int rc = cop_experiment_allocate(a->e, params, a->e->sweep.quantiles.v[quantile], &all, err);
	for (int k = 0; k < all.groups && !rc; k++) {
		c->hash = cop_hash(c->hash, &all.cut[k], sizeof(all.cut[k]));
		c->any = c->any || all.cut[k] > 0;
	}
	cop_allocation_release(&all);
	return rc;
}

/* What makes two cells of a replicate the same work: equal where `hash` is. */
struct work {
	uint64_t hash;
	int64_t index;
};

static int by_work(const void *a, const void *b)
{
	const struct work *x = a, *y = b;
	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return (x->index > y->index) - (x->index < y->index);
}

static uint64_t add_number(uint64_t hash, int64_t v)
{
	return cop_hash(hash, &v, sizeof(v));
}

/* How it is trained, whatever the mask. */
static uint64_t training_of(uint64_t hash, const struct cop_point *p)
{
	hash = add_number(hash, cop_retrain_moves_mask(p->retrain) ? COP_RETRAIN_REWIND : p->retrain);
	return add_number(add_number(hash, cop_retrain_is_anew(p->retrain) ? 0 : p->reset_step), p->child);
}

/*
 * Cells that cut equal counts by one criterion, in the same round or where rounds go the same way, have equal masks: in
 * rounds whatever stands between two such cells of one reset point cuts nothing, and what is rewound is trained the
 * same again. Weights that were trained on in each round are not. Where nothing is cut all masks are one.
 */
static uint64_t work_of(const struct axes *a, const struct cop_point *p, size_t at, const struct cut *cut)
{
	const struct place w = place_of(a, at);
	const struct variant *v = &a->variant[w.variant];
	int chain = a->variant[v->control ? v->first : w.variant].retrain;
	bool goes_on = cop_retrain_goes_on(chain) || cop_retrain_goes_on(p->retrain);
	uint64_t hash = training_of(add_number(COP_HASH_START, (int64_t)w.replicate), p);
	if (cut->any) {
		hash = add_number(add_number(hash, p->criterion), cop_retrain_moves_mask(p->retrain) ? p->retrain : -1);
		hash = cop_hash(hash, &cut->hash, sizeof(cut->hash));
	}
	if (a->e->sweep.rounds > 1 && (cut->any || goes_on))
		hash = add_number(add_number(hash, p->reset_step), chain);
	return goes_on ? add_number(hash, p->round) : hash;
}

static int find_equals(struct cop_cells *g, const struct axes *a, const struct cop_layout *params, struct cop_err *err)
{
	const struct cop_sweep_config *s = &a->e->sweep;
	struct cut *cut = cop_xcalloc(s->quantiles.n, sizeof(*cut));
	struct work *work = cop_xcalloc(a->places, sizeof(*work));
	int rc = 0;
	for (size_t q = 0; q < s->quantiles.n && !rc; q++)
		rc = find_cut(&cut[q], a, params, q, err);
	for (size_t i = 0; i < a->places && !rc; i++) {
		work[i].index = a->at[i];
		work[i].hash = work_of(a, &g->cell[a->at[i]], i, &cut[place_of(a, i).quantile]);
	}
	qsort(work, a->places, sizeof(*work), by_work);
	for (size_t i = 0, first = 0; i < a->places && !rc; i++) {
		if (work[i].hash != work[first].hash)
			first = i;
		g->cell[work[i].index].same_as = i == first ? -1 : work[first].index;
	}
	free(work);
	free(cut);
	return rc;
}

static int keep_earlier(struct cop_cells *g, struct axes *a, const struct cop_cells *earlier, struct cop_err *err)
{
	for (size_t i = 0; i < earlier->n; i++) {
		const struct cop_point *p = &earlier->cell[i];
		size_t at;
		char text[COP_POINT_TEXT];
		const char *variant = cop_point_variant(p, text);
		if (!find_place(a, p, &at) || a->at[at] >= 0)
			return cop_fail(err, COP_EINPUT,
					"cell %" PRId64 " (replicate %" PRId64
					", quantile %g, reset '%s'%s%s) was planned here and is no longer in the "
					"grid: 'sweep.quantiles', 'sweep.reset' and what else spans it can only grow; "
					"plan into another folder",
					p->index, p->replicate, p->quantile, p->reset, *variant ? ", " : "", variant);
		add_point(g, a, p, at);
	}
	return 0;
}

/* Without a number; `reset` is the experiment's. */
static struct cop_point point_at(const struct axes *a, size_t at)
{
	const struct cop_sweep_config *s = &a->e->sweep;
	struct place p = place_of(a, at);
	return (struct cop_point){.replicate = (int64_t)p.replicate,
				  .round = round_of(a, p.quantile),
				  .quantile = s->quantiles.v[p.quantile],
				  .reset = s->reset.v[p.reset],
				  .reset_step = a->step[p.reset],
				  .criterion = a->variant[p.variant].criterion,
				  .retrain = a->variant[p.variant].retrain,
				  .child = (int64_t)p.child,
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
	if (!rc) {
		link_rounds(g, &a);
		rc = find_equals(g, &a, params, err);
	}
	if (rc)
		cop_cells_release(g);
	release_axes(&a);
	return rc;
}

/* Fills place_at, the place of each number, or a->places; returns how many of `known` have one. */
static size_t settle(struct axes *a, const struct cop_point *known, size_t n, size_t *place_at)
{
	size_t kept = 0, next = 0;
	for (size_t i = 0; i < a->places; i++)
		place_at[i] = a->places;
	for (size_t i = 0; i < n; i++) {
		size_t at, number = (size_t)known[i].index;
		if (number >= a->places || place_at[number] < a->places || !find_place(a, &known[i], &at) ||
		    a->at[at] >= 0)
			continue;
		place_at[number] = at;
		a->at[at] = known[i].index;
		kept++;
	}
	for (size_t at = 0; at < a->places; at++) {
		if (a->at[at] >= 0)
			continue;
		while (place_at[next] < a->places)
			next++;
		place_at[next] = at;
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
		size_t *place_at = cop_xcalloc(a.places, sizeof(*place_at));
		*kept = settle(&a, known, n, place_at);
		g->cell = cop_xcalloc(a.places, sizeof(*g->cell));
		for (size_t i = 0; i < a.places; i++) {
			struct cop_point p = point_at(&a, place_at[i]);
			add_point(g, &a, &p, place_at[i]);
		}
		link_rounds(g, &a);
		free(place_at);
	}
	release_axes(&a);
	return rc;
}

/* The first choice goes without saying. */
static void add_word(cJSON *c, const char *key, const char *choices, int k)
{
	char word[32];
	if (k > 0)
		cJSON_AddStringToObject(c, key, cop_choice_text(choices, k, word, sizeof(word)));
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
		add_word(c, "criterion", COP_CRITERION_CHOICES, p->criterion);
		add_word(c, "retrain", COP_RETRAIN_CHOICES, p->retrain);
		if (p->child > 0)
			cJSON_AddNumberToObject(c, "child", (double)p->child);
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
	return twin->same_as == -1 && twin->replicate == p->replicate &&
	       training_of(COP_HASH_START, twin) == training_of(COP_HASH_START, p);
}

static int read_word(const cJSON *item, const char *key, const char *choices)
{
	const char *word = cop_json_str(item, key, NULL);
	return word ? cop_choice_find(choices, word) : 0;
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
		.criterion = read_word(item, "criterion", COP_CRITERION_CHOICES),
		.retrain = read_word(item, "retrain", COP_RETRAIN_CHOICES),
		.child = (int64_t)cop_json_num(item, "child", 0),
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

bool cop_point_same(const struct cop_point *a, const struct cop_point *b)
{
	return a->replicate == b->replicate && a->round == b->round && a->quantile == b->quantile &&
	       a->reset_step == b->reset_step && a->criterion == b->criterion && a->retrain == b->retrain &&
	       a->child == b->child;
}

const char *cop_point_variant(const struct cop_point *p, char buf[COP_POINT_TEXT])
{
	struct {
		const char *choices;
		int k;
	} word[] = {{COP_CRITERION_CHOICES, p->criterion}, {COP_RETRAIN_CHOICES, p->retrain}};
	size_t used = 0;
	*buf = '\0';
	for (int i = 0; i < 2; i++) {
		char text[32];
		if (word[i].k > 0)
			used += (size_t)snprintf(buf + used, COP_POINT_TEXT - used, "%s%s", used ? ", " : "",
						 cop_choice_text(word[i].choices, word[i].k, text, sizeof(text)));
	}
	if (p->child > 0)
		snprintf(buf + used, COP_POINT_TEXT - used, "%schild %" PRId64, used ? ", " : "", p->child);
	return buf;
}
