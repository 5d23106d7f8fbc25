/*
 * Batch norm: sums over strips of pixels, which are added up in double precision; formulas as in compute/layers.c.
 */
#include "strips.h"

enum { CHANNELS = 8, ROWS = 64 /* of threads, that add up parts */ };

/* part (strips, C, 2): sums of y - about and its square. Reads y (N,H,W,C) once. */
template <class T, int V>
static __global__ void __launch_bounds__(STRIP_THREADS, 3)
	moments_kernel(struct strips s, const void *y, const float *about, float *part)
{
	struct walk w = walk_of<V>(s);
	float middle[V], sum[V], square[V];
	for (int j = 0; j < V; j++) {
		middle[j] = about[(w.first + j) % s.channels];
		sum[j] = square[j] = 0;
	}
#pragma unroll 4
	for (size_t r = w.from; r < w.to; r += w.step) {
		pack<T, V> v = load_pack<T, V>(y, r * (size_t)s.row + (size_t)w.first);
		for (int j = 0; j < V; j++) {
			float d = v.v[j] - middle[j];
			sum[j] += d;
			square[j] = fmaf(d, d, square[j]);
		}
	}
	put_sums<V>(s, sum, square, part);
}

template <class T, int V>
static cudaError_t moments(const struct cop_launch *l, const struct strips *s, const void *y, const float *about,
			   float *part)
{
	return LAUNCH_STRIPS(l, (moments_kernel<T, V>), *s, y, about, part);
}

cudaError_t cop_cuda_moments(const struct cop_launch *l, const struct cop_shape *s, const void *y, const float *about,
			     struct cop_sums *sums)
{
	struct strips w = strips_of(l, s, lies_even(y), true, true);
	sums->parts = w.strips;
	return BY_TYPE(l, w.v > 1, moments, l, &w, y, about, sums->part);
}

/*
 * sum (y - a) = S - n a and sum (y - a)^2 = Q - 2 a S + n a^2, of S = sum y and Q = sum y^2 as convolutions' engines
 * take them. Where a channel's mean m is far from 0, what makes up its variance v cancels: a relative error of 1e-6 in
 * float sums is one of 1e-6 (1 + m^2/v) in v. bf16 bears that: y, rounded by up to 2^-9 of itself, has 2^-18 m^2/3,
 * again about 1e-6 m^2, added to its variance by that alone; TF32's products are off by nearly as much. fp32 would not,
 * and takes cop_cuda_moments(). Threads: channels.
 */
static __global__ void sums_about_kernel(int c, double count, const float *sum, const float *square, const float *about,
					 float *part)
{
	int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
	if (i >= c)
		return;
	double s = (double)sum[i], q = (double)square[i], a = (double)about[i];
	part[2 * i] = (float)(s - count * a);
	part[2 * i + 1] = (float)(q - 2 * a * s + count * a * a);
}

cudaError_t cop_cuda_sums_about(const struct cop_launch *l, int c, double count, const float *sum, const float *square,
				const float *about, struct cop_sums *sums)
{
	sums->parts = 1;
	return COP_LAUNCH(sums_about_kernel, dim3((unsigned)((c + 127) / 128)), dim3(128), 0, l->stream, c, count, sum,
			  square, about, sums->part);
}

/*
 * The two sums of a channel over all parts (parts, C, 2), in the thread of row 0; false in all others. Blocks are of
 * CHANNELS channels (64 bytes of each part) by ROWS threads, each with every ROWS-th part; these are added up in
 * halves.
 */
static __device__ __forceinline__ bool add_parts(const float *part, int parts, int channels, int *channel,
						 double *first, double *second)
{
	__shared__ double shared[2][ROWS][CHANNELS];
	int x = (int)threadIdx.x % CHANNELS, y = (int)threadIdx.x / CHANNELS, c = (int)blockIdx.x * CHANNELS + x;
	double a = 0, b = 0;
	for (int k = y; k < parts && c < channels; k += ROWS) {
		const float *at = part + 2 * ((size_t)k * (size_t)channels + (size_t)c);
		a += (double)at[0];
		b += (double)at[1];
	}
	shared[0][y][x] = a;
	shared[1][y][x] = b;
	for (int half = ROWS / 2; half > 0; half /= 2) {
		__syncthreads();
		if (y < half) {
			shared[0][y][x] += shared[0][y + half][x];
			shared[1][y][x] += shared[1][y + half][x];
		}
	}
	*channel = c;
	*first = shared[0][0][x];
	*second = shared[1][0][x];
	return y == 0 && c < channels;
}

