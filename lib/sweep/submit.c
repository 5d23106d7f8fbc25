/* Sending a run to a scheduler; see submit.h. */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "sweep/batch.h"
#include "sweep/lock.h"
#include "sweep/series.h"
#include "sweep/submit_priv.h"
#include "sweep/work.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void task_ended(int64_t task, int exit_code, void *user)
{
	const struct cop_sending *s = ((void **)user)[0];
	const struct cop_sent *job = ((void **)user)[1];
	if (job->index && s->o->cell_ended)
		s->o->cell_ended(job->index[task], exit_code, s->o->user);
}

/* What is in the queue and not in the ledger would be submitted a second time. */
static int take_note(struct cop_sending *s, const struct cop_submitted *note, struct cop_err *err)
{
	int rc = cop_submitted_add(s->run, note, err);
	struct cop_err why = {0};
	if (!rc)
		return 0;
	if (s->o->scheduler->cancel(note->id, &why))
		cop_warn("job %s could not be taken back: %s", note->id, why.msg);
	return cop_context(err, "job %s was taken back: it could not be noted", note->id);
}

int cop_send(struct cop_sending *s, const struct cop_sent *sent, char id[COP_JOB_ID], struct cop_err *err)
{
	bool array = strcmp(sent->role, "dense") == 0 || strcmp(sent->role, "cells") == 0;
	struct cop_submitted note = {.offset = sent->offset, .count = sent->count, .per_task = sent->per_task};
	char *name = cop_xasprintf("%s.%s", s->run->experiment.name, sent->role);
	char *script = cop_xasprintf("%s/jobs/%s.sbatch", s->run->path, sent->role);
	char *log = cop_xasprintf("%s/logs/%s-%%a.out", s->run->path, sent->role);
	char *list = cop_xasprintf("%s/jobs/%s", s->run->path, sent->list);
	char offset[24], count[24], per_task[24];
	snprintf(offset, sizeof(offset), "%" PRId64, sent->offset);
	snprintf(count, sizeof(count), "%" PRId64, sent->count);
	snprintf(per_task, sizeof(per_task), "%" PRId64, sent->per_task);
	const char *args[] = {*sent->list ? list : NULL, offset, count, per_task, NULL};
	note.tasks = array ? (sent->count + sent->per_task - 1) / sent->per_task : 0;
	const void *user[] = {s, sent};
	struct cop_job job = {
		.name = name,
		.script = script,
		.args = args,
		.command = sent->command,
		.tasks = note.tasks,
		.at_once = sent->at_once,
		.after_ok = sent->after_ok,
		.after_corr = sent->after_corr,
		.after_any = sent->after_any && *sent->after_any ? sent->after_any : NULL,
		.folder = s->run->path,
		.log = log,
		.task_ended = task_ended,
		.user = user,
	};
	int rc = s->o->scheduler->submit(&job, note.id, err);
	if (!rc && strcmp(s->o->scheduler->name, "slurm") == 0) {
		snprintf(note.scheduler, sizeof(note.scheduler), "slurm");
		snprintf(note.role, sizeof(note.role), "%s", sent->role);
		snprintf(note.list, sizeof(note.list), "%s", sent->list);
		rc = take_note(s, &note, err);
	}
	if (!rc) {
		snprintf(id, COP_JOB_ID, "%s", note.id);
		snprintf(s->done->last, COP_JOB_ID, "%s", note.id);
		if (s->done->jobs++ == 0)
			snprintf(s->done->first, COP_JOB_ID, "%s", note.id);
	}
	free(name);
	free(script);
	free(log);
	free(list);
	return rc;
}

