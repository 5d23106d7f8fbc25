/*
 * The data of a training run: images in memory or in the file, a validation part split off the training set, and for
 * every step the images of its batch. An epoch is floor(N / batch) batches of a permutation drawn for (seed, epoch);
 * the images left over wait for another epoch.
 */
#ifndef COP_NN_BATCHES_H
#define COP_NN_BATCHES_H

#include "compute/backend.h"
#include "nn/config.h"
#include "store/image_file.h"

/* Images of one use: training, validation or test. */
struct cop_part {
	const uint8_t *images; /* those of the split, (N,H,W,C); NULL where they stay in the file */
	const int32_t *labels;
	uint32_t *index; /* which of them; owned */
	int64_t n;
	struct cop_image_file *file; /* NULL where they are in memory */
};

struct cop_data {
	struct cop_dataset_info info;
	uint8_t *images[COP_SPLITS];             /* NULL: */
	struct cop_image_file *file[COP_SPLITS]; /* read one by one */
	int32_t *labels[COP_SPLITS];
	struct cop_part train, validation, test;
	float scale[COP_CHANNELS_MAX], shift[COP_CHANNELS_MAX]; /* of a pixel, by data.normalize */
	int64_t crop_padding;
	bool flip, resized_crop;
	double scale_min;
	int loader_threads; /* of nn/loader.h */
};

/* Only what the dataset's head says: enough to plan. Checks the fingerprint where the config has one, and the sizes. */
int cop_data_check(const struct cop_data_config *c, struct cop_dataset_info *info, struct cop_err *err) COP_CHECKED;

int cop_data_open(struct cop_data *d, const struct cop_data_config *c, struct cop_err *err) COP_CHECKED;
void cop_data_release(struct cop_data *d);

int64_t cop_steps_per_epoch(const struct cop_dataset_info *info, const struct cop_data_config *c, int64_t batch);

/* How images become a network's input: the part's where they are in memory, or `images` where that is not NULL. */
struct cop_image_source cop_data_source(const struct cop_data *d, const struct cop_part *p, const uint8_t *images);

/* The order of one epoch at a time. */
struct cop_shuffle {
	const struct cop_data *data;
	uint64_t seed_order, seed_augment;
	int64_t epoch; /* that of `perm`; -1: none yet */
	uint32_t *perm;
};

void cop_shuffle_init(struct cop_shuffle *o, const struct cop_data *d, uint64_t seed_order, uint64_t seed_augment);
void cop_shuffle_release(struct cop_shuffle *o);

/* Batch number `at` (from 0) of `epoch`: picks (batch) and labels (batch). */
void cop_shuffle_batch(struct cop_shuffle *o, int64_t epoch, int64_t at, int batch, struct cop_pick *pick,
		       int32_t *label);

/* Images at*batch.. of a part in its own order, as they stand, as cop_shuffle_batch gives them. Returns how many. */
int cop_part_batch(const struct cop_part *p, int64_t at, int batch, struct cop_pick *pick, int32_t *label);

#endif
