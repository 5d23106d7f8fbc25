/* Lists of words: the argv of a program, and the sbatch command that submits a job. */
#ifndef COP_SCHED_ARGS_H
#define COP_SCHED_ARGS_H

#include "base/err.h"
#include "base/str.h"
#include "sched/sched.h"

#include <stddef.h>

/* Starts as {0}; `v` is always NULL-terminated once something was added. */
struct cop_args {
	char **v;
	size_t n, cap;
};

void cop_args_add(struct cop_args *a, const char *fmt, ...) COP_PRINTF(2, 3);
void cop_args_release(struct cop_args *a);

/* Adds `word` so that a shell reads it back as one word. */
void cop_shell_quote(struct cop_str *to, const char *word);

/* "afterok:12:13", or NULL where the job waits for none; the caller frees. */
char *cop_dependency_text(const struct cop_job *job);

/* "0-19%5", or NULL where the job is no array; the caller frees. */
char *cop_array_text(const struct cop_job *job);

/* The whole command, "sbatch --parsable ..." to the script's last argument. */
void cop_sbatch_args(struct cop_args *a, const struct cop_job *job);

#endif
