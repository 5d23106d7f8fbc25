/* The CPU backend's layers but convolutions; see backend.h for what each does. Not for other floors. */
#ifndef COP_COMPUTE_LAYERS_H
#define COP_COMPUTE_LAYERS_H

#include "compute/terms.h"

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

void cop_cpu_linear_forward(const struct cop_linear *d, const float *w, const float *b, const float *x, float *y);
void cop_cpu_linear_backward_data(const struct cop_linear *d, const float *w, const float *dy, const float *x,
				  float *dx);
void cop_cpu_linear_backward_weights(const struct cop_linear *d, const float *dy, const float *x, float *dw, float *db);

#endif
