/* The rows of SLURM's queue, from libslurm or from squeue, as a list of tasks. */
#ifndef COP_SCHED_QUEUE_H
#define COP_SCHED_QUEUE_H

#include "base/err.h"
#include "sched/sched.h"
#include "sched/slurm_module.h"

/* Starts as {0} but for the question, without which it takes every row. */
struct cop_queue {
	const struct cop_question *question;
	struct cop_answer answer;
	size_t cap, found_cap;
};

/* Adds each task of a row that was asked for. COP_EFAILED where its list of tasks is not understood. */
int cop_queue_add(struct cop_queue *q, const struct cop_slurm_record *row, struct cop_err *err) COP_CHECKED;

/*
 * What squeue is to print for each row: cop_queue_add_line takes one of these lines (which it changes). One that it
 * cannot read is an error, but where others' jobs are among them: their commands may hold anything.
 */
#define COP_SQUEUE_FORMAT "%F|%K|%T|%N|%r|%o"
int cop_queue_add_line(struct cop_queue *q, char *line, struct cop_err *err) COP_CHECKED;

#endif
