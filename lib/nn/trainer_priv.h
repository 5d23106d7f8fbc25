/* What the trainer's files share: training on a device that works beside the program. Not for other files. */
#ifndef COP_NN_TRAINER_PRIV_H
#define COP_NN_TRAINER_PRIV_H

#include "nn/feed.h"
#include "nn/mirror.h"
#include "nn/trainer.h"

/* One update of weights and optimizer state, wherever they are. */
struct cop_update {
	const struct cop_backend *backend; /* NULL: the trainer's */
	const struct cop_dials *dials;
	size_t n; /* weights; 0: all */
	const float *grad;
	const uint8_t *mask;
	float *param, *const *slot;
};
void cop_trainer_update(const struct cop_trainer *t, const struct cop_update *u);

/* As cop_trainer_rewind without a mask, but from a later state of what the trainer began with: `fresh` stays. */
int cop_trainer_take_over(struct cop_trainer *t, const struct cop_checkpoint *c, struct cop_err *err) COP_CHECKED;

/* What steps go on from: the trainer's arrays, or those of the network reduced to its mask. */
struct cop_numbers {
	size_t n; /* of parameters */
	float *param, *grad, *buffer, *slot[COP_SLOTS_MAX];
	const uint8_t *mask; /* NULL: all are kept */
};
struct cop_numbers cop_trainer_numbers(struct cop_trainer *t);

/* The works of training and evaluation, anew, for `net`. */
int cop_trainer_open_works(struct cop_trainer *t, const struct cop_net *net, struct cop_err *err) COP_CHECKED;

struct cop_on_survivors;

/* Before steps and measures: reduces the network where that is wanted and was not done yet. */
int cop_on_survivors_begin(struct cop_trainer *t, struct cop_err *err) COP_CHECKED;
void cop_on_survivors_release(struct cop_trainer *t); /* and what was decided of its layers */

/* The trainer's arrays were changed, and the reduced network's are old; the other way round, they become its. */
void cop_on_survivors_changed(struct cop_trainer *t);
void cop_on_survivors_sync(struct cop_trainer *t);

/* Of all attempts, see cop_trainer_utilisation. */
struct cop_gpu_time cop_trainer_gpu_time(const struct cop_trainer *t);

struct cop_dials cop_trainer_dials(const struct cop_trainer *t, int64_t step);

/* Adds nothing and says what is wrong where a loss is not finite. */
int cop_trainer_finite(const struct cop_trainer *t, double loss, struct cop_err *err) COP_CHECKED;

/* Tells whoever watches; see struct cop_trainer. */
int cop_trainer_beat(const struct cop_trainer *t, struct cop_err *err) COP_CHECKED;

/* A loader of the rank's part of each training batch. */
int cop_trainer_open_loader(const struct cop_trainer *t, int rank, const struct cop_backend *b,
			    enum cop_loader_gives gives, struct cop_loader **l, struct cop_err *err) COP_CHECKED;

struct cop_on_device;

/*
 * After the trainer's works are there: opens its loaders as well, where it has no lead (NULL) to read with. taken:
 * bytes of the device before the works were there; only where it has none.
 */
int cop_on_device_init(struct cop_trainer *t, struct cop_trainer *lead, size_t taken, struct cop_err *err) COP_CHECKED;
void cop_on_device_release(struct cop_trainer *t);

/* The trainer's arrays, mask or sums were changed: the device's are old. */
void cop_on_device_changed(struct cop_trainer *t);

/* The sums of the epoch alone were. */
void cop_on_device_sums(struct cop_trainer *t);

/*
 * Steps up to `until`, as many as take a fraction of a second, of n trainers that are at the same step and have one
 * lead; *waited: seconds until batches were there. Leaves each one's sums as they are then, finite or not.
 */
int cop_on_device_steps(struct cop_trainer *const *t, int n, int64_t until, double *waited, struct cop_err *err)
	COP_CHECKED;
/* Bytes of the device's memory, at the most at once since the lead's init, by all that go beside it; 0 on the CPU. */
size_t cop_on_device_most(const struct cop_trainer *t);
int cop_on_device_room(struct cop_trainer *t, int wanted, size_t *each, struct cop_err *err) COP_CHECKED;

/*
 * For ranks (ranks_device.h): brings the device up to date, and says what it has for its training batches. puts: how
 * often all of the program's numbers went there.
 */
struct cop_first_rank {
	struct cop_feed *feed;
	const struct cop_mirror *mirror;
	int64_t puts;
};
int cop_on_device_first_rank(struct cop_trainer *t, struct cop_first_rank *f, struct cop_err *err) COP_CHECKED;
/* Steps were done on what it has, and the trainer's sums are of them. */
int cop_on_device_stepped(struct cop_trainer *t, struct cop_err *err) COP_CHECKED;

/* The trainer's arrays become what the device has. */
int cop_on_device_sync(struct cop_trainer *t, struct cop_err *err) COP_CHECKED;

/* The loader that parts are measured with. */
struct cop_loader *cop_on_device_loader(const struct cop_trainer *t);
int cop_on_device_measure(struct cop_trainer *t, const struct cop_part *part, struct cop_loss *all, struct cop_err *err)
	COP_CHECKED;

#endif
