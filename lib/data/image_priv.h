/* What the decoders share with image.c. Not for other files. */
#ifndef COP_DATA_IMAGE_PRIV_H
#define COP_DATA_IMAGE_PRIV_H

#include "data/image.h"

/* Each decodes one kind into 1 or 3 channels, whichever the file has; `im` is {0} before, and untouched on failure. */
int cop_png_decode(const char *path, const uint8_t *data, size_t len, struct cop_image *im, struct cop_err *err)
	COP_CHECKED;
int cop_jpeg_decode(const char *path, const uint8_t *data, size_t len, int size, struct cop_image *im,
		    struct cop_err *err) COP_CHECKED;

/* Checks the size that a header announces and makes room for its pixels, or for the means of cells of them. COP_EINPUT,
 * COP_EFAILED. */
int cop_image_alloc(const char *path, uint32_t height, uint32_t width, uint32_t cell, int channels,
		    struct cop_image *im, struct cop_err *err) COP_CHECKED;

#endif
