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

static bool is_listed(const struct cop_trainer *t, size_t offset)
{
	const struct cop_graph *g = &t->net.graph;
	for (int i = 0; i < g->n; i++)
		if (cop_trainer_lists(t, i) && g->node[i].weight == offset)
			return true;
	return false;
}

static void count_layers(struct cop_cell *c, const struct cop_trainer *trainer)
{
	const struct cop_layout *l = &trainer->net.graph.params;
	const uint8_t *mask = trainer->mask;
	c->layer = cop_xcalloc(l->n, sizeof(*c->layer));
	for (size_t i = 0; i < l->n; i++) {
		const struct cop_tensor *t = &l->tensor[i];
		if (!t->prunable)
			continue;
		struct cop_layer_count *k = &c->layer[c->nlayers++];
		snprintf(k->name, sizeof(k->name), "%s", t->name);
		k->total = (int64_t)t->count;
		k->nnz = (int64_t)cop_mask_kept(t, mask);
		k->sparse = is_listed(trainer, t->offset);
		c->row.total += k->total;
		c->row.nnz += k->nnz;
	}
}

static int write_result(struct cop_job_work *w, struct cop_row row, struct cop_err *err)
{
	const struct cop_trainer *t = &w->trainer;
	const struct cop_experiment *e = &w->run->experiment;
	struct cop_cell c = {.row = row, .history = t->history, .hash = (char *)(uintptr_t)w->run->hash};
	int rc = cop_work_result(w, &c.row, err);
	count_layers(&c, t);
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
	char data[COP_DATA_NOTE], text[COP_POINT_TEXT];
	const char *variant = cop_point_variant(&w->run->cell[row.index], text);
	if (!rc)
		cop_info("%s: quantile %g, reset %s%s%s: test top-1 %.2f%% with %lld of %lld weights%s", w->what,
			 row.quantile, row.reset, *variant ? ", " : "", variant, 100 * c.row.test_top1,
			 (long long)c.row.nnz, (long long)c.row.total, cop_trainer_data_note(t, data));
	free(c.layer);
	free(folder);
	free(path);
	return rc;
}

/* A cell that is being computed. */
struct job {
	struct cop_job_work work;
	const struct cop_point *point;
	struct cop_row row;
};

/* Where in the grid a row belongs. */
static void place_row(struct cop_row *row, const struct cop_point *p)
{
	row->index = p->index;
	row->replicate = p->replicate;
	row->round = p->round;
	row->quantile = p->quantile;
	snprintf(row->reset, sizeof(row->reset), "%s", p->reset);
	row->reset_step = p->reset_step;
	cop_choice_text(COP_CRITERION_CHOICES, p->criterion, row->criterion, sizeof(row->criterion));
	cop_choice_text(COP_RETRAIN_CHOICES, p->retrain, row->retrain, sizeof(row->retrain));
	row->child = p->child;
}

/* The ticket: mask, weights to begin with, and what an attempt before this one has left. */
static int prepare(struct job *j, struct cop_err *err)
{
	struct cop_job_work *w = &j->work;
	const struct cop_point *p = j->point;
	uint8_t *mask = NULL;
	bool found = false;
	double began = cop_now();
	char variant[COP_POINT_TEXT];
	cop_point_variant(p, variant);
	j->row = (struct cop_row){.same_as = -1};
	place_row(&j->row, p);
	snprintf(w->identity, sizeof(w->identity),
		 "cell %lld: replicate %lld, round %lld, quantile %.17g, step %lld%s%s", (long long)p->index,
		 (long long)p->replicate, (long long)p->round, p->quantile, (long long)p->reset_step,
		 *variant ? ", " : "", variant);
	int rc = cop_ticket_mask(w->run, &w->staging, p, &w->trainer, &mask, &j->row.threshold, err);
	if (!rc)
		rc = cop_ticket_start(w->run, &w->staging, p, mask, &w->trainer, err);
	if (!rc)
		cop_trainer_resume(&w->trainer, &found);
	/* scoring may take longer than training, in each attempt again */
	w->trainer.seconds += cop_now() - began;
	if (found)
		cop_info("%s: going on from step %lld", w->what, (long long)w->trainer.step);
	free(mask);
	return rc;
}

/* Whatever it returns, end() must follow. `lead`: a cell of the same replicate to go beside; NULL: none. */
static int begin(struct job *j, const struct cop_run *r, const struct cop_point *p, struct job *lead,
		 const struct cop_work_options *o, struct cop_err *err)
{
	j->point = p;
	const struct cop_train_config train = cop_ticket_training(r, p);
	int rc = cop_work_begin(&j->work, r, false, p->index, &train, lead ? &lead->work : NULL, o, err);
	return rc ? rc : prepare(j, err);
}

/* Writes the result where the training has come to its end. */
static int end(struct job *j, int rc, struct cop_err *err)
{
	if (!rc)
		rc = write_result(&j->work, j->row, err);
	if (rc && rc != COP_ESTOPPED && j->work.claim != COP_CLAIM_LOST)
		rc = cop_context(err, "cell %lld", (long long)j->point->index);
	return cop_work_end(&j->work, rc, err);
}

