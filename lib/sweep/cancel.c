/* Ending what is under way; see submit.h. */
#include "base/file.h"
#include "base/log.h"
#include "sweep/lock.h"
#include "sweep/submit_priv.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

static bool is_among(const struct cop_submitted *job, const struct cop_ledger *before)
{
	for (size_t i = 0; before && i < before->njobs; i++)
		if (before->job[i].in_queue && strcmp(job->id, before->job[i].id) == 0)
			return true;
	return false;
}

/* Those that are not among `before` (may be NULL), and are known to be this run's: a number alone may be another's. */
static int cancel_jobs(const struct cop_ledger *l, const struct cop_ledger *before, size_t *ended, struct cop_err *err)
{
	const struct cop_scheduler *slurm = NULL;
	int rc = l->queue_known ? 0
				: cop_fail(err, COP_EFAILED,
					   "the jobs of '%s' in the queue were not ended, for it cannot be asked which "
					   "these are: %s",
					   l->run->path, l->queue_error);
	/* the newest first: the job that would submit more is among them */
	for (size_t i = l->njobs; i > 0 && !rc; i--) {
		const struct cop_submitted *job = &l->job[i - 1];
		if (strcmp(job->scheduler, "slurm") != 0 || !job->in_queue || is_among(job, before))
			continue;
		rc = slurm ? 0 : cop_scheduler_find("slurm", &slurm, err);
		if (!rc)
			rc = slurm->cancel(job->id, err);
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

/* Whether a process of this machine submits the run's work to itself; it is told to end. */
static bool end_submitter(const struct cop_run *run, size_t *ended)
{
	struct cop_state s;
	bool told = cop_submitter_alive(run, &s) && kill((pid_t)s.pid, SIGTERM) == 0;
	*ended += told;
	return told;
}

/* What somebody who was submitting, a person or the job that submits the rest, has sent since `before` was read. */
static int cancel_late(const struct cop_run *run, const struct cop_ledger *before, size_t *ended, struct cop_err *err)
{
	enum { PATIENCE = 10 }; /* seconds */
	struct cop_ledger l;
	struct cop_lock lock;
	int rc = cop_lock_wait(&lock, run->path, PATIENCE, err);
	if (rc)
		return cop_context(err, "what was there is cancelled, but");
	rc = cop_ledger_open_jobs(&l, run, err);
	if (!rc) {
		rc = cancel_jobs(&l, before, ended, err);
		cop_ledger_release(&l);
	}
	cop_lock_give(&lock);
	return rc;
}

int cop_cancel(const struct cop_run *run, size_t *ended, struct cop_err *err)
{
	struct cop_ledger l;
	*ended = 0;
	struct cop_err why = {0};
	int rc = cop_ledger_open_jobs(&l, run, err);
	if (rc)
		return rc;
	rc = cancel_jobs(&l, NULL, ended, &why);
	if (!end_submitter(run, ended) && !rc && (l.njobs || cop_slurm_configured()))
		rc = cancel_late(run, &l, ended, &why);
	end_processes(l.dense, l.ndense, ended);
	end_processes(l.cell, l.ncells, ended);
	/* that a run of this machine's has jobs nobody noted is not likely enough to call its end a failure */
	if (rc && !l.queue_known && !l.queue_needed && *ended) {
		cop_warn("%s", why.msg);
		rc = 0;
	}
	cop_ledger_release(&l);
	return rc ? cop_fail(err, why.code, "%s", why.msg) : 0;
}
