/*
 * Training: schedules and points, the order of batches, augmentation, and that the bits neither depend on the number
 * of threads nor on where a run was interrupted.
 */
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "digits.h"
#include "nn/engine.h"
#include "nn/trainer.h"
#include "prune/mask.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { TRAINING = 330, TESTING = 40, VALIDATION = 30, BATCH = 48 };

static struct digits digits;

static struct cop_data_config data_config(int64_t validation, int64_t padding, bool flip)
{
	return (struct cop_data_config){
		.path = digits.path, .validation = validation, .crop_padding = padding, .flip = flip};
}

static int make_data(void **state)
{
	(void)state;
	struct cop_data_config c = data_config(VALIDATION, 0, false);
	return digits_make(&digits, TRAINING, TESTING, &c);
}

static int remove_data(void **state)
{
	(void)state;
	return digits_remove(&digits);
}

static void test_points(void **state)
{
	(void)state;
	const struct {
		const char *text;
		int64_t step;
	} good[] = {{"0ep", 0}, {"3ep", 351}, {"0.5ep", 59}, {"0it", 0}, {"500it", 500}, {"1e3it", 1000}};
	const char *const bad[] = {"",     "3",       "ep",     "it",     "-1ep", "-1it", "1.5it", "nanep",  "infep",
				   "3 ep", "3epochs", "1e99ep", "0x10it", "ep3",  "3EP",  "--3ep", "1e13it", "3ep "};
	struct cop_err err;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		int64_t step = -1;
		assert_int_equal(cop_point_parse("sweep.reset", good[i].text, 117, &step, &err), 0);
		assert_int_equal(step, good[i].step);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int64_t step = -7;
		err = (struct cop_err){0};
		if (cop_point_parse("sweep.reset", bad[i], 117, &step, &err) != COP_EINPUT)
			fail_msg("'%s' was taken for step %lld", bad[i], (long long)step);
		char quoted[40];
		snprintf(quoted, sizeof(quoted), "'%s'", bad[i]);
		assert_non_null(strstr(err.msg, quoted));
		assert_non_null(strstr(err.msg, "'sweep.reset'"));
		assert_int_equal(step, -7);
	}
}

static struct cop_train_config train_config(int64_t epochs)
{
	struct cop_train_config c = digits_training(epochs, BATCH);
	c.weight_decay = 1e-4;
	return c;
}

static void near(double got, double wanted)
{
	if (!(fabs(got - wanted) <= 1e-14 * fabs(wanted) + 1e-18))
		fail_msg("%.17g, not %.17g", got, wanted);
}

static void test_schedules(void **state)
{
	(void)state;
	char *milestones[] = {(char *)(uintptr_t) "7ep", (char *)(uintptr_t) "35it"};
	struct cop_train_config c = train_config(10);
	c.lr = 0.4;
	c.gamma = 0.2;
	c.final_lr = 0.004;
	c.milestones = (struct cop_strings){milestones, 2};
	for (int name = COP_SCHEDULE_CONSTANT; name <= COP_SCHEDULE_EXPONENTIAL; name++)
		for (int warm = 0; warm < 2; warm++) {
			struct cop_schedule s;
			struct cop_err err = {0};
			int64_t w = warm ? 8 : 0;
			c.schedule = name;
			c.warmup = (char *)(uintptr_t)(warm ? "8it" : "0ep");
			assert_int_equal(cop_schedule_init(&s, &c, 11, &err), 0);
			for (int64_t t = 0; t < 110; t++) {
				double wanted = 0.4;
				if (t < w)
					wanted = 0.4 * (double)(t + 1) / 8;
				else if (name == COP_SCHEDULE_STEP)
					wanted = t < 35 ? 0.4 : t < 77 ? 0.4 * 0.2 : 0.4 * 0.04;
				else if (name == COP_SCHEDULE_COSINE)
					wanted = 0.004 + 0.198 * (1 + cos(M_PI * (double)(t - w) / (double)(110 - w)));
				else if (name == COP_SCHEDULE_LINEAR)
					wanted = (0.4 * (double)(110 - t) + 0.004 * (double)(t - w)) /
						 (double)(110 - w);
				else if (name == COP_SCHEDULE_EXPONENTIAL)
					wanted = 0.4 * exp(log(0.2) * (double)t / 11);
				near(cop_schedule_lr(&s, t), wanted);
			}
			cop_schedule_release(&s);
		}
}

