/* The colour scale; see palette.h. */
#include "report/palette.h"

#include <math.h>
#include <stddef.h>

/* OKLab by lightness, chroma and hue in degrees, at even steps of t. */
struct tone {
	double lightness, chroma, hue;
};

static const struct tone points[] = {
	{0.27, 0.090, 292}, {0.43, 0.105, 262}, {0.59, 0.092, 205}, {0.75, 0.125, 155}, {0.91, 0.155, 108},
};

enum { NPOINTS = sizeof(points) / sizeof(points[0]) };

static uint8_t gamma_byte(double linear)
{
	double v = linear <= 0.0031308 ? 12.92 * linear : 1.055 * pow(linear, 1 / 2.4) - 0.055;
	return (uint8_t)(v <= 0 ? 0 : v >= 1 ? 255 : lround(255 * v));
}

static struct cop_rgb from_oklab(double lightness, double a, double b)
{
	double l = pow(lightness + 0.3963377774 * a + 0.2158037573 * b, 3);
	double m = pow(lightness - 0.1055613458 * a - 0.0638541728 * b, 3);
	double s = pow(lightness - 0.0894841775 * a - 1.2914855480 * b, 3);
	return (struct cop_rgb){
		gamma_byte(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
		gamma_byte(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
		gamma_byte(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s),
	};
}

static struct cop_rgb from_hue(double lightness, double chroma, double degrees)
{
	double hue = degrees * acos(-1) / 180;
	return from_oklab(lightness, chroma * cos(hue), chroma * sin(hue));
}

struct cop_rgb cop_category(size_t i, bool dark)
{
	/* blue, vermilion, green, purple, orange, sky blue, grey */
	static const struct tone kinds[COP_CATEGORIES] = {
		{0.50, 0.130, 248}, {0.62, 0.170, 45},  {0.57, 0.120, 165}, {0.50, 0.140, 345},
		{0.66, 0.130, 75},  {0.66, 0.100, 230}, {0.45, 0, 0},
	};
	size_t k = i % COP_CATEGORIES;
	return from_hue(kinds[k].lightness + (dark ? 0.16 : 0), kinds[k].chroma, kinds[k].hue);
}

struct cop_rgb cop_palette(double t)
{
	double at = (t > 0 ? (t < 1 ? t : 1) : 0) * (NPOINTS - 1);
	size_t i = at < NPOINTS - 2 ? (size_t)at : NPOINTS - 2;
	double f = at - (double)i;
	double lightness = (1 - f) * points[i].lightness + f * points[i + 1].lightness;
	double chroma = (1 - f) * points[i].chroma + f * points[i + 1].chroma;
	double hue = ((1 - f) * points[i].hue + f * points[i + 1].hue);
	return from_hue(lightness, chroma, hue);
}

static double linear(uint8_t byte)
{
	double v = byte / 255.0;
	return v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4);
}

double cop_luminance(struct cop_rgb c)
{
	return 0.2126 * linear(c.r) + 0.7152 * linear(c.g) + 0.0722 * linear(c.b);
}

double cop_contrast(struct cop_rgb a, struct cop_rgb b)
{
	double x = cop_luminance(a) + 0.05, y = cop_luminance(b) + 0.05;
	return x > y ? x / y : y / x;
}

bool cop_wants_dark_text(struct cop_rgb c)
{
	return cop_contrast(c, (struct cop_rgb){0x11, 0x11, 0x11}) > cop_contrast(c, (struct cop_rgb){255, 255, 255});
}

/* The cube's levels are 0, 95, 135, 175, 215, 255. */
static int cube_level(int v)
{
	return v < 48 ? 0 : v < 115 ? 1 : (v - 35) / 40;
}

/* By distance alone a dark blue would become a grey: greys are for what has no colour. */
int cop_xterm256(struct cop_rgb c)
{
	int least = c.r < c.g ? c.r : c.g, most = c.r > c.g ? c.r : c.g;
	least = least < c.b ? least : c.b;
	most = most > c.b ? most : c.b;
	if (most - least < 12 && least > 4 && most < 247)
		return 232 + (least + most < 6 ? 0 : ((least + most) / 2 - 3) / 10);
	return 16 + 36 * cube_level(c.r) + 6 * cube_level(c.g) + cube_level(c.b);
}
