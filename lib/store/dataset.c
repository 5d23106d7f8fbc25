/* Reading datasets; see dataset.h. Writing them is in dataset_write.c. */
#include "store/dataset.h"

#include "base/file.h"
#include "base/layout.h"
#include "base/mem.h"
#include "store/describe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLASSES_MAX = 1 << 20 };

const char *const cop_split_names[COP_SPLITS] = {[COP_SPLIT_TRAIN] = "train", [COP_SPLIT_TEST] = "test"};

static int not_images(const char *path, const char *set, struct cop_err *err)
{
	return cop_fail(err, COP_EINPUT, "'%s' in '%s' is no set of images (N,H,W,C) of 1..%d x 1..%d x 1..%d", set,
			path, COP_SIDE_MAX, COP_SIDE_MAX, COP_CHANNELS_MAX);
}

/* Shape and count of one split; what the other splits must agree with is taken from the training images. */
static int read_split(struct cop_h5 *f, enum cop_split split, struct cop_dataset_info *d, struct cop_err *err)
{
	char images[32], labels[32];
	snprintf(images, sizeof(images), "%s/images", cop_split_names[split]);
	snprintf(labels, sizeof(labels), "%s/labels", cop_split_names[split]);
	int rank, label_rank;
	int64_t dim[COP_RANK_MAX], label_dim[COP_RANK_MAX];
	int rc = cop_h5_shape(f, images, &rank, dim, err);
	if (!rc)
		rc = cop_h5_shape(f, labels, &label_rank, label_dim, err);
	if (rc)
		return rc;
	if (rank != 4 || dim[0] < 0 || dim[0] > INT32_MAX || dim[1] < 1 || dim[1] > COP_SIDE_MAX || dim[2] < 1 ||
	    dim[2] > COP_SIDE_MAX || dim[3] < 1 || dim[3] > COP_CHANNELS_MAX)
		return not_images(d->path, images, err);
	char type[COP_DESCRIPTION], shape[COP_DESCRIPTION];
	rc = cop_h5_describe(f, images, type, shape, err);
	if (rc)
		return rc;
	/* HDF5 would convert in silence, and make 0 and 1 of images that were scaled to 0..1 */
	if (strcmp(type, "uint8") != 0)
		return cop_fail(err, COP_EINPUT, "'%s' in '%s' is %s, and must be uint8", images, d->path, type);
	if (label_rank != 1 || label_dim[0] != dim[0])
		return cop_fail(err, COP_EINPUT, "'%s' and '%s' in '%s' do not have the same length", images, labels,
				d->path);
	if (split == COP_SPLIT_TRAIN) {
		d->height = (int)dim[1];
		d->width = (int)dim[2];
		d->channels = (int)dim[3];
	} else if (dim[1] != d->height || dim[2] != d->width || dim[3] != d->channels) {
		return cop_fail(err, COP_EINPUT, "'%s' in '%s' are of another shape than the training images", images,
				d->path);
	}
	d->n[split] = dim[0];
	return 0;
}

static int read_classes(struct cop_h5 *f, struct cop_dataset_info *d, struct cop_err *err)
{
	int rank;
	int64_t dim[COP_RANK_MAX];
	size_t n = 0;
	int rc = cop_h5_shape(f, "classes", &rank, dim, err);
	if (!rc && (rank != 1 || dim[0] < 2 || dim[0] > CLASSES_MAX))
		rc = cop_fail(err, COP_EINPUT, "'classes' in '%s' does not name two classes or more", d->path);
	if (!rc)
		rc = cop_h5_read_strings(f, "classes", &d->classes, &n, err);
	d->nclasses = (int)n;
	return rc;
}

static int read_statistics(struct cop_h5 *f, struct cop_dataset_info *d, struct cop_err *err)
{
	size_t n = (size_t)d->channels;
	int rc = cop_h5_get_f32s(f, "/", "mean", d->mean, n, err);
	if (!rc)
		rc = cop_h5_get_f32s(f, "/", "std", d->std, n, err);
	for (size_t c = 0; !rc && c < n; c++)
		if (!isfinite(d->mean[c]) || !isfinite(d->std[c]) || d->std[c] < 0)
			rc = cop_fail(err, COP_EINPUT, "mean or std of channel %zu in '%s' is no sensible number", c,
				      d->path);
	char *text = NULL;
	if (!rc)
		rc = cop_h5_get_str(f, "/", "fingerprint", &text, err);
	if (!rc && (strlen(text) != COP_FINGERPRINT - 1 || strspn(text, "0123456789abcdef") != COP_FINGERPRINT - 1))
		rc = cop_fail(err, COP_EINPUT, "the fingerprint in '%s' is not 16 hex digits", d->path);
	if (!rc)
		memcpy(d->fingerprint, text, COP_FINGERPRINT);
	free(text);
	/* earlier versions did not write it */
	if (!rc && cop_h5_has_attr(f, "/", "skipped"))
		rc = cop_h5_get_i64(f, "/", "skipped", &d->skipped, err);
	return rc;
}

