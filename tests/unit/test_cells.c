/* The numbered cells of a grid: how they are expanded, how they grow, which are the same, and what is refused. */
#include "base/file.h"
#include "base/mem.h"
#include "sweep/cells.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { STEPS = 10 };

static struct cop_layout network(void)
{
	struct cop_layout l = {0};
	cop_layout_add(&l, "a/weight", 2, (int64_t[]){8, 10}, true);
	cop_layout_add(&l, "a/bias", 1, (int64_t[]){8}, false);
	cop_layout_add(&l, "b/weight", 2, (int64_t[]){3, 8}, true);
	return l;
}

static void load(struct cop_experiment *e, const char *sweep)
{
	struct cop_err err = {0};
	char *text = cop_xasprintf("{\"train\": {\"epochs\": 2}, \"sweep\": {%s}}", sweep);
	if (cop_experiment_load(e, text, "test", NULL, 0, &err))
		fail_msg("%s", err.msg);
	free(text);
}

/* The grid of `sweep`, grown from that of `earlier` (NULL: none); returns cop_cells_make's answer. */
static int make(struct cop_cells *g, const char *sweep, const struct cop_cells *earlier, struct cop_err *err)
{
	struct cop_experiment e;
	struct cop_layout l = network();
	const struct cop_cells none = {0};
	load(&e, sweep);
	int rc = cop_cells_make(g, &e, STEPS, &l, earlier ? earlier : &none, err);
	cop_layout_release(&l);
	cop_experiment_release(&e);
	return rc;
}

static void must_make(struct cop_cells *g, const char *sweep, const struct cop_cells *earlier)
{
	struct cop_err err = {0};
	if (make(g, sweep, earlier, &err))
		fail_msg("%s", err.msg);
}

static void test_expand(void **state)
{
	(void)state;
	struct cop_cells g;
	must_make(&g, "\"quantiles\": [0.5, 0.9], \"reset\": [\"0ep\", \"1ep\", \"3it\"], \"replicates\": 2", NULL);
	const int64_t steps[] = {0, 10, 3};
	assert_int_equal(g.n, 12);
	assert_int_equal(g.total_steps, 20);
	for (size_t i = 0; i < g.n; i++) {
		const struct cop_point *p = &g.cell[i];
		assert_int_equal(p->index, i);
		assert_int_equal(p->replicate, i / 6);
		assert_true(p->quantile == (i / 3 % 2 ? 0.9 : 0.5));
		assert_int_equal(p->reset_step, steps[i % 3]);
		assert_int_equal(p->round, 1);
		assert_int_equal(p->before, -1);
		assert_int_equal(p->same_as, -1);
	}
	cop_cells_release(&g);
}

/* Whatever is added, and in whatever order: a cell that was there keeps its number and meaning. */
static void test_growing(void **state)
{
	(void)state;
	struct cop_cells a, b, c;
	must_make(&a, "\"quantiles\": [0.5, 0.9], \"reset\": [\"0ep\", \"1ep\"]", NULL);
	must_make(&b, "\"quantiles\": [0.9, 0.7, 0.5], \"reset\": [\"5it\", \"10it\", \"0it\"]", &a);
	must_make(&c, "\"quantiles\": [0.5, 0.7, 0.9], \"reset\": [\"0ep\", \"5it\", \"1ep\"], \"replicates\": 3", &b);
	assert_int_equal(b.n, 9);
	assert_int_equal(c.n, 27);
	for (size_t i = 0; i < b.n; i++) {
		const struct cop_point *was = i < a.n ? &a.cell[i] : &b.cell[i];
		const struct cop_point *now[] = {&b.cell[i], &c.cell[i]};
		for (int k = 0; k < 2; k++) {
			assert_int_equal(now[k]->index, i);
			assert_true(now[k]->quantile == was->quantile && now[k]->reset_step == was->reset_step &&
				    now[k]->replicate == was->replicate);
		}
	}
	for (size_t i = 0; i < c.n; i++) /* each once */
		for (size_t j = 0; j < i; j++)
			assert_false(c.cell[i].quantile == c.cell[j].quantile &&
				     c.cell[i].reset_step == c.cell[j].reset_step &&
				     c.cell[i].replicate == c.cell[j].replicate);
	struct cop_err err = {0};
	struct cop_cells d;
	assert_int_equal(make(&d, "\"quantiles\": [0.5, 0.9], \"reset\": [\"0ep\", \"1ep\"]", &b, &err), COP_EINPUT);
	assert_non_null(strstr(err.msg, "can only grow"));
	assert_int_equal(
		make(&d, "\"quantiles\": [0.5, 0.6, 0.9], \"reset\": [\"0ep\", \"1ep\"], \"rounds\": 3", &a, &err),
		COP_EINPUT);
	cop_cells_release(&a);
	cop_cells_release(&b);
	cop_cells_release(&c);
}

