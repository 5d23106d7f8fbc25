/* Choosing a backend; see backend.h. */
#include "compute/backend.h"

enum { KIND_AUTO, KIND_CPU, KIND_CUDA };

int cop_leading(int batch)
{
	return (batch + 15) & ~15;
}

int cop_backend_open(int kind, const struct cop_backend **b, struct cop_err *err)
{
	if (kind == KIND_CUDA)
		return cop_fail(
			err, COP_EMISSING,
			"device 'cuda': this version trains on the CPU only; set device.kind to 'auto' or 'cpu'");
	*b = &cop_cpu_backend;
	return 0;
}
