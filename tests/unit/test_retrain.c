/* From which weights, step and optimizer state each way to retrain begins, on a run of the built-in digits. */
#include "base/file.h"
#include "base/mem.h"
#include "digits.h"
#include "prune/mask.h"
#include "sweep/plan.h"
#include "sweep/ticket.h"
#include "sweep/work.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* 10 steps an epoch, 40 in all; batch norm, so that there are running statistics. */
static const char experiment[] =
	"{\"name\": \"retrain\","
	" \"model\": {\"name\": \"graph\", \"layers\": ["
	"  {\"op\": \"conv\", \"name\": \"conv1\", \"out\": 4, \"kernel\": 3, \"stride\": 4, \"bias\": false},"
	"  {\"op\": \"batch_norm\", \"name\": \"bn1\"}, {\"op\": \"relu\"}, {\"op\": \"flatten\"},"
	"  {\"op\": \"linear\", \"name\": \"fc\", \"out\": \"classes\"}]},"
	" \"data\": {\"path\": \"glyphs\", \"glyphs\": {\"train\": 200, \"test\": 40}},"
	" \"train\": {\"epochs\": 4, \"batch\": 20, \"optimizer\": {\"name\": \"adam\", \"lr\": 0.002},"
	"            \"schedule\": {\"name\": \"linear\", \"final_lr\": 0.0001}},"
	" \"device\": {\"kind\": \"cpu\", \"threads\": 1},"
	" \"sweep\": {\"quantiles\": [0.5, 0.75], \"rounds\": 2, \"reset\": [\"0ep\", \"1ep\"], \"children\": 2,"
	"            \"retrain\": [\"rewind\", \"lr-rewind\"],"
	"            \"controls\": [\"fine-tune\", \"reinit\", \"reinit-sign\", \"shuffle\", \"random\"]}}";

enum { TOTAL = 40, RESET = 10 };

static struct cop_run run;
static struct cop_data data;

static int set_up(void **state)
{
	(void)state;
	digits_run(&run, &data, experiment);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return digits_run_remove(&run, &data);
}

static const struct cop_point *find(int retrain, int64_t round, int64_t step, int64_t child)
{
	for (size_t i = 0; i < run.ncells; i++) {
		const struct cop_point *p = &run.cell[i];
		if (p->retrain == retrain && p->round == round && p->reset_step == step && p->child == child)
			return p;
	}
	fail_msg("no such cell");
	return NULL;
}

/* A cell at its beginning. Release with end(). */
struct beginning {
	struct cop_train_config train;
	struct cop_trainer t;
	uint8_t *mask;
};

static void begin(struct beginning *b, const struct cop_point *p)
{
	struct cop_err err = {0};
	double threshold;
	b->train = cop_ticket_training(&run, p);
	must(cop_trainer_init(&b->t, &run.experiment.model, &b->train, &data, &cop_cpu_backend, &err), &err);
	must(cop_ticket_mask(&run, NULL, p, &b->t, &b->mask, &threshold, &err), &err);
	must(cop_ticket_start(&run, NULL, p, b->mask, &b->t, &err), &err);
}

static void end(struct beginning *b)
{
	cop_trainer_release(&b->t);
	free(b->mask);
}

static void read_dense(struct cop_checkpoint *c, int64_t step)
{
	struct cop_err err = {0};
	char *path = cop_run_checkpoint(&run, 0, step);
	must(cop_checkpoint_read(path, c, true, &err), &err);
	free(path);
}

/* Parameters and running statistics are these, but for what is cut. */
static void expect_weights(const struct beginning *b, const float *param, const float *buffer)
{
	const struct cop_graph *g = &b->t.net.graph;
	for (size_t i = 0; i < g->params.total; i++)
		assert_true(b->t.param[i] == (b->mask[i] ? param[i] : 0.0f));
	if (buffer)
		assert_memory_equal(b->t.buffer, buffer, g->buffers.total * sizeof(float));
}

static bool all_zero(const float *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (v[i] != 0)
			return false;
	return true;
}

static void expect_no_state(const struct beginning *b)
{
	for (size_t s = 0; s < b->t.nslots; s++)
		assert_true(all_zero(b->t.slot[s], b->t.net.graph.params.total));
}

static void test_rewind(void **state)
{
	(void)state;
	struct beginning b;
	struct cop_checkpoint c;
	begin(&b, find(COP_RETRAIN_REWIND, 1, RESET, 0));
	read_dense(&c, RESET);
	expect_weights(&b, c.param, c.buffer);
	for (size_t s = 0; s < b.t.nslots; s++)
		for (size_t i = 0; i < c.params.total; i++)
			assert_true(b.t.slot[s][i] == (b.mask[i] ? c.slot[s][i] : 0.0f));
	assert_int_equal(b.t.step, RESET);
	assert_int_equal(b.t.fresh, 0);
	assert_int_equal(b.t.total_steps, TOTAL);
	cop_checkpoint_release(&c);
	end(&b);
}

