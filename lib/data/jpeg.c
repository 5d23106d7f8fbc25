/* JPEG by libjpeg-turbo; see image.h. The library reports errors by a callback, from which we jump; nothing is printed.
 */
#include "data/image_priv.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jerror.h>
#include <jpeglib.h>

/* What must survive the jump lives here, not in locals that a register may hold. */
struct decoding {
	struct jpeg_decompress_struct jpeg;
	struct jpeg_error_mgr manager;
	jmp_buf back;
	char message[JMSG_LENGTH_MAX];
	struct cop_image im;
	int rc; /* of our own checks, which have filled err */
};

static void on_error(j_common_ptr jpeg)
{
	struct decoding *d = jpeg->client_data;
	jpeg->err->format_message(jpeg, d->message);
	longjmp(d->back, 1);
}

/* The library would go on and guess pixels after most of its warnings. These few touch none. */
static void on_message(j_common_ptr jpeg, int level)
{
	int code = jpeg->err->msg_code;
	if (level < 0 && code != JWRN_EXTRANEOUS_DATA && code != JWRN_ADOBE_XFORM && code != JWRN_JFIF_MAJOR)
		on_error(jpeg);
}

static void no_output(j_common_ptr jpeg)
{
	(void)jpeg;
}

static void read_image(const char *path, struct decoding *d, struct cop_err *err)
{
	struct jpeg_decompress_struct *j = &d->jpeg;
	jpeg_read_header(j, TRUE);
	if (j->num_components != 1 && j->num_components != 3) {
		d->rc = cop_fail(err, COP_EINPUT, "'%s' has %d colour channels (CMYK?): only grey and RGB are read",
				 path, j->num_components);
		return;
	}
	int channels = j->num_components;
	j->out_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
	d->rc = cop_image_alloc(path, j->image_height, j->image_width, channels, &d->im, err);
	if (d->rc)
		return;
	jpeg_start_decompress(j);
	while (j->output_scanline < j->output_height) {
		JSAMPROW row = d->im.pixel + (size_t)j->output_scanline * j->output_width * (size_t)channels;
		jpeg_read_scanlines(j, &row, 1);
	}
	jpeg_finish_decompress(j);
}

static int decode(const char *path, const uint8_t *data, size_t len, struct decoding *d, struct cop_err *err)
{
	if (setjmp(d->back))
		return cop_fail(err, COP_EINPUT, "cannot decode '%s': %s", path, d->message);
	jpeg_create_decompress(&d->jpeg);
	jpeg_mem_src(&d->jpeg, data, len);
	read_image(path, d, err);
	return d->rc;
}

int cop_jpeg_decode(const char *path, const uint8_t *data, size_t len, struct cop_image *im, struct cop_err *err)
{
	struct decoding d = {0};
	d.jpeg.err = jpeg_std_error(&d.manager);
	d.jpeg.client_data = &d;
	d.manager.error_exit = on_error;
	d.manager.emit_message = on_message;
	d.manager.output_message = no_output;
	int rc = decode(path, data, len, &d, err);
	jpeg_destroy_decompress(&d.jpeg);
	if (rc)
		cop_image_release(&d.im);
	else
		*im = d.im;
	return rc;
}
