/*
 * coppice-slurm.so: what libslurm does for the library, and nothing else. The only file that includes SLURM's headers.
 *
 * Of libslurm it uses what has been the same since 22.05. What differs by version stands under SLURM_VERSION_NUMBER;
 * only 22.05 was run. Names of states and reasons: libslurm has functions for them, but no public header declares
 * these, so there are tables here.
 */
#include "sched/slurm_module.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <slurm/slurm.h>
#include <slurm/slurm_errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if SLURM_VERSION_NUMBER >= SLURM_VERSION_NUM(23, 11, 0)
#define TRES_PREFIX "gres/"
#else
#define TRES_PREFIX "gres:"
#endif

extern const struct cop_slurm_module cop_slurm_module;

static int fail(struct cop_err *err, const char *fmt, ...) COP_PRINTF(2, 3);

/* cop_fail() is the library's; the module has its own. */
static int fail(struct cop_err *err, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	if (err) {
		err->code = COP_EFAILED;
		vsnprintf(err->msg, sizeof(err->msg), fmt, args);
	}
	va_end(args);
	return COP_EFAILED;
}

static int fail_as_slurm(struct cop_err *err, int error)
{
	return fail(err, "SLURM says '%s' (%d)", slurm_strerror(error), error);
}

/* SLURM's plugins take libslurm's functions from the global names, where a module's own libraries are not. */
static int make_global(struct cop_err *err)
{
	Dl_info where;
	void (*function)(const char *) = slurm_init;
	void *address;
	memcpy(&address, &function, sizeof(address));
	if (!dladdr(address, &where) || !dlopen(where.dli_fname, RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD))
		return fail(err, "cannot open libslurm for its plugins");
	return 0;
}

/* Reads the configuration, once. It must be there: slurm_init() ends the process where it is not. */
static int start(struct cop_err *err)
{
	static bool started;
	if (started)
		return 0;
	int rc = make_global(err);
	if (rc)
		return rc;
	slurm_init(NULL);
	started = true;
	return 0;
}

/* Each item of a list "gpu:2,license:1" with the prefix that SLURM's own tools put before it. NULL: no memory. */
static char *with_prefix(const char *list, const char *prefix)
{
	size_t items = 1;
	for (const char *s = list; *s; s++)
		items += *s == ',';
	char *text = malloc(strlen(list) + items * strlen(prefix) + 1), *end = text;
	if (!text)
		return NULL;
	for (const char *s = list;;) {
		size_t n = strcspn(s, ",");
		memcpy(end, prefix, strlen(prefix));
		memcpy(end + strlen(prefix), s, n);
		end += strlen(prefix) + n;
		s += n;
		if (!*s)
			break;
		*end++ = *s++;
	}
	*end = '\0';
	return text;
}

/* What the script asks for. Strings stay its own: libslurm's struct lacks const, but submitting only reads. */
static void describe_script(job_desc_msg_t *d, const struct cop_script *s)
{
	d->script = s->text;
	d->partition = s->partition;
	d->account = s->account;
	d->qos = s->qos;
	d->features = s->constraint;
	d->exc_nodes = s->exclude;
	d->reservation = s->reservation;
	d->comment = s->comment;
	d->std_err = s->error;
	if (s->minutes >= 0)
		d->time_limit = s->minutes == COP_TIME_UNLIMITED ? INFINITE : (uint32_t)s->minutes;
	d->min_nodes = 1;
	d->min_cpus = 1;
	if (s->cpus > 0) {
		d->cpus_per_task = (uint16_t)s->cpus;
		d->min_cpus = (uint32_t)s->cpus;
	}
	if (s->mem_node >= 0)
		d->pn_min_memory = (uint64_t)s->mem_node;
	else if (s->mem_cpu >= 0)
		d->pn_min_memory = (uint64_t)s->mem_cpu | MEM_PER_CPU;
	if (s->requeue >= 0)
		d->requeue = (uint16_t)s->requeue;
	if (s->append >= 0)
		d->open_mode = s->append ? OPEN_MODE_APPEND : OPEN_MODE_TRUNCATE;
	if (s->signal > 0) {
		d->warn_signal = (uint16_t)s->signal;
		d->warn_time = (uint16_t)s->signal_seconds;
		d->warn_flags = s->signal_batch ? KILL_JOB_BATCH : 0;
	}
}