/* The trained weights; what Adam corrects for is counted from the first step. */
static void test_going_on(void **state)
{
	(void)state;
	struct beginning rate, tune;
	struct cop_checkpoint c;
	read_dense(&c, TOTAL);
	begin(&rate, find(COP_RETRAIN_LR_REWIND, 1, RESET, 0));
	expect_weights(&rate, c.param, c.buffer);
	expect_no_state(&rate);
	assert_true(rate.t.step == RESET && rate.t.fresh == RESET && rate.t.total_steps == TOTAL);
	begin(&tune, find(COP_RETRAIN_FINE_TUNE, 1, RESET, 0));
	expect_weights(&tune, c.param, c.buffer);
	expect_no_state(&tune);
	assert_true(tune.t.step == TOTAL && tune.t.fresh == TOTAL && tune.t.total_steps == 2 * TOTAL - RESET);
	/* as many steps with the rate of the last one */
	double last = cop_schedule_lr(&rate.t.schedule, TOTAL - 1);
	assert_true(last > 0.0001 && last < 0.002);
	for (int64_t t = TOTAL; t < 2 * TOTAL; t++)
		assert_true(cop_schedule_lr(&tune.t.schedule, t) == last);
	end(&tune);
	run.experiment.sweep.fine_tune_lr = 0.5;
	begin(&tune, find(COP_RETRAIN_FINE_TUNE, 1, 0, 0));
	assert_true(cop_schedule_lr(&tune.t.schedule, TOTAL) == 0.5 && tune.t.total_steps == 2 * TOTAL);
	assert_true(cop_schedule_lr(&tune.t.schedule, TOTAL - 1) == last);
	run.experiment.sweep.fine_tune_lr = 0;
	cop_checkpoint_release(&c);
	end(&tune);
	end(&rate);
}

/* Other weights than at first, the same for both; one has the signs of the first. */
static void test_reinit(void **state)
{
	(void)state;
	struct beginning fresh, kept;
	struct cop_checkpoint c;
	size_t changed = 0, turned = 0, n = 0;
	read_dense(&c, 0);
	begin(&fresh, find(COP_RETRAIN_REINIT, 1, RESET, 0));
	begin(&kept, find(COP_RETRAIN_REINIT_SIGN, 1, RESET, 0));
	assert_memory_equal(fresh.mask, kept.mask, c.params.total);
	for (size_t i = 0; i < c.params.n; i++) {
		const struct cop_tensor *t = &c.params.tensor[i];
		for (size_t k = t->offset; k < t->offset + t->count; k++) {
			assert_true(fabsf(fresh.t.param[k]) == fabsf(kept.t.param[k]));
			if (!t->prunable || !fresh.mask[k])
				continue;
			assert_true(signbit(kept.t.param[k]) == signbit(c.param[k]));
			changed += fresh.t.param[k] != c.param[k];
			turned += signbit(fresh.t.param[k]) != signbit(c.param[k]);
			n++;
		}
	}
	assert_int_equal(changed, n);
	assert_true(turned > n / 4 && turned < 3 * n / 4);
	expect_no_state(&fresh);
	expect_no_state(&kept);
	assert_memory_equal(fresh.t.buffer, c.buffer, c.buffers.total * sizeof(float)); /* as at first */
	assert_true(fresh.t.step == 0 && fresh.t.fresh == 0 && kept.t.step == 0 && fresh.t.total_steps == TOTAL);
	cop_checkpoint_release(&c);
	end(&fresh);
	end(&kept);
}

static size_t kept_of(const struct cop_layout *l, size_t i, const uint8_t *mask)
{
	return cop_mask_kept(&l->tensor[i], mask);
}

/* As many weights of each tensor, or in all, and others. */
static void test_moved_masks(void **state)
{
	(void)state;
	struct beginning ticket, shuffled, any;
	begin(&ticket, find(COP_RETRAIN_REWIND, 1, RESET, 0));
	begin(&shuffled, find(COP_RETRAIN_SHUFFLE, 1, RESET, 0));
	begin(&any, find(COP_RETRAIN_RANDOM, 1, RESET, 0));
	const struct cop_layout *l = &ticket.t.net.graph.params;
	for (size_t i = 0; i < l->n; i++)
		assert_int_equal(kept_of(l, i, shuffled.mask), kept_of(l, i, ticket.mask));
	assert_int_equal(cop_mask_nnz(l, any.mask), cop_mask_nnz(l, ticket.mask));
	assert_memory_not_equal(shuffled.mask, ticket.mask, l->total);
	assert_memory_not_equal(any.mask, ticket.mask, l->total);
	assert_memory_not_equal(any.mask, shuffled.mask, l->total);
	/* both are rewound */
	struct cop_checkpoint c;
	read_dense(&c, RESET);
	expect_weights(&shuffled, c.param, c.buffer);
	expect_weights(&any, c.param, c.buffer);
	cop_checkpoint_release(&c);
	end(&ticket);
	end(&shuffled);
	end(&any);
}

