/* SLURM, through the module or through its commands; see slurm.h. */
#include "sched/slurm.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/module.h"
#include "base/str.h"
#include "sched/args.h"
#include "sched/environment.h"
#include "sched/queue.h"
#include "sched/schedulers.h"
#include "sched/script.h"
#include "sched/slurm_commands.h"
#include "sched/slurm_module.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum { WAY_UNKNOWN, WAY_MODULE, WAY_COMMANDS } way;
static const struct cop_slurm_module *module;

/* Whether $SLURM_CONF is set to a file that is not there; SLURM's programs wait a minute for it. */
static bool configuration_is_gone(void)
{
	const char *conf = getenv("SLURM_CONF");
	return conf && *conf && access(conf, R_OK) != 0;
}

/* Whether libslurm would find a configuration. Without one slurm_init() would end this process. */
bool cop_slurm_configured(void)
{
	static const char *const places[] = {"/etc/slurm/slurm.conf", "/etc/slurm-llnl/slurm.conf",
					     "/run/slurm/conf/slurm.conf"};
	const char *conf = getenv("SLURM_CONF");
	if (conf && *conf)
		return true;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (access(places[i], R_OK) == 0)
			return true;
	return false;
}

static int open_module(struct cop_err *err)
{
	const void *table = NULL;
	if (!cop_slurm_configured())
		return cop_fail(err, COP_EMISSING, "there is no slurm.conf in /etc/slurm, and SLURM_CONF is not set");
	int rc = cop_module_open("slurm", "cop_slurm_module", COP_SLURM_INTERFACE, &table, err);
	if (rc)
		return rc;
	module = table;
	way = WAY_MODULE;
	return 0;
}

static int open_commands(struct cop_err *err)
{
	if (!cop_commands_here())
		return cop_fail(err, COP_EMISSING, "sbatch is not in PATH, or finds no cluster");
	way = WAY_COMMANDS;
	return 0;
}

int cop_slurm_open(struct cop_err *err)
{
	const char *forced = getenv("COPPICE_SLURM");
	struct cop_err why = {0}, why_not = {0};
	if (way != WAY_UNKNOWN)
		return 0;
	if (forced && *forced && strcmp(forced, "module") != 0 && strcmp(forced, "sbatch") != 0)
		return cop_fail(err, COP_EINPUT, "COPPICE_SLURM is '%s'; it can be module or sbatch", forced);
	if (configuration_is_gone())
		return cop_fail(err, COP_EMISSING, "no SLURM here: SLURM_CONF names '%s', which cannot be read",
				getenv("SLURM_CONF"));
	if (forced && strcmp(forced, "module") == 0)
		return open_module(err);
	if (forced && strcmp(forced, "sbatch") == 0)
		return open_commands(err);
	if (open_module(&why) == 0)
		return 0;
	if (open_commands(&why_not) == 0) {
		cop_debug("SLURM through its commands: %s", why.msg);
		return 0;
	}
	return cop_fail(err, COP_EMISSING, "no SLURM here: %s; %s", why.msg, why_not.msg);
}

bool cop_slurm_here(char *how, size_t size)
{
	struct cop_err err = {0};
	if (cop_slurm_open(&err)) {
		snprintf(how, size, "no SLURM here");
		return false;
	}
	snprintf(how, size, "%s", way == WAY_MODULE ? module->header.about : "sbatch");
	return true;
}

static bool is_number(const char *text, size_t n, int64_t least)
{
	char digits[16];
	int64_t number;
	if (n == 0 || n >= sizeof(digits) || strspn(text, "0123456789") < n)
		return false;
	snprintf(digits, sizeof(digits), "%.*s", (int)n, text);
	return cop_parse_i64(digits, &number) && number >= least && number < UINT32_MAX;
}

/* "12", with `task` also "12_3", with `list` also "12:13_4": what may become part of a command. */
static int check_ids(const char *ids, bool task, bool list, struct cop_err *err)
{
	bool good = true;
	for (const char *id = ids; good; id++) {
		size_t n = strcspn(id, ":"), job = strcspn(id, "_:");
		good = is_number(id, job, 1) && (job == n || (task && is_number(id + job + 1, n - job - 1, 0)));
		id += n;
		if (!*id)
			break;
		good = good && list;
	}
	return good ? 0 : cop_fail(err, COP_EINPUT, "'%s' is no number of a SLURM job", ids);
}

