/*
 * CUDA's language for the host, as far as the kernels use it: a block's threads are fibers of one thread, which give
 * way at barriers and where a warp exchanges values, and otherwise run in an order that is drawn anew each time. Blocks
 * run one after the other, in a drawn order too. It ends the program, with a line that says why, where a barrier is not
 * reached by all threads, where the lanes of a warp wait for each other in vain, and where a lane reads from one that
 * takes no part. Shared memory is full of NaN when a block starts. COPPICE_EMULATED_SEED is the seed of the orders.
 *
 * It is C++; what makes kernels and libraries wait in streams and graphs is tests/cuda/runtime.cpp.
 */
#ifndef COP_TESTS_CUDA_EMULATE_H
#define COP_TESTS_CUDA_EMULATE_H

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
/* The Makefile puts these into a section of their own, so that it can be filled with NaN: kernels are static. */
#define __shared__ static

struct dim3 {
	unsigned x, y, z;
	constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
	{
	}
};
struct uint3 {
	unsigned x, y, z;
};

#define COP_VECTOR(type, name, bytes)                                        \
	struct alignas(bytes) name##2                                        \
	{                                                                    \
		type x, y;                                                   \
	};                                                                   \
	struct alignas(2 * bytes > 16 ? 16 : 2 * bytes) name##4              \
	{                                                                    \
		type x, y, z, w;                                             \
	};                                                                   \
	static inline name##2 make_##name##2(type x, type y)                 \
	{                                                                    \
		return name##2 {x, y};                                       \
	}                                                                    \
	static inline name##4 make_##name##4(type x, type y, type z, type w) \
	{                                                                    \
		return name##4 {x, y, z, w};                                 \
	}
COP_VECTOR(float, float, 8)
COP_VECTOR(int, int, 8)
COP_VECTOR(unsigned, uint, 8)
COP_VECTOR(unsigned short, ushort, 4)
COP_VECTOR(unsigned char, uchar, 2)
COP_VECTOR(double, double, 16)
#undef COP_VECTOR

/* Of the fiber that runs. */
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
static constexpr int warpSize = 32;

/* What a thread does at a barrier and in an exchange with its warp; the place is told when it goes wrong. */
void emulate_barrier(const char *file, int line);
uint64_t emulate_exchange(unsigned mask, uint64_t value, int from, const char *file, int line);
unsigned emulate_ballot(unsigned mask, bool value, const char *file, int line);
[[noreturn]] void emulate_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *emulate_dynamic_shared(void);
/* The thread's lane, 0 to 31. */
int emulate_lane(void);

#define __syncthreads() emulate_barrier(__FILE__, __LINE__)
#define __syncwarp(...) emulate_syncwarp(__FILE__, __LINE__ __VA_OPT__(, ) __VA_ARGS__)
#define __ballot_sync(mask, p) emulate_ballot((mask), (p) != 0, __FILE__, __LINE__)
#define __any_sync(mask, p) (emulate_ballot((mask), (p) != 0, __FILE__, __LINE__) != 0)
#define __all_sync(mask, p) (emulate_ballot((mask), (p) == 0, __FILE__, __LINE__) == 0)
#define __shfl_sync(mask, v, lane, ...) emulate_shuffle(0, (mask), (v), (lane), __FILE__, __LINE__, ##__VA_ARGS__)
#define __shfl_xor_sync(mask, v, lane, ...) emulate_shuffle(1, (mask), (v), (lane), __FILE__, __LINE__, ##__VA_ARGS__)
#define __shfl_down_sync(mask, v, lane, ...) emulate_shuffle(2, (mask), (v), (lane), __FILE__, __LINE__, ##__VA_ARGS__)
#define __shfl_up_sync(mask, v, lane, ...) emulate_shuffle(3, (mask), (v), (lane), __FILE__, __LINE__, ##__VA_ARGS__)

static inline void emulate_syncwarp(const char *file, int line, unsigned mask = 0xffffffffu)
{
	(void)emulate_ballot(mask, false, file, line);
}