/* 104 prunable weights: 0.5 and 0.501 cut 52 of them, 0.505 cuts 53. */
static void test_same(void **state)
{
	(void)state;
	struct cop_cells g, grown;
	must_make(&g, "\"quantiles\": [0.501, 0.505, 0.5], \"reset\": [\"0ep\", \"1ep\"], \"replicates\": 2", NULL);
	const int64_t same[] = {-1, -1, -1, -1, 0, 1, -1, -1, -1, -1, 6, 7};
	for (size_t i = 0; i < g.n; i++)
		assert_int_equal(g.cell[i].same_as, same[i]);
	/* by layer 0.505 cuts 40 of 80 and 12 of 24 too */
	cop_cells_release(&g);
	must_make(&g, "\"quantiles\": [0.501, 0.505, 0.6], \"scope\": \"layer\"", NULL);
	assert_int_equal(g.cell[1].same_as, 0);
	assert_int_equal(g.cell[2].same_as, -1);
	/* a cell that comes first stays the one that is computed */
	must_make(&grown, "\"quantiles\": [0.4999, 0.501, 0.505, 0.6], \"scope\": \"layer\"", &g);
	assert_int_equal(grown.cell[0].same_as, -1);
	assert_int_equal(grown.cell[3].same_as, 0);
	cop_cells_release(&grown);
	cop_cells_release(&g);
}

static void test_rounds(void **state)
{
	(void)state;
	struct cop_cells g, grown;
	must_make(&g, "\"quantiles\": [0.2], \"rounds\": 3, \"reset\": [\"0ep\", \"1ep\"], \"replicates\": 2", NULL);
	assert_int_equal(g.n, 12);
	const double cut[] = {0.2, 0.36, 0.488, 0.5904};
	for (size_t i = 0; i < g.n; i++) {
		assert_int_equal(g.cell[i].round, i / 2 % 3 + 1);
		assert_true(g.cell[i].quantile == cut[i / 2 % 3]);
		assert_int_equal(g.cell[i].before, i / 2 % 3 ? (int64_t)i - 2 : -1);
	}
	must_make(&grown, "\"quantiles\": [0.2], \"rounds\": 4, \"reset\": [\"0ep\", \"1ep\"], \"replicates\": 2", &g);
	assert_int_equal(grown.n, 16);
	const int64_t before[] = {4, 5, 10, 11};
	for (size_t i = 12; i < 16; i++) {
		assert_int_equal(grown.cell[i].round, 4);
		assert_true(grown.cell[i].quantile == cut[3]);
		assert_int_equal(grown.cell[i].before, before[i - 12]);
	}
	cop_cells_release(&g);
	cop_cells_release(&grown);
}

