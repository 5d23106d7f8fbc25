/* A GPU: memory, the queue, records; see device.h and struct cop_queue in compute/backend.h. */
#include "device.h"

#include "group.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local struct cop_cuda_device *now;

struct cop_cuda_device *cop_cuda_now(void)
{
	return now;
}

void cop_cuda_note(struct cop_cuda_device *d, cudaError_t e, const char *what)
{
	if (e != cudaSuccess && !d->first.code)
		cop_cuda_fail(&d->first, COP_EFAILED, "the GPU failed at '%s': %s (%s)", what, cudaGetErrorString(e),
			      cudaGetErrorName(e));
}

void cop_cuda_note_error(struct cop_cuda_device *d, const struct cop_err *err)
{
	if (!d->first.code)
		d->first = *err;
}

/* For calls that answer at once. */
static int check(cudaError_t e, const char *what, struct cop_err *err)
{
	if (e == cudaSuccess)
		return 0;
	return cop_cuda_fail(err, COP_EFAILED, "the GPU failed at '%s': %s (%s)", what, cudaGetErrorString(e),
			     cudaGetErrorName(e));
}

struct cop_launch cop_cuda_launch(const struct cop_cuda_device *d)
{
	return (struct cop_launch){d->lane[d->at], d->element};
}

/* memory */

static double gib(size_t bytes)
{
	return (double)bytes / (1 << 30);
}

/* Room for one more block. */
static int make_room(struct cop_cuda_device *d, struct cop_err *err)
{
	enum { MORE = 64 };
	if (d->nblocks < d->block_room)
		return 0;
	struct cop_cuda_block *more = realloc(d->block, (d->block_room + MORE) * sizeof(*more));
	if (!more)
		return cop_cuda_fail(err, COP_EFAILED, "out of memory");
	d->block = more;
	d->block_room += MORE;
	return 0;
}

static void add_block(struct cop_cuda_device *d, const void *p, size_t bytes)
{
	d->block[d->nblocks++] = (struct cop_cuda_block){p, bytes};
	d->bytes += bytes;
	if (d->bytes > d->most)
		d->most = d->bytes;
}

static void drop_block(struct cop_cuda_device *d, const void *p)
{
	for (size_t i = 0; i < d->nblocks; i++)
		if (d->block[i].p == p) {
			d->bytes -= d->block[i].bytes;
			d->block[i] = d->block[--d->nblocks];
			return;
		}
}

int cop_cuda_alloc(void **p, size_t bytes, const char *what, struct cop_err *err)
{
	size_t free_bytes = 0, total = 0;
	*p = NULL;
	int rc = make_room(now, err);
	if (rc)
		return rc;
	cudaError_t e = cudaMalloc(p, bytes ? bytes : 1);
	if (e == cudaErrorMemoryAllocation) {
		cudaGetLastError(); /* which it leaves behind */
		cudaMemGetInfo(&free_bytes, &total);
		return cop_cuda_fail(err, COP_EFAILED,
				     "out of GPU memory: %.2f GiB are wanted for %s, %.2f GiB of %.2f GiB are free",
				     gib(bytes), what, gib(free_bytes), gib(total));
	}
	rc = check(e, "cudaMalloc", err);
	if (!rc)
		add_block(now, *p, bytes);
	if (!rc && bytes)
		rc = check(cudaMemsetAsync(*p, 0, bytes, now->lane[0]), "cudaMemset", err);
	/* copies ahead are not in the queue, and would be zeroed where they come first */
	if (!rc && bytes)
		rc = check(cudaStreamSynchronize(now->lane[0]), "cudaStreamSynchronize", err);
	return rc;
}

void cop_cuda_release(void *p)
{
	if (!p)
		return;
	drop_block(now, p);
	cop_cuda_note(now, cudaFree(p), "cudaFree");
}

/*
 * In the queue's own stream: cudaMemcpy() may return before what comes from memory that is not pinned is on the device,
 * and only the device's own stream would wait for it.
 */
static int copy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, struct cop_err *err)
{
	int rc = bytes ? check(cudaMemcpyAsync(to, from, bytes, kind, now->lane[0]), "cudaMemcpyAsync", err) : 0;
	return rc ? rc : check(cudaStreamSynchronize(now->lane[0]), "cudaStreamSynchronize", err);
}

int cop_cuda_put(void *to, const void *host, size_t bytes, struct cop_err *err)
{
	return copy(to, host, bytes, cudaMemcpyHostToDevice, err);
}

int cop_cuda_get(void *host, const void *from, size_t bytes, struct cop_err *err)
{
	return copy(host, from, bytes, cudaMemcpyDeviceToHost, err);
}

