/* The queue's word on a run's work; see ledger_priv.h. */
#include "sweep/ledger_priv.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TASK_NAME = COP_JOB_ID + 24 };

/* "123_4" of a task of an array, "123" of a job without one; number -1: none. Into buf; returns buf. */
static const char *task_name(const char *job, int64_t number, char buf[TASK_NAME])
{
	snprintf(buf, TASK_NAME, number < 0 ? "%s" : "%s_%" PRId64, job, number);
	return buf;
}

/* It failed and is in the queue: to be tried again, or kept there by the other cells of its task. */
static void failed_in_queue(struct cop_entry *e, int64_t attempts)
{
	bool again = e->state.failures < attempts;
	e->fate = again ? COP_FATE_QUEUED : COP_FATE_FAILED;
	cop_entry_because(e, "failed %" PRId64 " of %" PRId64 " times in the same way%s: %s", e->state.failures,
			  attempts, again ? ", to be tried again" : "", e->state.error);
}

/* One that was interrupted goes on where it was; one that failed, or was not begun, is as good as new. */
static void to_go_on(struct cop_entry *e)
{
	bool begun = e->state.state == COP_WORK_RUNNING || e->state.state == COP_WORK_STOPPED;
	e->fate = begun ? COP_FATE_PREEMPTED : COP_FATE_QUEUED;
}

/* Waits in a queue: for the first time, to go on, or to be tried again. */
static void wait_in_queue(struct cop_entry *e, const struct cop_task *t, int64_t attempts)
{
	if (t->phase == COP_PHASE_STUCK) {
		e->fate = COP_FATE_NEVER;
		cop_entry_because(e, "%s", t->reason);
	} else if (e->state.state == COP_WORK_FAILED && strcmp(e->state.job, e->job) == 0) {
		failed_in_queue(e, attempts);
	} else {
		to_go_on(e);
		if (e->fate == COP_FATE_QUEUED && e->state.attempts > 0 && e->state.error[0])
			cop_entry_because(e, "again, after: %s", e->state.error);
		else
			cop_entry_because(e, "%s", t->reason);
	}
}

/* Its task runs. Of several cells of a task those that the files know to run do; others have their turn, or had it. */
static void run_in_queue(struct cop_entry *e, const struct cop_task *t, int64_t per_task, int64_t attempts)
{
	bool here = strcmp(e->state.job, e->job) == 0;
	if (here && e->state.state == COP_WORK_FAILED) {
		failed_in_queue(e, attempts);
	} else if (per_task == 1 || (here && e->state.state == COP_WORK_RUNNING)) {
		e->fate = COP_FATE_RUNNING;
		cop_entry_because(e, strcmp(t->state, "SUSPENDED") == 0 ? "suspended on %s" : "on %s", t->node);
	} else {
		to_go_on(e);
		cop_entry_because(e, "in a task that runs on %s", t->node);
	}
}

/* A queue's task tells of an entry that it computes. */
static void apply_task(struct cop_entry *e, const struct cop_task *t, int64_t per_task, int64_t attempts)
{
	if (e->fate == COP_FATE_DONE || e->job[0])
		return;
	if (t->phase == COP_PHASE_ENDED) {
		if (e->fate == COP_FATE_WAITING) {
			e->fate = COP_FATE_LOST;
			char code[32] = "";
			if (t->exit_code)
				snprintf(code, sizeof(code), " with exit code %d", t->exit_code);
			cop_entry_because(e, "task %s_%" PRId64 " ended as %s%s without a result", t->job, t->task,
					  t->state, code);
		}
		return;
	}
	char name[TASK_NAME];
	snprintf(e->job, sizeof(e->job), "%s", task_name(t->job, t->task, name));
	if (t->phase == COP_PHASE_RUNNING)
		run_in_queue(e, t, per_task, attempts);
	else
		wait_in_queue(e, t, attempts);
}

static void mark_lost(struct cop_entry *e, const struct cop_submitted *s)
{
	if (e->fate != COP_FATE_WAITING || e->job[0])
		return;
	e->fate = COP_FATE_LOST;
	cop_entry_because(e, "job %s left the queue without a result", s->id);
}

/* Names the log of the task that an entry was lost with, "12_3", where there is one: only that may tell why. */
static void add_log(const struct cop_run *run, struct cop_entry *e, const char *role, const char *task)
{
	char *path = cop_xasprintf("%s/logs/%s.%s-%s.out", run->path, run->experiment.name, role, task);
	size_t n = strlen(e->reason);
	if (cop_exists(path))
		snprintf(e->reason + n, sizeof(e->reason) - n, "; its log: %s", path);
	free(path);
}

