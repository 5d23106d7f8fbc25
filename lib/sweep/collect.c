/* Gathering; see collect.h. */
#include "sweep/collect.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/xxhash.h"
#include "sweep/catalog.h"
#include "sweep/fetch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WARNINGS = 20 };

struct gathering {
	const struct cop_run *run;
	const char *path; /* of the results */
	struct cop_catalog catalog;
	struct cop_results_writer *writer;
	struct cop_collected *out;
	int64_t *place;  /* (ncells): of the cell in the results of before, if its file is the same; -1: none */
	int64_t *unread; /* (nunread): cells whose files are to be read */
	size_t nunread, warnings, gone;
};

/* RUN/state/results: "coppice-results SUM", of results.h5 when it was written. */
static bool recall_sum(const struct cop_run *r, uint64_t *sum)
{
	struct cop_err why = {0};
	char *path = cop_run_file(r, "state/results"), *text = NULL;
	size_t len;
	int used = 0;
	bool known = cop_read_file(path, &text, &len, &why) == 0 &&
		     sscanf(text, "coppice-results %16" SCNx64 "\n%n", sum, &used) == 1 && used == (int)len;
	free(text);
	free(path);
	return known;
}

static void remember_sum(const struct cop_run *r, const char *results)
{
	uint64_t sum;
	struct cop_err why = {0};
	char *path = cop_run_file(r, "state/results"), *folder = cop_folder_of(path);
	int rc = cop_xxh_file(results, NULL, &sum, &why);
	char *text = cop_xasprintf("coppice-results %016" PRIx64 "\n", sum);
	if (!rc)
		rc = cop_mkdirs(folder, &why);
	if (!rc)
		rc = cop_write_file(path, text, strlen(text), &why);
	if (rc)
		cop_debug("the next collect will read all cells: %s", why.msg);
	free(text);
	free(folder);
	free(path);
}

/* Goes on from the results of before, where they are what was written and of this experiment. */
static int begin_results(struct gathering *g, bool resume, struct cop_err *err)
{
	const struct cop_run *r = g->run;
	const char *name = r->experiment.name;
	struct cop_err why = {0};
	uint64_t sum;
	g->writer = NULL;
	if (resume && cop_exists(g->path) && recall_sum(r, &sum)) {
		if (cop_results_resume(&g->writer, g->path, name, r->text, r->hash, sum, &why) == 0)
			return 0;
		cop_debug("all cells are read: %s", why.msg);
	}
	return cop_results_begin(&g->writer, g->path, name, r->text, r->hash, err);
}

/* Whether a row of before is what the cell's file still says. */
static bool still_so(const struct gathering *g, size_t k)
{
	const struct cop_row *row = cop_results_row(g->writer, k);
	if (row->index < 0 || row->index >= (int64_t)g->run->ncells || !cop_catalog_valid(&g->catalog, row->index))
		return false;
	struct cop_cell c = {.row = *row, .hash = (char *)(uintptr_t)g->run->hash};
	return cop_stamp_same(&g->catalog.cell[row->index].stamp, cop_results_stamp(g->writer, k)) &&
	       cop_run_owns(g->run, &g->run->cell[row->index], &c);
}

/* Finds out which cells stay as they are and which files are to be read. */
static size_t sort_out(struct gathering *g)
{
	size_t kept = 0;
	g->nunread = g->gone = 0;
	for (size_t i = 0; i < g->run->ncells; i++)
		g->place[i] = -1;
	for (size_t k = 0; k < cop_results_count(g->writer); k++) {
		int64_t i = cop_results_row(g->writer, k)->index;
		if (still_so(g, k)) {
			g->place[i] = (int64_t)k;
			kept++;
		} else if (i >= (int64_t)g->run->ncells || !cop_catalog_there(&g->catalog, i)) {
			g->gone++;
		}
	}
	for (size_t i = 0; i < g->run->ncells; i++) {
		enum cop_verdict v = g->catalog.cell[i].verdict;
		/* one that was rejected is tried again: what was wrong may have passed */
		if (g->place[i] < 0 && (v == COP_VERDICT_VALID || v == COP_VERDICT_REJECTED))
			g->unread[g->nunread++] = (int64_t)i;
	}
	return kept;
}

/* Taking out of a file leaves holes: where most of it would go, it is written anew. */
static int choose(struct gathering *g, struct cop_err *err)
{
	int rc = begin_results(g, true, err);
	if (rc || sort_out(g) >= cop_results_count(g->writer) / 2)
		return rc;
	cop_results_abandon(g->writer);
	rc = begin_results(g, false, err);
	if (!rc) {
		size_t gone = g->gone;
		sort_out(g);
		g->gone = gone;
	}
	return rc;
}

static void warn_missing(struct gathering *g, int64_t index)
{
	if (g->warnings++ < WARNINGS)
		cop_warn("cell %lld counts as missing: %s", (long long)index, cop_catalog_reason(&g->catalog, index));
}

static void add_missing(struct gathering *g, int64_t index)
{
	g->out->missing[g->out->nmissing++] = index;
	if (cop_catalog_there(&g->catalog, index))
		warn_missing(g, index);
}

