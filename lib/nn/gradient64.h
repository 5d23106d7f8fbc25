/*
 * A network's gradient in float64, and products of the loss's second derivatives with a direction: what criteria of
 * pruning ask for. It is apart from the engines that train, and much slower: its values are the same to 1e-12 or so
 * whatever trains the network, so that masks made of them are.
 *
 * H v is exact, not a difference of gradients: every value x of the network carries its derivative x' along v, forward
 * and backward, by the rules of (a b)' = a' b + a b' (Pearlmutter 1994, "Fast exact multiplication by the Hessian"). As
 * with any automatic differentiation a ReLU's and a maximum's second derivatives are 0 where they have one.
 *
 * Dropout drops nothing. Where batch norms go by the batch, they see the whole of it, so all its activations are kept;
 * else a batch is done in parts. Work is cut into blocks by shape, and sums are added in a fixed order: the bits do not
 * depend on the number of threads.
 */
#ifndef COP_NN_GRADIENT64_H
#define COP_NN_GRADIENT64_H

#include "nn/graph.h"

/* What is differentiated. {0}: the loss as it is in training, of the network as it stands. */
struct cop_gradient64_mode {
	bool running;       /* batch norms normalise by the running statistics, not by the batch's */
	bool linear;        /* ReLU and ReLU6 let everything through */
	bool second;        /* products with second derivatives are wanted, not gradients */
	double temperature; /* logits are divided by it before the softmax; 0: by 1 */
};

struct cop_gradient64; /* memory for one batch */

/* For batches of so many images. The graph must outlive it. COP_EFAILED: no memory, or too large to address. */
int cop_gradient64_new(struct cop_gradient64 **d, const struct cop_graph *g, int batch,
		       const struct cop_gradient64_mode *mode, struct cop_err *err) COP_CHECKED;
void cop_gradient64_free(struct cop_gradient64 *d); /* NULL is allowed */

/* Where a network is differentiated: parameters, running statistics (NULL: none are needed), and v (second). */
struct cop_place64 {
	const double *param, *direction; /* (params.total) */
	const double *buffer;            /* (buffers.total) */
};

/*
 * Adds dL/dw, or H v, to out (params.total; padding stays what it is) and returns L: the mean softmax cross-entropy of
 * the batch's images x (batch, C,H,W) and labels (batch), or with `label` NULL the sum of all outputs. What is not
 * finite comes out as it does.
 */
double cop_gradient64_add(struct cop_gradient64 *d, const struct cop_place64 *at, const float *x, const int32_t *label,
			  double *out);

#endif
