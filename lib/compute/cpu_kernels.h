/* The CPU backend's loops over memory, each done by one thread on one block. Formulas: backend.h. */
#ifndef COP_COMPUTE_CPU_KERNELS_H
#define COP_COMPUTE_CPU_KERNELS_H

#include "compute/backend.h"

void cop_cpu_bias(int rows, int ld, const float *b, bool relu, float *y); /* y (rows, ld) += b (NULL: 0), then ReLU */
void cop_cpu_cut(size_t n, const float *x, float *dx);                    /* dx = x > 0 ? dx : 0 */
void cop_cpu_row_sums(int rows, int ld, const float *dy, float *sum);     /* sum (rows) */
void cop_cpu_softmax_xent(int classes, int batch, int ld, const float *logits, const int32_t *label, float *dy,
			  struct cop_loss *loss);
void cop_cpu_sgd(const struct cop_sgd *o, float lr, size_t n, const float *g, const uint8_t *mask, float *w, float *v);
/* step: from 1, for the correction of the bias. */
void cop_cpu_adam(const struct cop_adam *o, float lr, int64_t step, size_t n, const float *g, const uint8_t *mask,
		  float *w, float *m, float *v);

#endif
