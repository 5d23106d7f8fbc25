/* Writing datasets; see dataset.h. */
#include "base/hash.h"
#include "base/mem.h"
#include "store/dataset.h"

#include <endian.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 1 << 20 };

/* One split while it is written: a chunk of images and labels that are not in the file yet. */
struct split {
	struct cop_h5_rows *images, *labels;
	uint8_t *image;  /* (rows,H,W,C) */
	int32_t *label;  /* (rows) */
	int64_t held, n; /* images in the chunk, and all so far */
	uint64_t image_hash, label_hash;
};

struct cop_dataset_writer {
	struct cop_h5 *f;
	char *path;
	int height, width, channels, nclasses;
	size_t each;  /* bytes an image */
	int64_t rows; /* images a chunk */
	struct split split[COP_SPLITS];
	/* exact sums over the training images: x <= 255, so 2^48 pixels fit */
	uint64_t sum[COP_CHANNELS_MAX], squares[COP_CHANNELS_MAX];
	int64_t skipped;
};

static int begin_split(struct cop_dataset_writer *w, enum cop_split which, struct cop_err *err)
{
	struct split *s = &w->split[which];
	char images[32], labels[32];
	snprintf(images, sizeof(images), "%s/images", cop_split_names[which]);
	snprintf(labels, sizeof(labels), "%s/labels", cop_split_names[which]);
	s->image_hash = s->label_hash = COP_HASH_START;
	int rc = cop_alloc(&s->image, (size_t)w->rows, w->each, "a chunk of images", err);
	if (!rc)
		rc = cop_alloc(&s->label, (size_t)w->rows, sizeof(*s->label), "a chunk of labels", err);
	if (!rc)
		rc = cop_h5_rows_create(&s->images, w->f, images, COP_H5_U8, 4,
					(int64_t[]){w->rows, w->height, w->width, w->channels}, 0, err);
	if (!rc)
		rc = cop_h5_rows_create(&s->labels, w->f, labels, COP_H5_I32, 1, (int64_t[]){w->rows}, 0, err);
	return rc;
}

static int begin(struct cop_dataset_writer *w, const char *const *classes, struct cop_err *err)
{
	int rc = cop_h5_create(&w->f, w->path, "coppice-dataset", err);
	for (int split = 0; !rc && split < COP_SPLITS; split++)
		rc = begin_split(w, split, err);
	if (!rc)
		rc = cop_h5_write_strings(w->f, "classes", classes, (size_t)w->nclasses, err);
	return rc;
}

int cop_dataset_create(struct cop_dataset_writer **out, const char *path, int height, int width, int channels,
		       const char *const *classes, int nclasses, struct cop_err *err)
{
	if (height < 1 || height > COP_SIDE_MAX || width < 1 || width > COP_SIDE_MAX || channels < 1 ||
	    channels > COP_CHANNELS_MAX)
		return cop_fail(err, COP_EINPUT, "cannot write '%s': images of %dx%dx%d are not supported", path,
				height, width, channels);
	if (nclasses < 2)
		return cop_fail(err, COP_EINPUT, "cannot write '%s': two classes are needed, there is %d", path,
				nclasses);
	struct cop_dataset_writer *w = cop_xcalloc(1, sizeof(*w));
	w->path = cop_xstrdup(path);
	w->height = height;
	w->width = width;
	w->channels = channels;
	w->nclasses = nclasses;
	w->each = (size_t)height * (size_t)width * (size_t)channels;
	w->rows = w->each < CHUNK_BYTES ? (int64_t)(CHUNK_BYTES / w->each) : 1;
	int rc = begin(w, classes, err);
	if (rc) {
		cop_dataset_abandon(w);
		return rc;
	}
	*out = w;
	return 0;
}

static int flush_split(struct split *s, struct cop_err *err)
{
	int rc = cop_h5_rows_append(s->images, s->image, s->held, err);
	if (!rc)
		rc = cop_h5_rows_append(s->labels, s->label, s->held, err);
	s->held = 0;
	return rc;
}

/* Sums of one image stay within 32 and 64 bits, so that the inner loop is cheap. */
static void add_to_sums(struct cop_dataset_writer *w, const uint8_t *image)
{
	size_t nc = (size_t)w->channels;
	for (size_t c = 0; c < nc; c++) {
		uint64_t sum = 0, squares = 0;
		for (size_t i = c; i < w->each; i += nc) {
			uint32_t x = image[i];
			sum += x;
			squares += x * x;
		}
		w->sum[c] += sum;
		w->squares[c] += squares;
	}
}

