/* The benchmark of training what masks leave; see bench_tickets.h. */
#include "nn/bench_tickets.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/order.h"
#include "data/glyphs.h"
#include "nn/reduced.h"
#include "nn/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { IMAGES_MAX = 2048, DATA_BYTES = 24 << 20, WARM_STEPS = 2, STEPS_MIN = 5, STEPS_MAX = 20000, TURNS = 5 };
enum { AUTO, DENSE, ENGINES };
static const double SECONDS = 2, PARTS_SECONDS = 0.5;

struct cop_ticket_bench {
	struct cop_data data;
	struct cop_train_config config[ENGINES];
	struct cop_trainer trainer[ENGINES];
	struct cop_checkpoint trained; /* its layouts are the trainer's, its arenas its own */
};

/* A digit in colours, of any size. */
static void draw(uint32_t index, const struct cop_bench_data *s, uint8_t *image, int32_t *label)
{
	uint8_t glyph[COP_GLYPH_SIDE * COP_GLYPH_SIDE];
	*label = cop_glyph_draw(1, COP_SPLIT_TRAIN, index, glyph) % s->classes;
	for (int y = 0; y < s->side; y++)
		for (int x = 0; x < s->side; x++) {
			int at = y * COP_GLYPH_SIDE / s->side * COP_GLYPH_SIDE + x * COP_GLYPH_SIDE / s->side;
			for (int c = 0; c < s->channels; c++) {
				unsigned ink = 55 + (index * 2654435761u >> (8 * c)) % 201;
				*image++ = (uint8_t)(glyph[at] * ink / 255);
			}
		}
}

static int draw_all(struct cop_data *d, const struct cop_bench_data *s, int64_t batch, struct cop_err *err)
{
	size_t pixels = (size_t)s->side * (size_t)s->side * (size_t)s->channels;
	int64_t n = (int64_t)(DATA_BYTES / pixels);
	n = n > IMAGES_MAX ? IMAGES_MAX : n;
	n = n < 2 * batch ? 2 * batch : n;
	d->info = (struct cop_dataset_info){
		.height = s->side, .width = s->side, .channels = s->channels, .nclasses = s->classes};
	d->info.classes = cop_xcalloc((size_t)s->classes, sizeof(char *));
	d->info.n[0] = n;
	int rc = cop_alloc(&d->images[0], (size_t)n, pixels, "images", err);
	if (rc)
		return rc;
	d->labels[0] = cop_xcalloc((size_t)n, sizeof(int32_t));
	d->train = (struct cop_part){.images = d->images[0], .labels = d->labels[0], .n = n};
	d->train.index = cop_xcalloc((size_t)n, sizeof(uint32_t));
	for (int64_t i = 0; i < n; i++) {
		d->train.index[i] = (uint32_t)i;
		draw((uint32_t)i, s, d->images[0] + (size_t)i * pixels, &d->labels[0][i]);
	}
	for (int c = 0; c < s->channels; c++) {
		d->scale[c] = 1.0f / 64;
		d->shift[c] = -0.5f;
	}
	return 0;
}

int cop_ticket_bench_open(struct cop_ticket_bench **b, const struct cop_model_config *model,
			  const struct cop_train_config *train, const struct cop_bench_data *images,
			  struct cop_err *err)
{
	struct cop_ticket_bench *n = *b = cop_xcalloc(1, sizeof(*n));
	int rc = draw_all(&n->data, images, train->batch, err);
	for (int i = 0; i < ENGINES && !rc; i++) {
		n->config[i] = *train;
		n->config[i].engine = i == AUTO ? COP_ENGINE_AUTO : COP_ENGINE_DENSE;
		rc = cop_trainer_init(&n->trainer[i], model, &n->config[i], &n->data, &cop_cpu_backend, err);
	}
	if (!rc)
		cop_trainer_draw(&n->trainer[DENSE], model->init, 1);
	if (rc) {
		cop_ticket_bench_free(n);
		*b = NULL;
	}
	return rc;
}

static void forget(struct cop_ticket_bench *b)
{
	free(b->trained.param);
	free(b->trained.buffer);
	for (size_t s = 0; s < COP_SLOTS_MAX; s++)
		free(b->trained.slot[s]);
	b->trained = (struct cop_checkpoint){0};
}

void cop_ticket_bench_free(struct cop_ticket_bench *b)
{
	if (!b)
		return;
	forget(b);
	for (int i = 0; i < ENGINES; i++)
		cop_trainer_release(&b->trainer[i]);
	cop_data_release(&b->data);
	free(b);
}

const struct cop_layout *cop_ticket_bench_layout(const struct cop_ticket_bench *b)
{
	return &b->trainer[DENSE].net.graph.params;
}

const float *cop_ticket_bench_weights(const struct cop_ticket_bench *b)
{
	return b->trained.param;
}

