/*
 * Criteria against plain references on small networks: derivatives by the float64 network of graph64.h and by
 * differences, the flow by what is lost when a weight goes, masks by sorting; and what they are given, the first
 * batches of training.
 */
#include "base/mem.h"
#include "base/rng.h"
#include "compute/backend.h"
#include "graph64.h"
#include "prune/criterion.h"
#include "prune/mask.h"
#include "random_graph.h"
#include "sanitized.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BATCH = 6, BATCHES = 3 };

/* A network with weights at both ends of a training, and batches. */
struct subject {
	struct cop_graph g;
	struct cop_stream s;
	uint32_t seed;
	float *first, *last, *buffer, *x;
	int32_t label[BATCH * BATCHES];
	size_t image; /* floats of one */
	uint8_t *before;
	double *score, *wanted;
	struct cop_samples samples;
	struct cop_scoring scoring;
};

static int read_batch(const struct cop_samples *s, int64_t k, float *x, int32_t *label, struct cop_err *err)
{
	const struct subject *u = s->user;
	if (k < 0 || k >= BATCHES)
		return cop_fail(err, COP_EFAILED, "there is no batch %lld", (long long)k);
	memcpy(x, u->x + (size_t)k * BATCH * u->image, BATCH * u->image * sizeof(float));
	memcpy(label, u->label + k * BATCH, BATCH * sizeof(*label));
	return 0;
}

static void begin(struct subject *u, uint32_t seed)
{
	*u = (struct subject){.seed = seed};
	cop_stream_init(&u->s, seed, COP_PURPOSE_TEST, 2, 0);
}

static void draw_images(struct subject *u)
{
	for (size_t i = 0; i < BATCH * BATCHES * u->image; i++)
		u->x[i] = (float)cop_stream_normal(&u->s);
}

/* Weights, images and a mask of an earlier round (which half of the tests look at) for a graph that is there. */
static void set_up(struct subject *u, int classes)
{
	struct cop_err err = {0};
	if (cop_graph_finish(&u->g, classes, &err))
		fail_msg("seed %u: %s", u->seed, err.msg);
	const struct cop_layout *l = &u->g.params;
	u->image = (size_t)u->g.node[0].c * (size_t)u->g.node[0].h * (size_t)u->g.node[0].w;
	u->first = cop_xcalloc(l->total, sizeof(float));
	u->last = cop_xcalloc(l->total, sizeof(float));
	u->buffer = cop_xcalloc(u->g.buffers.total + 1, sizeof(float));
	u->x = cop_xcalloc(BATCH * BATCHES * u->image, sizeof(float));
	u->before = cop_xcalloc(l->total, 1);
	u->score = cop_xcalloc(l->total, sizeof(double));
	u->wanted = cop_xcalloc(l->total, sizeof(double));
	cop_graph_draw(&u->g, COP_INIT_KAIMING_NORMAL, u->seed, u->first, u->buffer);
	memset(u->before, 1, l->total);
	for (size_t k = 0; k < l->n; k++)
		for (size_t i = l->tensor[k].offset; i < l->tensor[k].offset + l->tensor[k].count; i++) {
			u->last[i] = u->first[i] + (float)(0.3 * cop_stream_normal(&u->s));
			u->before[i] = !l->tensor[k].prunable || cop_stream_uniform(&u->s) < 0.8;
		}
	for (int i = 0; i < BATCH * BATCHES; i++)
		u->label[i] = random_between(&u->s, 0, classes - 1);
	draw_images(u);
	u->samples = (struct cop_samples){BATCH, BATCHES, read_batch, u};
	u->scoring = (struct cop_scoring){.graph = &u->g,
					  .first = u->first,
					  .first_buffer = u->buffer,
					  .last = u->last,
					  .samples = &u->samples,
					  .seed = u->seed};
}

static void tear_down(struct subject *u)
{
	free(u->first);
	free(u->last);
	free(u->buffer);
	free(u->x);
	free(u->before);
	free(u->score);
	free(u->wanted);
	cop_graph_release(&u->g);
}

