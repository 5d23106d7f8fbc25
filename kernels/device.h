/*
 * What the kernels share. Under nvcc it is CUDA; with COP_EMULATE the kernels are C++ for the host, where the tests run
 * a block's threads as fibers (tests/cuda/emulate.h). Kernels are `static __global__`, are launched by COP_LAUNCH alone
 * and take their arguments by value: a recorded graph replays them.
 */
#ifndef COP_KERNELS_DEVICE_H
#define COP_KERNELS_DEVICE_H

#ifdef COP_EMULATE
#include "../tests/cuda/emulate.h"
#else
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#define COP_CHECK_ADDRESS(p, bytes) ((void)0)
/* Starts a kernel; an expression of type cudaError_t. */
// clang-format off
#define COP_LAUNCH(kernel, grid, block, shared, stream, ...)                                                           \
	(kernel<<<(grid), (block), (shared), (stream)>>>(__VA_ARGS__), cudaGetLastError())
// clang-format on
/* Lets a kernel have more than 48 KiB of dynamic shared memory; an expression of type cudaError_t. */
#define COP_ALLOW_SHARED(kernel, bytes) \
	cudaFuncSetAttribute((kernel), cudaFuncAttributeMaxDynamicSharedMemorySize, (int)(bytes))
/* `type *name`: the dynamic shared memory, aligned to 16 bytes. */
#define COP_DYNAMIC_SHARED(type, name)                                      \
	extern __shared__ __align__(16) unsigned char cop_dynamic_shared[]; \
	type *name = reinterpret_cast<type *>(cop_dynamic_shared)
#endif

#include "kernels.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { COP_WARP = 32 };
static constexpr unsigned COP_ALL_LANES = 0xffffffffu;

static __device__ __forceinline__ float to_float(float v)
{
	return v;
}

static __device__ __forceinline__ float to_float(__nv_bfloat16 v)
{
	return __bfloat162float(v);
}

/* Rounds to nearest even; NaN stays NaN. */
template <class T> static __device__ __forceinline__ T from_float(float v);
template <> __device__ __forceinline__ float from_float<float>(float v)
{
	return v;
}
template <> __device__ __forceinline__ __nv_bfloat16 from_float<__nv_bfloat16>(float v)
{
	return __float2bfloat16_rn(v);
}

/* One access of so many bytes. */
template <int bytes> struct cop_word;
template <> struct cop_word<2> {
	using type = unsigned short;
};
template <> struct cop_word<4> {
	using type = unsigned;
};
template <> struct cop_word<8> {
	using type = uint2;
};
template <> struct cop_word<16> {
	using type = uint4;
};

/*
 * N neighbours of an array of T, as floats: by default 16 bytes of them, 4 floats or 8 bf16, in one access. N = 1 is
 * the scalar path of the same code. The address is a multiple of the access, of 16 bytes where there are more.
 */
template <class T, int n = 16 / (int)sizeof(T)> struct pack {
	static constexpr int N = n;
	static constexpr int bytes = n * (int)sizeof(T) < 16 ? n * (int)sizeof(T) : 16;
	static constexpr int words = n * (int)sizeof(T) / bytes;
	using word = typename cop_word<bytes>::type;
	float v[n];

	static __device__ __forceinline__ pack load(const T *p)
	{
		word raw[words];
		T x[n];
		pack out;
		COP_CHECK_ADDRESS(p, bytes);
#pragma unroll
		for (int i = 0; i < words; i++)
			raw[i] = reinterpret_cast<const word *>(p)[i];
		memcpy((void *)x, raw, sizeof(x));
#pragma unroll
		for (int i = 0; i < n; i++)
			out.v[i] = to_float(x[i]);
		return out;
	}

	/* The same through the read-only cache: of what no thread of the kernel writes. */
	static __device__ __forceinline__ pack load_constant(const T *p)
	{
		word raw[words];
		T x[n];
		pack out;
		COP_CHECK_ADDRESS(p, bytes);
#pragma unroll
		for (int i = 0; i < words; i++)
			raw[i] = __ldg(reinterpret_cast<const word *>(p) + i);
		memcpy((void *)x, raw, sizeof(x));
#pragma unroll
		for (int i = 0; i < n; i++)
			out.v[i] = to_float(x[i]);
		return out;
	}

	__device__ __forceinline__ void store(T *p) const
	{
		word raw[words];
		T x[n];
		COP_CHECK_ADDRESS(p, bytes);
#pragma unroll
		for (int i = 0; i < n; i++)
			x[i] = from_float<T>(v[i]);
		memcpy(raw, (const void *)x, sizeof(x));
#pragma unroll
		for (int i = 0; i < words; i++)
			reinterpret_cast<word *>(p)[i] = raw[i];
	}
};

/* Whether rows of `columns` T at p, and p itself, can be accessed by whole packs of 16 bytes; NULL can. */
template <class T> static inline bool packs(size_t columns, const void *p)
{
	return columns % (16 / sizeof(T)) == 0 && (uintptr_t)p % 16 == 0;
}

template <class V> static __host__ __device__ __forceinline__ V ceil_div(V n, V by)
{
	return (n + by - 1) / by;
}

/* Blocks for n threads of work by blocks of `threads`, `most` at most: the kernel strides over the rest. */
static inline unsigned blocks_for(size_t n, unsigned threads, unsigned most)
{
	size_t want = (n + threads - 1) / threads;
	return want < 1 ? 1u : want < most ? (unsigned)want : most;
}

/* This thread's number in a one-dimensional grid, and how many threads that has. */
static __device__ __forceinline__ size_t grid_thread(void)
{
	return (size_t)blockIdx.x * blockDim.x + threadIdx.x;
}

static __device__ __forceinline__ size_t grid_threads(void)
{
	return (size_t)gridDim.x * blockDim.x;
}

/* The sum over a whole warp, the same bits in every lane, added in pairs of lanes 16, 8, 4, 2, 1 apart. */
template <class V> static __device__ __forceinline__ V warp_sum(V v)
{
#pragma unroll
	for (int apart = COP_WARP / 2; apart > 0; apart /= 2)
		v += __shfl_xor_sync(COP_ALL_LANES, v, apart);
	return v;
}

/*
 * The sum over a block of whole warps, the same bits in every thread: warps first, then their sums in order. All
 * threads of the block call it; blocks are one-dimensional, of 1024 threads at most.
 */
template <class V> static __device__ V block_sum(V v)
{
	__shared__ V part[COP_WARP];
	int warps = (int)blockDim.x / COP_WARP;
	V all = 0;

	v = warp_sum(v);
	__syncthreads(); /* the sums of an earlier call have been read */
	if (threadIdx.x % COP_WARP == 0)
		part[threadIdx.x / COP_WARP] = v;
	__syncthreads();
	for (int i = 0; i < warps; i++)
		all += part[i];
	return all;
}

#endif
