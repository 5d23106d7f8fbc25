/* The benchmark of training; see bench.h. */
#include "nn/bench.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/order.h"
#include "nn/trainer.h"

#include <stdlib.h>
#include <string.h>

enum { IMAGES_MAX = 4096, DATA_BYTES = 8 << 20, STEPS_MIN = 5, STEPS_MAX = 20000, WARM_STEPS = 3 };
enum { EPOCH_STEPS = 1000 /* of a device: what an epoch ends with is not to be timed */ };
static const double SECONDS = 3, PIECE = 0.2;

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

/* train: images of an epoch, the same ones again where there are fewer; 0: each once. */
static int random_data(struct cop_data *d, const struct cop_bench_data *s, int64_t batch, int64_t train,
		       struct cop_err *err)
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
	train = train ? train : n;
	d->info.n[0] = n;
	d->train = (struct cop_part){.images = d->images[0], .labels = d->labels[0], .n = train};
	d->train.index = cop_xcalloc((size_t)train, sizeof(uint32_t));
	fill(d->images[0], (size_t)n * pixels, &state);
	for (int64_t i = 0; i < n; i++)
		d->labels[0][i] = (int32_t)(next_random(&state) % (uint64_t)s->classes);
	for (int64_t i = 0; i < train; i++)
		d->train.index[i] = (uint32_t)(i % n);
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

static double conv_outputs(const struct cop_graph *g)
{
	double all = 0;
	for (int i = 0; i < g->n; i++)
		if (g->node[i].op == COP_OP_CONV)
			all += (double)g->node[i].c * g->node[i].h * g->node[i].w;
	return all;
}

/* How many steps are timed at once: as many as take a while. The first two of them are queued call by call. */
static int piece_steps(struct cop_trainer *t, int steps, int *piece, struct cop_err *err)
{
	double begun;
	int rc = cop_trainer_run(t, t->step + WARM_STEPS, err), n = 1;
	for (*piece = 1; !rc && !steps; *piece = n) {
		begun = cop_now();
		rc = cop_trainer_run(t, t->step + *piece, err);
		double took = cop_now() - begun;
		if (took >= PIECE / 2 || *piece >= EPOCH_STEPS / 4)
			break;
		n = took < PIECE / 16 ? 8 * *piece : 2 * *piece;
	}
	return rc;
}

/* Some steps at a time, on a device that works beside the program. */
static int time_pieces(struct cop_trainer *t, int steps, struct cop_bench_step *out, struct cop_err *err)
{
	enum { PIECES = 1000 };
	int most = steps ? steps : PIECES, n = 0, piece;
	double *took = cop_xcalloc((size_t)most, sizeof(*took));
	int rc = piece_steps(t, steps, &piece, err);
	double first = cop_now();
	t->stepping = t->waiting = 0;
	for (; n < most && !rc && (steps || n < STEPS_MIN || cop_now() - first < SECONDS); n++) {
		double begun = cop_now();
		rc = cop_trainer_run(t, t->step + piece, err);
		took[n] = (cop_now() - begun) / piece;
	}
	if (!rc)
		out->seconds = cop_median(took, (size_t)n);
	free(took);
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
	if (!rc)
		out->seconds = cop_median(took, (size_t)n);
	free(took);
	return rc;
}

int cop_bench_train(const struct cop_model_config *model, const struct cop_train_config *train,
		    const struct cop_bench_data *images, int steps, const struct cop_backend *backend,
		    struct cop_bench_step *out, struct cop_err *err)
{
	struct cop_data data = {0};
	struct cop_trainer t = {0};
	const struct cop_queue *q = backend->queue;
	size_t before = 0, after = 0, total;
	*out = (struct cop_bench_step){0};
	int rc = random_data(&data, images, train->batch, q ? train->batch * EPOCH_STEPS : 0, err);
	if (!rc && q)
		rc = q->memory(&before, &total, err);
	if (!rc)
		rc = cop_trainer_init(&t, model, train, &data, backend, err);
	if (!rc) {
		cop_trainer_draw(&t, model->init, 1);
		rc = q ? time_pieces(&t, steps, out, err) : time_steps(&t, steps, out, err);
	}
	if (!rc && q)
		rc = q->memory(&after, &total, err);
	if (!rc) {
		out->images_per_second = (double)train->batch / out->seconds;
		out->flops = 2.0 * (double)train->batch * step_macs(&t.net);
		out->data_wait = cop_trainer_data_wait(&t);
		out->work_bytes = cop_work_bytes(&t.work);
		out->conv_bytes = (double)train->batch * conv_outputs(&t.net.graph) * (double)backend->element;
		out->device_bytes = before > after ? before - after : 0;
	}
	cop_trainer_release(&t);
	cop_data_release(&data);
	return rc;
}
