/*
 * Baseline JPEGs straight into means of cells. Where an image is to become small, most of a decoder's time goes into
 * reading the Huffman codes of what is averaged away. Here a coefficient is added to the means that it changes as soon
 * as it is read, and blocks of 8 x 8 are never put together.
 */
#ifndef COP_DATA_JPEG_SCAN_H
#define COP_DATA_JPEG_SCAN_H

#include "data/image.h"

#include <stdio.h>

#include <jpeglib.h>

/*
 * `jpeg` has read a header, and its source stands behind it. Fills im->pixel, where `im` has been allocated with a cell
 * of 2, 4 or 8 and the channels of the file. False: the file is of another kind than these few lines know, or is
 * damaged, and it is libjpeg's to say; the source then stands where it stood.
 */
bool cop_jpeg_scan(const struct jpeg_decompress_struct *jpeg, struct cop_image *im);

#endif
