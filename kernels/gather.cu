/*
 * From a dataset's pixels to a network's input; what it computes is compute/gather.h's. A thread makes 16 bytes of x,
 * 4 or 8 neighbours of an image's features in the order (y, x, channel), which are whole pixels or not; neighbours in
 * a warp read pixels beside each other. Bytes: 1 a feature read (more, from the cache, for boxes), sizeof(T) written.
 *
 * Products and sums are rounded one after the other, as on the CPU: the bits are the same, boxes or not.
 */
#include "device.h"

enum { THREADS = 256 };

/* The source's scale and shift, in registers. */
struct finish {
	float scale[COP_GATHER_CHANNELS], shift[COP_GATHER_CHANNELS];
};

static __device__ __forceinline__ float finished(const struct finish &f, int channel, float pixel)
{
	float scale = f.scale[0], shift = f.shift[0];
#pragma unroll
	for (int c = 1; c < COP_GATHER_CHANNELS; c++)
		if (channel == c) {
			scale = f.scale[c];
			shift = f.shift[c];
		}
	return __fadd_rn(__fmul_rn(pixel, scale), shift);
}

/* Where output pixel k of `to` lies among `from`: between *at and *at + 1, which does not pass the edge; its weight. */
static __device__ __forceinline__ float between(int k, int from, int to, int *at)
{
	double source = (k + 0.5) * from / to - 0.5;
	if (source < 0)
		source = 0;
	*at = (int)source;
	return *at >= from - 1 ? 0.0f : (float)(source - *at);
}

/* A pixel of the output, and what its channels are made of. */
struct spot {
	int y, x;
	const uint8_t *pixel[2][2]; /* [0][0]: of a moved image, NULL outside of it */
	float down, right;          /* the weights of [1] and [][1] */
	bool box;
};

static __device__ __forceinline__ void aim(const struct cop_image_source &s, const struct cop_pick &p,
					   const uint8_t *image, struct spot &at)
{
	int x = p.flip ? s.width - 1 - at.x : at.x;
	size_t line = (size_t)s.width * (size_t)s.channels;
	at.box = p.box.height != 0;
	if (!at.box) {
		int row = at.y + p.dy, column = x + p.dx;
		bool inside = (unsigned)row < (unsigned)s.height && (unsigned)column < (unsigned)s.width;
		at.pixel[0][0] = inside ? image + (size_t)row * line + (size_t)column * (size_t)s.channels : NULL;
		return;
	}
	int row, column;
	at.down = between(at.y, p.box.height, s.height, &row);
	at.right = between(x, p.box.width, s.width, &column);
	const uint8_t *top = image + (size_t)(p.box.top + row) * line + (size_t)(p.box.left + column) * s.channels;
	size_t down = at.down > 0.0f ? line : 0, right = at.right > 0.0f ? (size_t)s.channels : 0;
	at.pixel[0][0] = top;
	at.pixel[0][1] = top + right;
	at.pixel[1][0] = top + down;
	at.pixel[1][1] = top + down + right;
}

/* a + weight (b - a). */
static __device__ __forceinline__ float mixed(const uint8_t *const pixel[2], int channel, float weight)
{
	int a = pixel[0][channel], b = pixel[1][channel];
	return __fadd_rn((float)a, __fmul_rn(weight, (float)(b - a)));
}

/* A channel of the pixel, before it is scaled. */
static __device__ __forceinline__ float seen(const struct spot &at, int channel)
{
	if (!at.box)
		return at.pixel[0][0] ? (float)at.pixel[0][0][channel] : 0.0f;
	float a = mixed(at.pixel[0], channel, at.right), b = mixed(at.pixel[1], channel, at.right);
	return __fadd_rn(__fmul_rn(a, __fadd_rn(1.0f, -at.down)), __fmul_rn(b, at.down));
}

/* Grid: (threads, images). V features a thread; `features` is a multiple of V. */
template <class T, int V>
static __global__ void gather_kernel(struct cop_image_source s, const struct cop_pick *pick, int n, int batch,
				     size_t features, T *x)
{
	struct finish finish;
#pragma unroll
	for (int c = 0; c < COP_GATHER_CHANNELS; c++) {
		finish.scale[c] = c < s.channels ? s.scale[c] : 0.0f;
		finish.shift[c] = c < s.channels ? s.shift[c] : 0.0f;
	}
	size_t first = ((size_t)blockIdx.x * THREADS + threadIdx.x) * V;
	if (first >= features)
		return;
	/* 64 bits where they are needed alone: a division of theirs takes as long as all the rest */
	size_t pixel = first >> 32 ? first / (size_t)s.channels : (uint32_t)first / (uint32_t)s.channels;
	int begin = (int)(first - pixel * (size_t)s.channels);
	int top = (int)(pixel >> 32 ? pixel / (size_t)s.width : (uint32_t)pixel / (uint32_t)s.width);
	int left = (int)(pixel - (size_t)top * (size_t)s.width);
	for (int i = (int)blockIdx.y; i < batch; i += (int)gridDim.y) {
		pack<T, V> out;
		if (i >= n) {
#pragma unroll
			for (int k = 0; k < V; k++)
				out.v[k] = 0;
			out.store(x + (size_t)i * features + first);
			continue;
		}
		struct spot at;
		struct cop_pick p = pick[i];
		const uint8_t *image = s.images + (size_t)p.index * features;
		int channel = begin;
		at.y = top;
		at.x = left;
		aim(s, p, image, at);
#pragma unroll
		for (int k = 0; k < V; k++) {
			out.v[k] = finished(finish, channel, seen(at, channel));
			if (++channel < s.channels || k == V - 1)
				continue;
			channel = 0;
			if (++at.x == s.width) {
				at.x = 0;
				at.y++;
			}
			aim(s, p, image, at);
		}
		out.store(x + (size_t)i * features + first);
	}
}

template <class T, int V>
static cudaError_t launch(const struct cop_launch *l, const struct cop_image_source *s, const struct cop_pick *pick,
			  int n, int batch, size_t features, void *x)
{
	size_t blocks = (features / V + THREADS - 1) / THREADS;
	dim3 grid((unsigned)blocks, (unsigned)(batch < 65535 ? batch : 65535));
	auto kernel = gather_kernel<T, V>;
	return COP_LAUNCH(kernel, grid, THREADS, 0, l->stream, *s, pick, n, batch, features, (T *)x);
}

template <class T>
static cudaError_t gather(const struct cop_launch *l, const struct cop_image_source *s, const struct cop_pick *pick,
			  int n, int batch, void *x)
{
	size_t features = (size_t)s->height * (size_t)s->width * (size_t)s->channels;
	if (packs<T>(features, x))
		return launch<T, 16 / sizeof(T)>(l, s, pick, n, batch, features, x);
	return launch<T, 1>(l, s, pick, n, batch, features, x);
}

cudaError_t cop_cuda_gather(const struct cop_launch *l, const struct cop_image_source *s, const struct cop_pick *pick,
			    int n, int batch, void *x)
{
	return l->element == COP_ELEMENT_BF16 ? gather<__nv_bfloat16>(l, s, pick, n, batch, x)
					      : gather<float>(l, s, pick, n, batch, x);
}
