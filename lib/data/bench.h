/* The benchmark of packing, for 'coppice bench'. */
#ifndef COP_DATA_BENCH_H
#define COP_DATA_BENCH_H

#include "base/err.h"

#include <stddef.h>

struct cop_bench_images {
	size_t images;            /* decoded, over and over */
	double seconds;           /* that this took */
	double images_per_second; /* of all threads together */
	double bytes_per_second;  /* of the files */
};

/*
 * Decodes the images of a folder to size x size x 3 as 'coppice pack' does, in its order, again and again for about
 * `seconds`, on `threads` threads (0: all processors), and writes nothing. `folder` holds SPLIT/CLASS/IMAGE, of which
 * the training images are read, or images themselves. COP_EINPUT: there are none, or one cannot be read.
 */
int cop_bench_pack(const char *folder, int size, int threads, double seconds, struct cop_bench_images *out,
		   struct cop_err *err) COP_CHECKED;

#endif