/* The next of the files that are to be read. */
static int add_read(struct gathering *g, int64_t index, struct cop_fetch *f, struct cop_err *err)
{
	struct cop_cell c;
	struct cop_err why = {0};
	int rc = cop_fetch_next(f, &c, &why);
	if (rc) {
		cop_catalog_reject(&g->catalog, index, why.msg);
		add_missing(g, index);
		return 0;
	}
	cop_catalog_accept(&g->catalog, index);
	rc = cop_results_add(g->writer, &c, &g->catalog.cell[index].stamp, err);
	g->out->row[g->out->ncells++] = c.row;
	g->out->read++;
	cop_cell_release(&c);
	return rc;
}

static int gather_cells(struct gathering *g, struct cop_err *err)
{
	const size_t n = g->run->ncells;
	int rc = 0;
	size_t unread = 0;
	struct cop_fetch *f = cop_fetch_begin(g->run, g->unread, g->nunread);
	for (size_t i = 0; i < n && !rc; i++) {
		if (g->place[i] >= 0) {
			g->out->row[g->out->ncells++] = *cop_results_row(g->writer, (size_t)g->place[i]);
			rc = cop_results_keep(g->writer, (size_t)g->place[i], err);
			g->out->kept++;
		} else if (unread < g->nunread && g->unread[unread] == (int64_t)i) {
			unread++;
			rc = add_read(g, (int64_t)i, f, err);
		} else {
			add_missing(g, (int64_t)i);
		}
		if (i % 64 == 0)
			cop_progress("collect", (double)i, (double)n, "%zu missing", g->out->nmissing);
	}
	cop_progress("collect", 1, 1, "%s", "");
	cop_fetch_end(f);
	return rc;
}

static void tell(const struct gathering *g)
{
	if (g->warnings > WARNINGS)
		cop_warn("%zu more cells count as missing ('coppice status' says why)", g->warnings - WARNINGS);
	if (g->gone)
		cop_warn("%zu cells of the results before are left out: their files are gone", g->gone);
	cop_info("%zu cells read, %zu kept from the results before", g->out->read, g->out->kept);
}

static int gather_dense(struct gathering *g, int64_t replicate, struct cop_err *err)
{
	struct cop_cell c;
	struct cop_err why = {0};
	char *path = cop_run_dense_result(g->run, replicate);
	bool there = cop_exists(path);
	free(path);
	if (!there)
		return 0;
	if (cop_fetch_one(g->run, -1 - replicate, &c, &why)) {
		cop_warn("dense run %lld is left out: %s", (long long)replicate, why.msg);
		return 0;
	}
	struct cop_dense d = {
		.replicate = replicate,
		.total = c.row.total,
		.test_top1 = c.row.test_top1,
		.test_top5 = c.row.test_top5,
		.test_loss = c.row.test_loss,
		.val_top1 = c.row.val_top1,
		.early_stop_step = c.row.early_stop_step,
		.early_stop_val_top1 = c.row.early_stop_val_top1,
		.early_stop_test_top1 = c.row.early_stop_test_top1,
		.seconds = c.row.seconds,
		.images_per_second = c.row.images_per_second,
		.data_wait = c.row.data_wait,
		.began = c.row.began,
		.ended = c.row.ended,
		.joules = c.row.joules,
		.cores = c.row.cores,
		.gpus = c.row.gpus,
		.gpu_utilisation = c.row.gpu_utilisation,
		.gpu_memory = c.row.gpu_memory,
		.history = c.history,
	};
	snprintf(d.device, sizeof(d.device), "%s", c.row.device);
	int rc = cop_results_add_dense(g->writer, &d, err);
	cop_cell_release(&c);
	return rc;
}

static int write_results(struct gathering *g, struct cop_err *err)
{
	const struct cop_run *r = g->run;
	int rc = choose(g, err);
	if (rc)
		return rc;
	rc = gather_cells(g, err);
	for (int64_t k = 0; k < r->experiment.sweep.replicates && !rc; k++)
		rc = gather_dense(g, k, err);
	if (rc) {
		cop_results_abandon(g->writer);
		return rc;
	}
	return cop_results_end(g->writer, g->out->missing, g->out->nmissing, err);
}

int cop_collect(const struct cop_run *r, struct cop_collected *out, struct cop_err *err)
{
	char *path = cop_run_file(r, "results.h5");
	struct gathering g = {.run = r, .path = path, .out = out};
	*out = (struct cop_collected){0};
	out->row = cop_xcalloc(r->ncells, sizeof(*out->row));
	out->missing = cop_xcalloc(r->ncells, sizeof(*out->missing));
	g.place = cop_xcalloc(r->ncells, sizeof(*g.place));
	g.unread = cop_xcalloc(r->ncells, sizeof(*g.unread));
	cop_catalog_open(&g.catalog, r);
	int rc = write_results(&g, err);
	cop_catalog_close(&g.catalog);
	if (rc) {
		cop_collected_release(out);
	} else {
		remember_sum(r, path);
		tell(&g);
	}
	free(g.place);
	free(g.unread);
	free(path);
	return rc;
}

void cop_collected_release(struct cop_collected *c)
{
	free(c->row);
	free(c->missing);
	*c = (struct cop_collected){0};
}
