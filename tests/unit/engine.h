/*
 * The engine on one batch, for tests: the one place where they call it. Values go in and come out as graph64 has them,
 * (N,C,H,W) in double, so that a test can hold both side by side.
 */
#ifndef COP_TESTS_ENGINE_H
#define COP_TESTS_ENGINE_H

#include "nn/mirror.h"
#include "nn/net.h"
#include "nn/reduced.h"

struct engine {
	struct cop_net net;
	struct cop_work work;
	struct cop_dials dials;
	int batch;
	float *param, *buffer, *grad; /* the arenas */
	float *x;                     /* (H,W,C,ld) */
	double *logits, loss;         /* (N,K); the mean */
	bool beside;                  /* the net is another's */
	/* where the backend works beside the program, the same in its memory */
	struct cop_mirror mirror;
	float *device_x;
	int32_t *device_label;
	struct cop_dials *device_dials;
	/* where the net is reduced to a mask: what passes go over, between the arenas above and back */
	struct cop_reduced reduced;
	float *small_param, *small_buffer, *small_grad;
	bool is_reduced;
};

/* Takes the graph over. Parameters, statistics and gradients start as 0. Fails the test where the engine does. */
void engine_init(struct engine *e, struct cop_graph *g, int batch, bool training);
/* The net, parameters and statistics of another, which must outlive it, on another backend. */
void engine_init_beside(struct engine *e, const struct engine *other, const struct cop_backend *backend, bool training);
/* From now on passes are those of the net reduced to a mask (1: keep) of the parameters; `whole` as cop_reduced_init's.
 */
void engine_reduce(struct engine *e, const uint8_t *mask, const bool *whole);
void engine_release(struct engine *e);

/* x (N,C,H,W), label (N) -> logits and loss; in training new running statistics. */
void engine_forward(struct engine *e, const double *x, const int32_t *label);

/* After engine_forward in training: `grad`; of a reduced net, that of the survivors, and 0 for the others. */
void engine_backward(struct engine *e);

/* After a pass in training: the logits of evaluation, by a work that borrows the memory of this one. */
void engine_evaluate_as_guest(struct engine *e, const double *x);

/* What a dropout of the graph does in this step: 1 keeps, 0 drops, (N,C,H,W). */
void engine_keep(const struct engine *e, int node, double *keep);

#endif
