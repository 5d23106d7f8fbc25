/* What the machine gives: the floors that benchmarks are held against. See backend.h. */
#include "base/log.h"
#include "base/mem.h"
#include "compute/backend.h"
#include "compute/clones.h"
#include "compute/kernels.h"

#include <cblas.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* Products of SIDE x SIDE; of our own kernel, ROWS rows of DEPTH times a panel of COLS columns that lies in the
   first-level cache. Each figure is the best of TRIES: others may be at work, and what they take is not the machine's.
 */
enum { SIDE = 768, PRODUCTS = 4, DEPTH = 128, COLS = 48, ROWS = 64, TILES = 16000, WORDS = 16 << 20, TRIES = 8 };

static size_t matrices(int threads)
{
	return 3 * (size_t)threads * SIDE * SIDE;
}

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

/* ... and by the kernel of the convolutions. */
static double kernel_gflops(float *m, int threads)
{
	size_t square = (size_t)SIDE * SIDE;
	double begun = cop_now();
#pragma omp parallel for schedule(static)
	for (int k = 0; k < threads; k++) {
		const float *x = m + 3 * square * (size_t)k, *w = x + square;
		float *out = m + 3 * square * (size_t)k + 2 * square;
		for (int t = 0; t < TILES; t++) {
			size_t block = (size_t)(t % (ROWS / COP_ROWS));
			cop_kernels()->product(1, &x, 0, COLS, &w, block * DEPTH * COP_ROWS, DEPTH, COP_ROWS, COLS,
					       out + block * COP_ROWS * COLS, COLS, 0);
		}
	}
	return 2.0 * COP_ROWS * COLS * DEPTH * TILES * threads / (cop_now() - begun) * 1e-9;
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
#pragma omp parallel for schedule(static) reduction(+ : sum)
	for (int k = 0; k < threads; k++) {
		size_t from = (size_t)WORDS * (size_t)k / (size_t)threads,
		       to = (size_t)WORDS * (size_t)(k + 1) / (size_t)threads;
		sum += read_words(words + from, to - from);
	}
	double took = cop_now() - begun;
	/* the sum is used, so that the reading cannot be left out */
	return sum == 0 ? 8.0 * WORDS / took * 1e-9 : 0;
}

/* One half to the other; what is read and what is written both count. */
static double copy_gbs(uint64_t *words, int threads)
{
	size_t half = WORDS / 2;
	double begun = cop_now();
#pragma omp parallel for schedule(static)
	for (int k = 0; k < threads; k++) {
		size_t from = half * (size_t)k / (size_t)threads, to = half * (size_t)(k + 1) / (size_t)threads;
		memcpy(words + half + from, words + from, (to - from) * sizeof(*words));
	}
	return 8.0 * WORDS / (cop_now() - begun) * 1e-9;
}

static void keep_best(double *best, double now)
{
	if (now > *best)
		*best = now;
}

int cop_cpu_measure(struct cop_cpu_peak *p, struct cop_err *err)
{
	int threads = omp_get_max_threads();
	float *m = NULL;
	uint64_t *words = NULL;
	*p = (struct cop_cpu_peak){0};
	int rc = cop_alloc(&m, matrices(threads), sizeof(float), "matrices", err);
	if (!rc)
		rc = cop_alloc(&words, WORDS, sizeof(*words), "memory to read", err);
	for (int t = 0; t < TRIES && !rc; t++) {
		keep_best(&p->library_gflops, product_gflops(m, threads));
		keep_best(&p->kernel_gflops, kernel_gflops(m, threads));
		keep_best(&p->read_gbs, read_gbs(words, threads));
		keep_best(&p->copy_gbs, copy_gbs(words, threads));
	}
	p->gflops = p->library_gflops > p->kernel_gflops ? p->library_gflops : p->kernel_gflops;
	p->memory_gbs = p->read_gbs > p->copy_gbs ? p->read_gbs : p->copy_gbs;
	free(m);
	free(words);
	return rc;
}
