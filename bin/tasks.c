/* Tasks of an array; see tasks.h. */
#include "tasks.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

bool task_number(int64_t *task)
{
	const char *names[] = {"COPPICE_TASK", "SLURM_ARRAY_TASK_ID"};
	for (int i = 0; i < 2; i++) {
		const char *text = getenv(names[i]);
		if (text && cop_parse_i64(text, task) && *task >= 0)
			return true;
	}
	return false;
}

/* Lines from .. from+n-1; where the file has fewer, *n becomes what there is. */
static int read_lines(const char *path, int64_t from, size_t *n, int64_t *index, struct cop_err *err)
{
	char *text;
	size_t len, found = 0;
	int rc = cop_read_file(path, &text, &len, err);
	if (rc)
		return rc;
	char *rest = text;
	for (int64_t line = 0; rest && *rest && found < *n; line++) {
		char *word = strsep(&rest, "\n");
		if (line < from)
			continue;
		if (!cop_parse_i64(word, &index[found++])) {
			rc = cop_fail(err, COP_EINPUT, "'%s': line %" PRId64 " is no cell: '%.40s'", path, line + 1,
				      word);
			break;
		}
	}
	*n = found;
	free(text);
	return rc;
}

int task_list_line(const char *path, int64_t line, int64_t *index, struct cop_err *err)
{
	size_t n = 1;
	int rc = read_lines(path, line, &n, index, err);
	if (!rc && n == 0)
		rc = cop_fail(err, COP_EINPUT, "'%s' has no cell on line %" PRId64, path, line + 1);
	return rc;
}

static int no_cells(const struct task_share *s, int64_t task, struct cop_err *err)
{
	return cop_fail(err, COP_EINPUT, "task %" PRId64 " has no cells: there are %" PRId64 ", %" PRId64 " a task",
			task, s->count, s->per_task);
}

int task_cells(const struct task_share *s, int64_t task, int64_t **index, size_t *n, struct cop_err *err)
{
	int64_t all = s->count < 0 ? INT64_MAX - s->offset : s->count;
	/* a product of two numbers from outside may not fit */
	if (task > all / s->per_task || task * s->per_task >= all)
		return no_cells(s, task, err);
	int64_t first = s->offset + task * s->per_task, left = all - task * s->per_task;
	size_t wanted = (size_t)(left < s->per_task ? left : s->per_task);
	*n = wanted;
	*index = cop_xcalloc(wanted, sizeof(**index));
	int rc = s->list ? read_lines(s->list, first, n, *index, err) : 0;
	for (size_t i = 0; i < wanted && !s->list; i++)
		(*index)[i] = first + (int64_t)i;
	if (!rc && (*n == 0 || (*n < wanted && s->count >= 0)))
		rc = cop_fail(err, COP_EINPUT, "'%s' has no cell on line %" PRId64, s->list, first + (int64_t)*n + 1);
	if (rc) {
		free(*index);
		*index = NULL;
	}
	return rc;
}
