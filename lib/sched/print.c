/* The scheduler that submits nothing: it prints the commands that would, ready to be pasted into a shell. */
#include "base/mem.h"
#include "sched/args.h"
#include "sched/schedulers.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static FILE *output;

/* The shell variables that hold the jobs printed so far. A job's id is "${VARIABLE}", so that "_3" may follow. */
static struct cop_args used;

void cop_print_set_output(FILE *out)
{
	output = out;
	cop_args_release(&used);
}

static bool is_used(const char *variable)
{
	for (size_t i = 0; i < used.n; i++)
		if (strcmp(used.v[i], variable) == 0)
			return true;
	return false;
}

/* A variable for job `name`: what stands behind its last dot, as far as a shell allows it, and a number where taken. */
static void new_variable(const char *name, char id[COP_JOB_ID])
{
	char base[COP_JOB_ID - 10], variable[COP_JOB_ID - 3];
	const char *dot = strrchr(name, '.');
	size_t n = 0;
	for (const char *s = dot ? dot + 1 : name; *s && n + 1 < sizeof(base); s++)
		base[n++] = isalnum((unsigned char)*s) ? *s : '_';
	base[n] = '\0';
	if (n == 0 || isdigit((unsigned char)base[0]))
		snprintf(base, sizeof(base), "job");
	snprintf(variable, sizeof(variable), "%s", base);
	for (unsigned i = 2; is_used(variable) && i < 1000000; i++)
		snprintf(variable, sizeof(variable), "%s%u", base, i);
	cop_args_add(&used, "%s", variable);
	snprintf(id, COP_JOB_ID, "${%s}", variable);
}

static int print_submit(const struct cop_job *job, char *id, struct cop_err *err)
{
	char name[COP_JOB_ID];
	static const char dependency[] = "--dependency=";
	struct cop_args args = {0};
	struct cop_str line = {0};
	int rc = 0;

	new_variable(job->name ? job->name : "job", id);
	snprintf(name, sizeof(name), "%.*s", (int)strlen(id) - 3, id + 2);
	cop_sbatch_args(&args, job);
	cop_str_addf(&line, "%s=$(", name);
	for (size_t i = 0; i < args.n; i++) {
		cop_str_add(&line, i ? " " : "");
		/* this one holds variables; they become numbers */
		if (strncmp(args.v[i], dependency, strlen(dependency)) == 0)
			cop_str_add(&line, args.v[i]);
		else
			cop_shell_quote(&line, args.v[i]);
	}
	cop_str_add(&line, ")\n");
	if (output && fwrite(line.s, 1, line.len, output) != line.len)
		rc = cop_fail_errno(err, COP_EFAILED, "cannot print the command for job '%s'", name);
	cop_args_release(&args);
	cop_str_release(&line);
	return rc;
}

const struct cop_scheduler cop_print_scheduler = {
	.name = "print",
	.submit = print_submit,
};