static void test_bad_schedules(void **state)
{
	(void)state;
	char *milestone[] = {(char *)(uintptr_t) "soon"};
	struct cop_schedule s;
	struct cop_err err = {0};
	struct cop_train_config c = train_config(2);
	c.warmup = (char *)(uintptr_t) "2.5ep";
	assert_int_equal(cop_schedule_init(&s, &c, 10, &err), COP_EINPUT);
	assert_non_null(strstr(err.msg, "'train.schedule.warmup' (2.5ep) is longer than the training (2ep)"));
	c.warmup = (char *)(uintptr_t) "2ep";
	assert_int_equal(cop_schedule_init(&s, &c, 10, &err), 0);
	near(cop_schedule_lr(&s, 19), c.lr);
	cop_schedule_release(&s);
	c.milestones = (struct cop_strings){milestone, 1};
	assert_int_equal(cop_schedule_init(&s, &c, 10, &err), COP_EINPUT);
	assert_non_null(strstr(err.msg, "'train.schedule.milestones' holds 'soon'"));
}

/* The split: disjoint, together all, and the same for everybody. */
static void test_split(void **state)
{
	(void)state;
	bool seen[TRAINING] = {false};
	assert_int_equal(digits.data.train.n, TRAINING - VALIDATION);
	assert_int_equal(digits.data.validation.n, VALIDATION);
	assert_int_equal(digits.data.test.n, TESTING);
	const struct cop_part *parts[] = {&digits.data.train, &digits.data.validation};
	for (int k = 0; k < 2; k++)
		for (int64_t i = 0; i < parts[k]->n; i++) {
			assert_true(parts[k]->index[i] < TRAINING && !seen[parts[k]->index[i]]);
			seen[parts[k]->index[i]] = true;
		}
	int64_t moved = 0;
	for (int64_t i = 0; i < VALIDATION; i++)
		moved += digits.data.validation.index[i] != (uint32_t)i;
	assert_true(moved > VALIDATION / 2);
	for (int64_t i = 0; i < TESTING; i++)
		assert_int_equal(digits.data.test.index[i], i);
	struct cop_data again;
	struct cop_err err = {0};
	struct cop_data_config c = data_config(VALIDATION, 2, true);
	assert_int_equal(cop_data_open(&again, &c, &err), 0);
	assert_memory_equal(again.validation.index, digits.data.validation.index, VALIDATION * sizeof(uint32_t));
	cop_data_release(&again);
	c = data_config(TRAINING, 0, false);
	assert_int_equal(cop_data_open(&again, &c, &err), COP_EINPUT);
	assert_non_null(strstr(err.msg, "'data.validation' is 330"));
	c = data_config(0, 0, false);
	c.fingerprint = (char *)(uintptr_t) "0123456789abcdef";
	assert_int_equal(cop_data_open(&again, &c, &err), COP_EINPUT);
	assert_non_null(strstr(err.msg, "0123456789abcdef"));
}

/* All picks of an epoch, (n/BATCH*BATCH). */
static void draw_epoch(struct cop_shuffle *o, int64_t epoch, struct cop_pick *pick)
{
	int32_t label[BATCH];
	for (int64_t at = 0; at < o->data->train.n / BATCH; at++) {
		cop_shuffle_batch(o, epoch, at, BATCH, pick + at * BATCH, label);
		for (int i = 0; i < BATCH; i++)
			assert_int_equal(label[i], o->data->labels[COP_SPLIT_TRAIN][pick[at * BATCH + i].index]);
	}
}

static int same_order(const struct cop_pick *a, const struct cop_pick *b, int n)
{
	int same = 0;
	for (int i = 0; i < n; i++)
		same += a[i].index == b[i].index;
	return same;
}

