/* What has become of everything; see ledger.h. */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "sweep/catalog.h"
#include "sweep/ledger_priv.h"
#include "sweep/series.h"
#include "sweep/work.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A process writes its state every few seconds of training; measuring at an epoch's end may take minutes. */
enum { SILENT_SECONDS = 15 * 60 };

const char *const cop_fate_names[COP_FATES] = {
	[COP_FATE_DONE] = "done",
	[COP_FATE_RUNNING] = "running",
	[COP_FATE_QUEUED] = "queued",
	[COP_FATE_PREEMPTED] = "preempted",
	[COP_FATE_NEVER] = "never-satisfied",
	[COP_FATE_STOPPED] = "stopped",
	[COP_FATE_FAILED] = "failed",
	[COP_FATE_LOST] = "lost",
	[COP_FATE_WAITING] = "waiting",
};

bool cop_fate_busy(enum cop_fate fate)
{
	return fate == COP_FATE_RUNNING || fate == COP_FATE_QUEUED || fate == COP_FATE_PREEMPTED;
}

void cop_entry_because(struct cop_entry *e, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(e->reason, sizeof(e->reason), fmt, ap);
	va_end(ap);
}

void cop_entry_lose(struct cop_entry *e)
{
	e->fate = COP_FATE_LOST;
	cop_entry_because(e, "attempt %" PRId64 " on %s ended without a result", e->state.attempts, e->state.host);
}

/* Of a process on another host: the queue knows of its job; without one its own word counts, as long as it is fresh. */
static void judge_from_afar(struct cop_entry *e)
{
	double silent = cop_clock() - e->state.updated;
	e->fate = COP_FATE_RUNNING;
	e->unproven = e->state.job[0] != '\0';
	cop_entry_because(e, "on %s, which cannot be asked from here", e->state.host);
	if (!e->unproven && silent > SILENT_SECONDS) {
		e->fate = COP_FATE_LOST;
		cop_entry_because(e, "nothing was heard of it on %s for %.0f minutes", e->state.host, silent / 60);
	}
}

/* What files alone say: the result, and the state that the last attempt left. */
static void judge_by_files(struct cop_entry *e, bool done, bool there, const char *why)
{
	bool known;
	*e = (struct cop_entry){.fate = COP_FATE_WAITING, .state = e->state};
	if (done) {
		e->fate = COP_FATE_DONE;
		return;
	}
	switch (e->state.state) {
	case COP_WORK_NONE:
		if (there) {
			e->fate = COP_FATE_LOST;
			cop_entry_because(e, "its file does not validate: %s", why);
		}
		break;
	case COP_WORK_STOPPED:
		e->fate = COP_FATE_STOPPED;
		cop_entry_because(e, "%s", e->state.error);
		break;
	case COP_WORK_FAILED:
		e->fate = COP_FATE_FAILED;
		cop_entry_because(e, "%s", e->state.error);
		break;
	case COP_WORK_RUNNING:
		if (cop_state_alive(&e->state, &known)) {
			e->fate = COP_FATE_RUNNING;
		} else if (known) {
			cop_entry_lose(e);
			e->unproven = e->state.job[0] != '\0';
		} else {
			judge_from_afar(e);
		}
		break;
	}
}

static void read_dense(const struct cop_run *r, int64_t replicate, struct cop_entry *e)
{
	struct cop_err why = {0};
	char *path = cop_run_state(r, true, replicate), *result = cop_run_dense_result(r, replicate);
	int rc = cop_dense_look(r, replicate, &why);
	cop_state_read(path, &e->state);
	judge_by_files(e, rc == 0, cop_exists(result), why.msg);
	/* it has ended: nothing is wrong, a part of it is to be done again */
	if (rc == COP_EPARTIAL && e->fate == COP_FATE_LOST && e->state.state == COP_WORK_NONE) {
		e->fate = COP_FATE_WAITING;
		cop_entry_because(e, "%s: to be made from those that are there", why.msg);
	}
	free(path);
	free(result);
}

static void read_files(struct cop_ledger *l)
{
	const struct cop_run *r = l->run;
	struct cop_catalog catalog;
	for (size_t k = 0; k < l->ndense; k++) {
		read_dense(r, (int64_t)k, &l->dense[k]);
	}
	cop_catalog_open(&catalog, r);
	for (size_t i = 0; i < l->ncells; i++) {
		bool done = cop_catalog_valid(&catalog, (int64_t)i);
		char *path = cop_run_state(r, false, (int64_t)i);
		if (!done)
			cop_state_read(path, &l->cell[i].state);
		judge_by_files(&l->cell[i], done, cop_catalog_there(&catalog, (int64_t)i),
			       cop_catalog_reason(&catalog, (int64_t)i));
		free(path);
	}
	cop_catalog_close(&catalog);
}

