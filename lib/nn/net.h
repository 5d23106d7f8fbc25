/*
 * Networks, run. A net is a graph and its stages (nn/stage.h); it owns no numbers. All parameters lie in one arena, all
 * running statistics in another; a work holds the activations and their gradients for one batch size, in one arena that
 * is planned once: nothing is allocated in a step.
 */
#ifndef COP_NN_NET_H
#define COP_NN_NET_H

#include "compute/backend.h"
#include "nn/config.h"
#include "nn/graph.h"
#include "nn/stage.h"

struct cop_net {
	struct cop_graph graph;
	struct cop_stages stages;
	int classes;
	struct cop_constants *constants; /* channels that are the same for every image (nn/constants.h); NULL: none */
	struct cop_sparse *sparse; /* (graph.n): of weights that are listed (out_begin is there); NULL: none are */
};

/* For images of (channels, height, width). COP_EINPUT for sizes that cannot be. */
int cop_net_init(struct cop_net *net, const struct cop_model_config *m, int channels, int height, int width,
		 int classes, struct cop_err *err) COP_CHECKED;

/* Of a finished graph, which it takes over: *g becomes {0}. */
void cop_net_take(struct cop_net *net, struct cop_graph *g);
void cop_net_release(struct cop_net *net);

/* The window of a convolution's or a pool's stage, over a batch. */
struct cop_conv cop_stage_conv(const struct cop_net *net, int stage, int batch, int ld);

struct cop_work {
	const struct cop_net *net;
	const struct cop_backend *backend;
	int batch, ld;
	bool training;
	const float *x;      /* the input of the last forward pass, (H,W,C,ld); the caller's */
	float **raw, **grad; /* of each stage, (H,W,C,ld); NULL where there is none */
	struct cop_normed *normed;
	struct cop_slopes *slopes;
	struct cop_sums sums;
	float *arena, *small, *space;
	float *narrow;                        /* the weights as products read them; NULL: they read the weights */
	bool guest;                           /* the arena is another's */
	size_t arena_floats, space_floats;    /* activations and their gradients; the backend's workspace */
	uint64_t dropout_seed;                /* the caller's, before a training pass, with: */
	const struct cop_dials *dials;        /* in the backend's memory */
	struct cop_constants_work *constants; /* NULL: the net has none */
};

/*
 * `training`: whether gradients are wanted, and batch norms take the batch's statistics. `host`: another work of the
 * same net, that is never in a pass at the same time; its arena is used where it is large enough (NULL: none). It must
 * outlive this one. COP_EFAILED: no memory.
 */
int cop_work_init(struct cop_work *w, const struct cop_net *net, const struct cop_backend *backend, int batch,
		  bool training, const struct cop_work *host, struct cop_err *err) COP_CHECKED;
/* The largest batch up to `most`, by halves, whose evaluation needs no more than the host's arena, or than a few
   megabytes. */
int cop_work_guest_batch(const struct cop_work *host, int most);
void cop_work_release(struct cop_work *w);

/* Bytes of activations, their gradients and workspace. */
size_t cop_work_bytes(const struct cop_work *w);

/*
 * x (H,W,C,ld) -> the logits (classes, ld), which it returns; they are the work's, until the next pass. `buffer` (the
 * graph's buffers.total): running statistics, which move on where the work is one of training.
 */
const float *cop_net_forward(struct cop_work *w, const float *param, float *buffer, const float *x);

/* Where the caller writes the gradient of the logits (classes, ld), 0 from the batch on, before a backward pass. */
float *cop_work_dlogits(struct cop_work *w);

/* dlogits -> the gradients of all parameters into `grad` (params.total; padding stays what it is). */
void cop_net_backward(struct cop_work *w, const float *param, float *grad);

#endif
