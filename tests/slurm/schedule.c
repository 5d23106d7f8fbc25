/*
 * Drives the scheduler table for the tests on a cluster:
 *   schedule here
 *   schedule limits
 *   schedule submit NAME SCRIPT TASKS AT_ONCE AFTER|- ok|any [ARGUMENT...]   prints the job's number
 *   schedule query JOB...                                                   one line a task: job task phase state
 * reason schedule cancel JOB Exits like coppice; an error goes to stderr, and so does what the library has to say.
 */
#include "base/log.h"
#include "sched/sched.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void say(enum cop_log_level level, const char *text, void *user)
{
	(void)level;
	(void)user;
	fprintf(stderr, "%s\n", text);
}

static int submit(const struct cop_scheduler *s, int argc, char **argv, struct cop_err *err)
{
	char id[COP_JOB_ID];
	if (argc < 6)
		return cop_fail(err, COP_EINPUT, "submit wants six words");
	const char *after = strcmp(argv[4], "-") != 0 ? argv[4] : NULL;
	struct cop_job job = {.name = argv[0],
			      .script = argv[1],
			      .tasks = strtoll(argv[2], NULL, 10),
			      .at_once = strtoll(argv[3], NULL, 10),
			      .after_ok = strcmp(argv[5], "ok") == 0 ? after : NULL,
			      .after_any = strcmp(argv[5], "ok") == 0 ? NULL : after,
			      .args = (const char *const *)argv + 6};
	int rc = s->submit(&job, id, err);
	if (!rc)
		puts(id);
	return rc;
}

static int query(const struct cop_scheduler *s, int n, char **ids, struct cop_err *err)
{
	static const char *const phases[] = {"queued", "running", "ended", "stuck"};
	struct cop_question question = {.ids = (const char *const *)ids, .n = (size_t)n};
	struct cop_answer a;
	int rc = s->query(&question, &a, err);
	for (size_t i = 0; !rc && i < a.ntasks; i++)
		printf("%s %" PRId64 " %s %s %s\n", a.task[i].job, a.task[i].task, phases[a.task[i].phase],
		       a.task[i].state, a.task[i].reason[0] ? a.task[i].reason : "-");
	cop_answer_release(&a);
	return rc;
}

static int limits(const struct cop_scheduler *s, struct cop_err *err)
{
	struct cop_limits l;
	int rc = s->limits(&l, err);
	if (!rc)
		printf("%" PRId64 " %" PRId64 " %s %s\n", l.array_size, l.jobs, l.version, l.cluster);
	return rc;
}

int main(int argc, char **argv)
{
	static const struct cop_log_sink sink = {.line = say};
	const struct cop_scheduler *s = NULL;
	struct cop_err err = {0};
	char how[64];
	const char *verb = argc > 1 ? argv[1] : "";
	int rc;

	cop_log_set_sink(&sink);
	if (strcmp(verb, "here") == 0) {
		bool here = cop_slurm_here(how, sizeof(how));
		puts(how);
		return !here;
	}
	rc = cop_scheduler_find("slurm", &s, &err);
	if (!rc && strcmp(verb, "limits") == 0)
		rc = limits(s, &err);
	else if (!rc && strcmp(verb, "submit") == 0)
		rc = submit(s, argc - 2, argv + 2, &err);
	else if (!rc && strcmp(verb, "query") == 0)
		rc = query(s, argc - 2, argv + 2, &err);
	else if (!rc && strcmp(verb, "cancel") == 0 && argc == 3)
		rc = s->cancel(argv[2], &err);
	else if (!rc)
		rc = cop_fail(&err, COP_EINPUT, "'%s' is nothing to do", verb);
	if (rc)
		fprintf(stderr, "schedule: %s\n", err.msg);
	return -rc;
}