static void drawn(struct subject *u, uint32_t seed)
{
	begin(u, seed);
	int classes = random_graph(&u->g, &u->s, 3, BATCH, 24);
	set_up(u, classes);
}

/* Two convolutions, one without a batch norm, an activation of either kind, and two linear layers. */
static void small_net(struct subject *u, uint32_t seed)
{
	begin(u, seed);
	const struct cop_conv_spec a = {.out = 4, .kernel = {3, 3}, .padding = {1, 1}};
	const struct cop_conv_spec b = {.out = 5, .kernel = {3, 2}, .stride = {2, 1}, .bias = true};
	int x = cop_graph_input(&u->g, 2, 7, 6);
	x = cop_graph_relu(&u->g, cop_graph_batch_norm(&u->g, cop_graph_conv(&u->g, x, "a", &a), "n"));
	x = cop_graph_relu6(&u->g, cop_graph_conv(&u->g, x, "b", &b));
	x = cop_graph_relu(&u->g, cop_graph_linear(&u->g, cop_graph_flatten(&u->g, x), "c", 8, true));
	cop_graph_linear(&u->g, x, "d", 3, true);
	set_up(u, 3);
}

/* Weights a to before b can be cut. */
static bool can_go(const struct subject *u, size_t i)
{
	const struct cop_layout *l = &u->g.params;
	for (size_t k = 0; k < l->n; k++)
		if (i >= l->tensor[k].offset && i < l->tensor[k].offset + l->tensor[k].count)
			return l->tensor[k].prunable && (!u->scoring.before || u->before[i]);
	return false;
}

/* The norm of each tensor's errors over its norm, and nothing where nothing can go. */
static void check_scores(struct subject *u, enum cop_criterion c, double most)
{
	struct cop_err err = {0};
	for (size_t i = 0; i < u->g.params.total; i++)
		u->score[i] = 77; /* all is written to */
	if (cop_criterion_scores(&u->scoring, c, u->score, &err))
		fail_msg("seed %u: %s", u->seed, err.msg);
	for (size_t i = 0; i < u->g.params.total; i++)
		if (!can_go(u, i) && u->score[i] != 0)
			fail_msg("seed %u: a score of %g at %zu, which cannot go", u->seed, u->score[i], i);
	for (size_t k = 0; k < u->g.params.n; k++) {
		const struct cop_tensor *t = &u->g.params.tensor[k];
		double off = 0, norm = 0;
		for (size_t i = t->offset; i < t->offset + t->count && t->prunable; i++) {
			off += can_go(u, i) ? pow(u->score[i] - u->wanted[i], 2) : 0;
			norm += can_go(u, i) ? pow(u->wanted[i], 2) : 0;
		}
		if (!(sqrt(off) <= most * sqrt(norm)))
			fail_msg("seed %u: scores of '%s' are off by %g of %g", u->seed, t->name, sqrt(off),
				 sqrt(norm));
	}
}

static void test_values(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 4; seed++) {
		struct subject u;
		drawn(&u, seed);
		u.scoring.before = seed % 2 ? u.before : NULL;
		size_t n = u.g.params.total;
		u.first[0] = u.last[0] = 0;
		u.first[1] = 0;
		u.last[2] = -0.0f;
		for (size_t i = 0; i < n; i++)
			u.wanted[i] = fabs((double)u.last[i]);
		check_scores(&u, COP_CRITERION_MAGNITUDE, 0);
		for (size_t i = 0; i < n; i++)
			u.wanted[i] = fabs((double)u.last[i] - (double)u.first[i]);
		check_scores(&u, COP_CRITERION_CHANGE, 0);
		for (size_t i = 0; i < n; i++)
			u.wanted[i] = u.first[i] * u.last[i] > 0 ? fabs((double)u.last[i]) : 0;
		check_scores(&u, COP_CRITERION_SAME_SIGN, 0);
		tear_down(&u);
	}
}

