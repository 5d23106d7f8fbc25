/*
 * Depthwise convolutions over (N,H,W,C): a channel sees itself alone, so there is no product, and the work is bound by
 * memory, and next by the instructions that read a value. A thread has V channels that lie side by side, whose weights
 * or their sums it keeps in registers. 3x3 windows of stride 1 and 2 are slid: a thread walks down a strip of some
 * columns, reads each row of it once and adds it to the sums of all rows that see it; so at stride 1 a value is read
 * (columns + 2) / columns times, from memory but once. All other windows, and channels that are no multiple of V, go by
 * loops over the window.
 *
 * What lies in memory is read as it is loaded (batch norm and cut-off, or the gradient's slope), and what is written is
 * finished on the way. This is what forward and backward share.
 */
#ifndef COP_KERNELS_DEPTHWISE_H
#define COP_KERNELS_DEPTHWISE_H

#include "sink.h"

enum {
	THREADS = 128,
	AT_ONCE = 3, /* blocks of a processor at a time, which leaves a thread 168 registers */
#ifdef COP_EMULATE
	BLOCKS = 2 * AT_ONCE, /* so that small tests come to threads that do several units of several rows */
#else
	BLOCKS = 132 * AT_ONCE, /* that a device has at work */
#endif
	BUSY = 2 * BLOCKS * THREADS,
	PACKS = 32,          /* the most packs of channels beside each other in a block */
	TURNS = 4,           /* units that a thread had better do, so that there are few partial sums */
	WIDTH = 4,           /* channels of a thread: 16 bytes of fp32, 8 of bf16, the same number of registers */
	TAPS = 8,            /* of any window, whose weights' sums a thread keeps */
	MOST_PARTS = BLOCKS, /* no more than COP_CUDA_PARTS */
	SPACE = 1 << 24      /* floats of partial sums of the weights */
};

/*
 * How the work over `height` x `width` pixels of some images is cut. A unit is `rows` rows by some columns, of V
 * channels. A block has `across` packs of channels, `deep` units each. Grid: (groups of packs, parts): the units are
 * dealt to the parts in turn, so what runs at a time lies close together.
 */
struct cut {
	int channels, across, deep, groups, parts;
	int height, rows, segments, columns, strips;
	uint32_t units;
};

struct unit {
	int n, y, rows, x;
};

/* For v channels a thread and units of `columns`; into no more than `most` parts. It depends on the shapes alone. */
static inline struct cut cut_of(int channels, int v, int batch, int height, int width, int columns, int most)
{
	int packs = channels / v;
	struct cut c;
	c.channels = channels;
	c.groups = (packs + PACKS - 1) / PACKS;
	c.across = (packs + c.groups - 1) / c.groups;
	c.deep = THREADS / c.across;
	c.height = height;
	c.columns = columns;
	c.strips = (width + columns - 1) / columns;
	int64_t each = (int64_t)batch * c.strips, units;
	for (c.rows = height;; c.rows = (c.rows + 1) / 2) {
		c.segments = (height + c.rows - 1) / c.rows;
		units = each * c.segments;
		if (c.rows == 1 || units * packs >= BUSY)
			break;
	}
	c.units = (uint32_t)units; /* below 2^30: checked by those who launch */
	/* as many blocks as are at work at a time, or twice as many, ... : none of them is left over for a last turn */
	int64_t flat = (units + c.deep - 1) / c.deep, few = (flat + TURNS - 1) / TURNS;
	int64_t waves = (few * c.groups + BLOCKS - 1) / BLOCKS, parts = waves * BLOCKS / c.groups;
	parts = parts < flat ? parts : flat;
	parts = parts < most ? parts : most;
	c.parts = parts < 1 ? 1 : (int)parts;
	return c;
}

static inline dim3 grid_of(const struct cut *c)
{
	return dim3((unsigned)c->groups, (unsigned)c->parts);
}

static __device__ __forceinline__ struct unit unit_at(const struct cut &c, uint32_t u)
{
	struct unit at;
	uint32_t strips = (uint32_t)c.strips, segments = (uint32_t)c.segments, line = u / strips;
	at.x = (int)(u % strips) * c.columns;
	at.n = (int)(line / segments);
	at.y = (int)(line % segments) * c.rows;
	at.rows = c.height - at.y < c.rows ? c.height - at.y : c.rows;
	return at;
}