/* kind 0: lane `by` of the group of `width` lanes; 1: exclusive or; 2, 3: that many further on or back. */
template <class V>
static inline V emulate_shuffle(int kind, unsigned mask, V value, int by, const char *file, int line, int width = 32)
{
	static_assert(sizeof(V) <= sizeof(uint64_t) && std::is_trivially_copyable<V>::value, "too large to exchange");
	int lane = emulate_lane(), first = lane / width * width, end = first + width, from = lane;
	uint64_t raw = 0;

	if (kind == 0)
		from = first + (by & (width - 1));
	else if (kind == 1)
		from = (lane ^ by) < end ? lane ^ by : lane;
	else if (kind == 2)
		from = lane + by < end ? lane + by : lane;
	else
		from = lane - by >= first ? lane - by : lane;
	std::memcpy(&raw, &value, sizeof(V));
	raw = emulate_exchange(mask, raw, from, file, line);
	std::memcpy(&value, &raw, sizeof(V));
	return value;
}

/* Fibers give way at the places above alone, so these are done at once. */
#define COP_ATOMIC(name, expression)                                           \
	template <class V> static inline V name(V *p, std::common_type_t<V> v) \
	{                                                                      \
		V old = *p;                                                    \
		*p = (expression);                                             \
		return old;                                                    \
	}
COP_ATOMIC(atomicAdd, old + v)
COP_ATOMIC(atomicSub, old - v)
COP_ATOMIC(atomicMax, old > v ? old : v)
COP_ATOMIC(atomicMin, old < v ? old : v)
COP_ATOMIC(atomicOr, old | v)
COP_ATOMIC(atomicAnd, old &v)
COP_ATOMIC(atomicExch, v)
#undef COP_ATOMIC

template <class V> static inline V atomicCAS(V *p, std::common_type_t<V> compare, std::common_type_t<V> v)
{
	V old = *p;
	*p = old == compare ? v : old;
	return old;
}

static inline void __threadfence(void)
{
}

template <class V> static inline V __ldg(const V *p)
{
	return *p;
}
template <class V> static inline V __ldcs(const V *p)
{
	return *p;
}
template <class V> static inline void __stcs(V *p, V v)
{
	*p = v;
}

static inline int __popc(unsigned v)
{
	return __builtin_popcount(v);
}
static inline int __popcll(unsigned long long v)
{
	return __builtin_popcountll(v);
}
static inline int __clz(int v)
{
	return v ? __builtin_clz((unsigned)v) : 32;
}
static inline int __ffs(int v)
{
	return __builtin_ffs(v);
}
template <class To, class From> static inline To emulate_bits(From v)
{
	To to;
	static_assert(sizeof(to) == sizeof(v), "sizes differ");
	std::memcpy(&to, &v, sizeof(to));
	return to;
}
static inline unsigned __float_as_uint(float v)
{
	return emulate_bits<unsigned>(v);
}
static inline int __float_as_int(float v)
{
	return emulate_bits<int>(v);
}
static inline float __uint_as_float(unsigned v)
{
	return emulate_bits<float>(v);
}
static inline float __int_as_float(int v)
{
	return emulate_bits<float>(v);
}
static inline unsigned __umulhi(unsigned a, unsigned b)
{
	return (unsigned)(((uint64_t)a * b) >> 32);
}
static inline float rsqrtf(float v)
{
	return 1.0f / std::sqrt(v);
}
static inline double rsqrt(double v)
{
	return 1.0 / std::sqrt(v);
}
static inline float __fmaf_rn(float a, float b, float c)
{
	return std::fmaf(a, b, c);
}
static inline float __fmul_rn(float a, float b)
{
	volatile float product = a * b;
	return product;
}
static inline float __fadd_rn(float a, float b)
{
	volatile float sum = a + b;
	return sum;
}
static inline float __fsub_rn(float a, float b)
{
	volatile float difference = a - b;
	return difference;
}
static inline float __fdividef(float a, float b)
{
	return a / b;
}
/* the C library has functions of these names */
#define __expf(v) std::exp((float)(v))
#define __logf(v) std::log((float)(v))
static inline float __saturatef(float v)
{
	return v > 0.0f ? std::min(v, 1.0f) : 0.0f;
}
using std::isinf;
using std::isnan;
using std::max;
using std::min;

