/*
 * A training's numbers in the memory of a device: parameters, gradients, optimizer state, running statistics, mask and
 * the sums of the epoch under way. The trainer's own arrays are the ones that files are made of; these are where a
 * device works. Convolution weights lie in the device's order here.
 */
#ifndef COP_NN_MIRROR_H
#define COP_NN_MIRROR_H

#include "compute/backend.h"
#include "nn/graph.h"

enum { COP_MIRROR_SLOTS = 2 };

struct cop_mirror {
	const struct cop_backend *backend;
	const struct cop_graph *graph;
	float *param, *grad, *slot[COP_MIRROR_SLOTS], *buffer; /* on the device, as all pointers here */
	uint8_t *mask;                                         /* bits; NULL: dense */
	struct cop_loss *loss;
	size_t nslots;
	float *host; /* room for one arena in the device's order; the program's memory */
};

/* The program's arrays, in the order of checkpoints. */
struct cop_arrays {
	float *param, *slot[COP_MIRROR_SLOTS], *buffer;
	const uint8_t *mask; /* a byte a weight; NULL: dense. Only put */
	struct cop_loss *loss;
};

int cop_mirror_init(struct cop_mirror *m, const struct cop_backend *b, const struct cop_graph *g, size_t nslots,
		    struct cop_err *err) COP_CHECKED;
void cop_mirror_release(struct cop_mirror *m);

/* All numbers to the device; back from it, after all that is queued. */
int cop_mirror_put(struct cop_mirror *m, const struct cop_arrays *a, struct cop_err *err) COP_CHECKED;
int cop_mirror_get(struct cop_mirror *m, const struct cop_arrays *a, struct cop_err *err) COP_CHECKED;

#endif
