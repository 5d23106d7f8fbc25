/* The benchmark of training, for 'coppice bench'. */
#ifndef COP_NN_BENCH_H
#define COP_NN_BENCH_H

#include "nn/config.h"

struct cop_bench_step {
	double images_per_second; /* batch / median step */
	double flops;   /* of a step: 2 a multiply-accumulate, forward, weights' gradient and data's gradient */
	double seconds; /* the median step */
};

/* `steps` training steps (after a tenth as many to warm up) on random images of side x side x channels. */
int cop_bench_train(const struct cop_model_config *model, const struct cop_train_config *train, int side, int channels,
		    int classes, int steps, struct cop_bench_step *out, struct cop_err *err) COP_CHECKED;

#endif
