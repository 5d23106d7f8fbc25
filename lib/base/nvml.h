/*
 * NVML: the energy of NVIDIA's GPUs since the driver was loaded, from libnvidia-ml.so.1 (or $COPPICE_NVML), which comes
 * with the driver and is opened at run time. Its types are written out here after NVIDIA's "NVML API Reference Guide",
 * so that building needs nothing of it.
 */
#ifndef COP_BASE_NVML_H
#define COP_BASE_NVML_H

#include <stddef.h>

enum { COP_NVML_MAX = 64 };

struct nvmlDevice_st; /* what nvmlDevice_t points to */

/* Its functions; each returns 0 or a code of its own. */
struct cop_nvml_calls {
	int (*init)(void);
	int (*shutdown)(void);
	int (*count)(unsigned *n);
	int (*by_index)(unsigned index, struct nvmlDevice_st **device);
	int (*by_uuid)(const char *uuid, struct nvmlDevice_st **device);
	int (*energy)(struct nvmlDevice_st *device, unsigned long long *millijoules);
};

struct cop_nvml {
	void *library;
	struct cop_nvml_calls call;
	struct nvmlDevice_st *device[COP_NVML_MAX];
	unsigned long long first[COP_NVML_MAX]; /* millijoules at the beginning */
	int n;
};

/*
 * Begins to count of the devices that `visible` names as CUDA_VISIBLE_DEVICES does, by index or UUID, or of the first
 * `most` where it is NULL. Returns how many they are; 0 where there is no library, or one of the devices keeps no
 * count. Release it.
 */
int cop_nvml_open(struct cop_nvml *v, const char *visible, int most);
void cop_nvml_release(struct cop_nvml *v);

/* Joules of the devices since the beginning; NaN where there are none, or one did not answer. */
double cop_nvml_read(struct cop_nvml *v);

/* How many devices a CUDA_VISIBLE_DEVICES names: up to the first that cannot be one. */
int cop_nvml_visible(const char *visible);

#endif
