/* Environments; see environment.h. What sbatch adds is told in sbatch(1), OUTPUT ENVIRONMENT VARIABLES. */
#include "sched/environment.h"

#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static bool starts(const char *s, const char *head)
{
	return strncmp(s, head, strlen(head)) == 0;
}

/* Whether `variable` was set by SLURM for the job in which this process runs. */
static bool is_of_outer_job(const char *variable)
{
	if (!getenv("SLURM_JOB_ID") || starts(variable, "SLURM_CONF="))
		return false;
	return starts(variable, "SLURM_") || starts(variable, "SBATCH_CPU_BIND") || starts(variable, "SBATCH_MEM_BIND");
}

void cop_environment(struct cop_args *env)
{
	for (char **v = environ; *v; v++)
		if (!is_of_outer_job(*v))
			cop_args_add(env, "%s", *v);
}

void cop_environment_of_commands(struct cop_args *env)
{
	for (char **v = environ; *v; v++)
		if (!is_of_outer_job(*v) && !starts(*v, "SQUEUE_") && !starts(*v, "SCANCEL_") &&
		    !starts(*v, "SCONTROL_"))
			cop_args_add(env, "%s", *v);
}

/* slurmd applies these where the site propagates limits (PropagateResourceLimits, by default all). */
static void add_limits(struct cop_args *env)
{
	static const struct {
		const char *name;
		int resource;
	} limits[] = {
		{"CPU", RLIMIT_CPU},   {"FSIZE", RLIMIT_FSIZE},     {"DATA", RLIMIT_DATA},   {"STACK", RLIMIT_STACK},
		{"CORE", RLIMIT_CORE}, {"RSS", RLIMIT_RSS},         {"NPROC", RLIMIT_NPROC}, {"NOFILE", RLIMIT_NOFILE},
		{"AS", RLIMIT_AS},     {"MEMLOCK", RLIMIT_MEMLOCK},
	};
	struct rlimit limit;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		if (getrlimit((__rlimit_resource_t)limits[i].resource, &limit) == 0)
			cop_args_add(env, "SLURM_RLIMIT_%s=%llu", limits[i].name, (unsigned long long)limit.rlim_cur);
}

/* What the options of the script turn into. */
static void add_options(struct cop_args *env, const struct cop_script *s)
{
	if (s->cpus > 0)
		cop_args_add(env, "SLURM_CPUS_PER_TASK=%d", (int)s->cpus);
	if (s->gpus)
		cop_args_add(env, "SLURM_GPUS=%s", s->gpus);
	if (s->append >= 0)
		cop_args_add(env, "SLURM_OPEN_MODE=%s", s->append ? "a" : "t");
}

void cop_environment_of_job(struct cop_args *env, const char *name, const struct cop_script *script)
{
	char host[256] = "";
	char *folder = getcwd(NULL, 0);
	mode_t mask = umask(0);
	umask(mask);
	cop_environment(env);
	cop_args_add(env, "SLURM_JOB_NAME=%s", name);
	cop_args_add(env, "SLURM_SUBMIT_DIR=%s", folder ? folder : "/");
	if (gethostname(host, sizeof(host) - 1) == 0)
		cop_args_add(env, "SLURM_SUBMIT_HOST=%s", host);
	cop_args_add(env, "SLURM_UMASK=%04o", (unsigned)mask);
	errno = 0;
	int nice = getpriority(PRIO_PROCESS, 0);
	if (nice != -1 || errno == 0)
		cop_args_add(env, "SLURM_PRIO_PROCESS=%d", nice);
	add_limits(env);
	add_options(env, script);
	free(folder);
}

const char *cop_environment_option(void)
{
	for (char **v = environ; *v; v++)
		if (starts(*v, "SBATCH_") && !is_of_outer_job(*v))
			return *v;
	return NULL;
}
