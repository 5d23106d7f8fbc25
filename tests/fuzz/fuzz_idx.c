/* IDX files, plain and gzipped: opening, labels, images, and what follows the last value. */
#include "data/idx.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { IMAGE_MAX = 1 << 20, IMAGES_MAX = 64 };

static void read_images(const char *path)
{
	struct cop_idx *x = NULL;
	struct cop_err err;
	int64_t dim[COP_IDX_RANK_MAX];
	if (cop_idx_open(&x, path, 3, dim, &err))
		return;
	size_t each = dim[1] > IMAGE_MAX || dim[2] > IMAGE_MAX ? 0 : (size_t)dim[1] * (size_t)dim[2];
	uint8_t *image = each && each <= IMAGE_MAX ? malloc(each) : NULL;
	int rc = 0;
	for (int64_t i = 0; image && !rc && i < dim[0] && i < IMAGES_MAX; i++)
		rc = cop_idx_read(x, image, each, &err);
	if (!rc)
		rc = cop_idx_end(x, &err);
	free(image);
	cop_idx_close(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	static char path[64];
	if (fd < 0) {
		fd = memfd_create("idx", MFD_CLOEXEC);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	if (ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	uint8_t *label = NULL;
	int64_t n = 0;
	struct cop_err err;
	if (cop_idx_labels(path, &label, &n, &err) == 0) {
		unsigned sum = 0;
		for (int64_t i = 0; i < n; i++)
			sum += label[i];
		if (sum > 255u * (uint64_t)n)
			abort();
		free(label);
	}
	read_images(path);
	return 0;
}
