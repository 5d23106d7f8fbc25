/*
 * A plain network in float64 to hold the engine against: a whole graph forward, its loss and its gradients, in loops as
 * the formulas are written. Nothing is fused, skipped or reused; every node's values and gradients stay to be looked
 * at. What a node gives is (N,C,H,W): images outermost, no padding of the batch. Parameters and running statistics lie
 * as in the graph's layouts.
 */
#ifndef COP_TESTS_GRAPH64_H
#define COP_TESTS_GRAPH64_H

#include "nn/graph.h"

struct graph64 {
	const struct cop_graph *graph;
	int batch;
	double *param, *grad; /* (params.total) */
	double *gross; /* (params.total): the gradients' terms added up without their signs; a normalised value, which
			  is as exact as its channel's deviation lets it be, counts for 1 at least */
	double *buffer, *updated;  /* (buffers.total): running statistics before the forward pass, and after it */
	double **y, **dy;          /* of each node, (N,C,H,W); y[0] is the caller's to fill, dy[last] too */
	double **mean, **variance; /* batch norm: (C), what the forward pass normalised with */
	double **keep;             /* dropout: (N,C,H,W), 1 keeps and 0 drops; all 1 at first */
};

/* Everything 0; ends the program where memory runs out. */
void graph64_init(struct graph64 *r, const struct cop_graph *g, int batch);
void graph64_release(struct graph64 *r);

/* Elements of a node's values. */
size_t graph64_count(const struct graph64 *r, int node);

/* Takes over parameters and running statistics (the layouts' arenas; `buffer` may be NULL where there are none). */
void graph64_load(struct graph64 *r, const float *param, const float *buffer);

/*
 * y[0] -> y of every node. Training: batch norm takes the batch's mean and variance (biased) and moves the running ones
 * into `updated` (with the unbiased variance; of a single value: 0), dropout drops. Otherwise it takes the running
 * ones, and dropout does nothing.
 */
void graph64_forward(struct graph64 *r, bool training);

/* The mean softmax cross-entropy of the last node's (N,K,1,1) against label (N), and its gradient into dy[last]. */
double graph64_loss(struct graph64 *r, const int32_t *label);

/* After a forward pass in training: dy[last] -> dy of every node, `grad` and `gross`. */
void graph64_backward(struct graph64 *r);

/*
 * How near the forward pass came to where a gradient jumps: the smallest distance of what goes into a ReLU from 0 (or
 * 6), and of a pool's largest value from the next, over the root mean square of the tensor. Exact hits do not count.
 * Who computes with less precision may be on the other side where this is small.
 */
double graph64_margin(const struct graph64 *r);

#endif
