/*
 * The table that coppice-slurm.so exports as `cop_slurm_module`. Nothing in it is SLURM's: the library prepares what
 * is asked (slurm.c), the module alone speaks to libslurm. It uses no function of the library.
 */
#ifndef COP_SCHED_SLURM_MODULE_H
#define COP_SCHED_SLURM_MODULE_H

#include "base/module.h"
#include "sched/sched.h"
#include "sched/script.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { COP_SLURM_INTERFACE = 4 };

struct cop_slurm_request {
	const struct cop_script *script; /* with nothing unknown in it */
	const char *name, *folder;
	const char *array, *dependency; /* may be NULL */
	bool cancel_if_never;           /* where the dependency can never be met */
	const char *const *argv;        /* the script's path and its arguments */
	uint32_t argc;
	char *const *environment;
	uint32_t nenvironment;
};

/* One row of the queue: a task, or several that are in the same state. */
struct cop_slurm_record {
	uint32_t job;      /* the array's number for each of its tasks */
	const char *tasks; /* "3", "2-9%2", "0,4-6"; NULL: no array */
	const char *state, *reason, *node;
	const char *command; /* the script and its arguments; may be NULL */
	int exit_code;       /* of its script, where it failed; 0: it did not, or that is not known */
};

struct cop_slurm_module {
	struct cop_module_header header;
	/* COP_EFULL where a limit of the queue or of the user lets it not in. `note` (of `size` bytes) gets what the
	 * site has to say to the user, or "". */
	int (*submit)(const struct cop_slurm_request *request, uint32_t *id, char *note, size_t size,
		      struct cop_err *err);
	/* Calls `each` for every row of the queue until one answers other than 0; returns that. */
	int (*query)(int (*each)(const struct cop_slurm_record *row, void *user), void *user, struct cop_err *err);
	/* "12" or "12_3"; a job that is gone is no error */
	int (*cancel)(const char *id, struct cop_err *err);
	int (*limits)(struct cop_limits *limits, struct cop_err *err);
};

#endif
