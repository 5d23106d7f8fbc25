/*
 * What kernels read and where gradients go, at random, twice: `host` for the CPU backend, `device` for the launchers.
 * All of it belongs to the case (gpu.h).
 */
#ifndef COP_TESTS_VALUES_H
#define COP_TESTS_VALUES_H

#include "gpu.h"

/*
 * Does test(l, s, r), `name` in messages, with both elements and with many shapes, some of them of many pixels or
 * channels. r: a state of random numbers.
 */
void gpu_each_shape(const char *name, void (*test)(const struct cop_launch *l, const struct cop_shape *s, uint64_t *r));

/* A value; with or without a batch norm, cut off or not, as drawn. */
struct gpu_value {
	struct cop_activation host, device;
};
struct gpu_value gpu_value(const struct cop_launch *l, const struct cop_shape *s, uint64_t *r);

/* A gradient, with or without a slope. */
struct gpu_gradient {
	struct cop_gradient host, device;
};
struct gpu_gradient gpu_gradient(const struct cop_launch *l, const struct cop_shape *s, uint64_t *r);

/* A place for a gradient; adding, completing, cutting off and taking sums as drawn. Full of NaN unless it adds. */
struct gpu_sink {
	struct cop_sink host, device;
	struct cop_sums host_sums, device_sums;
};
/* *k may not move: the sinks have pointers to its sums. */
void gpu_sink(struct gpu_sink *k, const struct cop_launch *l, const struct cop_shape *s, uint64_t *r);
/* Fails where the gradients differ, or the sums from those of the CPU's gradient in double precision. */
void gpu_same_sink(const struct gpu_sink *k, const struct cop_launch *l, const struct cop_shape *s);

/* (C) random numbers in the device's memory and, *host, in the program's. */
float *gpu_channels(uint64_t *r, int c, float low, float high, float **host);

/* Room for a backend's sums over c channels. */
struct cop_sums gpu_sums_room(int c, int parts, bool device);
/*
 * Fails unless the parts of `sums` on the device add up to `want` (c, 2), within tolerance of `scale` (c, 2), which is
 * what the terms' magnitudes add up to.
 */
void gpu_same_sums(const struct cop_sums *sums, int c, const double *want, const double *scale, double tolerance);

#endif
