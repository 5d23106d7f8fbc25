/* From which sparsity on a 1x1 convolution is faster as a list of its survivors, for 'coppice bench --sparse'. */
#include "base/mem.h"
#include "base/rng.h"
#include "bench.h"
#include "compute/bench.h"
#include "compute/sparse.h"
#include "report/table.h"

#include <stdio.h>
#include <stdlib.h>

const double cop_bench_even_sparsities[COP_BENCH_SPARSITIES] = {0.5, 0.6, 0.7, 0.75, 0.8, 0.9};

enum { BATCH = 96, ROUNDS = 3 };

/* MobileNetV2's on 64x64 images. */
static const struct shape {
	int in_c, out_c, side;
} shapes[] = {
	{16, 96, 32}, {24, 144, 16}, {32, 192, 8}, {64, 384, 4}, {96, 576, 4}, {160, 960, 2}, {320, 1280, 2},
	{32, 16, 32}, {96, 24, 16},  {144, 32, 8}, {192, 64, 4}, {384, 96, 4}, {576, 160, 2}, {960, 320, 2},
};
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]) };

static struct cop_conv conv_of(const struct shape *s, int batch)
{
	return (struct cop_conv){.in_c = s->in_c,
				 .in_h = s->side,
				 .in_w = s->side,
				 .out_c = s->out_c,
				 .out_h = s->side,
				 .out_w = s->side,
				 .kernel = {1, 1},
				 .stride = {1, 1},
				 .dilation = {1, 1},
				 .groups = 1,
				 .batch = batch,
				 .ld = cop_leading(&cop_cpu_backend, batch)};
}

/* Survivors drawn at random. */
static int list(struct cop_sparse *s, const struct shape *shape, double sparsity, struct cop_err *err)
{
	size_t n = (size_t)shape->in_c * (size_t)shape->out_c;
	uint8_t *mask = cop_xmalloc(n);
	struct cop_stream random;
	cop_stream_init(&random, 1, COP_PURPOSE_INIT, 0, 0);
	for (size_t i = 0; i < n; i++)
		mask[i] = cop_stream_uniform(&random) >= sparsity;
	int rc = cop_sparse_init(s, shape->out_c, shape->in_c, 1, 1, mask, err);
	free(mask);
	return rc;
}

/* Where the speedup passes 1 for good, on a straight line between the two measured; the lowest where it always is. */
static double break_even(const double speedup[COP_BENCH_SPARSITIES])
{
	const double *at = cop_bench_even_sparsities;
	int i = COP_BENCH_SPARSITIES;
	while (i > 0 && speedup[i - 1] >= 1)
		i--;
	if (i == COP_BENCH_SPARSITIES)
		return NAN;
	return i == 0 ? at[0] : at[i - 1] + (at[i] - at[i - 1]) * (1 - speedup[i - 1]) / (speedup[i] - speedup[i - 1]);
}

static double pass_seconds(const struct cop_conv_bench *b, const struct cop_conv *d)
{
	struct cop_bench_pass forward, backward;
	cop_conv_bench_time(b, d, false, &forward, &backward);
	return forward.seconds + backward.seconds;
}

/* Dense and the lists in turn, the fastest of the rounds of each: what disturbs one disturbs not the other. */
static int time_shape(const struct cop_bench_run *run, const struct shape *s, int batch, struct cop_err *err)
{
	struct cop_conv d[1 + COP_BENCH_SPARSITIES];
	struct cop_sparse lists[COP_BENCH_SPARSITIES] = {{0}};
	struct cop_conv_bench b = {0};
	double fastest[1 + COP_BENCH_SPARSITIES];
	int rounds = run->args->steps ? 1 : ROUNDS, rc = 0;
	d[COP_BENCH_SPARSITIES] = conv_of(s, batch);
	for (int i = 0; i < COP_BENCH_SPARSITIES && !rc; i++) {
		d[i] = d[COP_BENCH_SPARSITIES];
		rc = list(&lists[i], s, cop_bench_even_sparsities[i], err);
		d[i].sparse = &lists[i];
	}
	if (!rc)
		rc = cop_conv_bench_init(&b, d, 1 + COP_BENCH_SPARSITIES, err);
	for (int i = 0; i <= COP_BENCH_SPARSITIES; i++)
		fastest[i] = INFINITY;
	for (int k = 0; k < rounds * (1 + COP_BENCH_SPARSITIES) && !rc; k++) {
		int i = k % (1 + COP_BENCH_SPARSITIES);
		double seconds = pass_seconds(&b, &d[i]);
		fastest[i] = seconds < fastest[i] ? seconds : fastest[i];
	}
	cop_conv_bench_release(&b);
	for (int i = 0; i < COP_BENCH_SPARSITIES; i++)
		cop_sparse_release(&lists[i]);
	if (rc)
		return rc;
	struct cop_bench_row r = cop_bench_row(run, fastest[COP_BENCH_SPARSITIES], NAN, "");
	for (int i = 0; i < COP_BENCH_SPARSITIES; i++)
		r.even.speedup[i] = r.seconds / fastest[i];
	r.even.sparsity = break_even(r.even.speedup);
	snprintf(r.name, sizeof(r.name), "1x1 %d to %d, %dx%d, batch %d", s->in_c, s->out_c, s->side, s->side, batch);
	cop_bench_add(run, &r);
	return 0;
}

int cop_bench_break_even(struct cop_bench_run *run, struct cop_err *err)
{
	int rc = 0;
	for (size_t i = 0; i < SHAPES && !rc; i++)
		rc = time_shape(run, &shapes[i], run->args->batch ? run->args->batch : BATCH, err);
	return rc;
}

static const struct cop_column columns[] = {
	{"layer", COP_COLUMN_TEXT, 0},         {"threads", COP_COLUMN_INT, 0}, {"dense_seconds", COP_COLUMN_GENERAL, 4},
	{"at_50", COP_COLUMN_REAL, 2},         {"at_60", COP_COLUMN_REAL, 2},  {"at_70", COP_COLUMN_REAL, 2},
	{"at_75", COP_COLUMN_REAL, 2},         {"at_80", COP_COLUMN_REAL, 2},  {"at_90", COP_COLUMN_REAL, 2},
	{"break_even", COP_COLUMN_PERCENT, 1},
};

void cop_bench_even_table(struct cop_table *t)
{
	cop_table_init(t, columns, sizeof(columns) / sizeof(columns[0]));
}

void cop_bench_even_row(const struct cop_bench_row *r, struct cop_table *t)
{
	cop_table_text(t, r->name);
	cop_table_int(t, r->threads);
	cop_table_real(t, r->seconds);
	for (int i = 0; i < COP_BENCH_SPARSITIES; i++)
		cop_table_real(t, r->even.speedup[i]);
	cop_table_real(t, r->even.sparsity);
}