/* The mean gradient over the batches at `w` + step * v, of masked weights, into `to`; returns how near a kink was. */
static double mean_gradient(struct subject *u, const float *w, double step, const double *v, double temperature,
			    double *to)
{
	struct graph64 r;
	double margin = INFINITY;
	graph64_init(&r, &u->g, BATCH);
	graph64_load(&r, w, u->buffer);
	int last = u->g.n - 1;
	for (size_t i = 0; i < u->g.params.total; i++) {
		bool gone = u->scoring.before && !u->before[i];
		r.param[i] = gone ? 0 : r.param[i] + (v && can_go(u, i) ? step * v[i] : 0);
		to[i] = 0;
	}
	for (int k = 0; k < BATCHES; k++) {
		for (size_t i = 0; i < BATCH * u->image; i++)
			r.y[0][i] = (double)u->x[(size_t)k * BATCH * u->image + i];
		graph64_forward(&r, true);
		margin = fmin(margin, graph64_margin(&r));
		for (size_t i = 0; i < graph64_count(&r, last); i++)
			r.y[last][i] /= temperature;
		graph64_loss(&r, u->label + k * BATCH);
		for (size_t i = 0; i < graph64_count(&r, last); i++)
			r.dy[last][i] /= temperature;
		graph64_backward(&r);
		for (size_t i = 0; i < u->g.params.total; i++)
			to[i] += r.grad[i] / BATCHES;
	}
	graph64_release(&r);
	return margin;
}

static void test_gradients(void **state)
{
	(void)state;
	for (uint32_t seed = 10; seed < 22; seed += every(3)) {
		struct subject u;
		drawn(&u, seed);
		u.scoring.before = seed % 2 ? u.before : NULL;
		const float *end[2] = {u.first, u.last};
		for (int k = 0; k < 2; k++) {
			mean_gradient(&u, end[k], 0, NULL, 1, u.wanted);
			for (size_t i = 0; i < u.g.params.total; i++)
				u.wanted[i] = fabs((double)end[k][i] * u.wanted[i]);
			check_scores(&u, k ? COP_CRITERION_GRADIENT_WEIGHT : COP_CRITERION_SNIP, 1e-9);
		}
		tear_down(&u);
	}
}

/* w (g(w + e g) - g(w - e g)) / 2e, where no kink is near; e g is 1e-6 of w or so. */
static void test_grasp(void **state)
{
	(void)state;
	for (uint32_t seed = 30; seed < 40; seed += every(3)) {
		struct subject u;
		if (seed % 2)
			small_net(&u, seed);
		else
			drawn(&u, seed);
		u.scoring.before = seed % 4 < 2 ? u.before : NULL;
		size_t n = u.g.params.total;
		double *g = cop_xcalloc(n, sizeof(double)), *up = cop_xcalloc(n, sizeof(double)), size = 0, length = 0;
		double *down = cop_xcalloc(n, sizeof(double)), margin = 0;
		for (int turn = 0; turn < 300 && margin < 3e-5; turn++) {
			draw_images(&u);
			margin = mean_gradient(&u, u.first, 0, NULL, 200, g);
		}
		if (margin < 3e-5)
			fail_msg("seed %u: every draw comes near a kink", seed);
		for (size_t i = 0; i < n; i++) {
			length += can_go(&u, i) ? g[i] * g[i] : 0;
			size += can_go(&u, i) ? (double)u.first[i] * (double)u.first[i] : 0;
		}
		double e = 0.01 * margin * sqrt(size / length);
		mean_gradient(&u, u.first, e, g, 200, up);
		mean_gradient(&u, u.first, -e, g, 200, down);
		for (size_t i = 0; i < n; i++)
			u.wanted[i] = (double)u.first[i] * (up[i] - down[i]) / (2 * e);
		check_scores(&u, COP_CRITERION_GRASP, 1e-5);
		free(g);
		free(up);
		free(down);
		tear_down(&u);
	}
}

/* R by plain loops: all of |w|, an image of ones, activations that let everything through. */
static double flow(struct graph64 *r)
{
	double all = 0;
	int last = r->graph->n - 1;
	graph64_forward(r, false);
	for (size_t i = 0; i < graph64_count(r, last); i++)
		all += r->y[last][i];
	return all;
}

