/*
 * Ranks: sums in the ranks' order, a step against the same computed part by part, and against one rank; that the bits
 * depend neither on the number of threads nor on where a run was interrupted; and what happens where a rank fails.
 */
#include "nn/ranks.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "digits.h"
#include "nn/trainer.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { TRAINING = 330, TESTING = 20, VALIDATION = 30, BATCH = 48 };

static struct digits digits;

static struct cop_data_config data_config(void)
{
	return (struct cop_data_config){.path = digits.path, .validation = VALIDATION, .crop_padding = 2, .flip = true};
}

static int make_data(void **state)
{
	(void)state;
	struct cop_data_config c = data_config();
	return digits_make(&digits, TRAINING, TESTING, &c);
}

static int remove_data(void **state)
{
	(void)state;
	return digits_remove(&digits);
}

static struct cop_train_config train_config(int64_t ranks)
{
	struct cop_train_config c = digits_training(4, BATCH);
	c.ranks = ranks;
	c.weight_decay = 1e-3;
	return c;
}

static int64_t hidden[] = {40, 24};
static const struct cop_model_config plain = {.hidden = {hidden, 2}};

/* Batch norms, and a dropout: what a rank does by itself. */
static const struct cop_model_config normed = {
	.name = COP_MODEL_GRAPH,
	.layers = (char *)(uintptr_t) "[{\"op\": \"conv\", \"out\": 6, \"kernel\": 3, \"stride\": 2, \"bias\": false},"
				      "{\"op\": \"batch_norm\"}, {\"op\": \"relu\"},"
				      "{\"op\": \"conv\", \"out\": 20, \"kernel\": 3, \"stride\": 2, \"bias\": false},"
				      "{\"op\": \"batch_norm\"}, {\"op\": \"relu\"}, {\"op\": \"global_avg_pool\"},"
				      "{\"op\": \"dropout\", \"rate\": 0.2}, {\"op\": \"linear\", \"out\": "
				      "\"classes\"}]"};

static void begin_on(struct cop_trainer *t, const struct cop_data *d, const struct cop_model_config *m,
		     const struct cop_train_config *c)
{
	struct cop_err err = {0};
	if (cop_trainer_init(t, m, c, d, &cop_cpu_backend, &err))
		fail_msg("%s", err.msg);
	cop_trainer_draw(t, COP_INIT_KAIMING_NORMAL, (uint64_t)c->seed_init);
	t->hash = "the same";
	t->experiment = "{}";
	t->identity = "a test";
}

static void begin(struct cop_trainer *t, const struct cop_model_config *m, const struct cop_train_config *c)
{
	begin_on(t, &digits.data, m, c);
}

static void run_to(struct cop_trainer *t, int64_t step)
{
	struct cop_err err = {0};
	if (cop_trainer_run(t, step, &err))
		fail_msg("%s", err.msg);
}

/* All that a checkpoint has, and the history but for the seconds. */
static bool same(const struct cop_trainer *a, const struct cop_trainer *b)
{
	size_t bytes = a->net.graph.params.total * sizeof(float);
	bool is = a->step == b->step && a->history.n == b->history.n && memcmp(a->param, b->param, bytes) == 0 &&
		  memcmp(a->buffer, b->buffer, a->net.graph.buffers.total * sizeof(float)) == 0;
	for (size_t s = 0; s < a->nslots; s++)
		is = is && memcmp(a->slot[s], b->slot[s], bytes) == 0;
	for (size_t i = 0; i < a->history.n && is; i++)
		is = memcmp(a->history.row[i], b->history.row[i], COP_HISTORY_SECONDS * sizeof(double)) == 0;
	return is;
}

