/*
 * What has become of each dense run and cell. Results decide, the scheduler advises: a cell is done when its file
 * validates, whatever the queue says; what was begun and is neither done nor alive is lost.
 */
#ifndef COP_SWEEP_LEDGER_H
#define COP_SWEEP_LEDGER_H

#include "sched/sched.h"
#include "sweep/run.h"
#include "sweep/state.h"

/* In RUN: who runs cells on this machine, one after the other. */
#define COP_SUBMITTER "jobs/submitter.json"

enum cop_fate {
	COP_FATE_DONE,
	COP_FATE_RUNNING,
	COP_FATE_QUEUED,    /* in a queue */
	COP_FATE_PREEMPTED, /* begun, interrupted, and in a queue to go on */
	COP_FATE_NEVER,     /* in a queue, waiting for what cannot come */
	COP_FATE_STOPPED,   /* saved on request, and in no queue */
	COP_FATE_FAILED,
	COP_FATE_LOST,    /* begun or submitted, gone without a result */
	COP_FATE_WAITING, /* not submitted, or its predecessor came to nothing */
	COP_FATES
};
extern const char *const cop_fate_names[COP_FATES];

/*
 * A job that was submitted for a run: RUN/jobs/submitted.json holds all of them, oldest first. Task t of an array does
 * positions t per_task .. t per_task + per_task - 1 of `count`; position p is line offset + p of the list.
 */
struct cop_submitted {
	char scheduler[16], role[16], id[COP_JOB_ID]; /* role: "dense", "cells", "collect", "next" */
	char list[64]; /* name of the file of indices in RUN/jobs, or "": position p is cell offset + p */
	int64_t offset, count, per_task, tasks; /* per_task 0: not known, each task may do any of them */
	int64_t in_queue;                       /* how many of its tasks wait or run; not in the file */
};

struct cop_entry {
	enum cop_fate fate;
	struct cop_state state;
	bool unproven;             /* the state speaks of a job: the queue must confirm it */
	char job[COP_JOB_ID + 24]; /* "123_4" where a queue holds it */
	char reason[512];          /* why, where it is not well */
};

struct cop_ledger {
	const struct cop_run *run;
	struct cop_entry *dense, *cell;
	size_t ndense, ncells;
	struct cop_submitted *job;
	size_t njobs;
	bool submitting;       /* a process of this host computes cells, one after the other */
	bool queue_known;      /* whether the queue could be asked, where there is one */
	bool queue_needed;     /* whether jobs are known of that may be in it */
	char queue_error[256]; /* why it could not be asked; else "" */
};

/* Whether somebody is submitting the run from this machine now; *s is the process. */
bool cop_submitter_alive(const struct cop_run *run, struct cop_state *s);

/*
 * Reads files, the ledger and, where there is one and something is not done, the queue once. Release it. Where a queue
 * cannot be asked that is no error here.
 */
int cop_ledger_open(struct cop_ledger *l, const struct cop_run *run, struct cop_err *err) COP_CHECKED;

/* The same, and asks for the jobs that are in the queue even where all is done. */
int cop_ledger_open_jobs(struct cop_ledger *l, const struct cop_run *run, struct cop_err *err) COP_CHECKED;
void cop_ledger_release(struct cop_ledger *l);

/* How many entries have a fate. */
size_t cop_ledger_count(const struct cop_entry *e, size_t n, enum cop_fate fate);

/* Whether somebody works on it, or will without being asked again. */
bool cop_fate_busy(enum cop_fate fate);

/*
 * Makes of `found`, a job that somebody handed to sbatch and that has tasks up to number tasks-1 in the queue, what
 * coppice would have noted of it; per_task is 0 where no argument says it. Whether it is one of the run's scripts.
 */
bool cop_submitted_found(const struct cop_run *run, const struct cop_found *found, int64_t tasks,
			 struct cop_submitted *s);

/* Adds a job to RUN/jobs/submitted.json. */
int cop_submitted_add(const struct cop_run *run, const struct cop_submitted *s, struct cop_err *err) COP_CHECKED;
int cop_submitted_read(const struct cop_run *run, struct cop_submitted **s, size_t *n, struct cop_err *err) COP_CHECKED;

/* The numbers in a list file of RUN/jobs, one a line, each from 0 to most-1; the caller frees *index. */
int cop_list_read(const struct cop_run *run, const char *name, int64_t most, int64_t **index, size_t *n,
		  struct cop_err *err) COP_CHECKED;

#endif
