/* Lines between children; see connect.h. */
#include "sweep/connect.h"

#include "base/cpu.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "nn/line.h"
#include "sweep/catalog.h"
#include "sweep/ticket.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Cells that differ in the child only. */
struct family {
	const struct cop_point *const *child;
	size_t n;
};

struct connecting {
	const struct cop_run *run;
	const struct cop_connect_options *options;
	struct cop_connected *out;
	size_t cap, pairs, seen; /* of out->pair; all that there are; of them, looked at */
	bool *missing;           /* (ncells) */
	struct cop_catalog catalog;
	/* made when the first line is measured */
	const struct cop_backend *backend;
	struct cop_data data;
	bool open;
	/* of the family under way */
	struct cop_train_config train;
	struct cop_trainer trainer;
	bool ready; /* the trainer is */
};

/* The weights of a cell. */
struct weights {
	struct cop_layout layout;
	float *param, *buffer;
	uint8_t *mask;
	char digest[COP_TEXT];
};

static void release_weights(struct weights *w)
{
	cop_layout_release(&w->layout);
	free(w->param);
	free(w->buffer);
	free(w->mask);
	*w = (struct weights){0};
}

static int by_number(double a, double b)
{
	return (a > b) - (a < b);
}

/* By place, then replicate. */
static int compare_family(const struct cop_point *a, const struct cop_point *b)
{
	int d = a->criterion - b->criterion;
	d = d ? d : a->retrain - b->retrain;
	d = d ? d : by_number((double)a->round, (double)b->round);
	d = d ? d : by_number(a->quantile, b->quantile);
	d = d ? d : by_number((double)a->reset_step, (double)b->reset_step);
	return d ? d : by_number((double)a->replicate, (double)b->replicate);
}

static int compare_points(const void *a, const void *b)
{
	const struct cop_point *p = *(const struct cop_point *const *)a, *q = *(const struct cop_point *const *)b;
	int d = compare_family(p, q);
	return d ? d : by_number((double)p->child, (double)q->child);
}

static int beat(const struct cop_trainer *t, void *user, struct cop_err *err)
{
	const struct connecting *c = user;
	(void)t;
	if (c->options->stop && *c->options->stop)
		return cop_fail(err, COP_ESTOPPED, "asked to stop after %zu of %zu pairs", c->seen, c->pairs);
	return 0;
}

static int open_data(struct connecting *c, struct cop_err *err)
{
	const struct cop_experiment *e = &c->run->experiment;
	if (c->open)
		return 0;
	cop_cpu_set_threads(c->options->threads ? c->options->threads : (int)e->device.threads);
	int rc = cop_backend_open(&e->device.choice, &c->backend, err);
	if (!rc)
		rc = cop_data_open(&c->data, &e->data, err);
	c->open = !rc;
	return rc;
}

/* A trainer with the family's mask: cells were measured by what that leaves of the network, too. */
static int make_ready(struct connecting *c, const struct cop_point *p, const uint8_t *mask, struct cop_err *err)
{
	if (c->ready)
		return 0;
	const struct cop_experiment *e = &c->run->experiment;
	c->train = cop_experiment_training(e, &(struct cop_worker){.replicate = p->replicate});
	int rc = open_data(c, err);
	if (!rc)
		rc = cop_trainer_init(&c->trainer, &e->model, &c->train, &c->data, c->backend, err);
	if (rc)
		return rc;
	c->trainer.heartbeat = beat;
	c->trainer.user = c;
	rc = cop_trainer_cut(&c->trainer, mask, err);
	if (rc)
		cop_trainer_release(&c->trainer);
	c->ready = !rc;
	return rc;
}

static int open_cell(const struct connecting *c, int64_t index, struct cop_h5 **f, struct cop_err *err)
{
	char *path = cop_run_cell(c->run, index);
	int rc = cop_h5_open(f, path, COP_CELL_FORMAT, err);
	free(path);
	return rc;
}

