/*
 * What the tests of the kernels share. They are linked with kernels for the host and a CUDA runtime of the tests' own,
 * or with the real ones. A case compares a launcher with the CPU backend: random numbers, rounded to the element that
 * is tested, go to both. All that a case allocates, on the host and on the device, is released when it ends; a case
 * that fails says what gpu_case() was told.
 *
 *	for (uint64_t seed = 1; ...) {
 *		uint64_t r = seed;
 *		struct cop_shape s = gpu_shape(&r, 5);
 *		gpu_case("copy: seed %llu, shape ...", seed, ...);
 *		float *x = gpu_random_activation(l, &s, &r, -1, 1), *want = gpu_host_activation(&s);
 *		void *dx = gpu_put_activation(l, &s, x), *dy = gpu_alloc_activation(l, &s);
 *		... cop_cpu_backend.copy(...); gpu_ok(cop_cuda_copy(l, ...));
 *		gpu_same_activation("y", l, &s, dy, want, gpu_tolerance(l));
 *		gpu_end();
 *	}
 */
#ifndef COP_TESTS_GPU_H
#define COP_TESTS_GPU_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels.h"

#include <stdbool.h>

/* Both elements, with one stream: gpu_launches[COP_ELEMENT_F32], [COP_ELEMENT_BF16]. Made by gpu_setup(). */
extern struct cop_launch gpu_launches[2];
enum { GPU_ELEMENTS = 2 };

/* For cmocka_run_group_tests(tests, gpu_setup, gpu_teardown). */
int gpu_setup(void **state);
int gpu_teardown(void **state);

/* What is being tested, for messages. */
void gpu_case(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Ends the case: all of it is released. */
void gpu_end(void);
/* Fails the test, with the case in front. */
void gpu_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
/* Fails unless the call did. */
void gpu_ok(cudaError_t error);

/* Random numbers from a state, which starts as a seed. */
uint64_t gpu_draw(uint64_t *r);
int gpu_between(uint64_t *r, int low, int high);       /* low to high, both of them */
float gpu_uniform(uint64_t *r, float low, float high); /* low to high */
int gpu_one_of(uint64_t *r, int n, const int *choice); /* one of n */
/* Channels of 1, 3, 5, 8, 16, 24 or 96, sides of 1 to `side`, a batch of 1, 3, 16 or 33; ld as the CPU wants it. */
struct cop_shape gpu_shape(uint64_t *r, int side);

/* Host memory, aligned to 64; floats are NaN until written. */
void *gpu_host(size_t bytes);
float *gpu_floats(size_t n);
float *gpu_random(uint64_t *r, size_t n, float low, float high);
/* x (n) as the element can have it, in place; returns x. */
float *gpu_round(const struct cop_launch *l, size_t n, float *x);

/* Device memory, full of NaN; waiting copies to and from it. gpu_put(NULL, n) is NULL. */
void *gpu_alloc(size_t bytes);
void *gpu_put(const void *host, size_t bytes);
void gpu_get(void *host, const void *device, size_t bytes);
/* cudaMemcpy(), which alone may return before the device is done, for streams that do not wait for it. */
void gpu_copy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind);
/* n numbers of l->element from floats, and back into floats (host memory of the case). */
size_t gpu_bytes(const struct cop_launch *l, size_t n);
void *gpu_put_elements(const struct cop_launch *l, const float *x, size_t n);
float *gpu_get_elements(const struct cop_launch *l, const void *device, size_t n);

/*
 * Activations: on the host (H,W,C,ld) as the CPU backend has them, on the device (N,H,W,C) of l->element. Random ones
 * are rounded to the element; columns from the batch on are 0.
 */
size_t gpu_count(const struct cop_shape *s);    /* floats on the host: H W C ld */
size_t gpu_elements(const struct cop_shape *s); /* elements on the device: N H W C */
float *gpu_host_activation(const struct cop_shape *s);
float *gpu_random_activation(const struct cop_launch *l, const struct cop_shape *s, uint64_t *r, float low, float high);
void *gpu_alloc_activation(const struct cop_launch *l, const struct cop_shape *s);
void *gpu_put_activation(const struct cop_launch *l, const struct cop_shape *s, const float *host);
float *gpu_get_activation(const struct cop_launch *l, const struct cop_shape *s, const void *device);

/* 1e-5 for float, 1e-2 for bf16. */
double gpu_tolerance(const struct cop_launch *l);
/*
 * Fails where two arrays differ by more than tolerance * the largest magnitude of `want`; NaN is like NaN alone, and an
 * infinity like itself. tolerance 0: the same value.
 */
void gpu_same(const char *what, size_t n, const float *got, const float *want, double tolerance);
/* Floats on the device. */
void gpu_same_device(const char *what, size_t n, const float *device, const float *want, double tolerance);
void gpu_same_activation(const char *what, const struct cop_launch *l, const struct cop_shape *s, const void *device,
			 const float *want, double tolerance);

#endif
