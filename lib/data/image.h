/*
 * Images: PNG and JPEG files into 8-bit pixels, and fitting them to one size.
 *
 * What is stored counts, not what could be shown: gamma, colour profiles and EXIF's orientation are not applied,
 * transparency is dropped, 16 bits are scaled to 8. A file that is damaged anywhere is an error, although the libraries
 * would guess the rest.
 */
#ifndef COP_DATA_IMAGE_H
#define COP_DATA_IMAGE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Larger images are refused. A fuzzer has use for small ones only. */
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
enum { COP_IMAGE_PIXELS_MAX = 1 << 20 };
#else
enum { COP_IMAGE_PIXELS_MAX = 64 << 20 };
#endif

struct cop_image {
	int height, width; /* of the file, in its own pixels */
	int channels;      /* 1 grey, 3 RGB */
	int cell;          /* 1, 2, 4 or 8: what is held are means of cell x cell pixels, those at the edge of fewer */
	uint8_t *pixel;    /* (ceil(height/cell), ceil(width/cell), channels), owned */
};

/* What an image becomes when it is made square. */
enum cop_resize {
	COP_RESIZE_CROP,   /* the shorter side is scaled, and the middle taken */
	COP_RESIZE_STRETCH /* each side is scaled by itself */
};

enum cop_image_kind { COP_IMAGE_NONE, COP_IMAGE_PNG, COP_IMAGE_JPEG };

/* What the name's ending promises (.png, .jpg, .jpeg, .JPEG and the like), and what the first bytes are. */
enum cop_image_kind cop_image_kind_of_name(const char *name);
enum cop_image_kind cop_image_kind_of_data(const uint8_t *data, size_t len);

/*
 * Decodes `len` bytes; `path` is for messages. `channels`: 1 or 3 converts (grey is ITU-R 601's luma), 0 leaves grey
 * grey and makes all else RGB, CMYK too. `size`: 0 decodes every pixel; otherwise a JPEG may come as means of cells, of
 * which both sides have at least twice `size`: enough for cop_image_fit. COP_EINPUT: neither PNG nor JPEG,
 * damaged, over COP_IMAGE_PIXELS_MAX.
 */
int cop_image_decode(const char *path, const uint8_t *data, size_t len, int channels, int size, struct cop_image *im,
		     struct cop_err *err) COP_CHECKED;

/* Reads and decodes a file, which must be of the kind that its name says. COP_EINPUT. */
int cop_image_read(const char *path, int channels, int size, struct cop_image *im, struct cop_err *err) COP_CHECKED;
void cop_image_release(struct cop_image *im);

/*
 * Scales to size x size, into `out` (size, size, channels). A pixel is the mean of the area that it covers, each pixel
 * held counting by its share of it: weights are whole numbers, rounded once, half up. COP_EFAILED: no memory.
 */
int cop_image_fit(const struct cop_image *im, int size, enum cop_resize resize, uint8_t *out, struct cop_err *err)
	COP_CHECKED;

#endif
