/*
 * Checkpoints, masks and the tensors of a cell, as docs/files.md lays them out: /params/LAYER/TENSOR with attribute
 * `prunable`, /buffers/…, /optimizer/SLOT/…, /masks/…. Root and groups of tensors have a `digest`, which is checked as
 * they are read: another one is COP_EINPUT, and so is none in a file that coppice wrote.
 */
#ifndef COP_STORE_CHECKPOINT_H
#define COP_STORE_CHECKPOINT_H

#include "base/layout.h"
#include "store/h5.h"

#define COP_CHECKPOINT_FORMAT "coppice-checkpoint"

enum { COP_SLOTS_MAX = 4 };

/* What training is at a step. Arenas are of their layout's `total` elements, aligned to 64 bytes. */
struct cop_checkpoint {
	struct cop_layout params, buffers;
	float *param, *buffer;
	const char *slot_name[COP_SLOTS_MAX]; /* "momentum", "adam_m", …: constants */
	float *slot[COP_SLOTS_MAX];           /* same layout as params */
	size_t nslots;
	int64_t step;
	double epoch;
	char *experiment; /* the resolved experiment as JSON */
	char *hash;       /* experiment_hash */
};

/* The caller fills *c and keeps its arenas. */
int cop_checkpoint_write(const char *path, const struct cop_checkpoint *c, struct cop_err *err) COP_CHECKED;

/* Reads a whole checkpoint; release it. `slots`: whether to read the optimizer's too. */
int cop_checkpoint_read(const char *path, struct cop_checkpoint *c, bool slots, struct cop_err *err) COP_CHECKED;
void cop_checkpoint_release(struct cop_checkpoint *c); /* frees arenas and layouts; {0} is allowed */

/* The same within a file that holds more (training in progress keeps its history beside the checkpoint). */
int cop_checkpoint_store(struct cop_h5 *f, const struct cop_checkpoint *c, struct cop_err *err) COP_CHECKED;
int cop_checkpoint_load(struct cop_h5 *f, struct cop_checkpoint *c, bool slots, struct cop_err *err) COP_CHECKED;

/* The pieces, for files that hold some of them. Groups start without a slash ("params"). */
int cop_store_tensors(struct cop_h5 *f, const char *group, const struct cop_layout *l, const float *arena, int deflate,
		      struct cop_err *err) COP_CHECKED;
/* Reads the layout of `group` (in the order that /order/GROUP gives) and then its values. */
int cop_load_tensors(struct cop_h5 *f, const char *group, struct cop_layout *l, float **arena, struct cop_err *err)
	COP_CHECKED;
/* Reads values into an arena of a layout that is known; a missing tensor or another shape is COP_EINPUT. */
int cop_load_known(struct cop_h5 *f, const char *group, const struct cop_layout *l, float *arena, struct cop_err *err)
	COP_CHECKED;
/* Masks: one byte a weight, {0,1}, in the params' layout; only prunable tensors are stored. Padding is 1. */
int cop_store_masks(struct cop_h5 *f, const struct cop_layout *l, const uint8_t *mask, struct cop_err *err) COP_CHECKED;
int cop_load_masks(struct cop_h5 *f, const struct cop_layout *l, uint8_t *mask, struct cop_err *err) COP_CHECKED;

#endif