int cop_write_list(const struct cop_run *run, const char *role, const int64_t *number, size_t n, char *name,
		   size_t size, struct cop_err *err)
{
	struct cop_str text = {0};
	int rc = 0;
	for (size_t i = 0; i < n; i++)
		cop_str_addf(&text, "%" PRId64 "\n", number[i]);
	for (int k = 0, found = 0; !found && !rc; k++) {
		snprintf(name, size, "%s-%04d.list", role, k);
		char *path = cop_xasprintf("%s/jobs/%s", run->path, name), *there = NULL;
		size_t len = 0;
		if (!cop_exists(path)) {
			rc = cop_write_file(path, text.s, text.len, err);
			found = 1;
		} else if (cop_read_file(path, &there, &len, NULL) == 0) {
			found = len == text.len && memcmp(there, text.s, len) == 0;
		}
		free(there);
		free(path);
	}
	cop_str_release(&text);
	return rc;
}

static bool in_queue(const struct cop_entry *e, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (cop_fate_busy(e[i].fate) || e[i].fate == COP_FATE_NEVER)
			return true;
	return false;
}

static int refuse_twice(const struct cop_ledger *l, struct cop_err *err)
{
	size_t running = 0, queued = 0;
	for (size_t i = 0; i < l->ndense + l->ncells; i++) {
		const struct cop_entry *e = i < l->ndense ? &l->dense[i] : &l->cell[i - l->ndense];
		running += e->fate == COP_FATE_RUNNING;
		queued += e->fate != COP_FATE_RUNNING && (cop_fate_busy(e->fate) || e->fate == COP_FATE_NEVER);
	}
	return cop_fail(err, COP_EINPUT,
			"'%s' is submitted already: %zu running, %zu queued ('coppice status' shows them, 'coppice "
			"redo' adds what is missing, 'coppice cancel' ends them)",
			l->run->path, running, queued);
}

/* Whether what a cell prunes is there, comes with this submission, or is under way. */
static bool has_before(const struct cop_sending *s, size_t i)
{
	int64_t before = cop_cell_before(s->run, (int64_t)i);
	if (before < 0)
		return true;
	enum cop_fate fate = s->ledger->cell[before].fate;
	return fate == COP_FATE_DONE || s->wanted[before] || cop_fate_busy(fate);
}

/*
 * Nothing that goes on is without a job that collects it, or submits more, in the end. Where this process is the job
 * that submits more, it may be the last, and does not count.
 */
static bool is_followed(const struct cop_ledger *l)
{
	char own[64];
	bool busy = false;
	cop_job_name(own, sizeof(own));
	for (size_t i = 0; i < l->ndense + l->ncells; i++) {
		const struct cop_entry *e = i < l->ndense ? &l->dense[i] : &l->cell[i - l->ndense];
		busy = busy || (cop_fate_busy(e->fate) && e->job[0]);
	}
	for (size_t i = 0; i < l->njobs; i++) {
		const struct cop_submitted *job = &l->job[i];
		if (!job->in_queue || (strcmp(job->role, "collect") != 0 && strcmp(job->role, "next") != 0))
			continue;
		if (strcmp(job->id, own) != 0)
			return true;
		busy = true;
	}
	return !busy;
}

/* Counts a cell that was never submitted and cannot be: an earlier round came to nothing. */
static void count_stuck(struct cop_sending *s, size_t i)
{
	struct cop_submission *done = s->done;
	done->stuck++;
	if (!done->why[0] && s->ledger->cell[i].reason[0])
		snprintf(done->why, sizeof(done->why), "cell %zu %s", i, s->ledger->cell[i].reason);
}

