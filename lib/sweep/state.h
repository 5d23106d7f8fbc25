/*
 * The ledger: one small file for each dense run and cell that was begun, RUN/state/NNNNNN.json, written by whoever runs
 * it. It says how far the work is and how it ended where it did not end well; what is done is told by results alone.
 * Who wrote it last owns the work: see heartbeat.c.
 */
#ifndef COP_SWEEP_STATE_H
#define COP_SWEEP_STATE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cop_work_state {
	COP_WORK_NONE,    /* no file */
	COP_WORK_RUNNING, /* begun, and not ended as far as the file knows */
	COP_WORK_STOPPED, /* saved on request; wants to be run again */
	COP_WORK_FAILED
};

struct cop_state {
	enum cop_work_state state;
	int64_t attempts;  /* how often it was begun */
	int64_t failures;  /* how often in a row it failed in one and the same way; stops on request do not count */
	int code;          /* the exit code of the last failure */
	char failure[512]; /* its message, kept while the work is tried again */
	char host[64], job[64];
	int64_t pid, started;  /* started: when the process began, in clock ticks since boot: tells pids apart */
	double began, updated; /* the first attempt, and the last word; seconds since 1970 */
	int64_t step, total;
	double speed; /* images a second */
	char error[512];
};

/* A file that is missing or unreadable is COP_WORK_NONE. */
void cop_state_read(const char *path, struct cop_state *s);
int cop_state_write(const char *path, const struct cop_state *s, struct cop_err *err) COP_CHECKED;

/*
 * This process takes the work up: host, pid, job and time are filled in and attempts counted up from what is there. In
 * another job than the last attempt's, which somebody submitted anew, failures count from 0 again.
 */
void cop_state_begin(const char *path, struct cop_state *s);

/* The work failed with exit code `code`: once more if it is in the same way as last time, else for the first time. */
void cop_state_fail(struct cop_state *s, int code, const char *why);

/*
 * Notes for a process that has died, which was process `pid` of this host, that it failed. *noted: whether it did, and
 * then `s` is what the file says now; a state that is somebody else's is left alone.
 */
int cop_state_note_death(const char *path, int64_t pid, int code, const char *why, struct cop_state *s, bool *noted,
			 struct cop_err *err) COP_CHECKED;

/* Whether both were written by one process. */
bool cop_state_same_owner(const struct cop_state *a, const struct cop_state *b);

/* Whether its owner is, or was, process `pid` of this host. */
bool cop_state_of_process(const struct cop_state *s, int64_t pid);

/* Whether it failed `most` times in a row in this SLURM job, which is not to try it again. */
bool cop_state_given_up(const struct cop_state *s, int64_t most);

/* Whether the process of a running state is alive; *known is false where it is on another host. */
bool cop_state_alive(const struct cop_state *s, bool *known);

/* "123_4" within a SLURM array, "123" within another job, else "". */
const char *cop_job_name(char *buf, size_t size);

#endif
