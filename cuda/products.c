/*
 * The plans of products.h: kept by what was asked, and divided among cuDNN and cuBLASLt. A convolution that is a
 * product of matrices is cuBLASLt's where it can. cuDNN has gradients of weights in the activations' type alone: bf16
 * ones go into the workspace first and are widened from there.
 */
#include "fail.h"
#include "kernels/kernels.h"
#include "products_priv.h"

#include <stdio.h>
#include <stdlib.h>

struct conv_key {
	struct cop_conv d; /* ld = 0 */
	enum cop_conv_way way;
	bool add;
	bool fused;
	struct cop_conv_fusion fusion; /* zeros where it is not fused */
};

struct cop_conv_plan {
	struct conv_key key;
	struct cop_dnn_plan *dnn; /* either of them; neither: a fusion that was refused */
	struct cop_lt_plan *lt;
	size_t narrow; /* numbers of the element, at the workspace's start, that are widened into the result; else 0 */
	size_t narrow_bytes;
};

struct cop_matrix_plan {
	struct cop_matrix_product key;
	struct cop_lt_plan *lt;
};

struct cop_products {
	struct cop_dnn *dnn;
	struct cop_lt *lt; /* NULL: the device is not here */
	enum cop_precision precision;
	struct cop_conv_plan **conv;
	struct cop_matrix_plan **matrix;
	size_t nconv, nmatrix;
};

/* keys */

static bool same_pair(const int a[2], const int b[2])
{
	return a[0] == b[0] && a[1] == b[1];
}

static bool same_fusion(const struct cop_conv_fusion *a, const struct cop_conv_fusion *b)
{
	return a->read == b->read && a->from == b->from && a->to == b->to && a->bias == b->bias && a->lo == b->lo &&
	       a->hi == b->hi && a->sums == b->sums;
}

static bool same_conv(const struct conv_key *a, const struct conv_key *b)
{
	const struct cop_conv *x = &a->d, *y = &b->d;
	return a->way == b->way && a->add == b->add && a->fused == b->fused && same_fusion(&a->fusion, &b->fusion) &&
	       x->in_c == y->in_c && x->in_h == y->in_h && x->in_w == y->in_w && x->out_c == y->out_c &&
	       x->out_h == y->out_h && x->out_w == y->out_w && same_pair(x->kernel, y->kernel) &&
	       same_pair(x->stride, y->stride) && same_pair(x->padding, y->padding) &&
	       same_pair(x->dilation, y->dilation) && x->groups == y->groups && x->batch == y->batch;
}

static bool same_matrix(const struct cop_matrix_product *a, const struct cop_matrix_product *b)
{
	return a->m == b->m && a->n == b->n && a->k == b->k && a->a_turned == b->a_turned &&
	       a->b_turned == b->b_turned && a->add == b->add && a->bias == b->bias && a->relu == b->relu &&
	       a->wide == b->wide;
}

/* Room for one more at the end of `list` (n pointers); NULL where there is none. Grows by doubling. */
static void *room_for_one(void *list, size_t n)
{
	return n & (n - 1) ? list : realloc(list, (n ? 2 * n : 1) * sizeof(void *));
}

/* convolutions */

static bool is_product(const struct cop_conv *d)
{
	return d->kernel[0] == 1 && d->kernel[1] == 1 && d->groups == 1 && d->stride[0] == 1 && d->stride[1] == 1 &&
	       !d->padding[0] && !d->padding[1];
}

/* As for linear layers, see products.h: a pixel is a row. */
static struct cop_matrix_product product_of(const struct conv_key *key)
{
	const struct cop_conv *d = &key->d;
	int64_t pixels = (int64_t)d->batch * d->out_h * d->out_w;
	switch (key->way) {
	case COP_CONV_FORWARD:
		return (struct cop_matrix_product){
			.m = pixels, .n = d->out_c, .k = d->in_c, .b_turned = true, .add = key->add};
	case COP_CONV_DATA:
		return (struct cop_matrix_product){.m = pixels, .n = d->in_c, .k = d->out_c, .add = key->add};
	default: /* a = x and b = dy change places */
		return (struct cop_matrix_product){
			.m = d->out_c, .n = d->in_c, .k = pixels, .a_turned = true, .add = key->add, .wide = true};
	}
}

