/*
 * Glyphs: the ten digits, drawn from strokes of our own design with random deformation, as data that needs no download.
 *
 * A digit is a few strokes given by control points. For one image the points are jittered, joined (straight, or by a
 * Catmull-Rom spline), mapped by a random rotation, shear, scale and shift, drawn with a random pen as an
 * anti-aliased distance field, crossed now and then by a stray stroke, and covered with noise.
 *
 * Nothing but +, -, *, / and sqrt is used, which IEEE 754 rounds in one way only: the same bits on every machine.
 */
#ifndef COP_DATA_GLYPHS_H
#define COP_DATA_GLYPHS_H

#include "store/dataset.h"

#include <stdint.h>

enum { COP_GLYPH_SIDE = 28, COP_GLYPH_CLASSES = 10 };

/*
 * Draws image `index` of a split, a function of (seed, split, index) alone, into `image` (28,28), white on black.
 * Returns its label, index mod 10.
 */
int cop_glyph_draw(uint64_t seed, enum cop_split split, uint32_t index, uint8_t *image);

/* Draws n[split] images for each split into a new dataset `path`. COP_EFAILED. */
int cop_glyphs_pack(const char *path, const int64_t n[COP_SPLITS], uint64_t seed, struct cop_err *err) COP_CHECKED;

#endif
