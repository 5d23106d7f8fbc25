/* Feeding a device; see feed.h. */
#include "nn/feed.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static size_t image_bytes(const struct cop_data *d)
{
	return (size_t)d->info.height * (size_t)d->info.width * (size_t)d->info.channels;
}

static size_t aligned(size_t bytes)
{
	return (bytes + 255) & ~(size_t)255;
}

/* Images that stay in the file, some megabytes at a time. */
static int send_file(struct cop_resident *r, int split, struct cop_err *err)
{
	size_t each = image_bytes(r->data), many = each < (16 << 20) ? (16 << 20) / each : 1;
	int64_t n = r->data->info.n[split];
	uint8_t *some = cop_xmalloc(many * each);
	int rc = 0;
	for (int64_t at = 0; at < n && !rc; at += (int64_t)many) {
		size_t here = (size_t)(n - at) < many ? (size_t)(n - at) : many;
		for (size_t i = 0; i < here && !rc; i++)
			rc = cop_image_file_read(r->data->file[split], (uint32_t)at + (uint32_t)i, some + i * each,
						 err);
		if (!rc)
			rc = r->backend->put(r->images[split] + (size_t)at * each, some, here * each, err);
	}
	free(some);
	return rc;
}

static int send_split(struct cop_resident *r, int split, size_t bytes, struct cop_err *err)
{
	int rc = cop_backend_alloc(r->backend, &r->images[split], bytes, "images", err);
	if (rc || !r->data->images[split])
		return rc ? rc : send_file(r, split, err);
	return r->backend->put(r->images[split], r->data->images[split], bytes, err);
}

int cop_resident_init(struct cop_resident *r, const struct cop_backend *b, const struct cop_data *data, size_t keep,
		      struct cop_err *err)
{
	size_t free_bytes, total, bytes[COP_SPLITS], all = 0;
	size_t channels = (size_t)data->info.channels * sizeof(float);
	*r = (struct cop_resident){.backend = b, .data = data};
	for (int s = 0; s < COP_SPLITS; s++)
		all += bytes[s] = (size_t)data->info.n[s] * image_bytes(data);
	int rc = b->queue->memory(&free_bytes, &total, err);
	/* both splits or none: what reads them is then the same everywhere */
	for (int s = 0; s < COP_SPLITS && !rc && all + keep < free_bytes; s++)
		rc = data->images[s] || data->file[s] ? send_split(r, s, bytes[s], err) : 0;
	if (!rc)
		rc = cop_backend_alloc(b, &r->scale, channels, "the pixels' scale", err);
	if (!rc)
		rc = cop_backend_alloc(b, &r->shift, channels, "the pixels' shift", err);
	if (!rc)
		rc = b->put(r->scale, data->scale, channels, err);
	return rc ? rc : b->put(r->shift, data->shift, channels, err);
}

void cop_resident_release(struct cop_resident *r)
{
	if (!r->backend)
		return;
	for (int s = 0; s < COP_SPLITS; s++)
		r->backend->release(r->images[s]);
	r->backend->release(r->scale);
	r->backend->release(r->shift);
	*r = (struct cop_resident){0};
}

enum cop_loader_gives cop_resident_wants(const struct cop_resident *r)
{
	return r->images[COP_SPLIT_TRAIN] ? COP_GIVES_PICKS : COP_GIVES_IMAGES;
}

