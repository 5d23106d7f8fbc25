/*
 * Training on a GPU, or on the host in its place: every network by name as on the CPU and with the same bits however
 * its steps are queued; trainers side by side, the room that they want, and what goes wrong.
 */
#include "base/mem.h"
#include "digits.h"
#include "images.h"
#include "module.h"
#include "nn/trainer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BATCH = 16, STEPS = 10 };

static struct cop_data *now = &images; /* that trainers begin with */

static struct cop_train_config train_config(int optimizer)
{
	bool adam = optimizer == COP_OPTIMIZER_ADAM;
	struct cop_train_config c = digits_training(2, BATCH);
	c.optimizer = optimizer;
	c.lr = adam ? 1e-4 : 2e-3;
	c.nesterov = true;
	c.weight_decay = 1e-3;
	return c;
}

static int64_t hidden[] = {20, 11};
static const struct cop_model_config lenet = {.name = COP_MODEL_LENET, .hidden = {hidden, 2}};

/*
 * In the middle of ReLU6, away from its kinks: MobileNetV2 with a few channels multiplies roundings from step to step
 * otherwise, on any device.
 */
static void lift(struct cop_trainer *t)
{
	const struct cop_layout *l = &t->net.graph.params;
	for (size_t k = 0; k < l->n; k++)
		for (size_t i = 0; i < l->tensor[k].count && strstr(l->tensor[k].name, "bn/bias"); i++)
			t->param[l->tensor[k].offset + i] = 2;
}

/* A network that begins; under a mask of about two thirds where `masked`. Beside `lead`, where that is not NULL. */
static void begin(struct cop_trainer *t, const struct cop_model_config *m, const struct cop_train_config *c,
		  const struct cop_backend *b, struct cop_trainer *lead, bool masked)
{
	struct cop_err err = {0};
	must(lead ? cop_trainer_init_beside(t, m, lead, &err) : cop_trainer_init(t, m, c, now, b, &err), &err);
	cop_trainer_draw(t, COP_INIT_KAIMING_NORMAL, (uint64_t)c->seed_init);
	if (m->name == COP_MODEL_MOBILENET_V2)
		lift(t);
	t->hash = "the same";
	t->experiment = "{}";
	t->identity = "a test";
	if (!masked)
		return;
	const struct cop_layout *l = &t->net.graph.params;
	struct cop_checkpoint here = cop_trainer_checkpoint(t);
	uint8_t *mask = cop_xmalloc(l->total);
	memset(mask, 1, l->total);
	for (size_t k = 0; k < l->n; k++)
		for (size_t i = 0; i < l->tensor[k].count && l->tensor[k].prunable; i++)
			mask[l->tensor[k].offset + i] = i * 2654435761u % 97 < 64;
	must(cop_trainer_rewind(t, &here, mask, &err), &err);
	free(mask);
}

static void run_to(struct cop_trainer *t, int64_t step)
{
	struct cop_err err = {0};
	must(cop_trainer_run(t, step, &err), &err);
	must(cop_trainer_sync(t, &err), &err);
}

/* All that a checkpoint has. */
static bool same(struct cop_trainer *a, struct cop_trainer *b)
{
	struct cop_err err = {0};
	size_t bytes = a->net.graph.params.total * sizeof(float);
	must(cop_trainer_sync(a, &err), &err);
	must(cop_trainer_sync(b, &err), &err);
	bool is = a->step == b->step && memcmp(a->param, b->param, bytes) == 0 &&
		  memcmp(a->buffer, b->buffer, a->net.graph.buffers.total * sizeof(float)) == 0 &&
		  memcmp(&a->sums, &b->sums, sizeof(a->sums)) == 0;
	for (size_t s = 0; s < a->nslots && is; s++)
		is = memcmp(a->slot[s], b->slot[s], bytes) == 0;
	return is;
}

static void check_pruned(const struct cop_trainer *t, const char *name)
{
	for (size_t i = 0; i < t->net.graph.params.total; i++)
		if (!t->mask[i] && (t->param[i] != 0 || signbit(t->param[i]) || t->slot[0][i] != 0))
			fail_msg("%s: pruned weight %zu is %g", name, i, (double)t->param[i]);
}

