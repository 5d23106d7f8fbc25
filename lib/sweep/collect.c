/* Gathering; see collect.h. */
#include "sweep/collect.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static bool read_cell(const struct cop_run *r, const struct cop_point *p, struct cop_cell *c)
{
	struct cop_err err = {0};
	char *path = cop_run_cell(r, p->index);
	bool there = cop_exists(path), good = there && cop_cell_read(path, c, &err) == 0;
	if (good && !cop_run_owns(r, p, c)) {
		cop_fail(&err, COP_EINPUT, "'%s' belongs to another experiment", path);
		cop_cell_release(c);
		good = false;
	}
	if (there && !good)
		cop_warn("cell %lld counts as missing: %s", (long long)p->index, err.msg);
	free(path);
	return good;
}

static void read_dense(const struct cop_run *r, struct cop_results *out)
{
	int64_t n = r->experiment.sweep.replicates;
	out->dense = cop_xcalloc((size_t)n, sizeof(*out->dense));
	for (int64_t k = 0; k < n; k++) {
		struct cop_cell c;
		struct cop_err err = {0};
		char *path = cop_run_dense_result(r, k);
		if (cop_exists(path) && cop_cell_read(path, &c, &err) == 0) {
			out->dense[out->ndense++] = (struct cop_dense){
				.replicate = k,
				.total = c.row.total,
				.test_top1 = c.row.test_top1,
				.test_top5 = c.row.test_top5,
				.test_loss = c.row.test_loss,
				.val_top1 = c.row.val_top1,
				.seconds = c.row.seconds,
				.images_per_second = c.row.images_per_second,
				.data_wait = c.row.data_wait,
				.began = c.row.began,
				.ended = c.row.ended,
				.joules = c.row.joules,
				.cores = c.row.cores,
				.gpus = c.row.gpus,
				.history = c.history,
			};
			c.history = (struct cop_history){0};
			cop_cell_release(&c);
		} else if (err.code) {
			cop_warn("dense run %lld is left out: %s", (long long)k, err.msg);
		}
		free(path);
	}
}

void cop_collect(const struct cop_run *r, struct cop_results *out)
{
	*out = (struct cop_results){.name = cop_xstrdup(r->experiment.name),
				    .experiment = cop_xstrdup(r->text),
				    .hash = cop_xstrdup(r->hash)};
	out->cell = cop_xcalloc(r->ncells, sizeof(*out->cell));
	out->missing = cop_xcalloc(r->ncells, sizeof(*out->missing));
	for (size_t i = 0; i < r->ncells; i++) {
		if (read_cell(r, &r->cell[i], &out->cell[out->ncells]))
			out->ncells++;
		else
			out->missing[out->nmissing++] = (int64_t)i;
		if (i % 64 == 0)
			cop_progress("collect", (double)i, (double)r->ncells, "%zu missing", out->nmissing);
	}
	read_dense(r, out);
}
