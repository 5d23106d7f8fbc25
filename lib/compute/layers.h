/* The CPU backend's layers but convolutions; see backend.h for what each does. Not for other floors. */
#ifndef COP_COMPUTE_LAYERS_H
#define COP_COMPUTE_LAYERS_H

#include "compute/backend.h"

void cop_cpu_norm_train(const struct cop_norm *n, const struct cop_sums *sums, const float *weight, const float *bias,
			float *running_mean, float *running_var, const struct cop_normed *out);
void cop_cpu_norm_evaluate(const struct cop_norm *n, const float *weight, const float *bias, const float *running_mean,
			   const float *running_var, const struct cop_normed *out);
void cop_cpu_norm_backward(const struct cop_norm *n, const struct cop_sums *sums, const float *weight,
			   const struct cop_normed *of, float *dweight, float *dbias, const struct cop_slopes *out);

void cop_cpu_moments(const struct cop_shape *s, const float *y, const float *about, struct cop_sums *sums);
void cop_cpu_clamp(const struct cop_shape *s, float lo, float hi, float *y);
void cop_cpu_copy(const struct cop_shape *s, const struct cop_activation *x, float *y);
void cop_cpu_add(const struct cop_shape *s, const struct cop_activation *a, const struct cop_activation *b, float lo,
		 float hi, float *y);
void cop_cpu_slope(const struct cop_shape *s, const struct cop_slope *slope, const float *raw, float *g);
void cop_cpu_pass(const struct cop_shape *s, const float *g, const struct cop_sink *to);
void cop_cpu_flatten(const struct cop_shape *s, const struct cop_activation *x, float *y);
void cop_cpu_flatten_backward(const struct cop_shape *s, const float *dy, const struct cop_sink *dx);
void cop_cpu_dropout(const struct cop_shape *s, const struct cop_drop *d, const struct cop_activation *x, float *y);
void cop_cpu_dropout_backward(const struct cop_shape *s, const struct cop_drop *d, float *dy,
			      const struct cop_sink *dx);

size_t cop_cpu_pool_space(const struct cop_pool *p, int threads);
void cop_cpu_pool(const struct cop_pool *p, const struct cop_activation *x, float *y, float *space);
void cop_cpu_pool_backward(const struct cop_pool *p, const struct cop_activation *x, const float *dy,
			   const struct cop_sink *dx, float *space);
void cop_cpu_global_pool(const struct cop_shape *in, const struct cop_activation *x, float *y);
void cop_cpu_global_pool_backward(const struct cop_shape *in, const float *dy, const struct cop_sink *dx);

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

void cop_cpu_linear_forward(const struct cop_linear *d, const float *w, const float *b, const float *x, float *y);
void cop_cpu_linear_backward_data(const struct cop_linear *d, const float *w, const float *dy, const float *x,
				  float *dx);
void cop_cpu_linear_backward_weights(const struct cop_linear *d, const float *dy, const float *x, float *dw, float *db);

#endif
