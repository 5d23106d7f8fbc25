/* coppice-cuda.so: what a program finds in it; see compute/cuda.h. */
#include "device.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEVICES = 16 };

static struct cop_cuda_device *devices[DEVICES]; /* opened, by index */

static const char *describe(char *buf, size_t size)
{
	static const char *const precisions[] = {[COP_FP32] = "fp32", [COP_TF32] = "TF32", [COP_BF16] = "bf16"};
	const struct cop_cuda_device *d = cop_cuda_now();
	char libraries[COP_CUDA_TEXT];
	snprintf(buf, size, "%s, %s, %s%s%s", d->name, precisions[d->choice.precision],
		 cop_products_libraries(libraries, sizeof(libraries)),
		 d->choice.deterministic ? "" : ", not deterministic",
		 d->fused || d->choice.precision == COP_FP32 ? "" : ", not fused");
	return buf;
}

static void version(int number, char *buf, size_t size)
{
	snprintf(buf, size, "%d.%d", number / 1000, number % 1000 / 10);
}

/* How many devices there are; what lacks where there is none. */
static int count_devices(int *n, struct cop_err *err)
{
	int driver = 0, runtime = 0;
	char has[16], wants[16];
	cudaError_t e = cudaGetDeviceCount(n);
	cudaDriverGetVersion(&driver);
	cudaRuntimeGetVersion(&runtime);
	version(driver, has, sizeof(has));
	version(runtime, wants, sizeof(wants));
	if (e == cudaErrorInsufficientDriver && driver == 0)
		return cop_cuda_fail(err, COP_EMISSING, "no NVIDIA driver is here");
	if (e == cudaErrorInsufficientDriver)
		return cop_cuda_fail(err, COP_EMISSING,
				     "the NVIDIA driver has CUDA %s, this module wants %s: update the driver, or build "
				     "with an older toolkit",
				     has, wants);
	if (e == cudaErrorNoDevice || (e == cudaSuccess && *n == 0))
		return cop_cuda_fail(err, COP_EMISSING,
				     "no GPU is to be seen here: ask for one ('slurm.gpus'), or look at "
				     "CUDA_VISIBLE_DEVICES");
	if (e != cudaSuccess)
		return cop_cuda_fail(err, COP_EMISSING, "the GPUs cannot be counted: %s", cudaGetErrorString(e));
	return 0;
}

static int properties_of(int index, struct cudaDeviceProp *p, struct cop_err *err)
{
	cudaError_t e = cudaGetDeviceProperties(p, index);
	if (e != cudaSuccess)
		return cop_cuda_fail(err, COP_EMISSING, "GPU %d does not answer: %s", index, cudaGetErrorString(e));
	if (p->major < 8)
		return cop_cuda_fail(err, COP_EMISSING,
				     "GPU %d (%s) has compute capability %d.%d; 8.0 is the least that will do", index,
				     p->name, p->major, p->minor);
	return 0;
}

static int find(struct cop_cuda_found *found, struct cop_err *err)
{
	struct cudaDeviceProp p;
	int driver = 0, runtime = 0;
	char has[16], wants[16];
	*found = (struct cop_cuda_found){0};
	int rc = count_devices(&found->devices, err);
	if (!rc)
		rc = properties_of(0, &p, err);
	if (!rc)
		rc = cop_products_check(err);
	if (rc)
		return rc;
	cudaDriverGetVersion(&driver);
	cudaRuntimeGetVersion(&runtime);
	version(driver, has, sizeof(has));
	version(runtime, wants, sizeof(wants));
	snprintf(found->device, sizeof(found->device), "%.80s, %.1f GiB, compute capability %d.%d", p.name,
		 (double)p.totalGlobalMem / (1 << 30), p.major, p.minor);
	snprintf(found->driver, sizeof(found->driver), "CUDA %s (driver), %s (runtime)", has, wants);
	cop_products_libraries(found->library, sizeof(found->library));
	return 0;
}

