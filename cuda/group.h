/* GPUs of one process that take means of their numbers; NCCL does it, which is opened when a group is. */
#ifndef COP_CUDA_GROUP_H
#define COP_CUDA_GROUP_H

#include "compute/backend.h"

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { COP_GROUP_MAX = 16 };

/* Devices first, first + 1, ... of `ranks`. COP_EMISSING, in one line, where there is no NCCL. */
int cop_group_open(struct cop_group **g, int first, int ranks, struct cop_err *err) COP_CHECKED;
void cop_group_close(struct cop_group *g);

/*
 * x (n) of the group's device `rank` becomes the mean over all, queued in `stream`; the same bits on each. Each rank's
 * thread calls it, all in the same order.
 */
int cop_group_mean(struct cop_group *g, int rank, float *x, size_t n, cudaStream_t stream, struct cop_err *err)
	COP_CHECKED;

/* Whoever waits for a mean, on the host or on a device, waits no longer; nothing is a mean from now on. By any thread.
 */
void cop_group_abandon(struct cop_group *g);

#ifdef __cplusplus
}
#endif

#endif
