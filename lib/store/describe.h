/* What a dataset of any HDF5 file is, in words: for listing files that are not coppice's. */
#ifndef COP_STORE_DESCRIBE_H
#define COP_STORE_DESCRIBE_H

#include "store/h5.h"

enum { COP_DESCRIPTION = 64 };

/*
 * "float32", "uint8", "string", "compound of 18", … into `type` and "300x784", "scalar", "null" into `shape`, both of
 * COP_DESCRIPTION bytes. COP_EINPUT where the dataset cannot be opened.
 */
int cop_h5_describe(struct cop_h5 *f, const char *path, char *type, char *shape, struct cop_err *err) COP_CHECKED;

#endif
