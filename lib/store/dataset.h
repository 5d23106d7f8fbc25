/*
 * Datasets: /train/images uint8 (N,H,W,C), /train/labels int32 (N), the same under /test, /classes strings (K); root
 * `mean`, `std` float32 (C) over the training images scaled to [0,1], and `fingerprint`, a hash of shape, images and
 * labels in order (16 hex digits), by which a run knows its data again; and `skipped`
 * int64, the number of images that could not be read and were left out.
 */
#ifndef COP_STORE_DATASET_H
#define COP_STORE_DATASET_H

#include "store/h5.h"

enum cop_split { COP_SPLIT_TRAIN, COP_SPLIT_TEST, COP_SPLITS };
enum { COP_CHANNELS_MAX = 4, COP_SIDE_MAX = 65535, COP_FINGERPRINT = 17 };
extern const char *const cop_split_names[COP_SPLITS]; /* "train", "test" */

/* What a dataset's file says without its images. */
struct cop_dataset_info {
	char *path;
	int height, width, channels, nclasses;
	char **classes;
	int64_t n[COP_SPLITS];
	/* of the training images in [0,1]; std is the population's, and 0 for a channel that is the same everywhere */
	float mean[COP_CHANNELS_MAX], std[COP_CHANNELS_MAX];
	char fingerprint[COP_FINGERPRINT];
	int64_t skipped; /* images that were left out when it was packed */
};

/*
 * COP_EINPUT: missing file ("make one with 'coppice pack'"), other format, shapes that do not fit together, fewer than
 * two classes, no training images. A file without /test has n[COP_SPLIT_TEST] == 0. Release *d after success only.
 */
int cop_dataset_info_read(const char *path, struct cop_dataset_info *d, struct cop_err *err) COP_CHECKED;
void cop_dataset_info_release(struct cop_dataset_info *d);

/*
 * Reads all images (N,H,W,C) and labels (N) of a split; the caller frees both. COP_EINPUT: the split has no images
 * ("has no test images"), or a label is outside the classes.
 */
int cop_dataset_read(const struct cop_dataset_info *d, enum cop_split split, uint8_t **images, int32_t **labels,
		     struct cop_err *err) COP_CHECKED;

/* The labels (N) alone, checked in the same way. */
int cop_dataset_read_labels(const struct cop_dataset_info *d, enum cop_split split, int32_t **labels,
			    struct cop_err *err) COP_CHECKED;

/*
 * Writing: images (H,W,C) go in one by one, each split in its own order; sums for mean and std, and the fingerprint,
 * are kept on the way. Memory stays at a chunk (about 1 MiB) a split. COP_EINPUT: a shape or a label out of range.
 */
struct cop_dataset_writer;
int cop_dataset_create(struct cop_dataset_writer **w, const char *path, int height, int width, int channels,
		       const char *const *classes, int nclasses, struct cop_err *err) COP_CHECKED;
int cop_dataset_add(struct cop_dataset_writer *w, enum cop_split split, const uint8_t *image, int32_t label,
		    struct cop_err *err) COP_CHECKED;
/* How many images were left out because they could not be read: the attribute `skipped`, else 0. */
void cop_dataset_skipped(struct cop_dataset_writer *w, int64_t n);
/* Frees `w` whatever happens; a dataset without training images is COP_EINPUT. */
int cop_dataset_commit(struct cop_dataset_writer *w, struct cop_err *err) COP_CHECKED;
void cop_dataset_abandon(struct cop_dataset_writer *w); /* NULL is allowed */

#endif
