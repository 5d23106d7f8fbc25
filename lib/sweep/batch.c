/* The batch scripts; see batch.h. */
#include "sweep/batch.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "sched/script.h"
#include "sweep/assets.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *value_of(const char *name, size_t len, const struct cop_fill *fill, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(fill[i].name) == len && strncmp(fill[i].name, name, len) == 0)
			return fill[i].value;
	return NULL;
}

/* A name between two @ at `p`, or 0: capitals only, so that an address in a comment is left alone. */
static size_t name_at(const char *p)
{
	size_t len = *p == '@' ? strspn(p + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") : 0;
	return len && p[1 + len] == '@' ? len : 0;
}

static int fill_line(const char *line, size_t len, const struct cop_fill *fill, size_t n, struct cop_str *out,
		     struct cop_err *err)
{
	size_t before = out->len;
	for (const char *p = line; p < line + len;) {
		size_t name = name_at(p);
		if (!name) {
			cop_str_addn(out, p++, 1);
			continue;
		}
		const char *value = value_of(p + 1, name, fill, n);
		if (!value)
			return cop_fail(err, COP_EFAILED, "a script's template holds '@%.*s@', which nobody fills",
					(int)name, p + 1);
		if (!*value) {
			out->len = before;
			return 0;
		}
		cop_str_add(out, value);
		p += name + 2;
	}
	cop_str_add(out, "\n");
	return 0;
}

int cop_batch_fill(const char *template_text, const struct cop_fill *fill, size_t n, char **text, struct cop_err *err)
{
	struct cop_str out = {0};
	for (const char *line = template_text; *line;) {
		size_t len = strcspn(line, "\n");
		int rc = fill_line(line, len, fill, n, &out, err);
		if (rc) {
			cop_str_release(&out);
			return rc;
		}
		line += len + (line[len] == '\n');
	}
	cop_str_addn(&out, "", 0);
	*text = cop_str_take(&out);
	return 0;
}

static char *lines_of(const struct cop_strings *l)
{
	struct cop_str s = {0};
	for (size_t i = 0; i < l->n; i++)
		cop_str_addf(&s, "%s%s", i ? "\n" : "", l->v[i]);
	return cop_str_take(&s);
}

/* The #SBATCH lines that the templates leave to the experiment. */
static char *options_of(const struct cop_slurm_config *c)
{
	struct cop_str s = {0};
	if (*c->partition)
		cop_str_addf(&s, "#SBATCH --partition=%s\n", c->partition);
	if (*c->account)
		cop_str_addf(&s, "#SBATCH --account=%s\n", c->account);
	for (size_t i = 0; i < c->extra.n; i++)
		cop_str_addf(&s, "#SBATCH %s\n", c->extra.v[i]);
	if (s.len)
		s.s[--s.len] = '\0';
	return cop_str_take(&s);
}

static char *array_of(int64_t n, int64_t at_once)
{
	if (at_once > 0 && at_once < n)
		return cop_xasprintf("0-%" PRId64 "%%%" PRId64, n - 1, at_once);
	return cop_xasprintf("0-%" PRId64, n - 1);
}

static int write_one(const struct cop_run *r, const char *name, const struct cop_fill *fill, size_t n,
		     struct cop_err *err)
{
	const struct cop_asset *asset = cop_asset_find(name);
	if (!asset)
		COP_BUG("a script's template is not carried");
	char *text = NULL, *path = cop_xasprintf("%s/jobs/%s", r->path, name);
	int rc = cop_batch_fill(asset->text, fill, n, &text, err);
	if (!rc)
		rc = cop_write_file(path, text, strlen(text), err);
	free(text);
	free(path);
	return rc;
}

/* One option as SLURM would read it. */
static int check_option(const char *key, const char *option, const char *value, struct cop_err *err)
{
	struct cop_script s;
	char *text = cop_xasprintf("#!/bin/bash\n#SBATCH --%s=%s\n", option, value);
	cop_script_parse(text, &s);
	int rc = s.unknown && *value
			 ? cop_fail(err, COP_EINPUT, "'%s' is '%s', which sbatch does not understand", key, value)
			 : 0;
	cop_script_release(&s);
	free(text);
	return rc;
}

/* Tasks are asked to save two minutes before their limit, and SLURM may do so a minute early. */
static void warn_of_short_limit(const struct cop_slurm_config *c)
{
	enum { SHORT_MINUTES = 5 };
	struct cop_script s;
	char *text = cop_xasprintf("#!/bin/bash\n#SBATCH --time=%s\n", c->time);
	cop_script_parse(text, &s);
	if (s.minutes >= 0 && s.minutes < SHORT_MINUTES)
		cop_warn("'slurm.time' is %s: tasks are asked to save two to three minutes before the limit, so they "
			 "may never "
			 "get far; at least ten minutes are better",
			 c->time);
	cop_script_release(&s);
	free(text);
}

int cop_batch_check(const struct cop_slurm_config *c, struct cop_err *err)
{
	warn_of_short_limit(c);
	int rc = check_option("slurm.time", "time", c->time, err);
	return rc ? rc : check_option("slurm.mem", "mem", c->mem, err);
}

/* There are other words for them: --gpus-per-node=…, --gres=mps:… */
static bool extra_names_gpus(const struct cop_slurm_config *c)
{
	for (size_t i = 0; i < c->extra.n; i++)
		if (strcasestr(c->extra.v[i], "gpu") || strcasestr(c->extra.v[i], "gres"))
			return true;
	return false;
}

void cop_batch_advise_gpus(const struct cop_experiment *e)
{
	const struct cop_slurm_config *s = &e->slurm;
	int kind = e->device.choice.kind;
	if (kind == COP_DEVICE_CUDA && s->gpus == 0 && !extra_names_gpus(s))
		cop_warn("'device.kind' is cuda, but 'slurm.gpus' is 0: tasks of SLURM may see no GPU");
	if (kind == COP_DEVICE_CPU && s->gpus > 0)
		cop_warn("'slurm.gpus' is %" PRId64 ", but 'device.kind' is cpu: they would lie idle", s->gpus);
	else if (s->gpus > 1)
		cop_warn("'slurm.gpus' is %" PRId64 ", but a task's cells use one GPU, and a dense run 'device.ranks' "
			 "of them, which it asks for by itself",
			 s->gpus);
}

int cop_batch_check_scripts(const struct cop_run *r, struct cop_err *err)
{
	char *path = cop_run_file(r, "jobs/cells.sbatch"), *text = NULL, *quoted = cop_xasprintf("'%s'", r->path);
	size_t len;
	int rc = cop_read_file(path, &text, &len, err);
	if (rc)
		cop_context(err, "plan '%s' again", r->path);
	else if (!strstr(text, quoted))
		rc = cop_fail(err, COP_EINPUT,
			      "'%s' was written for another folder: '%s' was moved or copied; plan again into it", path,
			      r->path);
	free(quoted);
	free(text);
	free(path);
	return rc;
}

/* The templates put paths into quotes of the shell and into SLURM's patterns: what has a meaning there is refused. */
static int check_path(const char *path, struct cop_err *err)
{
	if (strpbrk(path, "'\"%\\\n\r"))
		return cop_fail(
			err, COP_EINPUT,
			"the path '%s' cannot stand in a batch script: it holds a quote, '%%', '\\' or a line break",
			path);
	return 0;
}

int64_t cop_batch_at_once(const struct cop_slurm_config *c)
{
	int64_t each = c->concurrent ? c->cells_per_task : 1;
	return c->max_running > 0 && c->max_running < each ? 1 : c->max_running / each;
}

int cop_batch_write(const struct cop_run *r, struct cop_err *err)
{
	struct cop_err why = {0};
	if (check_path(r->path, &why)) {
		cop_warn("%s: no batch scripts were written, the run stays on this machine", why.msg);
		return 0;
	}
	const struct cop_slurm_config *s = &r->experiment.slurm;
	char *cpus = cop_xasprintf("%" PRId64, s->cpus),
	     *gpus = s->gpus ? cop_xasprintf("%" PRId64, s->gpus) : cop_xstrdup("");
	int64_t dense_gpus = cop_experiment_dense_gpus(&r->experiment);
	char *more_gpus = dense_gpus ? cop_xasprintf("%" PRId64, dense_gpus) : cop_xstrdup("");
	char *options = options_of(s), *modules = lines_of(&s->prologue), *program = cop_program_path();
	int64_t each = s->cells_per_task, tasks = ((int64_t)r->ncells + each - 1) / each;
	char *per_task = cop_xasprintf("%" PRId64, each), *dense = array_of(r->experiment.sweep.replicates, 0),
	     *cells = array_of(tasks, cop_batch_at_once(s));
	struct cop_fill fill[] = {
		{"NAME", r->experiment.name},
		{"RUN", r->path},
		{"COPPICE", program},
		{"TIME", s->time},
		{"CPUS", cpus},
		{"MEM", s->mem},
		{"OPTIONS", options},
		{"MODULES", modules},
		{"PER_TASK", per_task},
		{"CONCURRENT", s->concurrent ? "--concurrent" : ""},
		{"GPUS", more_gpus},
		{"ARRAY", dense},
	};
	enum { N = sizeof(fill) / sizeof(fill[0]) };
	int rc = write_one(r, "dense.sbatch", fill, N, err);
	fill[N - 2].value = gpus;
	fill[N - 1].value = cells;
	if (!rc)
		rc = write_one(r, "cells.sbatch", fill, N, err);
	if (!rc)
		rc = write_one(r, "collect.sbatch", fill, N, err);
	if (!rc)
		rc = write_one(r, "next.sbatch", fill, N, err);
	char *owned[] = {cpus, gpus, more_gpus, options, modules, program, per_task, dense, cells};
	for (size_t i = 0; i < sizeof(owned) / sizeof(owned[0]); i++)
		free(owned[i]);
	return rc;
}
