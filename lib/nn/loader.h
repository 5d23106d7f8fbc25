/*
 * Batches, made ready ahead of the step that wants them. A loader owns a ring of buffers; its threads fill those of the
 * steps to come while the trainer works on one. A batch is a pure function of its step, cut into groups of sixteen
 * images of which each is made by one thread: neither the order nor a bit depends on how many threads there are, and a
 * run that is taken up again begins the loader at its step.
 *
 * Threads pay where reading waits for a disk, or where processors are idle within a step. Where all of them are busy,
 * threads ahead of the step only take time from the others, and make them wait for each other: then the batch is made
 * in the step, by all of the step's threads. What is automatic begins in the step, and tries threads only where
 * processors are left for them and making batches takes a share of the step that is worth it.
 */
#ifndef COP_NN_LOADER_H
#define COP_NN_LOADER_H

#include "nn/batches.h"

struct cop_loader;

/*
 * What a loader gives: the input of a network on the CPU; for a device which makes that itself, where the images lie
 * and how they are moved, and with them the images, where the device has not got them all.
 */
enum cop_loader_gives { COP_GIVES_INPUT, COP_GIVES_PICKS, COP_GIVES_IMAGES };

/* What a step is given. Belongs to the loader. */
struct cop_batch {
	float *x;                    /* (H*W*C, ld): the network's input; columns from n on are 0. COP_GIVES_INPUT */
	const struct cop_pick *pick; /* (n): of the part's images, or of: */
	const uint8_t *images;       /* (n,H,W,C), picks numbered from 0. COP_GIVES_IMAGES */
	const int32_t *label;        /* (n) */
	int n, ld;
};

enum { COP_LOADER_AUTO = 0, COP_LOADER_IN_STEP = -1, COP_LOADER_THREADS_MAX = 256 };

/*
 * threads: how many, or one of the above. Everything that is given must live as long as the loader does. COP_EFAILED
 * where memory runs out.
 */
int cop_loader_open(struct cop_loader **l, const struct cop_data *data, const struct cop_backend *backend, int batch,
		    int threads, enum cop_loader_gives gives, struct cop_err *err) COP_CHECKED;
void cop_loader_free(struct cop_loader *l); /* NULL is allowed; ends the threads */

/*
 * What it loads from now on. Training: step s is batch s % steps_per_epoch of epoch s / steps_per_epoch, up to `steps`.
 * A part: step s is the images from s * batch on in their own order, as they stand; the last batch may be smaller.
 */
void cop_loader_train(struct cop_loader *l, uint64_t seed_order, uint64_t seed_augment, int64_t steps_per_epoch,
		      int64_t steps);
void cop_loader_aim(struct cop_loader *l, const struct cop_part *part);

/* Training's batches are `parts` times as large as this loader's, which gives the `part`-th part of each, from 0. */
void cop_loader_share(struct cop_loader *l, int part, int parts);

/*
 * The batch of `step`; waits until it is there. Any step may be asked for, but the one after the last is the one that
 * is being made ready. COP_EFAILED or COP_EINPUT where images cannot be read.
 */
int cop_loader_take(struct cop_loader *l, int64_t step, const struct cop_batch **b, struct cop_err *err) COP_CHECKED;

/* The batch that was taken is no longer wanted. */
void cop_loader_give(struct cop_loader *l);

/* A step took so many seconds, of which it waited for its batch so many: by this the automatic choice is made. */
void cop_loader_note(struct cop_loader *l, double seconds, double waited);

/* Whether the choice is being tried out now: steps then take longer or shorter for its sake. */
bool cop_loader_trying(const struct cop_loader *l);

/* How many threads work ahead now; 0: batches are made in the step. */
int cop_loader_threads(const struct cop_loader *l);

#endif