static void test_bad_rounds(void **state)
{
	(void)state;
	const struct {
		const char *sweep, *says;
	} bad[] = {
		{"\"rounds\": 3, \"quantiles\": [0.2, 0.5]", "has 2 values"},
		{"\"rounds\": 2, \"quantiles\": [0.5, 0.2]", "must rise"},
		{"\"rounds\": 2, \"quantiles\": [0]", "must rise"},
		{"\"rounds\": 2, \"quantiles\": [0.2], \"keep_weights\": false", "keep_weights"},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct cop_experiment e;
		struct cop_err err = {0};
		char *text = cop_xasprintf("{\"sweep\": {%s}}", bad[i].sweep);
		assert_int_equal(cop_experiment_load(&e, text, "test", NULL, 0, &err), COP_EINPUT);
		if (!strstr(err.msg, bad[i].says))
			fail_msg("'%s' does not say '%s'", err.msg, bad[i].says);
		free(text);
	}
}

/* The numbers of a grid that has grown twice, out of some of its cells. */
static void test_restore(void **state)
{
	(void)state;
	static const char now[] = "\"quantiles\": [0.5, 0.7, 0.9], \"reset\": [\"0ep\", \"1ep\"]";
	struct cop_cells first, second, g, back;
	struct cop_experiment e;
	struct cop_err err = {0};
	struct cop_point known[8];
	size_t kept;
	load(&e, now);
	must_make(&first, "\"quantiles\": [0.9], \"reset\": [\"1ep\"]", NULL);
	must_make(&second, "\"quantiles\": [0.5, 0.9], \"reset\": [\"0ep\", \"1ep\"]", &first);
	must_make(&g, now, &second);
	assert_int_equal(g.n, 6);
	/* all but any one of them tell that one's number, too */
	for (size_t lost = 0; lost < 6; lost++) {
		size_t n = 0;
		for (size_t i = 6; i-- > 0;)
			if (i != lost)
				known[n++] = g.cell[i];
		assert_int_equal(cop_cells_restore(&back, &e, STEPS, known, n, &kept, &err), 0);
		assert_int_equal(kept, 5);
		assert_int_equal(back.n, 6);
		for (size_t i = 0; i < 6; i++)
			assert_true(back.cell[i].index == (int64_t)i && back.cell[i].quantile == g.cell[i].quantile &&
				    back.cell[i].reset_step == g.cell[i].reset_step &&
				    strcmp(back.cell[i].reset, g.cell[i].reset) == 0);
		cop_cells_release(&back);
	}
	/* what is not in the grid, comes twice, or has a number beyond it is passed over */
	known[0] = known[1] = known[2] = known[3] = known[4] = g.cell[2];
	known[1].index = 4;
	known[2].quantile = 0.7;
	known[3].quantile = 0.6;
	known[3].index = 1;
	known[4].quantile = 0.9;
	known[4].index = 6;
	assert_int_equal(cop_cells_restore(&back, &e, STEPS, known, 5, &kept, &err), 0);
	assert_int_equal(kept, 1);
	assert_true(back.n == 6 && back.cell[2].quantile == g.cell[2].quantile &&
		    back.cell[2].reset_step == g.cell[2].reset_step);
	/* what is left takes what numbers are left, each place once */
	for (size_t i = 0; i < 6; i++)
		for (size_t k = 0; k < i; k++)
			assert_true(back.cell[i].quantile != back.cell[k].quantile ||
				    back.cell[i].reset_step != back.cell[k].reset_step);
	cop_cells_release(&back);
	/* a restored grid can grow like any other */
	assert_int_equal(cop_cells_restore(&back, &e, STEPS, g.cell, 6, &kept, &err), 0);
	cop_cells_release(&second);
	must_make(&second, "\"quantiles\": [0.5, 0.7, 0.8, 0.9], \"reset\": [\"0ep\", \"1ep\"]", &back);
	assert_true(second.n == 8 && second.cell[0].quantile == 0.9 && second.cell[7].quantile == 0.8);
	cop_cells_release(&back);
	cop_cells_release(&g);
	cop_cells_release(&second);
	cop_cells_release(&first);
	cop_experiment_release(&e);
}

/* The cell of a place, found by what it is. */
static const struct cop_point *find(const struct cop_cells *g, double quantile, int64_t step, int retrain,
				    int64_t child)
{
	for (size_t i = 0; i < g->n; i++) {
		const struct cop_point *p = &g->cell[i];
		if (p->quantile == quantile && p->reset_step == step && p->retrain == retrain && p->child == child)
			return p;
	}
	fail_msg("no cell of quantile %g, step %d, retrain %d, child %d", quantile, (int)step, retrain, (int)child);
	return NULL;
}

