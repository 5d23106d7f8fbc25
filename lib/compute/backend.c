/* Choosing a backend; see backend.h. */
#include "compute/backend.h"

#include "compute/cuda.h"

int cop_leading(const struct cop_backend *b, int batch)
{
	return (batch + b->leading - 1) / b->leading * b->leading;
}

const char *cop_backend_describe(const struct cop_backend *b, char *buf, size_t size)
{
	return b->describe(buf, size);
}

int cop_cuda_load(const struct cop_cuda_module **m, struct cop_err *err)
{
	const void *table;
	int rc = cop_module_open("cuda", "cop_cuda_module", COP_CUDA_INTERFACE, &table, err);
	if (!rc)
		*m = table;
	return rc;
}

static int open_cuda(const struct cop_device_choice *c, const struct cop_backend **b, struct cop_err *err)
{
	const struct cop_cuda_module *m;
	struct cop_cuda_found found;
	int rc = cop_cuda_load(&m, err);
	if (!rc)
		rc = m->find(&found, err);
	return rc ? rc : m->open(c, b, err);
}

int cop_backend_open(const struct cop_device_choice *c, const struct cop_backend **b, struct cop_err *err)
{
	struct cop_err why = {0};
	/* the module and what it wants are large: without a driver "auto" need not open them to know */
	bool cpu = c->kind == COP_DEVICE_CPU || (c->kind == COP_DEVICE_AUTO && !cop_library_here("libcuda.so.1"));
	int rc = cpu ? COP_EMISSING : open_cuda(c, b, &why);
	if (!rc)
		return 0;
	if (c->kind == COP_DEVICE_CUDA)
		return cop_fail(err, why.code, "device 'cuda': %s", why.msg);
	if (rc != COP_EMISSING)
		return cop_fail(err, rc, "%s", why.msg);
	if (c->precision != COP_FP32)
		return cop_fail(
			err, COP_EINPUT,
			"the CPU computes in fp32 only: set device.precision to 'fp32', or device.kind to 'cuda'");
	*b = &cop_cpu_backend;
	return 0;
}
