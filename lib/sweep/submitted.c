/* The record of submitted jobs, and lists of cells; see ledger.h. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "sweep/ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int read_jobs(const struct cop_run *run, cJSON **jobs, struct cop_err *err)
{
	char *path = cop_run_file(run, "jobs/submitted.json");
	int rc = 0;
	*jobs = NULL;
	if (cop_exists(path))
		rc = cop_json_read(path, jobs, err);
	else
		*jobs = cJSON_CreateArray();
	if (rc == COP_EINPUT)
		rc = cop_context(err,
				 "the list of submitted jobs is damaged (remove it: jobs in the queue are found by the "
				 "scripts that they run)");
	free(path);
	return rc;
}

int cop_submitted_add(const struct cop_run *run, const struct cop_submitted *s, struct cop_err *err)
{
	cJSON *jobs;
	int rc = read_jobs(run, &jobs, err);
	if (rc)
		return rc;
	cJSON *j = cJSON_CreateObject();
	cJSON_AddStringToObject(j, "scheduler", s->scheduler);
	cJSON_AddStringToObject(j, "role", s->role);
	cJSON_AddStringToObject(j, "id", s->id);
	cJSON_AddStringToObject(j, "list", s->list);
	cJSON_AddNumberToObject(j, "offset", (double)s->offset);
	cJSON_AddNumberToObject(j, "count", (double)s->count);
	cJSON_AddNumberToObject(j, "per_task", (double)s->per_task);
	cJSON_AddNumberToObject(j, "tasks", (double)s->tasks);
	cJSON_AddItemToArray(jobs, j);
	char *path = cop_run_file(run, "jobs/submitted.json");
	rc = cop_json_write(path, jobs, err);
	free(path);
	cJSON_Delete(jobs);
	return rc;
}

int cop_submitted_read(const struct cop_run *run, struct cop_submitted **s, size_t *n, struct cop_err *err)
{
	cJSON *jobs;
	int rc = read_jobs(run, &jobs, err);
	if (rc)
		return rc;
	*s = cop_xcalloc((size_t)cJSON_GetArraySize(jobs), sizeof(**s));
	*n = 0;
	const cJSON *j;
	cJSON_ArrayForEach (j, jobs) {
		struct cop_submitted *to = &(*s)[(*n)++];
		snprintf(to->scheduler, sizeof(to->scheduler), "%s", cop_json_str(j, "scheduler", ""));
		snprintf(to->role, sizeof(to->role), "%s", cop_json_str(j, "role", ""));
		snprintf(to->id, sizeof(to->id), "%s", cop_json_str(j, "id", ""));
		snprintf(to->list, sizeof(to->list), "%s", cop_json_str(j, "list", ""));
		to->tasks = (int64_t)cop_json_num(j, "tasks", 0);
		to->offset = (int64_t)cop_json_num(j, "offset", 0);
		to->count = (int64_t)cop_json_num(j, "count", (double)to->tasks);
		to->per_task = (int64_t)cop_json_num(j, "per_task", 1);
		if (to->per_task < 1)
			to->per_task = 1;
	}
	cJSON_Delete(jobs);
	return 0;
}

/* The next argument, "" where there is none. It ends at a blank, or behind a list's name, whose path may hold some. */
static const char *next_argument(char **rest)
{
	char *list = *rest ? strstr(*rest, ".list") : NULL, *from = *rest;
	if (!from)
		return "";
	if (list) {
		*rest = list[5] ? list + 6 : NULL;
		list[5] = '\0';
		return from;
	}
	return strsep(rest, " ");
}

static int64_t number_or(const char *text, int64_t otherwise)
{
	int64_t v;
	return cop_parse_i64(text, &v) && v >= 0 ? v : otherwise;
}

bool cop_submitted_found(const struct cop_run *run, const struct cop_found *found, int64_t tasks,
			 struct cop_submitted *s)
{
	static const char *const roles[] = {"dense", "cells", "collect", "next"};
	char *command = cop_xstrdup(found->command), *rest = command;
	const char *script = strsep(&rest, " "), *list = cop_name_of(next_argument(&rest));
	size_t role = 0;
	while (role < 4 && (strncmp(script, roles[role], strlen(roles[role])) != 0 ||
			    strcmp(script + strlen(roles[role]), ".sbatch") != 0))
		role++;
	*s = (struct cop_submitted){.scheduler = "slurm", .tasks = tasks, .per_task = 1};
	snprintf(s->id, sizeof(s->id), "%s", found->job);
	snprintf(s->list, sizeof(s->list), "%.*s", (int)sizeof(s->list) - 1, list);
	if (role < 4)
		snprintf(s->role, sizeof(s->role), "%s", roles[role]);
	/* what the script does where an argument is missing */
	s->count = role == 0 ? tasks : (int64_t)run->ncells;
	if (role == 1) {
		s->offset = number_or(next_argument(&rest), 0);
		s->count = number_or(next_argument(&rest), s->count);
		s->per_task = number_or(next_argument(&rest), 0);
	}
	free(command);
	return role < 4;
}

int cop_list_read(const struct cop_run *run, const char *name, int64_t most, int64_t **index, size_t *n,
		  struct cop_err *err)
{
	char *path = cop_xasprintf("%s/jobs/%s", run->path, name), *text;
	size_t len, cap = 0;
	*index = NULL;
	*n = 0;
	int rc = cop_read_file(path, &text, &len, err);
	if (rc) {
		free(path);
		return rc;
	}
	char *rest = text;
	for (char *line; !rc && (line = strsep(&rest, "\n"));) {
		int64_t v;
		if (!*line)
			continue;
		if (!cop_parse_i64(line, &v) || v < 0 || v >= most) {
			rc = cop_fail(err, COP_EINPUT, "'%s' holds '%.20s', which is no number of the run's", path,
				      line);
			break;
		}
		*index = cop_grow(*index, &cap, *n + 1, sizeof(**index));
		(*index)[(*n)++] = v;
	}
	free(text);
	free(path);
	if (rc) {
		free(*index);
		*index = NULL;
	}
	return rc;
}