/* A thread's channels, and the units that it does: from, from + step, ... */
struct share {
	int first;
	uint32_t from, step;
	bool idle; /* nothing but to wait for the others */
};

template <int V> static __device__ __forceinline__ struct share share_of(const struct cut &c)
{
	struct share s;
	int deep = (int)threadIdx.x / c.across;
	s.first = ((int)blockIdx.x * c.across + (int)threadIdx.x % c.across) * V;
	s.from = blockIdx.y * (uint32_t)c.deep + (uint32_t)deep;
	s.step = (uint32_t)(c.parts * c.deep);
	s.idle = deep >= c.deep || s.first >= c.channels;
	return s;
}

/*
 * The block's sum of K numbers a channel: number k < rows of channel c goes to to[k row + c of], c from the block's
 * first channel on. Added up in the order of the units' threads. Every thread of the block calls it.
 */
template <int V, int K>
static __device__ __forceinline__ void put_sums(const struct cut &c, const float (&sum)[K][V], int rows, size_t row,
						size_t of, float *to)
{
	__shared__ float shared[K * V][THREADS];
#pragma unroll
	for (int k = 0; k < K; k++)
#pragma unroll
		for (int j = 0; j < V; j++)
			shared[k * V + j][threadIdx.x] = sum[k][j];
	__syncthreads();
	int begin = (int)blockIdx.x * c.across * V, all = c.across * V;
	int here = c.channels - begin < all ? c.channels - begin : all;
	for (int i = (int)threadIdx.x; i < rows * all; i += THREADS) {
		/* neighbours in memory may be far apart here: few numbers, once a block */
		int k = i / all, channel = i % all;
		if (channel >= here)
			continue;
		const float *from = &shared[k * V + channel % V][channel / V];
		float s = 0;
		for (int d = 0; d < c.deep; d++)
			s += from[d * c.across];
		to[(size_t)k * row + (size_t)(begin + channel) * of] = s;
	}
}

/* The two sums of a batch norm into part (parts, C, 2). */
template <int V>
static __device__ __forceinline__ void put_part(const struct cut &c, const float (&sum)[V], const float (&product)[V],
						float *part)
{
	float both[2][V];
#pragma unroll
	for (int j = 0; j < V; j++) {
		both[0][j] = sum[j];
		both[1][j] = product[j];
	}
	put_sums<V, 2>(c, both, 2, 1, 2, part + 2 * (size_t)blockIdx.y * (size_t)c.channels);
}

/* Whether a row is loaded while the one before is in work: floats would take too many registers. */
template <class T> struct ahead {
	enum { rows = sizeof(T) < 4 };
};

/* Where values come from: what a thread keeps to read them, and what it holds of V of them between load and use. */
template <class T, int V> struct values {
	struct from {
		const void *raw;
		struct cop_reading as;
	};
	struct held {
		loaded<T, V> raw;
	};
	enum { AHEAD = ahead<T>::rows };
	reader<V> as;

	__device__ __forceinline__ void init(const from &f, int first, int channels)
	{
		as.init(f.as, first, channels);
	}

	__device__ __forceinline__ void load(const from &f, size_t at, held &h) const
	{
		h.raw = loaded<T, V>::from(f.raw, at);
	}

	__device__ __forceinline__ float value(const held &h, int j) const
	{
		return as.value(h.raw.number(j), j);
	}
};

/* The same for gradients. */
template <class T, int V> struct gradients {
	struct from {
		const void *g, *raw;
		struct cop_slope slope;
	};
	struct held {
		loaded<T, V> g, raw;
	};
	enum { AHEAD = ahead<T>::rows };
	sloper<V> slope;

	__device__ __forceinline__ void init(const from &f, int first, int channels)
	{
		slope.init(f.slope, first, channels);
	}

	__device__ __forceinline__ void load(const from &f, size_t at, held &h) const
	{
		h.g = loaded<T, V>::from(f.g, at);
		if (f.slope.a)
			h.raw = loaded<T, V>::from(f.raw, at);
	}

	__device__ __forceinline__ float value(const held &h, int j) const
	{
		return slope.value(h.g.number(j), h.raw.number(j), j);
	}
};

/* Images of `height` x `width` pixels of `channels`. */
struct plane {
	int height, width, channels;
};

