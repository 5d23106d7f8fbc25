/*
 * Means over GPUs by NCCL; see group.h. The library is opened when it is wanted: most programs never do, and where it
 * lacks only several GPUs for one network do not work. What is used of it is written down here (nccl.h of NCCL 2.10 and
 * later), so building needs no NCCL either.
 *
 * NCCL reduces each number in one place and hands it on, so all ranks have the same bits. In which order it adds is
 * decided by how many GPUs there are, how they are joined and NCCL's version: the same from run to run on one node.
 */
#include "group.h"

#include "fail.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { NCCL_SUCCESS = 0, NCCL_FLOAT32 = 7, NCCL_AVERAGE = 4, NCCL_LEAST = 21000 /* 2.10.0: averages */ };

struct nccl {
	int (*version)(int *number);
	int (*init_all)(void **comm, int n, const int *device);
	int (*all_reduce)(const void *from, void *to, size_t n, int type, int op, void *comm, cudaStream_t s);
	int (*destroy)(void *comm);
	int (*abort)(void *comm);
	const char *(*text)(int result);
};

struct cop_group {
	struct nccl nccl;
	int n;
	void *comm[COP_GROUP_MAX];
	atomic_bool abandoned;
};

static int look_up(void *library, const char *name, void *to, struct cop_err *err)
{
	void *found = dlsym(library, name);
	if (!found)
		return cop_cuda_fail(err, COP_EMISSING, "several GPUs need NCCL 2.10 or later: libnccl.so.2 has no %s",
				     name);
	memcpy(to, &found, sizeof(found));
	return 0;
}

/* The library stays open until the program ends. */
static int load(struct nccl *n, struct cop_err *err)
{
	void *library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
	int version = 0;
	if (!library)
		return cop_cuda_fail(err, COP_EMISSING, "several GPUs need NCCL, which cannot be opened: %s",
				     dlerror());
	int rc = look_up(library, "ncclGetVersion", &n->version, err);
	if (!rc)
		rc = look_up(library, "ncclCommInitAll", &n->init_all, err);
	if (!rc)
		rc = look_up(library, "ncclAllReduce", &n->all_reduce, err);
	if (!rc)
		rc = look_up(library, "ncclCommDestroy", &n->destroy, err);
	if (!rc)
		rc = look_up(library, "ncclCommAbort", &n->abort, err);
	if (!rc)
		rc = look_up(library, "ncclGetErrorString", &n->text, err);
	if (!rc && (n->version(&version) != NCCL_SUCCESS || version < NCCL_LEAST))
		rc = cop_cuda_fail(err, COP_EMISSING, "several GPUs need NCCL 2.10 or later, here is %d", version);
	return rc;
}

static int check(const struct cop_group *g, int result, const char *what, struct cop_err *err)
{
	if (result == NCCL_SUCCESS)
		return 0;
	return cop_cuda_fail(err, COP_EFAILED, "NCCL failed at '%s' of %d GPUs: %s", what, g->n, g->nccl.text(result));
}

int cop_group_open(struct cop_group **out, int first, int ranks, struct cop_err *err)
{
	int device[COP_GROUP_MAX];
	struct cop_group *g = calloc(1, sizeof(*g));
	if (!g)
		return cop_cuda_fail(err, COP_EFAILED, "out of memory");
	for (int k = 0; k < ranks; k++)
		device[k] = first + k;
	g->n = ranks;
	int rc = load(&g->nccl, err);
	if (!rc)
		rc = check(g, g->nccl.init_all(g->comm, ranks, device), "ncclCommInitAll", err);
	if (rc)
		free(g);
	else
		*out = g;
	return rc;
}

void cop_group_close(struct cop_group *g)
{
	if (!g)
		return;
	for (int k = 0; k < g->n && !atomic_load(&g->abandoned); k++)
		g->nccl.destroy(g->comm[k]);
	free(g);
}

int cop_group_mean(struct cop_group *g, int rank, float *x, size_t n, cudaStream_t stream, struct cop_err *err)
{
	if (atomic_load(&g->abandoned))
		return cop_cuda_fail(err, COP_EFAILED, "another GPU has failed");
	return check(g, g->nccl.all_reduce(x, x, n, NCCL_FLOAT32, NCCL_AVERAGE, g->comm[rank], stream), "ncclAllReduce",
		     err);
}

void cop_group_abandon(struct cop_group *g)
{
	if (atomic_exchange(&g->abandoned, true))
		return;
	for (int k = 0; k < g->n; k++)
		g->nccl.abort(g->comm[k]);
}
