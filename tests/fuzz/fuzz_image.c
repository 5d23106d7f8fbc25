/*
 * PNG and JPEG: any bytes are refused or become an image, the same for a full decode and for one into cells, and are
 * fitted. The limit of pixels is lower here (image.h), so that inputs are small and many.
 */
#include "data/image.h"

#include <stdlib.h>

static void fit(const struct cop_image *im)
{
	static uint8_t out[16 * 16 * 3];
	struct cop_err err;
	for (int resize = COP_RESIZE_CROP; resize <= COP_RESIZE_STRETCH; resize++)
		if (cop_image_fit(im, 16, resize, out, &err) || cop_image_fit(im, 3, resize, out, &err))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int channels[] = {0, 3, 1};
	int want = size ? channels[data[size - 1] % 3] : 0;
	struct cop_image full, small;
	struct cop_err err;
	int rc = cop_image_decode("full", data, size, want, 0, &full, &err);
	int rc_small = cop_image_decode("small", data, size, want, 1, &small, &err);
	if (rc != rc_small)
		abort();
	if (rc)
		return 0;
	if (full.width != small.width || full.height != small.height || full.channels != small.channels)
		abort();
	fit(&full);
	fit(&small);
	cop_image_release(&full);
	cop_image_release(&small);
	return 0;
}