/* Against a plain loop, bit for bit; what lies outside of from..to stays as it is. */
static void test_mean(void **state)
{
	(void)state;
	static const size_t sizes[] = {0, 1, 15, 16, 17, 2047, 2048, 2049, 10007};
	static const int ranks[] = {1, 2, 3, 5, COP_RANKS_MAX};
	struct cop_stream s;
	cop_stream_init(&s, 1, COP_PURPOSE_INIT, 0, 0);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (size_t j = 0; j < sizeof(ranks) / sizeof(ranks[0]); j++) {
			size_t n = sizes[i], from = n / 3, to = n - n / 5;
			float *part[COP_RANKS_MAX], *want = cop_xcalloc(n + 1, sizeof(*want));
			for (int k = 0; k < ranks[j]; k++) {
				part[k] = cop_xcalloc(n + 1, sizeof(float));
				for (size_t at = 0; at < n; at++)
					part[k][at] = (float)(cop_stream_uniform(&s) - 0.5);
			}
			memcpy(want, part[0], n * sizeof(*want));
			for (size_t at = from; at < to; at++) {
				for (int k = 1; k < ranks[j]; k++)
					want[at] += part[k][at];
				want[at] *= 1.0f / (float)ranks[j];
			}
			cop_cpu_set_threads((int)(1 + (i + j) % 3));
			cop_ranks_mean(part, ranks[j], from, to, part[0]);
			if (memcmp(part[0], want, (n + 1) * sizeof(*want)) != 0)
				fail_msg("%zu numbers of %d ranks: another mean", n, ranks[j]);
			for (int k = 0; k < ranks[j]; k++)
				free(part[k]);
			free(want);
		}
	cop_cpu_set_threads(2);
}

/* One rank has the bits of none. */
static void test_one_rank(void **state)
{
	(void)state;
	const struct cop_model_config *const models[] = {&plain, &normed};
	for (int m = 0; m < 2; m++) {
		struct cop_train_config c = train_config(0);
		struct cop_trainer none, one;
		struct cop_err err = {0};
		c.optimizer = m ? COP_OPTIMIZER_ADAM : COP_OPTIMIZER_SGD;
		c.lr = m ? 0.003 : 0.05;
		begin(&none, models[m], &c);
		begin(&one, models[m], &c);
		assert_null(one.ranks);
		assert_int_equal(cop_ranks_open(&one.ranks, &one, 1, &err), 0);
		run_to(&none, none.total_steps);
		run_to(&one, one.total_steps);
		if (!same(&none, &one))
			fail_msg("network %d: one rank has other bits than none", m);
		cop_trainer_release(&one);
		cop_trainer_release(&none);
	}
}

static double largest(const float *a, const float *b, size_t n)
{
	double most = 0;
	for (size_t i = 0; i < n; i++)
		most = fmax(most, fabs((double)a[i] - (b ? (double)b[i] : 0)));
	return most;
}

/* Where images do not meet, sharing a batch changes the order of sums and nothing else. */
static void test_close(void **state)
{
	(void)state;
	struct cop_train_config c = train_config(1);
	struct cop_trainer one;
	float *first[5] = {NULL};
	for (int ranks = 1; ranks <= 4; ranks++) {
		struct cop_trainer t;
		c.ranks = ranks;
		begin(ranks == 1 ? &one : &t, &plain, &c);
		struct cop_trainer *now = ranks == 1 ? &one : &t;
		size_t n = now->net.graph.params.total;
		run_to(now, 1);
		first[ranks] = cop_xcalloc(n, sizeof(float));
		memcpy(first[ranks], now->param, n * sizeof(float));
		run_to(now, 20);
		double step = largest(first[ranks], first[1], n) / largest(first[1], NULL, n),
		       steps = largest(now->param, one.param, n) / largest(one.param, NULL, n);
		double loss = fabs(
			now->history.row[1][COP_HISTORY_TRAIN_LOSS] / one.history.row[1][COP_HISTORY_TRAIN_LOSS] - 1);
		if (step > 1e-6 || steps > 1e-4 || loss > 1e-5)
			fail_msg("%d ranks: off by %g after a step, %g after 20, the loss by %g", ranks, step, steps,
				 loss);
		assert_true(ranks == 1 || step > 0); /* it was shared */
		assert_true(now->sums.images == 2 * BATCH);
		if (ranks > 1)
			cop_trainer_release(&t);
	}
	cop_trainer_release(&one);
	for (int ranks = 1; ranks <= 4; ranks++)
		free(first[ranks]);
}

/* The parts of a batch one after the other, by what the engine offers for a whole one. */
struct parts {
	struct cop_trainer t; /* whose arrays it works on */
	struct cop_work work;
	struct cop_shuffle shuffle;
	float *x, *grad[COP_RANKS_MAX], *buffer[COP_RANKS_MAX];
	int n, batch;
};