static void describe_request(job_desc_msg_t *d, const struct cop_slurm_request *r)
{
	describe_script(d, r->script);
	d->name = (char *)r->name;
	d->work_dir = (char *)r->folder;
	d->array_inx = (char *)r->array;
	d->dependency = (char *)r->dependency;
	if (r->cancel_if_never)
		d->bitflags |= KILL_INV_DEP;
	d->argc = r->argc;
	d->argv = (char **)r->argv;
	d->environment = (char **)r->environment;
	d->env_size = r->nenvironment;
	d->user_id = getuid();
	d->group_id = getgid();
}

/* What sbatch tries again, as it does, but not for as long. */
static bool worth_retrying(int error)
{
	return error == EAGAIN || error == ESLURM_NODES_BUSY;
}

/* MaxJobCount is reached, or what an account, a QOS or a user may submit. */
static bool is_full(int error)
{
	return error == EAGAIN || error == ESLURM_ERROR_ON_DESC_TO_RECORD_COPY || error == ESLURM_ACCOUNTING_POLICY;
}

static int submit(const struct cop_slurm_request *request, uint32_t *id, char *note, size_t size, struct cop_err *err)
{
	enum { TRIES = 3 };
	/* what sbatch has by default */
	char array_log[] = "slurm-%A_%a.out", log[] = "slurm-%j.out", null[] = "/dev/null";
	const struct cop_script *s = request->script;
	submit_response_msg_t *response = NULL;
	job_desc_msg_t d;
	int error = 0;

	int rc = start(err);
	if (rc)
		return rc;
	char *gres = s->gres ? with_prefix(s->gres, TRES_PREFIX) : NULL;
	char *gpus = s->gpus ? with_prefix(s->gpus, TRES_PREFIX "gpu:") : NULL;
	if ((s->gres && !gres) || (s->gpus && !gpus)) {
		free(gres);
		return fail(err, "out of memory");
	}
	slurm_init_job_desc_msg(&d);
	describe_request(&d, request);
	d.std_in = null;
	d.std_out = s->output ? s->output : request->array ? array_log : log;
	d.tres_per_node = gres;
	d.tres_per_job = gpus;
	for (unsigned try = 1; try <= TRIES; try++) {
		error = slurm_submit_batch_job(&d, &response) == SLURM_SUCCESS ? 0 : errno ? errno : SLURM_ERROR;
		if (!worth_retrying(error) || try == TRIES)
			break;
		sleep(try);
	}
	free(gres);
	free(gpus);
	if (error) {
		fail_as_slurm(err, error);
		if (err && is_full(error))
			err->code = COP_EFULL;
		return is_full(error) ? COP_EFULL : COP_EFAILED;
	}
	*id = response->job_id;
	snprintf(note, size, "%s", response->job_submit_user_msg ? response->job_submit_user_msg : "");
	slurm_free_submit_response_response_msg(response);
	return 0;
}

static const char *state_name(uint32_t state)
{
	static const char *const names[] = {
		[JOB_PENDING] = "PENDING",     [JOB_RUNNING] = "RUNNING",     [JOB_SUSPENDED] = "SUSPENDED",
		[JOB_COMPLETE] = "COMPLETED",  [JOB_CANCELLED] = "CANCELLED", [JOB_FAILED] = "FAILED",
		[JOB_TIMEOUT] = "TIMEOUT",     [JOB_NODE_FAIL] = "NODE_FAIL", [JOB_PREEMPTED] = "PREEMPTED",
		[JOB_BOOT_FAIL] = "BOOT_FAIL", [JOB_DEADLINE] = "DEADLINE",   [JOB_OOM] = "OUT_OF_MEMORY",
	};
	uint32_t base = state & JOB_STATE_BASE;
	if (state & JOB_COMPLETING)
		return "COMPLETING";
	if (state & JOB_CONFIGURING)
		return "CONFIGURING";
	return base < sizeof(names) / sizeof(names[0]) && names[base] ? names[base] : "ENDED";
}

