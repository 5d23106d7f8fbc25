/* Training what masks leave of networks, for 'coppice bench --sparse'. */
#include "nn/bench_tickets.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "bench.h"
#include "prune/allocation.h"
#include "prune/mask.h"
#include "report/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double sparsities[] = {0, 0.8, 0.9, 0.95, 0.98, 0.99};
enum { SPARSITIES = sizeof(sparsities) / sizeof(sparsities[0]) };
static const double LEARN_SECONDS = 20;

/* A network with 1000 classes, say, also where the benchmark's has others: as many as the last layer gives. */
static int classes_of(const struct cop_checkpoint *c, int otherwise)
{
	const struct cop_tensor *last = c->params.n ? &c->params.tensor[c->params.n - 1] : NULL;
	return last && last->rank >= 1 && last->dim[0] >= 2 && last->dim[0] <= 100000 ? (int)last->dim[0] : otherwise;
}

static int open_bench(const struct cop_bench_run *run, const struct cop_bench_network *n,
		      const struct cop_train_config *train, struct cop_ticket_bench **b, struct cop_err *err)
{
	struct cop_checkpoint c = {0};
	struct cop_bench_data images = n->images;
	double loss;
	if (!run->args->checkpoint) {
		int rc = cop_ticket_bench_open(b, &n->model, train, &images, err);
		if (!rc)
			rc = cop_ticket_bench_learn(*b, run->args->steps, LEARN_SECONDS, &loss, err);
		if (!rc)
			cop_info("%s: trained to a loss of %.3f", n->title, loss);
		return rc;
	}
	int rc = cop_checkpoint_read(run->args->checkpoint, &c, false, err);
	if (rc)
		return rc;
	images.classes = classes_of(&c, images.classes);
	rc = cop_ticket_bench_open(b, &n->model, train, &images, err);
	if (!rc)
		rc = cop_ticket_bench_load(*b, &c, err);
	cop_checkpoint_release(&c);
	return rc ? cop_context(err, "'%s' for %s", run->args->checkpoint, n->title) : 0;
}

/* Where a tensor joins its first channels, in the middle of the window. */
static size_t path_through(const struct cop_tensor *t)
{
	return t->rank == 4 ? (size_t)(t->dim[2] / 2 * t->dim[3] + t->dim[3] / 2) : 0;
}

/* At random, but one path is left: of few weights, chance may leave nothing that an image could pass. */
static int make_mask(const struct cop_ticket_bench *b, const struct cop_bench_ticket *t, uint8_t *mask,
		     struct cop_err *err)
{
	const struct cop_layout *l = cop_ticket_bench_layout(b);
	double threshold;
	if (!t->uniform)
		return cop_prune_global(l, cop_ticket_bench_weights(b),
					cop_prune_count(t->sparsity, cop_layout_count(l, true)), mask, &threshold, err);
	float *random = NULL;
	struct cop_stream s;
	int rc = cop_alloc(&random, l->total, sizeof(float), "random numbers", err);
	cop_stream_init(&s, 1, COP_PURPOSE_INIT, 0, 0);
	for (size_t i = 0; i < l->total && !rc; i++)
		random[i] = (float)cop_stream_uniform(&s);
	for (size_t i = 0; i < l->n && !rc; i++)
		random[l->tensor[i].offset + path_through(&l->tensor[i])] = 1;
	struct cop_allocation a = {0};
	if (!rc)
		rc = cop_allocate(&a, l, COP_SCOPE_LAYER, NULL, &t->sparsity, 1, err);
	if (!rc)
		rc = cop_prune_magnitudes(l, &a, random, NULL, mask, &threshold, err);
	cop_allocation_release(&a);
	free(random);
	return rc;
}

static int count(const struct cop_layout *l, const uint8_t *mask, struct cop_bench_ticket *t, struct cop_err *err)
{
	int rc = 0;
	for (size_t i = 0; i < l->n && !rc; i++) {
		size_t rows, columns;
		if (!l->tensor[i].prunable)
			continue;
		rc = cop_mask_dead(&l->tensor[i], mask, &rows, &columns, err);
		t->dead_rows += rc ? 0 : (int)rows;
		t->dead_columns += rc ? 0 : (int)columns;
	}
	t->survivors = (int)cop_mask_nnz(l, mask);
	return rc;
}