static void one_part(struct parts *p, int k)
{
	struct cop_trainer *t = &p->t;
	struct cop_pick pick[BATCH];
	int32_t label[BATCH];
	struct cop_work *w = &p->work;
	size_t buffers = t->net.graph.buffers.total;
	struct cop_image_source source = cop_data_source(t->data, &t->data->train, NULL);
	cop_shuffle_batch(&p->shuffle, t->step / t->steps_per_epoch, t->step % t->steps_per_epoch, BATCH, pick, label);
	cop_cpu_backend.gather(&source, pick + k * p->batch, p->batch, w->ld, p->x);
	memcpy(p->buffer[k], t->buffer, buffers * sizeof(float));
	w->dials = &t->dials;
	w->dropout_seed = (uint64_t)t->config->seed_augment + ((uint64_t)k << 60);
	const float *logits = cop_net_forward(w, t->param, p->buffer[k], p->x);
	cop_cpu_backend.softmax_xent(t->net.classes, p->batch, w->ld, logits, label + k * p->batch, cop_work_dlogits(w),
				     &t->sums);
	cop_net_backward(w, t->param, p->grad[k]);
}

static void step_of_parts(struct parts *p)
{
	struct cop_trainer *t = &p->t;
	t->dials = (struct cop_dials){
		.step = t->step, .updates = t->step, .lr = (float)cop_schedule_lr(&t->schedule, t->step)};
	for (int k = 0; k < p->n; k++)
		one_part(p, k);
	float scale = 1.0f / (float)p->n;
	for (int k = 1; k < p->n; k++)
		for (size_t i = 0; i < t->net.graph.params.total; i++)
			p->grad[0][i] += p->grad[k][i];
	for (size_t i = 0; i < t->net.graph.params.total; i++)
		p->grad[0][i] *= scale;
	for (size_t i = 0; i < t->net.graph.buffers.total; i++) {
		t->buffer[i] = p->buffer[0][i];
		for (int k = 1; k < p->n; k++)
			t->buffer[i] += p->buffer[k][i];
		t->buffer[i] *= scale;
	}
	struct cop_sgd o = {.momentum = (float)t->config->momentum, .weight_decay = (float)t->config->weight_decay};
	cop_cpu_backend.sgd(&o, &t->dials, t->net.graph.params.total, p->grad[0], NULL, t->param, t->slot[0]);
	t->step++;
}

static void begin_parts(struct parts *p, const struct cop_train_config *c, int n)
{
	struct cop_err err = {0};
	*p = (struct parts){.n = n, .batch = BATCH / n};
	begin(&p->t, &normed, c);
	assert_int_equal(cop_work_init(&p->work, &p->t.net, &cop_cpu_backend, p->batch, true, NULL, &err), 0);
	cop_shuffle_init(&p->shuffle, &digits.data, (uint64_t)c->seed_order, (uint64_t)c->seed_augment);
	assert_int_equal(cop_alloc(&p->x, 28 * 28, (size_t)p->work.ld * sizeof(float), "x", &err), 0);
	for (int k = 0; k < n; k++) {
		assert_int_equal(cop_alloc(&p->grad[k], p->t.net.graph.params.total, sizeof(float), "g", &err), 0);
		p->buffer[k] = cop_xcalloc(p->t.net.graph.buffers.total, sizeof(float));
	}
}

static void end_parts(struct parts *p)
{
	for (int k = 0; k < p->n; k++) {
		free(p->grad[k]);
		free(p->buffer[k]);
	}
	free(p->x);
	cop_shuffle_release(&p->shuffle);
	cop_work_release(&p->work);
	cop_trainer_release(&p->t);
}

/* With batch norms a part stands alone: the bits are those of the parts one after the other. */
static void test_parts(void **state)
{
	(void)state;
	static const int ranks[] = {2, 3, 4, 16};
	for (size_t i = 0; i < sizeof(ranks) / sizeof(ranks[0]); i++) {
		struct cop_train_config c = train_config(0), shared = train_config(ranks[i]);
		struct parts p;
		struct cop_trainer t;
		begin_parts(&p, &c, ranks[i]);
		begin(&t, &normed, &shared);
		for (int step = 1; step <= 8; step++) { /* an epoch has 6 */
			size_t params = t.net.graph.params.total, buffers = t.net.graph.buffers.total;
			step_of_parts(&p);
			run_to(&t, step);
			if (memcmp(t.param, p.t.param, params * sizeof(float)) != 0 ||
			    memcmp(t.slot[0], p.t.slot[0], params * sizeof(float)) != 0)
				fail_msg("%d ranks: step %d is not that of the parts", ranks[i], step);
			if (memcmp(t.buffer, p.t.buffer, buffers * sizeof(float)) != 0)
				fail_msg("%d ranks: the running statistics of step %d are not the parts'", ranks[i],
					 step);
		}
		cop_trainer_release(&t);
		end_parts(&p);
	}
}