int cop_feed_init(struct cop_feed *f, const struct cop_resident *r, struct cop_loader *loader, int batch,
		  int first_mark, struct cop_err *err)
{
	const struct cop_backend *b = r->backend;
	size_t n = (size_t)batch, images = n * image_bytes(r->data);
	bool sends = cop_resident_wants(r) == COP_GIVES_IMAGES;
	void *pinned = NULL, *pinned_images = NULL;
	*f = (struct cop_feed){.resident = r, .backend = b, .loader = loader, .batch = batch, .first_mark = first_mark};
	f->pick_at = aligned(sizeof(struct cop_dials));
	f->label_at = f->pick_at + aligned(n * sizeof(struct cop_pick));
	f->block = f->label_at + aligned(n * sizeof(int32_t));
	int rc = b->queue->alloc_pinned(&pinned, COP_FEED_DEPTH * f->block, "batches", err);
	f->pinned = pinned;
	if (!rc)
		rc = cop_backend_alloc(b, &f->staged, f->block, "a batch", err);
	if (!rc)
		rc = cop_backend_alloc(b, &f->x, images * b->element, "a batch", err);
	if (!rc && sends)
		rc = b->queue->alloc_pinned(&pinned_images, COP_FEED_DEPTH * images, "batches", err);
	f->pinned_images = pinned_images;
	return rc || !sends ? rc : cop_backend_alloc(b, &f->images, COP_FEED_DEPTH * images, "batches", err);
}

void cop_feed_release(struct cop_feed *f)
{
	if (!f->backend)
		return;
	f->backend->queue->release_pinned(f->pinned);
	f->backend->queue->release_pinned(f->pinned_images);
	f->backend->release(f->staged);
	f->backend->release(f->x);
	f->backend->release(f->images);
	*f = (struct cop_feed){0};
}

/* The batch's images into slot `slot`, ahead of the queue; the picks count them from the first slot's on. */
static void send_images(struct cop_feed *f, int slot, const struct cop_batch *in, struct cop_pick *pick)
{
	size_t each = image_bytes(f->resident->data), at = (size_t)slot * (size_t)f->batch * each;
	memcpy(f->pinned_images + at, in->images, (size_t)in->n * each);
	f->backend->queue->send_ahead(f->images + at, f->pinned_images + at, (size_t)in->n * each);
	f->backend->queue->join_copies();
	for (int i = 0; i < in->n; i++)
		pick[i].index += (uint32_t)(slot * f->batch);
}

int cop_feed_send(struct cop_feed *f, int64_t step, const struct cop_dials *dials, struct cop_err *err)
{
	const struct cop_batch *in;
	int slot = (int)(f->sent % COP_FEED_DEPTH);
	char *block = f->pinned + (size_t)slot * f->block;
	int rc = cop_loader_take(f->loader, step, &in, err);
	if (!rc)
		rc = f->backend->queue->wait(f->first_mark + slot, err);
	if (rc)
		return rc;
	struct cop_pick *pick = (struct cop_pick *)(void *)(block + f->pick_at);
	memcpy(block, dials, sizeof(*dials));
	memcpy(pick, in->pick, (size_t)in->n * sizeof(*pick));
	memcpy(block + f->label_at, in->label, (size_t)in->n * sizeof(*in->label));
	if (f->images)
		send_images(f, slot, in, pick);
	f->backend->queue->send(f->staged, block, f->block);
	f->n = in->n;
	cop_loader_give(f->loader);
	return 0;
}

void cop_feed_done(struct cop_feed *f)
{
	f->backend->queue->mark(f->first_mark + (int)(f->sent % COP_FEED_DEPTH));
	f->sent++;
}

void cop_feed_gather(struct cop_feed *f, enum cop_split split, int n)
{
	const struct cop_data *d = f->resident->data;
	struct cop_image_source source = {.images = f->images ? f->images : f->resident->images[split],
					  .height = d->info.height,
					  .width = d->info.width,
					  .channels = d->info.channels,
					  .scale = f->resident->scale,
					  .shift = f->resident->shift};
	f->backend->gather(&source, (const struct cop_pick *)(const void *)(f->staged + f->pick_at), n, f->batch, f->x);
}

const struct cop_dials *cop_feed_dials(const struct cop_feed *f)
{
	return (const struct cop_dials *)(const void *)f->staged;
}

const int32_t *cop_feed_labels(const struct cop_feed *f)
{
	return (const int32_t *)(const void *)(f->staged + f->label_at);
}
