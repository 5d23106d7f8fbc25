/* PNG by libpng; see image.h. The library reports errors by a jump; nothing is printed. */
#include "data/image_priv.h"

#include <png.h>
#include <stdlib.h>
#include <string.h>

struct reader {
	const uint8_t *data;
	size_t left;
	char message[160];
};

/* What must survive the jump lives here, not in locals that a register may hold. */
struct decoding {
	png_structp png;
	png_infop info;
	png_bytep *row;
	struct cop_image im;
	int rc; /* of our own checks, which have filled err */
};

static void on_error(png_structp png, png_const_charp text)
{
	struct reader *r = png_get_error_ptr(png);
	snprintf(r->message, sizeof(r->message), "%s", text);
	png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
	(void)png;
	(void)text;
}

static void on_read(png_structp png, png_bytep to, size_t n)
{
	struct reader *r = png_get_io_ptr(png);
	if (n > r->left)
		png_error(png, "it is truncated");
	memcpy(to, r->data, n);
	r->data += n;
	r->left -= n;
}

/* Grey stays grey, all else becomes RGB, 8 bits a channel, no alpha. */
static int set_format(png_structp png, png_infop info)
{
	int colour = png_get_color_type(png, info);
	int channels = colour == PNG_COLOR_TYPE_GRAY || colour == PNG_COLOR_TYPE_GRAY_ALPHA ? 1 : 3;
	png_set_scale_16(png);
	if (colour == PNG_COLOR_TYPE_PALETTE)
		png_set_palette_to_rgb(png);
	if (channels == 1)
		png_set_expand_gray_1_2_4_to_8(png);
	png_set_strip_alpha(png);
	png_set_interlace_handling(png);
	png_read_update_info(png, info);
	return channels;
}

static void read_image(const char *path, struct decoding *d, struct cop_err *err)
{
	png_read_info(d->png, d->info);
	uint32_t height = png_get_image_height(d->png, d->info), width = png_get_image_width(d->png, d->info);
	int channels = set_format(d->png, d->info);
	d->rc = cop_image_alloc(path, height, width, 1, channels, &d->im, err);
	if (d->rc)
		return;
	if (png_get_rowbytes(d->png, d->info) != (size_t)width * (size_t)channels)
		png_error(d->png, "its rows have an unexpected length");
	d->row = png_malloc(d->png, height * sizeof(*d->row));
	for (uint32_t y = 0; y < height; y++)
		d->row[y] = d->im.pixel + (size_t)y * width * (size_t)channels;
	png_read_image(d->png, d->row);
	png_read_end(d->png, NULL);
}

static int decode(const char *path, struct reader *r, struct decoding *d, struct cop_err *err)
{
	if (setjmp(png_jmpbuf(d->png)))
		return cop_fail(err, COP_EINPUT, "cannot decode '%s': %s", path, r->message);
	png_set_read_fn(d->png, r, on_read);
	read_image(path, d, err);
	return d->rc;
}

int cop_png_decode(const char *path, const uint8_t *data, size_t len, struct cop_image *im, struct cop_err *err)
{
	struct reader r = {.data = data, .left = len};
	struct decoding d = {0};
	d.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning);
	d.info = d.png ? png_create_info_struct(d.png) : NULL;
	int rc = d.info ? decode(path, &r, &d, err) : cop_fail(err, COP_EFAILED, "cannot set up libpng");
	if (d.png)
		png_free(d.png, d.row);
	png_destroy_read_struct(&d.png, &d.info, NULL);
	if (rc)
		cop_image_release(&d.im);
	else
		*im = d.im;
	return rc;
}
