/* Packing: whatever images there are, into one dataset. The front of the floor; each kind of source has its own file.
 */
#ifndef COP_DATA_PACK_H
#define COP_DATA_PACK_H

#include "store/dataset.h"

#include <stdbool.h>
#include <stdint.h>

struct cop_pack_options {
	const char *synthetic; /* "glyphs", or NULL: read `source` */
	int64_t n[COP_SPLITS]; /* synthetic: images to draw, each 1..2^31-1 */
	uint64_t seed;         /* synthetic */
	const char *source;    /* a folder of IDX files, or of SPLIT/CLASS/IMAGE */
	int size;              /* folders of images: fit to size x size; 0: all must be of one size */
	int channels;          /* folders of images: 1 or 3; 0: as the first image has it */
	bool force;            /* an existing output is replaced */
};

/* The options' defaults: 12000 and 2000 glyphs, seed 1, nothing forced. */
extern const struct cop_pack_options cop_pack_defaults;

/*
 * Writes the dataset `path`. COP_EINPUT names the file that is not what it should be, and what to do; whatever fails,
 * nothing is left behind.
 */
int cop_pack(const char *path, const struct cop_pack_options *o, struct cop_err *err) COP_CHECKED;

#endif
