/*
 * What coppice-cuda.so exports as `cop_cuda_module`. The module alone speaks to CUDA, cuDNN, cuBLAS and NCCL; it uses
 * no function of the library but those that are handed to it.
 */
#ifndef COP_COMPUTE_CUDA_H
#define COP_COMPUTE_CUDA_H

#include "base/module.h"
#include "compute/backend.h"

enum { COP_CUDA_INTERFACE = 4, COP_CUDA_TEXT = 160 };

/* What was found, a line each; "" where there is nothing to say. */
struct cop_cuda_found {
	int devices;
	char device[COP_CUDA_TEXT];  /* the first: "NVIDIA H200, 139.8 GiB, compute capability 9.0" */
	char driver[COP_CUDA_TEXT];  /* "CUDA 13.0 (driver), 13.0 (runtime)" */
	char library[COP_CUDA_TEXT]; /* "cuDNN 9.19.0, cuBLASLt 13.0, NCCL 2.27" */
};

/* What a benchmark of the module's own times; see measure(). */
enum cop_cuda_work {
	COP_CUDA_COPY,    /* copying the numbers, as floats, within the device's memory */
	COP_CUDA_KERNELS, /* each family of kernels, on activations of about so many numbers */
	COP_CUDA_SELECT,  /* nine exact order statistics of so many floats */
};

struct cop_cuda_timing {
	char name[64];
	double seconds, bytes; /* median of one call; what it must read and write at the least */
};
enum { COP_CUDA_TIMINGS = 24 };

struct cop_cuda_module {
	struct cop_module_header header;
	/* Asks without opening anything. COP_EMISSING, in one line: no driver, no device, a version that will not do.
	 */
	int (*find)(struct cop_cuda_found *found, struct cop_err *err);
	/*
	 * Opens device c->index with the precision and determinism of *c; the same choice again gives what is open.
	 * The backend acts for the thread that opened it, and for those that call adopt().
	 */
	int (*open)(const struct cop_device_choice *c, const struct cop_backend **b, struct cop_err *err);
	/* What follows on this thread is done by the device of `rank`, which some thread has opened. */
	int (*adopt)(int rank, struct cop_err *err);
	/*
	 * Times `work` on the thread's device, with `numbers` (above 0) numbers; *n rows of t, COP_CUDA_TIMINGS at
	 * most. What it allocates it releases.
	 */
	int (*measure)(enum cop_cuda_work work, size_t numbers, struct cop_cuda_timing *t, int *n, struct cop_err *err);
};

/* The module, opened. COP_EMISSING where there is none. */
int cop_cuda_load(const struct cop_cuda_module **m, struct cop_err *err) COP_CHECKED;

#endif