/* The entries of a job's tasks. */
struct share {
	const struct cop_run *run;
	const struct cop_submitted *job;
	struct cop_entry *entry;
	int64_t nentries, attempts;
	int64_t *list; /* NULL: position p is entry offset + p */
	size_t nlist;
};

static struct cop_entry *entry_at(const struct share *s, int64_t position)
{
	int64_t line = s->job->offset + position;
	int64_t k = !s->list ? line : line < (int64_t)s->nlist ? s->list[line] : -1;
	return k >= 0 && k < s->nentries ? &s->entry[k] : NULL;
}

/* task: NULL where the queue has it no more. */
static void apply_to_share(const struct share *s, int64_t number, const struct cop_task *task)
{
	int64_t each = s->job->per_task, first = number * each, end = each ? first + each : s->job->count;
	char name[TASK_NAME];
	task_name(s->job->id, number, name);
	for (int64_t p = first; p < end && p < s->job->count; p++) {
		struct cop_entry *e = entry_at(s, p);
		if (!e)
			continue;
		bool waited = e->fate == COP_FATE_WAITING;
		if (task)
			apply_task(e, task, each, s->attempts);
		else
			mark_lost(e, s->job);
		if (waited && e->fate == COP_FATE_LOST)
			add_log(s->run, e, s->job->role, name);
	}
}

/* Whether a job's script, and its arguments where they follow, is that of a role. */
static bool runs_role(const char *script, const char *role)
{
	size_t n = strlen(role);
	return strncmp(script, role, n) == 0 && strncmp(script + n, ".sbatch", 7) == 0;
}

/* A number alone says little: another cluster has it too, or this one again, and a copied folder notes others'. */
static bool is_task_of(const struct cop_task *t, const struct cop_submitted *job)
{
	return strcmp(t->job, job->id) == 0 && runs_role(t->script, job->role);
}

