/*
 * The ledger: one small file for each dense run and cell that was begun, RUN/state/NNNNNN.json, written by whoever runs
 * it. It says how far the work is and how it ended where it did not end well; what is done is told by results alone.
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
	int64_t attempts; /* how often it was begun */
	char host[64], job[64];
	int64_t pid, started; /* started: when the process began, in clock ticks since boot: tells pids apart */
	double updated;       /* seconds since 1970 */
	int64_t step, total;
	double speed; /* images a second */
	char error[512];
};

/* A file that is missing or unreadable is COP_WORK_NONE. */
void cop_state_read(const char *path, struct cop_state *s);
int cop_state_write(const char *path, const struct cop_state *s, struct cop_err *err) COP_CHECKED;

/* This process takes the work up: host, pid, job and time are filled in and attempts counted up from what is there. */
void cop_state_begin(const char *path, struct cop_state *s);

/* Whether the process of a running state is alive; *known is false where it is on another host. */
bool cop_state_alive(const struct cop_state *s, bool *known);

/* "123_4" within a SLURM array, "123" within another job, else "". */
const char *cop_job_name(char *buf, size_t size);

#endif
