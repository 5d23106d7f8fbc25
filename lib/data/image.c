/* Images; see image.h. */
#include "data/image.h"

#include "base/file.h"
#include "base/mem.h"
#include "data/image_priv.h"
#include "store/dataset.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { FILE_MAX = 1 << 28 };

static const char *const kind_names[] = {
	[COP_IMAGE_NONE] = "file of another kind", [COP_IMAGE_PNG] = "PNG", [COP_IMAGE_JPEG] = "JPEG"};

enum cop_image_kind cop_image_kind_of_name(const char *name)
{
	const char *dot = strrchr(name, '.');
	if (!dot)
		return COP_IMAGE_NONE;
	if (strcasecmp(dot, ".png") == 0)
		return COP_IMAGE_PNG;
	return strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0 ? COP_IMAGE_JPEG : COP_IMAGE_NONE;
}

enum cop_image_kind cop_image_kind_of_data(const uint8_t *data, size_t len)
{
	if (len >= 8 && memcmp(data, "\x89PNG\r\n\x1a\n", 8) == 0)
		return COP_IMAGE_PNG;
	return len >= 3 && memcmp(data, "\xff\xd8\xff", 3) == 0 ? COP_IMAGE_JPEG : COP_IMAGE_NONE;
}

int cop_image_alloc(const char *path, uint32_t height, uint32_t width, uint32_t cell, int channels,
		    struct cop_image *im, struct cop_err *err)
{
	if (height == 0 || width == 0 || height > COP_SIDE_MAX || width > COP_SIDE_MAX ||
	    (uint64_t)height * width > COP_IMAGE_PIXELS_MAX)
		return cop_fail(err, COP_EINPUT, "'%s' is %ux%u pixels: at most %d million are read", path, width,
				height, COP_IMAGE_PIXELS_MAX >> 20);
	size_t rows = (height + cell - 1) / cell, columns = (width + cell - 1) / cell;
	int rc = cop_alloc(&im->pixel, rows * columns, (size_t)channels, "an image", err);
	if (rc)
		return rc;
	im->height = (int)height;
	im->width = (int)width;
	im->channels = channels;
	im->cell = (int)cell;
	return 0;
}

void cop_image_release(struct cop_image *im)
{
	free(im->pixel);
	*im = (struct cop_image){0};
}

static size_t pixels_held(const struct cop_image *im)
{
	size_t cell = (size_t)im->cell;
	return (((size_t)im->height + cell - 1) / cell) * (((size_t)im->width + cell - 1) / cell);
}

/* In place: the result is never longer than its source. */
static void make_grey(struct cop_image *im)
{
	size_t n = pixels_held(im);
	for (size_t i = 0; i < n; i++) {
		const uint8_t *p = im->pixel + 3 * i;
		im->pixel[i] = (uint8_t)((19595u * p[0] + 38470u * p[1] + 7471u * p[2] + 32768u) >> 16);
	}
	im->channels = 1;
}

static int make_rgb(struct cop_image *im, struct cop_err *err)
{
	size_t n = pixels_held(im);
	uint8_t *rgb = NULL;
	int rc = cop_alloc(&rgb, n, 3, "an image", err);
	if (rc)
		return rc;
	for (size_t i = 0; i < n; i++)
		rgb[3 * i] = rgb[3 * i + 1] = rgb[3 * i + 2] = im->pixel[i];
	free(im->pixel);
	im->pixel = rgb;
	im->channels = 3;
	return 0;
}

int cop_image_decode(const char *path, const uint8_t *data, size_t len, int channels, int size, struct cop_image *im,
		     struct cop_err *err)
{
	int rc = 0;
	*im = (struct cop_image){0};
	switch (cop_image_kind_of_data(data, len)) {
	case COP_IMAGE_PNG:
		rc = cop_png_decode(path, data, len, im, err);
		break;
	case COP_IMAGE_JPEG:
		rc = cop_jpeg_decode(path, data, len, size, im, err);
		break;
	case COP_IMAGE_NONE:
		rc = cop_fail(err, COP_EINPUT, "'%s' is neither a PNG nor a JPEG", path);
		break;
	}
	if (rc)
		return rc;
	if (channels == 1 && im->channels == 3)
		make_grey(im);
	else if (channels == 3 && im->channels == 1)
		rc = make_rgb(im, err);
	if (rc)
		cop_image_release(im);
	return rc;
}

/* What can be seen without opening: a pipe would never end, and a link may go in circles. */
static int check_file(const char *path, struct cop_err *err)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return cop_fail_errno(err, COP_EINPUT, "cannot open '%s'", path);
	if (S_ISDIR(st.st_mode))
		return cop_fail(err, COP_EINPUT, "'%s' is a folder, not an image", path);
	if (!S_ISREG(st.st_mode))
		return cop_fail(err, COP_EINPUT, "'%s' is no ordinary file", path);
	if (st.st_size == 0)
		return cop_fail(err, COP_EINPUT, "'%s' is empty", path);
	if (st.st_size > FILE_MAX)
		return cop_fail(err, COP_EINPUT, "'%s' has over %d MiB: that is no image to learn from", path,
				FILE_MAX >> 20);
	return 0;
}

int cop_image_read(const char *path, int channels, int size, struct cop_image *im, struct cop_err *err)
{
	char *data = NULL;
	size_t len = 0;
	int rc = check_file(path, err);
	if (!rc)
		rc = cop_read_file(path, &data, &len, err);
	if (rc)
		return rc;
	enum cop_image_kind is = cop_image_kind_of_data((uint8_t *)data, len), says = cop_image_kind_of_name(path);
	if (is != COP_IMAGE_NONE && is != says)
		rc = cop_fail(err, COP_EINPUT, "'%s' is a %s, not a %s as its name says", path, kind_names[is],
			      kind_names[says]);
	else
		rc = cop_image_decode(path, (uint8_t *)data, len, channels, size, im, err);
	free(data);
	return rc;
}
