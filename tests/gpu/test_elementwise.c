/* kernels/elementwise.cu against the CPU backend. */
#include "values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void copy(const struct cop_launch *l, const struct cop_shape *s, uint64_t *r)
{
	struct gpu_value x = gpu_value(l, s, r);
	float *y = gpu_host_activation(s);
	void *dy = gpu_alloc_activation(l, s);
	cop_cpu_backend.copy(s, &x.host, y);
	gpu_ok(cop_cuda_copy(l, s, &x.device, dy));
	gpu_same_activation("y", l, s, dy, y, gpu_tolerance(l));
}

/* What does not begin at a multiple of 16 bytes is read and written number by number. */
static void uneven_address(const struct cop_launch *l, const struct cop_shape *s, uint64_t *r)
{
	struct gpu_value x = gpu_value(l, s, r);
	size_t one = gpu_bytes(l, 1), bytes = gpu_bytes(l, gpu_elements(s));
	float *y = gpu_host_activation(s);
	char *from = gpu_alloc(bytes + one), *to = gpu_alloc(bytes + one), *raw = gpu_host(bytes);
	gpu_get(raw, x.device.raw, bytes);
	gpu_copy(from + one, raw, bytes, cudaMemcpyHostToDevice);
	x.device.raw = (float *)(void *)(from + one);
	cop_cpu_backend.copy(s, &x.host, y);
	gpu_ok(cop_cuda_copy(l, s, &x.device, to + one));
	gpu_get(raw, to + one, bytes);
	gpu_same_activation("y", l, s, gpu_put(raw, bytes), y, gpu_tolerance(l));
}

static void add(const struct cop_launch *l, const struct cop_shape *s, uint64_t *r)
{
	struct gpu_value a = gpu_value(l, s, r), b = gpu_value(l, s, r);
	float lo = gpu_between(r, 0, 1) ? 0 : -INFINITY, hi = gpu_between(r, 0, 1) ? 1 : INFINITY;
	float *y = gpu_host_activation(s);
	void *dy = gpu_alloc_activation(l, s);
	cop_cpu_backend.add(s, &a.host, &b.host, lo, hi, y);
	gpu_ok(cop_cuda_add(l, s, &a.device, &b.device, lo, hi, dy));
	gpu_same_activation("y", l, s, dy, y, gpu_tolerance(l));
}

static void bias(const struct cop_launch *l, const struct cop_shape *s, uint64_t *r)
{
	float *bias = NULL, *more = gpu_between(r, 0, 2) ? gpu_channels(r, s->c, -1, 1, &bias) : NULL;
	float lo = gpu_between(r, 0, 1) ? 0 : -INFINITY, hi = gpu_between(r, 0, 1) ? 1 : INFINITY;
	float *y = gpu_random_activation(l, s, r, -2, 2);
	void *dy = gpu_put_activation(l, s, y);
	for (size_t k = 0; bias && k < gpu_count(s); k++)
		y[k] += bias[k / (size_t)s->ld % (size_t)s->c];
	cop_cpu_backend.clamp(s, lo, hi, y);
	gpu_ok(cop_cuda_bias(l, s, more, lo, hi, dy));
	gpu_same_activation("y", l, s, dy, y, gpu_tolerance(l));
}

static void slope(const struct cop_launch *l, const struct cop_shape *s, uint64_t *r)
{
	struct gpu_gradient d = gpu_gradient(l, s, r);
	bool in_place = gpu_between(r, 0, 1);
	float *g = gpu_host(gpu_count(s) * sizeof(float));
	void *out = in_place ? (void *)(uintptr_t)d.device.g : gpu_alloc_activation(l, s);
	memcpy(g, d.host.g, gpu_count(s) * sizeof(float));
	cop_cpu_backend.slope(s, &d.host.slope, d.host.raw, g);
	gpu_ok(cop_cuda_slope(l, s, &d.device, out));
	gpu_same_activation("gradient", l, s, out, g, gpu_tolerance(l));
}

static void pass(const struct cop_launch *l, const struct cop_shape *s, uint64_t *r)
{
	struct gpu_sink k;
	gpu_sink(&k, l, s, r);
	float *g = gpu_random_activation(l, s, r, -2, 2);
	void *dg = gpu_put_activation(l, s, g);
	if (gpu_between(r, 0, 2) == 0) { /* in place */
		k.host.g = g;
		k.device.g = dg;
	}
	cop_cpu_backend.pass(s, g, &k.host);
	gpu_ok(cop_cuda_pass(l, s, dg, &k.device));
	gpu_same_sink(&k, l, s);
}

