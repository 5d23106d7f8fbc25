/*
 * Convolutions of the CPU backend: how the work is cut, and the pieces that forward and backward share. Not for other
 * floors; see backend.h for what they do.
 *
 * A convolution is one product a pixel: (out_c, taps in_c) times the panels of the taps' pixels, (in_c, images). Panels
 * are read once into scratch that stays in the second-level cache, with batch norm and activation done on the way; one
 * kernel over a list of panels then serves every window, stride, dilation and grouping, forward and backward.
 */
#ifndef COP_COMPUTE_CONV_H
#define COP_COMPUTE_CONV_H

#include "compute/backend.h"

/* Floats of workspace that a call may use, with `threads` threads. */
size_t cop_conv_space(const struct cop_conv *d, bool backward, int threads);
size_t cop_depthwise_space(const struct cop_conv *d, bool backward, int threads);

/* Those with d->sparse. */
size_t cop_conv_sparse_space(const struct cop_conv *d, bool backward, int threads);

void cop_conv_forward(const struct cop_conv *d, const struct cop_activation *x, const float *w,
		      const struct cop_output *out, float *space);
void cop_conv_backward(const struct cop_conv *d, const struct cop_gradient *dy, const struct cop_activation *x,
		       const float *w, const struct cop_sink *dx, float *dw, float *db, float *space);
void cop_depthwise_forward(const struct cop_conv *d, const struct cop_activation *x, const float *w,
			   const struct cop_output *out, float *space);
void cop_depthwise_backward(const struct cop_conv *d, const struct cop_gradient *dy, const struct cop_activation *x,
			    const float *w, const struct cop_sink *dx, float *dw, float *db, float *space);

void cop_conv_sparse_forward(const struct cop_conv *d, const struct cop_activation *x, const float *w,
			     const struct cop_output *out, float *space);
void cop_conv_sparse_backward(const struct cop_conv *d, const struct cop_gradient *dy, const struct cop_activation *x,
			      const float *w, const struct cop_sink *dx, float *dw, float *db, float *space);

#endif
