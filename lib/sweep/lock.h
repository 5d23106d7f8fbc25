/* The lock on a run's jobs: one at a time plans, submits or cancels. */
#ifndef COP_SWEEP_LOCK_H
#define COP_SWEEP_LOCK_H

#include "sweep/run.h"

struct cop_lock {
	int fd;      /* -1: not held by flock */
	char *stand; /* the file that stands for the lock where the file system has none; NULL: not held by it */
};

/* Takes RUN/jobs/lock without waiting. COP_EFAILED where somebody else has it, saying who. Give it back. */
int cop_lock_take(struct cop_lock *l, const char *run, struct cop_err *err) COP_CHECKED;
/* The same, trying again every second for as many as `seconds`. */
int cop_lock_wait(struct cop_lock *l, const char *run, int seconds, struct cop_err *err) COP_CHECKED;
void cop_lock_give(struct cop_lock *l);

#endif
