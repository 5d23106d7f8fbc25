/*
 * Schedulers: one table, three instances. `local` runs tasks as child processes of this program and returns when they
 * have ended; `print` shows what would be submitted; `slurm` submits through the module over libslurm, or through
 * sbatch, squeue and scancel where the module cannot be opened. This floor knows no cells: a job is a script, or a
 * command, and a number of tasks.
 */
#ifndef COP_SCHED_SCHED_H
#define COP_SCHED_SCHED_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { COP_JOB_ID = 32 };

/* A job to submit. Everything stays the caller's. */
struct cop_job {
	const char *name;           /* "lenet-mnist.cells" */
	const char *script;         /* the batch script's path; its #SBATCH lines hold time, memory, … */
	const char *const *args;    /* the script's arguments, NULL-terminated; may be NULL */
	const char *const *command; /* local: the argv of each task, NULL-terminated; COPPICE_TASK in its
				       environment is the task's number */
	int64_t tasks;              /* 0: no array; else tasks 0..tasks-1 */
	int64_t at_once;            /* most tasks that run at once; 0: no limit */
	const char *after_ok;   /* jobs that must have ended well before, "12" or "12:13"; if one does not, this job is
				   cancelled; NULL: none */
	const char *after_corr; /* an array: task t waits for its task t to have ended well; if that does not, task t is
				   cancelled; NULL: none */
	const char *after_any;  /* jobs that must have ended before, well or not; NULL: none */
	const char *folder;     /* where it starts */
	const char *log;        /* where a local task's output goes: "%a" is its number; NULL: this program's stderr */
	/* local: called as tasks end, for progress; may be NULL. task is -1 without an array; exit_code is 128 + N
	   where signal N ended it */
	void (*task_ended)(int64_t task, int exit_code, void *user);
	void *user;
};

enum cop_phase {
	COP_PHASE_QUEUED,
	COP_PHASE_RUNNING,
	COP_PHASE_ENDED, /* left the queue, by whatever way */
	COP_PHASE_STUCK  /* waits for what can never come: DependencyNeverSatisfied and its like */
};

/* One task (or a job without an array: task -1) as the scheduler sees it. */
struct cop_task {
	char job[COP_JOB_ID];
	int64_t task;
	enum cop_phase phase;
	char state[32];  /* the scheduler's own word: "PENDING", "NODE_FAIL", … */
	char reason[64]; /* why it waits; "" where unknown */
	char node[64];
	char script[32]; /* its script's name in the folder that was asked for; "" where it lies elsewhere */
	int exit_code;   /* of its script, where it failed; 0: it did not, or that is not told */
	bool alike;      /* elsewhere, in a folder of the same name: another run's */
};

/* A job in the queue whose script lies in the folder that was asked for. */
struct cop_found {
	char job[COP_JOB_ID];
	char *command; /* the script's name in the folder and its arguments, with one blank before each */
};

/* What a queue is asked for. */
struct cop_question {
	const char *const *ids; /* jobs; that one is the asker's own its number does not prove, but its script may */
	size_t n;
	const char *folder; /* and those in the queue whose scripts lie directly in this folder, absolute; NULL: none */
};

/* Starts as {0}; release it. */
struct cop_answer {
	struct cop_task *task;
	struct cop_found *found;
	size_t ntasks, nfound;
};
void cop_answer_release(struct cop_answer *a);

/* The limits that matter to an array; 0: unknown or none. */
struct cop_limits {
	int64_t array_size; /* tasks of one array */
	int64_t jobs;       /* jobs in the queue, all users' tasks counted */
	int64_t in_queue;   /* how many there are now, those that ended a moment ago among them */
	char version[32];
	char cluster[64];
};

struct cop_scheduler {
	const char *name;
	/* Submits; `id` (COP_JOB_ID bytes) becomes the job's name. local returns when the job has ended: 0,
	   COP_EPARTIAL where some tasks failed, COP_ESTOPPED where it or a task was asked to stop. slurm: COP_EFULL
	   where a limit of the site or of the user lets no more in. */
	int (*submit)(const struct cop_job *job, char *id, struct cop_err *err);
	/* What the queue knows, all at once. Jobs that have left the queue are simply not in the answer, which is {0}
	   after an error. NULL: has no queue. */
	int (*query)(const struct cop_question *q, struct cop_answer *a, struct cop_err *err);
	/* Ends a job and all of its tasks, or one of them ("12_3"); one that has ended is no error. NULL: cannot. */
	int (*cancel)(const char *id, struct cop_err *err);
	/* The script of a job or task ("12_3") in the queue, as it was when it was submitted; the caller frees *text.
	   NULL: cannot. */
	int (*script)(const char *id, char **text, struct cop_err *err);
	/* NULL: has none. */
	int (*limits)(struct cop_limits *limits, struct cop_err *err);
};

/* "local", "print" or "slurm". An unknown name is COP_EINPUT; SLURM where there is none is COP_EMISSING. */
int cop_scheduler_find(const char *name, const struct cop_scheduler **s, struct cop_err *err) COP_CHECKED;

/* Whether this looks like a SLURM cluster: a configuration and either the module or sbatch. `how` (64 bytes) says
 * which. */
bool cop_slurm_here(char *how, size_t size);

/* Whether there is a configuration of a SLURM cluster, so that asking for its queue is no wild guess. */
bool cop_slurm_configured(void);

/* How many tasks `local` runs at once; at least 1. */
void cop_local_set_jobs(int jobs);

/*
 * Asks the local scheduler to stop: running children get SIGTERM, no more are started, and `submit` returns
 * COP_ESTOPPED once they have ended. One that is asked before it starts returns that at once. Safe in a signal handler.
 */
void cop_local_stop(void);

/* Where `print` prints; it prints nothing before this is called. Stays the caller's; NULL: nowhere again. */
void cop_print_set_output(FILE *out);

#endif
