/*
 * What becomes of a network's channels under a mask. A channel whose inputs are all pruned or constant is the same for
 * every image; one that nobody reads has no gradient. Both are found from the mask once, so that a reduced network need
 * not work them out for every image (nn/reduced.h, nn/constants.h; the algebra is in docs/method.md).
 */
#ifndef COP_NN_SURVIVAL_H
#define COP_NN_SURVIVAL_H

#include "nn/net.h"

enum cop_fate {
	COP_FATE_STORED,   /* worked out for every image */
	COP_FATE_WATCHED,  /* nobody reads it, but its batch norm's running statistics go on */
	COP_FATE_CONSTANT, /* the same for every image */
	COP_FATE_DROPPED   /* nobody reads it, and nothing of it is left to be known */
};

/* Of a stage's channels. */
struct cop_fates {
	int c, stored, watched, constant;
	uint8_t *fate; /* (c) of enum cop_fate */
	int *channel;  /* (c) those stored, watched, constant, dropped, each in their order */
	int *place;    /* (c) the place in `channel` */
};

struct cop_survival {
	int n;
	struct cop_fates *stage; /* (n) */
};

/*
 * whole (nodes; NULL: none): layers that are computed whole, and can watch nothing. COP_EINPUT where nothing of an
 * image reaches the network's output: says at which layer it ends.
 */
int cop_survival_init(struct cop_survival *v, const struct cop_net *net, const uint8_t *mask, const bool *whole,
		      struct cop_err *err) COP_CHECKED;
void cop_survival_release(struct cop_survival *v);

/* Whether anything of an image reaches the output; the error is cop_survival_init's. */
int cop_survival_check(const struct cop_net *net, const uint8_t *mask, struct cop_err *err) COP_CHECKED;

/* Whether the stage's node is a convolution of each channel by itself. */
bool cop_stage_depthwise(const struct cop_net *net, int stage);

#endif
