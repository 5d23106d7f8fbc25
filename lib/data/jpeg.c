/* JPEG by libjpeg-turbo; see image.h. The library reports errors by a callback, from which we jump; nothing is printed.
 */
#include "data/image_priv.h"
#include "data/jpeg_scan.h"

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

/* Photoshop writes inks the other way round, and says so by its marker. What they leave of the light is red, green and
 * blue. */
static void mix_inks(const uint8_t *ink, size_t n, bool inverted, uint8_t *rgb)
{
	for (size_t i = 0; i < n; i++, ink += 4, rgb += 3) {
		uint32_t black = inverted ? ink[3] : 255u - ink[3];
		for (int c = 0; c < 3; c++)
			rgb[c] = (uint8_t)(((inverted ? ink[c] : 255u - ink[c]) * black + 127) / 255);
	}
}

static void no_output(j_common_ptr jpeg)
{
	(void)jpeg;
}

/*
 * The largest cells of which both sides still have twice `size`: coarser ones would show where they are cut. Colours
 * that are sampled still less often than usual would be too coarse as well.
 */
static uint32_t cell_of(const struct jpeg_decompress_struct *j, int size)
{
	uint32_t least = j->image_width < j->image_height ? j->image_width : j->image_height, cell = 8;
	if (size == 0 || j->max_h_samp_factor > 2 || j->max_v_samp_factor > 2)
		return 1;
	while (cell > 1 && least / cell < (uint32_t)size * 2)
		cell /= 2;
	return cell;
}

/* By libjpeg itself: whatever it knows, and with its words where it does not. */
static void read_rows(struct decoding *d)
{
	struct jpeg_decompress_struct *j = &d->jpeg;
	j->scale_num = 1;
	j->scale_denom = (unsigned)d->im.cell;
	jpeg_start_decompress(j);
	size_t each = (size_t)j->output_width * (size_t)j->output_components;
	bool inks = j->out_color_space == JCS_CMYK;
	uint8_t *line = inks ? (uint8_t *)j->mem->alloc_small((j_common_ptr)j, JPOOL_IMAGE, each) : NULL;
	while (j->output_scanline < j->output_height) {
		uint8_t *to = d->im.pixel + (size_t)j->output_scanline * j->output_width * (size_t)d->im.channels;
		JSAMPROW row = inks ? line : to;
		jpeg_read_scanlines(j, &row, 1);
		if (inks)
			mix_inks(line, j->output_width, j->saw_Adobe_marker, to);
	}
	jpeg_finish_decompress(j);
}

static void read_image(const char *path, struct decoding *d, int size, struct cop_err *err)
{
	struct jpeg_decompress_struct *j = &d->jpeg;
	jpeg_read_header(j, TRUE);
	int n = j->num_components;
	if (n != 1 && n != 3 && n != 4) {
		d->rc = cop_fail(err, COP_EINPUT, "'%s' has %d colour channels: only grey, RGB and CMYK are read", path,
				 n);
		return;
	}
	j->out_color_space = n == 1 ? JCS_GRAYSCALE : n == 3 ? JCS_RGB : JCS_CMYK;
	d->rc = cop_image_alloc(path, j->image_height, j->image_width, cell_of(j, size), n == 1 ? 1 : 3, &d->im, err);
	if (d->rc)
		return;
	if (d->im.cell == 1 || !cop_jpeg_scan(j, &d->im))
		read_rows(d);
}

static int decode(const char *path, const uint8_t *data, size_t len, int size, struct decoding *d, struct cop_err *err)
{
	if (setjmp(d->back))
		return cop_fail(err, COP_EINPUT, "cannot decode '%s': %s", path, d->message);
	jpeg_create_decompress(&d->jpeg);
	jpeg_mem_src(&d->jpeg, data, len);
	read_image(path, d, size, err);
	return d->rc;
}

int cop_jpeg_decode(const char *path, const uint8_t *data, size_t len, int size, struct cop_image *im,
		    struct cop_err *err)
{
	struct decoding d = {0};
	d.jpeg.err = jpeg_std_error(&d.manager);
	d.jpeg.client_data = &d;
	d.manager.error_exit = on_error;
	d.manager.emit_message = on_message;
	d.manager.output_message = no_output;
	int rc = decode(path, data, len, size, &d, err);
	jpeg_destroy_decompress(&d.jpeg);
	if (rc)
		cop_image_release(&d.im);
	else
		*im = d.im;
	return rc;
}