void *cop_cuda_scratch(struct cop_cuda_device *d, size_t bytes)
{
	int lanes = d->lanes > 1 ? d->lanes : 1;
	bytes = (bytes + 255) & ~(size_t)255;
	if (bytes > d->scratch_bytes || lanes > d->scratch_lanes) {
		struct cop_err err = {0};
		void *more = NULL;
		if (d->recording)
			cop_cuda_fail(&err, COP_EFAILED, "a step that is recorded wants more room than it did before");
		else if (bytes < d->scratch_bytes)
			bytes = d->scratch_bytes;
		/* what was there before stays: records use it */
		if (err.code || cop_cuda_alloc(&more, bytes * (size_t)lanes, "workspace", &err)) {
			cop_cuda_note_error(d, &err);
			return NULL;
		}
		d->scratch = more;
		d->scratch_bytes = bytes;
		d->scratch_lanes = lanes;
	}
	return d->scratch + (size_t)d->at * d->scratch_bytes;
}

/* the queue */

static int alloc_pinned(void **p, size_t bytes, const char *what, struct cop_err *err)
{
	cudaError_t e = cudaHostAlloc(p, bytes ? bytes : 1, cudaHostAllocDefault);
	if (e == cudaErrorMemoryAllocation) {
		cudaGetLastError();
		return cop_cuda_fail(err, COP_EFAILED, "out of memory: %.2f GiB for %s that the GPU can read",
				     gib(bytes), what);
	}
	return check(e, "cudaHostAlloc", err);
}

static void release_pinned(void *p)
{
	if (p)
		cop_cuda_note(now, cudaFreeHost(p), "cudaFreeHost");
}

static void copy_in(cudaStream_t s, void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
	cop_cuda_note(now, cudaMemcpyAsync(to, from, bytes, kind, s), "cudaMemcpyAsync");
}

static void queue_send(void *device, const void *pinned, size_t bytes)
{
	copy_in(now->lane[now->at], device, pinned, bytes, cudaMemcpyHostToDevice);
}

static void queue_fetch(void *pinned, const void *device, size_t bytes)
{
	copy_in(now->lane[now->at], pinned, device, bytes, cudaMemcpyDeviceToHost);
}

static void send_ahead(void *device, const void *pinned, size_t bytes)
{
	copy_in(now->copies, device, pinned, bytes, cudaMemcpyHostToDevice);
}

static void follow(cudaStream_t later, cudaStream_t first, cudaEvent_t by)
{
	cop_cuda_note(now, cudaEventRecord(by, first), "cudaEventRecord");
	cop_cuda_note(now, cudaStreamWaitEvent(later, by, 0), "cudaStreamWaitEvent");
}

static void join_copies(void)
{
	follow(now->lane[0], now->copies, now->copied);
}

static void queue_mark(int slot)
{
	cop_cuda_note(now, cudaEventRecord(now->mark[slot], now->lane[0]), "cudaEventRecord");
	now->marked[slot] = true;
}

static int tell_first(struct cop_cuda_device *d, struct cop_err *err)
{
	return d->first.code ? cop_cuda_fail(err, d->first.code, "%s", d->first.msg) : 0;
}

static int queue_wait(int slot, struct cop_err *err)
{
	if (now->marked[slot])
		cop_cuda_note(now, cudaEventSynchronize(now->mark[slot]), "cudaEventSynchronize");
	return tell_first(now, err);
}

static int queue_check(struct cop_err *err)
{
	cop_cuda_note(now, cudaStreamSynchronize(now->copies), "cudaStreamSynchronize");
	cop_cuda_note(now, cudaStreamSynchronize(now->lane[0]), "cudaStreamSynchronize");
	return tell_first(now, err);
}

/* records */

struct cop_record {
	cudaGraph_t graph;
	cudaGraphExec_t exec;
};

static int begin_record(struct cop_err *err)
{
	int rc = tell_first(now, err);
	if (!rc)
		rc = check(cudaStreamBeginCapture(now->lane[0], cudaStreamCaptureModeThreadLocal),
			   "cudaStreamBeginCapture", err);
	now->recording = !rc;
	return rc;
}

static void release_record(struct cop_record *r)
{
	if (!r)
		return;
	if (r->exec)
		cop_cuda_note(now, cudaGraphExecDestroy(r->exec), "cudaGraphExecDestroy");
	if (r->graph)
		cop_cuda_note(now, cudaGraphDestroy(r->graph), "cudaGraphDestroy");
	free(r);
}

/* What broke a capture says more than that it is broken. */
static int end_record(struct cop_record **out, struct cop_err *err)
{
	struct cop_record *r = calloc(1, sizeof(*r));
	cudaGraph_t graph = NULL;
	cudaError_t ended = cudaStreamEndCapture(now->lane[0], &graph);
	now->recording = false;
	now->at = 0;
	int rc = tell_first(now, err);
	if (!rc)
		rc = check(ended, "cudaStreamEndCapture", err);
	if (!r)
		return rc ? rc : cop_cuda_fail(err, COP_EFAILED, "out of memory");
	r->graph = graph;
	if (!rc)
		rc = check(cudaGraphInstantiate(&r->exec, r->graph, 0), "cudaGraphInstantiate", err);
	if (rc)
		release_record(r);
	else
		*out = r;
	return rc;
}