/* networks */

/* Step by step, the losses of each side by side; where `again` has come to, the GPU's bits are its. */
static void follow(struct cop_trainer *cpu, struct cop_trainer *gpu, struct cop_trainer *again, const char *name)
{
	double before = 0, before_gpu = 0, worst = 0;
	for (int step = 1; step <= STEPS; step++) {
		run_to(cpu, step);
		run_to(gpu, step);
		double loss = cpu->sums.loss - before, off = fabs((gpu->sums.loss - before_gpu) / loss - 1);
		if (!(off < 1e-3))
			fail_msg("%s: the loss of step %d is off by %.3g of %.3g", name, step, off, loss);
		assert_true(gpu->sums.images == step * gpu->config->batch);
		if (step == again->step && !same(gpu, again))
			fail_msg("%s: other bits the second time", name);
		worst = fmax(worst, off);
		before = cpu->sums.loss;
		before_gpu = gpu->sums.loss;
	}
	print_message("# %s: losses of %d steps off by up to %.2g\n", name, STEPS, worst);
}

/* Two in turn: each time it is another's turn the record is forgotten, so that every step is queued call by call. */
static void check_by_calls(const struct cop_model_config *m, const struct cop_train_config *c, struct cop_trainer *as,
			   int steps, const char *name)
{
	struct cop_trainer lead, beside;
	begin(&lead, m, c, module_watched(), NULL, true);
	begin(&beside, m, c, module_watched(), &lead, true);
	int records = module_watch.records;
	for (int step = 1; step <= steps; step++) {
		run_to(&lead, step);
		run_to(&beside, step);
	}
	assert_int_equal(module_watch.records, records);
	if (!same(&lead, as) || !same(&beside, as))
		fail_msg("%s: recorded steps have other bits than calls", name);
	cop_trainer_release(&beside);
	cop_trainer_release(&lead);
}

static void test_networks(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		struct cop_model_config m;
		int optimizer, batch;
		double lr;
		struct cop_data *data;
		int again; /* steps of the second time */
	} cases[] = {
		{"lenet", {.name = COP_MODEL_LENET, .hidden = {hidden, 2}}, COP_OPTIMIZER_SGD, 7, 2e-3, &images, STEPS},
		{"conv2", {.name = COP_MODEL_CONV2}, COP_OPTIMIZER_ADAM, 2, 1e-4, &small_images, STEPS},
		{"resnet",
		 {.name = COP_MODEL_RESNET, .depth = 20, .width = 0.125},
		 COP_OPTIMIZER_SGD,
		 5,
		 2e-3,
		 &small_images,
		 4},
		{"vgg",
		 {.name = COP_MODEL_VGG, .depth = 11, .width = 0.0625},
		 COP_OPTIMIZER_ADAM,
		 6,
		 1e-4,
		 &images,
		 STEPS},
		{"mobilenet_v2",
		 {.name = COP_MODEL_MOBILENET_V2, .width = 0.1, .dropout = 0.2},
		 COP_OPTIMIZER_SGD,
		 12,
		 3e-4,
		 &images,
		 4},
	};
	enum { EARLY = 2 };
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cop_train_config c = train_config(cases[i].optimizer);
		struct cop_trainer cpu, gpu, again;
		if (getenv("SAN") && cases[i].again < STEPS)
			continue; /* many layers: too slow there */
		now = cases[i].data;
		c.batch = cases[i].batch;
		c.lr = cases[i].lr;
		begin(&cpu, &cases[i].m, &c, &cop_cpu_backend, NULL, true);
		begin(&gpu, &cases[i].m, &c, module_watched(), NULL, true);
		begin(&again, &cases[i].m, &c, module_watched(), NULL, true);
		run_to(&again, EARLY);
		check_by_calls(&cases[i].m, &c, &again, EARLY, cases[i].name);
		run_to(&again, cases[i].again);
		struct module_watch was = module_watch;
		follow(&cpu, &gpu, &again, cases[i].name);
		check_pruned(&gpu, cases[i].name);
		assert_int_equal(module_watch.records, was.records + 1);
		assert_int_equal(module_watch.replays, was.replays + STEPS - 1);
		cop_trainer_release(&again);
		cop_trainer_release(&gpu);
		cop_trainer_release(&cpu);
	}
	now = &images;
}

