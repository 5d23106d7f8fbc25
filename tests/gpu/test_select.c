/* kernels/select.cu against sorting, and against counting bit by bit. */
#include "gpu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint32_t key_of(float v)
{
	uint32_t u;
	memcpy(&u, &v, sizeof(u));
	return u & 0x7fffffffu;
}

static int by_key(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static int by_rank(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

/* Kinds of arrays: spread out, mostly zeros, few values, one value, neighbours of each other, anything at all. */
enum { KINDS = 6 };
static float number_of(int kind, uint64_t *r)
{
	uint32_t u;
	float v;

	switch (kind) {
	case 0:
		return gpu_uniform(r, -1, 1) * gpu_uniform(r, 0, 1);
	case 1:
		return gpu_between(r, 0, 9) ? 0.0f : gpu_uniform(r, -1, 1);
	case 2:
		return (float)gpu_between(r, -3, 3);
	case 3:
		return -0.25f;
	case 4:
		return 1.0f + (float)gpu_between(r, 0, 3000) * 0x1p-23f;
	default: /* infinities and NaN among them */
		u = (uint32_t)gpu_draw(r);
		u = gpu_between(r, 0, 7) ? u : u | 0x7f800000u;
		memcpy(&v, &u, sizeof(v));
		return v;
	}
}

static void compare(uint64_t *r, size_t n, size_t at, int kind, int nranks)
{
	float *x = gpu_floats(n + at);
	uint32_t *sorted = gpu_host(n * sizeof(*sorted)), out[COP_CUDA_RANKS];
	uint64_t rank[COP_CUDA_RANKS], count[COP_CUDA_RANKS];

	for (size_t i = 0; i < n; i++) {
		x[at + i] = number_of(kind, r);
		sorted[i] = key_of(x[at + i]);
	}
	qsort(sorted, n, sizeof(*sorted), by_key);
	for (int i = 0; i < nranks; i++)
		rank[i] = gpu_draw(r) % n;
	rank[0] = 0;
	rank[nranks - 1] = n - 1;
	qsort(rank, (size_t)nranks, sizeof(*rank), by_rank);

	const float *device = (const float *)gpu_put(x, (n + at) * sizeof(*x)) + at;
	size_t bytes = (size_t)nranks * sizeof(*rank);
	uint32_t *out_device = gpu_alloc((size_t)nranks * sizeof(*out));
	uint64_t *count_device = gpu_alloc(bytes);
	gpu_ok(cop_cuda_select(&gpu_launches[0], n, device, nranks, gpu_put(rank, bytes), out_device, count_device,
			       gpu_alloc(cop_cuda_select_space(nranks))));
	gpu_get(out, out_device, (size_t)nranks * sizeof(*out));
	gpu_get(count, count_device, bytes);
	for (int i = 0; i < nranks; i++) {
		size_t below = (size_t)rank[i];
		while (below > 0 && sorted[below - 1] == sorted[rank[i]])
			below--;
		if (out[i] != sorted[rank[i]] || count[i] != below)
			gpu_fail("rank %llu is %08x with %llu below, expected %08x with %zu",
				 (unsigned long long)rank[i], out[i], (unsigned long long)count[i], sorted[rank[i]],
				 below);
	}
}

static void test_select(void **state)
{
	(void)state;
	static const int ranks[] = {1, 2, 5, 11, 12, 40, COP_CUDA_RANKS}, sizes[] = {1, 3, 100, 2047, 2048, 9001};
	for (uint64_t seed = 1; seed <= 60; seed++) {
		uint64_t r = seed;
		int kind = (int)(seed % KINDS), nranks = gpu_one_of(&r, 7, ranks), n = gpu_one_of(&r, 6, sizes);
		size_t at = (size_t)gpu_between(&r, 0, 1);
		gpu_case("select: seed %d, kind %d, n %d from %zu, ranks %d", (int)seed, kind, n, at, nranks);
		compare(&r, (size_t)n, at, kind, nranks);
		gpu_end();
	}
}

/* More than all blocks take at once; and a rank that is beyond the end. */
static void test_select_large(void **state)
{
	(void)state;
	uint64_t r = 1, beyond = UINT64_MAX, count;
	uint32_t out, *out_device;
	float x[3] = {3.0f, -4.0f, 1.0f};

	gpu_case("select: large");
	compare(&r, 1200001, 0, 0, 5);
	gpu_end();
	gpu_case("select: beyond the end");
	out_device = gpu_alloc(sizeof(out));
	uint64_t *count_device = gpu_alloc(sizeof(count));
	gpu_ok(cop_cuda_select(&gpu_launches[0], 3, gpu_put(x, sizeof(x)), 1, gpu_put(&beyond, sizeof(beyond)),
			       out_device, count_device, gpu_alloc(cop_cuda_select_space(1))));
	gpu_get(&out, out_device, sizeof(out));
	gpu_get(&count, count_device, sizeof(count));
	assert_int_equal(out, key_of(4.0f));
	assert_int_equal(count, 2);
	gpu_end();
}

static void test_count_bits(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 100; seed++) {
		uint64_t r = seed, want = 0, got;
		size_t from = (size_t)gpu_between(&r, 0, seed % 2 ? 40 : 700);
		size_t n = (size_t)gpu_between(&r, 0, seed % 3 ? 300 : 20000), bytes = (from + n + 7) / 8 + 1;
		uint8_t *bits = gpu_host(bytes);
		gpu_case("count_bits: seed %d, %zu from %zu", (int)seed, n, from);
		for (size_t i = 0; i < bytes; i++)
			bits[i] = (uint8_t)gpu_draw(&r);
		for (size_t i = from; i < from + n; i++)
			want += bits[i / 8] >> i % 8 & 1;

		uint64_t *count = gpu_alloc(sizeof(*count));
		/* memory ends with the last byte that has a bit */
		const uint8_t *device = gpu_put(bits, bytes - 1 > 0 ? bytes - 1 : 1);
		gpu_ok(cop_cuda_count_bits(&gpu_launches[0], device, from, n, count));
		gpu_get(&got, count, sizeof(got));
		if (got != want)
			gpu_fail("%llu bits, expected %llu", (unsigned long long)got, (unsigned long long)want);
		gpu_end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_select),
		cmocka_unit_test(test_select_large),
		cmocka_unit_test(test_count_bits),
	};
	return cmocka_run_group_tests(tests, gpu_setup, gpu_teardown);
}
