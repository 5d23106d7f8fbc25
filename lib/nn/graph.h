/*
 * A network as a graph: nodes in an order in which every input comes before its readers, with shapes worked out as
 * they are added, and the layouts of their parameters and running statistics. It owns no numbers and knows no device.
 *
 * Building is a chain of calls that return the new node's number, or -1 once anything has gone wrong; the graph keeps
 * the first error, and cop_graph_finish() hands it over. So a builder need not look at every call:
 *
 *     int x = cop_graph_input(g, 3, 32, 32);
 *     x = cop_graph_conv(g, x, "conv1", &(struct cop_conv_spec){.out = 16, .kernel = {3, 3}, .padding = {1, 1}});
 *     x = cop_graph_relu(g, cop_graph_batch_norm(g, x, "bn1"));
 *
 * Shapes are those of one image, (C,H,W). A node without a name of its own takes its operation's and its number.
 */
#ifndef COP_NN_GRAPH_H
#define COP_NN_GRAPH_H

#include "base/err.h"
#include "base/layout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cop_op {
	COP_OP_INPUT,
	COP_OP_CONV,
	COP_OP_BATCH_NORM,
	COP_OP_RELU,
	COP_OP_RELU6,
	COP_OP_ADD,
	COP_OP_MAX_POOL,
	COP_OP_AVG_POOL,
	COP_OP_GLOBAL_AVG_POOL,
	COP_OP_FLATTEN,
	COP_OP_DROPOUT,
	COP_OP_LINEAR,
	COP_OPS
};

enum { COP_NODE_NAME = 64, COP_NODE_INPUTS = 2 };

/* Of a convolution or a pool; zeroes stand for stride 1, dilation 1, one group. [0]: height, [1]: width. */
struct cop_conv_spec {
	int out; /* channels; pools: unused */
	int kernel[2], stride[2], padding[2], dilation[2];
	int groups;
	bool bias;
};

struct cop_node {
	char name[COP_NODE_NAME];
	enum cop_op op;
	int input[COP_NODE_INPUTS], ninputs; /* numbers of nodes, smaller than its own */
	int c, h, w;                         /* what it gives: (C,H,W) of one image */
	struct cop_conv_spec conv;           /* convolutions and pools, every number written out */
	double rate;                         /* dropout: the fraction put to 0; the rest is scaled by 1/(1-rate) */
	double momentum, epsilon;            /* batch norm: running = (1-momentum) running + momentum batch's */
	bool bias;                           /* linear, convolution: has one */
	/*
	 * Offsets in the arenas. Convolution (out, in/groups, kh, kw), linear (out, in): weight, and bias (out) where
	 * there is one. Batch norm: weight and bias (C) [gamma and beta], and in the buffers running_mean and
	 * running_var (C).
	 */
	size_t weight, bias_at, running_mean, running_var;
};

struct cop_graph {
	struct cop_node *node;
	int n;
	size_t cap;
	struct cop_layout params, buffers;
	struct cop_err error; /* the first; code 0: none */
};

/* Starts as {0}. */
void cop_graph_release(struct cop_graph *g);

/* The image, (c,h,w): the first node, once. */
int cop_graph_input(struct cop_graph *g, int c, int h, int w);

/*
 * out(o,y,x) = bias(o) + sum over c,i,j of weight(o,c,i,j) in(c, y*stride - padding + i*dilation, ...), the channels
 * cut into `groups` that do not see each other; output side: (in + 2 padding - dilation (kernel-1) - 1) / stride + 1.
 */
int cop_graph_conv(struct cop_graph *g, int input, const char *name, const struct cop_conv_spec *s);

/* Batch norm over batch, height and width (Ioffe & Szegedy 2015), momentum 0.1, epsilon 1e-5, biased variance in
   training, unbiased in the running one, as the field has it. */
int cop_graph_batch_norm(struct cop_graph *g, int input, const char *name);
int cop_graph_batch_norm_with(struct cop_graph *g, int input, const char *name, double momentum, double epsilon);

int cop_graph_relu(struct cop_graph *g, int input);
int cop_graph_relu6(struct cop_graph *g, int input); /* min(max(x, 0), 6) */
int cop_graph_add(struct cop_graph *g, int a, int b);

/* Pools take kernel, stride, padding (no dilation). Padding never wins a maximum, and counts as 0 in a mean over the
   whole kernel. */
int cop_graph_max_pool(struct cop_graph *g, int input, const struct cop_conv_spec *s);
int cop_graph_avg_pool(struct cop_graph *g, int input, const struct cop_conv_spec *s);
int cop_graph_global_avg_pool(struct cop_graph *g, int input); /* (C,1,1) */

/* (C*H*W,1,1) in the order channel, height, width. */
int cop_graph_flatten(struct cop_graph *g, int input);
int cop_graph_dropout(struct cop_graph *g, int input, double rate);

/* y = weight x + bias of an input (in,1,1). */
int cop_graph_linear(struct cop_graph *g, int input, const char *name, int out, bool bias);

/* Gives a node a name, for nodes whose call takes none. */
void cop_graph_name(struct cop_graph *g, int node, const char *name);

/* Keeps the first error, in printf's manner, and returns -1: for builders with rules of their own. */
int cop_graph_fail(struct cop_graph *g, const char *fmt, ...) COP_PRINTF(2, 3);

/*
 * The end: the last node must give (classes,1,1), every other must have a reader, names must be free for tensors.
 * COP_EINPUT with the first error.
 */
int cop_graph_finish(struct cop_graph *g, int classes, struct cop_err *err) COP_CHECKED;

/* Whether a node is a convolution of each channel by itself. */
bool cop_node_depthwise(const struct cop_graph *g, int node);

/* Multiply-accumulates of one image's forward pass: of a node (convolutions and linear layers; else 0), of all. */
double cop_node_macs(const struct cop_graph *g, int node);
double cop_graph_macs(const struct cop_graph *g);

/* Elements of a node's parameters (trainable), and of its running statistics. */
size_t cop_node_params(const struct cop_graph *g, int node);
size_t cop_node_buffers(const struct cop_graph *g, int node);

/* "conv", "batch_norm", ...: the word for an operation in files and tables. */
const char *cop_op_name(enum cop_op op);

/*
 * Fresh parameters into `param` (params.total) and statistics into `buffer` (buffers.total): convolution and linear
 * weights Kaiming normal, variance 2/fan_in (He et al. 2015); Glorot normal and uniform, variance 2/(fan_in+fan_out)
 * (Glorot & Bengio 2010), fan_in = in/groups*kh*kw, fan_out = out/groups*kh*kw. Biases 0, gamma 1, beta 0, running
 * mean 0, running variance 1. The k-th weight tensor draws from its own stream of `seed`.
 */
void cop_graph_draw(const struct cop_graph *g, int init, uint64_t seed, float *param, float *buffer);

#endif
