/* Instability against reset point; see stability.h. */
#include "report/stability.h"

#include "base/log.h"
#include "base/mem.h"
#include "report/figure_lines.h"
#include "report/places.h"
#include "sweep/run.h"

#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool has_cell(const struct cop_results *r, int64_t index)
{
	size_t from = 0, to = r->ncells; /* they are ascending */
	while (from < to) {
		size_t mid = from + (to - from) / 2;
		if (r->cell[mid].row.index < index)
			from = mid + 1;
		else
			to = mid;
	}
	return from < r->ncells && r->cell[from].row.index == index;
}

static bool of_results(const struct cop_connection *c, const struct cop_results *r)
{
	bool same = !c->hash || !r->hash || strcmp(c->hash, r->hash) == 0;
	return same && has_cell(r, c->first) && has_cell(r, c->second);
}

/* Whether a cell's weights are still those that were measured; where they cannot be read nobody knows better. */
static bool has_weights(const char *run, int64_t index, const char *digest)
{
	struct cop_h5 *f;
	char now[COP_TEXT] = "";
	char *path = cop_cell_path(run, index);
	bool same = true;
	if (cop_h5_open(&f, path, COP_CELL_FORMAT, NULL) == 0) {
		same = cop_connect_digest(f, now, NULL) != 0 || strcmp(now, digest) == 0;
		cop_h5_close(f);
	}
	free(path);
	return same;
}

static bool is_current(const struct cop_connection *c, const char *run)
{
	if (has_weights(run, c->first, c->first_digest) && has_weights(run, c->second, c->second_digest))
		return true;
	cop_warn("cell %" PRId64 " or %" PRId64
		 " was computed anew since the line between them was measured: it is not in "
		 "the report ('coppice connect' measures it again)",
		 c->first, c->second);
	return false;
}

static bool same_kind(const struct cop_connection *a, const struct cop_connection *b)
{
	return strcmp(a->statistics, b->statistics) == 0 && a->batches == b->batches && a->points == b->points;
}

/* Lines that were measured in another way than most do not go into one mean with them. */
static void keep_most(struct cop_connected *pairs)
{
	size_t best = 0, most = 0, kept = 0;
	for (size_t i = 0; i < pairs->n; i++) {
		size_t n = 0;
		for (size_t k = 0; k < pairs->n; k++)
			n += same_kind(&pairs->pair[i], &pairs->pair[k]);
		if (n > most) {
			most = n;
			best = i;
		}
	}
	if (most == pairs->n)
		return;
	cop_warn("%zu of %zu lines were measured with other points or statistics than most and are not in the report: "
		 "'coppice connect' measures them again",
		 pairs->n - most, pairs->n);
	struct cop_connection like = pairs->pair[best];
	for (size_t i = 0; i < pairs->n; i++)
		if (same_kind(&pairs->pair[i], &like))
			pairs->pair[kept++] = pairs->pair[i];
		else
			cop_connection_release(&pairs->pair[i]);
	pairs->n = kept;
}

static void add_pair(struct cop_stability *s, size_t *cap, const char *run, const char *path,
		     const struct cop_results *r)
{
	struct cop_connection c;
	struct cop_err err;
	if (cop_connection_read(path, &c, &err)) {
		cop_warn("%s: it is not in the report", err.msg);
		return;
	}
	if (!of_results(&c, r) || !is_current(&c, run)) {
		cop_connection_release(&c);
		return;
	}
	s->pairs.pair = cop_grow(s->pairs.pair, cap, s->pairs.n + 1, sizeof(*s->pairs.pair));
	s->pairs.pair[s->pairs.n++] = c;
}