/* records and neighbours */

/* From steps 0 and k, side by side from k on: the bits of each alone, and a record for each set of them. */
static void test_side_by_side(void **state)
{
	(void)state;
	enum { FROM = 4, UNTIL = 15 };
	struct cop_train_config c = train_config(COP_OPTIMIZER_SGD);
	struct cop_trainer start, lead, late, alone;
	struct cop_err err = {0}, errs[2] = {{0}};
	int rc[2] = {0};
	c.lr = 0.02;
	begin(&start, &lenet, &c, module_watched(), NULL, false);
	run_to(&start, FROM);
	struct cop_checkpoint from = cop_trainer_checkpoint(&start);
	uint8_t *mask = cop_xcalloc(start.net.graph.params.total, 1);
	for (size_t i = 0; i < start.net.graph.params.total; i++)
		mask[i] = i % 3 != 0;

	begin(&lead, &lenet, &c, module_watched(), NULL, true);
	begin(&late, &lenet, &c, module_watched(), &lead, false);
	must(cop_trainer_rewind(&late, &from, mask, &err), &err);
	struct cop_trainer *both[] = {&lead, &late};
	int records = module_watch.records;
	cop_trainers_run(both, 2, UNTIL, rc, errs);
	must(rc[0], &errs[0]);
	must(rc[1], &errs[1]);
	assert_int_equal(module_watch.records, records + 2);

	begin(&alone, &lenet, &c, module_watched(), NULL, true);
	run_to(&alone, UNTIL);
	assert_true(same(&lead, &alone));
	cop_trainer_release(&alone);
	begin(&alone, &lenet, &c, module_watched(), NULL, false);
	must(cop_trainer_rewind(&alone, &from, mask, &err), &err);
	run_to(&alone, UNTIL);
	assert_true(same(&late, &alone));
	check_pruned(&late, "the late one");
	/* what is measured of it is its own too */
	struct cop_measure m[2];
	must(cop_trainer_measure(&late, &images.test, &m[0], &err), &err);
	must(cop_trainer_measure(&alone, &images.test, &m[1], &err), &err);
	assert_memory_equal(&m[0], &m[1], sizeof(m[0]));
	cop_trainer_release(&alone);
	cop_trainer_release(&late);
	cop_trainer_release(&lead);
	cop_trainer_release(&start);
	free(mask);
}

/* Rows where they are asked for, not at ends of epochs alone: of a lead and of one that begins later, as alone. */
static void test_rows(void **state)
{
	(void)state;
	struct cop_train_config c = train_config(COP_OPTIMIZER_SGD);
	struct cop_trainer lead, late, alone;
	struct cop_err err = {0}, errs[2] = {{0}};
	int rc[2] = {0};
	c.lr = 0.02;
	begin(&alone, &lenet, &c, module_watched(), NULL, false);
	run_to(&alone, alone.total_steps);
	float *plain = cop_xcalloc(alone.net.graph.params.total, sizeof(*plain));
	memcpy(plain, alone.param, alone.net.graph.params.total * sizeof(*plain));
	cop_trainer_release(&alone);

	c.validate_every = (char *)(uintptr_t) "3it";
	begin(&lead, &lenet, &c, module_watched(), NULL, false);
	begin(&late, &lenet, &c, module_watched(), &lead, true);
	late.step = 4;
	struct cop_checkpoint from = cop_trainer_checkpoint(&late);
	must(cop_trainer_rewind(&late, &from, NULL, &err), &err);
	struct cop_trainer *both[] = {&lead, &late};
	cop_trainers_run(both, 2, lead.total_steps, rc, errs);
	must(rc[0], &errs[0]);
	must(rc[1], &errs[1]);
	must(cop_trainer_sync(&lead, &err), &err);
	/* looking on the way changes nothing */
	assert_memory_equal(plain, lead.param, lead.net.graph.params.total * sizeof(*plain));
	for (int k = 0; k < 2; k++) {
		const struct cop_trainer *t = both[k];
		size_t n = 1 + (size_t)cop_validations(3, k ? 4 : 0, t->total_steps);
		assert_int_equal(t->history.n, n);
		for (size_t i = 0; i < n; i++) {
			double want = i == 0 ? (k ? 4 : 0) : 3 * (double)(i + (size_t)k);
			assert_true(t->history.row[i][COP_HISTORY_STEP] ==
				    (want < (double)t->total_steps ? want : (double)t->total_steps));
		}
		if (k)
			begin(&alone, &lenet, &c, module_watched(), NULL, true);
		else
			begin(&alone, &lenet, &c, module_watched(), NULL, false);
		alone.step = k ? 4 : 0;
		from = cop_trainer_checkpoint(&alone);
		must(cop_trainer_rewind(&alone, &from, NULL, &err), &err);
		run_to(&alone, alone.total_steps);
		assert_int_equal(alone.history.n, n);
		for (size_t i = 0; i < n; i++)
			assert_memory_equal(alone.history.row[i], t->history.row[i],
					    COP_HISTORY_SECONDS * sizeof(double));
		cop_trainer_release(&alone);
	}
	cop_trainer_release(&late);
	cop_trainer_release(&lead);
	free(plain);
}