int cop_dataset_add(struct cop_dataset_writer *w, enum cop_split split, const uint8_t *image, int32_t label,
		    struct cop_err *err)
{
	struct split *s = &w->split[split];
	if (label < 0 || label >= w->nclasses)
		return cop_fail(err, COP_EINPUT, "label %d of %s image %" PRId64 " is not one of %d classes", label,
				cop_split_names[split], s->n, w->nclasses);
	if (s->n >= INT32_MAX)
		return cop_fail(err, COP_EINPUT, "'%s': more than %d %s images are not supported", w->path, INT32_MAX,
				cop_split_names[split]);
	if (split == COP_SPLIT_TRAIN)
		add_to_sums(w, image);
	uint32_t stored = htole32((uint32_t)label);
	s->image_hash = cop_hash(s->image_hash, image, w->each);
	s->label_hash = cop_hash(s->label_hash, &stored, sizeof(stored));
	memcpy(s->image + (size_t)s->held * w->each, image, w->each);
	s->label[s->held++] = label;
	s->n++;
	return s->held == w->rows ? flush_split(s, err) : 0;
}

void cop_dataset_skipped(struct cop_dataset_writer *w, int64_t n)
{
	w->skipped = n;
}

/* FNV-1a over little-endian 64-bit words: H, W, C, K, then count, hash of images and hash of labels of each split. */
static uint64_t fingerprint(const struct cop_dataset_writer *w)
{
	uint64_t word[4 + 3 * COP_SPLITS] = {(uint64_t)w->height, (uint64_t)w->width, (uint64_t)w->channels,
					     (uint64_t)w->nclasses};
	for (int i = 0; i < COP_SPLITS; i++) {
		word[4 + 3 * i] = (uint64_t)w->split[i].n;
		word[5 + 3 * i] = w->split[i].image_hash;
		word[6 + 3 * i] = w->split[i].label_hash;
	}
	uint64_t h = COP_HASH_START;
	for (size_t i = 0; i < sizeof(word) / sizeof(word[0]); i++) {
		uint64_t le = htole64(word[i]);
		h = cop_hash(h, &le, sizeof(le));
	}
	return h;
}

/* mean = S1/n/255, std = sqrt(n*S2 - S1^2)/n/255; the difference is exact in 128 bits, so nothing cancels. */
static int put_statistics(struct cop_dataset_writer *w, struct cop_err *err)
{
	float mean[COP_CHANNELS_MAX], std[COP_CHANNELS_MAX];
	uint64_t n = (uint64_t)w->split[COP_SPLIT_TRAIN].n * (uint64_t)w->height * (uint64_t)w->width;
	for (int c = 0; c < w->channels; c++) {
		unsigned __int128 s1 = w->sum[c], s2 = w->squares[c];
		mean[c] = (float)((double)w->sum[c] / (double)n / 255);
		std[c] = (float)(sqrt((double)(n * s2 - s1 * s1)) / (double)n / 255);
	}
	char text[COP_FINGERPRINT];
	snprintf(text, sizeof(text), "%016" PRIx64, fingerprint(w));
	int rc = cop_h5_put_f32s(w->f, "/", "mean", mean, (size_t)w->channels, err);
	if (!rc)
		rc = cop_h5_put_f32s(w->f, "/", "std", std, (size_t)w->channels, err);
	if (!rc)
		rc = cop_h5_put_str(w->f, "/", "fingerprint", text, err);
	if (!rc)
		rc = cop_h5_put_i64(w->f, "/", "skipped", w->skipped, err);
	return rc;
}

/* Frees everything but the file. */
static void free_writer(struct cop_dataset_writer *w)
{
	for (int i = 0; i < COP_SPLITS; i++) {
		struct split *s = &w->split[i];
		cop_h5_rows_free(s->images);
		cop_h5_rows_free(s->labels);
		free(s->image);
		free(s->label);
	}
	free(w->path);
	free(w);
}

int cop_dataset_commit(struct cop_dataset_writer *w, struct cop_err *err)
{
	int rc = 0;
	if (w->split[COP_SPLIT_TRAIN].n == 0)
		rc = cop_fail(err, COP_EINPUT, "cannot write '%s': there are no training images", w->path);
	for (int i = 0; !rc && i < COP_SPLITS; i++)
		rc = flush_split(&w->split[i], err);
	if (!rc)
		rc = put_statistics(w, err);
	if (rc) {
		cop_dataset_abandon(w);
		return rc;
	}
	struct cop_h5 *f = w->f;
	free_writer(w);
	return cop_h5_commit(f, err);
}

void cop_dataset_abandon(struct cop_dataset_writer *w)
{
	if (!w)
		return;
	struct cop_h5 *f = w->f;
	free_writer(w);
	cop_h5_abandon(f);
}
