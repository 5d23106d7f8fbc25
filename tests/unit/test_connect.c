/* Lines between weights: what instability is, files of lines, and the lines of a run whose network has batch norm. */
#include "base/file.h"
#include "base/mem.h"
#include "digits.h"
#include "nn/line.h"
#include "nn/samples.h"
#include "sweep/connect.h"
#include "sweep/plan.h"
#include "sweep/work.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* The first layer's statistics are the images'. 10 steps an epoch. */
static const char experiment[] =
	"{\"name\": \"connect\","
	" \"model\": {\"name\": \"graph\", \"layers\": ["
	"  {\"op\": \"batch_norm\", \"name\": \"bn0\"},"
	"  {\"op\": \"conv\", \"name\": \"conv1\", \"out\": 4, \"kernel\": 3, \"stride\": 4, \"bias\": false},"
	"  {\"op\": \"batch_norm\", \"name\": \"bn1\"}, {\"op\": \"relu\"}, {\"op\": \"flatten\"},"
	"  {\"op\": \"linear\", \"name\": \"fc\", \"out\": \"classes\"}]},"
	" \"data\": {\"path\": \"glyphs\", \"glyphs\": {\"train\": 200, \"test\": 40}},"
	" \"train\": {\"epochs\": 2, \"batch\": 20, \"optimizer\": {\"name\": \"adam\", \"lr\": 0.01}},"
	" \"device\": {\"kind\": \"cpu\", \"threads\": 1},"
	" \"sweep\": {\"quantiles\": [0.5], \"reset\": [\"0ep\"], \"children\": 3}}";

enum { BATCHES = 3, BATCH = 20 };

static struct cop_run run;
static struct cop_data data;

static int set_up(void **state)
{
	(void)state;
	digits_run(&run, &data, experiment);
	struct cop_err err = {0};
	const struct cop_work_options o = {.threads = 1};
	must(cop_cell_run(&run, 0, &o, &err), &err);
	must(cop_cell_run(&run, 1, &o, &err), &err);
	return chdir(run.path);
}

static int tear_down(void **state)
{
	(void)state;
	return digits_run_remove(&run, &data);
}

static void test_instability(void **state)
{
	(void)state;
	const double hill[] = {0.25, 0.5, 0.125, 0.375}, flat[] = {0.5, 0.5, 0.5}, dip[] = {0.5, 0.125, 0.25},
		     hole[] = {0.5, NAN, 0.5}, two[] = {0.25, 0.75};
	struct cop_barrier b = cop_barrier_of(hill, 4);
	assert_true(b.ends == 0.3125 && b.highest == 0.5 && b.instability == 0.1875);
	b = cop_barrier_of(flat, 3);
	assert_true(b.ends == 0.5 && b.highest == 0.5 && b.instability == 0);
	b = cop_barrier_of(dip, 3); /* an end is a point of the line, too */
	assert_true(b.ends == 0.375 && b.highest == 0.5 && b.instability == 0.125);
	b = cop_barrier_of(two, 2);
	assert_true(b.ends == 0.5 && b.instability == 0.25);
	b = cop_barrier_of(hole, 3);
	assert_true(isnan(b.ends) && isnan(b.highest) && isnan(b.instability));
	assert_true(cop_connect_is_stable(0.0199) && cop_connect_is_stable(0));
	assert_false(cop_connect_is_stable(0.02) || cop_connect_is_stable(NAN));
}

/* A line of three points: the test error rises to `top` between 0.25 and 0.25. */
static struct cop_connection made_up(int64_t replicate, double quantile, double top)
{
	struct cop_connection c = {.first = 4,
				   .second = 6,
				   .first_digest = "0123456789abcdef-1",
				   .second_digest = "fedcba9876543210",
				   .replicate = replicate,
				   .round = 2,
				   .reset_step = 7,
				   .first_child = 1,
				   .second_child = 3,
				   .quantile = quantile,
				   .reset = "7it",
				   .criterion = "magnitude",
				   .retrain = "rewind",
				   .total = 100,
				   .nnz = 20,
				   .statistics = "estimated",
				   .batches = 9,
				   .points = 3,
				   .hash = cop_xstrdup("hash")};
	cop_connection_make(&c);
	for (int64_t i = 0; i < c.points; i++)
		c.column[COP_CONNECT_TEST_ERROR][i] = i == 1 ? top : 0.25;
	return c;
}

