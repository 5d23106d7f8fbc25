/* One cell; see work.h and "What a cell computes" in docs/method.md. */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "prune/mask.h"
#include "sweep/work_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool cop_cell_done(const struct cop_run *r, int64_t index, struct cop_err *err)
{
	struct cop_cell c;
	char *path = cop_run_cell(r, index);
	bool done = cop_cell_read(path, &c, err) == 0;
	if (done) {
		done = cop_run_owns(r, &r->cell[index], &c);
		if (!done)
			cop_fail(err, COP_EINPUT, "'%s' belongs to another experiment", path);
		cop_cell_release(&c);
	}
	free(path);
	return done;
}

static int read_checkpoint(const struct cop_run *r, const char *path, bool slots, struct cop_checkpoint *c,
			   struct cop_err *err)
{
	int rc = cop_checkpoint_read(path, c, slots, err);
	if (rc)
		return cop_context(err, "the dense run's checkpoint is needed ('coppice train' makes it)");
	if (strcmp(c->hash, r->hash) != 0) {
		cop_checkpoint_release(c);
		return cop_fail(err, COP_EINPUT, "checkpoint '%s' belongs to another experiment", path);
	}
	return 0;
}

/* The mask of a cell, from the weights at the end of the dense run. The caller frees *mask. */
static int make_mask(const struct cop_run *r, const struct cop_point *p, uint8_t **mask, struct cop_row *row,
		     struct cop_err *err)
{
	struct cop_checkpoint c = {0};
	char *path = cop_run_final(r, p->replicate);
	int rc = read_checkpoint(r, path, false, &c, err);
	free(path);
	if (!rc)
		rc = cop_alloc(mask, c.params.total, 1, "the mask", err);
	if (!rc && r->experiment.sweep.scope == COP_SCOPE_LAYER)
		rc = cop_prune_layers(&c.params, c.param, p->quantile, *mask, &row->threshold, err);
	else if (!rc)
		rc = cop_prune_global(&c.params, c.param,
				      cop_prune_count(p->quantile, cop_layout_count(&c.params, true)), *mask,
				      &row->threshold, err);
	cop_checkpoint_release(&c);
	return rc;
}

static int rewind_to(struct cop_job_work *w, const struct cop_point *p, const uint8_t *mask, struct cop_err *err)
{
	struct cop_checkpoint c = {0};
	char *path = cop_run_checkpoint(w->run, p->replicate, p->reset_step);
	int rc = read_checkpoint(w->run, path, true, &c, err);
	if (!rc && c.step != p->reset_step)
		rc = cop_fail(err, COP_EINPUT, "'%s' is of step %lld, not %lld", path, (long long)c.step,
			      (long long)p->reset_step);
	if (!rc)
		rc = cop_trainer_rewind(&w->trainer, &c, mask, err);
	cop_checkpoint_release(&c);
	free(path);
	return rc;
}

static void count_layers(struct cop_cell *c, const struct cop_layout *l, const uint8_t *mask)
{
	c->layer = cop_xcalloc(l->n, sizeof(*c->layer));
	for (size_t i = 0; i < l->n; i++) {
		const struct cop_tensor *t = &l->tensor[i];
		if (!t->prunable)
			continue;
		struct cop_layer_count *k = &c->layer[c->nlayers++];
		snprintf(k->name, sizeof(k->name), "%s", t->name);
		k->total = (int64_t)t->count;
		k->nnz = (int64_t)cop_mask_kept(t, mask);
		c->row.total += k->total;
		c->row.nnz += k->nnz;
	}
}

static int write_result(struct cop_job_work *w, struct cop_row row, struct cop_err *err)
{
	const struct cop_trainer *t = &w->trainer;
	const struct cop_experiment *e = &w->run->experiment;
	struct cop_cell c = {.row = row, .history = t->history, .hash = (char *)(uintptr_t)w->run->hash};
	count_layers(&c, &t->net.graph.params, t->mask);
	int rc = cop_work_result(w, &c.row, err);
	if (rc) {
		free(c.layer);
		return rc;
	}
	char *path = cop_run_cell(w->run, row.index), *folder = cop_folder_of(path);
	bool keep = e->sweep.keep_weights;
	rc = cop_mkdirs(folder, err);
	if (!rc)
		rc = cop_cell_write(path, &c, w->run->text, &t->net.graph.params, keep ? t->param : NULL,
				    keep ? t->mask : NULL, &t->net.graph.buffers, keep ? t->buffer : NULL, err);
	char data[COP_DATA_NOTE];
	if (!rc)
		cop_info("%s: quantile %g, reset %s: test top-1 %.2f%% with %lld of %lld weights%s", w->what,
			 row.quantile, row.reset, 100 * c.row.test_top1, (long long)c.row.nnz, (long long)c.row.total,
			 cop_trainer_data_note(t, data));
	free(c.layer);
	free(folder);
	free(path);
	return rc;
}

static int retrain(struct cop_job_work *w, const struct cop_point *p, struct cop_err *err)
{
	struct cop_row row = {.round = 1,
			      .same_as = -1,
			      .index = p->index,
			      .replicate = p->replicate,
			      .quantile = p->quantile,
			      .reset_step = p->reset_step};
	snprintf(row.reset, sizeof(row.reset), "%s", p->reset);
	uint8_t *mask = NULL;
	bool found = false;
	snprintf(w->identity, sizeof(w->identity), "cell %lld: replicate %lld, quantile %.17g, step %lld",
		 (long long)p->index, (long long)p->replicate, p->quantile, (long long)p->reset_step);
	int rc = make_mask(w->run, p, &mask, &row, err);
	if (!rc)
		rc = rewind_to(w, p, mask, err);
	if (!rc)
		cop_trainer_resume(&w->trainer, &found);
	if (found)
		cop_info("%s: going on from step %lld", w->what, (long long)w->trainer.step);
	if (!rc)
		rc = cop_trainer_run(&w->trainer, w->run->total_steps, err);
	if (!rc)
		rc = write_result(w, row, err);
	free(mask);
	return rc;
}

int cop_cell_run(const struct cop_run *r, int64_t index, const struct cop_work_options *o, struct cop_err *err)
{
	if (index < 0 || index >= (int64_t)r->ncells)
		return cop_fail(err, COP_EINPUT, "cell %lld does not exist: '%s' has cells 0 to %zu", (long long)index,
				r->path, r->ncells - 1);
	if (cop_cell_done(r, index, NULL)) {
		cop_info("cell %lld is done", (long long)index);
		return 0;
	}
	struct cop_job_work w;
	const struct cop_point *p = &r->cell[index];
	int rc = cop_work_begin(&w, r, false, index, p->replicate, o, err);
	if (!rc)
		rc = retrain(&w, p, err);
	if (rc && rc != COP_ESTOPPED)
		rc = cop_context(err, "cell %lld", (long long)index);
	return cop_work_end(&w, rc, err);
}
