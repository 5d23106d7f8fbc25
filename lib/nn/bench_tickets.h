/*
 * The benchmark of training what masks leave, for 'coppice bench --sparse': one network, whose weights are trained here
 * or come from a checkpoint, and masks one after the other, each computed as it is faster (auto) and whole (dense).
 */
#ifndef COP_NN_BENCH_TICKETS_H
#define COP_NN_BENCH_TICKETS_H

#include "nn/bench.h"
#include "nn/stopwatch.h"
#include "store/checkpoint.h"

struct cop_ticket_times {
	double seconds, dense_seconds;              /* the median step: auto, and dense with the same mask */
	double images_per_second, dense_per_second; /* batch / that */
	double share[COP_STEP_PARTS];               /* of the time of steps by auto */
	int lists, layers;                          /* layers that are lists, of those that could be */
};

struct cop_ticket_bench;

/* The images are the digits of data/glyphs.h, scaled and coloured. COP_EFAILED: no memory. */
int cop_ticket_bench_open(struct cop_ticket_bench **b, const struct cop_model_config *model,
			  const struct cop_train_config *train, const struct cop_bench_data *images,
			  struct cop_err *err) COP_CHECKED;
void cop_ticket_bench_free(struct cop_ticket_bench *b); /* NULL is allowed */

/* Fresh weights, trained for so many steps (0: so many seconds). *loss: the mean of the last ones. */
int cop_ticket_bench_learn(struct cop_ticket_bench *b, int steps, double seconds, double *loss, struct cop_err *err)
	COP_CHECKED;

/* Or those of a checkpoint; one of another network is COP_EINPUT. */
int cop_ticket_bench_load(struct cop_ticket_bench *b, const struct cop_checkpoint *c, struct cop_err *err) COP_CHECKED;

/* The parameters and their layout. */
const struct cop_layout *cop_ticket_bench_layout(const struct cop_ticket_bench *b);
const float *cop_ticket_bench_weights(const struct cop_ticket_bench *b);

/*
 * Steps with such a mask (1: keep): `steps` of each engine (0: two seconds' worth, 5 at least), in turn, then some
 * whose parts are timed. COP_EINPUT where such a mask leaves nothing to train.
 */
int cop_ticket_bench_time(struct cop_ticket_bench *b, const uint8_t *mask, int steps, struct cop_ticket_times *out,
			  struct cop_err *err) COP_CHECKED;

#endif