static void test_file(void **state)
{
	(void)state;
	struct cop_err err = {0};
	for (int64_t train = 0; train < 2; train++) {
		struct cop_connection c = made_up(5, 0.75, 0.625), got;
		c.train_images = 50 * train;
		c.column[COP_CONNECT_TEST_LOSS][2] = 1.5;
		if (train)
			c.column[COP_CONNECT_TRAIN_ERROR][0] = c.column[COP_CONNECT_TRAIN_LOSS][1] = 0.0625;
		must(cop_connection_write("line.h5", &c, &err), &err);
		must(cop_connection_read("line.h5", &got, &err), &err);
		assert_memory_equal(&got, &c, offsetof(struct cop_connection, column));
		assert_string_equal(got.hash, "hash");
		for (int k = 0; k < COP_CONNECT_COLUMNS; k++)
			assert_memory_equal(got.column[k], c.column[k], 3 * sizeof(double));
		assert_true(got.column[COP_CONNECT_ALPHA][1] == 0.5 && got.column[COP_CONNECT_ALPHA][2] == 1);
		cop_connection_release(&got);
		cop_connection_release(&c);
	}
}

/* Flips the lowest bit of the first double `v` in a file; returns where it is. */
static void flip(const char *path, double v)
{
	struct cop_err err = {0};
	char *text;
	size_t n;
	must(cop_read_file(path, &text, &n, &err), &err);
	char *at = memmem(text, n, &v, sizeof(v));
	assert_non_null(at);
	*at ^= 1;
	must(cop_write_file(path, text, n, &err), &err);
	free(text);
}

static void refused(const char *path, const char *why)
{
	struct cop_err err = {0};
	struct cop_connection got;
	assert_int_equal(cop_connection_read(path, &got, &err), COP_EINPUT);
	if (!strstr(err.msg, why))
		fail_msg("'%s' does not say '%s'", err.msg, why);
	assert_null(got.column[0]);
}

static void test_damage(void **state)
{
	(void)state;
	struct cop_err err = {0};
	struct cop_connection c = made_up(0, 0.8125, 0.6875);
	must(cop_connection_write("line.h5", &c, &err), &err);
	flip("line.h5", 0.6875);
	refused("line.h5", "'line.h5' is damaged");
	must(cop_connection_write("line.h5", &c, &err), &err);
	flip("line.h5", 0.8125); /* an attribute */
	refused("line.h5", "'line.h5' is damaged");
	must(cop_connection_write("line.h5", &c, &err), &err);
	assert_int_equal(truncate("line.h5", 2000), 0);
	refused("line.h5", "line.h5");
	refused("none.h5", "none.h5");
	char *cell = cop_run_cell(&run, 0);
	refused(cell, "coppice-cell");
	free(cell);
	cop_connection_release(&c);
}

/* A trainer of the run's network with weights of its own. */
static void begin(struct cop_trainer *t, struct cop_train_config *train, uint64_t seed)
{
	struct cop_err err = {0};
	*train = cop_experiment_training(&run.experiment, &(struct cop_worker){.replicate = 0});
	must(cop_trainer_init(t, &run.experiment.model, train, &data, &cop_cpu_backend, &err), &err);
	cop_trainer_draw(t, COP_INIT_KAIMING_NORMAL, seed);
}

/* Against means and variances of the images that training sees, in double. */
static void test_statistics(void **state)
{
	(void)state;
	struct cop_err err = {0};
	struct cop_train_config train;
	struct cop_trainer t;
	struct cop_samples s;
	begin(&t, &train, 3);
	const struct cop_graph *g = &t.net.graph;
	const struct cop_node *bn = &g->node[1];
	assert_string_equal(bn->name, "bn0");
	const size_t n = (size_t)BATCH * (size_t)data.info.height * (size_t)data.info.width;
	assert_int_equal(data.info.channels, 1);
	float *x = cop_xcalloc(n, sizeof(*x));
	int32_t label[BATCH];
	double mean = 0, var = 0;
	must(cop_samples_open(&s, &data, BATCH, BATCHES, (uint64_t)train.seed_order, (uint64_t)train.seed_augment,
			      &err),
	     &err);
	for (int64_t k = 0; k < BATCHES; k++) {
		double m = 0, v = 0;
		must(s.read(&s, k, x, label, &err), &err);
		for (size_t i = 0; i < n; i++)
			m += x[i] / (double)n;
		for (size_t i = 0; i < n; i++)
			v += (x[i] - m) * (x[i] - m) / ((double)n - 1);
		mean += m / BATCHES;
		var += v / BATCHES;
	}
	cop_samples_close(&s);
	for (int start = 0; start < 2; start++) { /* whatever is there before */
		for (size_t i = 0; i < g->buffers.total; i++)
			t.buffer[i] = start ? 0.75f : 0;
		must(cop_line_statistics(&t, t.param, BATCHES, t.buffer, &err), &err);
		assert_true(fabs(t.buffer[bn->running_mean] - mean) < 1e-5);
		assert_true(fabs(t.buffer[bn->running_var] - var) < 1e-5);
	}
	free(x);
	cop_trainer_release(&t);
}

