/* Convolutions by shape, for 'coppice bench'. */
#include "bench.h"
#include "compute/bench.h"

#include <stdio.h>

/* in_c == out_c and `depthwise`: a group for each channel. */
struct shape {
	int in_c, out_c, side, kernel, stride;
	bool depthwise, image;
	int batch;
};

/* Those of ResNet-20 on 32x32 images at batch 128, then those of MobileNetV2 on 64x64 at 96, that take its time. */
static const struct shape shapes[] = {
	{3, 16, 32, 3, 1, false, true, 128},    {16, 16, 32, 3, 1, false, false, 128},
	{16, 32, 32, 3, 2, false, false, 128},  {16, 32, 32, 1, 2, false, false, 128},
	{32, 32, 16, 3, 1, false, false, 128},  {32, 64, 16, 3, 2, false, false, 128},
	{64, 64, 8, 3, 1, false, false, 128},   {3, 32, 64, 3, 2, false, true, 96},
	{16, 96, 32, 1, 1, false, false, 96},   {24, 144, 16, 1, 1, false, false, 96},
	{32, 192, 8, 1, 1, false, false, 96},   {64, 384, 4, 1, 1, false, false, 96},
	{96, 576, 4, 1, 1, false, false, 96},   {160, 960, 2, 1, 1, false, false, 96},
	{320, 1280, 2, 1, 1, false, false, 96}, {32, 16, 32, 1, 1, false, false, 96},
	{96, 24, 16, 1, 1, false, false, 96},   {144, 32, 8, 1, 1, false, false, 96},
	{192, 64, 4, 1, 1, false, false, 96},   {384, 96, 4, 1, 1, false, false, 96},
	{576, 160, 2, 1, 1, false, false, 96},  {960, 320, 2, 1, 1, false, false, 96},
	{32, 32, 32, 3, 1, true, false, 96},    {96, 96, 32, 3, 2, true, false, 96},
	{144, 144, 16, 3, 1, true, false, 96},  {144, 144, 16, 3, 2, true, false, 96},
	{192, 192, 8, 3, 1, true, false, 96},   {192, 192, 8, 3, 2, true, false, 96},
	{384, 384, 4, 3, 1, true, false, 96},   {576, 576, 4, 3, 2, true, false, 96},
	{960, 960, 2, 3, 1, true, false, 96},
};
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]) };

static struct cop_conv conv_of(const struct shape *s, int batch)
{
	int padding = (s->kernel - 1) / 2, out = (s->side + 2 * padding - s->kernel) / s->stride + 1;
	return (struct cop_conv){.in_c = s->in_c,
				 .in_h = s->side,
				 .in_w = s->side,
				 .out_c = s->out_c,
				 .out_h = out,
				 .out_w = out,
				 .kernel = {s->kernel, s->kernel},
				 .stride = {s->stride, s->stride},
				 .padding = {padding, padding},
				 .dilation = {1, 1},
				 .groups = s->depthwise ? s->in_c : 1,
				 .batch = batch,
				 .ld = cop_leading(&cop_cpu_backend, batch)};
}

/* Depthwise ones move memory; the rest are products. */
static void add_pass(const struct cop_bench_run *run, const struct shape *s, const struct cop_conv *d,
		     const struct cop_bench_pass *p, const char *direction)
{
	double rate = (s->depthwise ? p->bytes : p->flops) / p->seconds * 1e-9;
	double peak = s->depthwise ? run->peak.memory_gbs : run->peak.gflops;
	struct cop_bench_row r = cop_bench_row(run, p->seconds, rate, s->depthwise ? "GB/s" : "GFLOP/s");
	char channels[40], stride[24] = "";
	if (s->depthwise)
		snprintf(channels, sizeof(channels), "depthwise %d", s->in_c);
	else
		snprintf(channels, sizeof(channels), "%d to %d", s->in_c, s->out_c);
	if (s->stride > 1)
		snprintf(stride, sizeof(stride), " stride %d", s->stride);
	snprintf(r.name, sizeof(r.name), "%dx%d %s%s, %dx%d, batch %d, %s", s->kernel, s->kernel, channels, stride,
		 s->side, s->side, d->batch, direction);
	r.floor = rate * p->seconds / peak;
	cop_bench_add(run, &r);
}

int cop_bench_convolutions(struct cop_bench_run *run, struct cop_err *err)
{
	struct cop_conv d[SHAPES];
	struct cop_conv_bench b = {0};
	for (size_t i = 0; i < SHAPES; i++)
		d[i] = conv_of(&shapes[i], run->args->batch ? run->args->batch : shapes[i].batch);
	int rc = cop_conv_bench_init(&b, d, SHAPES, err);
	for (size_t i = 0; i < SHAPES && !rc; i++) {
		struct cop_bench_pass forward, backward;
		cop_conv_bench_time(&b, &d[i], shapes[i].image, &forward, &backward);
		add_pass(run, &shapes[i], &d[i], &forward, "forward");
		add_pass(run, &shapes[i], &d[i], &backward, "backward");
	}
	cop_conv_bench_release(&b);
	return rc;
}
