/*
 * A linear layer, the loss and the optimizers in float64, as the formulas are written. Gradients are had from them by
 * central differences. Shapes are the backend's, without padding of the batch: activations (features, batch). Whole
 * networks: graph64.h.
 */
#ifndef COP_TESTS_REFERENCE64_H
#define COP_TESTS_REFERENCE64_H

#include "compute/backend.h"

/* y (out, batch) = w (out, in) x (in, batch) + b (out), then ReLU if asked. */
void ref_linear(int in, int out, int batch, bool relu, const double *w, const double *b, const double *x, double *y);

/* The mean softmax cross-entropy of logits (classes, batch). */
double ref_loss(int classes, int batch, const double *logits, const int32_t *label);

/* Optimizers by PyTorch's definitions (torch.optim.SGD and Adam with L2 decay), one value at a time. t: from 1. */
void ref_sgd(const struct cop_sgd *o, float lr, double g, double *w, double *v);
void ref_adam(const struct cop_adam *o, float lr, int t, double g, double *w, double *m, double *v);

#endif