static void test_batches(void **state)
{
	(void)state;
	enum { EPOCHS = 4, EACH = (TRAINING - VALIDATION) / BATCH * BATCH };
	static struct cop_pick pick[EPOCHS][EACH], again[EACH];
	bool trained[TRAINING] = {false};
	struct cop_shuffle o;
	for (int64_t i = 0; i < digits.data.train.n; i++)
		trained[digits.data.train.index[i]] = true;
	cop_shuffle_init(&o, &digits.data, 11, 12);
	for (int e = 0; e < EPOCHS; e++) {
		bool seen[TRAINING] = {false};
		draw_epoch(&o, e, pick[e]);
		for (int i = 0; i < EACH; i++) {
			uint32_t k = pick[e][i].index;
			assert_true(k < TRAINING && trained[k] && !seen[k]);
			assert_true(!pick[e][i].dy && !pick[e][i].dx && !pick[e][i].flip);
			seen[k] = true;
		}
		for (int before = 0; before < e; before++)
			assert_true(same_order(pick[before], pick[e], EACH) < EACH / 10);
	}
	/* an epoch is drawn alike whatever was drawn before it, in whatever order its batches are asked for */
	draw_epoch(&o, 1, again);
	assert_int_equal(same_order(pick[1], again, EACH), EACH);
	int32_t label[BATCH];
	cop_shuffle_batch(&o, 3, 2, BATCH, again, label);
	assert_int_equal(same_order(pick[3] + 2 * BATCH, again, BATCH), BATCH);
	cop_shuffle_release(&o);
	cop_shuffle_init(&o, &digits.data, 12, 12);
	draw_epoch(&o, 1, again);
	assert_true(same_order(pick[1], again, EACH) < EACH / 10);
	cop_shuffle_release(&o);
}

/* Moves lie within the padding, take every value, and belong to (seed, epoch, image) alone. */
static void test_augmentation(void **state)
{
	(void)state;
	enum { EACH = (TRAINING - VALIDATION) / BATCH * BATCH, PAD = 2 };
	static struct cop_pick pick[EACH], again[EACH];
	struct cop_data moved;
	struct cop_err err = {0};
	struct cop_data_config c = data_config(VALIDATION, PAD, true);
	struct cop_shuffle o;
	assert_int_equal(cop_data_open(&moved, &c, &err), 0);
	cop_shuffle_init(&o, &moved, 1, 2);
	draw_epoch(&o, 0, pick);
	int at[(2 * PAD + 1) * (2 * PAD + 1)] = {0}, flips = 0, fewest = EACH;
	for (int i = 0; i < EACH; i++) {
		assert_true(abs(pick[i].dy) <= PAD && abs(pick[i].dx) <= PAD);
		at[(pick[i].dy + PAD) * (2 * PAD + 1) + pick[i].dx + PAD]++;
		flips += pick[i].flip;
	}
	for (int k = 0; k < (2 * PAD + 1) * (2 * PAD + 1); k++)
		fewest = at[k] < fewest ? at[k] : fewest;
	assert_true(fewest >= 2); /* 288 draws over 25 places */
	assert_true(flips > 110 && flips < 178);
	cop_shuffle_release(&o);
	/* another order, the same moves */
	cop_shuffle_init(&o, &moved, 99, 2);
	draw_epoch(&o, 0, again);
	for (int i = 0; i < EACH; i++)
		for (int k = 0; k < EACH; k++)
			if (again[i].index == pick[k].index)
				assert_true(again[i].dy == pick[k].dy && again[i].dx == pick[k].dx &&
					    again[i].flip == pick[k].flip);
	draw_epoch(&o, 1, pick);
	int same = 0, met = 0;
	for (int i = 0; i < EACH; i++)
		for (int k = 0; k < EACH; k++)
			if (again[i].index == pick[k].index) {
				met++;
				same += again[i].dy == pick[k].dy && again[i].dx == pick[k].dx;
			}
	assert_true(met > EACH / 2 && same < met / 8);
	cop_shuffle_release(&o);
	cop_data_release(&moved);
}

