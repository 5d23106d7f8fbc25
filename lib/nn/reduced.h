/*
 * A network reduced to what a mask leaves of it. Its layers hold the surviving weights alone, listed where that is
 * cheaper (compute/sparse.h) and as they are otherwise, so gradients, optimizer state and every pass over them are of
 * the survivors too. Channels that are the same for every image are worked out once (nn/constants.h), and those that
 * nobody reads not at all (nn/survival.h). It computes the function of the masked network, with sums in another order.
 *
 * The reduced network's arenas are laid out anew; `param_of` and `buffer_of` say where each number stands in those of
 * the whole network. All that survives is there, so that one pass of the optimizer goes over all of it.
 */
#ifndef COP_NN_REDUCED_H
#define COP_NN_REDUCED_H

#include "nn/net.h"

#define COP_REDUCED_NONE SIZE_MAX

struct cop_reduced {
	struct cop_net net;
	size_t *param_of, *buffer_of; /* (params.total), (buffers.total); COP_REDUCED_NONE: padding */
	uint8_t *mask;                /* (params.total), 1: keep, of weights that are not listed; NULL: all are kept */
};

/* Whether node i has weights that can be listed: convolutions, but depthwise ones, and linear layers. */
bool cop_reduced_can_list(const struct cop_graph *g, int i);

/*
 * Of a network and a mask of its parameters. whole (nodes): true where weights stay as they are; NULL: nowhere.
 * COP_EFAILED: no memory; COP_EINPUT where nothing of an image reaches the output (nn/survival.h).
 */
int cop_reduced_init(struct cop_reduced *r, const struct cop_net *full, const uint8_t *mask, const bool *whole,
		     struct cop_err *err) COP_CHECKED;
void cop_reduced_release(struct cop_reduced *r);

/* small (n) = full[of[.]], 0 for padding; and back, which leaves alone what the reduced network has not. */
void cop_reduced_gather(const size_t *of, size_t n, const float *full, float *small);
void cop_reduced_scatter(const size_t *of, size_t n, const float *small, float *full);

#endif
