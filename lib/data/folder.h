/*
 * Folders of images: SPLIT/CLASS/IMAGE with the splits "train" and "test" ("val" where there is no "test"), images in
 * .png, .jpg or .jpeg of either case. Classes are the folders below train, in the order of their bytes; so are the
 * images of a class. Names that begin with a dot are passed over; any other file is an error that names it.
 *
 * The first training image decides on grey or RGB: where it is grey, all must be; where it is RGB, grey ones become
 * RGB. It decides on the size as well, unless the options give one to which all are fitted.
 */
#ifndef COP_DATA_FOLDER_H
#define COP_DATA_FOLDER_H

#include "data/pack.h"

/* Whether `folder` has a split in it. */
bool cop_folder_found(const char *folder);

/* Packs o->source into a new dataset `path`, with o->size and o->channels. COP_EINPUT names the file. */
int cop_folder_pack(const char *path, const struct cop_pack_options *o, struct cop_err *err) COP_CHECKED;

#endif
