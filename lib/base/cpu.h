/* The processors and the memory that this process may use. */
#ifndef COP_BASE_CPU_H
#define COP_BASE_CPU_H

#include <stddef.h>

/* How many: the affinity mask, and no more than SLURM_CPUS_PER_TASK where a job sets it. At least 1. */
int cop_cpu_count(void);

/* The model's name, as /proc/cpuinfo has it, into buf; returns buf. */
const char *cop_cpu_name(char *buf, size_t size);

/* Memory of the machine in bytes. */
size_t cop_memory_total(void);

/*
 * Memory that this process may use, in bytes: the machine's, and no more than its control group allows it, or than a
 * SLURM job asked for.
 */
size_t cop_memory_limit(void);

/* The most resident memory so far, in bytes; 0 where unknown. */
size_t cop_memory_peak(void);

#endif
