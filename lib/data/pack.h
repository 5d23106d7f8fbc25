/* Packing: whatever images there are, into one dataset. The front of the floor; each kind of source has its own file.
 */
#ifndef COP_DATA_PACK_H
#define COP_DATA_PACK_H

#include "data/image.h"
#include "store/dataset.h"

#include <stdbool.h>
#include <stdint.h>

struct cop_pack_options {
	const char *synthetic; /* "glyphs", or NULL: read `source` */
	int64_t n[COP_SPLITS]; /* synthetic: images to draw, each 1..2^31-1 */
	uint64_t seed;         /* synthetic */
	const char *source;    /* a folder of IDX files, of CIFAR's binary batches, or of SPLIT/CLASS/IMAGE */
	/* folders of images: */
	int size;               /* fit to size x size; 0: all must be of one size */
	enum cop_resize resize; /* how, where size is given */
	int channels;           /* 1 or 3; 0: as the first image has it */
	int threads;            /* that decode; 0: all processors. The result does not depend on them */
	bool skip_broken;       /* leave out images that cannot be read, instead of refusing all */
	bool force;             /* an existing output is replaced */
};

/* The options' defaults: 12000 and 2000 glyphs, seed 1, nothing forced. */
extern const struct cop_pack_options cop_pack_defaults;

/*
 * Writes the dataset `path`. COP_EINPUT names the file that is not what it should be, and what to do; whatever fails,
 * nothing is left behind.
 */
int cop_pack(const char *path, const struct cop_pack_options *o, struct cop_err *err) COP_CHECKED;

#endif
