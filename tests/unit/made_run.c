/* A run made up for tests; see made_run.h. */
#include "made_run.h"

#include "base/file.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static int make_folder(const struct cop_run *r, const char *name)
{
	struct cop_err err = {0};
	char *path = cop_run_file(r, name);
	int rc = cop_mkdirs(path, &err);
	free(path);
	return rc ? -1 : 0;
}

int made_run(struct cop_run *r, size_t cells)
{
	char folder[] = "/tmp/coppice-made-XXXXXX";
	if (!mkdtemp(folder))
		return -1;
	*r = (struct cop_run){.path = cop_xstrdup(folder), .hash = "0123456789abcdef", .ncells = cells};
	r->experiment.name = cop_xstrdup("made");
	r->text = cop_xstrdup("{}");
	r->cell = cop_xcalloc(cells, sizeof(*r->cell));
	for (size_t i = 0; i < cells; i++)
		r->cell[i] = (struct cop_point){.index = (int64_t)i,
						.replicate = (int64_t)i / 100,
						.round = 1 + (int64_t)i % 2,
						.quantile = 0.005 * (double)(i % 100 / 2),
						.reset_step = (int64_t)i % 7};
	return make_folder(r, "cells") || make_folder(r, "state") ? -1 : 0;
}

int made_run_remove(struct cop_run *r)
{
	char *command = cop_xasprintf("rm -rf '%s'", r->path);
	int rc = system(command);
	free(command);
	free(r->path);
	free(r->text);
	free(r->experiment.name);
	free(r->cell);
	return rc;
}

static void write_result(const struct cop_run *r, const char *path, struct cop_row row, const char *hash, double shade)
{
	struct cop_err err = {0};
	struct cop_layer_count layer = {.name = "fc1/weight", .total = 100, .nnz = 50};
	struct cop_cell c = {.row = row, .layer = &layer, .nlayers = 1, .hash = cop_xstrdup(hash)};
	c.row.test_top1 = shade;
	snprintf(c.row.host, COP_TEXT, "here");
	for (int e = 0; e < MADE_EPOCHS; e++)
		cop_history_add(&c.history, (double[COP_HISTORY_COLUMNS]){e, 10 * e, shade});
	if (cop_cell_write(path, &c, r->text, NULL, NULL, NULL, NULL, NULL, &err))
		fail_msg("%s", err.msg);
	cop_history_release(&c.history);
	free(c.hash);
}

void made_run_cell_as(const struct cop_run *r, int64_t index, int64_t as, const char *hash, double shade)
{
	const struct cop_point *p = &r->cell[as];
	char *path = cop_run_cell(r, index);
	write_result(r, path,
		     (struct cop_row){.index = p->index,
				      .replicate = p->replicate,
				      .round = p->round,
				      .same_as = -1,
				      .quantile = p->quantile,
				      .reset_step = p->reset_step},
		     hash, shade);
	free(path);
}

void made_run_cell(const struct cop_run *r, int64_t index)
{
	made_run_cell_as(r, index, index, r->hash, 0.5);
}

void made_run_dense(const struct cop_run *r, int64_t replicate, double shade)
{
	struct cop_err err = {0};
	char *path = cop_run_dense_result(r, replicate), *folder = cop_folder_of(path);
	if (cop_mkdirs(folder, &err))
		fail_msg("%s", err.msg);
	write_result(r, path, (struct cop_row){.index = -1, .same_as = -1, .replicate = replicate}, r->hash, shade);
	free(folder);
	free(path);
}

void made_run_text(const char *path, const char *text, size_t len)
{
	struct cop_err err = {0};
	if (cop_write_file(path, text, len, &err))
		fail_msg("%s", err.msg);
}