static int load_tensors(struct cop_h5 *f, struct weights *w, struct cop_err *err)
{
	struct cop_layout buffers = {0};
	int rc = cop_connect_digest(f, w->digest, err);
	if (!rc)
		rc = cop_load_tensors(f, "params", &w->layout, &w->param, err);
	if (!rc)
		rc = cop_alloc(&w->mask, w->layout.total, 1, "the mask", err);
	if (!rc)
		rc = cop_load_masks(f, &w->layout, w->mask, err);
	if (!rc && cop_h5_has(f, "buffers"))
		rc = cop_load_tensors(f, "buffers", &buffers, &w->buffer, err);
	cop_layout_release(&buffers);
	return rc;
}

static int load_weights(const struct connecting *c, int64_t index, struct weights *w, struct cop_err *err)
{
	struct cop_h5 *f;
	*w = (struct weights){0};
	int rc = open_cell(c, index, &f, err);
	if (rc)
		return rc;
	rc = load_tensors(f, w, err);
	cop_h5_close(f);
	if (rc)
		release_weights(w);
	return rc;
}

/* What a pair's file says of its cells. */
static int describe(const struct connecting *c, const struct cop_point *a, const struct cop_point *b,
		    struct cop_connection *to, struct cop_err *err)
{
	const struct cop_connect_options *o = c->options;
	struct cop_h5 *f = NULL;
	*to = (struct cop_connection){.first = a->index,
				      .second = b->index,
				      .replicate = a->replicate,
				      .round = a->round,
				      .reset_step = a->reset_step,
				      .first_child = a->child,
				      .second_child = b->child,
				      .quantile = a->quantile,
				      .batches = o->batches,
				      .points = o->points};
	snprintf(to->reset, sizeof(to->reset), "%s", a->reset);
	cop_choice_text(COP_CRITERION_CHOICES, a->criterion, to->criterion, sizeof(to->criterion));
	cop_choice_text(COP_RETRAIN_CHOICES, a->retrain, to->retrain, sizeof(to->retrain));
	to->hash = cop_xstrdup(c->run->hash);
	int rc = open_cell(c, a->index, &f, err);
	if (!rc)
		rc = cop_connect_digest(f, to->first_digest, err);
	if (!rc)
		rc = cop_h5_get_i64(f, "/", "total", &to->total, err);
	if (!rc)
		rc = cop_h5_get_i64(f, "/", "nnz", &to->nnz, err);
	cop_h5_close(f);
	return rc;
}

/* The same of the second cell, and how the line is to be measured. */
static int describe_rest(struct connecting *c, struct cop_connection *to, struct cop_err *err)
{
	const struct cop_connect_options *o = c->options;
	struct cop_h5 *f = NULL;
	int rc = open_cell(c, to->second, &f, err);
	if (!rc)
		rc = cop_connect_digest(f, to->second_digest, err);
	cop_h5_close(f);
	bool norms = strchr(to->first_digest, '-') != NULL;
	to->batches = !norms ? 0 : o->batches < c->run->steps_per_epoch ? o->batches : c->run->steps_per_epoch;
	snprintf(to->statistics, sizeof(to->statistics), "%s",
		 !norms        ? "none"
		 : to->batches ? "estimated"
			       : "interpolated");
	if (o->train)
		to->train_images = o->train_images > 0 && o->train_images < c->data.train.n ? o->train_images
											    : c->data.train.n;
	return rc;
}

/* Whether `had`, out of a file, is the measurement of `wanted`. */
static bool is_measured(const struct cop_connection *had, const struct cop_connection *wanted)
{
	return strcmp(had->hash, wanted->hash) == 0 && strcmp(had->first_digest, wanted->first_digest) == 0 &&
	       strcmp(had->second_digest, wanted->second_digest) == 0 &&
	       strcmp(had->statistics, wanted->statistics) == 0 && had->first == wanted->first &&
	       had->second == wanted->second && had->batches == wanted->batches && had->points == wanted->points &&
	       had->train_images == wanted->train_images;
}

