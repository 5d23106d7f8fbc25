/* The number that a scheduler gives to a task of an array, and the cells that are the task's. */
#ifndef COP_BIN_TASKS_H
#define COP_BIN_TASKS_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* From COPPICE_TASK (the local scheduler's) or SLURM_ARRAY_TASK_ID; false where there is none. */
bool task_number(int64_t *task);

/* Line `line` (from 0) of a file of cells, one index a line. COP_EINPUT. */
int task_list_line(const char *path, int64_t line, int64_t *index, struct cop_err *err) COP_CHECKED;

/* How an array's tasks share its cells: `count` entries, `per_task` of them for each task. */
struct task_share {
	const char *list;                /* entry p is line offset + p of this file; NULL: cell offset + p */
	int64_t offset, count, per_task; /* count: -1 means all lines of the list */
};

/* The cells of task `task`, at most per_task; the caller frees *index. A task without any is COP_EINPUT. */
int task_cells(const struct task_share *s, int64_t task, int64_t **index, size_t *n, struct cop_err *err) COP_CHECKED;

#endif
