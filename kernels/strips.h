/*
 * How the kernels between convolutions walk over activations (N,H,W,C): as `rows` rows of `row` numbers. A row is
 * a pixel, or, where a pixel's channels are no multiple of V, as few pixels as make one: so that every access is
 * 16 bytes wide with 3 channels, too.
 *
 * A block has `tx` threads beside each other along a row, each with V numbers, and `ty` rows of such; threads in excess
 * do nothing. Grid: (strips, columns of blocks), each strip a part of the rows. Neighbours in a warp touch memory side
 * by side. A thread's channels stay the same over all rows, (first + j) % channels.
 */
#ifndef COP_KERNELS_STRIPS_H
#define COP_KERNELS_STRIPS_H

#include "sink.h"

enum {
	STRIP_THREADS = 256,
	STRIP_WIDTH = 32,       /* the most threads along a row, of a column: 512 bytes */
	STRIP_JOINED = 64,      /* where a row has several pixels, which no two columns may share */
	STRIP_BLOCKS = 132 * 8, /* as many as 132 processors may have at a time */
	STRIP_SUMMED = 132 * 3, /* with sums: as many as their registers leave room for */
	STRIP_ENOUGH = 132 * 2
};

struct strips {
	int v, channels, row, tx, ty, columns, strips;
	size_t rows;
};

/* Sets a row's numbers and how many threads it takes; false where rows of accesses of v numbers cannot be made. */
static inline bool set_row(struct strips *s, size_t numbers, int v, bool join)
{
	s->v = v;
	s->row = s->channels;
	while (s->row % v)
		s->row += s->channels;
	bool joined = s->row != s->channels;
	int across = s->row / v, widest = joined ? STRIP_JOINED : STRIP_WIDTH;
	s->columns = ceil_div(across, widest);
	s->tx = ceil_div(across, s->columns);
	s->ty = STRIP_THREADS / s->tx;
	s->rows = numbers / (size_t)s->row;
	return !joined || (join && s->columns == 1 && numbers % (size_t)s->row == 0);
}

/*
 * For all of s, by 16 bytes where the shape allows and `even` says that the addresses do, else by single numbers; join:
 * a row may have several pixels; summed: there will be partial sums. To have few of these, threads then take 8 rows or
 * more where that leaves each processor two blocks.
 */
static inline struct strips strips_of(const struct cop_launch *l, const struct cop_shape *shape, bool even, bool join,
				      bool summed)
{
	struct strips s = {};
	size_t numbers = (size_t)shape->batch * (size_t)shape->h * (size_t)shape->w * (size_t)shape->c;
	s.channels = shape->c;
	if (!even || !set_row(&s, numbers, l->element == COP_ELEMENT_BF16 ? 8 : 4, join))
		(void)set_row(&s, numbers, 1, false);
	size_t most = (size_t)((summed ? STRIP_SUMMED : STRIP_BLOCKS) / s.columns), enough = most;
	size_t deep = ceil_div(s.rows, 8 * (size_t)s.ty), flat = ceil_div(s.rows, (size_t)s.ty), n;
	if (summed)
		enough = (size_t)(STRIP_ENOUGH / s.columns);
	n = deep < enough ? enough : deep;
	n = n < most ? n : most;
	n = n < flat ? n : flat;
	s.strips = n ? (int)n : 1;
	return s;
}

/* Whether accesses of 16 bytes may begin at p. */
static inline bool lies_even(const void *p)
{
	return (uintptr_t)p % 16 == 0;
}

/* function<T, V>(...) for the element of `l`; V makes 16 bytes where it is `wide`, else it is 1. */
#define BY_TYPE(l, wide, function, ...)                                                                       \
	((l)->element == COP_ELEMENT_BF16                                                                     \
		 ? (wide) ? function<__nv_bfloat16, 8>(__VA_ARGS__) : function<__nv_bfloat16, 1>(__VA_ARGS__) \
	 : (wide) ? function<float, 4>(__VA_ARGS__)                                                           \
		  : function<float, 1>(__VA_ARGS__))

/* kernel(s, ...) over all strips. */
#define LAUNCH_STRIPS(l, kernel, s, ...)                                                                              \
	COP_LAUNCH(kernel, dim3((unsigned)(s).strips, (unsigned)(s).columns), dim3(STRIP_THREADS), 0, (l)->stream, s, \
		   __VA_ARGS__)

/* Where a thread begins, steps and ends. */
struct walk {
	int first; /* number within the row */
	size_t from, to, step;
};

template <int V> static __device__ __forceinline__ struct walk walk_of(const struct strips &s)
{
	int x = (int)threadIdx.x % s.tx, y = (int)threadIdx.x / s.tx;
	size_t from = s.rows * blockIdx.x / (size_t)s.strips, to = s.rows * (blockIdx.x + 1) / (size_t)s.strips;
	struct walk w = {((int)blockIdx.y * s.tx + x) * V, from + (size_t)y, to, (size_t)s.ty};
	if (y >= s.ty || w.first >= s.row)
		w.from = w.to; /* in excess */
	return w;
}

/*
 * The block's part of two sums a channel, from what its threads have: part (strips, channels, 2). Every thread of the
 * block calls it. The threads of a column are added up in halves, the pixels of a row in their order.
 */
template <int V>
static __device__ __forceinline__ void put_sums(const struct strips &s, const float (&sum)[V],
						const float (&product)[V], float *part)
{
	__shared__ float shared[2][V][STRIP_THREADS];
	int t = (int)threadIdx.x, y = t / s.tx;
	for (int j = 0; j < V; j++) {
		shared[0][j][t] = sum[j];
		shared[1][j][t] = product[j];
	}
	for (int n = s.ty; n > 1; n = (n + 1) / 2) {
		int half = (n + 1) / 2;
		__syncthreads();
		if (y + half < n)
			for (int j = 0; j < V; j++) {
				shared[0][j][t] += shared[0][j][t + half * s.tx];
				shared[1][j][t] += shared[1][j][t + half * s.tx];
			}
	}
	__syncthreads();
	int begin = (int)blockIdx.y * s.tx * V, left = s.channels - begin;
	int here = left < s.tx * V ? left : s.tx * V, pixels = s.row / s.channels;
	for (int c = t; c < here; c += STRIP_THREADS) {
		float a = 0, b = 0;
		for (int i = 0; i < pixels; i++) {
			int e = c + i * s.channels;
			a += shared[0][e % V][e / V];
			b += shared[1][e % V][e / V];
		}
		float *to = part + 2 * ((size_t)blockIdx.x * (size_t)s.channels + (size_t)(begin + c));
		to[0] = a;
		to[1] = b;
	}
}

#endif
