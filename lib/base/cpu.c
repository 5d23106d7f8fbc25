/* Processors; see cpu.h. */
#include "base/cpu.h"

#include "base/str.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

int cop_cpu_count(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : (int)sysconf(_SC_NPROCESSORS_ONLN);
	const char *env = getenv("SLURM_CPUS_PER_TASK");
	int64_t limit;
	if (env && cop_parse_i64(env, &limit) && limit > 0 && limit < n)
		n = (int)limit;
	return n < 1 ? 1 : n;
}

const char *cop_cpu_name(char *buf, size_t size)
{
	char line[256];
	snprintf(buf, size, "unknown");
	FILE *f = fopen("/proc/cpuinfo", "r");
	if (!f)
		return buf;
	while (fgets(line, sizeof(line), f)) {
		char *colon = strchr(line, ':');
		if (strncmp(line, "model name", 10) == 0 && colon) {
			snprintf(buf, size, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
			break;
		}
	}
	fclose(f);
	return buf;
}

size_t cop_memory_total(void)
{
	return (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
}

/* The number in a small file; 0 where there is none ("max"). */
static size_t number_in(const char *path)
{
	char text[32] = "";
	int64_t n;
	FILE *f = fopen(path, "re");
	if (!f)
		return 0;
	if (!fgets(text, sizeof(text), f))
		*text = '\0';
	fclose(f);
	text[strcspn(text, "\n")] = '\0';
	return cop_parse_i64(text, &n) && n > 0 ? (size_t)n : 0;
}

static size_t smaller(size_t a, size_t limit)
{
	return limit && limit < a ? limit : a;
}

/* A group is held to what those above it may use, too. */
static size_t group_limit(const char *root, char *group, const char *name, size_t limit)
{
	char path[4096];
	for (;;) {
		snprintf(path, sizeof(path), "%s%s/%s", root, strcmp(group, "/") == 0 ? "" : group, name);
		limit = smaller(limit, number_in(path));
		char *last = strrchr(group, '/');
		if (!last || !*group)
			return limit;
		*last = '\0';
	}
}

static size_t groups_limit(size_t limit)
{
	char line[2048];
	FILE *f = fopen("/proc/self/cgroup", "re");
	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
		if (!group)
			continue;
		*group++ = '\0';
		if (!controllers[1])
			limit = group_limit("/sys/fs/cgroup", group, "memory.max", limit);
		else if (strcmp(controllers + 1, "memory") == 0)
			limit = group_limit("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes", limit);
	}
	if (f)
		fclose(f);
	return limit;
}

/* SLURM says it in MiB; 0 is all that the node has. */
static size_t job_limit(size_t limit)
{
	int64_t node = 0, cpu = 0;
	const char *a = getenv("SLURM_MEM_PER_NODE"), *b = getenv("SLURM_MEM_PER_CPU");
	if (a && cop_parse_i64(a, &node) && node > 0 && node < INT64_MAX >> 21)
		limit = smaller(limit, (size_t)node << 20);
	if (b && cop_parse_i64(b, &cpu) && cpu > 0 && cpu < INT64_MAX >> 40)
		limit = smaller(limit, ((size_t)cpu << 20) * (size_t)cop_cpu_count());
	return limit;
}

size_t cop_memory_limit(void)
{
	return job_limit(groups_limit(cop_memory_total()));
}

size_t cop_memory_peak(void)
{
	struct rusage u;
	return getrusage(RUSAGE_SELF, &u) == 0 ? (size_t)u.ru_maxrss * 1024 : 0;
}