/* A trainer of a network with `hidden` units in each of its layers. */
static void begin(struct cop_trainer *t, const struct cop_train_config *c, int64_t *hidden, size_t nhidden)
{
	struct cop_err err = {0};
	struct cop_model_config m = {.hidden = {hidden, nhidden}};
	if (cop_trainer_init(t, &m, c, &digits.data, &cop_cpu_backend, &err))
		fail_msg("%s", err.msg);
	cop_trainer_draw(t, COP_INIT_KAIMING_NORMAL, (uint64_t)c->seed_init);
	t->hash = "the same";
	t->experiment = "{}";
	t->identity = "a test";
}

static void run_to(struct cop_trainer *t, int64_t step)
{
	struct cop_err err = {0};
	if (cop_trainer_run(t, step, &err) || cop_trainer_sync(t, &err))
		fail_msg("%s", err.msg);
}

static void measure(struct cop_trainer *t, const struct cop_part *part, struct cop_measure *m)
{
	struct cop_err err = {0};
	if (cop_trainer_measure(t, part, m, &err))
		fail_msg("%s", err.msg);
}

/* Parameters, running statistics, optimizer state and history, bit for bit; the seconds may differ. */
static void assert_same(const struct cop_trainer *a, const struct cop_trainer *b, const char *when, int64_t number)
{
	size_t bytes = a->net.graph.params.total * sizeof(float);
	bool same = a->step == b->step && a->history.n == b->history.n && memcmp(a->param, b->param, bytes) == 0;
	same = same && memcmp(a->buffer, b->buffer, a->net.graph.buffers.total * sizeof(float)) == 0;
	for (size_t s = 0; s < a->nslots; s++)
		same = same && memcmp(a->slot[s], b->slot[s], bytes) == 0;
	for (size_t i = 0; i < a->history.n && same; i++)
		same = memcmp(a->history.row[i], b->history.row[i], COP_HISTORY_SECONDS * sizeof(double)) == 0;
	if (!same)
		fail_msg("%s %lld: the results differ", when, (long long)number);
}

static void test_threads(void **state)
{
	(void)state;
	int64_t hidden[] = {300, 100};
	for (int optimizer = COP_OPTIMIZER_SGD; optimizer <= COP_OPTIMIZER_ADAM; optimizer++) {
		struct cop_train_config c = train_config(3);
		struct cop_trainer alone, many;
		c.optimizer = optimizer;
		c.lr = optimizer == COP_OPTIMIZER_ADAM ? 0.001 : 0.05;
		cop_cpu_set_threads(1);
		begin(&alone, &c, hidden, 2);
		run_to(&alone, alone.total_steps);
		assert_int_equal(alone.step, 18);
		assert_int_equal(alone.history.n, 4);
		for (int threads = 2; threads <= 4; threads++) {
			cop_cpu_set_threads(threads);
			digits.data.loader_threads = threads - 2;
			begin(&many, &c, hidden, 2);
			run_to(&many, many.total_steps);
			assert_same(&alone, &many, "threads", threads);
			cop_trainer_release(&many);
		}
		digits.data.loader_threads = COP_LOADER_AUTO;
		cop_trainer_release(&alone);
	}
}

/* It learns at all: a net that guesses has a loss of log 10 and one in ten right. */
static void test_learning(void **state)
{
	(void)state;
	int64_t hidden[] = {40};
	struct cop_train_config c = train_config(8);
	struct cop_trainer t;
	struct cop_measure m;
	begin(&t, &c, hidden, 1);
	measure(&t, &digits.data.train, &m);
	assert_true(m.top1 < 0.3 && m.loss > 1.8);
	run_to(&t, t.total_steps);
	measure(&t, &digits.data.train, &m);
	assert_true(m.top1 > 0.9 && m.loss < 0.5);
	measure(&t, &digits.data.validation, &m);
	assert_true(m.top1 > 0.6);
	assert_true(t.history.row[8][COP_HISTORY_VAL_TOP1] == m.top1 &&
		    t.history.row[8][COP_HISTORY_VAL_LOSS] == m.loss);
	assert_true(t.history.row[8][COP_HISTORY_EPOCH] == 8 && t.history.row[8][COP_HISTORY_STEP] == 48);
	assert_true(isnan(t.history.row[0][COP_HISTORY_TRAIN_LOSS]));
	assert_true(t.history.row[8][COP_HISTORY_TRAIN_LOSS] < t.history.row[1][COP_HISTORY_TRAIN_LOSS]);
	cop_trainer_release(&t);
}