/* Applies the queue's word on one submitted job to the entries that its tasks compute. */
static int apply_job(struct cop_ledger *l, struct cop_submitted *job, const struct cop_task *task, size_t ntasks,
		     struct cop_err *err)
{
	bool dense = strcmp(job->role, "dense") == 0, work = dense || strcmp(job->role, "cells") == 0;
	struct share s = {.run = l->run,
			  .job = job,
			  .entry = dense ? l->dense : l->cell,
			  .nentries = (int64_t)(dense ? l->ndense : l->ncells),
			  .attempts = l->run->experiment.slurm.max_attempts};
	int rc = work && job->list[0] ? cop_list_read(l->run, job->list, s.nentries, &s.list, &s.nlist, err) : 0;
	bool *seen = cop_xcalloc((size_t)job->tasks, sizeof(*seen));
	for (size_t i = 0; i < ntasks && !rc; i++) {
		int64_t t = task[i].task;
		if (!is_task_of(&task[i], job))
			continue;
		job->in_queue += task[i].phase != COP_PHASE_ENDED;
		if (!work || t < 0 || t >= job->tasks)
			continue;
		seen[t] = true;
		/* the end of a task of which nobody knows what it did says nothing */
		if (job->per_task || task[i].phase != COP_PHASE_ENDED)
			apply_to_share(&s, t, &task[i]);
	}
	for (int64_t t = 0; t < job->tasks && !rc && work && job->per_task; t++)
		if (!seen[t])
			apply_to_share(&s, t, NULL);
	free(seen);
	free(s.list);
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

static bool is_slurm(const struct cop_submitted *s)
{
	return strcmp(s->scheduler, "slurm") == 0;
}

/* Jobs that were submitted through coppice, and those that somebody handed to sbatch: their tasks name them. */
static size_t jobs_to_ask(const struct cop_ledger *l, char (**id)[COP_JOB_ID])
{
	size_t n = 0, cap = 0;
	*id = NULL;
	for (size_t i = 0; i < l->njobs; i++)
		if (is_slurm(&l->job[i]))
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
static void prove(const struct cop_ledger *l, bool dense, const struct cop_task *task, size_t ntasks)
{
	struct cop_entry *e = dense ? l->dense : l->cell;
	size_t n = dense ? l->ndense : l->ncells;
	for (size_t i = 0; i < n; i++) {
		if (!e[i].unproven || e[i].job[0])
			continue;
		size_t k = 0;
		for (; k < ntasks; k++) {
			char name[TASK_NAME];
			task_name(task[k].job, task[k].task, name);
			/* another run's job of that number does not count; a script of the user's own may */
			if (strcmp(name, e[i].state.job) == 0 && task[k].phase != COP_PHASE_ENDED && !task[k].alike &&
			    (task[k].script[0] || task[k].phase != COP_PHASE_STUCK))
				break;
		}
		if (k < ntasks) {
			apply_task(&e[i], &task[k], 1, l->run->experiment.slurm.max_attempts);
			continue;
		}
		cop_entry_lose(&e[i]);
		add_log(l->run, &e[i], dense ? "dense" : "cells", e[i].state.job);
	}
}

static bool is_noted(const struct cop_ledger *l, const struct cop_found *found)
{
	for (size_t i = 0; i < l->njobs; i++)
		if (is_slurm(&l->job[i]) && strcmp(l->job[i].id, found->job) == 0 &&
		    runs_role(found->command, l->job[i].role))
			return true;
	return false;
}

/* Whether a later job got the same number: then that one is meant, and this one is gone. */
static bool has_successor(const struct cop_ledger *l, size_t job)
{
	for (size_t i = job + 1; i < l->njobs; i++)
		if (is_slurm(&l->job[i]) && strcmp(l->job[i].id, l->job[job].id) == 0)
			return true;
	return false;
}

/*
 * How many cells a task has where no argument says it: the script does, which may have been written anew since the job
 * was submitted. `task` is one of the job's tasks. 0 where that script cannot be had.
 */
static int64_t per_task_of(const struct cop_scheduler *slurm, const struct cop_task *task)
{
	static const char key[] = "--per-task \"${4:-";
	char name[TASK_NAME], *text = NULL;
	struct cop_err why = {0};
	if (slurm->script(task_name(task->job, task->task, name), &text, &why)) {
		cop_debug("%s", why.msg);
		return 0;
	}
	const char *at = strstr(text, key);
	int64_t n = at ? strtoll(at + strlen(key), NULL, 10) : 0;
	free(text);
	return n > 0 ? n : 0;
}

/* Jobs in the queue that run this run's scripts and were not noted: somebody handed these to sbatch. */
static void add_found(struct cop_ledger *l, const struct cop_answer *a, const struct cop_scheduler *slurm)
{
	size_t cap = l->njobs;
	for (size_t i = 0; i < a->nfound; i++) {
		int64_t tasks = 0;
		const struct cop_task *one = NULL;
		if (is_noted(l, &a->found[i]))
			continue;
		for (size_t k = 0; k < a->ntasks; k++) {
			if (strcmp(a->task[k].job, a->found[i].job) != 0)
				continue;
			one = a->task[k].phase != COP_PHASE_ENDED ? &a->task[k] : one;
			tasks = a->task[k].task >= tasks ? a->task[k].task + 1 : tasks;
		}
		l->job = cop_grow(l->job, &cap, l->njobs + 1, sizeof(*l->job));
		if (!cop_submitted_found(l->run, &a->found[i], tasks, &l->job[l->njobs]))
			continue;
		struct cop_submitted *job = &l->job[l->njobs++];
		if (!job->per_task && one)
			job->per_task = per_task_of(slurm, one);
	}
}

/* What the queue answers goes to the entries. */
static int apply_answer(struct cop_ledger *l, const struct cop_answer *a, const struct cop_scheduler *slurm,
			struct cop_err *err)
{
	int rc = 0;
	add_found(l, a, slurm);
	/* newest first: a redo's task speaks for its cell before the one that it replaces */
	for (size_t i = l->njobs; i > 0 && !rc; i--)
		if (is_slurm(&l->job[i - 1]))
			rc = apply_job(l, &l->job[i - 1], a->task, has_successor(l, i - 1) ? 0 : a->ntasks, err);
	prove(l, true, a->task, a->ntasks);
	prove(l, false, a->task, a->ntasks);
	return rc;
}

int cop_ledger_ask(struct cop_ledger *l, struct cop_err *err)
{
	const struct cop_scheduler *slurm;
	struct cop_err why = {0};
	struct cop_answer a = {0};
	char(*id)[COP_JOB_ID], *folder = cop_xasprintf("%s/jobs", l->run->path);
	size_t n = jobs_to_ask(l, &id);
	const char **ids = cop_xcalloc(n, sizeof(*ids));
	int rc = 0;
	for (size_t i = 0; i < n; i++)
		ids[i] = id[i];
	const struct cop_question q = {.ids = ids, .n = n, .folder = folder};
	l->queue_needed = n > 0;
	/* where no job is known the queue is asked for those that were handed to sbatch, if there is one */
	if (n || cop_slurm_configured()) {
		int found = cop_scheduler_find("slurm", &slurm, &why);
		if (!found && !slurm->query(&q, &a, &why)) {
			rc = apply_answer(l, &a, slurm, err);
		} else {
			/* without a way to SLURM nobody submits from here, and slurm.conf alone is no queue */
			l->queue_known = found && !n;
			snprintf(l->queue_error, sizeof(l->queue_error), "%.*s", (int)sizeof(l->queue_error) - 1,
				 why.msg);
		}
	}
	cop_answer_release(&a);
	free(ids);
	free(id);
	free(folder);
	return rc;
}
