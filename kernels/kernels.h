/*
 * The CUDA kernels' launchers: each puts its kernels into l->stream and returns what the launch returned. What each
 * does is what the slot of the same name in compute/backend.h says, with these differences:
 *
 * Activations and their gradients are (N,H,W,C) with the channels innermost, of l->element; logits and what linear
 * layers read are (N,features). `ld` is the batch. Weights, statistics, sums and the gradients of weights are float.
 * A depthwise convolution's weights are (kernel height, kernel width, C). All pointers, those inside of structs too,
 * are to the device's memory; the structs themselves are the caller's and are read before the launcher returns.
 *
 * Sums have the same bits from run to run: blocks write partial sums, which are added up in a fixed order.
 */
#ifndef COP_KERNELS_H
#define COP_KERNELS_H

#include "compute/backend.h"

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

enum cop_element { COP_ELEMENT_F32, COP_ELEMENT_BF16 };

struct cop_launch {
	cudaStream_t stream;
	enum cop_element element;
};

enum { COP_CUDA_PARTS = 512 /* the most blocks that sums are taken over */ };

/* gather.cu: x (batch,H,W,C) from n <= batch picks; images from n on become 0. */
cudaError_t cop_cuda_gather(const struct cop_launch *l, const struct cop_image_source *s, const struct cop_pick *pick,
			    int n, int batch, void *x);

/* elementwise.cu */
/* y = x as it is read (copy, and what cuDNN is to read). */
cudaError_t cop_cuda_copy(const struct cop_launch *l, const struct cop_shape *s, const struct cop_activation *x,
			  void *y);
cudaError_t cop_cuda_add(const struct cop_launch *l, const struct cop_shape *s, const struct cop_activation *a,
			 const struct cop_activation *b, float lo, float hi, void *y);
/* y [+]= bias (C; NULL: none), cut off to lo..hi. */
cudaError_t cop_cuda_bias(const struct cop_launch *l, const struct cop_shape *s, const float *bias, float lo, float hi,
			  void *y);
/* out = the gradient of the raw value: slope->a NULL: d->g as it is. `out` may be d->g. */
cudaError_t cop_cuda_slope(const struct cop_launch *l, const struct cop_shape *s, const struct cop_gradient *d,
			   void *out);
/* to->g [+]= g; then what completes it (see struct cop_sink), its sums with it. to->g may be g. */
cudaError_t cop_cuda_pass(const struct cop_launch *l, const struct cop_shape *s, const void *g,
			  const struct cop_sink *to);
cudaError_t cop_cuda_flatten(const struct cop_launch *l, const struct cop_shape *s, const struct cop_activation *x,
			     void *y); /* y (N, C*H*W), features in the order (C,H,W) */
cudaError_t cop_cuda_flatten_backward(const struct cop_launch *l, const struct cop_shape *s, const void *dy,
				      const struct cop_sink *dx);
cudaError_t cop_cuda_dropout(const struct cop_launch *l, const struct cop_shape *s, const struct cop_drop *d,
			     const struct cop_activation *x, void *y);
cudaError_t cop_cuda_dropout_backward(const struct cop_launch *l, const struct cop_shape *s, const struct cop_drop *d,
				      void *dy, const struct cop_sink *dx);

/* norm.cu: sums->parts is set by who fills it, COP_CUDA_PARTS at most. */
cudaError_t cop_cuda_moments(const struct cop_launch *l, const struct cop_shape *s, const void *y, const float *about,
			     struct cop_sums *sums);
/* The same from sums of y (c) and of its square (c) over `count` numbers, in one part. */
cudaError_t cop_cuda_sums_about(const struct cop_launch *l, int c, double count, const float *sum, const float *square,
				const float *about, struct cop_sums *sums);
cudaError_t cop_cuda_norm_train(const struct cop_launch *l, const struct cop_norm *n, const struct cop_sums *sums,
				const float *weight, const float *bias, float *running_mean, float *running_var,
				const struct cop_normed *out);
cudaError_t cop_cuda_norm_evaluate(const struct cop_launch *l, const struct cop_norm *n, const float *weight,
				   const float *bias, const float *running_mean, const float *running_var,
				   const struct cop_normed *out);
cudaError_t cop_cuda_norm_backward(const struct cop_launch *l, const struct cop_norm *n, const struct cop_sums *sums,
				   const float *weight, const struct cop_normed *of, float *dweight, float *dbias,
				   const struct cop_slopes *out);

