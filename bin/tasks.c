/* Tasks of an array; see tasks.h. */
#include "tasks.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

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

int task_list_line(const char *path, int64_t line, int64_t *index, struct cop_err *err)
{
	char *text;
	size_t len;
	int rc = cop_read_file(path, &text, &len, err);
	if (rc)
		return rc;
	char *rest = text, *word = NULL;
	for (int64_t i = 0; i <= line && rest; i++)
		word = strsep(&rest, "\n");
	if (!rest || !word || !cop_parse_i64(word, index))
		rc = cop_fail(err, COP_EINPUT, "'%s' has no cell on line %lld", path, (long long)line + 1);
	free(text);
	return rc;
}
