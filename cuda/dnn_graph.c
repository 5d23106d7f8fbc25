/*
 * Graphs of operations, see dnn_graph.h. A fused one's shape follows the patterns in cuDNN's manual ("Graph API",
 * "Generic runtime fusion engines"): what comes before the convolution and after it lies nowhere but in registers.
 */
#include "dnn_graph.h"

#include <math.h>

enum { TENSORS = 3, OPERATIONS = 7 /* scale, shift, cut-off, convolution, bias, cut-off, sums */ };

void cop_dnn_clear(struct cop_dnn_pile *p)
{
	while (p->n > 0)
		cudnnBackendDestroyDescriptor(p->of[--p->n]);
}

cudnnStatus_t cop_dnn_make(struct cop_dnn_pile *p, cudnnBackendDescriptorType_t type, descriptor *d)
{
	cudnnStatus_t s;
	if (p->n == COP_DNN_PILE)
		return CUDNN_STATUS_BAD_PARAM_OUT_OF_BOUND;
	s = cudnnBackendCreateDescriptor(type, d);
	if (s == CUDNN_STATUS_SUCCESS)
		p->of[p->n++] = *d;
	return s;
}

void cop_dnn_set(cudnnStatus_t *s, descriptor d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
		 int64_t n, const void *values)
{
	if (*s == CUDNN_STATUS_SUCCESS)
		*s = cudnnBackendSetAttribute(d, name, type, n, values);
}