/* pool.cu */
cudaError_t cop_cuda_pool(const struct cop_launch *l, const struct cop_pool *p, const struct cop_activation *x,
			  void *y);
cudaError_t cop_cuda_pool_backward(const struct cop_launch *l, const struct cop_pool *p, const struct cop_activation *x,
				   const void *dy, const struct cop_sink *dx);
cudaError_t cop_cuda_global_pool(const struct cop_launch *l, const struct cop_shape *in, const struct cop_activation *x,
				 void *y);
cudaError_t cop_cuda_global_pool_backward(const struct cop_launch *l, const struct cop_shape *in, const void *dy,
					  const struct cop_sink *dx);

/* depthwise.cu: groups == in_c == out_c. space: cop_cuda_depthwise_space() floats, for backward alone. */
size_t cop_cuda_depthwise_space(const struct cop_conv *d);
cudaError_t cop_cuda_depthwise_forward(const struct cop_launch *l, const struct cop_conv *d,
				       const struct cop_activation *x, const float *w, const struct cop_output *out);
/* dw, db (NULL: none), dx (NULL: not wanted). */
cudaError_t cop_cuda_depthwise_backward(const struct cop_launch *l, const struct cop_conv *d,
					const struct cop_gradient *dy, const struct cop_activation *x, const float *w,
					const struct cop_sink *dx, float *dw, float *db, float *space);

/* loss.cu: adds to *loss; space: batch * 2 doubles. */
cudaError_t cop_cuda_softmax_xent(const struct cop_launch *l, int classes, int batch, const void *logits,
				  const int32_t *label, void *dy, struct cop_loss *loss, double *space);
/* sum (columns) of y (rows, columns), in a fixed order; space: COP_CUDA_PARTS * columns floats. */
cudaError_t cop_cuda_column_sums(const struct cop_launch *l, int rows, int columns, const void *y, float *sum,
				 float *space);

/* update.cu: mask as bits, NULL: all kept. */
cudaError_t cop_cuda_sgd(const struct cop_launch *l, const struct cop_sgd *o, const struct cop_dials *dials, size_t n,
			 const float *g, const uint8_t *mask, float *w, float *v);
cudaError_t cop_cuda_adam(const struct cop_launch *l, const struct cop_adam *o, const struct cop_dials *dials, size_t n,
			  const float *g, const uint8_t *mask, float *w, float *m, float *v);
/* to (n) of l->element = from (n) floats, rounded to nearest even. */
cudaError_t cop_cuda_narrow(const struct cop_launch *l, size_t n, const float *from, void *to);
/* dx of l->element where x > 0, else 0 (the gradient of a ReLU, given its value). */
cudaError_t cop_cuda_cut(const struct cop_launch *l, size_t n, const void *x, void *dx);
/* g (n) = the sum of part[rank] (n) in the ranks' order; `part` itself is the caller's. g may be one of them. */
enum { COP_CUDA_GROUP = 16 /* the most ranks */ };
cudaError_t cop_cuda_add_ranks(const struct cop_launch *l, size_t n, int ranks, const float *const *part, float *g);

/* widen.cu: to (n) [+]= from (n) of l->element. */
cudaError_t cop_cuda_widen(const struct cop_launch *l, size_t n, const void *from, bool add, float *to);

/*
 * select.cu: exact order statistics of magnitudes by radix histograms. rank (nranks, increasing, 0-based; one
 * beyond n is the last's) of |x| among those of `n` > 0 floats; out (nranks) becomes the magnitudes' bits. count
 * (nranks): how many are smaller than it. NaN counts as larger than all else, and NaNs are ordered by their bits.
 * space: cop_cuda_select_space(nranks) bytes. nranks up to COP_CUDA_RANKS.
 */
enum { COP_CUDA_RANKS = 64 };
size_t cop_cuda_select_space(int nranks);
cudaError_t cop_cuda_select(const struct cop_launch *l, size_t n, const float *x, int nranks, const uint64_t *rank,
			    uint32_t *out, uint64_t *count, void *space);
/* How many of the n bits from bit `from` on are 1, added up into *count (which is set). */
cudaError_t cop_cuda_count_bits(const struct cop_launch *l, const uint8_t *bits, size_t from, size_t n,
				uint64_t *count);

#ifdef __cplusplus
}
#endif

#endif
