/*
 * Folders of images as they lie: SPLIT/CLASS/IMAGE with the splits "train" and "test", images in .png, .jpg or .jpeg of
 * either case. "val" stands in for "test" where that is not there, or has no folders in it (as ImageNet's has not).
 * Classes are the folders below train, in the order of their bytes; so are the images of a class. Names that begin with
 * a dot are passed over; any other file is an error that names it. Only names are kept, some 60 bytes an image.
 */
#ifndef COP_DATA_TREE_H
#define COP_DATA_TREE_H

#include "data/listing.h"
#include "store/dataset.h"

#include <stdbool.h>

/* One split: a listing of images for each class of the training split, empty where it lacks the class. */
struct cop_branch {
	char *folder;
	struct cop_listing *images; /* (classes) */
	size_t *first;              /* (classes + 1): by class, how many images stand before it */
	size_t n;                   /* images in all */
};

struct cop_tree {
	char *source;
	struct cop_listing classes;
	struct cop_branch branch[COP_SPLITS];
};

/* Whether `folder` has a split in it. */
bool cop_tree_found(const char *folder);

/* COP_EINPUT: what is not as it should be. Release in either case. */
int cop_tree_read(struct cop_tree *t, const char *source, struct cop_err *err) COP_CHECKED;
void cop_tree_release(struct cop_tree *t);

/* Image `at` of a split, in order: its path, which the caller frees, and its class. */
char *cop_tree_path(const struct cop_tree *t, enum cop_split split, size_t at);
int32_t cop_tree_label(const struct cop_tree *t, enum cop_split split, size_t at);

#endif
