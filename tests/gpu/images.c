/* Small images; see images.h. */
#include "images.h"

#include "base/rng.h"
#include "module.h"
#include "random_graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct cop_data images, small_images;
enum cop_precision images_precision = COP_FP32;
static char folder[] = "images.XXXXXX", paths[2][64];

/* Images of a pattern for each class, and noise. */
static int write_data(const char *path, int side, struct cop_err *err)
{
	static const char *const classes[CLASSES] = {"a", "b", "c", "d", "e"};
	struct cop_dataset_writer *w;
	struct cop_stream s;
	uint8_t image[SIDE * SIDE * CHANNELS];
	cop_stream_init(&s, 4, COP_PURPOSE_TEST, 2, 0);
	int rc = cop_dataset_create(&w, path, side, side, CHANNELS, classes, CLASSES, err);
	if (rc)
		return rc;
	for (int split = 0; split < COP_SPLITS && !rc; split++)
		for (int i = 0; i < (split == COP_SPLIT_TRAIN ? TRAINING : TESTING) && !rc; i++) {
			int class = i % CLASSES;
			for (int p = 0; p < side * side * CHANNELS; p++)
				image[p] = (uint8_t)((p * (class + 2) / 7 * 16 + random_between(&s, 0, 120)) % 256);
			rc = cop_dataset_add(w, split, image, class, err);
		}
	if (rc)
		cop_dataset_abandon(w);
	return rc ? rc : cop_dataset_commit(w, err);
}

static int make(struct cop_data *d, char to[64], int side)
{
	struct cop_err err = {0};
	struct cop_data_config c = {.path = to, .validation = VALIDATION, .crop_padding = 2, .flip = true};
	snprintf(to, 64, "%s/%d.h5", folder, side);
	if (!write_data(to, side, &err) && !cop_data_open(d, &c, &err))
		return 0;
	fprintf(stderr, "%s\n", err.msg);
	return -1;
}

int images_begin(void **state)
{
	(void)state;
	if (module_open(images_precision) || !mkdtemp(folder))
		return -1;
	return make(&images, paths[0], SIDE) || make(&small_images, paths[1], SMALL);
}

int images_end(void **state)
{
	(void)state;
	cop_data_release(&images);
	cop_data_release(&small_images);
	unlink(paths[0]);
	unlink(paths[1]);
	return rmdir(folder);
}
