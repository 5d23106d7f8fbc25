/*
 * What the files of gradient64.h share. Activations and their gradients are (C,N,H,W), the channels outermost, so that
 * any of a layer's rows of pixels, over images, are columns of one matrix. A buffer holds one lane, values; or two, the
 * second being the values' derivatives along the direction.
 */
#ifndef COP_NN_GRADIENT64_PRIV_H
#define COP_NN_GRADIENT64_PRIV_H

#include "nn/gradient64.h"

struct cop_gradient64 {
	const struct cop_graph *graph;
	struct cop_gradient64_mode mode;
	int batch, most; /* images; how many are done at once */
	int lanes, threads;
	double **y, **dy; /* of each node, (lanes, C,N,H,W); in the arena, where buffers that live at other times lie */
	int *last;        /* each node's last reader */
	double **norm;    /* of each batch norm: mean (lanes, C) and deviation (lanes, C) */
	double *arena;    /* all of y and dy */
	double *column;   /* (threads, column_size): of convolutions */
	double *part;     /* sums of gradients, in parts */
	size_t column_size;

	/* of the pass under way */
	int n; /* images */
	const double *param[2], *buffer;
	double *out;
};

/* Numbers that a loop goes over before more than one thread is worth it. */
enum { COP_WORTH64 = 1 << 14 };

/* A node, what it reads, and both sides' values and gradients, lane by lane; NULL where there is none. */
struct cop_ends64 {
	const struct cop_node *d, *in;
	size_t count, in_count; /* of a lane */
	const double *x[2], *dy[2];
	double *y[2], *dx[2]; /* dx: to be added to */
};
struct cop_ends64 cop_ends64(const struct cop_gradient64 *d, int node, int input);

/* Forward; and backward: what arrives in dy goes on to dx, and the parameters' to `out` (gradient64_layers.c). */
struct cop_op64 {
	void (*forward)(struct cop_gradient64 *d, int node);
	void (*backward)(struct cop_gradient64 *d, int node);
	bool reads_input, reads_own; /* on the way back */
};
extern const struct cop_op64 cop_ops64[COP_OPS];

/* Convolutions and linear layers (gradient64_products.c). */
void cop_products64_forward(struct cop_gradient64 *d, int node);
void cop_products64_backward(struct cop_gradient64 *d, int node);

/* The workspace that they need for n images: doubles of a thread's columns, and of all parts. */
void cop_products64_space(const struct cop_gradient64 *d, int node, int n, size_t *column, size_t *part);

#endif
