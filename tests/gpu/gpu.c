/* What the tests of the kernels share; see gpu.h. */
#include "gpu.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALLOCATIONS = 256 };

struct cop_launch gpu_launches[2];

static void *host[ALLOCATIONS], *device[ALLOCATIONS];
static int hosts, devices;
static char about[512] = "no case";

int gpu_setup(void **state)
{
	(void)state;
	gpu_ok(cudaStreamCreateWithFlags(&gpu_launches[0].stream, cudaStreamNonBlocking));
	gpu_launches[0].element = COP_ELEMENT_F32;
	gpu_launches[1] = (struct cop_launch){gpu_launches[0].stream, COP_ELEMENT_BF16};
	return 0;
}

int gpu_teardown(void **state)
{
	(void)state;
	gpu_end();
	gpu_ok(cudaStreamDestroy(gpu_launches[0].stream));
	return 0;
}

void gpu_case(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(about, sizeof(about), format, args);
	va_end(args);
}

void gpu_end(void)
{
	gpu_ok(cudaStreamSynchronize(gpu_launches[0].stream));
	while (hosts > 0)
		free(host[--hosts]);
	while (devices > 0)
		gpu_ok(cudaFree(device[--devices]));
	gpu_case("no case");
}

void gpu_fail(const char *format, ...)
{
	char why[512];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	fail_msg("%s: %s", about, why);
	abort();
}

void gpu_ok(cudaError_t error)
{
	if (error != cudaSuccess)
		gpu_fail("%s: %s", cudaGetErrorName(error), cudaGetErrorString(error));
}

