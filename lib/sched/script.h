/*
 * What a batch script asks for in its #SBATCH lines, read as sbatch(1) reads them: from the first line to the first
 * command. Only options and values whose meaning is certain are taken in; the first other one is kept in `unknown`, so
 * that nothing is ever left out in silence: such a script goes through sbatch itself.
 */
#ifndef COP_SCHED_SCRIPT_H
#define COP_SCHED_SCRIPT_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum { COP_TIME_UNLIMITED = INT32_MAX };

/* Strings are NULL and numbers -1 where the script does not say. */
struct cop_script {
	char *text; /* the whole script */
	char *name, *partition, *account, *qos, *constraint, *exclude, *reservation, *comment;
	char *output, *error; /* where output goes; %A, %a, %x, %j are SLURM's */
	char *gres, *gpus;    /* "gpu:2" a node; "2" a job */
	char *array;          /* "0-19%5" */
	int64_t minutes;      /* time limit; COP_TIME_UNLIMITED */
	int64_t cpus;         /* of the one task */
	int64_t mem_node;     /* MiB; 0: all of the node's */
	int64_t mem_cpu;      /* MiB */
	int64_t requeue, append;
	int64_t signal, signal_seconds; /* sent so long before the end */
	bool signal_batch;              /* to the script itself */
	char *unknown;                  /* "--mail-type=END": the first option that is not known here; NULL: all are */
};

/* Reads `path`. COP_EINPUT where it cannot be read or is no script that sbatch would take. */
int cop_script_read(const char *path, struct cop_script *s, struct cop_err *err) COP_CHECKED;

/* Reads the #SBATCH lines of `text` (copied). */
void cop_script_parse(const char *text, struct cop_script *s);

void cop_script_release(struct cop_script *s);

#endif
