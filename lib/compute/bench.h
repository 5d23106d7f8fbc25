/* The benchmark of convolutions, for 'coppice bench'. */
#ifndef COP_COMPUTE_BENCH_H
#define COP_COMPUTE_BENCH_H

#include "compute/backend.h"

/* One direction of a convolution. */
struct cop_bench_pass {
	double seconds;      /* the median */
	double flops, bytes; /* 2 a multiply-accumulate; activations and gradients, each read or written once */
};

/* Memory for the largest of them. Starts as {0}. */
struct cop_conv_bench {
	float *source, *sink, *weights, *channels, *space;
	size_t sources, sinks; /* floats */
};

/* Room for `n` convolutions, one after the other, and numbers to work on. COP_EFAILED: no memory. */
int cop_conv_bench_init(struct cop_conv_bench *b, const struct cop_conv *d, size_t n, struct cop_err *err) COP_CHECKED;
void cop_conv_bench_release(struct cop_conv_bench *b);

/*
 * Times `d` as a step of training does it: its input is read through a batch norm and a ReLU6, forward adds up
 * moments, backward takes a batch norm's slope and gives the gradients of weights and input. `image`: the input is an
 * image, read as it is, that wants no gradient. What it works on lies in memory, not in a cache: it moves on from pass
 * to pass.
 */
void cop_conv_bench_time(const struct cop_conv_bench *b, const struct cop_conv *d, bool image,
			 struct cop_bench_pass *forward, struct cop_bench_pass *backward);

#endif