static struct cop_train_config with_optimizer(int kind)
{
	struct cop_train_config c = train_config(3);
	c.optimizer = kind == 2 ? COP_OPTIMIZER_ADAM : COP_OPTIMIZER_SGD;
	c.nesterov = kind == 1;
	c.lr = kind == 2 ? 0.003 : 0.05;
	c.weight_decay = 0.01;
	c.schedule = COP_SCHEDULE_COSINE;
	return c;
}

/* A mask that keeps a tenth of the prunable weights. */
static uint8_t *tenth(const struct cop_trainer *t)
{
	uint8_t *mask = cop_xmalloc(t->net.graph.params.total);
	struct cop_err err = {0};
	double threshold;
	size_t cut = cop_prune_count(0.9, cop_layout_count(&t->net.graph.params, true));
	assert_int_equal(cop_prune_global(&t->net.graph.params, t->param, cut, mask, &threshold, &err), 0);
	return mask;
}

static void rewind_with(struct cop_trainer *t, const uint8_t *mask)
{
	struct cop_err err = {0};
	struct cop_checkpoint c = cop_trainer_checkpoint(t);
	assert_int_equal(cop_trainer_rewind(t, &c, mask, &err), 0);
}

/* The first layer from a list of its survivors, the second whole. */
static void mix_layers(struct cop_trainer *t)
{
	t->whole = cop_xcalloc((size_t)t->net.graph.n, sizeof(*t->whole));
	assert_true(cop_engine_parse(&t->net.graph, "fc2", t->whole));
}

/* Saved at every step in turn, taken up by a new trainer, and trained to the end. */
static void test_resuming(void **state)
{
	(void)state;
	int64_t hidden[] = {24};
	for (int kind = 0; kind < 6; kind++) {
		struct cop_train_config c = with_optimizer(kind % 3);
		struct cop_trainer whole;
		/* tickets by both engines, and one whose layers are not all computed alike: that is taken up, too */
		c.engine = kind == 3 ? COP_ENGINE_SPARSE : kind == 4 ? COP_ENGINE_DENSE : COP_ENGINE_AUTO;
		begin(&whole, &c, hidden, 1);
		uint8_t *mask = kind >= 3 ? tenth(&whole) : NULL;
		if (mask)
			rewind_with(&whole, mask);
		if (kind == 5)
			mix_layers(&whole);
		run_to(&whole, whole.total_steps);
		for (int64_t at = 1; at < whole.total_steps; at += kind ? 4 : 1) {
			struct cop_trainer first, second;
			struct cop_err err = {0};
			bool found = false;
			begin(&first, &c, hidden, 1);
			begin(&second, &c, hidden, 1);
			if (mask) {
				rewind_with(&first, mask);
				rewind_with(&second, mask);
			}
			if (kind == 5)
				mix_layers(&first);
			first.progress_path = second.progress_path = digits.progress;
			first.checkpoint_seconds = 1e9;
			second.checkpoint_seconds = 1e9;
			run_to(&first, at);
			assert_int_equal(cop_trainer_save(&first, &err), 0);
			double waiting = first.waiting;
			assert_true(waiting > 0 && waiting < first.stepping);
			cop_trainer_release(&first);
			memset(second.param, 0x7f, second.net.graph.params.total * sizeof(float));
			cop_trainer_resume(&second, &found);
			assert_true(found);
			assert_int_equal(second.step, at);
			assert_true(second.waiting == waiting);
			run_to(&second, second.total_steps);
			assert_same(&whole, &second, "resumed at", at);
			cop_trainer_release(&second);
		}
		free(mask);
		cop_trainer_release(&whole);
	}
}