/* What the flow loses without a weight is w dR/dw, for it is linear in each. */
static void reference_flow(struct subject *u, const uint8_t *mask, double *score)
{
	struct cop_graph linear = u->g;
	struct graph64 r;
	linear.node = cop_xcalloc((size_t)u->g.n, sizeof(*linear.node));
	memcpy(linear.node, u->g.node, (size_t)u->g.n * sizeof(*linear.node));
	for (int k = 0; k < linear.n; k++)
		if (linear.node[k].op == COP_OP_RELU || linear.node[k].op == COP_OP_RELU6)
			linear.node[k].op = COP_OP_DROPOUT;
	graph64_init(&r, &linear, 1);
	graph64_load(&r, u->first, u->buffer);
	for (size_t i = 0; i < u->g.params.total; i++)
		r.param[i] = mask && !mask[i] ? 0 : fabs(r.param[i]);
	for (size_t i = 0; i < u->image; i++)
		r.y[0][i] = 1;
	double whole = flow(&r);
	for (size_t i = 0; i < u->g.params.total; i++) {
		double kept = r.param[i];
		score[i] = 0;
		if (!can_go(u, i) || kept == 0)
			continue;
		r.param[i] = 0;
		score[i] = whole - flow(&r);
		r.param[i] = kept;
	}
	graph64_release(&r);
	free(linear.node);
}

static void test_flow(void **state)
{
	(void)state;
	for (uint32_t seed = 50; seed < 54; seed++) {
		struct subject u;
		small_net(&u, seed);
		u.scoring.before = seed % 2 ? u.before : NULL;
		/* as after some training */
		for (size_t i = 0; i < u.g.buffers.total && seed == 53; i++)
			u.buffer[i] *= 0.5f;
		u.first[u.g.params.tensor[u.g.params.n - 1].offset] = -0.3f; /* a bias */
		reference_flow(&u, u.scoring.before, u.wanted);
		check_scores(&u, COP_CRITERION_SYNFLOW, 1e-9);
		tear_down(&u);
	}
}

/* Three layers by hand: the score of w(i,j) of layer l is [1' |W3|..|W(l+1)|]_i |w(i,j)| [|W(l-1)|..|W1| 1]_j. */
static void test_flow_by_hand(void **state)
{
	(void)state;
	struct subject u;
	begin(&u, 60);
	int x = cop_graph_input(&u.g, 2, 1, 1);
	x = cop_graph_relu(&u.g, cop_graph_linear(&u.g, x, "a", 2, false));
	x = cop_graph_relu(&u.g, cop_graph_linear(&u.g, x, "b", 2, false));
	cop_graph_linear(&u.g, x, "c", 2, false);
	set_up(&u, 2);
	static const float w[3][4] = {{1, -2, -3, 4}, {-1, 0, 2, -5}, {2, 1, -1, 3}};
	/* |W1| 1 = (3, 7), |W2| of that = (3, 41); 1' |W3| = (3, 4), that |W2| = (11, 20) */
	static const double wanted[3][4] = {
		{11 * 1, 11 * 2, 20 * 3, 20 * 4}, {3 * 1 * 3, 0, 4 * 2 * 3, 4 * 5 * 7}, {2 * 3, 1 * 41, 1 * 3, 3 * 41}};
	struct cop_err err = {0};
	for (int k = 0; k < 3; k++)
		memcpy(u.first + u.g.params.tensor[k].offset, w[k], sizeof(w[k]));
	assert_int_equal(cop_criterion_scores(&u.scoring, COP_CRITERION_SYNFLOW, u.score, &err), 0);
	for (int k = 0; k < 3; k++)
		for (int i = 0; i < 4; i++)
			assert_true(u.score[u.g.params.tensor[k].offset + (size_t)i] == wanted[k][i]);
	tear_down(&u);
}