/* A copy of `c`, with optimizer state that is 0. */
static int keep(struct cop_ticket_bench *b, const struct cop_checkpoint *c, struct cop_err *err)
{
	struct cop_checkpoint like = cop_trainer_checkpoint(&b->trainer[DENSE]), *t = &b->trained;
	size_t n = like.params.total, buffers = like.buffers.total;
	if (!cop_layout_same(&c->params, &like.params) || !cop_layout_same(&c->buffers, &like.buffers))
		return cop_fail(err, COP_EINPUT, "the checkpoint is of another network");
	forget(b);
	*t = like;
	t->step = 0;
	t->param = t->buffer = NULL;
	memset(t->slot, 0, sizeof(t->slot));
	int rc = cop_alloc(&t->param, n, sizeof(float), "parameters", err);
	if (!rc)
		rc = cop_alloc(&t->buffer, buffers + 1, sizeof(float), "running statistics", err);
	for (size_t s = 0; s < t->nslots && !rc; s++)
		rc = cop_alloc(&t->slot[s], n, sizeof(float), "optimizer state", err);
	if (rc)
		return rc;
	memcpy(t->param, c->param, n * sizeof(float));
	if (buffers)
		memcpy(t->buffer, c->buffer, buffers * sizeof(float));
	return 0;
}

int cop_ticket_bench_load(struct cop_ticket_bench *b, const struct cop_checkpoint *c, struct cop_err *err)
{
	return keep(b, c, err);
}

int cop_ticket_bench_learn(struct cop_ticket_bench *b, int steps, double seconds, double *loss, struct cop_err *err)
{
	struct cop_trainer *t = &b->trainer[DENSE];
	double begun = cop_now();
	int rc = 0;
	*loss = NAN;
	for (int i = 0; !rc && (steps ? i < steps : cop_now() - begun < seconds); i++) {
		rc = cop_trainer_run(t, t->step + 1, err);
		if (t->sums.images)
			*loss = t->sums.loss / (double)t->sums.images;
	}
	struct cop_checkpoint now = cop_trainer_checkpoint(t);
	return rc ? rc : keep(b, &now, err);
}

/* Steps of one engine, a median's worth. */
struct timing {
	double *took;
	int n;
};

/* One turn of one engine: `steps`, or so many seconds and one step at least. */
static int take_turn(struct cop_trainer *t, struct timing *m, int steps, double seconds, struct cop_err *err)
{
	double begun = cop_now(), before = begun;
	int rc = 0;
	for (int i = 0; !rc && m->n < STEPS_MAX && (steps ? i < steps : i < 1 || before - begun < seconds); i++) {
		rc = cop_trainer_run(t, t->step + 1, err);
		double now = cop_now();
		m->took[m->n++] = now - before;
		before = now;
	}
	return rc;
}

static int time_engines(struct cop_ticket_bench *b, int steps, struct cop_ticket_times *out, struct cop_err *err)
{
	struct timing m[ENGINES] = {{0}};
	int rc = 0;
	for (int i = 0; i < ENGINES; i++)
		m[i].took = cop_xcalloc(STEPS_MAX, sizeof(double));
	for (int i = 0; i < ENGINES && !rc; i++)
		rc = cop_trainer_run(&b->trainer[i], b->trainer[i].step + WARM_STEPS, err);
	for (int turn = 0; turn < TURNS && !rc; turn++)
		for (int i = 0; i < ENGINES && !rc; i++) {
			int some = steps / TURNS + (turn < steps % TURNS);
			if (!steps || some)
				rc = take_turn(&b->trainer[i], &m[i], some, SECONDS / TURNS, err);
		}
	if (!rc) {
		double batch = (double)b->config[AUTO].batch;
		out->seconds = cop_median(m[AUTO].took, (size_t)m[AUTO].n);
		out->dense_seconds = cop_median(m[DENSE].took, (size_t)m[DENSE].n);
		out->images_per_second = batch / out->seconds;
		out->dense_per_second = batch / out->dense_seconds;
	}
	for (int i = 0; i < ENGINES; i++)
		free(m[i].took);
	return rc;
}

static int time_parts(struct cop_trainer *t, int steps, struct cop_ticket_times *out, struct cop_err *err)
{
	const struct cop_backend *own = t->backend;
	double begun = cop_now(), all, known = 0;
	int rc = 0;
	t->stepping = t->waiting = 0;
	t->backend = t->work.backend = cop_stopwatch_start();
	for (int i = 0; !rc && (i < (steps ? steps : STEPS_MIN) || (!steps && cop_now() - begun < PARTS_SECONDS)); i++)
		rc = cop_trainer_run(t, t->step + 1, err);
	t->backend = t->work.backend = own;
	all = t->stepping;
	cop_stopwatch_read(out->share);
	out->share[COP_STEP_DATA] = t->waiting;
	out->share[COP_STEP_OTHERS] = 0;
	for (int i = 0; i < COP_STEP_PARTS; i++)
		known += out->share[i];
	out->share[COP_STEP_OTHERS] = all - known;
	for (int i = 0; i < COP_STEP_PARTS; i++)
		out->share[i] /= all;
	return rc;
}

int cop_ticket_bench_time(struct cop_ticket_bench *b, const uint8_t *mask, int steps, struct cop_ticket_times *out,
			  struct cop_err *err)
{
	*out = (struct cop_ticket_times){0};
	int rc = 0;
	for (int i = 0; i < ENGINES && !rc; i++)
		rc = cop_trainer_rewind(&b->trainer[i], &b->trained, mask, err);
	if (!rc)
		rc = time_engines(b, steps, out, err);
	if (!rc)
		rc = time_parts(&b->trainer[AUTO], steps, out, err);
	if (!rc)
		out->lists = cop_trainer_count_lists(&b->trainer[AUTO], &out->layers);
	return rc;
}
