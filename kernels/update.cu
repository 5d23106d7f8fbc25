/*
 * What is done to flat arrays: the optimizers with the mask as bits, narrowing, and sums over ranks. All of them are
 * bound by memory: four neighbours a thread, one access of 16 bytes for each array; the mask is half a byte of it.
 */
#include "device.h"

namespace
{

enum { THREADS = 256, BLOCKS_MAX = 4096 };

/* to (n) = from (n), rounded: 4 bytes read, sizeof(T) written. */
template <class T> static __global__ void narrow(size_t n, const float *from, T *to)
{
	for (size_t i = grid_thread(); i < n; i += grid_threads())
		to[i] = from_float<T>(from[i]);
}

} // namespace

cudaError_t cop_cuda_narrow(const struct cop_launch *l, size_t n, const float *from, void *to)
{
	unsigned blocks = blocks_for(n, THREADS, BLOCKS_MAX);
	if (l->element == COP_ELEMENT_F32)
		return COP_LAUNCH(narrow<float>, blocks, THREADS, 0, l->stream, n, from, (float *)to);
	return COP_LAUNCH(narrow<__nv_bfloat16>, blocks, THREADS, 0, l->stream, n, from, (__nv_bfloat16 *)to);
}
