/* SLURM through sbatch, squeue, scancel and scontrol; see slurm_commands.h. */
#include "sched/slurm_commands.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "sched/args.h"
#include "sched/child.h"
#include "sched/environment.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The last line of what a program complained about, in place: "sbatch: error: Batch job submission failed: …". */
static const char *last_line(char *text)
{
	size_t n = strlen(text);
	while (n > 0 && isspace((unsigned char)text[n - 1]))
		text[--n] = '\0';
	char *end = strrchr(text, '\n');
	return end ? end + 1 : text;
}

/* Runs `args` and fails where the program does, unless it complains of `harmless` (may be NULL): then *out is "". */
static int run(const struct cop_args *args, const struct cop_args *env, const char *harmless, char **out,
	       struct cop_err *err)
{
	char *errors = NULL;
	int code = 0;
	int rc = cop_child_run(args->v, env->v, out, &errors, &code, err);
	if (!rc && code != 0) {
		(*out)[0] = '\0';
		if (!harmless || !strstr(errors, harmless))
			rc = cop_fail(err, COP_EFAILED, "'%s' failed with exit code %d: %s", args->v[0], code,
				      last_line(errors));
	} else if (!rc && errors[0]) {
		cop_info("%s", last_line(errors));
	}
	free(errors);
	return rc;
}

/* In words of sbatch: what an account, a QOS or a user may submit, and MaxJobCount. One that did not run said nothing.
 */
static bool is_full(const char *message)
{
	if (!strstr(message, "' failed with exit code "))
		return false;
	return strstr(message, "accounting/QOS policy") || strstr(message, "job queue full") ||
	       strstr(message, "temporarily unable to accept job") || strstr(message, "temporarily unavailable");
}

bool cop_commands_here(void)
{
	struct cop_args args = {0}, env = {0};
	char *out = NULL, *errors = NULL;
	int code = 0;
	cop_args_add(&args, "sbatch");
	cop_args_add(&args, "--version");
	cop_environment_of_commands(&env);
	bool here = cop_child_run(args.v, env.v, &out, &errors, &code, NULL) == 0 && code == 0;
	free(out);
	free(errors);
	cop_args_release(&args);
	cop_args_release(&env);
	return here;
}

int cop_commands_submit(const struct cop_job *job, char *id, struct cop_err *err)
{
	struct cop_args args = {0}, env = {0};
	char *out = NULL;
	int64_t number;
	cop_sbatch_args(&args, job);
	cop_environment(&env);
	struct cop_err why = {0};
	int rc = run(&args, &env, NULL, &out, &why);
	if (rc)
		rc = cop_fail(err, is_full(why.msg) ? COP_EFULL : rc, "%s", why.msg);
	if (!rc) {
		/* "12", or "12;cluster" in a federation */
		out[strcspn(out, ";\n")] = '\0';
		if (!cop_parse_i64(out, &number) || number <= 0)
			rc = cop_fail(err, COP_EFAILED, "sbatch answers '%s' instead of the job's number", out);
		else
			snprintf(id, COP_JOB_ID, "%s", out);
	}
	free(out);
	cop_args_release(&args);
	cop_args_release(&env);
	return rc;
}

int cop_commands_query(struct cop_queue *q, struct cop_err *err)
{
	struct cop_args args = {0}, env = {0};
	struct cop_str list = {0};
	char *out = NULL;
	for (size_t i = 0; i < q->question->n; i++)
		cop_str_addf(&list, "%s%s", i ? "," : "", q->question->ids[i]);
	cop_args_add(&args, "squeue");
	cop_args_add(&args, "--noheader");
	cop_args_add(&args, "--array");
	cop_args_add(&args, "--states=all");
	if (!q->question->folder)
		cop_args_add(&args, "--jobs=%s", list.s);
	cop_args_add(&args, "--format=%s", COP_SQUEUE_FORMAT);
	cop_environment_of_commands(&env);
	/* of a single job that has left the queue squeue says that there is none of that number */
	int rc = run(&args, &env, "Invalid job id", &out, err);
	char *rest = out;
	for (char *line; !rc && (line = strsep(&rest, "\n"));)
		if (*line)
			rc = cop_queue_add_line(q, line, err);
	free(out);
	cop_str_release(&list);
	cop_args_release(&args);
	cop_args_release(&env);
	return rc;
}

int cop_commands_cancel(const char *id, struct cop_err *err)
{
	struct cop_args args = {0}, env = {0};
	char *out = NULL;
	cop_args_add(&args, "scancel");
	cop_args_add(&args, "%s", id);
	cop_environment_of_commands(&env);
	int rc = run(&args, &env, "Invalid job id", &out, err);
	free(out);
	cop_args_release(&args);
	cop_args_release(&env);
	return rc;
}

int cop_commands_script(const char *id, char **text, struct cop_err *err)
{
	struct cop_args args = {0}, env = {0};
	cop_args_add(&args, "scontrol");
	cop_args_add(&args, "write");
	cop_args_add(&args, "batch_script");
	cop_args_add(&args, "%s", id);
	cop_args_add(&args, "-");
	cop_environment_of_commands(&env);
	int rc = run(&args, &env, NULL, text, err);
	if (rc) {
		free(*text);
		*text = NULL;
	}
	cop_args_release(&args);
	cop_args_release(&env);
	return rc;
}

/* The value of "KEY = VALUE" in scontrol's text; `value` stays as it is where the key is missing. */
static void find_value(const char *text, const char *key, char *value, size_t size)
{
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		size_t n = strlen(key);
		if (strncmp(line, key, n) != 0 || (line[n] != ' ' && line[n] != '='))
			continue;
		line += n + strspn(line + n, " =");
		snprintf(value, size, "%.*s", (int)strcspn(line, " \n"), line);
		return;
	}
}

static int count_queue(int64_t *n, struct cop_err *err)
{
	struct cop_args args = {0}, env = {0};
	char *out = NULL;
	cop_args_add(&args, "squeue");
	cop_args_add(&args, "--noheader");
	cop_args_add(&args, "--array");
	cop_args_add(&args, "--states=all");
	cop_args_add(&args, "--format=%%i");
	cop_environment_of_commands(&env);
	int rc = run(&args, &env, NULL, &out, err);
	*n = 0;
	for (const char *s = out; !rc && (s = strchr(s, '\n')); s++)
		++*n;
	free(out);
	cop_args_release(&args);
	cop_args_release(&env);
	return rc;
}

int cop_commands_limits(struct cop_limits *limits, struct cop_err *err)
{
	struct cop_args args = {0}, env = {0};
	char *out = NULL, number[32] = "";
	*limits = (struct cop_limits){0};
	cop_args_add(&args, "scontrol");
	cop_args_add(&args, "show");
	cop_args_add(&args, "config");
	cop_environment_of_commands(&env);
	int rc = run(&args, &env, NULL, &out, err);
	if (!rc) {
		find_value(out, "MaxArraySize", number, sizeof(number));
		if (!cop_parse_i64(number, &limits->array_size))
			limits->array_size = 0;
		find_value(out, "MaxJobCount", number, sizeof(number));
		if (!cop_parse_i64(number, &limits->jobs))
			limits->jobs = 0;
		find_value(out, "SLURM_VERSION", limits->version, sizeof(limits->version));
		find_value(out, "ClusterName", limits->cluster, sizeof(limits->cluster));
		rc = count_queue(&limits->in_queue, err);
	}
	free(out);
	cop_args_release(&args);
	cop_args_release(&env);
	return rc;
}
