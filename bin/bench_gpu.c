/* A GPU, for 'coppice bench'; see bench.h. */
#include "bench.h"

#include <stdio.h>

/* Numbers that kernels are timed on: more than a GPU's caches hold. */
enum { NUMBERS = 64 << 20 };

static size_t numbers(const struct cop_bench_run *run)
{
	return run->args->elements && run->args->elements < NUMBERS ? (size_t)run->args->elements : NUMBERS;
}

int cop_bench_open_gpu(const struct cop_bench_run *run, const struct cop_cuda_module **m, const struct cop_backend **b,
		       struct cop_err *err)
{
	int rc = cop_backend_open(&run->args->device, b, err);
	return rc ? rc : cop_cuda_load(m, err);
}

static int measure(const struct cop_bench_run *run, enum cop_cuda_work work, size_t n, const struct cop_backend **b,
		   struct cop_cuda_timing *t, int *found, struct cop_err *err)
{
	const struct cop_cuda_module *m;
	int rc = cop_bench_open_gpu(run, &m, b, err);
	return rc ? rc : m->measure(work, n, t, found, err);
}

int cop_bench_measure_gpu(struct cop_bench_run *run, struct cop_bench_gpu *gpu, struct cop_err *err)
{
	struct cop_cuda_timing t[COP_CUDA_TIMINGS];
	const struct cop_backend *b;
	int n;
	int rc = measure(run, COP_CUDA_COPY, numbers(run), &b, t, &n, err);
	if (rc)
		return rc;
	cop_backend_describe(b, gpu->name, sizeof(gpu->name));
	gpu->copy_gbs = t[0].bytes / t[0].seconds * 1e-9;
	return 0;
}

/* Its floor: the bytes at the rate of copying. */
static void add_timing(struct cop_bench_run *run, const struct cop_cuda_timing *t, double rate, const char *unit)
{
	struct cop_bench_row r = cop_bench_row(run, t->seconds, rate, unit);
	r.floor = t->bytes / (run->gpu.copy_gbs * 1e9);
	snprintf(r.name, sizeof(r.name), "%.63s, %.3g MB", t->name, t->bytes * 1e-6);
	cop_bench_add(run, &r);
}

int cop_bench_kernels(struct cop_bench_run *run, struct cop_err *err)
{
	struct cop_cuda_timing t[COP_CUDA_TIMINGS];
	const struct cop_backend *b;
	int n;
	int rc = measure(run, COP_CUDA_KERNELS, numbers(run), &b, t, &n, err);
	for (int i = 0; i < n && !rc; i++)
		add_timing(run, &t[i], t[i].bytes / t[i].seconds * 1e-9, "GB/s");
	return rc;
}

int cop_bench_quantiles_gpu(struct cop_bench_run *run, size_t n, struct cop_err *err)
{
	struct cop_cuda_timing t[COP_CUDA_TIMINGS];
	const struct cop_backend *b;
	int found;
	int rc = measure(run, COP_CUDA_SELECT, n, &b, t, &found, err);
	if (!rc)
		add_timing(run, &t[0], (double)n / t[0].seconds, "elements/s");
	return rc;
}
