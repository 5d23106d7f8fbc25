/*
 * CIFAR's binary batches, as cs.toronto.edu/~kriz/cifar.html describes them: records of one label (CIFAR-100: a coarse
 * and a fine one) and 32 x 32 pixels, all red ones first, then the green and the blue.
 *
 * CIFAR-10: data_batch_1.bin to data_batch_5.bin, test_batch.bin, names in batches.meta.txt. CIFAR-100: train.bin,
 * test.bin, names in fine_label_names.txt; the fine labels count.
 */
#ifndef COP_DATA_CIFAR_H
#define COP_DATA_CIFAR_H

#include "base/err.h"

#include <stdbool.h>

/* Whether `folder` has files of either kind, by their names. */
bool cop_cifar_found(const char *folder);

/* Packs them into a new dataset `path`, in the order of the files. COP_EINPUT names the file. */
int cop_cifar_pack(const char *path, const char *folder, struct cop_err *err) COP_CHECKED;

#endif
