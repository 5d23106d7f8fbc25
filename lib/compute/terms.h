/*
 * What the CPU does beside its backend's table, for values of which some channels are the same for every image and do
 * not lie in memory (nn/constants.h).
 */
#ifndef COP_COMPUTE_TERMS_H
#define COP_COMPUTE_TERMS_H

#include "compute/backend.h"

/*
 * A term of a sum some of whose channels are not in memory, being the same for every image: row[c] is where channel c
 * lies among those of `as`, or -1 - its place among the planes (channel, pixels) of numbers. NULL: all lie in memory.
 */
struct cop_term {
	struct cop_activation as;
	int c; /* channels in memory */
	const int *row;
	const float *plane;
};

/* y = a + b cut off to lo..hi, of shape s. */
void cop_cpu_add_terms(const struct cop_shape *s, const struct cop_term *a, const struct cop_term *b, float lo,
		       float hi, float *y);

/* Hands the gradient g, of shape s, on to a value of which only some channels are in memory: its i-th is channel[i]. */
void cop_cpu_pass_some(const struct cop_shape *s, const float *g, const int *channel, int n, const struct cop_sink *to);

/* Of n channels of a gradient as it is read, the sum over the images at each pixel: sums (n, pixels). */
void cop_cpu_image_sums(const struct cop_shape *s, const struct cop_gradient *dy, const int *channel, int n,
			float *sums);

#endif
