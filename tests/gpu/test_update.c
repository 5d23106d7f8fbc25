/* kernels/update.cu against the CPU backend. */
#include "gpu.h"

#include <math.h>
#include <string.h>

/* A case: n weights that start `at` floats into their arrays, which 16 bytes may not divide; a mask or none. */
struct update {
	const struct cop_launch *l;
	uint64_t r;
	size_t n, at;
	float *g, *w, *v, *m;
	uint8_t *mask, *bits; /* NULL: all kept */
	struct cop_dials dials;
};

static struct update make_update(uint64_t seed, const char *what)
{
	struct update u = {.l = &gpu_launches[0], .r = seed};

	u.n = (size_t)gpu_between(&u.r, 1, seed % 3 ? 900 : 9000);
	u.at = seed % 4 == 3 ? 1 : 0;
	u.g = gpu_random(&u.r, u.n, -1, 1);
	u.w = gpu_random(&u.r, u.n, -1, 1);
	u.v = gpu_random(&u.r, u.n, 0, 0.1f);
	u.m = gpu_random(&u.r, u.n, -0.1f, 0.1f);
	u.dials = (struct cop_dials){.updates = gpu_between(&u.r, 0, 2000), .lr = gpu_uniform(&u.r, 0.001f, 0.5f)};
	gpu_case("%s: seed %d, n %zu, from %zu, %s", what, (int)seed, u.n, u.at, seed % 2 ? "masked" : "all kept");
	if (seed % 2 == 0)
		return u;
	u.mask = gpu_host(u.n);
	u.bits = memset(gpu_host((u.n + 7) / 8), 0, (u.n + 7) / 8);
	for (size_t i = 0; i < u.n; i++) {
		u.mask[i] = (uint8_t)gpu_between(&u.r, 0, 1);
		u.bits[i / 8] |= (uint8_t)(u.mask[i] << i % 8);
		if (u.mask[i])
			continue;
		/* a pruned weight stays at 0, whatever its gradient is */
		u.w[i] = u.v[i] = u.m[i] = 0.0f;
		u.g[i] = i % 5 == 0 ? NAN : u.g[i];
	}
	return u;
}

/* On the device, `at` floats into memory of exactly the size; *base: where that begins. */
static float *put_at(const struct update *u, const float *x)
{
	float *own = gpu_floats(u->n + u->at);
	memcpy(own + u->at, x, u->n * sizeof(float));
	return (float *)gpu_put(own, (u->n + u->at) * sizeof(float)) + u->at;
}

static void same_zeros(const char *what, const struct update *u, const float *device)
{
	float *got = gpu_floats(u->n);
	gpu_get(got, device, u->n * sizeof(float));
	for (size_t i = 0; i < u->n && u->mask; i++)
		if (!u->mask[i] && (got[i] != 0.0f || signbit(got[i])))
			gpu_fail("%s[%zu] was pruned and is %g", what, i, (double)got[i]);
}

static void test_sgd(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 48; seed++) {
		struct update u = make_update(seed, "sgd");
		struct cop_sgd o = {.momentum = seed % 5 ? 0.9f : 0.0f,
				    .weight_decay = seed % 7 ? 0.01f : 0.0f,
				    .nesterov = seed % 4 < 2};
		const struct cop_dials *dials = gpu_put(&u.dials, sizeof(u.dials));
		const float *g = put_at(&u, u.g);
		float *w = put_at(&u, u.w), *v = put_at(&u, u.v);

		gpu_ok(cop_cuda_sgd(u.l, &o, dials, u.n, g, gpu_put(u.bits, (u.n + 7) / 8), w, v));
		cop_cpu_backend.sgd(&o, &u.dials, u.n, u.g, u.mask, u.w, u.v);
		gpu_same_device("w", u.n, w, u.w, 1e-6);
		gpu_same_device("v", u.n, v, u.v, 1e-6);
		same_zeros("w", &u, w);
		same_zeros("v", &u, v);
		gpu_end();
	}
}

static void test_adam(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 48; seed++) {
		struct update u = make_update(seed, "adam");
		struct cop_adam o = {.beta1 = 0.9f,
				     .beta2 = seed % 2 ? 0.999f : 0.95f,
				     .epsilon = 1e-8f,
				     .weight_decay = seed % 7 ? 0.01f : 0.0f};
		u.dials.updates = seed % 3 ? u.dials.updates : 0;
		const struct cop_dials *dials = gpu_put(&u.dials, sizeof(u.dials));
		const float *g = put_at(&u, u.g);
		float *w = put_at(&u, u.w), *m = put_at(&u, u.m), *v = put_at(&u, u.v);

		gpu_ok(cop_cuda_adam(u.l, &o, dials, u.n, g, gpu_put(u.bits, (u.n + 7) / 8), w, m, v));
		cop_cpu_backend.adam(&o, &u.dials, u.n, u.g, u.mask, u.w, u.m, u.v);
		gpu_same_device("w", u.n, w, u.w, 1e-6);
		gpu_same_device("m", u.n, m, u.m, 1e-6);
		gpu_same_device("v", u.n, v, u.v, 1e-6);
		same_zeros("w", &u, w);
		same_zeros("m", &u, m);
		same_zeros("v", &u, v);
		gpu_end();
	}
}

