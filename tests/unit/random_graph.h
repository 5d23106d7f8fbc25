/* Networks drawn from a seed, for tests: convolutions, batch norms, pools and sums in every order that fits. */
#ifndef COP_TESTS_RANDOM_GRAPH_H
#define COP_TESTS_RANDOM_GRAPH_H

#include "base/rng.h"
#include "nn/graph.h"

/* low to high, both among them. */
int random_between(struct cop_stream *s, int low, int high);

/* A convolution or a pool of an input of (c,h,w) with settings that fit it: kernels 1x1 to 5x1, strides to 3, padding,
   dilation, and one group, two, or as many as channels. At most `widest` channels, or twice the input's. */
struct cop_conv_spec random_conv(struct cop_stream *s, const struct cop_node *in, int widest);
struct cop_conv_spec random_pool(struct cop_stream *s, const struct cop_node *in);

/*
 * A finished network of about `length` pieces behind an input of at most 17 channels and 12x12 pixels: chains, sums of
 * two nodes (or of one with itself), nodes with several readers. A batch norm sees `fewest` values of a channel at
 * least, where `batch` images go through. Returns the number of classes.
 */
int random_graph(struct cop_graph *g, struct cop_stream *s, int length, int batch, int fewest);

#endif
