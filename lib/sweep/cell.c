/* One cell; see work.h and "What a cell computes" in docs/method.md. */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "prune/mask.h"
#include "sweep/fetch.h"
#include "sweep/ticket.h"
#include "sweep/work_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* By a process of its own: a damaged file must not take down the one that is to replace it. */
bool cop_cell_done(const struct cop_run *r, int64_t index, struct cop_err *err)
{
	struct cop_cell c;
	bool done = cop_fetch_one(r, index, &c, err) == 0;
	cop_cell_release(&c);
	return done;
}

static int rewind_to(struct cop_job_work *w, const struct cop_point *p, const uint8_t *mask, struct cop_err *err)
{
	struct cop_checkpoint c = {0};
	char *path = cop_run_checkpoint(w->run, p->replicate, p->reset_step);
	int rc = cop_ticket_checkpoint(w->run, &w->staging, path, true, &c, err);
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
	if (!rc)
		rc = cop_trainer_sync(&w->trainer, err);
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
	struct cop_row row = {.round = p->round,
			      .same_as = -1,
			      .index = p->index,
			      .replicate = p->replicate,
			      .quantile = p->quantile,
			      .reset_step = p->reset_step};
	snprintf(row.reset, sizeof(row.reset), "%s", p->reset);
	uint8_t *mask = NULL;
	bool found = false;
	snprintf(w->identity, sizeof(w->identity), "cell %lld: replicate %lld, round %lld, quantile %.17g, step %lld",
		 (long long)p->index, (long long)p->replicate, (long long)p->round, p->quantile,
		 (long long)p->reset_step);
	int rc = cop_ticket_mask(w->run, &w->staging, p, &mask, &row.threshold, err);
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

static int compute(const struct cop_run *r, const struct cop_point *p, const struct cop_work_options *o,
		   struct cop_err *err)
{
	struct cop_job_work w;
	int rc = cop_work_begin(&w, r, false, p->index, p->replicate, o, err);
	if (!rc)
		rc = retrain(&w, p, err);
	if (rc && rc != COP_ESTOPPED && w.claim != COP_CLAIM_LOST)
		rc = cop_context(err, "cell %lld", (long long)p->index);
	return cop_work_end(&w, rc, err);
}

int cop_cell_share(const struct cop_run *r, int64_t index, struct cop_err *err)
{
	struct cop_cell c = {0};
	char *from = cop_run_cell(r, index);
	int rc = 0;
	for (size_t i = (size_t)index + 1; i < r->ncells && !rc; i++) {
		const struct cop_point *p = &r->cell[i];
		if (p->same_as != index || cop_cell_done(r, p->index, NULL))
			continue;
		if (!c.hash)
			rc = cop_cell_read(from, &c, err);
		if (rc)
			break;
		char *to = cop_run_cell(r, p->index);
		struct cop_row row = c.row;
		row.index = p->index;
		row.round = p->round;
		row.quantile = p->quantile;
		row.same_as = index;
		row.seconds = 0;
		row.joules *= 0; /* NaN stays NaN */
		rc = cop_cell_copy(from, to, &row, err);
		if (!rc)
			cop_info("cell %lld has the same mask as cell %lld: copied", (long long)p->index,
				 (long long)index);
		free(to);
	}
	cop_cell_release(&c);
	free(from);
	return rc;
}

int cop_cell_run(const struct cop_run *r, int64_t index, const struct cop_work_options *o, struct cop_err *err)
{
	if (index < 0 || index >= (int64_t)r->ncells)
		return cop_fail(err, COP_EINPUT, "cell %lld does not exist: '%s' has cells 0 to %zu", (long long)index,
				r->path, r->ncells - 1);
	const struct cop_point *p = &r->cell[index];
	if (p->same_as >= 0) {
		cop_info("cell %lld has the same mask as cell %lld", (long long)index, (long long)p->same_as);
		p = &r->cell[p->same_as];
	}
	int rc = 0;
	if (cop_cell_done(r, p->index, NULL))
		cop_info("cell %lld is done", (long long)p->index);
	else
		rc = compute(r, p, o, err);
	return rc ? rc : cop_cell_share(r, p->index, err);
}