static int compute(const struct cop_run *r, const struct cop_point *p, const struct cop_work_options *o,
		   struct cop_err *err)
{
	struct job j = {0};
	int rc = begin(&j, r, p, NULL, o, err);
	if (!rc)
		rc = cop_trainer_run(&j.work.trainer, j.work.trainer.total_steps, err);
	return end(&j, rc, err);
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
		place_row(&row, p);
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

/* The cell whose work cell `index` is. */
static int find_point(const struct cop_run *r, int64_t index, const struct cop_point **p, struct cop_err *err)
{
	if (index < 0 || index >= (int64_t)r->ncells)
		return cop_fail(err, COP_EINPUT, "cell %lld does not exist: '%s' has cells 0 to %zu", (long long)index,
				r->path, r->ncells - 1);
	*p = &r->cell[index];
	if ((*p)->same_as >= 0) {
		cop_info("cell %lld has the same mask as cell %lld", (long long)index, (long long)(*p)->same_as);
		*p = &r->cell[(*p)->same_as];
	}
	return 0;
}

int cop_cell_run(const struct cop_run *r, int64_t index, const struct cop_work_options *o, struct cop_err *err)
{
	const struct cop_point *p = NULL;
	int rc = find_point(r, index, &p, err);
	if (rc)
		return rc;
	if (cop_cell_done(r, p->index, NULL))
		cop_info("cell %lld is done", (long long)p->index);
	else
		rc = compute(r, p, o, err);
	return rc ? rc : cop_cell_share(r, p->index, err);
}

/* What cop_cells_run knows of a cell of its list. */
struct member {
	const struct cop_point *point; /* NULL: there is none */
	bool over;                     /* its code is known, or it is a twin's */
	int twin;                      /* an earlier member that is the same work; -1: none */
};

static void find_members(const struct cop_run *r, const int64_t *index, int n, struct member *m, int *rc,
			 struct cop_err *err)
{
	for (int i = 0; i < n; i++) {
		m[i] = (struct member){.twin = -1};
		rc[i] = find_point(r, index[i], &m[i].point, &err[i]);
		for (int k = 0; k < i && !rc[i]; k++)
			if (m[k].point == m[i].point)
				m[i].twin = k;
		bool done = !rc[i] && m[i].twin < 0 && cop_cell_done(r, m[i].point->index, NULL);
		if (done)
			cop_info("cell %lld is done", (long long)m[i].point->index);
		m[i].over = rc[i] || m[i].twin >= 0 || done;
	}
}

/* How many go beside `lead` on its device. */
static int room_beside(struct job *lead, int wanted)
{
	struct cop_err err = {0};
	size_t each = 0;
	if (!lead->work.trainer.backend->queue || wanted == 0)
		return 0;
	int room = cop_trainer_room(&lead->work.trainer, wanted, &each, &err);
	if (room < wanted)
		cop_warn("only %d of %d cells fit the GPU at once, for each takes %.2f GiB: the others follow",
			 room < 0 ? 1 : room + 1, wanted + 1, (double)each / (1 << 30));
	return room < 0 ? 0 : room;
}

/* The first member that is left, and as many as can go beside it. */
static void run_wave(const struct cop_run *r, struct member *m, int n, struct job *job,
		     const struct cop_work_options *o, int *rc, struct cop_err *err)
{
	struct cop_trainer *t[COP_LANES_MAX];
	struct cop_err run_err[COP_LANES_MAX] = {0};
	int lead = 0, which[COP_LANES_MAX], run_rc[COP_LANES_MAX], going = 0, wanted = 0;
	while (m[lead].over)
		lead++;
	m[lead].over = true;
	rc[lead] = begin(&job[lead], r, m[lead].point, NULL, o, &err[lead]);
	which[going++] = lead;
	for (int i = lead + 1; i < n; i++)
		wanted += !m[i].over && cop_ticket_beside(m[i].point, m[lead].point);
	wanted = wanted < COP_LANES_MAX ? wanted : COP_LANES_MAX - 1;
	int room = rc[lead] ? 0 : room_beside(&job[lead], wanted);
	for (int i = lead + 1; i < n && room > 0; i++) {
		if (m[i].over || !cop_ticket_beside(m[i].point, m[lead].point) || (o->stop && *o->stop))
			continue;
		m[i].over = true;
		rc[i] = begin(&job[i], r, m[i].point, &job[lead], o, &err[i]);
		which[going++] = i;
		room--;
	}
	for (int k = 0; k < going; k++) {
		t[k] = &job[which[k]].work.trainer;
		run_rc[k] = rc[which[k]];
	}
	if (going > 1 || !rc[lead])
		cop_trainers_run(t, going, job[lead].work.trainer.total_steps, run_rc, run_err);
	/* the lead last: the others read its batches, for their tests too */
	for (int k = going - 1; k >= 0; k--) {
		int i = which[k];
		if (!rc[i] && run_rc[k])
			err[i] = run_err[k];
		rc[i] = end(&job[i], run_rc[k], &err[i]);
		if (!rc[i])
			rc[i] = cop_cell_share(r, m[i].point->index, &err[i]);
	}
}

void cop_cells_run(const struct cop_run *r, const int64_t *index, int n, const struct cop_work_options *o, int *rc,
		   struct cop_err *err)
{
	struct member *m = cop_xcalloc((size_t)n, sizeof(*m));
	struct job *job = cop_xcalloc((size_t)n, sizeof(*job));
	find_members(r, index, n, m, rc, err);
	for (;;) {
		int left = 0;
		for (int i = 0; i < n; i++)
			left += !m[i].over;
		if (!left)
			break;
		run_wave(r, m, n, job, o, rc, err);
		for (int i = 0; i < n && o->stop && *o->stop; i++)
			if (!m[i].over) {
				m[i].over = true;
				rc[i] = cop_fail(&err[i], COP_ESTOPPED, "cell %lld was not begun",
						 (long long)m[i].point->index);
			}
	}
	for (int i = 0; i < n; i++)
		if (m[i].twin >= 0) {
			rc[i] = rc[m[i].twin];
			err[i] = err[m[i].twin];
		} else if (!rc[i] && job[i].point == NULL) {
			rc[i] = cop_cell_share(r, m[i].point->index, &err[i]); /* done before */
		}
	free(m);
	free(job);
}