/* Between equal weights nothing changes; between others the middle is what the mean of the weights has. */
static void test_line(void **state)
{
	(void)state;
	struct cop_err err = {0};
	struct cop_train_config train;
	struct cop_trainer t;
	struct cop_measure m;
	begin(&t, &train, 3);
	const size_t n = t.net.graph.params.total, nb = t.net.graph.buffers.total;
	float *v = cop_xcalloc(3 * (n + nb), sizeof(*v)), *a = v, *b = v + n, *half = v + 2 * n, *s = v + 3 * n;
	memcpy(a, t.param, n * sizeof(*a));
	memcpy(s, t.buffer, nb * sizeof(*s));
	cop_trainer_draw(&t, COP_INIT_KAIMING_NORMAL, 4);
	memcpy(b, t.param, n * sizeof(*b));
	for (size_t i = 0; i < n; i++)
		half[i] = (float)(((double)a[i] + (double)b[i]) / 2);
	for (int64_t batches = 0; batches <= BATCHES; batches += BATCHES) {
		struct cop_connection c = made_up(0, 0.5, 0.5);
		c.batches = batches;
		c.train_images = 30;
		struct cop_part images = data.train;
		images.n = 30;
		struct cop_line same = {a, a, s, s}, line = {a, b, s, s};
		must(cop_line_measure(&t, &same, &images, &c, &err), &err);
		for (int k = COP_CONNECT_TEST_ERROR; k < COP_CONNECT_COLUMNS; k++)
			for (int64_t i = 0; i < c.points; i++)
				assert_true(c.column[k][i] == c.column[k][0]);
		assert_true(cop_barrier_of(c.column[COP_CONNECT_TEST_LOSS], c.points).instability == 0);
		must(cop_line_measure(&t, &line, &images, &c, &err), &err);
		assert_true(c.column[COP_CONNECT_TEST_LOSS][1] != c.column[COP_CONNECT_TEST_LOSS][0]);
		memcpy(s + nb, s, nb * sizeof(*s));
		if (batches)
			must(cop_line_statistics(&t, half, batches, s + nb, &err), &err);
		must(cop_trainer_put(&t, &t.net.graph.params, half, s + nb, &err), &err);
		must(cop_trainer_measure(&t, &data.test, &m, &err), &err);
		assert_true(c.column[COP_CONNECT_TEST_LOSS][1] == m.loss);
		assert_true(c.column[COP_CONNECT_TEST_ERROR][1] == 1 - m.top1);
		must(cop_trainer_measure(&t, &images, &m, &err), &err);
		assert_true(c.column[COP_CONNECT_TRAIN_LOSS][1] == m.loss);
		cop_connection_release(&c);
	}
	free(v);
	cop_trainer_release(&t);
}

/* The run's cells 0 and 1 are done, 2 is not. */
static void test_run(void **state)
{
	(void)state;
	struct cop_err err = {0};
	struct cop_connected out;
	struct cop_connect_options o = {.points = 5};
	double loss = 0;
	for (o.batches = 0; o.batches <= 1000; o.batches += 1000) {
		must(cop_connect(&run, &o, &out, &err), &err);
		assert_true(out.n == 1 && out.computed == 1 && out.lacking == 2);
		assert_true(out.nmissing == 1 && out.missing[0] == 2);
		const struct cop_connection *p = &out.pair[0];
		assert_true(p->first == 0 && p->second == 1 && p->points == 5 && p->nnz * 2 == p->total);
		assert_string_equal(p->statistics, o.batches ? "estimated" : "interpolated");
		assert_int_equal(p->batches, o.batches ? 10 : 0); /* an epoch at most */
		for (int k = 0; k < 2 && !o.batches; k++) {
			struct cop_cell cell;
			char *path = cop_run_cell(&run, k);
			must(cop_cell_read(path, &cell, &err), &err);
			assert_true(p->column[COP_CONNECT_TEST_ERROR][4 * k] == 1 - cell.row.test_top1);
			assert_true(p->column[COP_CONNECT_TEST_LOSS][4 * k] == cell.row.test_loss);
			cop_cell_release(&cell);
			free(path);
		}
		assert_true(p->column[COP_CONNECT_TEST_LOSS][2] != loss); /* other statistics */
		loss = p->column[COP_CONNECT_TEST_LOSS][2];
		cop_connected_release(&out);
	}
	o.batches = 10; /* is what was measured last */
	must(cop_connect(&run, &o, &out, &err), &err);
	assert_true(out.n == 1 && out.computed == 0 && out.pair[0].column[COP_CONNECT_TEST_LOSS][2] == loss);
	cop_connected_release(&out);
	o.batches = 4;
	must(cop_connect(&run, &o, &out, &err), &err);
	assert_true(out.computed == 1 && out.pair[0].batches == 4);
	cop_connected_release(&out);
	const volatile sig_atomic_t stop = 1;
	o.stop = &stop;
	o.points = 4;
	assert_int_equal(cop_connect(&run, &o, &out, &err), COP_ESTOPPED);
	assert_true(out.n == 0 && !out.pair);
}