static char *path_of(const struct cop_run *r, int64_t first, int64_t second)
{
	return cop_xasprintf("%s/connect/%06" PRId64 "-%06" PRId64 ".h5", r->path, first, second);
}

static int write_pair(const char *path, const struct cop_connection *pair, struct cop_err *err)
{
	char *folder = cop_folder_of(path);
	int rc = cop_mkdirs(folder, err);
	free(folder);
	return rc ? rc : cop_connection_write(path, pair, err);
}

static int check_masks(const struct connecting *c, const struct weights *a, const struct weights *b,
		       const struct cop_connection *pair, struct cop_err *err)
{
	const struct cop_layout *l = &c->trainer.net.graph.params;
	if (!cop_layout_same(&a->layout, l) || !cop_layout_same(&b->layout, l))
		return cop_fail(err, COP_EFAILED, "cells %" PRId64 " and %" PRId64 " are of another network",
				pair->first, pair->second);
	if (memcmp(a->mask, c->trainer.mask, l->total) != 0 || memcmp(b->mask, c->trainer.mask, l->total) != 0)
		return cop_fail(err, COP_EFAILED, "cells %" PRId64 " and %" PRId64 " do not have the same mask",
				pair->first, pair->second);
	return 0;
}

/* The line between weights that are loaded, into the pair's file. */
static int measure(struct connecting *c, const struct cop_point *p, const struct weights *a, const struct weights *b,
		   struct cop_connection *pair, struct cop_err *err)
{
	int rc = make_ready(c, p, a->mask, err);
	if (!rc)
		rc = check_masks(c, a, b, pair, err);
	if (rc)
		return rc;
	struct cop_part train = c->data.train;
	train.n = pair->train_images;
	const struct cop_line line = {
		.first = a->param, .second = b->param, .first_buffer = a->buffer, .second_buffer = b->buffer};
	snprintf(pair->first_digest, sizeof(pair->first_digest), "%s", a->digest);
	snprintf(pair->second_digest, sizeof(pair->second_digest), "%s", b->digest);
	cop_connection_make(pair);
	rc = cop_line_measure(&c->trainer, &line, pair->train_images ? &train : NULL, pair, err);
	char *path = path_of(c->run, pair->first, pair->second);
	if (!rc)
		rc = write_pair(path, pair, err);
	free(path);
	c->out->computed += !rc;
	return rc;
}

/* A cell whose file cannot be read is as good as missing; another code ends everything. */
static int lose(struct connecting *c, int64_t index, int rc, const struct cop_err *why, struct cop_err *err)
{
	if (rc != COP_EINPUT)
		return cop_fail(err, rc, "%s", why->msg);
	cop_warn("cell %" PRId64 " counts as missing: %s", index, why->msg);
	cop_catalog_reject(&c->catalog, index, why->msg);
	c->missing[index] = true;
	return 0;
}

static int load_and_measure(struct connecting *c, const struct cop_point *a, const struct cop_point *b,
			    struct cop_connection *pair, bool *lost, struct cop_err *err)
{
	struct weights first, second = {0};
	struct cop_err why = {0};
	int64_t bad = a->index;
	int rc = load_weights(c, a->index, &first, &why);
	if (!rc) {
		bad = b->index;
		rc = load_weights(c, b->index, &second, &why);
	}
	*lost = rc != 0;
	rc = rc ? lose(c, bad, rc, &why, err) : measure(c, a, &first, &second, pair, err);
	release_weights(&first);
	release_weights(&second);
	return rc;
}

/* Puts what is in the file in place of *pair, where it is the measurement of that. */
static bool recall(const char *path, struct cop_connection *pair)
{
	struct cop_connection had;
	struct cop_err why = {0};
	if (!cop_exists(path))
		return false;
	if (cop_connection_read(path, &had, &why)) {
		cop_warn("measured anew: %s", why.msg);
		return false;
	}
	if (!is_measured(&had, pair)) {
		cop_connection_release(&had);
		return false;
	}
	cop_connection_release(pair);
	*pair = had;
	return true;
}