static int read_info(struct cop_h5 *f, struct cop_dataset_info *d, struct cop_err *err)
{
	int rc = read_split(f, COP_SPLIT_TRAIN, d, err);
	if (!rc && d->n[COP_SPLIT_TRAIN] == 0)
		rc = cop_fail(err, COP_EINPUT, "'%s' has no training images", d->path);
	if (!rc && cop_h5_has(f, cop_split_names[COP_SPLIT_TEST]))
		rc = read_split(f, COP_SPLIT_TEST, d, err);
	if (!rc)
		rc = read_classes(f, d, err);
	if (!rc)
		rc = read_statistics(f, d, err);
	return rc;
}

int cop_dataset_info_read(const char *path, struct cop_dataset_info *d, struct cop_err *err)
{
	*d = (struct cop_dataset_info){0};
	if (!cop_exists(path))
		return cop_fail(err, COP_EINPUT,
				"cannot open dataset '%s': no such file (make one with 'coppice pack')", path);
	struct cop_h5 *f = NULL;
	int rc = cop_h5_open(&f, path, "coppice-dataset", err);
	if (rc)
		return rc;
	d->path = cop_xstrdup(path);
	rc = read_info(f, d, err);
	cop_h5_close(f);
	if (rc)
		cop_dataset_info_release(d);
	return rc;
}

void cop_dataset_info_release(struct cop_dataset_info *d)
{
	for (int i = 0; i < d->nclasses; i++)
		free(d->classes[i]);
	free(d->classes);
	free(d->path);
	*d = (struct cop_dataset_info){0};
}

/* Reads the labels of an open file and checks them. */
static int read_labels(struct cop_h5 *f, const struct cop_dataset_info *d, enum cop_split split, int32_t **labels,
		       struct cop_err *err)
{
	size_t n = (size_t)d->n[split];
	char set[32];
	snprintf(set, sizeof(set), "%s/labels", cop_split_names[split]);
	int rc = cop_alloc(labels, n, sizeof(**labels), "labels", err);
	if (rc)
		return rc;
	rc = cop_h5_read(f, set, COP_H5_I32, n, *labels, err);
	for (size_t i = 0; !rc && i < n; i++)
		if ((*labels)[i] < 0 || (*labels)[i] >= d->nclasses)
			rc = cop_fail(err, COP_EINPUT, "'%s': label %d of %s image %zu is not one of %d classes",
				      d->path, (*labels)[i], cop_split_names[split], i, d->nclasses);
	if (rc) {
		free(*labels);
		*labels = NULL;
	}
	return rc;
}

static int read_images(struct cop_h5 *f, const struct cop_dataset_info *d, enum cop_split split, uint8_t **images,
		       struct cop_err *err)
{
	size_t each = (size_t)d->height * (size_t)d->width * (size_t)d->channels;
	char set[32];
	snprintf(set, sizeof(set), "%s/images", cop_split_names[split]);
	int rc = cop_alloc(images, (size_t)d->n[split], each, "images", err);
	if (rc)
		return rc;
	rc = cop_h5_read(f, set, COP_H5_U8, (size_t)d->n[split] * each, *images, err);
	if (rc) {
		free(*images);
		*images = NULL;
	}
	return rc;
}

/* `images` may be NULL. */
static int read_data(const struct cop_dataset_info *d, enum cop_split split, uint8_t **images, int32_t **labels,
		     struct cop_err *err)
{
	if (d->n[split] == 0)
		return cop_fail(err, COP_EINPUT, "'%s' has no %s images", d->path, cop_split_names[split]);
	struct cop_h5 *f = NULL;
	int rc = cop_h5_open(&f, d->path, "coppice-dataset", err);
	if (rc)
		return rc;
	rc = read_labels(f, d, split, labels, err);
	if (!rc && images) {
		rc = read_images(f, d, split, images, err);
		if (rc) {
			free(*labels);
			*labels = NULL;
		}
	}
	cop_h5_close(f);
	return rc;
}

int cop_dataset_read(const struct cop_dataset_info *d, enum cop_split split, uint8_t **images, int32_t **labels,
		     struct cop_err *err)
{
	return read_data(d, split, images, labels, err);
}

int cop_dataset_read_labels(const struct cop_dataset_info *d, enum cop_split split, int32_t **labels,
			    struct cop_err *err)
{
	return read_data(d, split, NULL, labels, err);
}