static int plan_by_cudnn(struct cop_products *p, struct cop_conv_plan *plan, struct cop_err *err)
{
	const struct cop_conv *d = &plan->key.d;
	bool widen = plan->key.way == COP_CONV_WEIGHTS && p->precision == COP_BF16;
	if (widen) {
		plan->narrow = (size_t)d->out_c * (size_t)(d->in_c / d->groups) * (size_t)d->kernel[0] *
			       (size_t)d->kernel[1];
		plan->narrow_bytes = (2 * plan->narrow + 255) & ~(size_t)255;
	}
	return cop_dnn_plan(p->dnn, d, plan->key.way, plan->key.add && !widen, &plan->dnn, err);
}

static int make_conv(struct cop_products *p, struct cop_conv_plan *plan, struct cop_err *err)
{
	if (p->lt && is_product(&plan->key.d)) {
		struct cop_matrix_product product = product_of(&plan->key);
		int rc = cop_lt_plan(p->lt, &product, &plan->lt, err);
		if (rc != COP_EMISSING)
			return rc;
	}
	return plan_by_cudnn(p, plan, err);
}

/* A refused fusion is a plan without an engine. */
static int make_fused(struct cop_products *p, struct cop_conv_plan *plan, struct cop_err *err)
{
	int rc = cop_dnn_plan_fused(p->dnn, &plan->key.d, &plan->key.fusion, &plan->dnn, err);
	return rc == COP_EMISSING ? 0 : rc;
}

/* The plan of a key that is kept, or is now made. */
static int find_conv(struct cop_products *p, const struct conv_key *key, const struct cop_conv_plan **plan,
		     struct cop_err *err)
{
	struct cop_conv_plan *made, **list;
	int rc;
	for (size_t i = 0; i < p->nconv; i++)
		if (same_conv(&p->conv[i]->key, key)) {
			*plan = p->conv[i];
			return 0;
		}
	list = room_for_one(p->conv, p->nconv);
	if (!list)
		return cop_cuda_fail(err, COP_EFAILED, "out of memory");
	p->conv = list;
	made = calloc(1, sizeof(*made));
	if (!made)
		return cop_cuda_fail(err, COP_EFAILED, "out of memory");
	made->key = *key;
	rc = key->fused ? make_fused(p, made, err) : make_conv(p, made, err);
	if (rc) {
		free(made);
		return rc;
	}
	p->conv[p->nconv++] = made;
	*plan = made;
	return 0;
}

int cop_conv_plan(struct cop_products *p, const struct cop_conv *d, enum cop_conv_way way, bool add,
		  const struct cop_conv_plan **plan, struct cop_err *err)
{
	struct conv_key key = {.d = *d, .way = way, .add = add};
	key.d.ld = 0;
	return find_conv(p, &key, plan, err);
}

int cop_conv_plan_fused(struct cop_products *p, const struct cop_conv *d, const struct cop_conv_fusion *f,
			const struct cop_conv_plan **plan, struct cop_err *err)
{
	struct conv_key key = {.d = *d, .way = COP_CONV_FORWARD, .fused = true, .fusion = *f};
	const struct cop_conv_plan *found;
	int rc;
	key.d.ld = 0;
	rc = find_conv(p, &key, &found, err);
	if (rc)
		return rc;
	if (!found->dnn)
		return cop_cuda_fail(err, COP_EMISSING, "no engine does all of a convolution and what is around it");
	*plan = found;
	return 0;
}

size_t cop_conv_plan_space(const struct cop_conv_plan *plan)
{
	return plan->lt ? cop_lt_plan_space(plan->lt) : plan->narrow_bytes + cop_dnn_plan_space(plan->dnn);
}

const char *cop_conv_plan_about(const struct cop_conv_plan *plan)
{
	return plan->lt ? cop_lt_plan_about(plan->lt) : cop_dnn_plan_about(plan->dnn);
}

/* The gradient of the weights into the workspace, then widened. */
static int run_widened(const struct cop_conv_plan *plan, cudaStream_t stream, const void *a, const void *b, void *out,
		       void *space, struct cop_err *err)
{
	struct cop_launch l = {.stream = stream, .element = COP_ELEMENT_BF16};
	cudaError_t e;
	int rc = cop_dnn_run(plan->dnn, stream, a, b, space, (char *)space + plan->narrow_bytes, err);
	if (rc)
		return rc;
	e = cop_cuda_widen(&l, plan->narrow, space, plan->key.add, out);
	if (e == cudaSuccess)
		return 0;
	return cop_cuda_fail(err, COP_EFAILED, "the GPU cannot widen gradients: %s (%s)", cudaGetErrorString(e),
			     cudaGetErrorName(e));
}

