/* kernels/pool.cu against the CPU backend. */
#include "values.h"

#include <math.h>

/* Whether each window along a side has at least one pixel. */
static bool joins(const struct cop_conv *d, int side, int in, int out)
{
	for (int o = 0; o < out; o++) {
		bool some = false;
		for (int i = 0; i < d->kernel[side]; i++) {
			int at = o * d->stride[side] - d->padding[side] + i * d->dilation[side];
			some = some || (at >= 0 && at < in);
		}
		if (!some)
			return false;
	}
	return out > 0;
}

static int side_of(const struct cop_conv *d, int side, int in)
{
	int seen = in + 2 * d->padding[side] - d->dilation[side] * (d->kernel[side] - 1) - 1;
	return seen < 0 ? 0 : seen / d->stride[side] + 1;
}

/* A pool over shape s, and the shape of what it gives. */
static struct cop_pool pool_of(const struct cop_shape *s, uint64_t *r, struct cop_shape *out)
{
	struct cop_conv d = {.in_c = s->c, .in_h = s->h, .in_w = s->w, .out_c = s->c, .groups = 1};
	d.batch = s->batch;
	d.ld = s->ld;
	do {
		for (int k = 0; k < 2; k++) {
			d.kernel[k] = gpu_between(r, 1, 4);
			d.stride[k] = gpu_between(r, 1, 3);
			d.padding[k] = gpu_between(r, 0, d.kernel[k] - 1);
			d.dilation[k] = gpu_between(r, 1, 2);
		}
		d.out_h = side_of(&d, 0, d.in_h);
		d.out_w = side_of(&d, 1, d.in_w);
	} while (!joins(&d, 0, d.in_h, d.out_h) || !joins(&d, 1, d.in_w, d.out_w));
	*out = (struct cop_shape){.c = s->c, .h = d.out_h, .w = d.out_w, .batch = s->batch, .ld = s->ld};
	return (struct cop_pool){.window = d, .max = gpu_between(r, 0, 1)};
}

static float *room(const struct cop_pool *p)
{
	return gpu_floats(cop_cpu_backend.pool_space(p) + 1);
}

static void pool(const struct cop_launch *l, const struct cop_shape *s, uint64_t *r)
{
	struct cop_shape out;
	struct cop_pool p = pool_of(s, r, &out);
	struct gpu_value x = gpu_value(l, s, r);
	float *y = gpu_host_activation(&out);
	void *dy = gpu_alloc_activation(l, &out);
	cop_cpu_backend.pool(&p, &x.host, y, room(&p));
	gpu_ok(cop_cuda_pool(l, &p, &x.device, dy));
	gpu_same_activation(p.max ? "maximum" : "mean", l, &out, dy, y, gpu_tolerance(l));
}

/* bf16 and cutting off make values that are alike: the first of them takes the gradient. */
static void pool_backward(const struct cop_launch *l, const struct cop_shape *s, uint64_t *r)
{
	struct cop_shape out;
	struct cop_pool p = pool_of(s, r, &out);
	struct gpu_value x = gpu_value(l, s, r);
	struct gpu_sink k;
	gpu_sink(&k, l, s, r);
	float *dy = gpu_random_activation(l, &out, r, -2, 2);
	void *ddy = gpu_put_activation(l, &out, dy);
	cop_cpu_backend.pool_backward(&p, &x.host, dy, &k.host, room(&p));
	gpu_ok(cop_cuda_pool_backward(l, &p, &x.device, ddy, &k.device));
	gpu_same_sink(&k, l, s);
}

/* A NaN comes through a maximum, and of a window that has one nobody takes the gradient. */
static void pool_nan(const struct cop_launch *l, const struct cop_shape *s, uint64_t *r)
{
	struct cop_shape out;
	struct cop_pool p = pool_of(s, r, &out);
	struct gpu_sink k;
	gpu_sink(&k, l, s, r);
	k.host.add = k.device.add = k.host.last = k.device.last = false;
	k.host.sums = k.device.sums = NULL;
	float *raw = gpu_random_activation(l, s, r, -2, 2), *dy = gpu_random_activation(l, &out, r, -2, 2);
	for (size_t i = 0; i < gpu_count(s); i++)
		if ((int)(i % (size_t)s->ld) < s->batch && !gpu_between(r, 0, 20))
			raw[i] = NAN;
	p.max = true;
	struct cop_activation x = {raw, {.lo = -INFINITY, .hi = INFINITY}}, dx = {gpu_put_activation(l, s, raw), x.as};
	float *y = gpu_host_activation(&out);
	void *device = gpu_alloc_activation(l, &out), *ddy = gpu_put_activation(l, &out, dy);
	cop_cpu_backend.pool(&p, &x, y, room(&p));
	gpu_ok(cop_cuda_pool(l, &p, &dx, device));
	gpu_same_activation("maximum", l, &out, device, y, gpu_tolerance(l));
	cop_cpu_backend.pool_backward(&p, &x, dy, &k.host, room(&p));
	gpu_ok(cop_cuda_pool_backward(l, &p, &dx, ddy, &k.device));
	gpu_same_sink(&k, l, s);
}

static struct cop_shape pooled(const struct cop_shape *s)
{
	return (struct cop_shape){.c = s->c, .h = 1, .w = 1, .batch = s->batch, .ld = s->ld};
}

static void global_pool(const struct cop_launch *l, const struct cop_shape *s, uint64_t *r)
{
	struct cop_shape out = pooled(s);
	struct gpu_value x = gpu_value(l, s, r);
	float *y = gpu_host_activation(&out);
	void *dy = gpu_alloc_activation(l, &out);
	cop_cpu_backend.global_pool(s, &x.host, y);
	gpu_ok(cop_cuda_global_pool(l, s, &x.device, dy));
	gpu_same_activation("y", l, &out, dy, y, gpu_tolerance(l));
}

static void global_pool_backward(const struct cop_launch *l, const struct cop_shape *s, uint64_t *r)
{
	struct cop_shape out = pooled(s);
	struct gpu_sink k;
	gpu_sink(&k, l, s, r);
	float *dy = gpu_random_activation(l, &out, r, -2, 2);
	void *ddy = gpu_put_activation(l, &out, dy);
	cop_cpu_backend.global_pool_backward(s, dy, &k.host);
	gpu_ok(cop_cuda_global_pool_backward(l, s, ddy, &k.device));
	gpu_same_sink(&k, l, s);
}

static void test_pool(void **state)
{
	(void)state;
	gpu_each_shape("pool", pool);
}

static void test_pool_backward(void **state)
{
	(void)state;
	gpu_each_shape("pool backward", pool_backward);
}

static void test_pool_nan(void **state)
{
	(void)state;
	gpu_each_shape("pool with NaN", pool_nan);
}

static void test_global_pool(void **state)
{
	(void)state;
	gpu_each_shape("global pool", global_pool);
}

static void test_global_pool_backward(void **state)
{
	(void)state;
	gpu_each_shape("global pool backward", global_pool_backward);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pool),
		cmocka_unit_test(test_pool_backward),
		cmocka_unit_test(test_pool_nan),
		cmocka_unit_test(test_global_pool),
		cmocka_unit_test(test_global_pool_backward),
	};
	return cmocka_run_group_tests(tests, gpu_setup, gpu_teardown);
}
