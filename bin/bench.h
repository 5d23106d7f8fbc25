/*
 * What the benchmarks of 'coppice bench' share. Each runs in a process of its own, forked before any thread is started:
 * so its peak of memory is its own, and it finds the allocator as a fresh program does. What it measures goes to the
 * parent as rows.
 */
#ifndef COP_BIN_BENCH_H
#define COP_BIN_BENCH_H

#include "base/err.h"
#include "compute/cuda.h"
#include "nn/bench.h"
#include "nn/stopwatch.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

struct cop_table;

/* What a mask leaves of a network, and what its training takes. */
struct cop_bench_ticket {
	bool uniform; /* masks drawn at random, each tensor's for itself; else by magnitude over all weights */
	double sparsity;
	double dense_rate; /* of the dense engine, with the same mask; images a second */
	int batch, survivors, dead_rows, dead_columns, lists, layers;
	double share[COP_STEP_PARTS];
};

enum { COP_BENCH_SPARSITIES = 6 };
extern const double cop_bench_even_sparsities[COP_BENCH_SPARSITIES];

/* A layer dense and as a list. */
struct cop_bench_even {
	double speedup[COP_BENCH_SPARSITIES]; /* of the list over dense, forward and backward, at each sparsity */
	double sparsity;                      /* from which on the list is faster; NaN: from none of them */
};

/* One line of the table; NaN where there is no such figure. */
struct cop_bench_row {
	char name[96], unit[16];
	int threads;
	double seconds;       /* median */
	double rate;          /* in `unit` */
	double floor;         /* seconds at the rate of large products or of the memory */
	double memory, arena; /* bytes: the process's peak, or a GPU's; activations, their gradients and workspace */
	double data_wait;     /* share of the steps' time */
	/* with --sparse: */
	struct cop_bench_ticket ticket;
	struct cop_bench_even even;
};

/* Options; 0: the benchmark's own. */
struct cop_bench_args {
	struct cop_device_choice device; /* the CPU, or a GPU */
	int threads, steps, batch, size;
	long long elements;
	bool sparse;
	const char *checkpoint; /* whose weights masks are made from; NULL: the benchmark's own */
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
cop_bench_work cop_bench_kernels;                       /* of a GPU */
cop_bench_work cop_bench_tickets, cop_bench_break_even; /* --sparse */

/* A network with the images and the batch that it is timed with. */
struct cop_bench_network {
	const char *title;
	struct cop_model_config model;
	struct cop_bench_data images;
	int batch;
};
const struct cop_bench_network *cop_bench_find_network(const char *name);
struct cop_train_config cop_bench_training(const struct cop_bench_run *run, const struct cop_bench_network *n);

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

/* The tables of --sparse: rows of cop_bench_tickets, and of cop_bench_break_even. */
void cop_bench_ticket_table(struct cop_table *t);
void cop_bench_ticket_row(const struct cop_bench_row *r, struct cop_table *t);
void cop_bench_even_table(struct cop_table *t);
void cop_bench_even_row(const struct cop_bench_row *r, struct cop_table *t);

/* The names of the networks, in order, NULL behind the last. */
extern const char *const cop_bench_network_names[];

#endif