/* The ones to act on or explain. */
static const char *reason_name(uint32_t reason)
{
	static const char *const names[] = {
		[WAIT_NO_REASON] = "None",
		[WAIT_PRIORITY] = "Priority",
		[WAIT_DEPENDENCY] = "Dependency",
		[WAIT_RESOURCES] = "Resources",
		[WAIT_PART_NODE_LIMIT] = "PartitionNodeLimit",
		[WAIT_PART_TIME_LIMIT] = "PartitionTimeLimit",
		[WAIT_PART_DOWN] = "PartitionDown",
		[WAIT_PART_INACTIVE] = "PartitionInactive",
		[WAIT_HELD] = "JobHeldAdmin",
		[WAIT_TIME] = "BeginTime", /* also a requeued job that waits */
		[WAIT_LICENSES] = "Licenses",
		[WAIT_ASSOC_JOB_LIMIT] = "AssociationJobLimit",
		[WAIT_ASSOC_RESOURCE_LIMIT] = "AssociationResourceLimit",
		[WAIT_ASSOC_TIME_LIMIT] = "AssociationTimeLimit",
		[WAIT_RESERVATION] = "Reservation",
		[WAIT_NODE_NOT_AVAIL] = "NodeDown",
		[WAIT_HELD_USER] = "JobHeldUser",
		[FAIL_BAD_CONSTRAINTS] = "BadConstraints",
		[FAIL_LAUNCH] = "JobLaunchFailure",
		[FAIL_EXIT_CODE] = "NonZeroExitCode",
		[FAIL_TIMEOUT] = "TimeLimit",
		[FAIL_ACCOUNT] = "InvalidAccount",
		[FAIL_QOS] = "InvalidQOS",
		[WAIT_CLEANING] = "Cleaning",
		[WAIT_QOS] = "QOSNotAllowed",
		[WAIT_ACCOUNT] = "AccountNotAllowed",
		[WAIT_DEP_INVALID] = "DependencyNeverSatisfied",
		[WAIT_QOS_MAX_JOB_PER_USER] = "QOSMaxJobsPerUserLimit",
		[WAIT_ASSOC_MAX_JOBS] = "AssocMaxJobsLimit",
		[WAIT_MAX_REQUEUE] = "JobHoldMaxRequeue",
		[WAIT_ARRAY_TASK_LIMIT] = "JobArrayTaskLimit",
		[FAIL_OOM] = "OutOfMemory",
	};
	if (reason < sizeof(names) / sizeof(names[0]) && names[reason])
		return names[reason];
	return reason >= WAIT_QOS_GRP_CPU && reason <= WAIT_ASSOC_MAX_SUB_JOB ? "AccountingLimit" : "Other";
}

/* slurm_load_jobs() with array_task_str in full: it would be cut at 64 characters. */
static int load_jobs(time_t since, job_info_msg_t **jobs)
{
	static const char variable[] = "SLURM_BITSTR_LEN";
	bool was_set = getenv(variable) != NULL;
	if (!was_set)
		setenv(variable, "0", 1);
	int rc = slurm_load_jobs(since, jobs, SHOW_ALL);
	int error = errno;
	if (!was_set)
		unsetenv(variable);
	errno = error;
	return rc;
}

static int exit_code_of(const slurm_job_info_t *j)
{
	int status = (int)j->exit_code;
	return (j->job_state & JOB_STATE_BASE) == JOB_FAILED && WIFEXITED(status) ? WEXITSTATUS(status) : 0;
}

