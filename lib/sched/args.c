/* Lists of words; see args.h. */
#include "sched/args.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cop_args_add(struct cop_args *a, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	char *word = cop_xvasprintf(fmt, args);
	va_end(args);
	a->v = cop_grow(a->v, &a->cap, a->n + 2, sizeof(*a->v));
	a->v[a->n++] = word;
	a->v[a->n] = NULL;
}

void cop_args_release(struct cop_args *a)
{
	for (size_t i = 0; i < a->n; i++)
		free(a->v[i]);
	free(a->v);
	*a = (struct cop_args){0};
}

void cop_shell_quote(struct cop_str *to, const char *word)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./=:,@%+-";
	if (*word && strspn(word, plain) == strlen(word)) {
		cop_str_add(to, word);
		return;
	}
	cop_str_add(to, "'");
	for (const char *s = word; *s; s++)
		if (*s == '\'')
			cop_str_add(to, "'\\''");
		else
			cop_str_addn(to, s, 1);
	cop_str_add(to, "'");
}

char *cop_dependency_text(const struct cop_job *job)
{
	const struct {
		const char *kind, *jobs;
	} waits[] = {{"afterok", job->after_ok}, {"aftercorr", job->after_corr}, {"afterany", job->after_any}};
	struct cop_str text = {0};
	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++)
		if (waits[i].jobs)
			cop_str_addf(&text, "%s%s:%s", text.len ? "," : "", waits[i].kind, waits[i].jobs);
	return text.len ? cop_str_take(&text) : NULL;
}

char *cop_array_text(const struct cop_job *job)
{
	if (job->tasks <= 0)
		return NULL;
	char *range = cop_xasprintf("0-%" PRId64, job->tasks - 1);
	if (job->at_once <= 0)
		return range;
	char *text = cop_xasprintf("%s%%%" PRId64, range, job->at_once);
	free(range);
	return text;
}

void cop_sbatch_args(struct cop_args *a, const struct cop_job *job)
{
	char *dependency = cop_dependency_text(job);
	char *array = cop_array_text(job);
	cop_args_add(a, "sbatch");
	cop_args_add(a, "--parsable");
	if (job->name)
		cop_args_add(a, "--job-name=%s", job->name);
	if (job->folder)
		cop_args_add(a, "--chdir=%s", job->folder);
	if (array)
		cop_args_add(a, "--array=%s", array);
	if (dependency)
		cop_args_add(a, "--dependency=%s", dependency);
	/* without it a job whose predecessor failed waits forever */
	if (job->after_ok || job->after_corr)
		cop_args_add(a, "--kill-on-invalid-dep=yes");
	cop_args_add(a, "%s", job->script);
	for (const char *const *arg = job->args; arg && *arg; arg++)
		cop_args_add(a, "%s", *arg);
	free(dependency);
	free(array);
}