/* Whether a result was written so long ago that whoever did so has copied it since, or never will. */
static bool is_copied_by_now(const struct cop_run *r, int64_t cell)
{
	enum { PATIENCE = 60 }; /* seconds */
	char *path = cop_run_cell(r, cell);
	bool late = cop_clock() - cop_changed(path) > PATIENCE;
	free(path);
	return late;
}

/* A cell that is the same as another goes as that one does. */
static void follow_twin(struct cop_ledger *l, size_t i)
{
	const struct cop_point *p = &l->run->cell[i];
	struct cop_entry *e = &l->cell[i];
	const struct cop_entry *twin = &l->cell[p->same_as];
	if (e->fate == COP_FATE_DONE)
		return;
	const char *how = cop_fate_names[twin->fate];
	*e = *twin;
	e->unproven = false;
	if (twin->fate == COP_FATE_DONE) {
		bool late = is_copied_by_now(l->run, p->same_as);
		e->fate = late ? COP_FATE_LOST : COP_FATE_WAITING;
		how = late ? "whose result could not be copied, as the log may tell: 'coppice redo' copies it"
			   : "whose result is not copied yet";
	}
	cop_entry_because(e, "the same as cell %" PRId64 ", %s", p->same_as, how);
}

/* What never began because that which it needs came to nothing is not lost: it waits. */
static void explain_waiting(struct cop_ledger *l, size_t i)
{
	const struct cop_point *p = &l->run->cell[i];
	struct cop_entry *e = &l->cell[i];
	int64_t before = cop_cell_before(l->run, (int64_t)i);
	const struct cop_entry *needs = before >= 0 ? &l->cell[before] : &l->dense[p->replicate];
	/* a round that waits for one that failed keeps those behind it waiting, too */
	bool comes = needs->fate == COP_FATE_DONE || cop_fate_busy(needs->fate) ||
		     (needs->fate == COP_FATE_WAITING && !(before >= 0 && needs->reason[0]));
	if ((e->fate != COP_FATE_WAITING && e->fate != COP_FATE_LOST) || e->state.attempts > 0 || comes)
		return;
	e->fate = COP_FATE_WAITING;
	if (before >= 0)
		cop_entry_because(e, "waits for cell %" PRId64 " of the round before: %s", before,
				  cop_fate_names[needs->fate]);
	else
		cop_entry_because(e, "waits for dense run %" PRId64 ": %s", p->replicate, cop_fate_names[needs->fate]);
}

bool cop_submitter_alive(const struct cop_run *run, struct cop_state *s)
{
	bool known;
	char *path = cop_run_file(run, COP_SUBMITTER);
	cop_state_read(path, s);
	free(path);
	return s->state == COP_WORK_RUNNING && cop_state_alive(s, &known);
}

static bool all_done(const struct cop_ledger *l)
{
	return cop_ledger_count(l->dense, l->ndense, COP_FATE_DONE) == l->ndense &&
	       cop_ledger_count(l->cell, l->ncells, COP_FATE_DONE) == l->ncells;
}

/* jobs: ask the queue even where that can change no entry. */
static int open_ledger(struct cop_ledger *l, const struct cop_run *run, bool jobs, struct cop_err *err)
{
	struct cop_state submitter;
	*l = (struct cop_ledger){.run = run,
				 .ndense = (size_t)run->experiment.sweep.replicates,
				 .ncells = run->ncells,
				 .submitting = cop_submitter_alive(run, &submitter),
				 .queue_known = true};
	l->dense = cop_xcalloc(l->ndense, sizeof(*l->dense));
	l->cell = cop_xcalloc(l->ncells, sizeof(*l->cell));
	int rc = cop_submitted_read(run, &l->job, &l->njobs, err);
	if (!rc) {
		read_files(l);
		/* its controller may be far, or down */
		rc = jobs || !all_done(l) ? cop_ledger_ask(l, err) : 0;
	}
	for (size_t i = 0; i < l->ncells && !rc; i++)
		if (run->cell[i].same_as >= 0)
			follow_twin(l, i);
		else
			explain_waiting(l, i);
	if (rc)
		cop_ledger_release(l);
	return rc;
}

int cop_ledger_open(struct cop_ledger *l, const struct cop_run *run, struct cop_err *err)
{
	return open_ledger(l, run, false, err);
}

int cop_ledger_open_jobs(struct cop_ledger *l, const struct cop_run *run, struct cop_err *err)
{
	return open_ledger(l, run, true, err);
}

void cop_ledger_release(struct cop_ledger *l)
{
	free(l->dense);
	free(l->cell);
	free(l->job);
	*l = (struct cop_ledger){0};
}

size_t cop_ledger_count(const struct cop_entry *e, size_t n, enum cop_fate fate)
{
	size_t count = 0;
	for (size_t i = 0; i < n; i++)
		count += e[i].fate == fate;
	return count;
}
