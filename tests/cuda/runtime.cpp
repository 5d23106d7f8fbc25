/*
 * CUDA's runtime on the host, for tests. Work waits in its stream until something waits for it, or until it is drawn to
 * be done at once, so what reads too early or writes too early goes wrong here as it may on a GPU. A graph's nodes are
 * done in an order that is drawn among those that their dependencies allow. What CUDA refuses during a capture is
 * refused here, and what a copy may leave to be done when it returns may be left here. Memory is as large as was asked
 * for and starts as NaN.
 *
 * COPPICE_EMULATED_DEVICES (1) is how many devices there are, COPPICE_EMULATED_BYTES (16 GiB) what each of them has,
 * COPPICE_EMULATED_SEED the seed of all that is drawn, COPPICE_EMULATED_DRIVER the driver's version (the runtime's).
 * One lock is held by whoever is in here.
 */
#include "emulate.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

using work = std::function<void()>;

struct node {
	work what;
	std::vector<size_t> after;
};

struct capture {
	std::vector<node> nodes;
	enum cudaStreamCaptureMode mode;
	std::thread::id thread;
	CUstream_st *origin;
	bool broken, ended;
};

/* What an event stands for: a place in a stream, or nodes of a capture. */
struct place {
	CUstream_st *stream;
	uint64_t at; /* reached when so much of the stream's work is done */
	std::shared_ptr<struct capture> capturing;
	std::vector<size_t> tips;
	std::chrono::steady_clock::time_point when;
};

struct CUstream_st {
	int device;
	bool blocking;
	std::deque<work> waiting;
	uint64_t done;
	std::shared_ptr<struct capture> capturing;
	std::vector<size_t> tips; /* what the next node comes after */
};

struct CUevent_st {
	bool timed;
	std::shared_ptr<place> last; /* NULL: never recorded */
};

struct CUgraph_st {
	std::shared_ptr<const std::vector<node>> nodes;
};

struct CUgraphExec_st {
	std::shared_ptr<const std::vector<node>> nodes;
};

