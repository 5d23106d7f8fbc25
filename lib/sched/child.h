/* Runs a program and reads what it prints. */
#ifndef COP_SCHED_CHILD_H
#define COP_SCHED_CHILD_H

#include "base/err.h"

/*
 * Runs argv (looked for in PATH, without a shell) with `env` and nothing on its standard input; waits for it. *out and
 * *errors become what it printed, terminated; the caller frees both, also after a failure. *code: its exit code, or 128
 * + signal. COP_EMISSING where it cannot be run.
 */
int cop_child_run(char *const *argv, char *const *env, char **out, char **errors, int *code, struct cop_err *err)
	COP_CHECKED;

#endif