/* Cuts a group's lowest scores one by one until `cut` are gone. */
static void cut_plainly(const struct subject *u, const int *group, int which, const double *score, size_t cut,
			uint8_t *mask)
{
	const struct cop_layout *l = &u->g.params;
	size_t gone = 0;
	for (size_t k = 0; k < l->n; k++)
		gone += group[k] == which ? l->tensor[k].count - cop_mask_kept(&l->tensor[k], mask) : 0;
	for (; gone < cut; gone++) {
		size_t lowest = SIZE_MAX;
		for (size_t k = 0; k < l->n; k++)
			for (size_t i = l->tensor[k].offset; i < l->tensor[k].offset + l->tensor[k].count; i++)
				if (group[k] == which && mask[i] && (lowest == SIZE_MAX || score[i] < score[lowest]))
					lowest = i;
		mask[lowest] = 0;
	}
}

static void expect_mask(const struct subject *u, enum cop_criterion c, const struct cop_allocation *a,
			const uint8_t *wanted)
{
	struct cop_err err = {0};
	double threshold = -1;
	uint8_t *mask = cop_xcalloc(u->g.params.total, 1);
	if (cop_criterion_mask(&u->scoring, c, a, mask, &threshold, &err))
		fail_msg("seed %u, criterion %d: %s", u->seed, (int)c, err.msg);
	for (size_t i = 0; i < u->g.params.total; i++)
		if (mask[i] != wanted[i])
			fail_msg("seed %u, criterion %d: weight %zu is %s", u->seed, (int)c, i,
				 mask[i] ? "kept" : "cut");
	free(mask);
}

/* Cut as the allocation says: in one go, or for synflow in a hundred. */
static void reference_mask(struct subject *u, enum cop_criterion c, const struct cop_allocation *a, uint8_t *mask)
{
	size_t n = u->g.params.total, cut[16], all[16] = {0}, gone[16] = {0};
	struct cop_err err = {0};
	memset(mask, 1, n);
	if (u->scoring.before)
		memcpy(mask, u->before, n);
	if (c != COP_CRITERION_SYNFLOW) {
		assert_int_equal(cop_criterion_scores(&u->scoring, c, u->score, &err), 0);
		for (int g = 0; g < a->groups; g++)
			cut_plainly(u, a->group, g, u->score, a->cut[g], mask);
		return;
	}
	for (size_t k = 0; k < u->g.params.n; k++)
		if (a->group[k] >= 0) {
			all[a->group[k]] += u->g.params.tensor[k].count;
			gone[a->group[k]] += u->g.params.tensor[k].count - cop_mask_kept(&u->g.params.tensor[k], mask);
		}
	for (int turn = 1; turn <= 100; turn++) {
		reference_flow(u, mask, u->wanted);
		for (int g = 0; g < a->groups; g++) {
			double density = (double)(all[g] - a->cut[g]) / (double)(all[g] - gone[g]);
			cut[g] = all[g] - (size_t)round((double)(all[g] - gone[g]) * pow(density, turn / 100.0));
			cut_plainly(u, a->group, g, u->wanted, cut[g], mask);
		}
	}
}

/* Global, and by layers of which one is exempt. */
static void test_masks(void **state)
{
	(void)state;
	for (uint32_t seed = 70; seed < 74; seed++) {
		struct subject u;
		struct cop_err err = {0};
		small_net(&u, seed);
		u.scoring.before = seed % 2 ? u.before : NULL;
		uint8_t *wanted = cop_xcalloc(u.g.params.total, 1);
		struct cop_rates rates = {0};
		struct cop_allocation a = {0};
		const double q[2] = {0.2, seed % 2 ? 0.85 : 0.7};
		if (cop_rates_parse(&rates, seed < 72 ? "{}" : "{\"b\": 0}", &err) ||
		    cop_allocate(&a, &u.g.params, seed < 72 ? COP_SCOPE_GLOBAL : COP_SCOPE_LAYER, &rates, q + 1, 1,
				 &err))
			fail_msg("%s", err.msg);
		for (int c = 0; c < COP_CRITERIA; c++) {
			/* the plain synflow takes its time */
			if (c == COP_CRITERION_RANDOM_LAYERWISE || (c == COP_CRITERION_SYNFLOW && seed % 3 != 1))
				continue;
			/* an exempt tensor may not have lost anything before */
			for (size_t k = 0; k < u.g.params.n && seed >= 72; k++)
				if (a.group[k] < 0)
					memset(u.before + u.g.params.tensor[k].offset, 1, u.g.params.tensor[k].count);
			reference_mask(&u, (enum cop_criterion)c, &a, wanted);
			expect_mask(&u, (enum cop_criterion)c, &a, wanted);
		}
		cop_allocation_release(&a);
		cop_rates_release(&rates);
		free(wanted);
		tear_down(&u);
	}
}