/* Two children that are done: as their file has it, or measured now. *lost: one of them cannot be read. */
static int connect_pair(struct connecting *c, const struct cop_point *a, const struct cop_point *b,
			struct cop_connection *pair, bool *lost, struct cop_err *err)
{
	struct cop_err why = {0};
	int64_t bad = a->index;
	int rc = describe(c, a, b, pair, &why);
	if (!rc) {
		bad = b->index;
		rc = describe_rest(c, pair, &why);
	}
	*lost = rc != 0;
	if (rc)
		return lose(c, bad, rc, &why, err);
	char *path = path_of(c->run, a->index, b->index);
	if (!recall(path, pair))
		rc = load_and_measure(c, a, b, pair, lost, err);
	free(path);
	return rc;
}

static void add_pair(struct connecting *c, const struct cop_connection *pair)
{
	struct cop_connected *out = c->out;
	out->pair = cop_grow(out->pair, &c->cap, out->n + 1, sizeof(*out->pair));
	out->pair[out->n++] = *pair;
}

static bool is_there(struct connecting *c, const struct cop_point *p)
{
	if (c->missing[p->index])
		return false;
	if (cop_catalog_valid(&c->catalog, p->index))
		return true;
	if (cop_catalog_there(&c->catalog, p->index))
		cop_warn("cell %" PRId64 " counts as missing: %s", p->index, cop_catalog_reason(&c->catalog, p->index));
	c->missing[p->index] = true;
	return false;
}

static int connect_two(struct connecting *c, const struct cop_point *a, const struct cop_point *b, struct cop_err *err)
{
	struct cop_connection pair = {0};
	/* both are looked at, so that both are named */
	bool first = is_there(c, a), lost = !is_there(c, b) || !first;
	cop_progress("connect", (double)c->seen, (double)c->pairs, "cells %" PRId64 " and %" PRId64, a->index,
		     b->index);
	int rc = lost ? 0 : connect_pair(c, a, b, &pair, &lost, err);
	if (!rc)
		rc = beat(NULL, c, err);
	c->seen++;
	if (rc || lost)
		cop_connection_release(&pair);
	else
		add_pair(c, &pair);
	c->out->lacking += lost;
	return rc;
}

static int connect_family(struct connecting *c, const struct family *f, struct cop_err *err)
{
	int rc = 0;
	for (size_t i = 0; i < f->n && !rc; i++)
		for (size_t k = i + 1; k < f->n && !rc; k++)
			rc = connect_two(c, f->child[i], f->child[k], err);
	if (c->ready)
		cop_trainer_release(&c->trainer);
	c->ready = false;
	return rc;
}

/* Where the family ends that begins at `at`, of points in order. */
static size_t family_end(const struct cop_point *const *point, size_t n, size_t at)
{
	size_t to = at + 1;
	while (to < n && compare_family(point[at], point[to]) == 0)
		to++;
	return to;
}

static int connect_all(struct connecting *c, const struct cop_point *const *point, size_t n, struct cop_err *err)
{
	int rc = c->options->train ? open_data(c, err) : 0;
	for (size_t at = 0, to; at < n; at = to) {
		to = family_end(point, n, at);
		c->pairs += (to - at) * (to - at - 1) / 2;
	}
	for (size_t at = 0, to; at < n && !rc; at = to) {
		to = family_end(point, n, at);
		rc = connect_family(c, &(struct family){.child = point + at, .n = to - at}, err);
	}
	cop_progress("connect", 1, 1, "%s", "");
	return rc;
}

static void list_missing(struct connecting *c)
{
	struct cop_connected *out = c->out;
	out->missing = cop_xcalloc(c->run->ncells, sizeof(*out->missing));
	for (size_t i = 0; i < c->run->ncells; i++)
		if (c->missing[i])
			out->missing[out->nmissing++] = (int64_t)i;
}