void cop_dnn_set_descriptor(cudnnStatus_t *s, descriptor d, cudnnBackendAttributeName_t name, descriptor value)
{
	cop_dnn_set(s, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

void cop_dnn_finalize(cudnnStatus_t *s, descriptor d)
{
	if (*s == CUDNN_STATUS_SUCCESS)
		*s = cudnnBackendFinalize(d);
}

/* (dims[0], dims[1], dims[2], dims[3]) as cuDNN counts them, (N,C,H,W), in memory (N,H,W,C), or nowhere. */
static cudnnStatus_t tensor(struct cop_dnn_pile *p, int64_t uid, cudnnDataType_t type, const int64_t dims[4],
			    bool nowhere, descriptor *t)
{
	int64_t strides[4] = {dims[1] * dims[2] * dims[3], 1, dims[3] * dims[1], dims[1]};
	int64_t alignment = 16;
	cudnnStatus_t s = cop_dnn_make(p, CUDNN_BACKEND_TENSOR_DESCRIPTOR, t);
	cop_dnn_set(&s, *t, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
	cop_dnn_set(&s, *t, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims);
	cop_dnn_set(&s, *t, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
	cop_dnn_set(&s, *t, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
	cop_dnn_set(&s, *t, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
	cop_dnn_set(&s, *t, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &nowhere);
	cop_dnn_finalize(&s, *t);
	return s;
}

static cudnnStatus_t convolution(struct cop_dnn_pile *p, const struct cop_conv *d, descriptor *c)
{
	cudnnDataType_t type = CUDNN_DATA_FLOAT;
	cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
	int64_t spatial = 2;
	int64_t padding[2] = {d->padding[0], d->padding[1]};
	int64_t stride[2] = {d->stride[0], d->stride[1]};
	int64_t dilation[2] = {d->dilation[0], d->dilation[1]};
	cudnnStatus_t s = cop_dnn_make(p, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, c);
	cop_dnn_set(&s, *c, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
	cop_dnn_set(&s, *c, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
	cop_dnn_set(&s, *c, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &spatial);
	cop_dnn_set(&s, *c, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, padding);
	cop_dnn_set(&s, *c, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, padding);
	cop_dnn_set(&s, *c, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, stride);
	cop_dnn_set(&s, *c, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilation);
	cop_dnn_finalize(&s, *c);
	return s;
}

/* What a way is called by cuDNN: the operation and its attributes. a, b, out: as in products.h. */
static const struct way {
	cudnnBackendDescriptorType_t operation;
	cudnnBackendAttributeName_t a, b, out, conv, alpha, beta;
} ways[] = {
	[COP_CONV_FORWARD] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
			      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
			      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
			      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
			      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
			      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
	[COP_CONV_DATA] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
			   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
			   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
			   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
			   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
			   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
	[COP_CONV_WEIGHTS] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
			      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
			      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
			      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
			      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
			      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
			      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
};

/* A convolution's operation, added to what is there where beta is 1. */
static cudnnStatus_t convolve(struct cop_dnn_pile *p, const struct cop_conv *d, const struct way *as, descriptor a,
			      descriptor b, descriptor out, float beta, descriptor *operation)
{
	descriptor conv = NULL;
	float alpha = 1;
	cudnnStatus_t s = convolution(p, d, &conv);
	if (s == CUDNN_STATUS_SUCCESS)
		s = cop_dnn_make(p, as->operation, operation);
	cop_dnn_set_descriptor(&s, *operation, as->a, a);
	cop_dnn_set_descriptor(&s, *operation, as->b, b);
	cop_dnn_set_descriptor(&s, *operation, as->out, out);
	cop_dnn_set_descriptor(&s, *operation, as->conv, conv);
	cop_dnn_set(&s, *operation, as->alpha, CUDNN_TYPE_FLOAT, 1, &alpha);
	cop_dnn_set(&s, *operation, as->beta, CUDNN_TYPE_FLOAT, 1, &beta);
	cop_dnn_finalize(&s, *operation);
	return s;
}

/* p->graph becomes that of n operations. */
static cudnnStatus_t join(struct cop_dnn_graph *p, int n, const descriptor *operation)
{
	cudnnStatus_t s = cop_dnn_make(&p->pile, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, &p->graph);
	cop_dnn_set(&s, p->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, n, operation);
	cop_dnn_finalize(&s, p->graph);
	return s;
}

cudnnStatus_t cop_dnn_graph_make(struct cop_dnn_graph *p, const struct cop_conv *d, enum cop_conv_way way, bool add)
{
	int64_t x[4] = {d->batch, d->in_c, d->in_h, d->in_w}, y[4] = {d->batch, d->out_c, d->out_h, d->out_w};
	int64_t w[4] = {d->out_c, d->in_c / d->groups, d->kernel[0], d->kernel[1]};
	const int64_t *dims[3][TENSORS] = {
		[COP_CONV_FORWARD] = {x, w, y}, [COP_CONV_DATA] = {y, w, x}, [COP_CONV_WEIGHTS] = {x, y, w}};
	descriptor t[TENSORS] = {NULL}, operation = NULL;
	cudnnStatus_t s = CUDNN_STATUS_SUCCESS;
	p->operands = TENSORS;
	for (int i = 0; i < TENSORS && s == CUDNN_STATUS_SUCCESS; i++) {
		p->uid[i] = i + 1;
		s = tensor(&p->pile, p->uid[i], p->element, dims[way][i], false, &t[i]);
	}
	if (s == CUDNN_STATUS_SUCCESS)
		s = convolve(&p->pile, d, &ways[way], t[0], t[1], t[2], add, &operation);
	return s == CUDNN_STATUS_SUCCESS ? join(p, 1, &operation) : s;
}

/* fused graphs */

/* What a fused graph is made of as it grows; the first status that is no success ends it. */
struct growth {
	struct cop_dnn_graph *p;
	cudnnStatus_t s;
	int64_t passing; /* tensors that lie nowhere */
	descriptor operation[OPERATIONS];
	int n;
};

static descriptor operand(struct growth *g, enum cop_dnn_operand which, cudnnDataType_t type, const int64_t dims[4])
{
	descriptor t = NULL;
	if (g->s != CUDNN_STATUS_SUCCESS)
		return NULL;
	g->p->uid[g->p->operands++] = which + 1;
	g->s = tensor(&g->p->pile, which + 1, type, dims, false, &t);
	return t;
}

static descriptor passing(struct growth *g, cudnnDataType_t type, const int64_t dims[4])
{
	descriptor t = NULL;
	if (g->s == CUDNN_STATUS_SUCCESS)
		g->s = tensor(&g->p->pile, COP_DNN_OPERANDS + 1 + g->passing++, type, dims, true, &t);
	return t;
}

/* to = from `mode` by; a cut-off has no `by`, but `hi`, and 0 below. */
static void pointwise(struct growth *g, cudnnPointwiseMode_t mode, descriptor from, descriptor by, double hi,
		      descriptor to)
{
	cudnnDataType_t type = CUDNN_DATA_FLOAT;
	descriptor how = NULL, *operation = &g->operation[g->n];
	double lo = 0;
	if (g->s == CUDNN_STATUS_SUCCESS)
		g->s = cop_dnn_make(&g->p->pile, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, &how);
	cop_dnn_set(&g->s, how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
	cop_dnn_set(&g->s, how, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &type);
	if (!by && hi < INFINITY) {
		cop_dnn_set(&g->s, how, CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP, CUDNN_TYPE_DOUBLE, 1, &lo);
		cop_dnn_set(&g->s, how, CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, CUDNN_TYPE_DOUBLE, 1, &hi);
	}
	cop_dnn_finalize(&g->s, how);
	if (g->s == CUDNN_STATUS_SUCCESS)
		g->s = cop_dnn_make(&g->p->pile, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, operation);
	cop_dnn_set_descriptor(&g->s, *operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how);
	cop_dnn_set_descriptor(&g->s, *operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, from);
	if (by)
		cop_dnn_set_descriptor(&g->s, *operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, by);
	cop_dnn_set_descriptor(&g->s, *operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, to);
	cop_dnn_finalize(&g->s, *operation);
	g->n++;
}

static void take_sums(struct growth *g, descriptor y, descriptor sum, descriptor square)
{
	cudnnGenStatsMode_t mode = CUDNN_GENSTATS_SUM_SQSUM;
	cudnnDataType_t type = CUDNN_DATA_FLOAT;
	descriptor *operation = &g->operation[g->n];
	if (g->s == CUDNN_STATUS_SUCCESS)
		g->s = cop_dnn_make(&g->p->pile, CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR, operation);
	cop_dnn_set(&g->s, *operation, CUDNN_ATTR_OPERATION_GENSTATS_MODE, CUDNN_TYPE_GENSTATS_MODE, 1, &mode);
	cop_dnn_set(&g->s, *operation, CUDNN_ATTR_OPERATION_GENSTATS_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &type);
	cop_dnn_set_descriptor(&g->s, *operation, CUDNN_ATTR_OPERATION_GENSTATS_XDESC, y);
	cop_dnn_set_descriptor(&g->s, *operation, CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC, sum);
	cop_dnn_set_descriptor(&g->s, *operation, CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC, square);
	cop_dnn_finalize(&g->s, *operation);
	g->n++;
}

bool cop_dnn_cuts(float lo, float hi)
{
	return lo > -INFINITY || hi < INFINITY;
}

/* What the convolution reads, from what lies in memory. */
static descriptor grow_reading(struct growth *g, const struct cop_conv *d, const struct cop_conv_fusion *f,
			       const int64_t x[4])
{
	const int64_t channels[4] = {1, d->in_c, 1, 1};
	cudnnDataType_t element = g->p->element, wide = CUDNN_DATA_FLOAT;
	descriptor raw = operand(g, COP_DNN_X, element, x), scaled, shifted, read;
	bool cut = cop_dnn_cuts(f->from, f->to);
	if (!f->read)
		return raw;
	scaled = passing(g, wide, x);
	shifted = passing(g, cut ? wide : element, x);
	pointwise(g, CUDNN_POINTWISE_MUL, raw, operand(g, COP_DNN_SCALE, wide, channels), 0, scaled);
	pointwise(g, CUDNN_POINTWISE_ADD, scaled, operand(g, COP_DNN_SHIFT, wide, channels), 0, shifted);
	if (!cut)
		return shifted;
	read = passing(g, element, x);
	pointwise(g, CUDNN_POINTWISE_RELU_FWD, shifted, NULL, (double)f->to, read);
	return read;
}

cudnnStatus_t cop_dnn_graph_fuse(struct cop_dnn_graph *p, const struct cop_conv *d, const struct cop_conv_fusion *f)
{
	const int64_t x[4] = {d->batch, d->in_c, d->in_h, d->in_w}, y[4] = {d->batch, d->out_c, d->out_h, d->out_w};
	const int64_t w[4] = {d->out_c, d->in_c / d->groups, d->kernel[0], d->kernel[1]};
	const int64_t channels[4] = {1, d->out_c, 1, 1};
	cudnnDataType_t element = p->element, wide = CUDNN_DATA_FLOAT;
	struct growth g = {.p = p, .s = CUDNN_STATUS_SUCCESS};
	bool cut = cop_dnn_cuts(f->lo, f->hi);
	descriptor read = grow_reading(&g, d, f, x), weights = operand(&g, COP_DNN_W, element, w);
	descriptor result = operand(&g, COP_DNN_Y, element, y), at = f->bias || cut ? passing(&g, wide, y) : result;
	if (g.s == CUDNN_STATUS_SUCCESS)
		g.s = convolve(&p->pile, d, &ways[COP_CONV_FORWARD], read, weights, at, 0, &g.operation[g.n++]);
	if (f->bias) {
		descriptor biased = cut ? passing(&g, wide, y) : result;
		pointwise(&g, CUDNN_POINTWISE_ADD, at, operand(&g, COP_DNN_BIAS, wide, channels), 0, biased);
		at = biased;
	}
	if (cut)
		pointwise(&g, CUDNN_POINTWISE_RELU_FWD, at, NULL, (double)f->hi, result);
	if (f->sums) {
		descriptor sum = operand(&g, COP_DNN_SUM, wide, channels),
			   square = operand(&g, COP_DNN_SQUARE, wide, channels);
		take_sums(&g, result, sum, square);
	}
	return g.s == CUDNN_STATUS_SUCCESS ? join(p, g.n, g.operation) : g.s;
}
