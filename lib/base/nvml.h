/*
 * NVML: the energy of NVIDIA's GPUs since the driver was loaded, and how busy they are, from libnvidia-ml.so.1 (or
 * $COPPICE_NVML), which comes with the driver and is opened at run time. Its types are written out here after NVIDIA's
 * "NVML API Reference Guide", so that building needs nothing of it.
 */
#ifndef COP_BASE_NVML_H
#define COP_BASE_NVML_H

#include <stdbool.h>
#include <stddef.h>

enum { COP_NVML_MAX = 64 };

struct nvmlDevice_st; /* what nvmlDevice_t points to */

/* Percent of the last second, or the last sixth of one, in which a kernel ran, and memory was read or written. */
struct cop_nvml_rates {
	unsigned gpu, memory;
};

/* Its functions; each returns 0 or a code of its own. */
struct cop_nvml_calls {
	int (*init)(void);
	int (*shutdown)(void);
	int (*count)(unsigned *n);
	int (*by_index)(unsigned index, struct nvmlDevice_st **device);
	int (*by_uuid)(const char *uuid, struct nvmlDevice_st **device);
	int (*energy)(struct nvmlDevice_st *device, unsigned long long *millijoules);
	int (*rates)(struct nvmlDevice_st *device, struct cop_nvml_rates *rates);
};

struct cop_nvml {
	void *library;
	struct cop_nvml_calls call;
	struct nvmlDevice_st *device[COP_NVML_MAX];
	unsigned long long first[COP_NVML_MAX]; /* millijoules at the beginning */
	int n;
	bool metered, watched; /* all of them count energy; all of them tell how busy they are */
};

/*
 * Begins to count of the devices that `visible` names as CUDA_VISIBLE_DEVICES does, by index or UUID, or of the first
 * `most` where it is NULL. Returns how many they are; 0 where there is no library, or one of the devices keeps no
 * count of energy. Release it.
 */
int cop_nvml_open(struct cop_nvml *v, const char *visible, int most);
void cop_nvml_release(struct cop_nvml *v);

/* Joules of the devices since the beginning; NaN where there are none, or one did not answer. */
double cop_nvml_read(struct cop_nvml *v);

/* The share of the last moments in which the devices computed, 0 to 1, on average; NaN where one does not tell. */
double cop_nvml_busy(const struct cop_nvml *v);

/* How many devices a CUDA_VISIBLE_DEVICES names: up to the first that cannot be one. */
int cop_nvml_visible(const char *visible);

#endif