/* A lane's stream and event are made when it is first forked to. */
static void queue_fork(int lanes)
{
	struct cop_cuda_device *d = now;
	for (int k = d->lanes; k < lanes && k < COP_LANES_MAX; k++) {
		if (k > 0)
			cop_cuda_note(d, cudaStreamCreateWithFlags(&d->lane[k], cudaStreamNonBlocking),
				      "cudaStreamCreate");
		cop_cuda_note(d, cudaEventCreateWithFlags(&d->joint[k], cudaEventDisableTiming), "cudaEventCreate");
		d->lanes = k + 1;
	}
	for (int k = 1; k < lanes && d->recording; k++)
		follow(d->lane[k], d->lane[0], d->joint[0]);
}

static void queue_lane(int k)
{
	now->at = now->recording ? k : 0;
}

static void queue_join(int lanes)
{
	for (int k = 1; k < lanes && now->recording; k++)
		follow(now->lane[0], now->lane[k], now->joint[k]);
	now->at = 0;
}

static void replay(struct cop_record *r)
{
	cop_cuda_note(now, cudaGraphLaunch(r->exec, now->lane[0]), "cudaGraphLaunch");
}

static int memory(size_t *free_bytes, size_t *total, struct cop_err *err)
{
	return check(cudaMemGetInfo(free_bytes, total), "cudaMemGetInfo", err);
}

static size_t most(bool anew)
{
	if (anew)
		now->most = now->bytes;
	return now->most;
}

static int open_group(struct cop_group **g, int ranks, struct cop_err *err)
{
	return cop_group_open(g, now->choice.index, ranks, err);
}

static int group_mean(struct cop_group *g, int rank, float *x, size_t n, struct cop_err *err)
{
	return cop_group_mean(g, rank, x, n, now->lane[0], err);
}

const struct cop_queue cop_cuda_queue = {
	.alloc_pinned = alloc_pinned,
	.release_pinned = release_pinned,
	.send = queue_send,
	.fetch = queue_fetch,
	.send_ahead = send_ahead,
	.join_copies = join_copies,
	.mark = queue_mark,
	.wait = queue_wait,
	.check = queue_check,
	.begin_record = begin_record,
	.end_record = end_record,
	.fork = queue_fork,
	.lane = queue_lane,
	.join = queue_join,
	.replay = replay,
	.release_record = release_record,
	.memory = memory,
	.most = most,
	.beside = cop_cuda_beside,
	.open_group = open_group,
	.close_group = cop_group_close,
	.mean = group_mean,
	.abandon = cop_group_abandon,
};

/* opening */

int cop_cuda_adopt(struct cop_cuda_device *d, struct cop_err *err)
{
	now = d;
	return check(cudaSetDevice(d->choice.index), "cudaSetDevice", err);
}

int cop_cuda_device_open(struct cop_cuda_device *d, const struct cop_device_choice *c, struct cop_err *err)
{
	d->choice = *c;
	d->element = c->precision == COP_BF16 ? COP_ELEMENT_BF16 : COP_ELEMENT_F32;
	int rc = cop_cuda_adopt(d, err);
	if (!rc)
		rc = check(cudaStreamCreateWithFlags(&d->lane[0], cudaStreamNonBlocking), "cudaStreamCreate", err);
	if (!rc)
		rc = check(cudaStreamCreateWithFlags(&d->copies, cudaStreamNonBlocking), "cudaStreamCreate", err);
	if (!rc)
		rc = check(cudaEventCreateWithFlags(&d->copied, cudaEventDisableTiming), "cudaEventCreate", err);
	for (int k = 0; k < COP_MARKS && !rc; k++)
		rc = check(cudaEventCreateWithFlags(&d->mark[k], cudaEventDisableTiming), "cudaEventCreate", err);
	return rc;
}

void cop_cuda_device_close(struct cop_cuda_device *d)
{
	for (int k = 0; k < COP_LANES_MAX; k++) {
		if (d->lane[k])
			cudaStreamDestroy(d->lane[k]);
		if (d->joint[k])
			cudaEventDestroy(d->joint[k]);
	}
	for (int k = 0; k < COP_MARKS; k++)
		if (d->mark[k])
			cudaEventDestroy(d->mark[k]);
	if (d->copies)
		cudaStreamDestroy(d->copies);
	if (d->copied)
		cudaEventDestroy(d->copied);
	free(d->block);
	if (now == d)
		now = NULL;
}
