/* What the machine gives: the floors that benchmarks are held against. See backend.h. */
#include "base/log.h"
#include "base/mem.h"
#include "compute/backend.h"
#include "compute/clones.h"

#include <cblas.h>
#include <omp.h>
#include <stdlib.h>

enum { SIDE = 768, PRODUCTS = 12, WORDS = 16 << 20, READS = 6 };

/* Each thread multiplies large matrices of its own. */
static double product_gflops(float *m, int threads)
{
	size_t square = (size_t)SIDE * SIDE;
	double begun = cop_now();
#pragma omp parallel for schedule(static)
	for (int k = 0; k < threads; k++)
		for (int r = 0; r < PRODUCTS; r++)
			cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, SIDE, SIDE, SIDE, 1.0f,
				    m + 3 * square * (size_t)k, SIDE, m + 3 * square * (size_t)k + square, SIDE, 0.0f,
				    m + 3 * square * (size_t)k + 2 * square, SIDE);
	return 2.0 * SIDE * SIDE * SIDE * PRODUCTS * threads / (cop_now() - begun) * 1e-9;
}

COP_CLONES static uint64_t read_words(const uint64_t *p, size_t n)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += p[i];
	return sum;
}

static double read_gbs(const uint64_t *words, int threads)
{
	uint64_t sum = 0;
	double begun = cop_now();
	for (int r = 0; r < READS; r++)
#pragma omp parallel for schedule(static) reduction(+ : sum)
		for (int k = 0; k < threads; k++) {
			size_t from = (size_t)WORDS * (size_t)k / (size_t)threads,
			       to = (size_t)WORDS * (size_t)(k + 1) / (size_t)threads;
			sum += read_words(words + from, to - from);
		}
	double took = cop_now() - begun;
	/* the sum is used, so that the reading cannot be left out */
	return sum == 0 ? 8.0 * WORDS * READS / took * 1e-9 : 0;
}

int cop_cpu_measure(struct cop_cpu_peak *p, struct cop_err *err)
{
	int threads = omp_get_max_threads();
	float *m = NULL;
	uint64_t *words = NULL;
	int rc = cop_alloc(&m, 3 * (size_t)threads * SIDE * SIDE, sizeof(float), "matrices", err);
	if (!rc)
		rc = cop_alloc(&words, WORDS, sizeof(*words), "memory to read", err);
	if (!rc) {
		product_gflops(m, threads);
		p->gflops = product_gflops(m, threads);
		p->read_gbs = read_gbs(words, threads);
	}
	free(m);
	free(words);
	return rc;
}
