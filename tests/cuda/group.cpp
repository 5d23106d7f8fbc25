/*
 * cuda/group.h on the host, where there is no NCCL: a mean waits until each rank's thread has come with its numbers,
 * then adds them up in the order of the ranks. COPPICE_EMULATED_GROUP=none is a machine without NCCL, a number a mean
 * that fails on the last rank after so many.
 */
#include "cuda/group.h"

#include "cuda/fail.h"
#include "emulate.h"

#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <vector>

struct cop_group {
	int n, here;
	long meetings, left; /* left: means until one fails; -1: none does */
	bool abandoned;
	float *x[COP_GROUP_MAX];
	std::mutex lock;
	std::condition_variable complete;
};

int cop_group_open(struct cop_group **g, int first, int ranks, struct cop_err *err)
{
	const char *how = getenv("COPPICE_EMULATED_GROUP");
	int devices = 0;
	if (how && strcmp(how, "none") == 0)
		return cop_cuda_fail(err, COP_EMISSING,
				     "several GPUs need NCCL, which cannot be opened: it is not here");
	if (cudaGetDeviceCount(&devices) || first + ranks > devices)
		return cop_cuda_fail(err, COP_EFAILED, "a group of more GPUs than there are");
	*g = new cop_group();
	(*g)->n = ranks;
	(*g)->left = how ? atol(how) : -1;
	return 0;
}

void cop_group_close(struct cop_group *g)
{
	delete g;
}

static void add_up(struct cop_group *g, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		float sum = g->x[0][i];
		for (int k = 1; k < g->n; k++)
			sum += g->x[k][i];
		for (int k = 0; k < g->n; k++)
			g->x[k][i] = sum * (1.0f / (float)g->n);
	}
}

int cop_group_mean(struct cop_group *g, int rank, float *x, size_t n, cudaStream_t stream, struct cop_err *err)
{
	if (cudaStreamSynchronize(stream))
		return cop_cuda_fail(err, COP_EFAILED, "a mean within a record");
	std::unique_lock<std::mutex> hold(g->lock);
	if (rank == g->n - 1 && g->left >= 0 && g->left-- == 0)
		return cop_cuda_fail(err, COP_EFAILED, "the last GPU of %d fails, as it was told to", g->n);
	long meeting = g->meetings;
	g->x[rank] = x;
	if (++g->here == g->n) {
		add_up(g, n);
		g->here = 0;
		g->meetings++;
		g->complete.notify_all();
	}
	g->complete.wait(hold, [&] { return g->meetings != meeting || g->abandoned; });
	return g->meetings == meeting ? cop_cuda_fail(err, COP_EFAILED, "another GPU has failed") : 0;
}

void cop_group_abandon(struct cop_group *g)
{
	std::lock_guard<std::mutex> hold(g->lock);
	g->abandoned = true;
	g->complete.notify_all();
}
