/*
 * Ranks (ranks.h) that are devices, one thread each: what a rank has of parameters, optimizer state and running
 * statistics is a copy of its own, and all copies stay the same because each makes the same update. A step:
 *
 *   each rank:  its part of the batch to the device; forward and backward (recorded), its loss back
 *   all meet:   whoever could not come this far has said so, and nobody waits for a mean that will not be
 *   all:        means of the gradients and of the running statistics, by the devices' queues
 *   each rank:  the update (recorded)
 */
#ifndef COP_NN_RANKS_DEVICE_H
#define COP_NN_RANKS_DEVICE_H

#include "base/err.h"

#include <stdint.h>

struct cop_trainer;
struct cop_device_ranks;

/* Of a trainer that is on the first of n devices. COP_EMISSING where there are fewer, or nothing that joins them. */
int cop_device_ranks_open(struct cop_device_ranks **r, struct cop_trainer *t, int n, struct cop_err *err) COP_CHECKED;
void cop_device_ranks_free(struct cop_device_ranks *r); /* NULL is allowed; before the trainer leaves its device */

/* Steps up to `until`, as many as take a fraction of a second; *waited: seconds until the first rank had its parts. */
int cop_device_ranks_steps(struct cop_device_ranks *r, int64_t until, double *waited, struct cop_err *err) COP_CHECKED;

#endif
