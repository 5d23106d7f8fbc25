/* A folder of IDX files into a dataset; see idx.h. */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "data/advance.h"
#include "data/idx.h"
#include "store/dataset.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LABELS = 256 };

/* Two usual words for the test split, two ways to join the type, plain before .gz. */
static const char *const words[COP_SPLITS][2] = {
	[COP_SPLIT_TRAIN] = {"train", NULL},
	[COP_SPLIT_TEST] = {"t10k", "test"},
};
static const char *const joints[] = {"-", "."};
static const char *const endings[] = {"", ".gz"};

struct part {
	char *image_path, *label_path;
	uint8_t *label; /* (n) */
	int64_t n;
};

struct packing {
	struct part part[COP_SPLITS];
	int nclasses;
};

/* The first file of a usual name, "images-idx3" or "labels-idx1" being `kind` and `type`; NULL: none. */
static char *find_file(const char *folder, enum cop_split split, const char *kind, const char *type)
{
	for (int i = 0; i < 8; i++) {
		const char *word = words[split][i >> 2];
		if (!word)
			break;
		char *path = cop_xasprintf("%s/%s-%s%s%s-ubyte%s", folder, word, kind, joints[i >> 1 & 1], type,
					   endings[i & 1]);
		if (cop_exists(path))
			return path;
		free(path);
	}
	return NULL;
}

bool cop_idx_found(const char *folder)
{
	bool found = false;
	for (int split = 0; split < COP_SPLITS; split++) {
		char *path = find_file(folder, split, "images", "idx3");
		if (path)
			found = true;
		free(path);
	}
	return found;
}

static int find_part(const char *folder, enum cop_split split, struct part *p, struct cop_err *err)
{
	p->image_path = find_file(folder, split, "images", "idx3");
	p->label_path = find_file(folder, split, "labels", "idx1");
	if (!p->image_path)
		return cop_fail(err, COP_EINPUT, "'%s' has no file '%s-images-idx3-ubyte' (nor .gz)", folder,
				words[split][0]);
	if (!p->label_path)
		return cop_fail(err, COP_EINPUT, "'%s' has no file '%s-labels-idx1-ubyte' (nor .gz) to go with '%s'",
				folder, words[split][0], p->image_path);
	return cop_idx_labels(p->label_path, &p->label, &p->n, err);
}

/* The classes are those of the training labels, without a gap. */
static int count_classes(struct packing *k, struct cop_err *err)
{
	const struct part *train = &k->part[COP_SPLIT_TRAIN], *test = &k->part[COP_SPLIT_TEST];
	bool seen[LABELS] = {false};
	int most = 0;
	for (int64_t i = 0; i < train->n; i++) {
		seen[train->label[i]] = true;
		most = train->label[i] > most ? train->label[i] : most;
	}
	for (int c = 1; c < most; c++)
		if (!seen[c])
			return cop_fail(err, COP_EINPUT, "'%s' has a label %d but no label %d: these are no classes",
					train->label_path, most, c);
	if (most == 0)
		return cop_fail(err, COP_EINPUT, "'%s' has the label 0 only: two classes are needed",
				train->label_path);
	for (int64_t i = 0; i < test->n; i++)
		if (test->label[i] > most)
			return cop_fail(err, COP_EINPUT,
					"'%s': label %d of item %" PRId64 " is not one of the training labels 0..%d",
					test->label_path, test->label[i], i, most);
	if (!seen[0])
		cop_warn("'%s' has no label 0: the class '0' stays empty", train->label_path);
	k->nclasses = most + 1;
	return 0;
}

static int add_images(struct cop_dataset_writer *w, struct cop_idx *x, enum cop_split split, const struct part *p,
		      size_t each, struct cop_err *err)
{
	uint8_t *image = NULL;
	struct cop_advance advance;
	int rc = cop_alloc(&image, each, 1, "an image", err);
	cop_advance_begin(&advance, cop_split_names[split], (size_t)p->n);
	for (int64_t i = 0; !rc && i < p->n; i++) {
		rc = cop_idx_read(x, image, each, err);
		if (!rc)
			rc = cop_dataset_add(w, split, image, p->label[i], err);
		cop_advance(&advance, (size_t)i + 1);
	}
	if (!rc)
		rc = cop_idx_end(x, err);
	cop_advance_end(&advance);
	free(image);
	return rc;
}

static int create(struct cop_dataset_writer **w, const char *path, const struct packing *k, const int64_t *dim,
		  struct cop_err *err)
{
	const char *name[LABELS];
	char text[LABELS][12];
	for (int c = 0; c < k->nclasses; c++) {
		snprintf(text[c], sizeof(text[c]), "%d", c);
		name[c] = text[c];
	}
	return cop_dataset_create(w, path, (int)dim[1], (int)dim[2], 1, name, k->nclasses, err);
}

/* Opens the images of a split; their size must be that of the training images, `dim` of which is set by the first. */
static int open_images(struct cop_idx **x, const struct packing *k, enum cop_split split, int64_t *dim,
		       struct cop_err *err)
{
	const struct part *p = &k->part[split];
	int64_t d[COP_IDX_RANK_MAX];
	int rc = cop_idx_open(x, p->image_path, 3, d, err);
	if (rc)
		return rc;
	if (d[1] > COP_SIDE_MAX || d[2] > COP_SIDE_MAX)
		return cop_fail(err, COP_EINPUT, "'%s': images of %" PRId64 "x%" PRId64 " are not supported",
				p->image_path, d[1], d[2]);
	if (d[0] != p->n)
		return cop_fail(err, COP_EINPUT, "'%s' has %" PRId64 " labels for the %" PRId64 " images of '%s'",
				p->label_path, p->n, d[0], p->image_path);
	if (split == COP_SPLIT_TRAIN)
		memcpy(dim, d, sizeof(d));
	else if (d[1] != dim[1] || d[2] != dim[2])
		return cop_fail(err, COP_EINPUT,
				"'%s' has images of %" PRId64 "x%" PRId64 ", those of '%s' are %" PRId64 "x%" PRId64,
				p->image_path, d[1], d[2], k->part[COP_SPLIT_TRAIN].image_path, dim[1], dim[2]);
	return 0;
}

static int write_splits(const char *path, const struct packing *k, struct cop_err *err)
{
	struct cop_dataset_writer *w = NULL;
	int64_t dim[COP_IDX_RANK_MAX] = {0};
	int rc = 0;
	for (int split = 0; !rc && split < COP_SPLITS; split++) {
		struct cop_idx *x = NULL;
		rc = open_images(&x, k, split, dim, err);
		if (!rc && !w)
			rc = create(&w, path, k, dim, err);
		if (!rc)
			rc = add_images(w, x, split, &k->part[split], (size_t)(dim[1] * dim[2]), err);
		cop_idx_close(x);
	}
	if (rc) {
		cop_dataset_abandon(w);
		return rc;
	}
	return cop_dataset_commit(w, err);
}

int cop_idx_pack(const char *path, const char *folder, struct cop_err *err)
{
	struct packing k = {0};
	int rc = 0;
	for (int split = 0; !rc && split < COP_SPLITS; split++)
		rc = find_part(folder, split, &k.part[split], err);
	if (!rc)
		rc = count_classes(&k, err);
	if (!rc)
		rc = write_splits(path, &k, err);
	for (int split = 0; split < COP_SPLITS; split++) {
		free(k.part[split].image_path);
		free(k.part[split].label_path);
		free(k.part[split].label);
	}
	return rc;
}