static int check(const struct cop_run *r, struct cop_err *err)
{
	if (r->experiment.sweep.children < 2)
		return cop_fail(err, COP_EINPUT,
				"no cell of '%s' has children to connect ('sweep.children' is %" PRId64 ")", r->path,
				r->experiment.sweep.children);
	if (!r->experiment.sweep.keep_weights)
		return cop_fail(err, COP_EINPUT, "the cells of '%s' hold no weights ('sweep.keep_weights' is false)",
				r->path);
	return 0;
}

int cop_connect(const struct cop_run *r, const struct cop_connect_options *o, struct cop_connected *out,
		struct cop_err *err)
{
	struct connecting c = {.run = r, .options = o, .out = out};
	*out = (struct cop_connected){0};
	int rc = check(r, err);
	if (rc)
		return rc;
	const struct cop_point **point = cop_xcalloc(r->ncells, sizeof(*point));
	c.missing = cop_xcalloc(r->ncells, sizeof(*c.missing));
	for (size_t i = 0; i < r->ncells; i++)
		point[i] = &r->cell[i];
	qsort(point, r->ncells, sizeof(*point), compare_points);
	cop_catalog_open(&c.catalog, r);
	rc = connect_all(&c, point, r->ncells, err);
	cop_catalog_close(&c.catalog);
	if (rc)
		cop_connected_release(out);
	else
		list_missing(&c);
	cop_data_release(&c.data);
	free(c.missing);
	free(point);
	return rc;
}

void cop_connected_release(struct cop_connected *c)
{
	for (size_t i = 0; i < c->n; i++)
		cop_connection_release(&c->pair[i]);
	free(c->pair);
	free(c->missing);
	*c = (struct cop_connected){0};
}

static bool same_place(const struct cop_connection *a, const struct cop_connection *b)
{
	return strcmp(a->criterion, b->criterion) == 0 && strcmp(a->retrain, b->retrain) == 0 && a->round == b->round &&
	       a->quantile == b->quantile && a->reset_step == b->reset_step;
}

/* Means over the pairs of one replicate. */
static void add_replicate(struct cop_moments *place, const struct cop_connection *pair, size_t n)
{
	struct cop_moments of[3] = {0};
	for (size_t i = 0; i < n; i++) {
		struct cop_barrier b = cop_barrier_of(pair[i].column[COP_CONNECT_TEST_ERROR], pair[i].points);
		cop_moments_add(&of[0], b.ends);
		cop_moments_add(&of[1], b.highest);
		cop_moments_add(&of[2], b.instability);
	}
	for (int k = 0; k < 3; k++)
		cop_moments_add(&place[k], cop_moments_estimate(&of[k]).mean);
}

static struct cop_connect_place summarize(const struct cop_connection *pair, size_t n)
{
	struct cop_connect_place p = {.pair = pair, .pairs = n};
	struct cop_moments of[3] = {0};
	for (size_t at = 0, to; at < n; at = to) {
		for (to = at; to < n && pair[to].replicate == pair[at].replicate; to++)
			p.stable += cop_connect_is_stable(
				cop_barrier_of(pair[to].column[COP_CONNECT_TEST_ERROR], pair[to].points).instability);
		add_replicate(of, pair + at, to - at);
	}
	p.ends = cop_moments_estimate(&of[0]);
	p.highest = cop_moments_estimate(&of[1]);
	p.instability = cop_moments_estimate(&of[2]);
	return p;
}

void cop_connect_places(const struct cop_connected *c, struct cop_connect_place **place, size_t *n)
{
	*place = cop_xcalloc(c->n, sizeof(**place));
	*n = 0;
	for (size_t at = 0, to; at < c->n; at = to) {
		to = at + 1;
		while (to < c->n && same_place(&c->pair[at], &c->pair[to]))
			to++;
		(*place)[(*n)++] = summarize(c->pair + at, to - at);
	}
}