static struct cop_allocation allocate(const struct subject *u, double q)
{
	struct cop_allocation a = {0};
	struct cop_err err = {0};
	if (cop_allocate(&a, &u->g.params, COP_SCOPE_GLOBAL, NULL, &q, 1, &err))
		fail_msg("%s", err.msg);
	return a;
}

static void make_mask(const struct subject *u, enum cop_criterion c, double q, uint8_t *mask)
{
	struct cop_allocation a = allocate(u, q);
	struct cop_err err = {0};
	double threshold;
	if (cop_criterion_mask(&u->scoring, c, &a, mask, &threshold, &err))
		fail_msg("%s", err.msg);
	cop_allocation_release(&a);
}

/* Draws are even, those of each seed their own; what goes at a low rate goes at a higher one, and in a later round. */
static void test_random(void **state)
{
	(void)state;
	struct subject u;
	begin(&u, 80);
	cop_graph_linear(&u.g, cop_graph_linear(&u.g, cop_graph_input(&u.g, 100, 1, 1), "a", 90, true), "b", 100, true);
	set_up(&u, 100);
	size_t n = u.g.params.total, same = 0, tenth[10] = {0};
	uint8_t *few = cop_xcalloc(n, 1), *many = cop_xcalloc(n, 1), *again = cop_xcalloc(n, 1);
	struct cop_err err = {0};
	assert_int_equal(cop_criterion_scores(&u.scoring, COP_CRITERION_RANDOM, u.score, &err), 0);
	u.scoring.seed++;
	assert_int_equal(cop_criterion_scores(&u.scoring, COP_CRITERION_RANDOM, u.wanted, &err), 0);
	for (size_t i = 0; i < n; i++) {
		assert_true(u.score[i] >= 0 && u.score[i] < 1);
		same += can_go(&u, i) && u.score[i] == u.wanted[i];
		tenth[(int)(10 * u.score[i])] += can_go(&u, i);
	}
	assert_int_equal(same, 0);
	for (int k = 0; k < 10; k++)
		if (fabs((double)tenth[k] - 1800) > 200)
			fail_msg("%zu of 18000 draws lie in the tenth %d", tenth[k], k);
	double *b = u.wanted + cop_layout_find(&u.g.params, "b/weight")->offset;
	assert_true(u.wanted[0] != b[0] && u.wanted[1] != b[1]);
	make_mask(&u, COP_CRITERION_RANDOM, 0.3, few);
	make_mask(&u, COP_CRITERION_RANDOM, 0.6, many);
	for (size_t i = 0; i < n; i++)
		assert_true(few[i] >= many[i]);
	u.scoring.before = few;
	make_mask(&u, COP_CRITERION_RANDOM, 0.6, again);
	assert_memory_equal(many, again, n);
	free(few);
	free(many);
	free(again);
	tear_down(&u);
}