/* One mask. What leaves nothing to train is a row without speeds. */
static int time_mask(const struct cop_bench_run *run, struct cop_ticket_bench *b, const struct cop_bench_network *n,
		     struct cop_bench_ticket *t, uint8_t *mask, struct cop_err *err)
{
	struct cop_ticket_times times;
	struct cop_err why = {0};
	int rc = make_mask(b, t, mask, err);
	if (!rc)
		rc = count(cop_ticket_bench_layout(b), mask, t, err);
	if (rc)
		return rc;
	rc = cop_ticket_bench_time(b, mask, run->args->steps, &times, &why);
	if (rc && rc != COP_EINPUT)
		return cop_fail(err, rc, "%s", why.msg);
	if (rc) {
		cop_warn("%s at %g%%, %s masks: %s", n->title, 100 * t->sparsity, t->uniform ? "uniform" : "global",
			 why.msg);
		times.seconds = times.images_per_second = times.dense_per_second = NAN;
		for (int i = 0; i < COP_STEP_PARTS; i++)
			times.share[i] = NAN;
	}
	t->dense_rate = times.dense_per_second;
	t->lists = times.lists;
	t->layers = times.layers;
	memcpy(t->share, times.share, sizeof(t->share));
	struct cop_bench_row r = cop_bench_row(run, times.seconds, times.images_per_second, "images/s");
	snprintf(r.name, sizeof(r.name), "%s", n->title);
	r.ticket = *t;
	cop_bench_add(run, &r);
	return 0;
}

int cop_bench_tickets(struct cop_bench_run *run, struct cop_err *err)
{
	const struct cop_bench_network *n = cop_bench_find_network(run->name);
	struct cop_train_config train = cop_bench_training(run, n);
	struct cop_ticket_bench *b = NULL;
	uint8_t *mask = NULL;
	int rc = open_bench(run, n, &train, &b, err);
	if (!rc)
		rc = cop_alloc(&mask, cop_ticket_bench_layout(b)->total, 1, "a mask", err);
	for (int uniform = 0; uniform < 2; uniform++)
		/* nothing cut is the same either way */
		for (int i = uniform; i < SPARSITIES && !rc; i++) {
			struct cop_bench_ticket t = {
				.uniform = uniform, .sparsity = sparsities[i], .batch = (int)train.batch};
			rc = time_mask(run, b, n, &t, mask, err);
		}
	free(mask);
	cop_ticket_bench_free(b);
	return rc;
}

static const struct cop_column columns[] = {
	{"network", COP_COLUMN_TEXT, 0},    {"batch", COP_COLUMN_INT, 0},          {"threads", COP_COLUMN_INT, 0},
	{"masks", COP_COLUMN_TEXT, 0},      {"sparsity", COP_COLUMN_PERCENT, 0},   {"seconds", COP_COLUMN_GENERAL, 4},
	{"rate", COP_COLUMN_GENERAL, 6},    {"dense_rate", COP_COLUMN_GENERAL, 6}, {"ratio", COP_COLUMN_REAL, 2},
	{"survivors", COP_COLUMN_SHORT, 0}, {"dead_rows", COP_COLUMN_INT, 0},      {"dead_columns", COP_COLUMN_INT, 0},
	{"lists", COP_COLUMN_INT, 0},       {"layers", COP_COLUMN_INT, 0},
};
enum { COLUMNS = sizeof(columns) / sizeof(columns[0]) };

void cop_bench_ticket_table(struct cop_table *t)
{
	static struct cop_column all[COLUMNS + COP_STEP_PARTS];
	memcpy(all, columns, sizeof(columns));
	for (int i = 0; i < COP_STEP_PARTS; i++)
		all[COLUMNS + i] = (struct cop_column){cop_step_part_names[i], COP_COLUMN_PERCENT, 0};
	cop_table_init(t, all, COLUMNS + COP_STEP_PARTS);
}

void cop_bench_ticket_row(const struct cop_bench_row *r, struct cop_table *t)
{
	const struct cop_bench_ticket *k = &r->ticket;
	cop_table_text(t, r->name);
	cop_table_int(t, k->batch);
	cop_table_int(t, r->threads);
	cop_table_text(t, k->uniform ? "uniform" : "global");
	cop_table_real(t, k->sparsity);
	cop_table_real(t, r->seconds);
	cop_table_real(t, r->rate);
	cop_table_real(t, k->dense_rate);
	cop_table_real(t, r->rate / k->dense_rate);
	cop_table_real(t, k->survivors);
	cop_table_int(t, k->dead_rows);
	cop_table_int(t, k->dead_columns);
	cop_table_int(t, k->lists);
	cop_table_int(t, k->layers);
	for (int i = 0; i < COP_STEP_PARTS; i++)
		cop_table_real(t, k->share[i]);
}
