/* What has become of everything; see ledger.h. */
#include "sweep/ledger.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "sweep/work.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const cop_fate_names[COP_FATES] = {
	[COP_FATE_DONE] = "done",   [COP_FATE_RUNNING] = "running", [COP_FATE_QUEUED] = "queued",
	[COP_FATE_STUCK] = "stuck", [COP_FATE_STOPPED] = "stopped", [COP_FATE_FAILED] = "failed",
	[COP_FATE_LOST] = "lost",   [COP_FATE_WAITING] = "waiting",
};

static void set_reason(struct cop_entry *e, const char *fmt, ...) COP_PRINTF(2, 3);
static void set_reason(struct cop_entry *e, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(e->reason, sizeof(e->reason), fmt, ap);
	va_end(ap);
}

static void lose(struct cop_entry *e)
{
	e->fate = COP_FATE_LOST;
	set_reason(e, "attempt %" PRId64 " on %s ended without a result", e->state.attempts, e->state.host);
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
			set_reason(e, "its file does not validate: %s", why);
		}
		break;
	case COP_WORK_STOPPED:
		e->fate = COP_FATE_STOPPED;
		set_reason(e, "%s", e->state.error);
		break;
	case COP_WORK_FAILED:
		e->fate = COP_FATE_FAILED;
		set_reason(e, "%s", e->state.error);
		break;
	case COP_WORK_RUNNING:
		if (cop_state_alive(&e->state, &known)) {
			e->fate = COP_FATE_RUNNING;
		} else if (known) {
			lose(e);
			e->unproven = e->state.job[0] != '\0';
		} else {
			e->fate = COP_FATE_RUNNING;
			e->unproven = e->state.job[0] != '\0';
			set_reason(e, "on %s, which cannot be asked from here", e->state.host);
		}
		break;
	}
}

static void read_files(struct cop_ledger *l)
{
	const struct cop_run *r = l->run;
	for (size_t k = 0; k < l->ndense; k++) {
		char *path = cop_run_state(r, true, (int64_t)k), *result = cop_run_dense_result(r, (int64_t)k);
		cop_state_read(path, &l->dense[k].state);
		judge_by_files(&l->dense[k], cop_dense_done(r, (int64_t)k), cop_exists(result),
			       "a checkpoint is missing");
		free(path);
		free(result);
	}
	for (size_t i = 0; i < l->ncells; i++) {
		struct cop_err why = {0};
		char *path = cop_run_state(r, false, (int64_t)i), *result = cop_run_cell(r, (int64_t)i);
		bool there = cop_exists(result);
		cop_state_read(path, &l->cell[i].state);
		judge_by_files(&l->cell[i], there && cop_cell_done(r, (int64_t)i, &why), there, why.msg);
		free(path);
		free(result);
	}
}

/* A queue's task tells of the entry that it computes. */
static void apply_task(struct cop_entry *e, const struct cop_task *t)
{
	if (e->fate == COP_FATE_DONE)
		return;
	if (t->phase == COP_PHASE_ENDED) {
		if (e->fate == COP_FATE_WAITING) {
			e->fate = COP_FATE_LOST;
			set_reason(e, "task %s_%" PRId64 " ended as %s without a result", t->job, t->task, t->state);
		}
		return;
	}
	snprintf(e->job, sizeof(e->job), t->task < 0 ? "%s" : "%s_%" PRId64, t->job, t->task);
	if (t->phase == COP_PHASE_RUNNING) {
		e->fate = COP_FATE_RUNNING;
		set_reason(e, "on %s", t->node);
	} else {
		e->fate = t->phase == COP_PHASE_STUCK ? COP_FATE_STUCK : COP_FATE_QUEUED;
		set_reason(e, "%s", t->reason);
	}
}

static void mark_lost(struct cop_entry *e, const struct cop_submitted *s)
{
	if (e->fate != COP_FATE_WAITING || e->job[0])
		return;
	e->fate = COP_FATE_LOST;
	set_reason(e, "job %s left the queue without a result", s->id);
}

/* Applies the queue's word on one submitted job to the entries that its tasks compute. */
static int apply_job(struct cop_ledger *l, const struct cop_submitted *s, const struct cop_task *task, size_t ntasks,
		     struct cop_err *err)
{
	bool dense = strcmp(s->role, "dense") == 0;
	struct cop_entry *entry = dense ? l->dense : l->cell;
	size_t nentries = dense ? l->ndense : l->ncells, nlist = 0;
	int64_t *list = NULL;
	int rc = s->list[0] ? cop_list_read(l->run, s->list, &list, &nlist, err) : 0;
	bool *seen = cop_xcalloc((size_t)s->tasks, sizeof(*seen));
	for (size_t i = 0; i < ntasks && !rc; i++) {
		int64_t t = task[i].task;
		if (strcmp(task[i].job, s->id) != 0 || t < 0 || t >= s->tasks)
			continue;
		seen[t] = true;
		int64_t k = list ? (t < (int64_t)nlist ? list[t] : -1) : t;
		if (k >= 0 && k < (int64_t)nentries)
			apply_task(&entry[k], &task[i]);
	}
	for (int64_t t = 0; t < s->tasks && !rc; t++) {
		int64_t k = list ? (t < (int64_t)nlist ? list[t] : -1) : t;
		if (!seen[t] && k >= 0 && k < (int64_t)nentries)
			mark_lost(&entry[k], s);
	}
	free(seen);
	free(list);
	return rc;
}

