/* That the emulation notices faults, and that the tests' own CUDA runtime does what CUDA's does. */
#include "gpu.h"

#include "../cuda/broken.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N = 128 };

static cudaStream_t stream(void)
{
	return gpu_launches[0].stream;
}

/* Runs the kernel in a process of its own. What that wrote on stderr, and its status; -1: y was not as it should be. */
static int turn(enum broken_fault fault, char *said, size_t size)
{
	int out[2], status;
	float x[N], y[N];
	ssize_t n, had = 0;
	pid_t child;

	assert_int_equal(pipe(out), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		dup2(out[1], STDERR_FILENO);
		for (int i = 0; i < N; i++)
			x[i] = (float)i;
		float *dx = gpu_put(x, sizeof(x)), *dy = gpu_alloc(sizeof(y));
		bool same = broken_turn(stream(), 3, dx, dy, fault) == cudaSuccess;
		gpu_get(y, dy, sizeof(y));
		for (int i = 0; i < N; i++)
			same = same && y[i] == x[N - 1 - i];
		_exit(same ? 0 : 1);
	}
	close(out[1]);
	while ((n = read(out[0], said + had, size - 1 - (size_t)had)) > 0)
		had += n;
	said[had] = '\0';
	close(out[0]);
	waitpid(child, &status, 0);
	return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

static void test_faults(void **state)
{
	static const struct {
		enum broken_fault fault;
		int status;
		const char *says;
	} faults[] = {
		{BROKEN_NOT, 0, ""},
		{BROKEN_NO_BARRIER, -1, ""},
		{BROKEN_SOME_BARRIER, SIGABRT, "not all threads come to the same barrier"},
		{BROKEN_BARRIERS, SIGABRT, "not all threads come to the same barrier"},
		{BROKEN_LANE, SIGABRT, "takes a value from lane 20, which gives none"},
		{BROKEN_MASK, SIGABRT, "its lane is not in the mask 0000ffff"},
		{BROKEN_ADDRESS, SIGABRT, "is no multiple of 16"},
		{BROKEN_STALE, -1, ""},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		char said[4096];
		int status = turn(faults[i].fault, said, sizeof(said));
		if (status != faults[i].status || !strstr(said, faults[i].says))
			fail_msg("fault %d: status %d, '%s'", (int)faults[i].fault, status, said);
	}
}

static void test_limits(void **state)
{
	(void)state;
	float *y = gpu_alloc(sizeof(*y));
	assert_int_equal(broken_launch(stream(), 1024, 64 << 10, y), cudaSuccess);
	assert_int_equal(broken_launch(stream(), 1025, 0, y), cudaErrorInvalidConfiguration);
	assert_int_equal(broken_launch(stream(), 0, 0, y), cudaErrorInvalidConfiguration);
	assert_int_equal(broken_launch(stream(), 32, (64 << 10) + 4, y), cudaErrorInvalidValue);
	gpu_end();
}

static void test_memory(void **state)
{
	size_t available, total;
	void *p, *q;

	(void)state;
	gpu_end();
	setenv("COPPICE_EMULATED_BYTES", "1000", 1);
	gpu_ok(cudaMalloc(&p, 600));
	assert_int_equal(cudaMalloc(&q, 401), cudaErrorMemoryAllocation);
	assert_null(q);
	assert_int_equal(cudaGetLastError(), cudaErrorMemoryAllocation);
	assert_int_equal(cudaGetLastError(), cudaSuccess);
	gpu_ok(cudaMemGetInfo(&available, &total));
	assert_int_equal(available, 400);
	assert_int_equal(total, 1000);
	assert_int_equal(cudaMemcpy(p, &total, 601, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
	assert_int_equal(cudaMemcpy(p, &total, sizeof(total), cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
	assert_int_equal(cudaFreeHost(p), cudaErrorInvalidValue);
	gpu_ok(cudaFree(p));
	assert_int_equal(cudaFree(p), cudaErrorInvalidValue);
	unsetenv("COPPICE_EMULATED_BYTES");
	(void)cudaGetLastError();
}

/* A float of pinned memory, two on the device, and two more streams. */
struct lanes {
	float *pinned, *a, *b;
	cudaStream_t other;
	cudaEvent_t forked, joined;
};

static struct lanes make_lanes(void)
{
	struct lanes l;
	gpu_ok(cudaHostAlloc((void **)&l.pinned, sizeof(float), cudaHostAllocDefault));
	l.a = gpu_alloc(sizeof(float));
	l.b = gpu_alloc(sizeof(float));
	gpu_ok(cudaStreamCreateWithFlags(&l.other, cudaStreamNonBlocking));
	gpu_ok(cudaEventCreateWithFlags(&l.forked, cudaEventDisableTiming));
	gpu_ok(cudaEventCreateWithFlags(&l.joined, cudaEventDisableTiming));
	return l;
}

static void release_lanes(struct lanes *l)
{
	gpu_ok(cudaStreamSynchronize(l->other));
	gpu_end();
	gpu_ok(cudaFreeHost(l->pinned));
	gpu_ok(cudaEventDestroy(l->forked));
	gpu_ok(cudaEventDestroy(l->joined));
	gpu_ok(cudaStreamDestroy(l->other));
}

/* a = the pinned number in the stream, then b = a in the other one, then back: what a fork and a join do. */
static void fork_and_join(struct lanes *l, bool join)
{
	gpu_ok(cudaMemcpyAsync(l->a, l->pinned, sizeof(float), cudaMemcpyHostToDevice, stream()));
	gpu_ok(cudaEventRecord(l->forked, stream()));
	gpu_ok(cudaStreamWaitEvent(l->other, l->forked, 0));
	gpu_ok(cudaMemcpyAsync(l->b, l->a, sizeof(float), cudaMemcpyDeviceToDevice, l->other));
	gpu_ok(cudaEventRecord(l->joined, l->other));
	if (join)
		gpu_ok(cudaStreamWaitEvent(stream(), l->joined, 0));
}

static void test_streams(void **state)
{
	(void)state;
	struct lanes l = make_lanes();
	for (int i = 1; i <= 50; i++) {
		float want = (float)i, got;
		*l.pinned = want;
		fork_and_join(&l, true);
		gpu_ok(cudaEventSynchronize(l.joined));
		gpu_get(&got, l.b, sizeof(got));
		assert_true(got == want);
	}
	release_lanes(&l);
}

/* What a copy leaves to be done is not there for a stream that is free of the device's own; for that one it is. */
static void test_copies(void **state)
{
	int early = 0;
	(void)state;
	struct lanes l = make_lanes();
	for (int i = 1; i <= 50; i++) {
		float want = (float)i, from = want, got;
		gpu_ok(cudaMemcpy(l.a, &from, sizeof(from), cudaMemcpyHostToDevice));
		from = 0;
		gpu_ok(cudaMemcpyAsync(l.pinned, l.a, sizeof(float), cudaMemcpyDeviceToHost, l.other));
		gpu_ok(cudaStreamSynchronize(l.other));
		early += !(*l.pinned == want);
		gpu_ok(cudaMemcpy(l.b, l.a, sizeof(float), cudaMemcpyDeviceToDevice));
		gpu_ok(cudaMemcpy(&got, l.b, sizeof(got), cudaMemcpyDeviceToHost));
		assert_true(got == want);
	}
	assert_in_range(early, 1, 49);
	release_lanes(&l);
}

/* A graph does the calls again that were made while it was recorded, with what lies in memory then. */
static void test_graph(void **state)
{
	cudaGraph_t graph;
	cudaGraphExec_t exec;
	float got;

	(void)state;
	struct lanes l = make_lanes();
	*l.pinned = 1.0f;
	gpu_ok(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal));
	fork_and_join(&l, true);
	gpu_ok(cudaStreamEndCapture(stream(), &graph));
	gpu_get(&got, l.b, sizeof(got));
	assert_true(isnan(got));
	gpu_ok(cudaGraphInstantiate(&exec, graph, 0));
	gpu_ok(cudaGraphDestroy(graph));
	for (int i = 1; i <= 50; i++) {
		*l.pinned = (float)i;
		gpu_ok(cudaGraphLaunch(exec, stream()));
		gpu_ok(cudaStreamSynchronize(stream()));
		gpu_get(&got, l.b, sizeof(got));
		assert_true(got == (float)i);
	}
	gpu_ok(cudaGraphExecDestroy(exec));
	release_lanes(&l);
}

static void test_capture_refuses(void **state)
{
	cudaGraph_t graph;
	void *p;

	(void)state;
	struct lanes l = make_lanes();
	gpu_ok(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal));
	fork_and_join(&l, false);
	assert_int_equal(cudaStreamEndCapture(stream(), &graph), cudaErrorStreamCaptureUnjoined);
	gpu_ok(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal));
	assert_int_equal(cudaMalloc(&p, 1), cudaErrorStreamCaptureUnsupported);
	assert_int_equal(cudaStreamEndCapture(stream(), &graph), cudaErrorStreamCaptureInvalidated);
	gpu_ok(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal));
	assert_int_equal(cudaStreamSynchronize(stream()), cudaErrorStreamCaptureUnsupported);
	assert_int_equal(cudaStreamEndCapture(stream(), &graph), cudaErrorStreamCaptureInvalidated);
	assert_null(graph);
	(void)cudaGetLastError();
	release_lanes(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_faults),          cmocka_unit_test(test_limits), cmocka_unit_test(test_memory),
		cmocka_unit_test(test_streams),         cmocka_unit_test(test_copies), cmocka_unit_test(test_graph),
		cmocka_unit_test(test_capture_refuses),
	};
	return cmocka_run_group_tests(tests, gpu_setup, gpu_teardown);
}
