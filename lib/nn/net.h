/*
 * Networks. A net is its layers and the layout of its parameters; it owns no numbers. All parameters lie in one arena,
 * a work holds the activations and their gradients for one batch size, planned once.
 */
#ifndef COP_NN_NET_H
#define COP_NN_NET_H

#include "base/layout.h"
#include "compute/backend.h"
#include "nn/config.h"

struct cop_layer {
	char name[32];
	int in, out;
	bool relu;
	size_t weight, bias; /* offsets in the arena */
};

struct cop_net {
	struct cop_layer *layer;
	int n;
	int inputs, classes;
	struct cop_layout params, buffers; /* buffers: running statistics; none yet */
};

/* inputs: features of an image, channels * height * width. COP_EINPUT for sizes that cannot be. */
int cop_net_init(struct cop_net *net, const struct cop_model_config *m, int inputs, int classes, struct cop_err *err)
	COP_CHECKED;
void cop_net_release(struct cop_net *net);

/*
 * Fresh weights into `param` (params.total): Kaiming normal, variance 2/in (He et al. 2015); Glorot normal and uniform,
 * variance 2/(in+out) (Glorot & Bengio 2010). Biases are 0. Tensor k draws from its own stream of `seed`.
 */
void cop_net_draw(const struct cop_net *net, int init, uint64_t seed, float *param);

/* Multiply-accumulates of one image's forward pass. */
double cop_net_macs(const struct cop_net *net);

struct cop_work {
	const struct cop_net *net;
	int batch, ld;
	float **y;  /* y[0]: the input (inputs, ld); y[k+1]: what layer k gives (out, ld) */
	float **dy; /* gradients of y[1..n]; dy[0] is NULL. NULL altogether where only evaluating */
	float *arena;
};

/* `training`: whether gradients are wanted. COP_EFAILED where memory runs out. */
int cop_work_init(struct cop_work *w, const struct cop_net *net, int batch, bool training, struct cop_err *err)
	COP_CHECKED;
void cop_work_release(struct cop_work *w);

/* y[0] -> y[n], the logits (classes, ld). */
void cop_net_forward(const struct cop_backend *b, const float *param, struct cop_work *w);

/* dy[n] -> the gradients of all parameters into `grad` (params.total; padding stays what it is). */
void cop_net_backward(const struct cop_backend *b, const float *param, struct cop_work *w, float *grad);

#endif
