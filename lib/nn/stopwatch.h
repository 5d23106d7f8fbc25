/*
 * What the parts of a training step on the CPU take: a backend whose calls are the CPU's, and which takes the time of
 * each. Who does not use it pays nothing. One step at a time, from one thread.
 */
#ifndef COP_NN_STOPWATCH_H
#define COP_NN_STOPWATCH_H

#include "compute/backend.h"

enum cop_step_part {
	COP_STEP_CONV,      /* convolutions that are whole; what is read through a batch norm is normalised there */
	COP_STEP_LISTS,     /* those of which the survivors are listed */
	COP_STEP_DEPTHWISE, /* a group for each channel */
	COP_STEP_LINEAR,    /* linear layers, listed or not */
	COP_STEP_UPDATE,    /* of weights and optimizer state */
	COP_STEP_DATA,      /* making batches, or waiting for them; whoever times the steps knows */
	COP_STEP_OTHERS,    /* the rest of the step: batch norms, additions, pools, the loss */
	COP_STEP_PARTS
};

extern const char *const cop_step_part_names[COP_STEP_PARTS];

/* A backend as cop_cpu_backend is. Starts from 0: */
const struct cop_backend *cop_stopwatch_start(void);

/* Seconds since then of all parts but DATA and OTHERS, which stay what they are. */
void cop_stopwatch_read(double seconds[COP_STEP_PARTS]);

#endif
