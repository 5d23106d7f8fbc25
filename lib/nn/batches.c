/* Data and batches; see batches.h. */
#include "nn/batches.h"

#include "base/cpu.h"
#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int cop_data_check(const struct cop_data_config *c, struct cop_dataset_info *info, struct cop_err *err)
{
	int rc = cop_dataset_info_read(c->path, info, err);
	if (rc)
		return rc;
	if (c->fingerprint && *c->fingerprint && strcmp(c->fingerprint, info->fingerprint) != 0)
		rc = cop_fail(err, COP_EINPUT,
			      "dataset '%s' is not the one that was planned with: its fingerprint is %s, not %s",
			      c->path, info->fingerprint, c->fingerprint);
	else if (c->validation >= info->n[COP_SPLIT_TRAIN])
		rc = cop_fail(err, COP_EINPUT,
			      "'data.validation' is %lld, but dataset '%s' has only %lld training images",
			      (long long)c->validation, c->path, (long long)info->n[COP_SPLIT_TRAIN]);
	if (rc)
		cop_dataset_info_release(info);
	return rc;
}

int64_t cop_steps_per_epoch(const struct cop_dataset_info *info, const struct cop_data_config *c, int64_t batch)
{
	return (info->n[COP_SPLIT_TRAIN] - c->validation) / batch;
}

/* The split is the same for every seed and replicate, so that their validation figures can be compared. */
static void split_training(struct cop_data *d, int64_t validation)
{
	int64_t n = d->info.n[COP_SPLIT_TRAIN];
	uint32_t *perm = cop_xcalloc((size_t)n, sizeof(*perm));
	cop_permutation(perm, (size_t)n, 0, COP_PURPOSE_SPLIT, 0);
	d->validation.n = validation;
	d->train.n = n - validation;
	d->validation.index = cop_xcalloc((size_t)validation, sizeof(*perm));
	d->train.index = cop_xcalloc((size_t)(n - validation), sizeof(*perm));
	memcpy(d->validation.index, perm, (size_t)validation * sizeof(*perm));
	memcpy(d->train.index, perm + validation, (size_t)(n - validation) * sizeof(*perm));
	free(perm);
}

static void set_parts(struct cop_data *d, int64_t validation, int normalize)
{
	split_training(d, validation);
	d->test.n = d->info.n[COP_SPLIT_TEST];
	d->test.index = cop_xcalloc((size_t)d->test.n, sizeof(*d->test.index));
	for (int64_t i = 0; i < d->test.n; i++)
		d->test.index[i] = (uint32_t)i;
	struct cop_part *parts[] = {&d->train, &d->validation, &d->test};
	for (int k = 0; k < 3; k++) {
		enum cop_split split = k == 2 ? COP_SPLIT_TEST : COP_SPLIT_TRAIN;
		parts[k]->images = d->images[split];
		parts[k]->labels = d->labels[split];
		parts[k]->file = d->file[split];
	}
	for (int ch = 0; ch < d->info.channels && normalize == COP_NORMALIZE_UNIT; ch++)
		d->scale[ch] = 1.0f / 255.0f;
	for (int ch = 0; ch < d->info.channels && normalize == COP_NORMALIZE_STANDARD; ch++) {
		float std = d->info.std[ch] > 0 ? d->info.std[ch] : 1.0f;
		d->scale[ch] = 1.0f / (255.0f * std);
		d->shift[ch] = -d->info.mean[ch] / std;
	}
}

/* Who uses some of the processors only leaves the rest to others, who want memory as well: cells side by side. */
static size_t memory_share(void)
{
	int threads = cop_cpu_threads(), all = cop_cpu_count();
	return threads < all ? cop_memory_limit() / (size_t)all * (size_t)threads : cop_memory_limit();
}

/* *room: bytes that images may still take. */
static int open_split(struct cop_data *d, enum cop_split s, int storage, size_t *room, struct cop_err *err)
{
	size_t bytes = (size_t)d->info.height * (size_t)d->info.width * (size_t)d->info.channels;
	bool fits = !__builtin_mul_overflow(bytes, (size_t)d->info.n[s], &bytes) && bytes <= *room;
	if (storage == COP_STORAGE_MEMORY || (storage == COP_STORAGE_AUTO && fits)) {
		*room -= fits ? bytes : 0;
		return cop_dataset_read(&d->info, s, &d->images[s], &d->labels[s], err);
	}
	int rc = cop_dataset_read_labels(&d->info, s, &d->labels[s], err);
	return rc ? rc : cop_image_file_open(&d->file[s], &d->info, s, err);
}

int cop_data_open(struct cop_data *d, const struct cop_data_config *c, struct cop_err *err)
{
	*d = (struct cop_data){.crop_padding = c->crop_padding,
			       .flip = c->flip,
			       .resized_crop = c->resized_crop,
			       .scale_min = c->scale_min,
			       .loader_threads = (int)c->loader_threads};
	int rc = cop_data_check(c, &d->info, err);
	size_t room = memory_share() / 2;
	for (int s = 0; s < COP_SPLITS && !rc; s++)
		rc = open_split(d, (enum cop_split)s, c->storage, &room, err);
	if (rc)
		cop_data_release(d);
	else
		set_parts(d, c->validation, c->normalize);
	return rc;
}

