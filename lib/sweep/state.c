/* The ledger; see state.h. */
#include "sweep/state.h"

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const words[] = {[COP_WORK_NONE] = "none",
				    [COP_WORK_RUNNING] = "running",
				    [COP_WORK_STOPPED] = "stopped",
				    [COP_WORK_FAILED] = "failed"};

/* Field 22 of /proc/PID/stat, counted behind the name, which may hold anything; -1: no such process. */
static int64_t process_start(int64_t pid)
{
	char *path = cop_xasprintf("/proc/%" PRId64 "/stat", pid), *text = NULL;
	size_t len;
	int64_t start = -1;
	if (cop_read_file(path, &text, &len, NULL) == 0) {
		char *p = strrchr(text, ')');
		for (int field = 2; p && field < 22; field++)
			p = strchr(p + 1, ' ');
		if (p)
			start = strtoll(p + 1, NULL, 10);
	}
	free(text);
	free(path);
	return start;
}

void cop_state_read(const char *path, struct cop_state *s)
{
	cJSON *j = NULL;
	*s = (struct cop_state){0};
	if (!cop_exists(path) || cop_json_read(path, &j, NULL))
		return;
	const char *word = cop_json_str(j, "state", "none");
	for (int i = 0; i < (int)(sizeof(words) / sizeof(words[0])); i++)
		if (strcmp(word, words[i]) == 0)
			s->state = (enum cop_work_state)i;
	s->attempts = (int64_t)cop_json_num(j, "attempts", 0);
	snprintf(s->host, sizeof(s->host), "%s", cop_json_str(j, "host", ""));
	snprintf(s->job, sizeof(s->job), "%s", cop_json_str(j, "job", ""));
	s->pid = (int64_t)cop_json_num(j, "pid", 0);
	s->started = (int64_t)cop_json_num(j, "started", 0);
	s->updated = cop_json_num(j, "updated", 0);
	s->step = (int64_t)cop_json_num(j, "step", 0);
	s->total = (int64_t)cop_json_num(j, "total", 0);
	s->speed = cop_json_num(j, "images_per_second", 0);
	snprintf(s->error, sizeof(s->error), "%s", cop_json_str(j, "error", ""));
	cJSON_Delete(j);
}

int cop_state_write(const char *path, const struct cop_state *s, struct cop_err *err)
{
	cJSON *j = cJSON_CreateObject();
	cJSON_AddStringToObject(j, "state", words[s->state]);
	cJSON_AddNumberToObject(j, "attempts", (double)s->attempts);
	cJSON_AddStringToObject(j, "host", s->host);
	cJSON_AddStringToObject(j, "job", s->job);
	cJSON_AddNumberToObject(j, "pid", (double)s->pid);
	cJSON_AddNumberToObject(j, "started", (double)s->started);
	cJSON_AddNumberToObject(j, "updated", (double)time(NULL));
	cJSON_AddNumberToObject(j, "step", (double)s->step);
	cJSON_AddNumberToObject(j, "total", (double)s->total);
	cop_json_add_num(j, "images_per_second", s->speed);
	cJSON_AddStringToObject(j, "error", s->error);
	int rc = cop_json_write(path, j, err);
	cJSON_Delete(j);
	return rc;
}

void cop_state_begin(const char *path, struct cop_state *s)
{
	cop_state_read(path, s);
	s->state = COP_WORK_RUNNING;
	s->attempts++;
	s->pid = getpid();
	s->started = process_start(s->pid);
	s->error[0] = '\0';
	gethostname(s->host, sizeof(s->host) - 1);
	cop_job_name(s->job, sizeof(s->job));
}

bool cop_state_alive(const struct cop_state *s, bool *known)
{
	char host[64] = "";
	gethostname(host, sizeof(host) - 1);
	*known = strcmp(host, s->host) == 0;
	return *known && s->pid > 0 && process_start(s->pid) == s->started;
}

const char *cop_job_name(char *buf, size_t size)
{
	const char *array = getenv("SLURM_ARRAY_JOB_ID"), *task = getenv("SLURM_ARRAY_TASK_ID"),
		   *job = getenv("SLURM_JOB_ID");
	if (array && task)
		snprintf(buf, size, "%s_%s", array, task);
	else
		snprintf(buf, size, "%s", job ? job : "");
	return buf;
}