/* Dials that change in the device's memory change what the same call does. */
static void test_dials(void **state)
{
	(void)state;
	struct cop_sgd o = {.momentum = 0.0f};
	struct cop_dials dials = {.lr = 0.5f};
	struct cop_dials *on_device = gpu_put(&dials, sizeof(dials));
	float one = 1.0f, zero = 0.0f, want[] = {0.5f, 0.25f};
	float *g = gpu_put(&one, sizeof(one)), *w = gpu_put(&one, sizeof(one)), *v = gpu_put(&zero, sizeof(zero));

	gpu_case("dials");
	for (int i = 0; i < 2; i++) {
		gpu_ok(cop_cuda_sgd(&gpu_launches[0], &o, on_device, 1, g, NULL, w, v));
		gpu_same_device("w", 1, w, &want[i], 0);
		dials.lr = 0.25f;
		gpu_copy(on_device, &dials, sizeof(dials), cudaMemcpyHostToDevice);
	}
	gpu_end();
}

static void test_narrow(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		const struct cop_launch *l = &gpu_launches[seed % GPU_ELEMENTS];
		uint64_t r = seed;
		size_t n = (size_t)gpu_between(&r, 1, 3000);
		gpu_case("narrow: seed %d, n %zu, element %d", (int)seed, n, (int)l->element);
		float *x = gpu_random(&r, n, -2, 2), *dx = gpu_put(x, n * sizeof(float));
		void *y = gpu_alloc(gpu_bytes(l, n));

		gpu_ok(cop_cuda_narrow(l, n, dx, y));
		gpu_same("y", n, gpu_get_elements(l, y, n), gpu_round(l, n, x), 0);
		gpu_end();
	}
}

/* What rounding to nearest even makes of ties, of what is too large, of infinity and NaN. */
static void test_narrow_edges(void **state)
{
	(void)state;
	const struct cop_launch *l = &gpu_launches[COP_ELEMENT_BF16];
	static const float from[] = {1.00390625f, 1.01171875f, 3.4e38f, -INFINITY, NAN, 0.0f, 1e-40f},
			   to[] = {1.0f, 1.015625f, INFINITY, -INFINITY, NAN, 0.0f, 1e-40f};
	enum { N = sizeof(from) / sizeof(from[0]) };
	void *y = gpu_alloc(gpu_bytes(l, N));

	gpu_case("narrow: edges");
	gpu_ok(cop_cuda_narrow(l, N, gpu_put(from, sizeof(from)), y));
	gpu_same("y", N, gpu_get_elements(l, y, N), to, 1e-9);
	gpu_end();
}

static void test_cut(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		const struct cop_launch *l = &gpu_launches[seed % GPU_ELEMENTS];
		uint64_t r = seed;
		size_t n = (size_t)gpu_between(&r, 1, 3000);
		gpu_case("cut: seed %d, n %zu, element %d", (int)seed, n, (int)l->element);
		float *x = gpu_round(l, n, gpu_random(&r, n, -1, 1)), *dx = gpu_round(l, n, gpu_random(&r, n, -1, 1));
		x[0] = 0.0f;
		x[n - 1] = n > 1 ? NAN : 0.0f;
		void *device = gpu_put_elements(l, dx, n);

		gpu_ok(cop_cuda_cut(l, n, gpu_put_elements(l, x, n), device));
		for (size_t i = 0; i < n; i++)
			dx[i] = x[i] > 0.0f ? dx[i] : 0.0f;
		gpu_same("dx", n, gpu_get_elements(l, device, n), dx, 0);
		gpu_end();
	}
}

static void test_add_ranks(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		uint64_t r = seed;
		int ranks = gpu_between(&r, 1, COP_CUDA_GROUP);
		size_t n = (size_t)gpu_between(&r, 1, 3000);
		float *part[COP_CUDA_GROUP], *sum = gpu_floats(n);
		gpu_case("add_ranks: seed %d, n %zu, ranks %d", (int)seed, n, ranks);

		for (int k = 0; k < ranks; k++) {
			float *x = gpu_random(&r, n, -1, 1);
			for (size_t i = 0; i < n; i++)
				sum[i] = k ? sum[i] + x[i] : x[i];
			part[k] = gpu_put(x, n * sizeof(float));
		}
		float *g = seed % 2 ? part[ranks - 1] : gpu_alloc(n * sizeof(float));
		gpu_ok(cop_cuda_add_ranks(&gpu_launches[0], n, ranks, (const float *const *)part, g));
		gpu_same_device("g", n, g, sum, 0);
		gpu_end();
	}
	float *none = NULL;
	assert_int_equal(cop_cuda_add_ranks(&gpu_launches[0], 1, COP_CUDA_GROUP + 1, (const float *const *)&none, none),
			 cudaErrorInvalidValue);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sgd),       cmocka_unit_test(test_adam),         cmocka_unit_test(test_dials),
		cmocka_unit_test(test_narrow),    cmocka_unit_test(test_narrow_edges), cmocka_unit_test(test_cut),
		cmocka_unit_test(test_add_ranks),
	};
	return cmocka_run_group_tests(tests, gpu_setup, gpu_teardown);
}
