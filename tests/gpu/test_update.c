/* kernels/update.cu against the CPU backend. */
#include "gpu.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_narrow),
	};
	return cmocka_run_group_tests(tests, gpu_setup, gpu_teardown);
}
