/* The pieces of the work, for 'coppice bench': memory, quantiles, packing. */
#include "bench.h"
#include "data/bench.h"
#include "prune/bench.h"

#include <stdio.h>

/* What was measured for the floors, as rows: it is its own floor. */
int cop_bench_memory(struct cop_bench_run *run, struct cop_err *err)
{
	if (run->args->device.kind == COP_DEVICE_CUDA) {
		struct cop_bench_row r = cop_bench_row(run, 1 / run->gpu.copy_gbs, run->gpu.copy_gbs, "GB/s");
		snprintf(r.name, sizeof(r.name), "copying the GPU's memory, both ways counted");
		cop_bench_add(run, &r);
		return 0;
	}
	const double gbs[] = {run->peak.read_gbs, run->peak.copy_gbs};
	const char *const name[] = {"reading memory", "copying memory, both ways counted"};
	(void)err;
	for (int i = 0; i < 2; i++) {
		struct cop_bench_row r = cop_bench_row(run, 1 / gbs[i], gbs[i], "GB/s");
		snprintf(r.name, sizeof(r.name), "%s", name[i]);
		cop_bench_add(run, &r);
	}
	return 0;
}

/* The floor is two readings. */
int cop_bench_quantiles(struct cop_bench_run *run, struct cop_err *err)
{
	size_t n = run->args->elements ? (size_t)run->args->elements : 100000000;
	double seconds;
	if (run->args->device.kind == COP_DEVICE_CUDA)
		return cop_bench_quantiles_gpu(run, n, err);
	int rc = cop_bench_quantile(n, 5, &seconds, err);
	if (rc)
		return rc;
	struct cop_bench_row r = cop_bench_row(run, seconds, (double)n / seconds, "elements/s");
	snprintf(r.name, sizeof(r.name), "nine quantiles of %.3g float32", (double)n);
	r.floor = 8.0 * (double)n / (run->peak.memory_gbs * 1e9);
	cop_bench_add(run, &r);
	return 0;
}

int cop_bench_packing(struct cop_bench_run *run, struct cop_err *err)
{
	enum { SIZE = 64, SECONDS = 3 };
	int size = run->args->size ? run->args->size : SIZE;
	struct cop_bench_images images;
	int rc = cop_bench_pack(run->folder, size, run->args->threads, SECONDS, &images, err);
	if (rc)
		return rc;
	struct cop_bench_row r = cop_bench_row(run, 1 / images.images_per_second, images.images_per_second, "images/s");
	snprintf(r.name, sizeof(r.name), "decoding to %dx%dx3, %.1f MB/s of files", size, size,
		 images.bytes_per_second * 1e-6);
	cop_bench_add(run, &r);
	return 0;
}
