/* The benchmark of training; see bench.h. */
#include "nn/bench.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "nn/trainer.h"

#include <stdlib.h>

static int random_data(struct cop_data *d, int side, int channels, int classes, struct cop_err *err)
{
	enum { IMAGES = 4096 };
	size_t pixels = (size_t)side * (size_t)side * (size_t)channels;
	*d = (struct cop_data){.info = {.height = side, .width = side, .channels = channels, .nclasses = classes}};
	d->info.classes = cop_xcalloc((size_t)classes, sizeof(char *));
	int rc = cop_alloc(&d->images[0], IMAGES, pixels, "images", err);
	if (rc)
		return rc;
	d->labels[0] = cop_xcalloc(IMAGES, sizeof(int32_t));
	d->train = (struct cop_part){.images = d->images[0], .labels = d->labels[0], .n = IMAGES};
	d->train.index = cop_xcalloc(IMAGES, sizeof(uint32_t));
	struct cop_stream s;
	cop_stream_init(&s, 1, COP_PURPOSE_TEST, 0, 0);
	for (size_t i = 0; i < IMAGES * pixels; i++)
		d->images[0][i] = (uint8_t)cop_stream_below(&s, 256);
	for (uint32_t i = 0; i < IMAGES; i++) {
		d->labels[0][i] = (int32_t)cop_stream_below(&s, (uint32_t)classes);
		d->train.index[i] = i;
	}
	for (int c = 0; c < channels; c++) {
		d->scale[c] = 1.0f / 73.6f;
		d->shift[c] = -127.5f / 73.6f;
	}
	return 0;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static int time_steps(struct cop_trainer *t, int steps, struct cop_bench_step *out, struct cop_err *err)
{
	double *took = cop_xcalloc((size_t)steps, sizeof(*took));
	int warm = steps / 10 + 3;
	int rc = cop_trainer_run(t, warm, err);
	for (int i = 0; i < steps && !rc; i++) {
		double begun = cop_now();
		rc = cop_trainer_run(t, warm + i + 1, err);
		took[i] = cop_now() - begun;
	}
	qsort(took, (size_t)steps, sizeof(*took), by_value);
	out->seconds = took[steps / 2];
	out->images_per_second = (double)t->config->batch / out->seconds;
	/* what reads the image gives no gradient for it */
	double macs = 3 * cop_graph_macs(&t->net.graph);
	for (int i = 0; i < t->net.stages.n; i++) {
		const struct cop_stage *stage = &t->net.stages.stage[i];
		if (stage->ninputs && t->net.stages.stage[stage->input[0]].kind == COP_STAGE_INPUT && stage->node >= 0)
			macs -= cop_node_macs(&t->net.graph, stage->node);
	}
	out->flops = 2.0 * (double)t->config->batch * macs;
	free(took);
	return rc;
}

int cop_bench_train(const struct cop_model_config *model, const struct cop_train_config *train, int side, int channels,
		    int classes, int steps, struct cop_bench_step *out, struct cop_err *err)
{
	struct cop_data data = {0};
	struct cop_trainer t = {0};
	int rc = random_data(&data, side, channels, classes, err);
	if (!rc)
		rc = cop_trainer_init(&t, model, train, &data, &cop_cpu_backend, 0, err);
	if (!rc) {
		cop_trainer_draw(&t, model->init, 1);
		rc = time_steps(&t, steps, out, err);
	}
	cop_trainer_release(&t);
	cop_data_release(&data);
	return rc;
}
