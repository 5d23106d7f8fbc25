/* The benchmark of training, for 'coppice bench'. */
#ifndef COP_NN_BENCH_H
#define COP_NN_BENCH_H

#include "compute/backend.h"
#include "nn/config.h"

#include <stddef.h>

/* Random images, (channels, side, side) of so many classes; a few MiB of them. */
struct cop_bench_data {
	int channels, side, classes;
};

struct cop_bench_step {
	double seconds;           /* the median step */
	double images_per_second; /* batch / that */
	double flops;      /* of a step: 2 a multiply-accumulate, forward, weights' gradient and data's gradient */
	double data_wait;  /* the share of the steps' time that goes to making batches, or to waiting for them */
	size_t work_bytes; /* activations, their gradients and workspace */
	/* on a device that works beside the program, else 0 */
	double conv_bytes;   /* of what the convolutions of a step give */
	size_t device_bytes; /* that the device has less than before */
};

/*
 * `steps` training steps (0: three seconds' worth, at least 5), after some that are not timed. On a device that works
 * beside the program they are timed some at a time, as they are queued.
 */
int cop_bench_train(const struct cop_model_config *model, const struct cop_train_config *train,
		    const struct cop_bench_data *images, int steps, const struct cop_backend *backend,
		    struct cop_bench_step *out, struct cop_err *err) COP_CHECKED;

#endif