/* One of three has a weight that is not a number: it says so, and the others have the bits that they have alone. */
static void test_not_finite(void **state)
{
	(void)state;
	enum { UNTIL = 9 };
	struct cop_train_config c = train_config(COP_OPTIMIZER_ADAM);
	for (int bad = 0; bad < 3; bad++) {
		struct cop_trainer t[3], alone, *all[3];
		struct cop_err err[3] = {{0}};
		int rc[3] = {0};
		for (int k = 0; k < 3; k++) {
			begin(&t[k], &lenet, &c, module_watched(), k ? &t[0] : NULL, k == 1);
			all[k] = &t[k];
		}
		t[bad].param[t[bad].net.graph.params.tensor[0].offset + 3] = NAN;
		cop_trainers_run(all, 3, UNTIL, rc, err);
		for (int k = 0; k < 3; k++) {
			begin(&alone, &lenet, &c, module_watched(), NULL, k == 1);
			run_to(&alone, UNTIL);
			assert_int_equal(rc[k], k == bad ? COP_EFAILED : 0);
			if (k == bad)
				assert_non_null(strstr(err[k].msg, "the loss is no longer finite"));
			else if (!same(&t[k], &alone))
				fail_msg("%d is not finite: %d has other bits", bad, k);
			cop_trainer_release(&alone);
		}
		for (int k = 3; k-- > 0;)
			cop_trainer_release(&t[k]);
	}
}

/* memory */

static void set_bytes(size_t bytes)
{
	char text[32];
	snprintf(text, sizeof(text), "%zu", bytes);
	setenv("COPPICE_EMULATED_BYTES", text, 1);
}

static bool only_emulated(const char *test)
{
	if (!module_is_emulated())
		print_message("ok %s # SKIP the device's memory is not ours to set\n", test);
	return module_is_emulated();
}

/* As many as are said to fit do fit. */
static void test_room(void **state)
{
	(void)state;
	const size_t margin = (size_t)256 << 20;
	struct cop_train_config c = train_config(COP_OPTIMIZER_ADAM);
	struct cop_trainer lead, more[3], alone;
	struct cop_err err = {0};
	size_t each;
	if (!only_emulated("test_room"))
		return;
	begin(&lead, &lenet, &c, module_backend(), NULL, true);
	run_to(&lead, 2);
	size_t used = module_bytes_used();
	assert_int_equal(cop_trainer_room(&lead, 50, &each, &err), 50);
	assert_true(each >= 4 * lead.net.graph.params.total * sizeof(float));
	set_bytes(used + margin + 4 * each - 1);
	assert_int_equal(cop_trainer_room(&lead, 50, &each, &err), 3);
	assert_int_equal(cop_trainer_room(&lead, 2, &each, &err), 2);
	set_bytes(used + margin - 1);
	assert_int_equal(cop_trainer_room(&lead, 50, &each, &err), 0);
	/* without what is left for others, even: no more than a page a block goes beyond what was counted */
	set_bytes(used + 3 * each + (1 << 20));
	for (int k = 0; k < 3; k++)
		begin(&more[k], &lenet, &c, module_backend(), &lead, true);
	unsetenv("COPPICE_EMULATED_BYTES");
	for (int k = 0; k < 3; k++)
		cop_trainer_release(&more[k]);
	/* and it goes on as if nobody had asked */
	run_to(&lead, 4);
	begin(&alone, &lenet, &c, module_backend(), NULL, true);
	run_to(&alone, 4);
	assert_true(same(&lead, &alone));
	cop_trainer_release(&alone);
	cop_trainer_release(&lead);
}

