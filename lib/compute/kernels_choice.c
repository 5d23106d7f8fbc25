/* Which of the kernels' builds serves this processor; see kernels.h. */
#include "compute/kernels.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

extern const struct cop_kernels cop_kernels_plain;
#ifdef COP_KERNELS_X86
extern const struct cop_kernels cop_kernels_v3, cop_kernels_v4;
#endif

static const struct cop_kernels *choose(void)
{
#ifdef COP_KERNELS_X86
	const char *wish = getenv("COPPICE_KERNELS");
	bool plain = wish && strcmp(wish, "plain") == 0, avx2 = wish && strcmp(wish, "avx2") == 0;
	__builtin_cpu_init();
	bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
	bool v4 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
		  __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
	if (v3 && v4 && !plain && !avx2)
		return &cop_kernels_v4;
	if (v3 && !plain)
		return &cop_kernels_v3;
#endif
	return &cop_kernels_plain;
}

static const struct cop_kernels *chosen;

/* Before main, so that no two threads choose. */
__attribute__((constructor)) static void choose_at_start(void)
{
	chosen = choose();
}

const struct cop_kernels *cop_kernels(void)
{
	return chosen;
}

double cop_lanes_sum(const float *lane)
{
	double sum = 0;
	for (int i = 0; i < COP_LANES; i++)
		sum += (double)lane[i];
	return sum;
}