namespace
{

enum { DEVICES_MAX = 8 };
const size_t GIB = (size_t)1 << 30;

struct block {
	size_t bytes;
	int device; /* -1: the host's */
};

std::recursive_mutex &lock(void)
{
	static std::recursive_mutex m;
	return m;
}

/* Kept until the program ends, whatever order that takes things down in. */
struct world {
	std::map<char *, block> memory;
	size_t used[DEVICES_MAX] = {};
	std::map<CUstream_st *, std::unique_ptr<CUstream_st>> streams;
	std::map<CUevent_st *, std::unique_ptr<CUevent_st>> events;
	std::map<CUgraph_st *, std::unique_ptr<CUgraph_st>> graphs;
	std::map<CUgraphExec_st *, std::unique_ptr<CUgraphExec_st>> execs;
	CUstream_st *legacy[DEVICES_MAX] = {};
	std::vector<std::weak_ptr<capture>> captures;
	uint64_t random = 1;
};

struct world &world(void)
{
	static struct world *w = [] {
		struct world *made = new struct world;
		const char *seed = getenv("COPPICE_EMULATED_SEED");
		made->random = seed ? strtoull(seed, NULL, 10) : 1u;
		return made;
	}();
	return *w;
}

thread_local int device_now;
thread_local cudaError_t last_error;

cudaError_t keep(cudaError_t error)
{
	if (error)
		last_error = error;
	return error;
}

/* splitmix64 (Steele, Lea & Flood 2014) */
uint64_t draw(uint64_t n)
{
	uint64_t z = world().random += 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (z ^ (z >> 31)) % n;
}

int devices(void)
{
	const char *n = getenv("COPPICE_EMULATED_DEVICES");
	return n ? std::min(atoi(n), (int)DEVICES_MAX) : 1;
}

size_t capacity(void)
{
	const char *n = getenv("COPPICE_EMULATED_BYTES");
	return n ? strtoull(n, NULL, 10) : 16 * GIB;
}

CUstream_st *add_stream(bool blocking)
{
	std::unique_ptr<CUstream_st> s(new CUstream_st());
	CUstream_st *p = s.get();
	s->device = device_now;
	s->blocking = blocking;
	world().streams[p] = std::move(s);
	return p;
}

/* The stream of a handle; NULL is the device's own. An unknown one is NULL. */
CUstream_st *stream_of(cudaStream_t handle)
{
	if (!handle) {
		CUstream_st *&own = world().legacy[device_now];
		if (!own)
			own = add_stream(true);
		return own;
	}
	return world().streams.count(handle) ? handle : NULL;
}

/* Does a stream's work until `upto` of it is done. Work may itself make other streams work. */
void drain(CUstream_st *s, uint64_t upto)
{
	while (s->done < upto && !s->waiting.empty()) {
		work next = std::move(s->waiting.front());
		s->waiting.pop_front();
		next();
		s->done++;
	}
}

void drain_all(CUstream_st *s)
{
	drain(s, UINT64_MAX);
}

void drain_device(void)
{
	std::vector<CUstream_st *> all;
	for (auto &s : world().streams)
		all.push_back(s.first);
	for (CUstream_st *s : all)
		drain_all(s);
}

void wait_for(const std::shared_ptr<place> &p)
{
	if (world().streams.count(p->stream))
		drain(p->stream, p->at);
}

/* Whether a capture forbids calls that may wait for the device; such a call breaks it. */
bool forbidden(void)
{
	bool any = false;
	for (auto &weak : world().captures) {
		std::shared_ptr<capture> c = weak.lock();
		if (!c || c->mode == cudaStreamCaptureModeRelaxed)
			continue;
		if (c->mode == cudaStreamCaptureModeThreadLocal && c->thread != std::this_thread::get_id())
			continue;
		c->broken = true;
		any = true;
	}
	return any;
}

cudaError_t enqueue(CUstream_st *s, work what)
{
	if (!s)
		return cudaErrorInvalidResourceHandle;
	if (s->capturing) {
		if (s->capturing->broken)
			return cudaErrorStreamCaptureInvalidated;
		s->capturing->nodes.push_back({std::move(what), s->tips});
		s->tips = {s->capturing->nodes.size() - 1};
		return cudaSuccess;
	}
	if (s == world().legacy[s->device]) {
		if (forbidden())
			return cudaErrorStreamCaptureImplicit;
		/* it comes after all that streams have that are not free of it, and before what they get */
		for (auto &other : world().streams)
			if (other.second->blocking)
				drain_all(other.first);
		s->done++;
		what();
		return cudaSuccess;
	}
	if (s->blocking && world().legacy[s->device])
		drain_all(world().legacy[s->device]);
	s->waiting.push_back(std::move(what));
	if (draw(4) == 0)
		drain_all(s);
	return cudaSuccess;
}

/* Into the device's own stream, which those that are free of it do not wait for. */
cudaError_t leave(work what)
{
	CUstream_st *own = stream_of(NULL);
	cudaError_t error = enqueue(own, [] {}); /* after what is there */
	if (error)
		return error;
	own->waiting.push_back(std::move(what));
	if (draw(2) == 0)
		drain_all(own);
	return cudaSuccess;
}

/* What has `p` in it; NULL: memory that CUDA does not know. */
const block *block_of(const void *p, size_t bytes, bool *beyond)
{
	char *at = (char *)(uintptr_t)p;
	auto it = world().memory.upper_bound(at);

	*beyond = false;
	if (it == world().memory.begin())
		return NULL;
	--it;
	if (at >= it->first + it->second.bytes)
		return NULL;
	*beyond = at + bytes > it->first + it->second.bytes;
	return &it->second;
}

/* Whether a copy's sides are what its kind says; `pinned`: whether the host's side may be read and written later. */
bool sides_fit(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, bool *pinned)
{
	bool beyond_to, beyond_from;
	const block *t = block_of(to, bytes, &beyond_to), *f = block_of(from, bytes, &beyond_from);
	bool to_device = t && t->device >= 0, from_device = f && f->device >= 0;

	*pinned = (t && f);
	if (beyond_to || beyond_from)
		return false;
	if (kind == cudaMemcpyDefault)
		return true;
	return to_device == (kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice) &&
	       from_device == (kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice);
}

/* Runs a graph's nodes in a drawn order. */
void run_nodes(const std::vector<node> &nodes)
{
	std::vector<size_t> open(nodes.size()), ready;
	std::vector<std::vector<size_t>> next(nodes.size());

	for (size_t i = 0; i < nodes.size(); i++) {
		open[i] = nodes[i].after.size();
		for (size_t before : nodes[i].after)
			next[before].push_back(i);
		if (!open[i])
			ready.push_back(i);
	}
	while (!ready.empty()) {
		size_t k = draw(ready.size()), i = ready[k];
		ready[k] = ready.back();
		ready.pop_back();
		nodes[i].what();
		for (size_t n : next[i])
			if (--open[n] == 0)
				ready.push_back(n);
	}
}

/* Whether all nodes come before `tips`, or are among them. */
bool joined(const std::vector<node> &nodes, const std::vector<size_t> &tips)
{
	std::vector<bool> seen(nodes.size());
	std::vector<size_t> todo = tips;
	size_t count = 0;

	while (!todo.empty()) {
		size_t i = todo.back();
		todo.pop_back();
		if (seen[i])
			continue;
		seen[i] = true;
		count++;
		todo.insert(todo.end(), nodes[i].after.begin(), nodes[i].after.end());
	}
	return count == nodes.size();
}

void merge(std::vector<size_t> *tips, const std::vector<size_t> &more)
{
	tips->insert(tips->end(), more.begin(), more.end());
	std::sort(tips->begin(), tips->end());
	tips->erase(std::unique(tips->begin(), tips->end()), tips->end());
}

/* Memory of exactly so many bytes, full of NaN, at an address that is a multiple of 256. */
char *make_memory(size_t bytes)
{
	void *p = NULL;
	if (posix_memalign(&p, 256, bytes) != 0)
		return NULL;
	memset(p, 0xff, bytes);
	return static_cast<char *>(p);
}

cudaError_t add_memory(void **p, size_t bytes, int device)
{
	if (!p)
		return cudaErrorInvalidValue;
	*p = NULL;
	if (!bytes)
		return cudaSuccess;
	if (device >= 0 && bytes > capacity() - std::min(capacity(), world().used[device]))
		return cudaErrorMemoryAllocation;
	char *made = make_memory(bytes);
	if (!made)
		return cudaErrorMemoryAllocation;
	world().memory[made] = {bytes, device};
	if (device >= 0)
		world().used[device] += bytes;
	*p = made;
	return cudaSuccess;
}

cudaError_t remove_memory(void *p, bool host)
{
	if (!p)
		return cudaSuccess;
	auto it = world().memory.find(static_cast<char *>(p));
	if (it == world().memory.end() || (it->second.device < 0) != host)
		return cudaErrorInvalidValue;
	drain_device();
	if (it->second.device >= 0)
		world().used[it->second.device] -= it->second.bytes;
	world().memory.erase(it);
	free(p);
	return cudaSuccess;
}

struct {
	cudaError_t error;
	const char *name, *text;
} const errors[] = {
	{cudaSuccess, "cudaSuccess", "no error"},
	{cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
	{cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
	{cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
	{cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
	{cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
	{cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
	{cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
	{cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
	 "operation not permitted when stream is capturing"},
	{cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
	 "operation failed due to a previous error during capture"},
	{cudaErrorStreamCaptureMerge, "cudaErrorStreamCaptureMerge",
	 "operation would result in a merge of separate capture sequences"},
	{cudaErrorStreamCaptureUnmatched, "cudaErrorStreamCaptureUnmatched",
	 "capture was not ended in the same stream as it began"},
	{cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined", "capturing stream has unjoined work"},
	{cudaErrorStreamCaptureImplicit, "cudaErrorStreamCaptureImplicit",
	 "operation would make the legacy stream depend on a capturing blocking stream"},
	{cudaErrorCapturedEvent, "cudaErrorCapturedEvent",
	 "operation not permitted on an event last recorded in a capturing stream"},
	{cudaErrorStreamCaptureWrongThread, "cudaErrorStreamCaptureWrongThread",
	 "attempt to terminate a thread-local capture sequence from another thread"},
};

} // namespace

#define HOLD std::lock_guard<std::recursive_mutex> hold(lock())

emulated_hold::emulated_hold()
{
	lock().lock();
}

emulated_hold::~emulated_hold()
{
	lock().unlock();
}

cudaError_t emulated_enqueue(cudaStream_t stream, std::function<void()> what)
{
	HOLD;
	return keep(enqueue(stream_of(stream), std::move(what)));
}

/* Devices */

static int driver(void)
{
	const char *version = getenv("COPPICE_EMULATED_DRIVER");
	return version ? atoi(version) : CUDART_VERSION;
}

cudaError_t cudaGetDeviceCount(int *count)
{
	*count = 0;
	if (driver() / 1000 < CUDART_VERSION / 1000)
		return keep(cudaErrorInsufficientDriver);
	*count = devices();
	return keep(*count > 0 ? cudaSuccess : cudaErrorNoDevice);
}

cudaError_t cudaSetDevice(int device)
{
	if (device < 0 || device >= devices())
		return keep(cudaErrorInvalidDevice);
	device_now = device;
	return cudaSuccess;
}

cudaError_t cudaGetDevice(int *device)
{
	*device = device_now;
	return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *prop, int device)
{
	if (device < 0 || device >= devices())
		return keep(cudaErrorInvalidDevice);
	*prop = {};
	snprintf(prop->name, sizeof(prop->name), "Emulated GPU");
	prop->totalGlobalMem = capacity();
	prop->sharedMemPerBlock = 48 << 10;
	prop->warpSize = 32;
	prop->maxThreadsPerBlock = 1024;
	prop->major = 9;
	prop->multiProcessorCount = 132;
	prop->l2CacheSize = 50 << 20;
	prop->memoryBusWidth = 6144;
	prop->sharedMemPerMultiprocessor = 228 << 10;
	prop->sharedMemPerBlockOptin = 227 << 10;
	return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attr, int device)
{
	if (device < 0 || device >= devices())
		return keep(cudaErrorInvalidDevice);
	switch (attr) {
	case cudaDevAttrMaxThreadsPerBlock:
		*value = 1024;
		return cudaSuccess;
	case cudaDevAttrMaxSharedMemoryPerBlock:
		*value = 48 << 10;
		return cudaSuccess;
	case cudaDevAttrClockRate:
		*value = 1980000;
		return cudaSuccess;
	case cudaDevAttrMultiProcessorCount:
		*value = 132;
		return cudaSuccess;
	case cudaDevAttrMemoryClockRate:
		*value = 3201000;
		return cudaSuccess;
	case cudaDevAttrGlobalMemoryBusWidth:
		*value = 6144;
		return cudaSuccess;
	case cudaDevAttrL2CacheSize:
		*value = 50 << 20;
		return cudaSuccess;
	case cudaDevAttrComputeCapabilityMajor:
		*value = 9;
		return cudaSuccess;
	case cudaDevAttrComputeCapabilityMinor:
		*value = 0;
		return cudaSuccess;
	case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
		*value = 228 << 10;
		return cudaSuccess;
	case cudaDevAttrMaxSharedMemoryPerBlockOptin:
		*value = 227 << 10;
		return cudaSuccess;
	}
	return keep(cudaErrorInvalidValue);
}

cudaError_t cudaDeviceGetPCIBusId(char *id, int length, int device)
{
	if (device < 0 || device >= devices())
		return keep(cudaErrorInvalidDevice);
	snprintf(id, (size_t)length, "0000:%02x:00.0", device + 1);
	return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void)
{
	HOLD;
	if (forbidden())
		return keep(cudaErrorStreamCaptureUnsupported);
	drain_device();
	return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *total)
{
	HOLD;
	*total = capacity();
	*available = *total - std::min(*total, world().used[device_now]);
	return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
	*version = CUDART_VERSION;
	return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version)
{
	*version = driver();
	return cudaSuccess;
}

cudaError_t cudaGetLastError(void)
{
	cudaError_t error = last_error;
	last_error = cudaSuccess;
	return error;
}

cudaError_t cudaPeekAtLastError(void)
{
	return last_error;
}

const char *cudaGetErrorString(cudaError_t error)
{
	for (auto &e : errors)
		if (e.error == error)
			return e.text;
	return "unrecognized error code";
}

const char *cudaGetErrorName(cudaError_t error)
{
	for (auto &e : errors)
		if (e.error == error)
			return e.name;
	return "cudaErrorUnknown";
}

/* Memory */

cudaError_t cudaMalloc(void **p, size_t bytes)
{
	HOLD;
	if (forbidden())
		return keep(cudaErrorStreamCaptureUnsupported);
	return keep(add_memory(p, bytes, device_now));
}

cudaError_t cudaFree(void *p)
{
	HOLD;
	if (p && forbidden())
		return keep(cudaErrorStreamCaptureUnsupported);
	return keep(remove_memory(p, false));
}

cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned flags)
{
	HOLD;
	(void)flags;
	if (forbidden())
		return keep(cudaErrorStreamCaptureUnsupported);
	return keep(add_memory(p, bytes, -1));
}

cudaError_t cudaMallocHost(void **p, size_t bytes)
{
	return cudaHostAlloc(p, bytes, cudaHostAllocDefault);
}

cudaError_t cudaFreeHost(void *p)
{
	HOLD;
	if (p && forbidden())
		return keep(cudaErrorStreamCaptureUnsupported);
	return keep(remove_memory(p, true));
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
	HOLD;
	bool pinned;
	if (forbidden())
		return keep(cudaErrorStreamCaptureImplicit);
	if (!sides_fit(to, from, bytes, kind, &pinned))
		return keep(cudaErrorInvalidValue);
	/* "API synchronization behavior" in CUDA's manual: the first returns at once, the second when all is set aside
	 */
	if (kind == cudaMemcpyDeviceToDevice)
		return keep(leave([=] { memmove(to, from, bytes); }));
	if (kind == cudaMemcpyHostToDevice && !pinned) {
		const char *first = static_cast<const char *>(from);
		auto aside = std::make_shared<std::vector<char>>(first, first + bytes);
		return keep(leave([=] { memcpy(to, aside->data(), bytes); }));
	}
	return keep(enqueue(stream_of(NULL), [=] { memmove(to, from, bytes); }));
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream)
{
	HOLD;
	bool pinned;
	CUstream_st *s = stream_of(stream);
	if (!s)
		return keep(cudaErrorInvalidResourceHandle);
	if (!sides_fit(to, from, bytes, kind, &pinned))
		return keep(cudaErrorInvalidValue);
	if (!pinned && s->capturing) {
		s->capturing->broken = true;
		return keep(cudaErrorStreamCaptureUnsupported);
	}
	cudaError_t error = enqueue(s, [=] { memmove(to, from, bytes); });
	if (!error && !pinned)
		drain_all(s);
	return keep(error);
}

cudaError_t cudaMemset(void *p, int value, size_t bytes)
{
	return cudaMemsetAsync(p, value, bytes, NULL);
}

cudaError_t cudaMemsetAsync(void *p, int value, size_t bytes, cudaStream_t stream)
{
	HOLD;
	bool beyond;
	if (bytes && (!block_of(p, bytes, &beyond) || beyond))
		return keep(cudaErrorInvalidValue);
	return keep(enqueue(stream_of(stream), [=] { memset(p, value, bytes); }));
}

/* Streams */

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
	return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
	HOLD;
	*stream = add_stream(!(flags & cudaStreamNonBlocking));
	return cudaSuccess;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int priority)
{
	(void)priority;
	return cudaStreamCreateWithFlags(stream, flags);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
	HOLD;
	CUstream_st *s = stream ? stream_of(stream) : NULL;
	if (!s)
		return keep(cudaErrorInvalidResourceHandle);
	drain_all(s);
	world().streams.erase(s);
	return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
	HOLD;
	CUstream_st *s = stream_of(stream);
	if (!s)
		return keep(cudaErrorInvalidResourceHandle);
	if (s->capturing || forbidden()) {
		if (s->capturing)
			s->capturing->broken = true;
		return keep(cudaErrorStreamCaptureUnsupported);
	}
	if (s == world().legacy[s->device])
		drain_device();
	drain_all(s);
	return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
	HOLD;
	CUstream_st *s = stream_of(stream);
	if (!s)
		return keep(cudaErrorInvalidResourceHandle);
	if (s->capturing) {
		s->capturing->broken = true;
		return keep(cudaErrorStreamCaptureUnsupported);
	}
	if (draw(2))
		drain_all(s);
	return s->waiting.empty() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
	HOLD;
	CUstream_st *s = stream_of(stream);
	(void)flags;
	if (!s || !world().events.count(event))
		return keep(cudaErrorInvalidResourceHandle);
	if (!event->last)
		return cudaSuccess;
	std::shared_ptr<place> p = event->last;
	if (p->capturing) {
		if (p->capturing->ended)
			return keep(cudaErrorInvalidValue);
		if (s->capturing && s->capturing != p->capturing) {
			s->capturing->broken = p->capturing->broken = true;
			return keep(cudaErrorStreamCaptureMerge);
		}
		if (!s->capturing)
			s->tips.clear();
		s->capturing = p->capturing;
		merge(&s->tips, p->tips);
		return cudaSuccess;
	}
	if (s->capturing) {
		s->capturing->broken = true;
		return keep(cudaErrorStreamCaptureIsolation);
	}
	return keep(enqueue(s, [=] { wait_for(p); }));
}

/* Events */

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
	return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
	HOLD;
	std::unique_ptr<CUevent_st> e(new CUevent_st());
	e->timed = !(flags & cudaEventDisableTiming);
	*event = e.get();
	world().events[*event] = std::move(e);
	return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
	HOLD;
	return keep(world().events.erase(event) ? cudaSuccess : cudaErrorInvalidResourceHandle);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
	HOLD;
	CUstream_st *s = stream_of(stream);
	if (!s || !world().events.count(event))
		return keep(cudaErrorInvalidResourceHandle);
	std::shared_ptr<place> p = std::make_shared<place>();
	p->stream = s;
	p->capturing = s->capturing;
	p->tips = s->tips;
	event->last = p;
	if (s->capturing)
		return cudaSuccess;
	p->at = s->done + s->waiting.size() + 1;
	return keep(enqueue(s, [=] { p->when = std::chrono::steady_clock::now(); }));
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
	HOLD;
	if (!world().events.count(event))
		return keep(cudaErrorInvalidResourceHandle);
	if (!event->last)
		return cudaSuccess;
	if (event->last->capturing)
		return keep(cudaErrorCapturedEvent);
	wait_for(event->last);
	return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
	HOLD;
	if (!world().events.count(event))
		return keep(cudaErrorInvalidResourceHandle);
	if (!event->last)
		return cudaSuccess;
	if (event->last->capturing)
		return keep(cudaErrorCapturedEvent);
	if (draw(2))
		wait_for(event->last);
	if (!world().streams.count(event->last->stream))
		return cudaSuccess;
	return event->last->stream->done >= event->last->at ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end)
{
	HOLD;
	if (!world().events.count(start) || !world().events.count(end) || !start->timed || !end->timed ||
	    !start->last || !end->last)
		return keep(cudaErrorInvalidResourceHandle);
	wait_for(start->last);
	wait_for(end->last);
	*ms = std::chrono::duration<float, std::milli>(end->last->when - start->last->when).count();
	return cudaSuccess;
}

/* Captures and graphs */

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
	HOLD;
	CUstream_st *s = stream ? stream_of(stream) : NULL;
	if (!s)
		return keep(stream ? cudaErrorInvalidResourceHandle : cudaErrorStreamCaptureUnsupported);
	if (s->capturing)
		return keep(cudaErrorInvalidValue);
	s->capturing = std::make_shared<capture>();
	s->capturing->mode = mode;
	s->capturing->thread = std::this_thread::get_id();
	s->capturing->origin = s;
	s->tips.clear();
	world().captures.push_back(s->capturing);
	return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
	HOLD;
	CUstream_st *s = stream ? stream_of(stream) : NULL;
	*graph = NULL;
	if (!s || !s->capturing)
		return keep(cudaErrorInvalidValue);
	std::shared_ptr<capture> c = s->capturing;
	if (c->origin != s)
		return keep(cudaErrorStreamCaptureUnmatched);
	if (c->mode != cudaStreamCaptureModeRelaxed && c->thread != std::this_thread::get_id())
		return keep(cudaErrorStreamCaptureWrongThread);
	bool all = joined(c->nodes, s->tips);
	c->ended = true;
	for (auto &other : world().streams)
		if (other.second->capturing == c) {
			other.second->capturing.reset();
			other.second->tips.clear();
		}
	auto &list = world().captures;
	list.erase(std::remove_if(list.begin(), list.end(), [&](auto &w) { return w.expired() || w.lock() == c; }),
		   list.end());
	if (c->broken || !all)
		return keep(c->broken ? cudaErrorStreamCaptureInvalidated : cudaErrorStreamCaptureUnjoined);
	std::unique_ptr<CUgraph_st> g(new CUgraph_st());
	g->nodes = std::make_shared<const std::vector<node>>(std::move(c->nodes));
	*graph = g.get();
	world().graphs[*graph] = std::move(g);
	return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status)
{
	HOLD;
	CUstream_st *s = stream_of(stream);
	if (!s)
		return keep(cudaErrorInvalidResourceHandle);
	*status = !s->capturing          ? cudaStreamCaptureStatusNone
		  : s->capturing->broken ? cudaStreamCaptureStatusInvalidated
					 : cudaStreamCaptureStatusActive;
	return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags)
{
	HOLD;
	(void)flags;
	if (!world().graphs.count(graph))
		return keep(cudaErrorInvalidValue);
	std::unique_ptr<CUgraphExec_st> e(new CUgraphExec_st());
	e->nodes = graph->nodes;
	*exec = e.get();
	world().execs[*exec] = std::move(e);
	return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
	HOLD;
	if (!world().execs.count(exec))
		return keep(cudaErrorInvalidValue);
	std::shared_ptr<const std::vector<node>> nodes = exec->nodes;
	CUstream_st *s = stream_of(stream);
	if (s && s->capturing) {
		s->capturing->broken = true;
		return keep(cudaErrorStreamCaptureUnsupported);
	}
	return keep(enqueue(s, [=] { run_nodes(*nodes); }));
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream)
{
	HOLD;
	return keep(world().execs.count(exec) && stream_of(stream) ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
	HOLD;
	return keep(world().execs.erase(exec) ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
	HOLD;
	return keep(world().graphs.erase(graph) ? cudaSuccess : cudaErrorInvalidValue);
}