static void test_random_layerwise(void **state)
{
	(void)state;
	for (uint32_t seed = 90; seed < 94; seed++) {
		struct subject u;
		small_net(&u, seed);
		size_t n = u.g.params.total, equal = 0, kept = 0;
		uint8_t *mask = cop_xcalloc(n, 1), *magnitude = cop_xcalloc(n, 1);
		u.scoring.before = seed % 2 ? u.before : NULL;
		make_mask(&u, COP_CRITERION_RANDOM_LAYERWISE, 0.6, mask);
		make_mask(&u, COP_CRITERION_MAGNITUDE, 0.6, magnitude);
		for (size_t k = 0; k < u.g.params.n; k++)
			assert_int_equal(cop_mask_kept(&u.g.params.tensor[k], mask),
					 cop_mask_kept(&u.g.params.tensor[k], magnitude));
		for (size_t i = 0; i < n; i++) {
			assert_true(mask[i] || can_go(&u, i) || !u.before[i]);
			equal += can_go(&u, i) && mask[i] && magnitude[i];
			kept += can_go(&u, i) && mask[i];
		}
		assert_true(equal < 0.8 * (double)kept);
		free(mask);
		free(magnitude);
		tear_down(&u);
	}
}

/* A NaN is named where it lies, in whatever is looked at; an infinity that makes one too. */
static void test_nan(void **state)
{
	(void)state;
	for (int c = 0; c < COP_CRITERIA; c++) {
		struct subject u;
		struct cop_err err = {0};
		struct cop_criterion_needs needs = cop_criterion_needs((enum cop_criterion)c);
		small_net(&u, 100);
		struct cop_allocation a = allocate(&u, 0.5);
		size_t at = cop_layout_find(&u.g.params, "c/weight")->offset + 3;
		double threshold;
		u.scoring.first = needs.first ? u.first : NULL;
		u.scoring.last = needs.last ? u.last : NULL;
		u.scoring.samples = needs.samples ? &u.samples : NULL;
		uint8_t *mask = cop_xcalloc(u.g.params.total, 1);
		assert_int_equal(cop_criterion_mask(&u.scoring, (enum cop_criterion)c, &a, mask, &threshold, &err), 0);
		for (int end = 0; end < 2; end++) {
			float *w = end ? u.last : u.first, kept = w[at];
			if (!(end ? needs.last : needs.first))
				continue;
			w[at] = NAN;
			u.before[at] = 1;
			assert_int_equal(
				cop_criterion_mask(&u.scoring, (enum cop_criterion)c, &a, mask, &threshold, &err),
				COP_EINPUT);
			assert_string_equal(err.msg, "'c/weight' holds NaN at [0, 3]");
			/* what is cut already does not matter */
			u.before[at] = 0;
			u.scoring.before = u.before;
			assert_int_equal(
				cop_criterion_mask(&u.scoring, (enum cop_criterion)c, &a, mask, &threshold, &err), 0);
			u.scoring.before = NULL;
			w[at] = kept;
		}
		if (needs.samples) {
			u.x[5] = NAN;
			assert_int_equal(
				cop_criterion_mask(&u.scoring, (enum cop_criterion)c, &a, mask, &threshold, &err),
				COP_EINPUT);
			assert_non_null(strstr(err.msg, "the scores of 'a/weight' hold NaN at [0, 0, 0, 0]"));
		}
		free(mask);
		cop_allocation_release(&a);
		tear_down(&u);
	}
}

static void test_threads(void **state)
{
	(void)state;
	struct subject u;
	small_net(&u, 110);
	size_t n = u.g.params.total;
	uint8_t *one = cop_xcalloc(n, 1), *more = cop_xcalloc(n, 1);
	for (int c = 0; c < COP_CRITERIA; c++)
		for (int threads = 1; threads <= 3; threads++) {
			cop_cpu_set_threads(threads);
			make_mask(&u, (enum cop_criterion)c, 0.5, threads == 1 ? one : more);
			if (threads > 1)
				assert_memory_equal(one, more, n);
		}
	cop_cpu_set_threads(1);
	free(one);
	free(more);
	tear_down(&u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),  cmocka_unit_test(test_gradients),        cmocka_unit_test(test_grasp),
		cmocka_unit_test(test_flow),    cmocka_unit_test(test_flow_by_hand),     cmocka_unit_test(test_masks),
		cmocka_unit_test(test_random),  cmocka_unit_test(test_random_layerwise), cmocka_unit_test(test_nan),
		cmocka_unit_test(test_threads),
	};
	/* networks so small that threads would only wait for each other */
	cop_cpu_set_threads(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
