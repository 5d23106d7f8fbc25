/*
 * The backend table: what a device does for a network. Activations are (features, batch) with the images innermost, so
 * every feature is a contiguous vector over the batch; `ld` is the batch rounded up to a multiple of 16, and the
 * columns from `batch` to `ld` belong to nobody: they may hold anything finite and are never read into a result.
 *
 * Work is cut into blocks whose number depends on the shapes alone. Each block is done by one thread, so the bits do
 * not depend on how many threads there are. The CPU backend is the reference for every other.
 */
#ifndef COP_COMPUTE_BACKEND_H
#define COP_COMPUTE_BACKEND_H

#include "base/err.h"
#include "compute/gather.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A linear layer over a batch: y (out, ld) = w (out, in) x (in, ld) + b (out). */
struct cop_linear {
	int in, out, ld;
	bool relu;      /* y = max(y, 0) after the bias */
	bool from_relu; /* x came out of a ReLU: the data gradient is 0 where x is 0 */
};

/* What a batch's loss amounts to; sums over its images. */
struct cop_loss {
	double loss;
	int64_t top1, top5, images;
};

struct cop_sgd {
	float lr, momentum, weight_decay;
	bool nesterov;
};

struct cop_adam {
	float lr, beta1, beta2, epsilon, weight_decay;
	int64_t step; /* from 1: of this parameter set, for the correction of the bias */
};

struct cop_backend {
	const char *name;
	/*
	 * x (height*width*channels, ld) from `batch` picks, feature (y*width + x)*channels + c, which is the order of a
	 * dataset's pixels; the columns from batch on become 0.
	 */
	void (*gather)(const struct cop_image_source *s, const struct cop_pick *pick, int batch, int ld, float *x);
	void (*linear_forward)(const struct cop_linear *d, const float *w, const float *b, const float *x, float *y);
	/* dx (in, ld) = w^T dy, cut off where x is 0 if d->from_relu. */
	void (*linear_backward_data)(const struct cop_linear *d, const float *w, const float *dy, const float *x,
				     float *dx);
	/* dw (out, in) = dy x^T, db (out) = sum of dy over the batch. Columns of dy beyond the batch must be 0. */
	void (*linear_backward_weights)(const struct cop_linear *d, const float *dy, const float *x, float *dw,
					float *db);
	/*
	 * Softmax cross-entropy of logits (classes, ld) against label (batch). dy (classes, ld), which may be NULL,
	 * becomes the gradient of the mean loss: (softmax - onehot) / batch, and 0 beyond the batch. Equal logits rank
	 * by class.
	 */
	void (*softmax_xent)(int classes, int batch, int ld, const float *logits, const int32_t *label, float *dy,
			     struct cop_loss *loss);
	/*
	 * One pass over n weights: gradient, optimizer state and mask (1 keep, 0 pruned; NULL: all kept). A pruned
	 * weight's gradient counts as 0, so what starts at 0 stays 0.0f. SGD: g += decay w; v = momentum v + g; w -= lr
	 * (nesterov ? g + momentum v : v). Adam (Kingma & Ba 2015): m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2; w -= lr
	 * m^ / (sqrt(v^) + epsilon).
	 */
	void (*sgd)(const struct cop_sgd *o, size_t n, const float *g, const uint8_t *mask, float *w, float *v);
	void (*adam)(const struct cop_adam *o, size_t n, const float *g, const uint8_t *mask, float *w, float *m,
		     float *v);
};

extern const struct cop_backend cop_cpu_backend;

/* "auto", "cpu" or "cuda" by its number in that list. CUDA without a module is COP_EMISSING. */
int cop_backend_open(int kind, const struct cop_backend **b, struct cop_err *err) COP_CHECKED;

/* Threads that the CPU backend uses; 0: all that this process may use. Returns the number that was set. */
int cop_cpu_set_threads(int threads);

/* The number that was set; and for now, how many of them to use (1 to that number). */
int cop_cpu_threads(void);
void cop_cpu_use(int threads);

/* What the machine gives now, to hold figures against: GFLOP/s of large products and GB/s of reading, all threads. */
struct cop_cpu_peak {
	double gflops, read_gbs;
};
int cop_cpu_measure(struct cop_cpu_peak *p, struct cop_err *err) COP_CHECKED;

/* The library behind the products: version and the kernels that it chose for this processor; into buf, returns buf. */
const char *cop_cpu_library(char *buf, size_t size);

/* What the bits of a result depend on: "AMD EPYC, OpenBLAS Cooperlake" (processor, kernels) into buf; returns buf. */
const char *cop_cpu_describe(char *buf, size_t size);

/* The batch rounded up as `ld` wants it. */
int cop_leading(int batch);

#endif