/* Ways to retrain stand outside of quantiles, children innermost; a grid grows by them as by anything else. */
static void test_variants(void **state)
{
	(void)state;
	struct cop_cells plain, g, grown;
	static const char axes[] = "\"quantiles\": [0.5, 0.9], \"reset\": [\"0ep\", \"1ep\"]";
	char *with = cop_xasprintf("%s, \"retrain\": [\"rewind\", \"lr-rewind\"], \"controls\": [\"reinit\"], "
				   "\"children\": 2",
				   axes);
	must_make(&plain, axes, NULL);
	must_make(&g, with, NULL);
	must_make(&grown, with, &plain);
	const int retrain[] = {COP_RETRAIN_REWIND, COP_RETRAIN_LR_REWIND, COP_RETRAIN_REINIT};
	assert_int_equal(g.n, 24);
	for (size_t i = 0; i < g.n; i++) {
		const struct cop_point *p = &g.cell[i];
		assert_int_equal(p->retrain, retrain[i / 8]);
		assert_true(p->quantile == (i / 4 % 2 ? 0.9 : 0.5));
		assert_int_equal(p->reset_step, i / 2 % 2 ? 10 : 0);
		assert_int_equal(p->child, i % 2);
		assert_int_equal(p->before, -1);
		/* new weights begin at step 0 whatever the reset point */
		assert_int_equal(p->same_as, i >= 16 && i / 2 % 2 ? (int64_t)i - 2 : -1);
	}
	assert_int_equal(grown.n, 24);
	for (size_t i = 0; i < plain.n; i++)
		assert_true(cop_point_same(&grown.cell[i], &plain.cell[i]));
	for (size_t i = 0; i < g.n; i++)
		for (size_t k = 0; k < i; k++)
			assert_false(cop_point_same(&grown.cell[i], &grown.cell[k]));
	struct cop_err err = {0};
	struct cop_cells less;
	assert_int_equal(make(&less, axes, &g, &err), COP_EINPUT);
	assert_non_null(strstr(err.msg, "reset '0ep', child 1"));
	cop_cells_release(&plain);
	cop_cells_release(&g);
	cop_cells_release(&grown);
	free(with);
}

/* Where nothing is cut, a shuffled mask is the mask; and a child is never the same as another. */
static void test_uncut(void **state)
{
	(void)state;
	struct cop_cells g;
	must_make(&g,
		  "\"quantiles\": [0, 0.5], \"reset\": [\"0ep\", \"1ep\"], \"children\": 2, "
		  "\"controls\": [\"shuffle\", \"random\", \"fine-tune\"]",
		  NULL);
	for (size_t i = 0; i < g.n; i++) {
		const struct cop_point *p = &g.cell[i];
		bool moved = p->retrain == COP_RETRAIN_SHUFFLE || p->retrain == COP_RETRAIN_RANDOM;
		int64_t same = -1;
		if (moved && p->quantile == 0)
			same = find(&g, 0, p->reset_step, COP_RETRAIN_REWIND, p->child)->index;
		assert_int_equal(p->same_as, same);
	}
	cop_cells_release(&g);
}