/* Threads of the step and of the loader, and images in the file. */
static void test_threads(void **state)
{
	(void)state;
	for (int ranks = 2; ranks <= 3; ranks++) {
		struct cop_train_config c = train_config(ranks);
		struct cop_trainer alone;
		cop_cpu_set_threads(1);
		begin(&alone, &normed, &c);
		run_to(&alone, alone.total_steps);
		for (int how = 0; how < 4; how++) {
			struct cop_data_config from = data_config();
			struct cop_data there;
			struct cop_trainer many;
			struct cop_err err = {0};
			cop_cpu_set_threads(how == 0 ? 2 : how == 1 ? 4 : 7);
			from.loader_threads = how == 1 ? COP_LOADER_IN_STEP : how == 2 ? 3 : 0;
			from.storage = how == 3 ? COP_STORAGE_STREAM : COP_STORAGE_MEMORY;
			assert_int_equal(cop_data_open(&there, &from, &err), 0);
			begin_on(&many, &there, &normed, &c);
			run_to(&many, many.total_steps);
			if (!same(&alone, &many))
				fail_msg("%d ranks, way %d: other bits", ranks, how);
			cop_trainer_release(&many);
			cop_data_release(&there);
		}
		cop_trainer_release(&alone);
	}
	cop_cpu_set_threads(2);
}

static void mask_half(struct cop_trainer *t)
{
	size_t n = t->net.graph.params.total;
	struct cop_checkpoint c = cop_trainer_checkpoint(t);
	struct cop_err err = {0};
	uint8_t *mask = cop_xcalloc(n, 1);
	for (size_t i = 0; i < n; i++)
		mask[i] = i % 2 || i % 5 == 0;
	assert_int_equal(cop_trainer_rewind(t, &c, mask, &err), 0);
	free(mask);
}

/* Saved at every step in turn and taken up by another trainer, which has nothing but what was saved. */
static void test_resuming(void **state)
{
	(void)state;
	struct cop_train_config c = train_config(3);
	struct cop_trainer whole;
	c.epochs = 2;
	c.optimizer = COP_OPTIMIZER_ADAM;
	c.lr = 0.003;
	begin(&whole, &normed, &c);
	mask_half(&whole);
	run_to(&whole, whole.total_steps);
	for (int64_t at = 1; at < whole.total_steps; at++) {
		struct cop_trainer first, second;
		struct cop_err err = {0};
		bool found = false;
		begin(&first, &normed, &c);
		begin(&second, &normed, &c);
		mask_half(&first);
		mask_half(&second);
		first.progress_path = second.progress_path = digits.progress;
		first.checkpoint_seconds = second.checkpoint_seconds = 1e9;
		run_to(&first, at);
		assert_int_equal(cop_trainer_save(&first, &err), 0);
		cop_trainer_release(&first);
		run_to(&second, 1); /* its ranks have seen another step */
		cop_trainer_resume(&second, &found);
		assert_true(found);
		assert_int_equal(second.step, at);
		run_to(&second, second.total_steps);
		if (!same(&whole, &second))
			fail_msg("taken up at step %d: other bits", (int)at);
		cop_trainer_release(&second);
	}
	for (size_t i = 0; i < whole.net.graph.params.total; i++)
		if (!whole.mask[i] && (whole.param[i] != 0 || whole.slot[0][i] != 0))
			fail_msg("a pruned weight is %g", (double)whole.param[i]);
	cop_trainer_release(&whole);
}

