/* See samples.h. */
#include "nn/samples.h"

#include "base/mem.h"
#include "nn/loader.h"

#include <stdlib.h>
#include <string.h>

struct source {
	struct cop_loader *loader;
	size_t pixels, channels;
};

/* What training reads, (H*W*C, ld), with the images outermost and the channels before the pixels. */
static void turn(const struct source *u, const struct cop_batch *from, float *x)
{
	for (size_t i = 0; i < (size_t)from->n; i++)
		for (size_t c = 0; c < u->channels; c++)
			for (size_t k = 0; k < u->pixels; k++)
				*x++ = from->x[(k * u->channels + c) * (size_t)from->ld + i];
}

static int read_batch(const struct cop_samples *s, int64_t k, float *x, int32_t *label, struct cop_err *err)
{
	const struct source *u = s->user;
	const struct cop_batch *b;
	int rc = cop_loader_take(u->loader, k, &b, err);
	if (rc)
		return rc;
	turn(u, b, x);
	memcpy(label, b->label, (size_t)b->n * sizeof(*label));
	cop_loader_give(u->loader);
	return 0;
}

int cop_samples_open(struct cop_samples *s, const struct cop_data *data, int batch, int64_t n, uint64_t seed_order,
		     uint64_t seed_augment, struct cop_err *err)
{
	*s = (struct cop_samples){0};
	if (batch > data->train.n)
		return cop_fail(err, COP_EINPUT, "a batch of %d is more than the %lld training images", batch,
				(long long)data->train.n);
	struct source *u = cop_xcalloc(1, sizeof(*u));
	u->pixels = (size_t)data->info.height * (size_t)data->info.width;
	u->channels = (size_t)data->info.channels;
	int rc = cop_loader_open(&u->loader, data, &cop_cpu_backend, batch, COP_LOADER_IN_STEP, COP_GIVES_INPUT, err);
	if (rc) {
		free(u);
		return rc;
	}
	cop_loader_train(u->loader, seed_order, seed_augment, data->train.n / batch, n);
	*s = (struct cop_samples){.batch = batch, .n = n, .read = read_batch, .user = u};
	return 0;
}

void cop_samples_close(struct cop_samples *s)
{
	struct source *u = s->user;
	if (u)
		cop_loader_free(u->loader);
	free(u);
	*s = (struct cop_samples){0};
}
