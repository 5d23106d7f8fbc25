/* What the files of submitting share. */
#ifndef COP_SWEEP_SUBMIT_PRIV_H
#define COP_SWEEP_SUBMIT_PRIV_H

#include "base/str.h"
#include "sweep/series.h"
#include "sweep/submit.h"

/* One submission under way. */
struct cop_sending {
	const struct cop_run *run;
	const struct cop_submit_options *o;
	const struct cop_ledger *ledger;
	struct cop_submission *done;
	bool *wanted; /* (ncells) cells to submit */
	size_t nwanted;
	bool followed;                  /* whether what goes on has a job behind it that collects, or submits more */
	char (*dense)[COP_JOB_ID + 32]; /* (replicates) the job or task of each dense run that is under way; "": none */
	size_t ndense;                  /* how many are */
	char *program;

	int64_t array_size, room; /* most tasks of an array, and that the queue takes; INT64_MAX: no limit */
	struct cop_str cells;     /* "12:13": arrays of cells that were sent or go on */
	struct cop_str before;    /* those that must have ended before another may begin; "" without max_running */
	struct cop_str first;     /* the first jobs of this submission */
};

/* One job: script RUN/jobs/ROLE.sbatch. */
struct cop_sent {
	const char *role, *list; /* list: name of a file in RUN/jobs, or "" */
	int64_t offset, count, per_task;
	int64_t at_once;
	const char *after_ok, *after_corr, *after_any; /* NULL: none */
	const char *const *command;                    /* local */
	const int64_t *index;                          /* local: the cells, for what is said as they end */
};

/* Submits it and writes it down; `id` becomes its number. What cannot be written down is taken back. */
int cop_send(struct cop_sending *s, const struct cop_sent *job, char id[COP_JOB_ID], struct cop_err *err) COP_CHECKED;

/* Writes numbers into a list file and names it; one that is there with the same numbers serves again. */
int cop_write_list(const struct cop_run *run, const char *role, const int64_t *number, size_t n, char *name,
		   size_t size, struct cop_err *err) COP_CHECKED;

/* Decides what is wanted, by the options' mode. COP_EINPUT where there is nothing to be had. */
int cop_want(struct cop_sending *s, struct cop_err *err) COP_CHECKED;

/* What each wanted cell has to wait for, (ncells); one that waits for a dense run that is not under way is not wanted.
 */
void cop_find_waits(struct cop_sending *s, struct cop_wait *wait);

/* To a queue: everything, as far as the limits let it. */
int cop_send_remotely(struct cop_sending *s, struct cop_err *err) COP_CHECKED;

/* On this machine, one job after the other. */
int cop_send_locally(struct cop_sending *s, struct cop_err *err) COP_CHECKED;

#endif
