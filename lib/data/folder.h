/*
 * Packing folders of images (see tree.h for how they lie). Images are decoded by threads and written in order by one.
 *
 * The first training image that can be read decides on grey or RGB: where it is grey, all must be; where it is RGB,
 * grey ones become RGB. It decides on the size as well, unless the options give one to which all are fitted.
 *
 * Images that cannot be read are looked for to the end, and named; then nothing is packed, unless they are to be left
 * out.
 */
#ifndef COP_DATA_FOLDER_H
#define COP_DATA_FOLDER_H

#include "data/pack.h"

/* Packs o->source into a new dataset `path`, by the options for folders of images. COP_EINPUT names the file. */
int cop_folder_pack(const char *path, const struct cop_pack_options *o, struct cop_err *err) COP_CHECKED;

#endif