/* Asked to stop it saves and says so; what belongs to other work is not taken up. */
static void test_stopping(void **state)
{
	(void)state;
	int64_t hidden[] = {8};
	struct cop_train_config c = train_config(2);
	struct cop_trainer t;
	struct cop_err err = {0};
	volatile sig_atomic_t stop = 1;
	bool found = true;
	unlink(digits.progress);
	begin(&t, &c, hidden, 1);
	t.progress_path = digits.progress;
	cop_trainer_resume(&t, &found);
	assert_false(found);
	t.checkpoint_seconds = 1e9;
	run_to(&t, 2);
	assert_false(cop_exists(digits.progress));
	t.stop = &stop;
	t.what = "cell 3";
	assert_int_equal(cop_trainer_run(&t, t.total_steps, &err), COP_ESTOPPED);
	assert_non_null(strstr(err.msg, "cell 3 was asked to stop: saved at step 3"));
	assert_true(cop_exists(digits.progress));
	t.identity = "other work";
	cop_trainer_resume(&t, &found);
	assert_false(found);
	t.identity = "a test";
	t.hash = "another";
	cop_trainer_resume(&t, &found);
	assert_false(found);
	t.hash = "the same";
	cop_trainer_resume(&t, &found);
	assert_true(found);
	const double sum[2] = {t.sums.loss, t.seconds};
	for (int k = 0; k < 2; k++) {
		char *file, *at;
		size_t len;
		assert_int_equal(cop_read_file(digits.progress, &file, &len, &err), 0);
		assert_non_null(at = memmem(file, len, &sum[k], sizeof(sum[k])));
		at[3] ^= 4; /* another sum, and nothing else is amiss */
		assert_int_equal(cop_write_file(digits.progress, file, len, &err), 0);
		cop_trainer_resume(&t, &found);
		assert_false(found);
		at[3] ^= 4;
		assert_int_equal(cop_write_file(digits.progress, file, len, &err), 0);
		free(file);
		cop_trainer_resume(&t, &found);
		assert_true(found);
	}
	assert_int_equal(truncate(digits.progress, 3000), 0);
	cop_trainer_resume(&t, &found);
	assert_false(found);
	cop_trainer_release(&t);
}

/* Pruned weights are 0.0f in every bit after each of 100 steps of real training. */
static void test_masked_training(void **state)
{
	(void)state;
	int64_t hidden[] = {30, 20};
	for (int kind = 0; kind < 3; kind++) {
		struct cop_train_config c = with_optimizer(kind);
		struct cop_trainer t;
		c.epochs = 17;
		begin(&t, &c, hidden, 2);
		uint8_t *mask = tenth(&t);
		run_to(&t, 5); /* so that there is momentum to cut */
		rewind_with(&t, mask);
		for (int step = 5; step <= 102; step++) {
			run_to(&t, step);
			for (size_t i = 0; i < t.net.graph.params.total; i++) {
				uint32_t bits[2] = {0};
				memcpy(&bits[0], &t.param[i], sizeof(float));
				memcpy(&bits[1], &t.slot[0][i], sizeof(float));
				if (!mask[i] && (bits[0] || bits[1]))
					fail_msg("optimizer %d, step %d: weight %zu is %g", kind, step, i,
						 (double)t.param[i]);
			}
		}
		struct cop_measure m;
		measure(&t, &digits.data.train, &m);
		assert_true(m.top1 > 0.4);
		free(mask);
		cop_trainer_release(&t);
	}
}