/* The pixel's first channel; y and x may lie outside, where nothing is to be loaded. */
static __device__ __forceinline__ size_t pixel_at(const struct plane &p, int n, int y, int x)
{
	return (((size_t)n * (size_t)p.height + (size_t)y) * (size_t)p.width + (size_t)x) * (size_t)p.channels;
}

/* N pixels of a row, as they were loaded; those that are not in the image count as 0. */
template <class Source, int N> struct line {
	typename Source::held at[N];
	uint32_t inside;
};

template <class Source, int N>
static __device__ __forceinline__ void load_line(const Source &s, const typename Source::from &f, const struct plane &p,
						 int n, int y, int x, int first, line<Source, N> &l)
{
	bool row = (unsigned)y < (unsigned)p.height;
	size_t at = pixel_at(p, n, y, x) + (size_t)first;
	l.inside = 0;
#pragma unroll
	for (int q = 0; q < N; q++, at += (size_t)p.channels) {
		l.at[q] = typename Source::held();
		if (row && (unsigned)(x + q) < (unsigned)p.width) {
			s.load(f, at, l.at[q]);
			l.inside |= 1u << q;
		}
	}
}

/* The rows of an image from `y` on, N pixels from column x, one after the other. */
template <class Source, int N> struct feed {
	line<Source, N> next;
	int n, y, x, first;

	__device__ __forceinline__ void init(const Source &s, const typename Source::from &f, const struct plane &p,
					     int image, int row, int column, int channel)
	{
		n = image;
		y = row;
		x = column;
		first = channel;
		if (Source::AHEAD)
			load_line<Source, N>(s, f, p, n, y, x, first, next);
	}

	/* The next row; `more`: there will be one after it. */
	__device__ __forceinline__ line<Source, N> take(const Source &s, const typename Source::from &f,
							const struct plane &p, bool more)
	{
		if (!Source::AHEAD) {
			load_line<Source, N>(s, f, p, n, y++, x, first, next);
			return next;
		}
		line<Source, N> now = next;
		y++;
		if (more)
			load_line<Source, N>(s, f, p, n, y, x, first, next);
		return now;
	}
};

template <class Source, int N, int V>
static __device__ __forceinline__ void value_of(const Source &s, const line<Source, N> &l, int q, float (&v)[V])
{
	bool inside = l.inside >> q & 1;
#pragma unroll
	for (int j = 0; j < V; j++)
		v[j] = inside ? s.value(l.at[q], j) : 0.0f;
}

template <class Source, int COLUMNS, int V>
static __device__ __forceinline__ void values_of(const Source &s, const line<Source, COLUMNS> &l,
						 float (&v)[COLUMNS][V])
{
#pragma unroll
	for (int t = 0; t < COLUMNS; t++)
		value_of<Source, COLUMNS, V>(s, l, t, v[t]);
}

/* The 3x3 window of stride S that slides over `in` with its corner at y S - top, x S - left. */
struct slide {
	struct plane in, out;
	int top, left;
	bool turned;
};

template <int COLUMNS, int V> static __device__ __forceinline__ void clear(float (&sum)[COLUMNS][V])
{
#pragma unroll
	for (int t = 0; t < COLUMNS; t++)
#pragma unroll
		for (int j = 0; j < V; j++)
			sum[t][j] = 0;
}

/* Whether p may be accessed by packs of V; NULL may. */
template <class T, int V> static inline bool lies_even(const void *p)
{
	return (uintptr_t)p % (V * sizeof(T)) == 0;
}

/* The stride of a window that slides, else 0. */
static inline int slides(const struct cop_conv *d)
{
	bool plain = d->kernel[0] == 3 && d->kernel[1] == 3 && d->dilation[0] == 1 && d->dilation[1] == 1;
	return plain && d->stride[0] == d->stride[1] && d->stride[0] <= 2 ? d->stride[0] : 0;
}

static inline struct slide slide_of(const struct cop_conv *d)
{
	struct slide s = {
		{d->in_h, d->in_w, d->in_c}, {d->out_h, d->out_w, d->in_c}, d->padding[0], d->padding[1], false};
	return s;
}

/* depthwise_weights.cu: dw and db (NULL: none); part: cop_cuda_depthwise_space() floats. */
cudaError_t cop_depthwise_weights(const struct cop_launch *l, const struct cop_conv *d, const struct cop_gradient *dy,
				  const struct cop_activation *x, float *dw, float *db, float *part);

#endif
