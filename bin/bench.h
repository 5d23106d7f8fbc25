/*
 * What the benchmarks of 'coppice bench' share. Each runs in a process of its own, forked before any thread is started:
 * so its peak of memory is its own, and it finds the allocator as a fresh program does. What it measures goes to the
 * parent as rows.
 */
#ifndef COP_BIN_BENCH_H
#define COP_BIN_BENCH_H

#include "base/err.h"
#include "compute/cuda.h"

#include <math.h>
#include <stddef.h>

/* One line of the table; NaN where there is no such figure. */
struct cop_bench_row {
	char name[96], unit[16];
	int threads;
	double seconds;       /* median */
	double rate;          /* in `unit` */
	double floor;         /* seconds at the rate of large products or of the memory */
	double memory, arena; /* bytes: the process's peak, or a GPU's; activations, their gradients and workspace */
	double data_wait;     /* share of the steps' time */
};

/* Options; 0: the benchmark's own. */
struct cop_bench_args {
	struct cop_device_choice device; /* the CPU, or a GPU */
	int threads, steps, batch, size;
	long long elements;
};

/* What a GPU gives. */
struct cop_bench_gpu {
	char name[COP_CUDA_TEXT]; /* with precision and libraries */
	double copy_gbs;          /* read and written counted */
};

struct cop_bench_run {
	const struct cop_bench_args *args;
	const char *name;         /* of the benchmark */
	const char *folder;       /* of 'pack' */
	struct cop_cpu_peak peak; /* with a GPU: nothing */
	struct cop_bench_gpu gpu; /* without: nothing */
	int to_parent;
};

/* Does a benchmark and hands its rows to cop_bench_add(). */
typedef int cop_bench_work(struct cop_bench_run *run, struct cop_err *err);

cop_bench_work cop_bench_networks, cop_bench_convolutions, cop_bench_memory, cop_bench_quantiles, cop_bench_packing;
cop_bench_work cop_bench_kernels; /* of a GPU */

/* The GPU of the arguments, opened in this process. */
int cop_bench_open_gpu(const struct cop_bench_run *run, const struct cop_cuda_module **m, const struct cop_backend **b,
		       struct cop_err *err) COP_CHECKED;
/* What it gives. */
int cop_bench_measure_gpu(struct cop_bench_run *run, struct cop_bench_gpu *gpu, struct cop_err *err) COP_CHECKED;
/* The nine quantiles on it. */
int cop_bench_quantiles_gpu(struct cop_bench_run *run, size_t n, struct cop_err *err) COP_CHECKED;

/* A row with everything else unknown. */
struct cop_bench_row cop_bench_row(const struct cop_bench_run *run, double seconds, double rate, const char *unit);
void cop_bench_add(const struct cop_bench_run *run, const struct cop_bench_row *row);

/* What the machine or its GPU gives, measured in a process of its own, into run->peak or run->gpu. */
int cop_bench_measure(struct cop_bench_run *run, struct cop_err *err) COP_CHECKED;

/* Does `work` in a process of its own; its rows go to `take`. COP_EFAILED where it ends without a word. */
int cop_bench_apart(struct cop_bench_run *run, cop_bench_work *work,
		    void (*take)(const struct cop_bench_row *row, void *user), void *user, struct cop_err *err)
	COP_CHECKED;

/* The names of the networks, in order, NULL behind the last. */
extern const char *const cop_bench_network_names[];

#endif