static int query(int (*each)(const struct cop_slurm_record *row, void *user), void *user, struct cop_err *err)
{
	/* kept: where nothing has changed slurmctld says only that */
	static job_info_msg_t *jobs;
	job_info_msg_t *news = NULL;
	int rc = start(err);
	if (rc)
		return rc;
	if (load_jobs(jobs ? jobs->last_update : 0, &news) == SLURM_SUCCESS) {
		if (jobs)
			slurm_free_job_info_msg(jobs);
		jobs = news;
	} else if (errno != SLURM_NO_CHANGE_IN_DATA || !jobs) {
		int error = errno;
		return fail_as_slurm(err, error);
	}
	for (uint32_t i = 0; i < jobs->record_count && !rc; i++) {
		const slurm_job_info_t *j = &jobs->job_array[i];
		char number[16];
		snprintf(number, sizeof(number), "%u", j->array_task_id);
		struct cop_slurm_record row = {.job = j->array_job_id ? j->array_job_id : j->job_id,
					       .tasks = j->array_task_str            ? j->array_task_str
							: j->array_task_id != NO_VAL ? number
										     : NULL,
					       .state = state_name(j->job_state),
					       .reason = reason_name(j->state_reason),
					       .node = j->nodes,
					       .command = j->command,
					       .exit_code = exit_code_of(j)};
		rc = each(&row, user);
	}
	return rc;
}

static int cancel(const char *id, struct cop_err *err)
{
	int rc = start(err);
	if (rc)
		return rc;
	/* slurmctld turns this into an orderly end: TERM, and KILL after KillWait */
	if (slurm_kill_job2(id, SIGKILL, 0, NULL) == SLURM_SUCCESS)
		return 0;
	int error = errno;
	if (error == ESLURM_INVALID_JOB_ID || error == ESLURM_ALREADY_DONE)
		return 0;
	return fail_as_slurm(err, error);
}

/* How many tasks "0-9,11,20-40:5%3" names. */
static int64_t count_tasks(const char *s)
{
	int64_t n = 0;
	while (*s && *s != '%') {
		char *end;
		long first = strtol(s, &end, 10), last = *end == '-' ? strtol(end + 1, &end, 10) : first;
		long step = *end == ':' ? strtol(end + 1, &end, 10) : 1;
		n += step > 0 && last >= first ? (last - first) / step + 1 : 1;
		if (end == s)
			break;
		s = end + (*end == ',');
	}
	return n;
}

/* What counts against MaxJobCount now: of all users, and for MinJobAge seconds after their end. */
static int count_queue(int64_t *n, struct cop_err *err)
{
	job_info_msg_t *jobs = NULL;
	if (load_jobs(0, &jobs) != SLURM_SUCCESS)
		return fail_as_slurm(err, errno);
	*n = 0;
	for (uint32_t i = 0; i < jobs->record_count; i++)
		*n += jobs->job_array[i].array_task_str ? count_tasks(jobs->job_array[i].array_task_str) : 1;
	slurm_free_job_info_msg(jobs);
	return 0;
}

static int limits(struct cop_limits *l, struct cop_err *err)
{
	slurm_conf_t *conf = NULL;
	int rc = start(err);
	if (rc)
		return rc;
	if (slurm_load_ctl_conf(0, &conf) != SLURM_SUCCESS) {
		int error = errno;
		return fail_as_slurm(err, error);
	}
	*l = (struct cop_limits){.array_size = conf->max_array_sz, .jobs = conf->max_job_cnt};
	snprintf(l->version, sizeof(l->version), "%s", conf->version ? conf->version : "");
	snprintf(l->cluster, sizeof(l->cluster), "%s", conf->cluster_name ? conf->cluster_name : "");
	slurm_free_ctl_conf(conf);
	return count_queue(&l->in_queue, err);
}

static char about[48];

/* Runs when the module is opened: the version is 0xMMmmpp, year, month and patch of the release. */
static void __attribute__((constructor)) describe(void)
{
	const unsigned v = SLURM_VERSION_NUMBER;
	snprintf(about, sizeof(about), "libslurm, built for %u.%02u.%u", v >> 16, v >> 8 & 255, v & 255);
}

const struct cop_slurm_module cop_slurm_module = {
	.header = {.version = COP_SLURM_INTERFACE, .about = about},
	.submit = submit,
	.query = query,
	.cancel = cancel,
	.limits = limits,
};
