/*
 * The straight line between two sets of weights of a network, measured point by point: (1 - alpha) first + alpha second
 * (Frankle, Dziugaite, Roy & Carbin 2020).
 *
 * Running statistics of batch norm are no weights: those of the ends, averaged, are not the ones that the averaged
 * weights have. At each point they are estimated anew from batches of training, as Garipov et al. (2018) and Izmailov
 * et al. (2018) do after averaging, at the ends too; or they are interpolated like weights.
 */
#ifndef COP_NN_LINE_H
#define COP_NN_LINE_H

#include "nn/trainer.h"
#include "store/connect.h"

/* The two ends, in the layouts of the trainer's network. */
struct cop_line {
	const float *first, *second;               /* (params.total) */
	const float *first_buffer, *second_buffer; /* (buffers.total); not read where the network has none */
};

/*
 * Fills c's columns at its points. t: a trainer of that network, with the mask of both ends where they have one; its
 * weights are other ones afterwards. c->batches: how many batches of t's training, an epoch at most, the statistics are
 * estimated from; 0: they are interpolated. train: images that are measured without augmentation as well; NULL: none
 * are. Fails as measuring does, and as t's heartbeat does.
 */
int cop_line_measure(struct cop_trainer *t, const struct cop_line *line, const struct cop_part *train,
		     struct cop_connection *c, struct cop_err *err) COP_CHECKED;

/*
 * The running statistics that weights `param` have over the first `batches` batches of t's training, augmented as
 * there: of each batch norm the mean over the batches of each one's mean and unbiased variance. Into `buffer`
 * (buffers.total), whose values matter for rounding only. Computed on the CPU.
 */
int cop_line_statistics(struct cop_trainer *t, const float *param, int64_t batches, float *buffer, struct cop_err *err)
	COP_CHECKED;

#endif
