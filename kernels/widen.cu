/* Gradients of weights that a library left in the activations' type, as float: bound by memory. */
#include "device.h"

namespace
{

enum { THREADS = 256, BLOCKS_MAX = 4096 };

/* to (n) [+]= from (n): sizeof(T) and, with `add`, 4 bytes read, 4 written. */
template <class T> static __global__ void widen(size_t n, const T *from, bool add, float *to)
{
	for (size_t i = grid_thread(); i < n; i += grid_threads())
		to[i] = to_float(from[i]) + (add ? to[i] : 0.0f);
}

} // namespace

cudaError_t cop_cuda_widen(const struct cop_launch *l, size_t n, const void *from, bool add, float *to)
{
	unsigned blocks = blocks_for(n, THREADS, BLOCKS_MAX);
	if (l->element == COP_ELEMENT_F32)
		return COP_LAUNCH(widen<float>, blocks, THREADS, 0, l->stream, n, (const float *)from, add, to);
	return COP_LAUNCH(widen<__nv_bfloat16>, blocks, THREADS, 0, l->stream, n, (const __nv_bfloat16 *)from, add, to);
}