/* Adds a job to the ones to ask for, unless it is among them. */
static void want_job(char (**id)[COP_JOB_ID], size_t *n, size_t *cap, const char *job, size_t len)
{
	for (size_t i = 0; i < *n; i++)
		if (strlen((*id)[i]) == len && strncmp((*id)[i], job, len) == 0)
			return;
	*id = cop_grow(*id, cap, *n + 1, sizeof(**id));
	snprintf((*id)[(*n)++], COP_JOB_ID, "%.*s", (int)len, job);
}

static bool in_queue_once(const struct cop_submitted *s)
{
	return strcmp(s->scheduler, "slurm") == 0 && strcmp(s->role, "collect") != 0;
}

/* Jobs that were submitted through coppice, and those that somebody handed to sbatch: their tasks name them. */
static size_t jobs_to_ask(const struct cop_ledger *l, char (**id)[COP_JOB_ID])
{
	size_t n = 0, cap = 0;
	*id = NULL;
	for (size_t i = 0; i < l->njobs; i++)
		if (in_queue_once(&l->job[i]))
			want_job(id, &n, &cap, l->job[i].id, strlen(l->job[i].id));
	const struct cop_entry *const lists[] = {l->dense, l->cell};
	const size_t counts[] = {l->ndense, l->ncells};
	for (int k = 0; k < 2; k++)
		for (size_t i = 0; i < counts[k]; i++)
			if (lists[k][i].unproven)
				want_job(id, &n, &cap, lists[k][i].state.job, strcspn(lists[k][i].state.job, "_"));
	return n;
}

/* What a state says of a job holds only if the queue has that task; one that was requeued is waiting, not lost. */
static void prove(struct cop_entry *e, size_t n, const struct cop_task *task, size_t ntasks)
{
	for (size_t i = 0; i < n; i++) {
		if (!e[i].unproven || e[i].job[0])
			continue;
		size_t k = 0;
		for (; k < ntasks; k++) {
			char name[COP_JOB_ID + 24];
			snprintf(name, sizeof(name), task[k].task < 0 ? "%s" : "%s_%" PRId64, task[k].job,
				 task[k].task);
			if (strcmp(name, e[i].state.job) == 0 && task[k].phase != COP_PHASE_ENDED)
				break;
		}
		if (k < ntasks)
			apply_task(&e[i], &task[k]);
		else
			lose(&e[i]);
	}
}

static int ask_queue(struct cop_ledger *l, struct cop_err *err)
{
	const struct cop_scheduler *slurm;
	struct cop_err why = {0};
	struct cop_task *task = NULL;
	char(*id)[COP_JOB_ID];
	size_t ntasks = 0, n = jobs_to_ask(l, &id);
	const char **ids = cop_xcalloc(n, sizeof(*ids));
	int rc = 0;
	for (size_t i = 0; i < n; i++)
		ids[i] = id[i];
	if (n && (cop_scheduler_find("slurm", &slurm, &why) || slurm->query(ids, n, &task, &ntasks, &why))) {
		l->queue_known = false;
		snprintf(l->queue_error, sizeof(l->queue_error), "%.*s", (int)sizeof(l->queue_error) - 1, why.msg);
	} else {
		/* newest first: a redo's task speaks for its cell before the one that it replaces */
		for (size_t i = l->njobs; i > 0 && !rc; i--)
			if (in_queue_once(&l->job[i - 1]))
				rc = apply_job(l, &l->job[i - 1], task, ntasks, err);
		prove(l->dense, l->ndense, task, ntasks);
		prove(l->cell, l->ncells, task, ntasks);
	}
	free(task);
	free(ids);
	free(id);
	return rc;
}

int cop_ledger_open(struct cop_ledger *l, const struct cop_run *run, struct cop_err *err)
{
	*l = (struct cop_ledger){.run = run,
				 .ndense = (size_t)run->experiment.sweep.replicates,
				 .ncells = run->ncells,
				 .queue_known = true};
	l->dense = cop_xcalloc(l->ndense, sizeof(*l->dense));
	l->cell = cop_xcalloc(l->ncells, sizeof(*l->cell));
	int rc = cop_submitted_read(run, &l->job, &l->njobs, err);
	if (!rc) {
		read_files(l);
		rc = ask_queue(l, err);
	}
	if (rc)
		cop_ledger_release(l);
	return rc;
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