static void test_refusals(void **state)
{
	(void)state;
	int64_t hidden[] = {8}, other[] = {9};
	struct cop_train_config c = train_config(2);
	struct cop_trainer t, another;
	struct cop_err err = {0};
	struct cop_model_config m = {.hidden = {hidden, 1}};
	c.batch = TRAINING;
	assert_int_equal(cop_trainer_init(&t, &m, &c, &digits.data, &cop_cpu_backend, &err), COP_EINPUT);
	assert_non_null(strstr(err.msg, "'train.batch' is 330, but only 300 images"));
	c.batch = BATCH;
	begin(&t, &c, hidden, 1);
	begin(&another, &c, other, 1);
	struct cop_checkpoint k = cop_trainer_checkpoint(&another);
	assert_int_equal(cop_trainer_rewind(&t, &k, NULL, &err), COP_EINPUT);
	assert_non_null(strstr(err.msg, "another network"));
	cop_trainer_release(&another);
	struct cop_train_config adam = train_config(2);
	adam.optimizer = COP_OPTIMIZER_ADAM;
	begin(&another, &adam, hidden, 1);
	k = cop_trainer_checkpoint(&t);
	assert_int_equal(cop_trainer_rewind(&another, &k, NULL, &err), COP_EINPUT);
	assert_non_null(strstr(err.msg, "'adam_m'"));
	cop_trainer_release(&another);
	cop_trainer_release(&t);
	c = train_config(2);
	c.lr = 1e30;
	begin(&t, &c, hidden, 1);
	assert_int_equal(cop_trainer_run(&t, t.total_steps, &err), COP_EFAILED);
	assert_non_null(strstr(err.msg, "no longer finite at step"));
	cop_trainer_release(&t);
}

/* Replicates differ in weights and order; initial weights have the variance that the formula gives. */
static void test_initialisation(void **state)
{
	(void)state;
	int64_t hidden[] = {200};
	struct cop_train_config c = train_config(1);
	struct cop_trainer t;
	begin(&t, &c, hidden, 1);
	size_t weight = t.net.graph.params.tensor[0].offset, bias = t.net.graph.params.tensor[1].offset;
	const double variance[] = {2.0 / 784, 2.0 / 984, 2.0 / 984};
	for (int init = COP_INIT_KAIMING_NORMAL; init <= COP_INIT_GLOROT_UNIFORM; init++) {
		double sum = 0, squares = 0, most = 0, n = 784 * 200;
		cop_trainer_draw(&t, init, 1);
		for (size_t i = 0; i < 784 * 200; i++) {
			double v = (double)t.param[weight + i];
			sum += v;
			squares += v * v;
			most = fmax(most, fabs(v));
		}
		assert_true(fabs(sum / n) < 4 * sqrt(variance[init] / n));
		assert_true(fabs(squares / n / variance[init] - 1) < 0.02);
		double edge = sqrt(3 * variance[init]);
		assert_true(init == COP_INIT_GLOROT_UNIFORM ? most <= edge && most > 0.99 * edge : most > 1.5 * edge);
		for (size_t i = 0; i < 200; i++)
			assert_true(t.param[bias + i] == 0);
	}
	float *first = cop_xmalloc(784 * 200 * sizeof(float));
	cop_trainer_draw(&t, COP_INIT_KAIMING_NORMAL, 1);
	memcpy(first, t.param + weight, 784 * 200 * sizeof(float));
	cop_trainer_draw(&t, COP_INIT_KAIMING_NORMAL, 2);
	size_t same = 0;
	for (size_t i = 0; i < 784 * 200; i++)
		same += first[i] == t.param[weight + i];
	assert_true(same < 20);
	free(first);
	cop_trainer_release(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_points),         cmocka_unit_test(test_schedules),
		cmocka_unit_test(test_bad_schedules),  cmocka_unit_test(test_split),
		cmocka_unit_test(test_batches),        cmocka_unit_test(test_augmentation),
		cmocka_unit_test(test_initialisation), cmocka_unit_test(test_learning),
		cmocka_unit_test(test_threads),        cmocka_unit_test(test_resuming),
		cmocka_unit_test(test_stopping),       cmocka_unit_test(test_masked_training),
		cmocka_unit_test(test_refusals),
	};
	cop_cpu_set_threads(2);
	return cmocka_run_group_tests(tests, make_data, remove_data);
}
