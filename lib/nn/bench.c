/* The benchmark of training; see bench.h. */
#include "nn/bench.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/order.h"
#include "nn/trainer.h"

#include <stdlib.h>
#include <string.h>

enum { IMAGES_MAX = 4096, DATA_BYTES = 8 << 20, STEPS_MIN = 5, STEPS_MAX = 20000, WARM_STEPS = 3 };
static const double SECONDS = 3;

/* Marsaglia's xorshift (2003): eight pixels a turn, so that making images takes no time beside the steps. */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void fill(uint8_t *to, size_t n, uint64_t *state)
{
	for (size_t i = 0; i < n; i += sizeof(uint64_t)) {
		uint64_t eight = next_random(state);
		memcpy(to + i, &eight, n - i < sizeof(eight) ? n - i : sizeof(eight));
	}
}

/* As many as fit DATA_BYTES, but two batches at least. */
static int64_t count_images(size_t pixels, int64_t batch)
{
	int64_t n = (int64_t)(DATA_BYTES / pixels);
	n = n > IMAGES_MAX ? IMAGES_MAX : n;
	return n < 2 * batch ? 2 * batch : n;
}

static int random_data(struct cop_data *d, const struct cop_bench_data *s, int64_t batch, struct cop_err *err)
{
	size_t pixels = (size_t)s->side * (size_t)s->side * (size_t)s->channels;
	int64_t n = count_images(pixels, batch);
	uint64_t state = 0x9e3779b97f4a7c15;
	*d = (struct cop_data){
		.info = {.height = s->side, .width = s->side, .channels = s->channels, .nclasses = s->classes}};
	d->info.classes = cop_xcalloc((size_t)s->classes, sizeof(char *));
	int rc = cop_alloc(&d->images[0], (size_t)n, pixels, "images", err);
	if (rc)
		return rc;
	d->labels[0] = cop_xcalloc((size_t)n, sizeof(int32_t));
	d->train = (struct cop_part){.images = d->images[0], .labels = d->labels[0], .n = n};
	d->train.index = cop_xcalloc((size_t)n, sizeof(uint32_t));
	fill(d->images[0], (size_t)n * pixels, &state);
	for (int64_t i = 0; i < n; i++) {
		d->labels[0][i] = (int32_t)(next_random(&state) % (uint64_t)s->classes);
		d->train.index[i] = (uint32_t)i;
	}
	for (int c = 0; c < s->channels; c++) {
		d->scale[c] = 1.0f / 73.6f;
		d->shift[c] = -127.5f / 73.6f;
	}
	return 0;
}

/* Multiply-accumulates of a step, an image; what reads the image gives no gradient for it. */
static double step_macs(const struct cop_net *net)
{
	double macs = 3 * cop_graph_macs(&net->graph);
	for (int i = 0; i < net->stages.n; i++) {
		const struct cop_stage *s = &net->stages.stage[i];
		if (s->ninputs && net->stages.stage[s->input[0]].kind == COP_STAGE_INPUT && s->node >= 0)
			macs -= cop_node_macs(&net->graph, s->node);
	}
	return macs;
}

/* Until both are reached: so many steps, so many seconds. */
static int warm_up(struct cop_trainer *t, int steps, double seconds, struct cop_err *err)
{
	double begun = cop_now();
	int rc = 0;
	for (int i = 0; !rc && (i < steps || cop_now() - begun < seconds); i++)
		rc = cop_trainer_run(t, t->step + 1, err);
	t->stepping = t->waiting = 0;
	t->images = 0;
	return rc;
}

static int time_steps(struct cop_trainer *t, int steps, struct cop_bench_step *out, struct cop_err *err)
{
	int most = steps ? steps : STEPS_MAX, n = 0;
	double *took = cop_xcalloc((size_t)most, sizeof(*took)), first = 0;
	int rc = warm_up(t, steps ? steps / 10 + WARM_STEPS : WARM_STEPS, steps ? 0 : SECONDS / 10, err);
	for (; n < most && !rc; n++) {
		double begun = cop_now();
		first = n ? first : begun;
		if (!steps && n >= STEPS_MIN && begun - first >= SECONDS)
			break;
		rc = cop_trainer_run(t, t->step + 1, err);
		took[n] = cop_now() - begun;
	}
	if (!rc) {
		double seconds = cop_median(took, (size_t)n);
		*out = (struct cop_bench_step){.seconds = seconds,
					       .images_per_second = (double)t->config->batch / seconds,
					       .flops = 2.0 * (double)t->config->batch * step_macs(&t->net),
					       .data_wait = cop_trainer_data_wait(t),
					       .work_bytes = cop_work_bytes(&t->work)};
	}
	free(took);
	return rc;
}

int cop_bench_train(const struct cop_model_config *model, const struct cop_train_config *train,
		    const struct cop_bench_data *images, int steps, struct cop_bench_step *out, struct cop_err *err)
{
	struct cop_data data = {0};
	struct cop_trainer t = {0};
	int rc = random_data(&data, images, train->batch, err);
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
