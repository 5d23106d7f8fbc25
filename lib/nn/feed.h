/*
 * What a device reads in a step: the dials, which images and how they are moved, their labels, and the images where the
 * device has not got them all. A few batches are under way at once, so that the device need not wait for the program.
 */
#ifndef COP_NN_FEED_H
#define COP_NN_FEED_H

#include "nn/loader.h"

/* The images of a dataset on a device, whole splits where there is room for them. All pointers are the device's. */
struct cop_resident {
	const struct cop_backend *backend;
	const struct cop_data *data;
	uint8_t *images[COP_SPLITS]; /* (N,H,W,C); NULL: they are sent with each batch */
	float *scale, *shift;        /* (channels) */
};

/* keep: bytes of the device that others will want. */
int cop_resident_init(struct cop_resident *r, const struct cop_backend *b, const struct cop_data *data, size_t keep,
		      struct cop_err *err) COP_CHECKED;
void cop_resident_release(struct cop_resident *r);

/* What a loader for this part must give. */
enum cop_loader_gives cop_resident_wants(const struct cop_resident *r);

enum { COP_FEED_DEPTH = 4 }; /* batches under way */

struct cop_feed {
	const struct cop_resident *resident;
	const struct cop_backend *backend;
	struct cop_loader *loader; /* the caller's */
	int batch, first_mark;
	int64_t sent;
	char *pinned;           /* (COP_FEED_DEPTH, block): dials, picks, labels */
	uint8_t *pinned_images; /* (COP_FEED_DEPTH, batch,H,W,C); NULL: the device has them */
	size_t block, pick_at, label_at;
	/* on the device */
	char *staged;    /* (block) */
	uint8_t *images; /* (COP_FEED_DEPTH, batch,H,W,C) */
	float *x;        /* the network's input */
	/* of the batch that was sent last */
	int n;
};

/* first_mark: the queue's marks from there on are its own, COP_FEED_DEPTH of them. */
int cop_feed_init(struct cop_feed *f, const struct cop_resident *r, struct cop_loader *loader, int batch,
		  int first_mark, struct cop_err *err) COP_CHECKED;
void cop_feed_release(struct cop_feed *f);

/* Sends the loader's batch of `step` with these dials; waits only for what went before by COP_FEED_DEPTH batches. */
int cop_feed_send(struct cop_feed *f, int64_t step, const struct cop_dials *dials, struct cop_err *err) COP_CHECKED;
/* All that reads the batch is queued. */
void cop_feed_done(struct cop_feed *f);

/* Queues the making of x from a batch of `split` with n images: the same calls for every batch of as many. */
void cop_feed_gather(struct cop_feed *f, enum cop_split split, int n);

/* Where the queued calls find them. */
const struct cop_dials *cop_feed_dials(const struct cop_feed *f);
const int32_t *cop_feed_labels(const struct cop_feed *f);

#endif
