/*
 * From the pixels of a dataset to the input of a network: images are moved, cut out, mirrored and scaled on the way.
 * Sixteen images at a time, so that whole cache lines are written; what comes out depends on the images alone.
 */
#ifndef COP_COMPUTE_GATHER_H
#define COP_COMPUTE_GATHER_H

#include <stdbool.h>
#include <stdint.h>

enum { COP_GATHER = 16, COP_GATHER_CHANNELS = 4 };

/* Images as they lie in a dataset, and how they become the input of a network. */
struct cop_image_source {
	const uint8_t *images;      /* (N, height, width, channels) */
	int height, width;          /* up to 65535 */
	int channels;               /* up to COP_GATHER_CHANNELS */
	const float *scale, *shift; /* (channels): value = pixel * scale + shift */
};

/* A part of an image that is blown up to the image's size; height 0: the whole of it. */
struct cop_box {
	uint16_t top, left, height, width; /* within the image */
};

/*
 * One image of a batch: where it lies, and either how it is moved (in pixels; black outside) or which box of it is
 * taken (bilinear, PyTorch's align_corners=False: pixels are squares, and beyond the box its edge goes on). Then it is
 * mirrored.
 */
struct cop_pick {
	uint32_t index;
	int16_t dy, dx;
	struct cop_box box;
	bool flip;
};

/*
 * Sixteen columns of x (height*width*channels, ld) from n <= 16 picks; the columns from n on become 0. Feature
 * (y*width + x)*channels + c: the order of the pixels in the dataset. x is aligned to 64 bytes, ld is a multiple of 16.
 */
void cop_gather16(const struct cop_image_source *s, const struct cop_pick *pick, int n, int ld, float *x);

#endif
