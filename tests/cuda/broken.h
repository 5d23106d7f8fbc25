/* A kernel with faults that can be asked for, to see that the emulation notices. Emulated only. */
#ifndef COP_TESTS_CUDA_BROKEN_H
#define COP_TESTS_CUDA_BROKEN_H

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

enum broken_fault {
	BROKEN_NOT,
	BROKEN_NO_BARRIER,   /* a barrier is missing */
	BROKEN_SOME_BARRIER, /* some threads do not come to it */
	BROKEN_BARRIERS,     /* threads come to different ones */
	BROKEN_LANE,         /* a lane reads from one that takes no part */
	BROKEN_MASK,         /* a lane is not in the mask that it gives */
	BROKEN_ADDRESS,      /* 16 bytes at an address that 16 does not divide */
	BROKEN_STALE,        /* shared memory is read before it is written */
	BROKEN_FAULTS
};

/* y (128) = x (128) back to front, by `blocks` blocks that do the same. */
cudaError_t broken_turn(cudaStream_t stream, unsigned blocks, const float *x, float *y, enum broken_fault fault);
/* A launch of so many threads and bytes of shared memory, of a kernel that may have 64 KiB; *y becomes 1. */
cudaError_t broken_launch(cudaStream_t stream, unsigned threads, unsigned shared, float *y);

#ifdef __cplusplus
}
#endif

#endif
