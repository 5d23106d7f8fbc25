/*
 * The one colour scale of every heat map, dark indigo through teal and green to pale yellow. It is laid out in OKLab
 * (Ottosson, "A perceptual color space for image processing", 2020) with lightness rising evenly, so equal steps in
 * value look equal, and it reads in grey and for the colour-blind.
 */
#ifndef COP_REPORT_PALETTE_H
#define COP_REPORT_PALETTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cop_rgb {
	uint8_t r, g, b;
};

/* The colour at t in [0,1]; beyond is clamped, NaN is 0. */
struct cop_rgb cop_palette(double t);

/*
 * Colours for lines of different kinds, for a light page or a dark one: COP_CATEGORIES, then the same again. The hues
 * are those of Okabe & Ito ("Color universal design", 2008), told apart by the colour-blind; the lightness is set for
 * a contrast of 3 with the page.
 */
enum { COP_CATEGORIES = 7 };
struct cop_rgb cop_category(size_t i, bool dark);

/* Relative luminance in [0,1], and the contrast of two colours in 1..21 (WCAG 2.1). */
double cop_luminance(struct cop_rgb c);
double cop_contrast(struct cop_rgb a, struct cop_rgb b);

/* Whether dark text reads better than white on `c`. */
bool cop_wants_dark_text(struct cop_rgb c);

/* The nearest of xterm's 256 colours: 16..231 the cube, 232..255 the greys. */
int cop_xterm256(struct cop_rgb c);

#endif