/* Cell 1 with one weight that is another. */
static void write_other(void)
{
	struct cop_err err = {0};
	struct cop_cell cell;
	struct cop_layout l = {0}, buffers = {0};
	float *param, *buffer;
	struct cop_h5 *f;
	char *path = cop_run_cell(&run, 1);
	must(cop_cell_read(path, &cell, &err), &err);
	must(cop_h5_open(&f, path, COP_CELL_FORMAT, &err), &err);
	must(cop_load_tensors(f, "params", &l, &param, &err), &err);
	must(cop_load_tensors(f, "buffers", &buffers, &buffer, &err), &err);
	uint8_t *mask = cop_xcalloc(l.total, 1);
	must(cop_load_masks(f, &l, mask, &err), &err);
	cop_h5_close(f);
	param[cop_layout_find(&l, "fc/bias")->offset] += 1;
	must(cop_cell_write(path, &cell, run.text, &l, param, mask, &buffers, buffer, &err), &err);
	cop_cell_release(&cell);
	cop_layout_release(&l);
	cop_layout_release(&buffers);
	free(param);
	free(buffer);
	free(mask);
	free(path);
}

/* What was measured is of the weights that were there. */
static void test_other_weights(void **state)
{
	(void)state;
	struct cop_err err = {0};
	struct cop_connected before, after;
	const struct cop_connect_options o = {.points = 3};
	must(cop_connect(&run, &o, &before, &err), &err);
	write_other();
	must(cop_connect(&run, &o, &after, &err), &err);
	assert_true(after.n == 1 && after.computed == 1);
	const double *a = before.pair[0].column[COP_CONNECT_TEST_LOSS],
		     *b = after.pair[0].column[COP_CONNECT_TEST_LOSS];
	assert_true(a[0] == b[0] && a[1] != b[1] && a[2] != b[2]);
	cop_connected_release(&before);
	cop_connected_release(&after);
}

/* Replicate 0 has the instabilities 0.25 and 0.5, replicate 1 has 0.125; another place comes after them. */
static void test_places(void **state)
{
	(void)state;
	struct cop_connection pair[] = {made_up(0, 0.5, 0.5), made_up(0, 0.5, 0.75), made_up(1, 0.5, 0.375),
					made_up(0, 0.75, 0.25)};
	const struct cop_connected c = {.pair = pair, .n = 4};
	struct cop_connect_place *place;
	size_t n;
	cop_connect_places(&c, &place, &n);
	assert_int_equal(n, 2);
	assert_true(place[0].pairs == 3 && place[0].stable == 0 && place[0].pair == pair);
	assert_true(place[0].instability.n == 2 && place[0].instability.mean == 0.25);
	assert_true(fabs(place[0].instability.half - 12.706 * 0.125) < 1e-3); /* t(0.975; 1) sd / sqrt(2) */
	assert_true(place[0].ends.mean == 0.25 && place[0].ends.half == 0 && place[0].highest.mean == 0.5);
	assert_true(place[1].pairs == 1 && place[1].stable == 1 && place[1].pair == &pair[3]);
	assert_true(place[1].instability.mean == 0 && isnan(place[1].instability.half));
	free(place);
	for (size_t i = 0; i < 4; i++)
		cop_connection_release(&pair[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_instability),   cmocka_unit_test(test_file),   cmocka_unit_test(test_damage),
		cmocka_unit_test(test_statistics),    cmocka_unit_test(test_line),   cmocka_unit_test(test_run),
		cmocka_unit_test(test_other_weights), cmocka_unit_test(test_places),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
