/*
 * The energy that a process takes, from the counters of the machine: RAPL's of the processors' packages, which Linux
 * has below /sys/class/powercap (Intel's and AMD's alike; since 2020 only root may read them, unless the site allows
 * more), and NVML's of NVIDIA's GPUs, whose library is opened at run time.
 *
 * A processor counts for all that runs on it. Of that a process is given the part that its cores are of the node's:
 * exact where the node is full of the same work, too little where it is idle beside it. Memory, disks, fans and power
 * supplies are not counted.
 *
 * Of GPUs it says, too, how much of the time they computed, whoever it was for: NVML's utilisation, looked at every
 * second.
 *
 * $COPPICE_POWERCAP is read in place of /sys/class/powercap, and $COPPICE_NVML opened in place of libnvidia-ml.so.1.
 */
#ifndef COP_BASE_ENERGY_H
#define COP_BASE_ENERGY_H

#include <stddef.h>

struct cop_energy;

struct cop_energy_share {
	int cores;    /* that the process computes with */
	int gpus;     /* that it was promised: the first so many where CUDA_VISIBLE_DEVICES does not name them */
	int together; /* processes that share these GPUs, itself among them; 0 is 1 */
};

/* Begins to count. Never fails: what has no counter is not counted. Free it. */
struct cop_energy *cop_energy_open(const struct cop_energy_share *s);
void cop_energy_free(struct cop_energy *e); /* NULL is allowed */

/*
 * Joules since the beginning. NaN where no counter can be read, or none for GPUs that the process has: a sum without
 * what takes the most of it would mislead. A counter begins again at its largest value, after 20 minutes at the
 * earliest: read it more often than that.
 */
double cop_energy_read(struct cop_energy *e);

/* GPUs of the process: whole ones, or the part of them that is its own where several processes share them. */
double cop_energy_gpus(const struct cop_energy *e);

/*
 * Seconds since the beginning in which the process's GPUs told how busy they are, and how many of them they were, on
 * average over them: busy / watched is their mean utilisation. Both 0 where there are none, or one does not tell.
 */
struct cop_gpu_time {
	double watched, busy;
};
struct cop_gpu_time cop_energy_gpu_time(struct cop_energy *e);

/* What can be counted, in words, into buf; returns how many counters there are. For `coppice doctor`. */
int cop_energy_describe(char *buf, size_t size);

#endif