static int submit_by_module(const struct cop_job *job, const struct cop_script *script, char *id, struct cop_err *err)
{
	struct cop_args env = {0}, argv = {0};
	char *array = cop_array_text(job), *dependency = cop_dependency_text(job), *here = getcwd(NULL, 0),
	     *path = cop_absolute(job->script);
	char note[512] = "";
	const char *name = job->name ? job->name : script->name ? script->name : "coppice";
	uint32_t number = 0;

	cop_environment_of_job(&env, name, script);
	cop_args_add(&argv, "%s", path);
	for (const char *const *arg = job->args; arg && *arg; arg++)
		cop_args_add(&argv, "%s", *arg);
	struct cop_slurm_request request = {.script = script,
					    .name = name,
					    .folder = job->folder ? job->folder
						      : here      ? here
								  : "/",
					    .array = array ? array : script->array,
					    .dependency = dependency,
					    .cancel_if_never = job->after_ok || job->after_corr,
					    .argv = (const char *const *)argv.v,
					    .argc = (uint32_t)argv.n,
					    .environment = env.v,
					    .nenvironment = (uint32_t)env.n};
	int rc = module->submit(&request, &number, note, sizeof(note), err);
	if (!rc) {
		snprintf(id, COP_JOB_ID, "%u", number);
		if (note[0])
			cop_info("%s", note);
	}
	free(array);
	free(dependency);
	free(here);
	free(path);
	cop_args_release(&env);
	cop_args_release(&argv);
	return rc;
}

static int slurm_submit(const struct cop_job *job, char *id, struct cop_err *err)
{
	struct cop_script script = {0};
	const char *variable = cop_environment_option();
	const char *const waits[] = {job->after_ok, job->after_corr, job->after_any};
	int rc = 0;
	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]) && !rc; i++)
		rc = waits[i] ? check_ids(waits[i], true, true, err) : 0;
	if (!rc)
		rc = cop_script_read(job->script, &script, err);
	if (rc)
		return rc;
	if (way == WAY_MODULE && !script.unknown && !variable) {
		rc = submit_by_module(job, &script, id, err);
	} else {
		if (way == WAY_MODULE && script.unknown)
			cop_info("submitting '%s' through sbatch, which knows what '%s' means", job->script,
				 script.unknown);
		else if (way == WAY_MODULE)
			cop_info("submitting '%s' through sbatch, for the sake of %.*s in the environment", job->script,
				 (int)strcspn(variable, "="), variable);
		rc = cop_commands_submit(job, id, err);
	}
	cop_script_release(&script);
	return rc ? cop_context(err, "cannot submit '%s'", job->name ? job->name : job->script) : 0;
}

/* Where the module's rows go. */
struct rows {
	struct cop_queue *queue;
	struct cop_err *err;
};

static int add_row(const struct cop_slurm_record *row, void *user)
{
	const struct rows *to = user;
	return cop_queue_add(to->queue, row, to->err);
}

static int slurm_query(const struct cop_question *question, struct cop_answer *a, struct cop_err *err)
{
	struct cop_queue q = {.question = question};
	struct rows to = {&q, err};
	int rc = 0;
	*a = (struct cop_answer){0};
	for (size_t i = 0; i < question->n && !rc; i++)
		rc = check_ids(question->ids[i], false, false, err);
	if (!rc && (question->n > 0 || question->folder))
		rc = way == WAY_MODULE ? module->query(add_row, &to, err) : cop_commands_query(&q, err);
	if (rc) {
		cop_answer_release(&q.answer);
		return cop_context(err, "cannot ask SLURM for its queue");
	}
	*a = q.answer;
	return 0;
}

static int slurm_cancel(const char *id, struct cop_err *err)
{
	int rc = check_ids(id, true, false, err);
	if (!rc && way == WAY_MODULE)
		rc = module->cancel(id, err);
	else if (!rc)
		rc = cop_commands_cancel(id, err);
	return rc ? cop_context(err, "cannot cancel job %s", id) : 0;
}

/* libslurm's function for it has changed its arguments between releases. */
static int slurm_script(const char *id, char **text, struct cop_err *err)
{
	*text = NULL;
	int rc = check_ids(id, true, false, err);
	if (!rc)
		rc = cop_commands_script(id, text, err);
	return rc ? cop_context(err, "cannot read the script of job %s", id) : 0;
}

static int slurm_limits(struct cop_limits *limits, struct cop_err *err)
{
	int rc = way == WAY_MODULE ? module->limits(limits, err) : cop_commands_limits(limits, err);
	return rc ? cop_context(err, "cannot read SLURM's configuration") : 0;
}

const struct cop_scheduler cop_slurm_scheduler = {
	.name = "slurm",
	.submit = slurm_submit,
	.query = slurm_query,
	.cancel = slurm_cancel,
	.script = slurm_script,
	.limits = slurm_limits,
};