/* Those that are said to fit train, too, in what they were said to take, to the byte. Alone in a process. */
static void test_exact_room(void **state)
{
	(void)state;
	enum { MORE = 3 };
	const size_t margin = (size_t)256 << 20;
	const struct cop_model_config resnet = {.name = COP_MODEL_RESNET, .depth = 20, .width = 0.125};
	struct cop_train_config c = train_config(COP_OPTIMIZER_SGD);
	struct cop_trainer t[1 + MORE], alone, *all[1 + MORE];
	struct cop_err err[1 + MORE] = {{0}};
	struct cop_measure m;
	int rc[1 + MORE] = {0};
	size_t each, again;
	if (!only_emulated("test_exact_room"))
		return;
	c.batch = 2;
	now = &small_images;
	begin(&t[0], &resnet, &c, module_backend(), NULL, false);
	size_t before = module_bytes_used();
	assert_int_equal(cop_trainer_room(&t[0], 50, &each, err), 50);
	size_t used = module_bytes_used(), scratch = used - before;
	assert_true(scratch > 0);
	set_bytes(used + margin + scratch + (MORE + 1) * each - 1);
	assert_int_equal(cop_trainer_room(&t[0], 50, &again, err), MORE);
	assert_true(again == each);
	/* without what is left for others */
	set_bytes(used + scratch + MORE * each);
	for (int k = 0; k <= MORE; k++) {
		if (k > 0)
			begin(&t[k], &resnet, &c, module_backend(), &t[0], true);
		all[k] = &t[k];
	}
	cop_trainers_run(all, 1 + MORE, 3, rc, err);
	for (int k = 0; k <= MORE; k++) {
		must(rc[k], &err[k]);
		must(cop_trainer_measure(&t[k], &now->test, &m, &err[k]), &err[k]);
	}
	assert_true(used + scratch + MORE * each - module_bytes_used() < each / 4);
	unsetenv("COPPICE_EMULATED_BYTES");
	begin(&alone, &resnet, &c, module_backend(), NULL, false);
	run_to(&alone, 3);
	assert_true(same(&t[0], &alone));
	cop_trainer_release(&alone);
	for (int k = MORE; k >= 0; k--)
		cop_trainer_release(&t[k]);
	now = &images;
}

/* Two trainers side by side from nothing to their third step. */
static int train_two(struct cop_err *err)
{
	struct cop_train_config c = train_config(COP_OPTIMIZER_ADAM);
	struct cop_trainer t[2], *both[] = {&t[0], &t[1]};
	struct cop_err errs[2] = {{0}};
	struct cop_measure measure;
	int rcs[2] = {0}, rc = cop_trainer_init(&t[0], &lenet, &c, &images, module_watched(), err);
	if (rc)
		return rc;
	rc = cop_trainer_init_beside(&t[1], &lenet, &t[0], err);
	for (int k = 0; k < 2 && !rc; k++) {
		uint8_t *mask = cop_xcalloc(t[k].net.graph.params.total, 1);
		struct cop_checkpoint here = cop_trainer_checkpoint(&t[k]);
		memset(mask, 1, t[k].net.graph.params.total);
		cop_trainer_draw(&t[k], COP_INIT_KAIMING_NORMAL, 1);
		rc = cop_trainer_rewind(&t[k], &here, mask, err);
		free(mask);
	}
	if (!rc) {
		cop_trainers_run(both, 2, 3, rcs, errs);
		rc = rcs[0] ? rcs[0] : rcs[1];
		if (rc)
			*err = rcs[0] ? errs[0] : errs[1];
	}
	if (!rc)
		rc = cop_trainer_measure(&t[0], &images.test, &measure, err);
	if (t[1].net.graph.n)
		cop_trainer_release(&t[1]);
	cop_trainer_release(&t[0]);
	return rc;
}