/* The second round: a way of its own goes on from its own first round, a control from the ticket's. */
static void test_second_round(void **state)
{
	(void)state;
	struct cop_err err = {0};
	const struct cop_work_options o = {.threads = 1};
	const int retrain[] = {COP_RETRAIN_LR_REWIND, COP_RETRAIN_FINE_TUNE};
	const int chain[] = {COP_RETRAIN_LR_REWIND, COP_RETRAIN_REWIND};
	for (int k = 0; k < 2; k++) {
		const struct cop_point *first = find(chain[k], 1, RESET, 0);
		struct cop_checkpoint was = {0};
		struct cop_h5 *f;
		struct beginning b;
		must(cop_cell_run(&run, first->index, &o, &err), &err);
		char *path = cop_run_cell(&run, first->index);
		must(cop_h5_open(&f, path, COP_CELL_FORMAT, &err), &err);
		must(cop_load_tensors(f, "params", &was.params, &was.param, &err), &err);
		must(cop_load_tensors(f, "buffers", &was.buffers, &was.buffer, &err), &err);
		cop_h5_close(f);
		free(path);
		begin(&b, find(retrain[k], 2, RESET, 0));
		expect_weights(&b, was.param, was.buffer);
		assert_int_equal(cop_layout_count(&was.params, true) - cop_mask_nnz(&was.params, b.mask),
				 cop_prune_count(0.75, cop_layout_count(&was.params, true)));
		end(&b);
		cop_checkpoint_release(&was);
	}
}

/* A child has another order of images and everything else the same. */
static void test_children(void **state)
{
	(void)state;
	struct beginning a, b;
	const struct cop_worker dense = {.dense = true};
	const struct cop_train_config d = cop_experiment_training(&run.experiment, &dense);
	begin(&a, find(COP_RETRAIN_REWIND, 1, RESET, 0));
	begin(&b, find(COP_RETRAIN_REWIND, 1, RESET, 1));
	assert_memory_equal(a.t.param, b.t.param, a.t.net.graph.params.total * sizeof(float));
	assert_true(a.train.seed_order == d.seed_order && a.train.seed_augment == d.seed_augment);
	assert_true(b.train.seed_order != d.seed_order && b.train.seed_augment != d.seed_augment);
	assert_true(b.train.seed_init == d.seed_init);
	end(&a);
	end(&b);
}

/* Replicates change the seeds that vary, and no others. */
static void test_vary(void **state)
{
	(void)state;
	const char *const texts[] = {"[]", "\"init\"", "[\"order\"]", "[\"augment\", \"init\"]",
				     "[\"init\", \"order\", \"augment\"]"};
	const int moves[][3] = {{0, 0, 0}, {1, 0, 0}, {0, 1, 0}, {1, 0, 1}, {1, 1, 1}};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct cop_experiment e;
		struct cop_err err = {0};
		char *set = cop_xasprintf("sweep.vary=%s", texts[i]);
		const char *sets[] = {set, "train.seeds.order=100"};
		must(cop_experiment_load(&e, "{}", "test", sets, 2, &err), &err);
		struct cop_train_config c = cop_experiment_training(&e, &(struct cop_worker){.replicate = 3});
		assert_int_equal(c.seed_init, 1 + 3 * moves[i][0]);
		assert_int_equal(c.seed_order, 100 + 3 * moves[i][1]);
		assert_int_equal(c.seed_augment, 1 + 3 * moves[i][2]);
		cop_experiment_release(&e);
		free(set);
	}
}

static int count_beat(const struct cop_trainer *t, void *user, struct cop_err *err)
{
	(void)t;
	(void)err;
	++*(int *)user;
	return 0;
}

/* Scoring takes long where networks are large: it is told of, and ends when it is asked to. */
static void test_scoring_is_watched(void **state)
{
	(void)state;
	struct cop_point p = *find(COP_RETRAIN_REWIND, 1, RESET, 0);
	struct cop_train_config train = cop_ticket_training(&run, &p);
	struct cop_trainer t;
	struct cop_err err = {0};
	sig_atomic_t stop = 0;
	uint8_t *mask = NULL;
	double threshold;
	int beats = 0;
	p.criterion = COP_CRITERION_SNIP;
	must(cop_trainer_init(&t, &run.experiment.model, &train, &data, &cop_cpu_backend, &err), &err);
	t.stop = &stop;
	t.heartbeat = count_beat;
	t.user = &beats;
	must(cop_ticket_mask(&run, NULL, &p, &t, &mask, &threshold, &err), &err);
	assert_int_equal(beats, run.experiment.sweep.score_batches);
	free(mask);
	mask = NULL;
	stop = 1;
	assert_int_equal(cop_ticket_mask(&run, NULL, &p, &t, &mask, &threshold, &err), COP_ESTOPPED);
	assert_non_null(strstr(err.msg, "was asked to stop while its mask was made"));
	assert_int_equal(beats, run.experiment.sweep.score_batches);
	free(mask);
	cop_trainer_release(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rewind),       cmocka_unit_test(test_going_on),
		cmocka_unit_test(test_reinit),       cmocka_unit_test(test_moved_masks),
		cmocka_unit_test(test_second_round), cmocka_unit_test(test_children),
		cmocka_unit_test(test_vary),         cmocka_unit_test(test_scoring_is_watched),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