int cop_want(struct cop_sending *s, struct cop_err *err)
{
	const struct cop_ledger *l = s->ledger;
	bool busy = in_queue(l->dense, l->ndense) || in_queue(l->cell, l->ncells);
	bool rest = s->o->mode == COP_SUBMIT_REST || (s->o->mode == COP_SUBMIT_ALL && busy);
	if (!l->queue_known && l->queue_needed)
		return cop_fail(err, COP_EFAILED,
				"jobs of '%s' were submitted before and the queue cannot be asked: %s", s->run->path,
				l->queue_error);
	/* it may hold what nobody noted: a job whose answer was lost, or that was handed to sbatch */
	if (!l->queue_known && strcmp(s->o->scheduler->name, "slurm") == 0)
		return cop_fail(err, COP_EFAILED, "cannot submit '%s': the queue cannot be asked: %s", s->run->path,
				l->queue_error);
	for (size_t i = 0; i < l->ncells; i++) {
		enum cop_fate fate = l->cell[i].fate;
		if (s->run->cell[i].same_as >= 0)
			continue;
		bool missing = fate != COP_FATE_DONE && !cop_fate_busy(fate);
		bool wanted = rest ? fate == COP_FATE_WAITING : missing;
		s->wanted[i] = wanted && has_before(s, i);
		if (wanted && !s->wanted[i])
			count_stuck(s, i);
		s->nwanted += s->wanted[i];
	}
	s->followed = is_followed(l);
	if (busy && s->nwanted == 0 && s->followed && s->o->mode == COP_SUBMIT_ALL)
		return refuse_twice(l, err);
	return 0;
}

/* Copies for cells that are the same as one that is done; whoever computed that one was killed before it made them. */
static int share_done(const struct cop_sending *s, struct cop_err *err)
{
	int rc = 0;
	for (size_t i = 0; i < s->run->ncells && !rc; i++) {
		int64_t twin = s->run->cell[i].same_as;
		if (twin >= 0 && s->ledger->cell[i].fate != COP_FATE_DONE &&
		    s->ledger->cell[twin].fate == COP_FATE_DONE)
			rc = cop_cell_share(s->run, twin, err);
	}
	return rc;
}

/*
 * Says who submits, for as long as it lasts: `cancel` must end the process that would start the next task, not only
 * the tasks that run.
 */
static int note_submitter(const struct cop_run *run, char **path, struct cop_err *err)
{
	struct cop_state s;
	*path = cop_run_file(run, COP_SUBMITTER);
	cop_state_begin(*path, &s);
	return cop_state_write(*path, &s, err);
}

/* The job that submits the rest has nobody behind it: it waits while a person submits. */
static int take_lock(struct cop_lock *lock, const struct cop_run *run, const struct cop_submit_options *o,
		     struct cop_err *err)
{
	enum { PATIENCE = 120 }; /* seconds */
	return cop_lock_wait(lock, run->path, o->mode == COP_SUBMIT_REST ? PATIENCE : 0, err);
}

static void release(struct cop_sending *s)
{
	free(s->wanted);
	free(s->dense);
	free(s->program);
	cop_str_release(&s->cells);
	cop_str_release(&s->before);
	cop_str_release(&s->first);
}

int cop_submit(const struct cop_run *run, const struct cop_submit_options *o, struct cop_submission *done,
	       struct cop_err *err)
{
	struct cop_ledger l = {0};
	struct cop_sending s = {.run = run, .o = o, .ledger = &l, .done = done};
	struct cop_lock lock;
	char *submitter = NULL;
	bool local = strcmp(o->scheduler->name, "local") == 0;
	*done = (struct cop_submission){0};
	int rc = take_lock(&lock, run, o, err);
	if (rc)
		return rc;
	s.program = cop_program_path();
	s.wanted = cop_xcalloc(run->ncells, sizeof(*s.wanted));
	s.dense = cop_xcalloc((size_t)run->experiment.sweep.replicates, sizeof(*s.dense));
	cop_run_sweep(run);
	rc = local ? note_submitter(run, &submitter, err) : cop_batch_check_scripts(run, err);
	if (!rc)
		rc = cop_ledger_open(&l, run, err);
	if (!rc)
		rc = cop_want(&s, err);
	if (!rc && strcmp(o->scheduler->name, "print") != 0)
		rc = share_done(&s, err);
	if (!rc)
		rc = local ? cop_send_locally(&s, err) : cop_send_remotely(&s, err);
	cop_ledger_release(&l);
	release(&s);
	if (submitter)
		cop_remove(submitter);
	free(submitter);
	cop_lock_give(&lock);
	return rc;
}