/* In rounds each way has a chain of its own, and controls and further children take the masks of the first one's. */
static void test_chains(void **state)
{
	(void)state;
	struct cop_cells g;
	must_make(
		&g,
		"\"quantiles\": [0.2, 0.5, 0.501], \"rounds\": 3, \"reset\": [\"0ep\", \"1ep\"], "
		"\"retrain\": [\"rewind\", \"lr-rewind\"], \"controls\": [\"reinit\", \"fine-tune\"], \"children\": 2",
		NULL);
	static const double quantile[] = {0.2, 0.5, 0.501};
	for (size_t i = 0; i < g.n; i++) {
		const struct cop_point *p = &g.cell[i];
		bool own = p->retrain == COP_RETRAIN_LR_REWIND;
		assert_true(p->quantile == quantile[p->round - 1]);
		if (p->round == 1)
			assert_int_equal(p->before, -1);
		else
			assert_int_equal(p->before, find(&g, quantile[p->round - 2], p->reset_step,
							 own ? COP_RETRAIN_LR_REWIND : COP_RETRAIN_REWIND, 0)
							    ->index);
		/* the last round cuts nothing: what goes back is trained the same again, what went on is not */
		bool same = p->round == 3 && (p->retrain == COP_RETRAIN_REWIND || p->retrain == COP_RETRAIN_REINIT);
		assert_int_equal(p->same_as, same ? find(&g, 0.5, p->reset_step, p->retrain, p->child)->index : -1);
	}
	cop_cells_release(&g);
}

/* The list with one word of it replaced must not be read. */
static void damaged(const char *text, const char *word, const char *other, const struct cop_experiment *e)
{
	struct cop_err err = {0};
	struct cop_cells g;
	const char *at = strstr(text, word);
	assert_non_null(at);
	char *bad = cop_xasprintf("%.*s%s%s", (int)(at - text), text, other, at + strlen(word));
	assert_int_equal(cop_write_file("cells-test.json", bad, strlen(bad), &err), 0);
	if (cop_cells_read(&g, "cells-test.json", e, &err) != COP_EINPUT)
		fail_msg("'%s' as '%s' is read", word, other);
	free(bad);
}

static void test_files(void **state)
{
	(void)state;
	static const char sweep[] = "\"quantiles\": [0.501, 0.9, 0.5], \"reset\": [\"0ep\", \"1ep\"]";
	struct cop_cells g, back;
	struct cop_experiment e, other;
	struct cop_err err = {0};
	char *text;
	size_t len;
	load(&e, sweep);
	load(&other, "\"quantiles\": [0.501, 0.9, 0.6], \"reset\": [\"0ep\", \"1ep\"]");
	must_make(&g, sweep, NULL);
	assert_int_equal(cop_cells_write(&g, "cells-test.json", &err), 0);
	assert_int_equal(cop_cells_read(&back, "cells-test.json", &e, &err), 0);
	assert_int_equal(back.n, g.n);
	for (size_t i = 0; i < g.n; i++)
		assert_true(back.cell[i].same_as == g.cell[i].same_as && back.cell[i].index == g.cell[i].index &&
			    back.cell[i].quantile == g.cell[i].quantile &&
			    strcmp(back.cell[i].reset, g.cell[i].reset) == 0);
	cop_cells_release(&back);
	assert_int_equal(cop_cells_read(&back, "cells-test.json", &other, &err), COP_EINPUT);
	assert_int_equal(cop_read_file("cells-test.json", &text, &len, &err), 0);
	damaged(text, "\"same_as\":\t0", "\"same_as\":\t5", &e);
	damaged(text, "\"same_as\":\t0", "\"same_as\":\t1", &e);
	damaged(text, "\"index\":\t2", "\"index\":\t1", &e);
	damaged(text, "\"quantile\":\t0.9", "\"quantile\":\t0.501", &e);
	damaged(text, "\"reset_step\":\t10", "\"reset_step\":\t11", &e);
	damaged(text, "\"round\":\t1", "\"round\":\t2", &e);
	damaged(text, "\"total_steps\":\t20", "\"total_steps\":\t30", &e);
	unlink("cells-test.json");
	free(text);
	cop_cells_release(&g);
	cop_experiment_release(&e);
	cop_experiment_release(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_expand),  cmocka_unit_test(test_growing),    cmocka_unit_test(test_same),
		cmocka_unit_test(test_rounds),  cmocka_unit_test(test_bad_rounds), cmocka_unit_test(test_files),
		cmocka_unit_test(test_restore), cmocka_unit_test(test_variants),   cmocka_unit_test(test_uncut),
		cmocka_unit_test(test_chains),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
