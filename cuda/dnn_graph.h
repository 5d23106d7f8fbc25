/* Descriptors of cuDNN's, and graphs of operations made of them, for cudnn.c alone. */
#ifndef COP_CUDA_DNN_GRAPH_H
#define COP_CUDA_DNN_GRAPH_H

#include "products.h"

#include <cudnn.h>

typedef cudnnBackendDescriptor_t descriptor;

/* Descriptors that live and die together. */
enum { COP_DNN_PILE = 40 };
struct cop_dnn_pile {
	descriptor of[COP_DNN_PILE];
	int n;
};

void cop_dnn_clear(struct cop_dnn_pile *p);
/* *d becomes a new descriptor of the pile's. */
cudnnStatus_t cop_dnn_make(struct cop_dnn_pile *p, cudnnBackendDescriptorType_t type, descriptor *d);

/* Attributes are set until one fails; `*s` says which status came of it. */
void cop_dnn_set(cudnnStatus_t *s, descriptor d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
		 int64_t n, const void *values);
void cop_dnn_set_descriptor(cudnnStatus_t *s, descriptor d, cudnnBackendAttributeName_t name, descriptor value);
void cop_dnn_finalize(cudnnStatus_t *s, descriptor d);

/* The operands of a fused graph, by their unique ids less 1; those of what lies in no memory come after. */
enum cop_dnn_operand {
	COP_DNN_X,
	COP_DNN_W,
	COP_DNN_Y,
	COP_DNN_SCALE,
	COP_DNN_SHIFT,
	COP_DNN_BIAS,
	COP_DNN_SUM,
	COP_DNN_SQUARE,
	COP_DNN_OPERANDS
};

/* Starts as zeros but for its element; whoever has it clears the pile. */
struct cop_dnn_graph {
	cudnnDataType_t element;
	struct cop_dnn_pile pile;
	descriptor graph;
	int64_t uid[COP_DNN_OPERANDS]; /* 1, 2, 3 of a, b, out; or of those operands that a fusion has */
	int operands;
};

/* One convolution, added to what is there or not; a convolution and what goes with it. */
cudnnStatus_t cop_dnn_graph_make(struct cop_dnn_graph *p, const struct cop_conv *d, enum cop_conv_way way, bool add);
cudnnStatus_t cop_dnn_graph_fuse(struct cop_dnn_graph *p, const struct cop_conv *d, const struct cop_conv_fusion *f);

/* Whether lo..hi cuts anything off. */
bool cop_dnn_cuts(float lo, float hi);

#endif
