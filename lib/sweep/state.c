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
	s->failures = (int64_t)cop_json_num(j, "failures", 0);
	s->code = (int)cop_json_num(j, "code", 0);
	snprintf(s->failure, sizeof(s->failure), "%s", cop_json_str(j, "failure", ""));
	snprintf(s->host, sizeof(s->host), "%s", cop_json_str(j, "host", ""));
	snprintf(s->job, sizeof(s->job), "%s", cop_json_str(j, "job", ""));
	s->pid = (int64_t)cop_json_num(j, "pid", 0);
	s->started = (int64_t)cop_json_num(j, "started", 0);
	s->began = cop_json_num(j, "began", 0);
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
	cJSON_AddNumberToObject(j, "failures", (double)s->failures);
	cJSON_AddNumberToObject(j, "code", s->code);
	cJSON_AddStringToObject(j, "failure", s->failure);
	cJSON_AddStringToObject(j, "host", s->host);
	cJSON_AddStringToObject(j, "job", s->job);
	cJSON_AddNumberToObject(j, "pid", (double)s->pid);
	cJSON_AddNumberToObject(j, "started", (double)s->started);
	cop_json_add_num(j, "began", s->began);
	cop_json_add_num(j, "updated", cop_clock());
	cJSON_AddNumberToObject(j, "step", (double)s->step);
	cJSON_AddNumberToObject(j, "total", (double)s->total);
	cop_json_add_num(j, "images_per_second", s->speed);
	cJSON_AddStringToObject(j, "error", s->error);
	int rc = cop_json_write(path, j, err);
	cJSON_Delete(j);
	return rc;
}

/* Whether "123_4" and "123_5" name tasks of one job. */
static bool same_job(const char *a, const char *b)
{
	size_t n = strcspn(a, "_");
	return n == strcspn(b, "_") && strncmp(a, b, n) == 0;
}

static void name_host(char *host, size_t size)
{
	memset(host, 0, size);
	gethostname(host, size - 1);
}

static void own(struct cop_state *s, int64_t pid)
{
	s->pid = pid;
	s->started = process_start(pid);
	name_host(s->host, sizeof(s->host));
	cop_job_name(s->job, sizeof(s->job));
}

void cop_state_begin(const char *path, struct cop_state *s)
{
	char job[sizeof(s->job)];
	cop_state_read(path, s);
	if (!same_job(s->job, cop_job_name(job, sizeof(job)))) {
		s->failures = s->code = 0;
		s->failure[0] = '\0';
	}
	s->state = COP_WORK_RUNNING;
	s->attempts++;
	s->error[0] = '\0';
	if (s->began <= 0)
		s->began = cop_clock();
	own(s, getpid());
}

void cop_state_fail(struct cop_state *s, int code, const char *why)
{
	char text[sizeof(s->failure)];
	snprintf(text, sizeof(text), "%.*s", (int)sizeof(text) - 1, why);
	s->failures = strcmp(text, s->failure) == 0 ? s->failures + 1 : 1;
	s->state = COP_WORK_FAILED;
	s->code = code;
	memcpy(s->failure, text, sizeof(text));
	memcpy(s->error, text, sizeof(text));
}

int cop_state_note_death(const char *path, int64_t pid, int code, const char *why, struct cop_state *s, bool *noted,
			 struct cop_err *err)
{
	bool known;
	cop_state_read(path, s);
	*noted = false;
	if (!cop_state_of_process(s, pid)) {
		/* it died before it could say that it began; whoever is there may be alive */
		if (s->state == COP_WORK_RUNNING && (cop_state_alive(s, &known) || !known))
			return 0;
		cop_state_begin(path, s);
		own(s, pid);
	}
	cop_state_fail(s, code, why);
	*noted = true;
	return cop_state_write(path, s, err);
}

bool cop_state_same_owner(const struct cop_state *a, const struct cop_state *b)
{
	return a->pid == b->pid && a->started == b->started && strcmp(a->host, b->host) == 0;
}

bool cop_state_of_process(const struct cop_state *s, int64_t pid)
{
	char host[sizeof(s->host)];
	name_host(host, sizeof(host));
	return s->pid == pid && strcmp(s->host, host) == 0;
}

bool cop_state_given_up(const struct cop_state *s, int64_t most)
{
	char job[sizeof(s->job)];
	cop_job_name(job, sizeof(job));
	return s->state == COP_WORK_FAILED && s->failures >= most && *job && same_job(s->job, job);
}

bool cop_state_alive(const struct cop_state *s, bool *known)
{
	char host[sizeof(s->host)];
	name_host(host, sizeof(host));
	*known = strcmp(host, s->host) == 0;
	return *known && s->pid > 0 && s->started >= 0 && process_start(s->pid) == s->started;
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
