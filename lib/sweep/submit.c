/* Sending a run to a scheduler; see submit.h. */
#include "sweep/submit.h"

#include "base/cpu.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "sweep/batch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define SUBMITTER "jobs/submitter.json"

/* One submission under way. */
struct sending {
	const struct cop_run *run;
	const struct cop_submit_options *o;
	struct cop_submission *done;
	char dense[COP_JOB_ID];  /* the job that must end well before cells start, "" where there is none */
	char before[COP_JOB_ID]; /* the array before, of whatever end */
	char *program;
	const int64_t *index; /* local: the cells of the tasks under way */
};

static bool is_local(const struct sending *s)
{
	return strcmp(s->o->scheduler->name, "local") == 0;
}

static bool is_slurm(const struct sending *s)
{
	return strcmp(s->o->scheduler->name, "slurm") == 0;
}

static int lock_run(const struct cop_run *run, int *fd, struct cop_err *err)
{
	char *path = cop_run_file(run, "jobs/lock");
	char *folder = cop_folder_of(path);
	int rc = cop_mkdirs(folder, err);
	free(folder);
	*fd = rc ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (!rc && *fd < 0)
		rc = cop_fail_errno(err, COP_EFAILED, "cannot open '%s'", path);
	else if (!rc && flock(*fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		rc = cop_fail(err, COP_EFAILED, "somebody else is submitting '%s' just now; see 'coppice status'",
			      run->path);
	free(path);
	return rc;
}

/*
 * Says who submits, for as long as it lasts: `cancel` must end the process that would start the next task, not only
 * the tasks that run.
 */
static int note_submitter(const struct cop_run *run, char **path, struct cop_err *err)
{
	struct cop_state s;
	*path = cop_run_file(run, SUBMITTER);
	cop_state_begin(*path, &s);
	return cop_state_write(*path, &s, err);
}

static void task_ended(int64_t task, int exit_code, void *user)
{
	struct sending *s = user;
	if (s->index && s->o->cell_ended)
		s->o->cell_ended(s->index[task], exit_code, s->o->user);
}

/* Submits one job after those that it must wait for, notes it, and makes it one that the next must wait for. */
static int send_job(struct sending *s, const char *role, const char *list, int64_t tasks, int64_t at_once,
		    const char *const *command, struct cop_err *err)
{
	struct cop_submitted note = {.tasks = tasks};
	char *name = cop_xasprintf("%s.%s", s->run->experiment.name, role);
	char *script = cop_xasprintf("%s/jobs/%s.sbatch", s->run->path, role);
	char *log = cop_xasprintf("%s/logs/%s-%%a.out", s->run->path, role);
	char *list_path = cop_xasprintf("%s/jobs/%s", s->run->path, list);
	const char *args[] = {*list ? list_path : NULL, NULL};
	struct cop_job job = {
		.name = name,
		.script = script,
		.args = args,
		.command = command,
		.tasks = tasks,
		.at_once = at_once,
		.after_ok = s->dense[0] ? s->dense : NULL,
		.after_any = s->before[0] ? s->before : NULL,
		.folder = s->run->path,
		.log = log,
		.task_ended = task_ended,
		.user = s,
	};
	int rc = s->o->scheduler->submit(&job, note.id, err);
	if (!rc && is_slurm(s)) {
		snprintf(note.scheduler, sizeof(note.scheduler), "slurm");
		snprintf(note.role, sizeof(note.role), "%s", role);
		snprintf(note.list, sizeof(note.list), "%s", list);
		rc = cop_submitted_add(s->run, &note, err);
	}
	if (!rc) {
		snprintf(s->done->jobs++ ? s->done->last : s->done->first, COP_JOB_ID, "%s", note.id);
		snprintf(strcmp(role, "dense") == 0 ? s->dense : s->before, COP_JOB_ID, "%s", note.id);
	}
	free(name);
	free(script);
	free(log);
	free(list_path);
	return rc;
}

static int send_dense(struct sending *s, const struct cop_ledger *l, struct cop_err *err)
{
	size_t missing = l->ndense - cop_ledger_count(l->dense, l->ndense, COP_FATE_DONE);
	if (missing == 0)
		return 0;
	for (size_t k = 0; k < l->ndense; k++)
		if (l->dense[k].job[0]) {
			/* its job is in the queue already (a redo while the dense run goes on): wait for that one */
			snprintf(s->dense, sizeof(s->dense), "%.*s", (int)strcspn(l->dense[k].job, "_"),
				 l->dense[k].job);
			return 0;
		}
	/* a replicate that is done returns at once, so the array is always the whole range */
	const char *command[] = {s->program, "train", s->run->path, NULL};
	s->done->dense = missing;
	return send_job(s, "dense", "", (int64_t)l->ndense, is_local(s) ? 1 : 0, command, err);
}

/* Writes a list of cells and names it; one that is there with the same cells serves again. */
static int write_list(const struct cop_run *run, const int64_t *index, size_t n, char *name, size_t size,
		      struct cop_err *err)
{
	struct cop_str text = {0};
	int rc = 0;
	for (size_t i = 0; i < n; i++)
		cop_str_addf(&text, "%" PRId64 "\n", index[i]);
	for (int k = 0, found = 0; !found && !rc; k++) {
		snprintf(name, size, "cells-%04d.list", k);
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

/* One array of cells. The whole grid needs no list: task t is cell t. */
static int send_array(struct sending *s, const int64_t *index, size_t n, struct cop_err *err)
{
	char name[64] = "", threads[16] = "0", together[16] = "1";
	int rc = 0;
	int64_t at_once = s->run->experiment.slurm.max_running;
	if (n < s->run->ncells)
		rc = write_list(s->run, index, n, name, sizeof(name), err);
	if (rc)
		return rc;
	if (is_local(s)) {
		int cores = cop_cpu_count(), jobs = s->o->jobs ? s->o->jobs : cores;
		jobs = jobs > (int)n ? (int)n : jobs;
		at_once = jobs;
		cop_local_set_jobs(jobs);
		snprintf(together, sizeof(together), "%d", jobs);
		if (s->run->experiment.device.threads == 0)
			snprintf(threads, sizeof(threads), "%d", cores / jobs > 1 ? cores / jobs : 1);
	}
	char *list = cop_xasprintf("%s/jobs/%s", s->run->path, name);
	const char *with_list[] = {s->program,   "cell",   s->run->path, "--threads", threads,
				   "--together", together, "--list",     list,        NULL};
	const char *plain[] = {s->program, "cell", s->run->path, "--threads", threads, "--together", together, NULL};
	s->index = index;
	s->done->cells += n;
	rc = send_job(s, "cells", name, (int64_t)n, at_once, *name ? with_list : plain, err);
	s->index = NULL;
	free(list);
	return rc;
}

static int send_cells(struct sending *s, const int64_t *index, size_t n, struct cop_err *err)
{
	struct cop_limits limits = {0};
	int rc = s->o->scheduler->limits ? s->o->scheduler->limits(&limits, err) : 0;
	size_t most = limits.array_size > 0 ? (size_t)limits.array_size : n;
	for (size_t at = 0; at < n && !rc; at += most)
		rc = send_array(s, index + at, n - at < most ? n - at : most, err);
	return rc;
}

static int send_all(struct sending *s, const struct cop_ledger *l, struct cop_err *err)
{
	int64_t *index = cop_xcalloc(l->ncells, sizeof(*index));
	size_t n = 0;
	for (size_t i = 0; i < l->ncells; i++)
		if (l->cell[i].fate != COP_FATE_DONE && l->cell[i].fate != COP_FATE_RUNNING &&
		    l->cell[i].fate != COP_FATE_QUEUED)
			index[n++] = (int64_t)i;
	int rc = n ? send_dense(s, l, err) : 0;
	if (!rc && n)
		rc = send_cells(s, index, n, err);
	if (!rc && n && !is_local(s)) {
		/* whatever became of the dense run: what is missing is named then */
		s->dense[0] = '\0';
		rc = send_job(s, "collect", "", 0, 0, NULL, err);
	}
	free(index);
	return rc;
}

static int refuse_twice(const struct cop_ledger *l, struct cop_err *err)
{
	if (!l->queue_known)
		return cop_fail(err, COP_EFAILED,
				"jobs of '%s' were submitted before and the queue cannot be asked: %s", l->run->path,
				l->queue_error);
	size_t running = 0, queued = 0;
	const enum cop_fate busy[] = {COP_FATE_RUNNING, COP_FATE_QUEUED};
	for (int k = 0; k < 2; k++) {
		size_t n = cop_ledger_count(l->cell, l->ncells, busy[k]) +
			   cop_ledger_count(l->dense, l->ndense, busy[k]);
		*(k ? &queued : &running) = n;
	}
	if (running + queued)
		return cop_fail(err, COP_EINPUT,
				"'%s' is submitted already: %zu running, %zu queued ('coppice status' shows them, "
				"'coppice redo' adds "
				"what is missing, 'coppice cancel' ends them)",
				l->run->path, running, queued);
	return 0;
}

int cop_submit(const struct cop_run *run, const struct cop_submit_options *o, struct cop_submission *done,
	       struct cop_err *err)
{
	struct sending s = {.run = run, .o = o, .done = done};
	struct cop_ledger l = {0};
	int lock;
	char *submitter = NULL;
	*done = (struct cop_submission){0};
	int rc = lock_run(run, &lock, err);
	if (rc)
		goto out;
	s.program = cop_program_path();
	cop_run_sweep(run);
	rc = is_local(&s) ? note_submitter(run, &submitter, err) : cop_batch_check_scripts(run, err);
	if (!rc)
		rc = cop_ledger_open(&l, run, err);
	if (!rc && (!o->redo || !l.queue_known))
		rc = refuse_twice(&l, err);
	if (!rc)
		rc = send_all(&s, &l, err);
out:
	cop_ledger_release(&l);
	free(s.program);
	if (submitter)
		cop_remove(submitter);
	free(submitter);
	if (lock >= 0)
		close(lock);
	return rc;
}

/* Jobs whose tasks are all done or gone have left the queue: cancelling them again does no harm. */
static int cancel_jobs(const struct cop_ledger *l, size_t *ended, struct cop_err *err)
{
	const struct cop_scheduler *slurm = NULL;
	int rc = 0;
	for (size_t i = 0; i < l->njobs && !rc; i++) {
		if (strcmp(l->job[i].scheduler, "slurm") != 0)
			continue;
		rc = slurm ? 0 : cop_scheduler_find("slurm", &slurm, err);
		if (!rc)
			rc = slurm->cancel(l->job[i].id, err);
		*ended += !rc;
	}
	return rc;
}

static void end_processes(const struct cop_entry *e, size_t n, size_t *ended)
{
	for (size_t i = 0; i < n; i++) {
		bool known;
		const struct cop_state *s = &e[i].state;
		if (s->state == COP_WORK_RUNNING && !s->job[0] && cop_state_alive(s, &known) &&
		    kill((pid_t)s->pid, SIGTERM) == 0)
			++*ended;
	}
}

static void end_submitter(const struct cop_run *run, size_t *ended)
{
	struct cop_state s;
	bool known;
	char *path = cop_run_file(run, SUBMITTER);
	cop_state_read(path, &s);
	if (s.state == COP_WORK_RUNNING && cop_state_alive(&s, &known) && kill((pid_t)s.pid, SIGTERM) == 0)
		++*ended;
	free(path);
}

int cop_cancel(const struct cop_run *run, size_t *ended, struct cop_err *err)
{
	struct cop_ledger l;
	*ended = 0;
	int rc = cop_ledger_open(&l, run, err);
	if (rc)
		return rc;
	rc = cancel_jobs(&l, ended, err);
	end_submitter(run, ended);
	end_processes(l.dense, l.ndense, ended);
	end_processes(l.cell, l.ncells, ended);
	cop_ledger_release(&l);
	return rc;
}