struct __nv_bfloat16 {
	unsigned short bits;
};
struct alignas(4) __nv_bfloat162 {
	__nv_bfloat16 x, y;
};
typedef __nv_bfloat16 nv_bfloat16;

static inline float __bfloat162float(__nv_bfloat16 v)
{
	return __uint_as_float((unsigned)v.bits << 16);
}
static inline __nv_bfloat16 __float2bfloat16_rn(float v)
{
	unsigned u = __float_as_uint(v);
	if (v != v)
		return __nv_bfloat16{0x7fff};
	return __nv_bfloat16{(unsigned short)((u + 0x7fffu + (u >> 16 & 1u)) >> 16)};
}
static inline __nv_bfloat16 __float2bfloat16(float v)
{
	return __float2bfloat16_rn(v);
}
static inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 v)
{
	return v.bits;
}
static inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short v)
{
	return __nv_bfloat16{v};
}
static inline __nv_bfloat162 __float22bfloat162_rn(float2 v)
{
	return __nv_bfloat162{__float2bfloat16_rn(v.x), __float2bfloat16_rn(v.y)};
}
static inline __nv_bfloat162 __floats2bfloat162_rn(float a, float b)
{
	return __nv_bfloat162{__float2bfloat16_rn(a), __float2bfloat16_rn(b)};
}
static inline float2 __bfloat1622float2(__nv_bfloat162 v)
{
	return float2{__bfloat162float(v.x), __bfloat162float(v.y)};
}

/* Holds the one lock of all that is emulated; a thread may hold it several times. */
struct emulated_hold {
	emulated_hold();
	~emulated_hold();
};

/* Puts work that stands for a library's into a stream: it obeys streams, events and captures as kernels do. */
cudaError_t emulated_enqueue(cudaStream_t stream, std::function<void()> work);

/* A kernel's threads, all blocks of them, now. `thread` is one thread's body. */
void emulate_grid(const char *name, dim3 grid, dim3 block, size_t shared, const std::function<void()> &thread);
/* Whether the grid can be launched; `kernel` is the function's address. */
cudaError_t emulate_admit(const void *kernel, dim3 grid, dim3 block, size_t shared);
cudaError_t emulate_allow_shared(const void *kernel, size_t bytes);

template <class... P, class... A>
static inline cudaError_t emulate_launch(const char *name, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared,
					 cudaStream_t stream, A... args)
{
	std::tuple<std::decay_t<P>...> kept(static_cast<std::decay_t<P>>(args)...);
	cudaError_t error = emulate_admit(reinterpret_cast<const void *>(kernel), grid, block, shared);

	if (!error)
		error = emulated_enqueue(
			stream, [=] { emulate_grid(name, grid, block, shared, [&] { std::apply(kernel, kept); }); });
	(void)cudaGetLastError();
	return error;
}

#define COP_LAUNCH(kernel, grid, block, shared, stream, ...) \
	emulate_launch(#kernel, (kernel), (grid), (block), (shared), (stream), __VA_ARGS__)
#define COP_ALLOW_SHARED(kernel, bytes) emulate_allow_shared(reinterpret_cast<const void *>(kernel), (bytes))
#define COP_DYNAMIC_SHARED(type, name) type *name = reinterpret_cast<type *>(emulate_dynamic_shared())
#define COP_CHECK_ADDRESS(p, bytes)                                                         \
	((uintptr_t)(p) % (uintptr_t)(bytes)                                                \
		 ? emulate_fail("%p is no multiple of %d", (const void *)(p), (int)(bytes)) \
		 : (void)0)

#endif