static int compare(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

/* Places together, and replicates within them. */
static int by_place(const void *a, const void *b)
{
	const struct cop_connection *x = a, *y = b;
	int order = strcmp(x->criterion, y->criterion);
	order = order ? order : strcmp(x->retrain, y->retrain);
	order = order ? order : (x->quantile > y->quantile) - (x->quantile < y->quantile);
	order = order ? order : compare(x->round, y->round);
	order = order ? order : compare(x->reset_step, y->reset_step);
	order = order ? order : strcmp(x->reset, y->reset);
	order = order ? order : compare(x->replicate, y->replicate);
	return order ? order : compare(x->first, y->first);
}

static int is_hdf5(const struct dirent *e)
{
	size_t n = strlen(e->d_name);
	return *e->d_name != '.' && n > 3 && strcmp(e->d_name + n - 3, ".h5") == 0;
}

void cop_stability_read(struct cop_stability *s, const char *run, const struct cop_results *r)
{
	*s = (struct cop_stability){0};
	size_t cap = 0;
	struct dirent **name = NULL;
	char *folder = cop_xasprintf("%s/connect", run);
	int n = scandir(folder, &name, is_hdf5, alphasort);
	for (int i = 0; i < n; i++) {
		char *path = cop_xasprintf("%s/%s", folder, name[i]->d_name);
		add_pair(s, &cap, run, path, r);
		free(path);
		free(name[i]);
	}
	free(name);
	free(folder);
	if (!s->pairs.n)
		return;
	keep_most(&s->pairs);
	qsort(s->pairs.pair, s->pairs.n, sizeof(*s->pairs.pair), by_place);
	cop_connect_places(&s->pairs, &s->place, &s->n);
}

void cop_stability_release(struct cop_stability *s)
{
	free(s->place);
	cop_connected_release(&s->pairs);
	*s = (struct cop_stability){0};
}

static bool same_line(const struct cop_connection *a, const struct cop_connection *b)
{
	return strcmp(a->criterion, b->criterion) == 0 && strcmp(a->retrain, b->retrain) == 0 &&
	       a->quantile == b->quantile && a->round == b->round;
}

/* "21 % left", of several variants with the words in which they differ. */
static char *label_of(const struct cop_connection *c, const struct cop_grid *g)
{
	struct cop_row row = {0};
	snprintf(row.criterion, COP_TEXT, "%s", c->criterion);
	snprintf(row.retrain, COP_TEXT, "%s", c->retrain);
	size_t v = cop_variants_find(&g->variants, &row);
	const char *name = v < g->variants.n ? g->variants.v[v].name : "";
	return cop_xasprintf("%.3g %% left%s%s", 100 * cop_place_left(c), *name ? ", " : "", name);
}

void cop_figure_stability(struct cop_str *b, const struct cop_stability *s, const struct cop_grid *g)
{
	struct cop_lines f = {
		.about = "instability against the step that training was reset to",
		.x_name = "reset to step",
		.y_name = "instability (points of error)",
		.x_unit = " steps",
		.y_unit = "",
		.legend = "",
		.classes = "series stability",
		.floor = -INFINITY,
		.level_name = "stable below",
		.level = 100 * COP_CONNECT_STABLE,
		.level_half = NAN,
	};
	char **label = cop_xcalloc(s->n, sizeof(*label));
	struct cop_line *line = NULL;
	for (size_t i = 0; i < s->n; i++) {
		const struct cop_connect_place *p = &s->place[i];
		if (i == 0 || !same_line(p->pair, s->place[i - 1].pair)) {
			label[i] = label_of(p->pair, g);
			line = cop_lines_add(&f, label[i], false);
		}
		cop_line_add(line, (double)p->pair->reset_step, 100 * p->instability.mean, 100 * p->instability.half);
	}
	if (s->n)
		cop_figure_lines(b, &f);
	cop_lines_release(&f);
	for (size_t i = 0; i < s->n; i++)
		free(label[i]);
	free(label);
}

/* The mean over a place's pairs; all of them have as many points. */
static void add_path(struct cop_lines *f, const struct cop_connect_place *p, const char *label)
{
	struct cop_line *line = cop_lines_add(f, label, false);
	for (int64_t i = 0; i < p->pair->points; i++) {
		double sum = 0;
		for (size_t k = 0; k < p->pairs; k++)
			sum += p->pair[k].column[COP_CONNECT_TEST_ERROR][i];
		cop_line_add(line, p->pair->column[COP_CONNECT_ALPHA][i], 100 * sum / (double)p->pairs, NAN);
	}
}

void cop_figure_paths(struct cop_str *b, const struct cop_stability *s, const struct cop_grid *g)
{
	struct cop_lines f = {
		.about = "test error along the line between two children",
		.x_name = "way from one child to the other",
		.y_name = "test error (%)",
		.x_unit = " of the way",
		.y_unit = " %",
		.legend = "",
		.classes = "series path",
		.categories = true,
		.floor = -INFINITY,
		.level_half = NAN,
	};
	char *label[COP_PATHS_MAX];
	for (size_t i = 0; i < s->n && f.n < COP_PATHS_MAX; i++) {
		const struct cop_connect_place *p = &s->place[i];
		bool first = i == 0 || !same_line(p->pair, s->place[i - 1].pair);
		if (!first && i + 1 < s->n && same_line(p->pair, s->place[i + 1].pair))
			continue;
		char *line = label_of(p->pair, g);
		label[f.n] = cop_xasprintf("%s, reset to %s", line, p->pair->reset);
		free(line);
		add_path(&f, p, label[f.n]);
	}
	if (f.n)
		cop_figure_lines(b, &f);
	for (size_t i = 0; i < f.n; i++)
		free(label[i]);
	cop_lines_release(&f);
}