/* The CPU's (C,H,W,ld) is (1,1,CHW,ld): an activation of one pixel. */
static struct cop_shape flat(const struct cop_shape *s)
{
	return (struct cop_shape){.c = s->c * s->h * s->w, .h = 1, .w = 1, .batch = s->batch, .ld = s->ld};
}

static void flatten(const struct cop_launch *l, const struct cop_shape *s, uint64_t *r)
{
	struct gpu_value x = gpu_value(l, s, r);
	struct cop_shape f = flat(s);
	float *y = gpu_host_activation(&f);
	void *dy = gpu_alloc_activation(l, &f);
	cop_cpu_backend.flatten(s, &x.host, y);
	gpu_ok(cop_cuda_flatten(l, s, &x.device, dy));
	gpu_same_activation("y", l, &f, dy, y, gpu_tolerance(l));
}

static void flatten_backward(const struct cop_launch *l, const struct cop_shape *s, uint64_t *r)
{
	struct cop_shape f = flat(s);
	struct gpu_sink k;
	gpu_sink(&k, l, s, r);
	float *dy = gpu_random_activation(l, &f, r, -2, 2);
	void *ddy = gpu_put_activation(l, &f, dy);
	cop_cpu_backend.flatten_backward(s, dy, &k.host);
	gpu_ok(cop_cuda_flatten_backward(l, s, ddy, &k.device));
	gpu_same_sink(&k, l, s);
}

static struct cop_drop dropping(uint64_t *r, struct cop_dials *dials)
{
	dials->step = gpu_between(r, 0, 1000);
	return (struct cop_drop){.rate = 0.1 * gpu_between(r, 0, 9), .seed = gpu_draw(r), .node = 3, .dials = dials};
}

/* Drops what the CPU drops. */
static void dropout(const struct cop_launch *l, const struct cop_shape *s, uint64_t *r)
{
	struct cop_dials dials = {0};
	struct gpu_value x = gpu_value(l, s, r);
	struct cop_drop host = dropping(r, &dials), device = host;
	float *y = gpu_host_activation(s);
	void *dy = gpu_alloc_activation(l, s);
	device.dials = gpu_put(&dials, sizeof(dials));
	cop_cpu_backend.dropout(s, &host, &x.host, y);
	gpu_ok(cop_cuda_dropout(l, s, &device, &x.device, dy));
	gpu_same_activation("y", l, s, dy, y, gpu_tolerance(l));
}

static void dropout_backward(const struct cop_launch *l, const struct cop_shape *s, uint64_t *r)
{
	struct cop_dials dials = {0};
	struct gpu_sink k;
	gpu_sink(&k, l, s, r);
	struct cop_drop host = dropping(r, &dials), device = host;
	float *dy = gpu_random_activation(l, s, r, -2, 2);
	void *ddy = gpu_put_activation(l, s, dy);
	device.dials = gpu_put(&dials, sizeof(dials));
	cop_cpu_backend.dropout_backward(s, &host, dy, &k.host);
	gpu_ok(cop_cuda_dropout_backward(l, s, &device, ddy, &k.device));
	gpu_same_sink(&k, l, s);
}

static void test_copy(void **state)
{
	(void)state;
	gpu_each_shape("copy", copy);
}

static void test_uneven_address(void **state)
{
	(void)state;
	gpu_each_shape("uneven address", uneven_address);
}

static void test_add(void **state)
{
	(void)state;
	gpu_each_shape("add", add);
}

static void test_bias(void **state)
{
	(void)state;
	gpu_each_shape("bias", bias);
}

static void test_slope(void **state)
{
	(void)state;
	gpu_each_shape("slope", slope);
}

static void test_pass(void **state)
{
	(void)state;
	gpu_each_shape("pass", pass);
}

static void test_flatten(void **state)
{
	(void)state;
	gpu_each_shape("flatten", flatten);
}

static void test_flatten_backward(void **state)
{
	(void)state;
	gpu_each_shape("flatten backward", flatten_backward);
}

static void test_dropout(void **state)
{
	(void)state;
	gpu_each_shape("dropout", dropout);
}

static void test_dropout_backward(void **state)
{
	(void)state;
	gpu_each_shape("dropout backward", dropout_backward);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copy),    cmocka_unit_test(test_uneven_address),
		cmocka_unit_test(test_add),     cmocka_unit_test(test_bias),
		cmocka_unit_test(test_slope),   cmocka_unit_test(test_pass),
		cmocka_unit_test(test_flatten), cmocka_unit_test(test_flatten_backward),
		cmocka_unit_test(test_dropout), cmocka_unit_test(test_dropout_backward),
	};
	return cmocka_run_group_tests(tests, gpu_setup, gpu_teardown);
}
