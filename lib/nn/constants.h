/*
 * The channels of a reduced network that are the same for every image: worked out for one image, forward and backward.
 * A gradient of such a channel is the sum of what the images give. Convolutions (depthwise ones too) and linear layers
 * have them; what they add to channels that do vary is the same for every image too, a number a pixel: their `base`.
 *
 * Planes are (channel, height, width). Channels are counted among a stage's constant ones.
 */
#ifndef COP_NN_CONSTANTS_H
#define COP_NN_CONSTANTS_H

#include "nn/net.h"

/* A surviving weight between a constant input and an output: constant, or a row that has a base. */
struct cop_constant_weight {
	int out, in, tap;
	size_t at; /* in the parameters */
};

/* Of one stage. */
struct cop_constant_stage {
	int n;    /* constant channels */
	int rows; /* channels that vary, and those that are watched: what a base is for */
	/* into constant channels, and into rows; of the latter the first `backward` are of those with a gradient */
	struct cop_constant_weight *own, *base;
	size_t nown, nbase, backward, own_room, base_room;
	int *summed; /* rows whose gradients are summed over the images, each once */
	int *sum_of; /* (rows) the place in `summed`; -1: none */
	int nsummed;
	int *row;     /* (all channels) where one lies among those that vary; -1 - its place among the constant ones */
	int *varying; /* (channels that vary) which they are; then the constant ones (n) */
	int stored;   /* channels that vary and lie in memory */
	struct cop_conv window; /* of the layer, a linear one 1x1; channels and batch are not set */
};

struct cop_constants {
	int n;
	struct cop_constant_stage *stage; /* (n) */
};
void cop_constants_release(struct cop_constants *c); /* NULL is allowed; frees c too */

/* What a work needs for them: numbers of each stage. */
struct cop_constants_work;

/* COP_EFAILED: no memory. batch: images of a pass. */
int cop_constants_begin(struct cop_constants_work **w, const struct cop_net *net, bool training, struct cop_err *err)
	COP_CHECKED;
void cop_constants_end(struct cop_constants_work *w);

/*
 * Stage i forward: its constant channels, with batch norm (running statistics move on in training), and its base:
 * (pixels, rows), with the layer's bias in it; NULL: it has none. batch: images of the pass.
 */
const float *cop_constants_forward(struct cop_constants_work *w, const struct cop_net *net, int i, int batch,
				   const float *param, float *buffer);

/*
 * Stage i backward, after all its readers: dy, the gradient of its rows, which is complete. Gradients of weights from
 * and to constant channels, and of these channels' vectors, into grad.
 */
void cop_constants_backward(struct cop_constants_work *w, const struct cop_net *net, int i, int batch, int ld,
			    const struct cop_gradient *dy, const float *param, float *grad);

/* Whether stage i has constant channels: an addition that reads it does not find them in memory. */
bool cop_constants_has(const struct cop_net *net, int i);

/* Stage i, an addition of such inputs: y = the values of its inputs, as they are read, cut off as the stage has it. */
void cop_constants_add(struct cop_constants_work *w, const struct cop_net *net, int i, const struct cop_shape *s,
		       const struct cop_activation x[2], float lo, float hi, float *y);

/* Its gradient g handed on to its k-th input, which has constant channels. */
void cop_constants_pass(struct cop_constants_work *w, const struct cop_net *net, int i, int k,
			const struct cop_shape *s, const float *g, const struct cop_sink *to);

#endif
