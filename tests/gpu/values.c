/* What kernels read and where gradients go; see values.h. */
#include "values.h"

#include <math.h>
#include <string.h>

enum { SEEDS = 24 };

/* Every eighth has many channels, every sixteenth many pixels. */
static struct cop_shape shape_for(uint64_t seed, uint64_t *r)
{
	struct cop_shape s = gpu_shape(r, 6);
	if (seed % 8 == 0) {
		s.c = seed % 16 ? 330 : 1280;
		s.h = s.w = 2;
		s.batch = 3;
	}
	if (seed % 16 == 12) { /* several rows for each thread of a strip */
		s.c = 16;
		s.h = 40;
		s.w = 31;
		s.batch = 33;
	}
	s.ld = cop_leading(&cop_cpu_backend, s.batch);
	return s;
}

void gpu_each_shape(const char *name, void (*test)(const struct cop_launch *l, const struct cop_shape *s, uint64_t *r))
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		for (int i = 0; i < GPU_ELEMENTS; i++) {
			uint64_t r = seed;
			struct cop_shape s = shape_for(seed, &r);
			gpu_case("%s: seed %d, element %d, shape %d %d %d %d", name, (int)seed, i, s.batch, s.h, s.w,
				 s.c);
			test(&gpu_launches[i], &s, &r);
			gpu_end();
		}
}

float *gpu_channels(uint64_t *r, int c, float low, float high, float **host)
{
	*host = gpu_random(r, (size_t)c, low, high);
	return gpu_put(*host, (size_t)c * sizeof(float));
}

/* A reading of c channels, and the same on the device. */
static void readings(uint64_t *r, int c, struct cop_reading *host, struct cop_reading *device)
{
	float *scale = NULL, *shift = NULL;
	*host = *device = (struct cop_reading){.lo = -INFINITY, .hi = INFINITY};
	if (gpu_between(r, 0, 1)) {
		device->scale = gpu_channels(r, c, -2, 2, &scale);
		device->shift = gpu_channels(r, c, -1, 1, &shift);
		host->scale = scale;
		host->shift = shift;
	}
	if (gpu_between(r, 0, 2)) {
		host->lo = device->lo = 0;
		host->hi = device->hi = gpu_between(r, 0, 1) ? 1.5f : INFINITY;
	}
}

struct gpu_value gpu_value(const struct cop_launch *l, const struct cop_shape *s, uint64_t *r)
{
	struct gpu_value v;
	float *raw = gpu_random_activation(l, s, r, -2, 2);
	for (size_t i = 0; i < gpu_count(s); i++) /* some that are cut off nearly, and many alike */
		if ((int)(i % (size_t)s->ld) < s->batch && !gpu_between(r, 0, 7))
			raw[i] = gpu_between(r, 0, 1) ? 0.0f : 1.5f;
	v.host.raw = raw;
	v.device.raw = gpu_put_activation(l, s, raw);
	readings(r, s->c, &v.host.as, &v.device.as);
	return v;
}

struct gpu_gradient gpu_gradient(const struct cop_launch *l, const struct cop_shape *s, uint64_t *r)
{
	struct gpu_gradient d = {0};
	float *g = gpu_random_activation(l, s, r, -2, 2), *raw, *of;
	d.host.g = g;
	d.device.g = gpu_put_activation(l, s, g);
	if (!gpu_between(r, 0, 2))
		return d;
	raw = gpu_random_activation(l, s, r, -2, 2);
	d.host.raw = raw;
	d.device.raw = gpu_put_activation(l, s, raw);
	d.device.slope.a = gpu_channels(r, s->c, -1, 1, &of);
	d.host.slope.a = of;
	d.device.slope.b = gpu_channels(r, s->c, -1, 1, &of);
	d.host.slope.b = of;
	d.device.slope.c = gpu_channels(r, s->c, -1, 1, &of);
	d.host.slope.c = of;
	d.device.slope.mean = gpu_channels(r, s->c, -1, 1, &of);
	d.host.slope.mean = of;
	return d;
}

struct cop_sums gpu_sums_room(int c, int parts, bool device)
{
	size_t bytes = (size_t)parts * (size_t)c * 2 * sizeof(float);
	return (struct cop_sums){.part = device ? gpu_alloc(bytes) : gpu_host(bytes), .parts = -1};
}

void gpu_sink(struct gpu_sink *k, const struct cop_launch *l, const struct cop_shape *s, uint64_t *r)
{
	struct gpu_value of = gpu_value(l, s, r);
	bool add = gpu_between(r, 0, 1), last = gpu_between(r, 0, 3) > 0, cuts = of.host.as.lo > -INFINITY;
	bool sums = last && gpu_between(r, 0, 2) > 0;
	float *g = add ? gpu_random_activation(l, s, r, -2, 2) : gpu_floats(gpu_count(s)), *mean;
	*k = (struct gpu_sink){.host = {.g = g, .add = add, .last = last, .cuts = cuts, .of = of.host}};
	k->device = k->host;
	k->device.of = of.device;
	k->device.g = add ? gpu_put_activation(l, s, g) : gpu_alloc_activation(l, s);
	if (!sums)
		return;
	k->host_sums = gpu_sums_room(s->c, COP_PARTS, false);
	k->device_sums = gpu_sums_room(s->c, COP_CUDA_PARTS, true);
	k->host.sums = &k->host_sums;
	k->device.sums = &k->device_sums;
	k->device.mean = gpu_channels(r, s->c, -1, 1, &mean);
	k->host.mean = mean;
}

void gpu_same_sums(const struct cop_sums *sums, int c, const double *want, const double *scale, double tolerance)
{
	if (sums->parts < 1 || sums->parts > COP_CUDA_PARTS)
		gpu_fail("%d parts", sums->parts);
	size_t n = (size_t)sums->parts * (size_t)c * 2;
	float *part = gpu_floats(n);
	gpu_get(part, sums->part, n * sizeof(float));
	for (int i = 0; i < 2 * c; i++) {
		double got = 0;
		for (int k = 0; k < sums->parts; k++)
			got += (double)part[2 * c * k + i];
		if (!(fabs(got - want[i]) <= tolerance * scale[i] + 1e-30))
			gpu_fail("sum %d of channel %d, in %d parts, is %.9g, expected %.9g (terms of %.3g)", i % 2,
				 i / 2, sums->parts, got, want[i], scale[i]);
	}
}

void gpu_same_sink(const struct gpu_sink *k, const struct cop_launch *l, const struct cop_shape *s)
{
	const struct cop_sink *to = &k->host;
	gpu_same_activation("gradient", l, s, k->device.g, to->g, gpu_tolerance(l));
	if (!to->sums)
		return;
	double *want = gpu_host((size_t)s->c * 2 * sizeof(double)),
	       *scale = gpu_host((size_t)s->c * 2 * sizeof(double));
	memset(want, 0, (size_t)s->c * 2 * sizeof(double));
	memset(scale, 0, (size_t)s->c * 2 * sizeof(double));
	for (int row = 0; row < s->h * s->w * s->c; row++)
		for (int n = 0; n < s->batch; n++) {
			size_t at = (size_t)row * (size_t)s->ld + (size_t)n;
			int c = row % s->c;
			double g = (double)to->g[at], off = (double)to->of.raw[at] - (double)to->mean[c];
			want[2 * c] += g;
			want[2 * c + 1] += g * off;
			scale[2 * c] += fabs(g);
			scale[2 * c + 1] += fabs(g * off);
		}
	gpu_same_sums(k->device.sums, s->c, want, scale, gpu_tolerance(l));
}
