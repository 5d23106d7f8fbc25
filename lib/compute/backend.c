/* Choosing a backend; see backend.h. */
#include "compute/backend.h"

#include "compute/cuda.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int cop_leading(const struct cop_backend *b, int batch)
{
	return (batch + b->leading - 1) / b->leading * b->leading;
}

const char *cop_backend_describe(const struct cop_backend *b, char *buf, size_t size)
{
	return b->describe(buf, size);
}

int cop_backend_alloc(const struct cop_backend *b, void *pointer, size_t bytes, const char *what, struct cop_err *err)
{
	void *memory = NULL;
	int rc = b->alloc(&memory, bytes, what, err);
	memcpy(pointer, &memory, sizeof(memory));
	return rc;
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

/* The module and what it wants are large: without a driver "auto" need not open them to know. */
static bool is_cpu(const struct cop_device_choice *c)
{
	return c->kind == COP_DEVICE_CPU || (c->kind == COP_DEVICE_AUTO && !cop_library_here("libcuda.so.1"));
}

int cop_backend_open(const struct cop_device_choice *c, const struct cop_backend **b, struct cop_err *err)
{
	struct cop_err why = {0};
	int rc = is_cpu(c) ? COP_EMISSING : open_cuda(c, b, &why);
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

struct answer {
	struct cop_err err;
	bool gpu;
};

static void answer(const struct cop_device_choice *c, int to)
{
	const struct cop_backend *b;
	struct answer a = {0};
	int rc = cop_backend_open(c, &b, &a.err);
	a.err.code = rc;
	a.gpu = !rc && b->queue;
	_exit(write(to, &a, sizeof(a)) == (ssize_t)sizeof(a) ? 0 : 1);
}

int cop_backend_probe(const struct cop_device_choice *c, bool *gpu, struct cop_err *err)
{
	const struct cop_backend *b;
	struct answer a = {0};
	int fd[2];
	*gpu = false;
	if (is_cpu(c))
		return cop_backend_open(c, &b, err);
	if (pipe(fd))
		return cop_fail_errno(err, COP_EFAILED, "cannot ask for a GPU");
	pid_t child = fork();
	if (child == 0)
		answer(c, fd[1]);
	close(fd[1]);
	ssize_t got = child < 0 ? -1 : read(fd[0], &a, sizeof(a));
	close(fd[0]);
	while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	if (got != (ssize_t)sizeof(a))
		return cop_fail(err, COP_EFAILED,
				"the GPU cannot be opened: the process that tried ended without a word");
	*gpu = a.gpu;
	return a.err.code ? cop_fail(err, a.err.code, "%s", a.err.msg) : 0;
}
