/* make_jpeg WIDTH HEIGHT [SEED [grey|cmyk|progressive]]: a JPEG of soft colours to stdout. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

int main(int argc, char **argv)
{
	const char *how = argc > 4 ? argv[4] : "";
	int width = argc > 1 ? atoi(argv[1]) : 0, height = argc > 2 ? atoi(argv[2]) : 0,
	    seed = argc > 3 ? atoi(argv[3]) : 1;
	int n = strcmp(how, "grey") == 0 ? 1 : strcmp(how, "cmyk") == 0 ? 4 : 3;
	struct jpeg_compress_struct j;
	struct jpeg_error_mgr manager;
	if (width < 1 || height < 1)
		return 2;
	j.err = jpeg_std_error(&manager);
	jpeg_create_compress(&j);
	jpeg_stdio_dest(&j, stdout);
	j.image_width = (JDIMENSION)width;
	j.image_height = (JDIMENSION)height;
	j.input_components = n;
	j.in_color_space = n == 1 ? JCS_GRAYSCALE : n == 3 ? JCS_RGB : JCS_CMYK;
	jpeg_set_defaults(&j);
	if (strcmp(how, "progressive") == 0)
		jpeg_simple_progression(&j);
	jpeg_start_compress(&j, TRUE);
	uint8_t *line = malloc((size_t)width * (size_t)n);
	for (int y = 0; line && y < height; y++) {
		JSAMPROW row = line;
		for (int i = 0; i < width * n; i++)
			line[i] = (uint8_t)((seed * 37 * (i % n + 1) + (i / n) / 3 + y / 2) & 255);
		jpeg_write_scanlines(&j, &row, 1);
	}
	jpeg_finish_compress(&j);
	jpeg_destroy_compress(&j);
	free(line);
	return fflush(stdout) != 0;
}
