/*
 * The CPU backend's table, and its threads. Work is shared out in blocks over OpenMP threads; a block's result depends
 * on its shape alone, so the number of threads does not matter. See backend.h for each slot's contract.
 */
#include "base/cpu.h"
#include "base/mem.h"
#include "compute/backend.h"
#include "compute/conv.h"
#include "compute/cpu_kernels.h"
#include "compute/layers.h"

#include <cblas.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UPDATE_BLOCK = 16384, PICKS = COP_GATHER };

/* What the process may use at most; how many of them work now is OpenMP's own setting. */
static int threads_set;
static _Thread_local int threads_here; /* 0: as many as were set */

int cop_cpu_threads(void)
{
	if (threads_here)
		return threads_here;
	return threads_set ? threads_set : omp_get_max_threads();
}

void cop_cpu_use(int threads)
{
	if (threads != omp_get_max_threads())
		omp_set_num_threads(threads);
}

void cop_cpu_confine(int threads)
{
	threads_here = threads;
	omp_set_dynamic(0);
	omp_set_num_threads(threads);
}

int cop_cpu_set_threads(int threads)
{
	int n = threads > 0 ? threads : cop_cpu_count();
	openblas_set_num_threads(1);
	omp_set_dynamic(0);
	omp_set_num_threads(n);
	threads_set = n;
	return n;
}

const char *cop_cpu_library(char *buf, size_t size)
{
	snprintf(buf, size, "%s", openblas_get_config());
	return buf;
}

const char *cop_cpu_describe(char *buf, size_t size)
{
	char name[48];
	snprintf(buf, size, "%s, kernels %s, OpenBLAS %s", cop_cpu_name(name, sizeof(name)), cop_kernels()->name,
		 openblas_get_corename());
	return buf;
}

static void cpu_gather(const struct cop_image_source *s, const struct cop_pick *pick, int batch, int ld, float *x)
{
	int groups = ld / PICKS;
#pragma omp parallel for schedule(static)
	for (int g = 0; g < groups; g++)
		cop_gather16(s, pick + g * PICKS, batch - g * PICKS < PICKS ? batch - g * PICKS : PICKS, ld,
			     x + g * PICKS);
}

static size_t cpu_conv_space(const struct cop_conv *d, const struct cop_conv_use *use)
{
	return cop_conv_space(d, use->backward, cop_cpu_threads());
}

static size_t cpu_pool_space(const struct cop_pool *p)
{
	return cop_cpu_pool_space(p, cop_cpu_threads());
}

static void cpu_sgd(const struct cop_sgd *o, const struct cop_dials *dials, size_t n, const float *g,
		    const uint8_t *mask, float *w, float *v)
{
	size_t blocks = (n + UPDATE_BLOCK - 1) / UPDATE_BLOCK;
#pragma omp parallel for schedule(static)
	for (size_t k = 0; k < blocks; k++) {
		size_t at = k * UPDATE_BLOCK, m = n - at < UPDATE_BLOCK ? n - at : UPDATE_BLOCK;
		cop_cpu_sgd(o, dials->lr, m, g + at, mask ? mask + at : NULL, w + at, v + at);
	}
}

static void cpu_adam(const struct cop_adam *o, const struct cop_dials *dials, size_t n, const float *g,
		     const uint8_t *mask, float *w, float *m, float *v)
{
	size_t blocks = (n + UPDATE_BLOCK - 1) / UPDATE_BLOCK;
#pragma omp parallel for schedule(static)
	for (size_t k = 0; k < blocks; k++) {
		size_t at = k * UPDATE_BLOCK, count = n - at < UPDATE_BLOCK ? n - at : UPDATE_BLOCK;
		cop_cpu_adam(o, dials->lr, dials->updates + 1, count, g + at, mask ? mask + at : NULL, w + at, m + at,
			     v + at);
	}
}

static int cpu_alloc(void **p, size_t bytes, const char *what, struct cop_err *err)
{
	return cop_alloc(p, bytes, 1, what, err);
}

static int cpu_copy(void *to, const void *from, size_t bytes, struct cop_err *err)
{
	(void)err;
	if (bytes)
		memcpy(to, from, bytes);
	return 0;
}

const struct cop_backend cop_cpu_backend = {
	.name = "cpu",
	.element = sizeof(float),
	.leading = 16,
	.parts = COP_PARTS,
	.alloc = cpu_alloc,
	.release = free,
	.put = cpu_copy,
	.get = cpu_copy,
	.describe = cop_cpu_describe,
	.gather = cpu_gather,
	.conv_space = cpu_conv_space,
	.pool_space = cpu_pool_space,
	.conv_forward = cop_conv_forward,
	.conv_backward = cop_conv_backward,
	.norm_train = cop_cpu_norm_train,
	.norm_evaluate = cop_cpu_norm_evaluate,
	.norm_backward = cop_cpu_norm_backward,
	.moments = cop_cpu_moments,
	.clamp = cop_cpu_clamp,
	.copy = cop_cpu_copy,
	.add = cop_cpu_add,
	.slope = cop_cpu_slope,
	.pass = cop_cpu_pass,
	.flatten = cop_cpu_flatten,
	.flatten_backward = cop_cpu_flatten_backward,
	.dropout = cop_cpu_dropout,
	.dropout_backward = cop_cpu_dropout_backward,
	.pool = cop_cpu_pool,
	.pool_backward = cop_cpu_pool_backward,
	.global_pool = cop_cpu_global_pool,
	.global_pool_backward = cop_cpu_global_pool_backward,
	.linear_forward = cop_cpu_linear_forward,
	.linear_backward_data = cop_cpu_linear_backward_data,
	.linear_backward_weights = cop_cpu_linear_backward_weights,
	.softmax_xent = cop_cpu_softmax_xent,
	.sgd = cpu_sgd,
	.adam = cpu_adam,
};