static int threads_now(void)
{
	DIR *d = opendir("/proc/self/task");
	int n = 0;
	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

/* A loss that is not finite: told once, nothing is updated, and the threads end. */
static void test_not_finite(void **state)
{
	(void)state;
	struct cop_train_config c = train_config(4);
	struct cop_trainer t;
	struct cop_err err = {0};
	cop_cpu_set_threads(1);
	int before = threads_now();
	begin(&t, &normed, &c);
	assert_true(threads_now() > before);
	run_to(&t, 2);
	size_t bytes = t.net.graph.params.total * sizeof(float), buffers = t.net.graph.buffers.total * sizeof(float);
	t.param[t.net.graph.params.tensor[0].offset] = NAN;
	float *param = cop_xmalloc(bytes), *buffer = cop_xmalloc(buffers);
	memcpy(param, t.param, bytes);
	memcpy(buffer, t.buffer, buffers);
	for (int tries = 0; tries < 2; tries++) {
		assert_int_equal(cop_trainer_run(&t, t.total_steps, &err), COP_EFAILED);
		assert_string_equal(err.msg, "the loss is no longer finite at step 2 (learning rate 0.05): a lower one "
					     "may help");
		assert_int_equal(t.step, 2);
		assert_memory_equal(t.param, param, bytes);
		assert_memory_equal(t.buffer, buffer, buffers);
	}
	free(param);
	free(buffer);
	cop_trainer_release(&t);
	assert_int_equal(threads_now(), before);
	cop_cpu_set_threads(2);
}

/* Images that some ranks cannot read: the file has lost its end. */
static void test_failing_loader(void **state)
{
	(void)state;
	char *cut = cop_xasprintf("%s/cut.h5", digits.folder), *bytes;
	size_t size;
	struct cop_err err = {0};
	struct cop_data_config from = data_config();
	struct cop_train_config c = train_config(3);
	from.path = cut;
	from.storage = COP_STORAGE_STREAM;
	assert_int_equal(cop_read_file(digits.path, &bytes, &size, &err), 0);
	size_t each = 28 * 28;
	const char *image = memmem(bytes, size, digits.data.images[COP_SPLIT_TRAIN] + 250 * each, each);
	assert_non_null(image);
	for (int threads = COP_LOADER_IN_STEP; threads <= 2; threads += 3) {
		struct cop_data there;
		struct cop_trainer t, whole;
		from.loader_threads = threads;
		assert_int_equal(cop_write_file(cut, bytes, size, &err), 0);
		assert_int_equal(cop_data_open(&there, &from, &err), 0);
		begin_on(&t, &there, &normed, &c);
		begin(&whole, &normed, &c);
		run_to(&t, 1);
		run_to(&whole, 1);
		/* what was read ahead is forgotten */
		cop_trainer_restart(&t);
		cop_trainer_restart(&whole);
		there.validation.n = 0;
		assert_int_equal(truncate(cut, image - bytes), 0);
		assert_int_not_equal(cop_trainer_run(&t, 1, &err), 0);
		assert_non_null(strstr(err.msg, "cut.h5' ends before its train images do"));
		assert_int_equal(t.step, 0);
		/* once the file is whole again it goes on */
		int fd = open(cut, O_WRONLY);
		assert_true(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
		close(fd);
		run_to(&t, 2);
		run_to(&whole, 2);
		assert_memory_equal(t.param, whole.param, t.net.graph.params.total * sizeof(float));
		cop_trainer_release(&t);
		cop_trainer_release(&whole);
		cop_data_release(&there);
	}
	unlink(cut);
	free(bytes);
	free(cut);
}

static void test_refused(void **state)
{
	(void)state;
	struct cop_train_config c = train_config(5);
	struct cop_trainer t;
	struct cop_err err = {0};
	assert_int_equal(cop_trainer_init(&t, &plain, &c, &digits.data, &cop_cpu_backend, &err), COP_EINPUT);
	assert_string_equal(err.msg, "'train.batch' is 48, which 5 ranks ('device.ranks') cannot share evenly: take a "
				     "multiple of 5");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mean),       cmocka_unit_test(test_one_rank),
		cmocka_unit_test(test_close),      cmocka_unit_test(test_parts),
		cmocka_unit_test(test_threads),    cmocka_unit_test(test_resuming),
		cmocka_unit_test(test_not_finite), cmocka_unit_test(test_failing_loader),
		cmocka_unit_test(test_refused),
	};
	cop_cpu_set_threads(2);
	return cmocka_run_group_tests(tests, make_data, remove_data);
}
