/* The number that a scheduler gives to a task of an array, and lists of cells for tasks to read a line of. */
#ifndef COP_BIN_TASKS_H
#define COP_BIN_TASKS_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* From COPPICE_TASK (the local scheduler's) or SLURM_ARRAY_TASK_ID; false where there is none. */
bool task_number(int64_t *task);

/* Line `line` (from 0) of a file of cells, one index a line. COP_EINPUT. */
int task_list_line(const char *path, int64_t line, int64_t *index, struct cop_err *err) COP_CHECKED;

#endif
