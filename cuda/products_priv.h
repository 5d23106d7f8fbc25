/*
 * What cuDNN (cudnn.c) and cuBLASLt (cublas.c) each do of products.h. Functions return what those of products.h do.
 * Not for other folders.
 */
#ifndef COP_CUDA_PRODUCTS_PRIV_H
#define COP_CUDA_PRODUCTS_PRIV_H

#include "products.h"

enum { COP_PRODUCTS_ABOUT = 64 };

/* Its weights' gradients are of the element, and cannot be added to what is there if that is narrower than float. */
struct cop_dnn;
struct cop_dnn_plan;
int cop_dnn_open(const struct cop_products_choice *c, struct cop_dnn **d, struct cop_err *err) COP_CHECKED;
void cop_dnn_close(struct cop_dnn *d);
int cop_dnn_plan(struct cop_dnn *d, const struct cop_conv *conv, enum cop_conv_way way, bool add,
		 struct cop_dnn_plan **plan, struct cop_err *err) COP_CHECKED;
int cop_dnn_plan_fused(struct cop_dnn *d, const struct cop_conv *conv, const struct cop_conv_fusion *f,
		       struct cop_dnn_plan **plan, struct cop_err *err) COP_CHECKED;
void cop_dnn_plan_free(struct cop_dnn_plan *plan);
size_t cop_dnn_plan_space(const struct cop_dnn_plan *plan);
const char *cop_dnn_plan_about(const struct cop_dnn_plan *plan);
int cop_dnn_run(const struct cop_dnn_plan *plan, cudaStream_t stream, const void *a, const void *b, void *out,
		void *space, struct cop_err *err) COP_CHECKED;
int cop_dnn_run_fused(const struct cop_dnn_plan *plan, cudaStream_t stream, const struct cop_conv_operands *o,
		      void *space, struct cop_err *err) COP_CHECKED;

struct cop_lt;
struct cop_lt_plan;
int cop_lt_open(const struct cop_products_choice *c, struct cop_lt **l, struct cop_err *err) COP_CHECKED;
void cop_lt_close(struct cop_lt *l);
int cop_lt_plan(struct cop_lt *l, const struct cop_matrix_product *d, struct cop_lt_plan **plan, struct cop_err *err)
	COP_CHECKED;
void cop_lt_plan_free(struct cop_lt_plan *plan);
size_t cop_lt_plan_space(const struct cop_lt_plan *plan);
const char *cop_lt_plan_about(const struct cop_lt_plan *plan);
int cop_lt_run(const struct cop_lt_plan *plan, cudaStream_t stream, const void *a, const void *b, const void *bias,
	       void *c, void *space, struct cop_err *err) COP_CHECKED;

int cop_dnn_check(struct cop_err *err) COP_CHECKED;

/* "cuDNN 9.19.0" and "cuBLASLt 13.0.2" into buf; return buf. */
const char *cop_dnn_version(char *buf, size_t size);
const char *cop_lt_version(char *buf, size_t size);

#endif
