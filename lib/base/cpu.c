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

size_t cop_memory_peak(void)
{
	struct rusage u;
	return getrusage(RUSAGE_SELF, &u) == 0 ? (size_t)u.ru_maxrss * 1024 : 0;
}