void cop_data_release(struct cop_data *d)
{
	for (int s = 0; s < COP_SPLITS; s++) {
		free(d->images[s]);
		cop_image_file_close(d->file[s]);
		free(d->labels[s]);
	}
	free(d->train.index);
	free(d->validation.index);
	free(d->test.index);
	cop_dataset_info_release(&d->info);
	*d = (struct cop_data){0};
}

struct cop_image_source cop_data_source(const struct cop_data *d, const struct cop_part *p, const uint8_t *images)
{
	return (struct cop_image_source){.images = images ? images : p->images,
					 .height = d->info.height,
					 .width = d->info.width,
					 .channels = d->info.channels,
					 .scale = d->scale,
					 .shift = d->shift};
}

void cop_shuffle_init(struct cop_shuffle *o, const struct cop_data *d, uint64_t seed_order, uint64_t seed_augment)
{
	*o = (struct cop_shuffle){.data = d, .seed_order = seed_order, .seed_augment = seed_augment, .epoch = -1};
	o->perm = cop_xcalloc((size_t)d->train.n, sizeof(*o->perm));
}

void cop_shuffle_release(struct cop_shuffle *o)
{
	free(o->perm);
	*o = (struct cop_shuffle){0};
}

/*
 * A box of a random area and shape (Szegedy et al. 2015, as torchvision has it): area uniform in [scale_min, 1] of the
 * image's, width / height log-uniform in [3/4, 4/3]. One that does not fit is drawn again, ten times in all; then the
 * middle is taken, as large as the shape allows.
 */
static struct cop_box draw_box(struct cop_stream *s, int height, int width, double scale_min)
{
	const double narrow = 3.0 / 4, wide = 4.0 / 3;
	for (int tries = 0; tries < 10; tries++) {
		double area = (scale_min + (1 - scale_min) * cop_stream_uniform(s)) * height * width;
		double shape = exp(log(narrow) + (log(wide) - log(narrow)) * cop_stream_uniform(s));
		double w = rint(sqrt(area * shape)), h = rint(sqrt(area / shape));
		if (w < 1 || w > width || h < 1 || h > height)
			continue;
		struct cop_box b = {.height = (uint16_t)h, .width = (uint16_t)w};
		b.top = (uint16_t)cop_stream_below(s, (uint32_t)(height - b.height + 1));
		b.left = (uint16_t)cop_stream_below(s, (uint32_t)(width - b.width + 1));
		return b;
	}
	double h = fmin(height, rint(width / narrow)), w = fmin(width, rint(height * wide));
	return (struct cop_box){.top = (uint16_t)((height - (int)h) / 2),
				.left = (uint16_t)((width - (int)w) / 2),
				.height = (uint16_t)h,
				.width = (uint16_t)w};
}

/* An image's move, box and mirror depend on the image and the epoch, not on its place in the batch. */
static void augment(const struct cop_shuffle *o, int64_t epoch, struct cop_pick *p)
{
	const struct cop_data *d = o->data;
	if (!d->crop_padding && !d->resized_crop && !d->flip)
		return;
	struct cop_stream s;
	cop_stream_init(&s, o->seed_augment, COP_PURPOSE_AUGMENT, (uint32_t)epoch, p->index);
	if (d->resized_crop) {
		p->box = draw_box(&s, d->info.height, d->info.width, d->scale_min);
	} else {
		uint32_t span = (uint32_t)(2 * d->crop_padding + 1);
		p->dy = (int16_t)((int64_t)cop_stream_below(&s, span) - d->crop_padding);
		p->dx = (int16_t)((int64_t)cop_stream_below(&s, span) - d->crop_padding);
	}
	p->flip = d->flip && cop_stream_below(&s, 2);
}

void cop_shuffle_batch(struct cop_shuffle *o, int64_t epoch, int64_t at, int batch, struct cop_pick *pick,
		       int32_t *label)
{
	const struct cop_part *train = &o->data->train;
	if (o->epoch != epoch)
		cop_permutation(o->perm, (size_t)train->n, o->seed_order, COP_PURPOSE_ORDER, (uint32_t)epoch);
	o->epoch = epoch;
	for (int i = 0; i < batch; i++) {
		uint32_t image = train->index[o->perm[at * batch + i]];
		pick[i] = (struct cop_pick){.index = image};
		augment(o, epoch, &pick[i]);
		label[i] = train->labels[image];
	}
}

int cop_part_batch(const struct cop_part *p, int64_t at, int batch, struct cop_pick *pick, int32_t *label)
{
	int64_t first = at * batch;
	int n = p->n - first < batch ? (int)(p->n - first) : batch;
	for (int i = 0; i < n; i++) {
		pick[i] = (struct cop_pick){.index = p->index[first + i]};
		label[i] = p->labels[pick[i].index];
	}
	return n;
}