/* Each allocation on the device fails in turn: one message, and all of the device is free again. */
static void test_allocations(void **state)
{
	(void)state;
	struct cop_err err = {0};
	must(train_two(&err), &err); /* what is made once is there */
	size_t used = module_bytes_used();
	int failed = 0;
	for (int at = 0;; at++) {
		module_watch.allocations = 0;
		module_watch.fail_at = at;
		err = (struct cop_err){0};
		int rc = train_two(&err);
		if (module_is_emulated())
			assert_int_equal(module_bytes_used(), used);
		if (!rc)
			break;
		assert_int_equal(rc, COP_EFAILED);
		if (strncmp(err.msg, "out of GPU memory: the test had none for ", 41) != 0 || strchr(err.msg, '\n'))
			fail_msg("allocation %d: '%s'", at, err.msg);
		failed++;
	}
	module_watch.fail_at = -1;
	print_message("# %d allocations failed in turn\n", failed);
	assert_true(failed > 25);
	must(train_two(&err), &err);
}

/* Room that calls want within a step is not there: the device has failed, and says so once. Alone in a process. */
static void test_no_scratch(void **state)
{
	(void)state;
	struct cop_train_config c = train_config(COP_OPTIMIZER_SGD);
	struct cop_trainer t[2], *both[] = {&t[0], &t[1]};
	struct cop_err err[2] = {{0}};
	int rc[2] = {0};
	if (!only_emulated("test_no_scratch"))
		return;
	for (int k = 0; k < 2; k++)
		begin(&t[k], &lenet, &c, module_backend(), k ? &t[0] : NULL, false);
	set_bytes(module_bytes_used());
	cop_trainers_run(both, 2, 5, rc, err);
	for (int k = 0; k < 2; k++) {
		assert_int_equal(rc[k], COP_EFAILED);
		assert_non_null(strstr(err[k].msg, "out of GPU memory"));
	}
	assert_string_equal(err[0].msg, err[1].msg);
	cop_trainer_release(&t[1]);
	cop_trainer_release(&t[0]);
}

/* A call that a record does not bear breaks it; what is told is that call. Alone in a process. */
static void test_broken_record(void **state)
{
	(void)state;
	const struct cop_queue *q = module_backend()->queue;
	struct cop_record *r = NULL;
	struct cop_err err = {0}, later = {0};
	if (!only_emulated("test_broken_record"))
		return;
	assert_int_equal(q->begin_record(&err), 0);
	assert_int_equal(q->check(&err), COP_EFAILED);
	assert_int_equal(q->end_record(&r, &later), COP_EFAILED);
	assert_null(r);
	assert_non_null(strstr(later.msg, "'cudaStreamSynchronize': operation not permitted when stream is capturing"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_networks), cmocka_unit_test(test_side_by_side),
		cmocka_unit_test(test_rows),     cmocka_unit_test(test_not_finite),
		cmocka_unit_test(test_room),     cmocka_unit_test(test_allocations),
	};
	const struct CMUnitTest last[] = {cmocka_unit_test(test_no_scratch)};
	const struct CMUnitTest room[] = {cmocka_unit_test(test_exact_room)};
	const struct CMUnitTest broken[] = {cmocka_unit_test(test_broken_record)};
	cop_cpu_set_threads(1); /* networks are too small to be shared */
	if (argc > 1 && strcmp(argv[1], "scratch") == 0)
		return cmocka_run_group_tests(last, images_begin, images_end);
	if (argc > 1 && strcmp(argv[1], "record") == 0)
		return cmocka_run_group_tests(broken, images_begin, images_end);
	if (argc > 1 && strncmp(argv[1], "room", 4) == 0) {
		images_precision = strcmp(argv[1], "room-bf16") == 0 ? COP_BF16 : COP_FP32;
		return cmocka_run_group_tests(room, images_begin, images_end);
	}
	return cmocka_run_group_tests(tests, images_begin, images_end) + module_again("scratch") +
	       module_again("record") + module_again("room") + module_again("room-bf16");
}
