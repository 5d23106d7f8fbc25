/*
 * Convolutions and products by the vendor's libraries: what cuda/table.c asks of cuDNN and cuBLASLt, and no more.
 * cuda/products.c, cudnn.c and cublas.c do it on a device; tests/cuda/products.cpp does it on the host with plain
 * loops, put into the queue of the runtime that stands in for CUDA's.
 *
 * Numbers are of the opened object's element: float (fp32 and tf32), or bf16 with sums in float. Activations are
 * (N,H,W,C) with the channels innermost, weights (out_c, kernel height, kernel width, in_c/groups) of the element;
 * gradients of weights are float always. All pointers are to the device's memory, aligned to 16 bytes.
 *
 * A plan is made once, outside of a recording, and may take a second; it belongs to the object that made it, which
 * gives the same one for the same question. Running a plan allocates nothing, waits for nothing and may be recorded.
 * One thread at a time uses an object and its plans; the device that was current when it was opened must be current.
 */
#ifndef COP_CUDA_PRODUCTS_H
#define COP_CUDA_PRODUCTS_H

#include "base/err.h"
#include "compute/backend.h"

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct cop_products;
struct cop_conv_plan;
struct cop_matrix_plan;

struct cop_products_choice {
	enum cop_precision precision; /* fp32: no TF32, no narrower product; tf32; bf16 */
	bool deterministic;           /* the same bits from run to run */
	size_t space;                 /* the most bytes of workspace that a plan may want */
	/*
	 * cuDNN's plans can be made for a device that is not here, but not run: its properties as cuDNN writes them
	 * down. Products of matrices have no plans then. NULL: the current device.
	 */
	const char *absent;
};

int cop_products_open(const struct cop_products_choice *c, struct cop_products **p, struct cop_err *err) COP_CHECKED;
void cop_products_close(struct cop_products *p); /* NULL: nothing is done */

/* COP_EMISSING where a library that was found is too old, or of another series. Needs no device. */
int cop_products_check(struct cop_err *err) COP_CHECKED;

/* "cuDNN 9.19.0, cuBLASLt 13.0.2" into buf; returns buf. Needs no device. */
const char *cop_products_libraries(char *buf, size_t size);

/*
 * What a convolution's plan computes from its operands a and b:
 * FORWARD y (N,out_h,out_w,out_c) from a = x (N,in_h,in_w,in_c) and b = w;
 * DATA    dx (N,in_h,in_w,in_c) from a = dy (N,out_h,out_w,out_c) and b = w;
 * WEIGHTS dw (out_c,kh,kw,in_c/groups), float, from a = x and b = dy.
 */
enum cop_conv_way { COP_CONV_FORWARD, COP_CONV_DATA, COP_CONV_WEIGHTS };

/*
 * The plan of a convolution; d->ld is not looked at. `add`: the result is added to what lies there. A convolution that
 * is a product of matrices (1x1, one group, stride 1, no padding) becomes one. COP_EMISSING, with its shape, where no
 * engine of the library does it within the rules of the choice.
 */
int cop_conv_plan(struct cop_products *p, const struct cop_conv *d, enum cop_conv_way way, bool add,
		  const struct cop_conv_plan **plan, struct cop_err *err) COP_CHECKED;

/*
 * What else a forward convolution does while it has the numbers at hand. An output that is added to or cut off is
 * rounded once, at the end; what is read is rounded to the element, as if it had been written.
 */
struct cop_conv_fusion {
	bool read;      /* of x, min(max(scale[c] x + shift[c], from), to) is read; padding stays 0 */
	float from, to; /* -INFINITY and INFINITY, or 0 and what is above 0 */
	bool bias;      /* y += bias[c] */
	float lo, hi;   /* y is cut off; as from and to */
	bool sums;      /* sum[c] and square[c] become the sums of y and of its square */
};

/*
 * The plan of a fused forward convolution. COP_EMISSING where no engine on tensor cores does all of it: so always in
 * fp32; a refusal is kept as plans are. Which numbers the sums are taken of, those stored or those before they were
 * rounded, is the engine's affair. Cutting off may put NaN to a bound.
 */
int cop_conv_plan_fused(struct cop_products *p, const struct cop_conv *d, const struct cop_conv_fusion *f,
			const struct cop_conv_plan **plan, struct cop_err *err) COP_CHECKED;

/* Channels' numbers are float; those that the fusion does not speak of are not looked at. */
struct cop_conv_operands {
	const void *x, *w;
	void *y;
	const float *scale, *shift; /* (in_c) */
	const float *bias;          /* (out_c) */
	float *sum, *square;        /* (out_c) */
};

/* As cop_conv_run(), for plans of cop_conv_plan_fused(). */
int cop_conv_run_fused(const struct cop_conv_plan *plan, cudaStream_t stream, const struct cop_conv_operands *o,
		       void *space, struct cop_err *err) COP_CHECKED;

/* Bytes of workspace, and how it is done ("cuDNN engine 38", "cuBLASLt algorithm 66") for the curious. */
size_t cop_conv_plan_space(const struct cop_conv_plan *plan);
const char *cop_conv_plan_about(const struct cop_conv_plan *plan);

/* Puts it into `stream`; `space` is what the plan wants (NULL where it wants none) and holds nothing between calls. */
int cop_conv_run(const struct cop_conv_plan *plan, cudaStream_t stream, const void *a, const void *b, void *out,
		 void *space, struct cop_err *err) COP_CHECKED;

/*
 * A product of row-major matrices: c (m,n) [+]= a (m,k) b (k,n) [+ bias (n)], then max(c, 0) with relu. a_turned: a
 * lies as (k,m); b_turned: b lies as (n,k). The bias is of the element; c is of the element, or float with `wide`.
 * With `add` or `wide` there is neither bias nor relu.
 *
 * A linear layer with w (out,in) and a batch of x (N,in):
 * forward y (N,out) = x w^T + b:  m = N, n = out, k = in, a = x, b = w, b_turned, bias, relu;
 * data    dx (N,in) [+]= dy w:    m = N, n = in, k = out, a = dy, b = w, add;
 * weights dw (out,in) = dy^T x:   m = out, n = in, k = N, a = dy, a_turned, b = x, wide.
 */
struct cop_matrix_product {
	int64_t m, n, k;
	bool a_turned, b_turned, add, bias, relu, wide;
};

/* As for convolutions. */
int cop_matrix_plan(struct cop_products *p, const struct cop_matrix_product *d, const struct cop_matrix_plan **plan,
		    struct cop_err *err) COP_CHECKED;
size_t cop_matrix_plan_space(const struct cop_matrix_plan *plan);
const char *cop_matrix_plan_about(const struct cop_matrix_plan *plan);
/* `bias` is not looked at where the plan has none. */
int cop_matrix_run(const struct cop_matrix_plan *plan, cudaStream_t stream, const void *a, const void *b,
		   const void *bias, void *c, void *space, struct cop_err *err) COP_CHECKED;

#ifdef __cplusplus
}
#endif

#endif
