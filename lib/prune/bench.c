/* The benchmark of the quantiles; see bench.h. */
#include "prune/bench.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/order.h"
#include "base/rng.h"
#include "prune/quantile.h"

#include <stdlib.h>

enum { BLOCK = 1 << 16 };

static void fill(float *x, size_t n)
{
#pragma omp parallel for schedule(static)
	for (size_t b = 0; b < (n + BLOCK - 1) / BLOCK; b++) {
		struct cop_stream s;
		cop_stream_init(&s, 1, COP_PURPOSE_TEST, 0, (uint32_t)b);
		for (size_t i = b * BLOCK; i < n && i < (b + 1) * BLOCK; i++)
			x[i] = (float)cop_stream_normal(&s);
	}
}

int cop_bench_quantile(size_t n, int repeats, double *seconds, struct cop_err *err)
{
	const double q[] = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9};
	double value[sizeof(q) / sizeof(q[0])];
	float *x;
	int rc = cop_alloc(&x, n, sizeof(*x), "a benchmark", err);
	if (rc)
		return rc;
	fill(x, n);
	struct cop_array array = {"benchmark", x, n, 0, NULL};
	struct cop_arrays all = {&array, 1};
	struct cop_source source = cop_source_arrays(&all);
	double *took = cop_xcalloc((size_t)repeats, sizeof(*took));
	for (int r = 0; r < repeats && !rc; r++) {
		double started = cop_now();
		rc = cop_quantile(&source, q, sizeof(q) / sizeof(q[0]), 0, NULL, value, err);
		took[r] = cop_now() - started;
	}
	if (!rc)
		*seconds = cop_median(took, (size_t)repeats);
	free(took);
	free(x);
	return rc;
}