static __device__ __forceinline__ void set_affine(const struct cop_normed &out, int c, double mean, double inv,
						  float weight, float bias)
{
	double scale = (double)weight * inv;
	out.mean[c] = (float)mean;
	out.inv[c] = (float)inv;
	out.scale[c] = (float)scale;
	out.shift[c] = (float)((double)bias - mean * scale);
}

/* Not below 0 by rounding; what overflowed becomes NaN. */
static __device__ __forceinline__ double variance(double squares, double off)
{
	double var = squares - off * off;
	return !(var - var == 0) ? (double)NAN : var > 0 ? var : 0;
}

static __global__ void norm_train_kernel(struct cop_norm n, const float *part, int parts, const float *weight,
					 const float *bias, float *running_mean, float *running_var,
					 struct cop_normed out)
{
	int c;
	double first, second;
	if (!add_parts(part, parts, n.c, &c, &first, &second))
		return;
	double off = first / n.count, mean = (double)running_mean[c] + off, var = variance(second / n.count, off);
	double unbiased = n.count > 1 ? var * n.count / (n.count - 1) : var;
	set_affine(out, c, mean, 1 / sqrt(var + n.epsilon), weight[c], bias[c]);
	running_mean[c] = (float)((1 - n.momentum) * (double)running_mean[c] + n.momentum * mean);
	running_var[c] = (float)((1 - n.momentum) * (double)running_var[c] + n.momentum * unbiased);
}

static __global__ void norm_evaluate_kernel(struct cop_norm n, const float *weight, const float *bias,
					    const float *running_mean, const float *running_var, struct cop_normed out)
{
	int c = (int)(blockIdx.x * blockDim.x + threadIdx.x);
	if (c < n.c)
		set_affine(out, c, (double)running_mean[c], 1 / sqrt((double)running_var[c] + n.epsilon), weight[c],
			   bias[c]);
}

static __global__ void norm_backward_kernel(struct cop_norm n, const float *part, int parts, const float *weight,
					    const float *inverse, float *dweight, float *dbias, struct cop_slopes out)
{
	int c;
	double s, t;
	if (!add_parts(part, parts, n.c, &c, &s, &t))
		return;
	double inv = (double)inverse[c], a = (double)weight[c] * inv;
	dbias[c] = (float)s;
	dweight[c] = (float)(inv * t);
	out.a[c] = (float)a;
	out.b[c] = (float)(-a * inv * inv * t / n.count);
	out.c[c] = (float)(-a * s / n.count);
}

static dim3 blocks_of(const struct cop_norm *n)
{
	return dim3((unsigned)((n->c + CHANNELS - 1) / CHANNELS));
}

cudaError_t cop_cuda_norm_train(const struct cop_launch *l, const struct cop_norm *n, const struct cop_sums *sums,
				const float *weight, const float *bias, float *running_mean, float *running_var,
				const struct cop_normed *out)
{
	return COP_LAUNCH(norm_train_kernel, blocks_of(n), dim3(CHANNELS * ROWS), 0, l->stream, *n, sums->part,
			  sums->parts, weight, bias, running_mean, running_var, *out);
}

cudaError_t cop_cuda_norm_evaluate(const struct cop_launch *l, const struct cop_norm *n, const float *weight,
				   const float *bias, const float *running_mean, const float *running_var,
				   const struct cop_normed *out)
{
	return COP_LAUNCH(norm_evaluate_kernel, dim3((unsigned)((n->c + 127) / 128)), dim3(128), 0, l->stream, *n,
			  weight, bias, running_mean, running_var, *out);
}

cudaError_t cop_cuda_norm_backward(const struct cop_launch *l, const struct cop_norm *n, const struct cop_sums *sums,
				   const float *weight, const struct cop_normed *of, float *dweight, float *dbias,
				   const struct cop_slopes *out)
{
	return COP_LAUNCH(norm_backward_kernel, blocks_of(n), dim3(CHANNELS * ROWS), 0, l->stream, *n, sums->part,
			  sums->parts, weight, of->inv, dweight, dbias, *out);
}
