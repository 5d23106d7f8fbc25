/*
 * Linear layers of the CPU backend: products by OpenBLAS with one thread each, or over the survivors of a mask. Blocks
 * of rows are shared out over OpenMP threads. See backend.h for each slot's contract.
 */
#include "compute/backend.h"
#include "compute/cpu_kernels.h"
#include "compute/layers.h"
#include "compute/sparse.h"

#include <cblas.h>
#include <string.h>

enum { ROWS_MIN = 48, PARTS = 16, ROW_COST = 2 };

/* Blocks of about 1.5 MFLOP or more, a power of two of them, none of fewer than ROWS_MIN rows. */
static int block_count(int rows, double flops_a_row)
{
	int n = 1;
	while (n < 64 && rows / (2 * n) >= ROWS_MIN && rows * flops_a_row / (2 * n) >= 1.5e6)
		n *= 2;
	return n;
}

static int block_start(int rows, int blocks, int b)
{
	return (int)((long)rows * b / blocks);
}

/*
 * The survivors of a mask alone. Each row and each survivor is worked out by itself, so parts may be as equal in work
 * as they like.
 */
static int part_count(const struct cop_linear *d)
{
	return (double)d->sparse->count * d->ld > 32768 ? PARTS : 1;
}

static void sparse_forward(const struct cop_linear *d, const float *w, const float *b, const float *x, float *y)
{
	const struct cop_sparse *s = d->sparse;
	int parts = part_count(d);
	size_t ld = (size_t)d->ld;
#pragma omp parallel for schedule(dynamic) if (parts > 1)
	for (int k = 0; k < parts; k++) {
		struct cop_range r = cop_sparse_part(s->out_begin, d->out, ROW_COST, parts, k);
		float *out = y + (size_t)r.from * ld;
		cop_kernels()->sparse_product(s->out, s->out_begin + r.from, r.to - r.from, &x, ld, w, d->ld, out, ld,
					      false);
		if (b || d->relu)
			cop_cpu_bias(r.to - r.from, d->ld, b ? b + r.from : NULL, d->relu, out);
	}
}

static void sparse_backward_data(const struct cop_linear *d, const float *w, const float *dy, const float *x, float *dx)
{
	const struct cop_sparse *s = d->sparse;
	int parts = part_count(d);
	size_t ld = (size_t)d->ld;
#pragma omp parallel for schedule(dynamic) if (parts > 1)
	for (int k = 0; k < parts; k++) {
		struct cop_range r = cop_sparse_part(s->in_begin, d->in, ROW_COST, parts, k);
		size_t at = (size_t)r.from * ld, n = (size_t)(r.to - r.from) * ld;
		cop_kernels()->sparse_product(s->in, s->in_begin + r.from, r.to - r.from, &dy, ld, w, d->ld, dx + at,
					      ld, d->add);
		if (d->from_relu)
			cop_cpu_cut(n, x + at, dx + at);
	}
}

/* Of one row's survivors [from, to), some at a time. */
static void sparse_row_dots(const struct cop_linear *d, int from, int to, const float *dy, const float *x, float *dw)
{
	enum { SOME = 64 };
	float sums[(SOME + COP_ROWS) * COP_LANES];
	for (int k = from; k < to; k += SOME) {
		int begin[2] = {k, k + SOME < to ? k + SOME : to};
		/* and those behind them, which are read in company */
		memset(sums, 0, (size_t)(begin[1] - k + COP_ROWS) * COP_LANES * sizeof(float));
		cop_kernels()->sparse_dots(d->sparse->out, begin, 1, dy, 0, &x, (size_t)d->ld, d->ld, sums);
		memset(dw + k, 0, (size_t)(begin[1] - k) * sizeof(float));
		cop_kernels()->add_sums(sums, begin[1] - k, dw + k);
	}
}

static void sparse_backward_weights(const struct cop_linear *d, const float *dy, const float *x, float *dw, float *db)
{
	const struct cop_sparse *s = d->sparse;
	int parts = part_count(d);
#pragma omp parallel for schedule(dynamic) if (parts > 1)
	for (int k = 0; k < parts; k++) {
		struct cop_range r = cop_sparse_part(s->out_begin, d->out, ROW_COST, parts, k);
		const float *own = dy + (size_t)r.from * (size_t)d->ld;
		for (int o = r.from; o < r.to; o++)
			sparse_row_dots(d, s->out_begin[o], s->out_begin[o + 1], dy + (size_t)o * (size_t)d->ld, x, dw);
		if (db)
			cop_cpu_row_sums(r.to - r.from, d->ld, own, db + r.from);
	}
}

void cop_cpu_linear_forward(const struct cop_linear *d, const float *w, const float *b, const float *x, float *y)
{
	if (d->sparse) {
		sparse_forward(d, w, b, x, y);
		return;
	}
	int blocks = block_count(d->out, 2.0 * d->in * d->ld);
#pragma omp parallel for schedule(static) if (blocks > 1)
	for (int k = 0; k < blocks; k++) {
		int from = block_start(d->out, blocks, k), rows = block_start(d->out, blocks, k + 1) - from;
		float *out = y + (size_t)from * d->ld;
		cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, d->ld, d->in, 1.0f,
			    w + (size_t)from * d->in, d->in, x, d->ld, 0.0f, out, d->ld);
		if (b || d->relu)
			cop_cpu_bias(rows, d->ld, b ? b + from : NULL, d->relu, out);
	}
}

void cop_cpu_linear_backward_data(const struct cop_linear *d, const float *w, const float *dy, const float *x,
				  float *dx)
{
	if (d->sparse) {
		sparse_backward_data(d, w, dy, x, dx);
		return;
	}
	int blocks = block_count(d->in, 2.0 * d->out * d->ld);
#pragma omp parallel for schedule(static) if (blocks > 1)
	for (int k = 0; k < blocks; k++) {
		int from = block_start(d->in, blocks, k), rows = block_start(d->in, blocks, k + 1) - from;
		float *out = dx + (size_t)from * d->ld;
		cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, rows, d->ld, d->out, 1.0f, w + from, d->in, dy,
			    d->ld, d->add ? 1.0f : 0.0f, out, d->ld);
		if (d->from_relu)
			cop_cpu_cut((size_t)rows * (size_t)d->ld, x + (size_t)from * d->ld, out);
	}
}

void cop_cpu_linear_backward_weights(const struct cop_linear *d, const float *dy, const float *x, float *dw, float *db)
{
	if (d->sparse) {
		sparse_backward_weights(d, dy, x, dw, db);
		return;
	}
	int blocks = block_count(d->out, 2.0 * d->in * d->ld);
#pragma omp parallel for schedule(static) if (blocks > 1)
	for (int k = 0; k < blocks; k++) {
		int from = block_start(d->out, blocks, k), rows = block_start(d->out, blocks, k + 1) - from;
		const float *in = dy + (size_t)from * d->ld;
		cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, d->in, d->ld, 1.0f, in, d->ld, x, d->ld,
			    0.0f, dw + (size_t)from * d->in, d->in);
		if (db)
			cop_cpu_row_sums(rows, d->ld, in, db + from);
	}
}
