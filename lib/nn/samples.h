/* The first batches of training as plain images, for what looks at a network without training it. */
#ifndef COP_NN_SAMPLES_H
#define COP_NN_SAMPLES_H

#include "nn/batches.h"

struct cop_samples {
	int batch; /* images of each */
	int64_t n; /* batches */
	/* Batch k, from 0: x (batch, C,H,W), as a network reads it, and label (batch). Fails where images cannot be
	 * read. */
	int (*read)(const struct cop_samples *s, int64_t k, float *x, int32_t *label, struct cop_err *err) COP_CHECKED;
	void *user;
};

/*
 * The first n batches that training with these seeds sees, augmented as it sees them; with ranks, the batches that they
 * share. `data` must outlive them. COP_EFAILED: no memory; COP_EINPUT: a batch has more images than there are.
 */
int cop_samples_open(struct cop_samples *s, const struct cop_data *data, int batch, int64_t n, uint64_t seed_order,
		     uint64_t seed_augment, struct cop_err *err) COP_CHECKED;
void cop_samples_close(struct cop_samples *s); /* {0} is allowed */

#endif
