/* A kernel with faults that can be asked for; see broken.h. */
#include "broken.h"

#include "device.h"

enum { N = 128 };

static __global__ void turn(const float *x, float *y, enum broken_fault fault)
{
	__shared__ float tile[N];
	int t = (int)threadIdx.x;

	if (fault != BROKEN_STALE)
		tile[t] = x[t];
	if (fault == BROKEN_SOME_BARRIER && t == 5)
		return;
	if (fault == BROKEN_BARRIERS && t % 2)
		__syncthreads();
	else if (fault != BROKEN_NO_BARRIER)
		__syncthreads();
	float v = tile[N - 1 - t];
	if (fault == BROKEN_LANE)
		v = t % 32 < 16 ? __shfl_sync(0xffffu, v, 20) : v;
	if (fault == BROKEN_MASK)
		v = __shfl_xor_sync(0xffffu, v, 0);
	if (fault == BROKEN_ADDRESS && t == 0)
		v = pack<float>::load(x + 1).v[0];
	y[t] = v;
}

static __global__ void one(unsigned shared, float *y)
{
	if (shared > 0) {
		COP_DYNAMIC_SHARED(float, s);
		s[shared / sizeof(float) - 1] = 1.0f;
	}
	if (threadIdx.x == 0)
		*y = 1.0f;
}

cudaError_t broken_turn(cudaStream_t stream, unsigned blocks, const float *x, float *y, enum broken_fault fault)
{
	return COP_LAUNCH(turn, blocks, N, 0, stream, x, y, fault);
}

cudaError_t broken_launch(cudaStream_t stream, unsigned threads, unsigned shared, float *y)
{
	cudaError_t error = COP_ALLOW_SHARED(one, 64 << 10);
	return error ? error : COP_LAUNCH(one, 1, threads, shared, stream, shared, y);
}