int cop_conv_run(const struct cop_conv_plan *plan, cudaStream_t stream, const void *a, const void *b, void *out,
		 void *space, struct cop_err *err)
{
	if (plan->lt && plan->key.way == COP_CONV_WEIGHTS)
		return cop_lt_run(plan->lt, stream, b, a, NULL, out, space, err);
	if (plan->lt)
		return cop_lt_run(plan->lt, stream, a, b, NULL, out, space, err);
	if (plan->narrow)
		return run_widened(plan, stream, a, b, out, space, err);
	return cop_dnn_run(plan->dnn, stream, a, b, out, space, err);
}

int cop_conv_run_fused(const struct cop_conv_plan *plan, cudaStream_t stream, const struct cop_conv_operands *o,
		       void *space, struct cop_err *err)
{
	return cop_dnn_run_fused(plan->dnn, stream, o, space, err);
}

/* products of matrices */

int cop_matrix_plan(struct cop_products *p, const struct cop_matrix_product *d, const struct cop_matrix_plan **plan,
		    struct cop_err *err)
{
	struct cop_matrix_plan *made, **list;
	int rc;
	if (!p->lt)
		return cop_cuda_fail(err, COP_EMISSING, "cuBLASLt plans nothing for a device that is not here");
	for (size_t i = 0; i < p->nmatrix; i++)
		if (same_matrix(&p->matrix[i]->key, d)) {
			*plan = p->matrix[i];
			return 0;
		}
	list = room_for_one(p->matrix, p->nmatrix);
	if (!list)
		return cop_cuda_fail(err, COP_EFAILED, "out of memory");
	p->matrix = list;
	made = calloc(1, sizeof(*made));
	if (!made)
		return cop_cuda_fail(err, COP_EFAILED, "out of memory");
	made->key = *d;
	rc = cop_lt_plan(p->lt, d, &made->lt, err);
	if (rc) {
		free(made);
		return rc;
	}
	p->matrix[p->nmatrix++] = made;
	*plan = made;
	return 0;
}

size_t cop_matrix_plan_space(const struct cop_matrix_plan *plan)
{
	return cop_lt_plan_space(plan->lt);
}

const char *cop_matrix_plan_about(const struct cop_matrix_plan *plan)
{
	return cop_lt_plan_about(plan->lt);
}

int cop_matrix_run(const struct cop_matrix_plan *plan, cudaStream_t stream, const void *a, const void *b,
		   const void *bias, void *c, void *space, struct cop_err *err)
{
	return cop_lt_run(plan->lt, stream, a, b, bias, c, space, err);
}

/* both libraries */

int cop_products_check(struct cop_err *err)
{
	return cop_dnn_check(err); /* cuBLASLt's series is in the name by which the loader finds it */
}

int cop_products_open(const struct cop_products_choice *c, struct cop_products **products, struct cop_err *err)
{
	struct cop_products *p = calloc(1, sizeof(*p));
	int rc;
	if (!p)
		return cop_cuda_fail(err, COP_EFAILED, "out of memory");
	p->precision = c->precision;
	rc = cop_dnn_open(c, &p->dnn, err);
	if (!rc && !c->absent)
		rc = cop_lt_open(c, &p->lt, err);
	if (rc) {
		cop_products_close(p);
		return rc;
	}
	*products = p;
	return 0;
}

void cop_products_close(struct cop_products *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->nconv; i++) {
		cop_dnn_plan_free(p->conv[i]->dnn);
		cop_lt_plan_free(p->conv[i]->lt);
		free(p->conv[i]);
	}
	for (size_t i = 0; i < p->nmatrix; i++) {
		cop_lt_plan_free(p->matrix[i]->lt);
		free(p->matrix[i]);
	}
	free(p->conv);
	free(p->matrix);
	cop_lt_close(p->lt);
	cop_dnn_close(p->dnn);
	free(p);
}

const char *cop_products_libraries(char *buf, size_t size)
{
	char dnn[32], lt[32];
	snprintf(buf, size, "%s, %s", cop_dnn_version(dnn, sizeof(dnn)), cop_lt_version(lt, sizeof(lt)));
	return buf;
}
