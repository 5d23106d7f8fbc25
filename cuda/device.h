/*
 * A GPU as the module uses it: a stream that calls are queued in, further ones for lanes of a record and for copies
 * ahead, and the first error. Not for other folders.
 */
#ifndef COP_CUDA_DEVICE_H
#define COP_CUDA_DEVICE_H

#include "compute/cuda.h"
#include "fail.h"
#include "kernels/kernels.h"
#include "products.h"

#include <cuda_runtime_api.h>

/* Memory of the device's that was allocated. */
struct cop_cuda_block {
	const void *p;
	size_t bytes;
};

struct cop_cuda_device {
	struct cop_device_choice choice;
	char name[COP_CUDA_TEXT];
	struct cop_backend table;
	struct cop_products *products;
	enum cop_element element;
	bool fused; /* convolutions take what is around them with them, where an engine does */
	cudaStream_t lane[COP_LANES_MAX], copies; /* lane 0: all that is not recorded in another */
	cudaEvent_t joint[COP_LANES_MAX], copied, mark[COP_MARKS];
	bool marked[COP_MARKS];
	int at, lanes; /* the lane that calls go to; the most that were forked to */
	bool recording;
	struct cop_err first; /* code 0: none */
	/* Room of each lane for what a call needs while it runs; grows outside of records only. */
	char *scratch;
	size_t scratch_bytes;
	int scratch_lanes;
	struct cop_cuda_block *block;            /* (nblocks), room for block_room */
	size_t nblocks, block_room, bytes, most; /* most: that `bytes`, of all blocks, has been */
	/* The weights that products read in a narrower form, see struct cop_backend. */
	const float *full;
	const char *narrow;
};

/* The thread's device. */
struct cop_cuda_device *cop_cuda_now(void);

/* Keeps the device's first error. */
void cop_cuda_note(struct cop_cuda_device *d, cudaError_t e, const char *what);
void cop_cuda_note_error(struct cop_cuda_device *d, const struct cop_err *err);

/* Where calls go now. */
struct cop_launch cop_cuda_launch(const struct cop_cuda_device *d);

/* Room for a call of this lane, until its next one; NULL where there is none, which is noted. */
void *cop_cuda_scratch(struct cop_cuda_device *d, size_t bytes);

/* Opens streams and events. On failure the caller closes. */
int cop_cuda_device_open(struct cop_cuda_device *d, const struct cop_device_choice *c, struct cop_err *err);
void cop_cuda_device_close(struct cop_cuda_device *d);

/* What follows on this thread is this device's. */
int cop_cuda_adopt(struct cop_cuda_device *d, struct cop_err *err);

/* Opens the device that comes `rank` after b's, in the same way. */
int cop_cuda_beside(const struct cop_backend *b, int rank, const struct cop_backend **other, struct cop_err *err);

extern const struct cop_queue cop_cuda_queue;
int cop_cuda_alloc(void **p, size_t bytes, const char *what, struct cop_err *err);
void cop_cuda_release(void *p);
int cop_cuda_put(void *to, const void *host, size_t bytes, struct cop_err *err);
int cop_cuda_get(void *host, const void *from, size_t bytes, struct cop_err *err);

/* Benchmarks of the thread's device; see struct cop_cuda_module. */
int cop_cuda_measure(enum cop_cuda_work work, size_t numbers, struct cop_cuda_timing *t, int *n, struct cop_err *err);

/*
 * fusion.c: the plan that takes with it as much of `all` as any does, and what that is; NULL: none, or an error, which
 * is noted. What engines there are decides, so it is the same plan each time.
 */
const struct cop_conv_plan *cop_cuda_fused_plan(const struct cop_conv *d, const struct cop_conv_fusion *all,
						struct cop_conv_fusion *taken);
/* Whether lo..hi cuts anything off. */
bool cop_cuda_cuts(float lo, float hi);

/* Fills the table's slots that compute. */
void cop_cuda_fill_table(struct cop_backend *b);

#endif
