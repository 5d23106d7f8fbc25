/* The loss with its gradient, and sums over the rows of a matrix. */
#include "device.h"

enum { THREADS = 256, WARPS = THREADS / COP_WARP };

/*
 * Softmax cross-entropy, an image to a warp, the lanes taking its classes in turn. The exponentials are in double, as
 * the CPU's: a net's last layer is small. Logits and gradient (batch, classes); part (batch, 2): an image's loss, and
 * its rank (0: the label's logit is the largest). The logits are read three times, twice of them from the cache, and
 * dy, which may be NULL, is written once.
 */
template <class T>
static __global__ void softmax_xent(int classes, int batch, const T *logits, const int32_t *label, T *dy, double *part)
{
	int lane = (int)threadIdx.x % COP_WARP;
	int image = (int)(blockIdx.x * WARPS + threadIdx.x / COP_WARP);

	if (image >= batch)
		return;
	const T *row = logits + (size_t)image * (size_t)classes;
	int own = label[image], rank = 0;
	float mine = to_float(row[own]), top = mine;
	for (int k = lane; k < classes; k += COP_WARP) {
		float v = to_float(row[k]);
		/* NaN is above all else: a diverged network must be seen */
		top = v > top || isnan(v) ? v : top;
		rank += v > mine || (v == mine && k < own) || isnan(v);
	}
#pragma unroll
	for (int apart = COP_WARP / 2; apart > 0; apart /= 2) {
		float other = __shfl_xor_sync(COP_ALL_LANES, top, apart);
		top = other > top || isnan(other) ? other : top;
	}
	rank = warp_sum(rank);
	double sum = 0;
	for (int k = lane; k < classes; k += COP_WARP)
		sum += exp((double)(to_float(row[k]) - top));
	sum = warp_sum(sum);
	if (lane == 0) {
		part[2 * image] = log(sum) - (double)(mine - top);
		part[2 * image + 1] = rank;
	}
	if (!dy)
		return;
	float scale = 1.0f / (float)batch;
	dy += (size_t)image * (size_t)classes;
	for (int k = lane; k < classes; k += COP_WARP) {
		double p = exp((double)(to_float(row[k]) - top)) / sum;
		dy[k] = from_float<T>((float)(p - (k == own)) * scale);
	}
}

/* *loss += what part (batch, 2) has, by one block: its threads take images in turn, and their sums are added up. */
static __global__ void add_losses(int batch, const double *part, struct cop_loss *loss)
{
	double sum = 0;
	int top1 = 0, top5 = 0;

	for (int i = (int)threadIdx.x; i < batch; i += (int)blockDim.x) {
		sum += part[2 * i];
		top1 += part[2 * i + 1] < 1;
		top5 += part[2 * i + 1] < 5;
	}
	sum = block_sum(sum);
	top1 = block_sum(top1);
	top5 = block_sum(top5);
	if (threadIdx.x > 0)
		return;
	loss->loss += sum;
	loss->top1 += top1;
	loss->top5 += top5;
	loss->images += batch;
}

template <class T>
static cudaError_t launch_xent(const struct cop_launch *l, int classes, int batch, const void *logits,
			       const int32_t *label, void *dy, double *part)
{
	return COP_LAUNCH(softmax_xent<T>, ceil_div(batch, (int)WARPS), THREADS, 0, l->stream, classes, batch,
			  (const T *)logits, label, (T *)dy, part);
}

cudaError_t cop_cuda_softmax_xent(const struct cop_launch *l, int classes, int batch, const void *logits,
				  const int32_t *label, void *dy, struct cop_loss *loss, double *space)
{
	cudaError_t error = l->element == COP_ELEMENT_BF16
				    ? launch_xent<__nv_bfloat16>(l, classes, batch, logits, label, dy, space)
				    : launch_xent<float>(l, classes, batch, logits, label, dy, space);
	if (error)
		return error;
	return COP_LAUNCH(add_losses, 1, THREADS, 0, l->stream, batch, space, loss);
}

/*
 * out (parts, columns): the sums of y (rows, columns) over every parts-th group of WARPS rows. A block takes 32
 * columns, a warp a row of them at a time, and the warps' sums are added in order. Reads y once; x of the grid: the
 * parts, which may be many, y: the columns.
 */
template <class T> static __global__ void column_sums(int rows, int columns, const T *y, float *out)
{
	__shared__ float sums[WARPS][COP_WARP];
	int lane = (int)threadIdx.x % COP_WARP, warp = (int)threadIdx.x / COP_WARP;
	int column = (int)blockIdx.y * COP_WARP + lane;
	size_t step = (size_t)gridDim.x * WARPS;
	float sum = 0.0f;

	if (column < columns) {
#pragma unroll 4
		for (size_t r = (size_t)blockIdx.x * WARPS + (size_t)warp; r < (size_t)rows; r += step)
			sum += to_float(y[r * (size_t)columns + (size_t)column]);
	}
	sums[warp][lane] = sum;
	__syncthreads();
	if (warp > 0 || column >= columns)
		return;
	for (int w = 1; w < WARPS; w++)
		sum += sums[w][lane];
	out[(size_t)blockIdx.x * (size_t)columns + (size_t)column] = sum;
}

template <class T>
static cudaError_t launch_sums(const struct cop_launch *l, int rows, int columns, int parts, const void *y, float *out)
{
	dim3 grid((unsigned)parts, (unsigned)ceil_div(columns, (int)COP_WARP));
	return COP_LAUNCH(column_sums<T>, grid, THREADS, 0, l->stream, rows, columns, (const T *)y, out);
}

cudaError_t cop_cuda_column_sums(const struct cop_launch *l, int rows, int columns, const void *y, float *sum,
				 float *space)
{
	enum { ROWS = 16 * WARPS /* enough for a block of its own */ };
	int parts = ceil_div(rows, (int)ROWS);
	cudaError_t error;

	if (rows < 1 || columns < 1)
		return cudaErrorInvalidValue;
	parts = parts < COP_CUDA_PARTS ? parts : COP_CUDA_PARTS;
	float *out = parts > 1 ? space : sum;
	error = l->element == COP_ELEMENT_BF16 ? launch_sums<__nv_bfloat16>(l, rows, columns, parts, y, out)
					       : launch_sums<float>(l, rows, columns, parts, y, out);
	return error || parts == 1 ? error : launch_sums<float>(l, parts, columns, 1, space, sum);
}