/* splitmix64 (Steele, Lea & Flood 2014) */
uint64_t gpu_draw(uint64_t *r)
{
	uint64_t z = *r += 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

int gpu_between(uint64_t *r, int low, int high)
{
	return low + (int)(gpu_draw(r) % (uint64_t)(high - low + 1));
}

float gpu_uniform(uint64_t *r, float low, float high)
{
	return low + (high - low) * ((float)(gpu_draw(r) >> 40) / (float)(1 << 24));
}

int gpu_one_of(uint64_t *r, int n, const int *choice)
{
	return choice[gpu_between(r, 0, n - 1)];
}

struct cop_shape gpu_shape(uint64_t *r, int side)
{
	static const int channels[] = {1, 3, 5, 8, 16, 24, 96}, batches[] = {1, 3, 16, 33};
	struct cop_shape s = {.c = gpu_one_of(r, 7, channels),
			      .h = gpu_between(r, 1, side),
			      .w = gpu_between(r, 1, side),
			      .batch = gpu_one_of(r, 4, batches)};
	s.ld = cop_leading(&cop_cpu_backend, s.batch);
	return s;
}

void *gpu_host(size_t bytes)
{
	void *p = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
	if (!p || hosts == ALLOCATIONS)
		gpu_fail("no room for %zu bytes", bytes);
	memset(p, 0xff, bytes);
	return host[hosts++] = p;
}

float *gpu_floats(size_t n)
{
	return gpu_host(n * sizeof(float));
}

float *gpu_random(uint64_t *r, size_t n, float low, float high)
{
	float *x = gpu_floats(n);
	for (size_t i = 0; i < n; i++)
		x[i] = gpu_uniform(r, low, high);
	return x;
}

static uint16_t narrowed(float v)
{
	uint32_t u;
	memcpy(&u, &v, sizeof(u));
	return isnan(v) ? 0x7fff : (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

static float widened(uint16_t v)
{
	uint32_t u = (uint32_t)v << 16;
	float f;
	memcpy(&f, &u, sizeof(f));
	return f;
}

float *gpu_round(const struct cop_launch *l, size_t n, float *x)
{
	for (size_t i = 0; i < n && l->element == COP_ELEMENT_BF16; i++)
		x[i] = widened(narrowed(x[i]));
	return x;
}

void *gpu_alloc(size_t bytes)
{
	void *p = NULL;
	if (devices == ALLOCATIONS)
		gpu_fail("too many allocations");
	gpu_ok(cudaMalloc(&p, bytes));
	device[devices++] = p;
	gpu_ok(cudaMemset(p, 0xff, bytes));
	gpu_ok(cudaDeviceSynchronize());
	return p;
}

void gpu_copy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
	gpu_ok(cudaMemcpy(to, from, bytes, kind));
	gpu_ok(cudaDeviceSynchronize());
}

void *gpu_put(const void *from, size_t bytes)
{
	void *p = from ? gpu_alloc(bytes) : NULL;
	if (p)
		gpu_copy(p, from, bytes, cudaMemcpyHostToDevice);
	return p;
}

void gpu_get(void *to, const void *from, size_t bytes)
{
	gpu_ok(cudaStreamSynchronize(gpu_launches[0].stream));
	gpu_ok(cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToHost));
}

size_t gpu_bytes(const struct cop_launch *l, size_t n)
{
	return n * (l->element == COP_ELEMENT_BF16 ? 2 : 4);
}

void *gpu_put_elements(const struct cop_launch *l, const float *x, size_t n)
{
	if (!x || l->element == COP_ELEMENT_F32)
		return gpu_put(x, n * sizeof(float));
	uint16_t *raw = gpu_host(n * sizeof(*raw));
	for (size_t i = 0; i < n; i++)
		raw[i] = narrowed(x[i]);
	return gpu_put(raw, n * sizeof(*raw));
}

float *gpu_get_elements(const struct cop_launch *l, const void *from, size_t n)
{
	float *x = gpu_floats(n);
	if (l->element == COP_ELEMENT_F32) {
		gpu_get(x, from, n * sizeof(float));
		return x;
	}
	uint16_t *raw = gpu_host(n * sizeof(*raw));
	gpu_get(raw, from, n * sizeof(*raw));
	for (size_t i = 0; i < n; i++)
		x[i] = widened(raw[i]);
	return x;
}

size_t gpu_count(const struct cop_shape *s)
{
	return (size_t)s->h * (size_t)s->w * (size_t)s->c * (size_t)s->ld;
}

size_t gpu_elements(const struct cop_shape *s)
{
	return (size_t)s->h * (size_t)s->w * (size_t)s->c * (size_t)s->batch;
}

float *gpu_host_activation(const struct cop_shape *s)
{
	return memset(gpu_floats(gpu_count(s)), 0, gpu_count(s) * sizeof(float));
}

float *gpu_random_activation(const struct cop_launch *l, const struct cop_shape *s, uint64_t *r, float low, float high)
{
	float *x = gpu_host_activation(s);
	size_t rows = (size_t)s->h * (size_t)s->w * (size_t)s->c;
	for (size_t i = 0; i < rows; i++)
		for (int n = 0; n < s->batch; n++)
			x[i * (size_t)s->ld + (size_t)n] = gpu_uniform(r, low, high);
	return gpu_round(l, gpu_count(s), x);
}

void *gpu_alloc_activation(const struct cop_launch *l, const struct cop_shape *s)
{
	return gpu_alloc(gpu_bytes(l, gpu_elements(s)));
}

void *gpu_put_activation(const struct cop_launch *l, const struct cop_shape *s, const float *from)
{
	size_t rows = (size_t)s->h * (size_t)s->w * (size_t)s->c;
	float *x = gpu_floats(gpu_elements(s));
	for (size_t n = 0; n < (size_t)s->batch; n++)
		for (size_t i = 0; i < rows; i++)
			x[n * rows + i] = from[i * (size_t)s->ld + n];
	return gpu_put_elements(l, x, gpu_elements(s));
}

float *gpu_get_activation(const struct cop_launch *l, const struct cop_shape *s, const void *from)
{
	size_t rows = (size_t)s->h * (size_t)s->w * (size_t)s->c;
	float *x = gpu_get_elements(l, from, gpu_elements(s)), *to = gpu_host_activation(s);
	for (size_t n = 0; n < (size_t)s->batch; n++)
		for (size_t i = 0; i < rows; i++)
			to[i * (size_t)s->ld + n] = x[n * rows + i];
	return to;
}

double gpu_tolerance(const struct cop_launch *l)
{
	return l->element == COP_ELEMENT_BF16 ? 1e-2 : 1e-5;
}

void gpu_same(const char *what, size_t n, const float *got, const float *want, double tolerance)
{
	double largest = 0;
	for (size_t i = 0; i < n; i++)
		if (isfinite(want[i]) && fabs((double)want[i]) > largest)
			largest = fabs((double)want[i]);
	for (size_t i = 0; i < n; i++) {
		bool same = isnan(want[i])   ? isnan(got[i])
			    : isinf(want[i]) ? got[i] == want[i]
					     : fabs((double)got[i] - (double)want[i]) <= tolerance * largest;
		if (!same)
			gpu_fail("%s[%zu of %zu] is %.9g, expected %.9g (largest %.3g, off by %.3g of it)", what, i, n,
				 (double)got[i], (double)want[i], largest,
				 fabs((double)got[i] - (double)want[i]) / largest);
	}
}

void gpu_same_device(const char *what, size_t n, const float *from, const float *want, double tolerance)
{
	float *got = gpu_floats(n);
	gpu_get(got, from, n * sizeof(float));
	gpu_same(what, n, got, want, tolerance);
}

/* The columns beyond the batch are nobody's. */
void gpu_same_activation(const char *what, const struct cop_launch *l, const struct cop_shape *s, const void *from,
			 const float *want, double tolerance)
{
	size_t rows = (size_t)s->h * (size_t)s->w * (size_t)s->c, ld = (size_t)s->ld, batch = (size_t)s->batch;
	float *got = gpu_get_activation(l, s, from), *own = gpu_floats(rows * ld);

	memcpy(own, want, rows * ld * sizeof(float));
	for (size_t i = 0; i < rows; i++)
		memset(own + i * ld + batch, 0, (ld - batch) * sizeof(float));
	gpu_same(what, rows * ld, got, own, tolerance);
}
