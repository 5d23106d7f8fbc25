/*
 * The images of a split, read from the file one by one, where they do not fit memory.
 *
 * HDF5 does not serve two threads at once. So it is asked only where the images lie: chunked without a filter but the
 * checksum (as 'coppice pack' writes them) or contiguous, they are then read past it, by any number of threads. The
 * checksum of a chunk is looked at once, when its first image is wanted. What is stored in another way, compressed for
 * example, is read through HDF5, and by one thread only.
 */
#ifndef COP_STORE_IMAGE_FILE_H
#define COP_STORE_IMAGE_FILE_H

#include "store/dataset.h"

struct cop_image_file;

/* Opens the images of a split that `d` describes. COP_EINPUT where the file does not hold them any more. */
int cop_image_file_open(struct cop_image_file **f, const struct cop_dataset_info *d, enum cop_split split,
			struct cop_err *err) COP_CHECKED;
void cop_image_file_close(struct cop_image_file *f); /* NULL is allowed */

/* Whether many threads may read at once; else the one that also makes all other calls into store/. */
bool cop_image_file_shared(const struct cop_image_file *f);

/* Image `index` into `out` (H,W,C). COP_EINPUT where it cannot be read, or its chunk's checksum is wrong. */
int cop_image_file_read(struct cop_image_file *f, uint32_t index, uint8_t *out, struct cop_err *err) COP_CHECKED;

#endif