static int open_products(struct cop_cuda_device *d, struct cop_err *err)
{
	size_t free_bytes = 0, total = 0;
	enum { SHARE = 16 };
	int rc = cop_cuda_queue.memory(&free_bytes, &total, err);
	if (rc)
		return rc;
	struct cop_products_choice c = {.precision = (enum cop_precision)d->choice.precision,
					.deterministic = d->choice.deterministic,
					.space = total / SHARE};
	return cop_products_open(&c, &d->products, err);
}

/* COPPICE_CUDA_FUSED=0 in the environment: all that is around a convolution is a kernel of its own, to compare. */
static bool wants_fused(void)
{
	const char *wish = getenv("COPPICE_CUDA_FUSED");
	return !wish || strcmp(wish, "0") != 0;
}

static int open_new(const struct cop_device_choice *c, struct cop_cuda_device **out, struct cop_err *err)
{
	struct cudaDeviceProp p;
	struct cop_cuda_device *d = calloc(1, sizeof(*d));
	if (!d)
		return cop_cuda_fail(err, COP_EFAILED, "out of memory");
	int rc = properties_of(c->index, &p, err);
	if (!rc)
		rc = cop_cuda_device_open(d, c, err);
	if (!rc)
		rc = open_products(d, err);
	if (rc) {
		cop_cuda_device_close(d);
		free(d);
		return rc;
	}
	d->fused = wants_fused();
	snprintf(d->name, sizeof(d->name), "%.80s", p.name);
	d->table = (struct cop_backend){
		.name = "cuda",
		.element = d->element == COP_ELEMENT_BF16 ? 2 : 4,
		.leading = 1,
		.parts = COP_CUDA_PARTS,
		.alloc = cop_cuda_alloc,
		.release = cop_cuda_release,
		.put = cop_cuda_put,
		.get = cop_cuda_get,
		.describe = describe,
		.queue = &cop_cuda_queue,
	};
	cop_cuda_fill_table(&d->table);
	*out = d;
	return 0;
}

static bool same(const struct cop_device_choice *a, const struct cop_device_choice *b)
{
	return a->precision == b->precision && a->deterministic == b->deterministic && a->index == b->index;
}

static int open_device(const struct cop_device_choice *c, const struct cop_backend **b, struct cop_err *err)
{
	int n;
	int rc = count_devices(&n, err);
	if (rc)
		return rc;
	if (c->index < 0 || c->index >= n || c->index >= DEVICES)
		return cop_cuda_fail(err, COP_EMISSING, "there is no GPU %d: %d can be seen here", c->index, n);
	struct cop_cuda_device **d = &devices[c->index];
	if (*d && !same(&(*d)->choice, c))
		return cop_cuda_fail(err, COP_EFAILED, "GPU %d is open with another precision", c->index);
	rc = *d ? cop_cuda_adopt(*d, err) : open_new(c, d, err);
	if (!rc)
		*b = &(*d)->table;
	return rc;
}

int cop_cuda_beside(const struct cop_backend *b, int rank, const struct cop_backend **other, struct cop_err *err)
{
	const struct cop_cuda_device *first = (const void *)((const char *)b - offsetof(struct cop_cuda_device, table));
	struct cop_device_choice c = first->choice;
	c.index += rank;
	return open_device(&c, other, err);
}

static int adopt(int rank, struct cop_err *err)
{
	if (rank < 0 || rank >= DEVICES || !devices[rank])
		return cop_cuda_fail(err, COP_EFAILED, "GPU %d was not opened", rank);
	return cop_cuda_adopt(devices[rank], err);
}

__attribute__((visibility("default"))) extern const struct cop_cuda_module cop_cuda_module;
const struct cop_cuda_module cop_cuda_module = {
	.header = {COP_CUDA_INTERFACE, "CUDA, cuDNN, cuBLASLt"},
	.find = find,
	.open = open_device,
	.adopt = adopt,
	.measure = cop_cuda_measure,
};
