/* What the machine gives: the floors that benchmarks are held against. See backend.h. */
#include "base/clones.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/order.h"
#include "compute/backend.h"
#include "compute/kernels.h"

#include <cblas.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

/*
 * Products of SIDE x SIDE; of our own kernel, TILES times COP_ROWS rows of DEPTH and a panel of COLS columns that lies
 * in the first-level cache. Each figure is the best of several short tries, since what others take of the machine in
 * the meantime is not its speed.
 */
enum { SIDE = 512, DEPTH = 128, COLS = 48, BLOCKS = 8, TILES = 1000, PRODUCTS = 40 };
static const double SECONDS = 0.5;

/* Memory: at least so many words in all, more than caches hold. */
enum { WORDS = 16 << 20, CHUNK = 1 << 19, CHUNKS = 192 };

/* Seconds of one try on matrices of a thread's own, m (3, SIDE, SIDE). */
static double library_product(float *m)
{
	size_t square = (size_t)SIDE * SIDE;
	double begun = cop_now();
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, SIDE, SIDE, SIDE, 1.0f, m, SIDE, m + square, SIDE, 0.0f,
		    m + 2 * square, SIDE);
	return cop_now() - begun;
}

static double kernel_product(float *m)
{
	const float *x = m, *w = m + (size_t)SIDE * SIDE;
	float *out = m + 2 * (size_t)SIDE * SIDE;
	double begun = cop_now();
	for (int t = 0; t < TILES; t++) {
		size_t block = (size_t)(t % BLOCKS);
		cop_kernels()->product(1, &x, 0, COLS, &w, block * DEPTH * COP_ROWS, DEPTH, COP_ROWS, COLS,
				       out + block * COP_ROWS * COLS, COLS, 0);
	}
	return cop_now() - begun;
}

/* Of all threads at once, each at its best. */
static double product_gflops(float *m, int threads, double (*product)(float *m), double flops)
{
	double all = 0;
#pragma omp parallel for schedule(static) reduction(+ : all)
	for (int k = 0; k < threads; k++) {
		double best = INFINITY, begun = cop_now();
		for (int t = 0; t < PRODUCTS && (t < 2 || cop_now() - begun < SECONDS); t++)
			best = fmin(best, product(m + 3 * (size_t)SIDE * SIDE * (size_t)k));
		all += flops / best * 1e-9;
	}
	return all;
}

COP_CLONES static uint64_t read_words(const uint64_t *p, size_t n)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += p[i];
	return sum;
}

/* Each thread has words of its own and goes through them CHUNK by CHUNK; what a chunk takes is the median. */
struct memory {
	uint64_t *words;
	size_t each; /* of a thread */
	int threads;
};

static double read_chunk(uint64_t *words, size_t each, size_t at, uint64_t *sum)
{
	double begun = cop_now();
	*sum += read_words(words + at % each, CHUNK);
	return cop_now() - begun;
}

/* From the first half to the second. */
static double copy_chunk(uint64_t *words, size_t each, size_t at, uint64_t *sum)
{
	double begun = cop_now();
	(void)sum;
	memcpy(words + each / 2 + at / 2 % (each / 2), words + at / 2 % (each / 2), CHUNK / 2 * sizeof(*words));
	return cop_now() - begun;
}

/* Of all threads at once; what is read and what is written both count. */
static double memory_gbs(const struct memory *m, double (*move)(uint64_t *words, size_t each, size_t at, uint64_t *sum))
{
	double all = 0;
	uint64_t sum = 0;
#pragma omp parallel for schedule(static) reduction(+ : all, sum)
	for (int k = 0; k < m->threads; k++) {
		double took[CHUNKS];
		for (int t = 0; t < CHUNKS; t++)
			took[t] = move(m->words + m->each * (size_t)k, m->each, CHUNK * (size_t)t, &sum);
		all += 8.0 * CHUNK / cop_median(took, CHUNKS) * 1e-9;
	}
	/* the sum is used, so that the reading cannot be left out */
	return sum == 0 ? all : 0;
}

static size_t words_each(int threads)
{
	size_t share = (size_t)WORDS / (size_t)threads / CHUNK * CHUNK;
	return share > 4 * (size_t)CHUNK ? share : 4 * (size_t)CHUNK;
}

int cop_cpu_measure(struct cop_cpu_peak *p, struct cop_err *err)
{
	int threads = omp_get_max_threads();
	float *m = NULL;
	struct memory words = {.each = words_each(threads), .threads = threads};
	*p = (struct cop_cpu_peak){0};
	int rc = cop_alloc(&m, 3 * (size_t)threads * SIDE * SIDE, sizeof(float), "matrices", err);
	if (!rc)
		rc = cop_alloc(&words.words, words.each * (size_t)threads, sizeof(uint64_t), "memory to read", err);
	if (!rc) {
		p->library_gflops = product_gflops(m, threads, library_product, 2.0 * SIDE * SIDE * SIDE);
		p->kernel_gflops = product_gflops(m, threads, kernel_product, 2.0 * COP_ROWS * COLS * DEPTH * TILES);
		p->read_gbs = memory_gbs(&words, read_chunk);
		p->copy_gbs = memory_gbs(&words, copy_chunk);
	}
	p->gflops = fmax(p->library_gflops, p->kernel_gflops);
	p->memory_gbs = fmax(p->read_gbs, p->copy_gbs);
	free(m);
	free(words.words);
	return rc;
}
