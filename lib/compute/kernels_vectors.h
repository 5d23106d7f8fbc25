/*
 * Vectors for the kernels, whose files are built once for each kind of processor: VL is its vector in floats, and
 * OWN(name) what a function is called there. Vectors are GCC's, so there are no intrinsics; these files alone are built
 * with contraction, so that a product and a sum are one rounding where the processor has it.
 */
#ifndef COP_COMPUTE_KERNELS_VECTORS_H
#define COP_COMPUTE_KERNELS_VECTORS_H

#include "compute/kernels.h"

#if defined(__AVX512F__)
#define VL 16
#define OWN(name) cop_##name##_v4
#define NAME "avx512"
#elif defined(__AVX2__)
#define VL 8
#define OWN(name) cop_##name##_v3
#define NAME "avx2"
#else
#define VL 4
#define OWN(name) cop_##name##_plain
#define NAME "plain"
#endif

typedef float vec __attribute__((vector_size(VL * 4)));
typedef float vec_anywhere __attribute__((vector_size(VL * 4), aligned(4), may_alias));
typedef int ivec __attribute__((vector_size(VL * 4)));

#define INLINE static inline __attribute__((always_inline))

INLINE vec load(const float *p)
{
	return *(const vec_anywhere *)p;
}

INLINE void store(float *p, vec v)
{
	*(vec_anywhere *)p = v;
}

/* a where the mask is set, else b. */
INLINE vec pick(ivec mask, vec a, vec b)
{
	return (vec)((mask & (ivec)a) | (~mask & (ivec)b));
}

/* Written so that NaN passes through: a diverged network must be seen. */
INLINE vec cut(vec v, float lo, float hi)
{
	v = pick(v < lo, (vec){0} + lo, v);
	return pick(v > hi, (vec){0} + hi, v);
}

/* The first `n` lanes of v, 0 in the rest. */
INLINE vec keep(vec v, int n)
{
	ivec lane;
	for (int i = 0; i < VL; i++)
		lane[i] = i;
	return pick(lane < n, v, (vec){0});
}

/* Kernels of one build that lie in different files: as struct cop_kernels has them. */
#define KERNEL(name) extern __typeof__(*((struct cop_kernels *)0)->name) OWN(name)
KERNEL(product);
KERNEL(dots);
KERNEL(sparse_product);
KERNEL(sparse_dots);
KERNEL(add_sums);
KERNEL(depthwise);
KERNEL(depthwise_dots);

#endif
