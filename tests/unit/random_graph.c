/* Networks drawn from a seed; see random_graph.h. */
#include "random_graph.h"

#include "base/err.h"

#include <stddef.h>

int random_between(struct cop_stream *s, int low, int high)
{
	return low + (int)cop_stream_below(s, (uint32_t)(high - low + 1));
}

static bool chance(struct cop_stream *s, double p)
{
	return cop_stream_uniform(s) < p;
}

struct cop_conv_spec random_conv(struct cop_stream *s, const struct cop_node *in, int widest)
{
	static const int kernel[][2] = {{1, 1}, {3, 3}, {3, 3}, {5, 1}, {2, 3}};
	for (;;) {
		struct cop_conv_spec v = {.out = random_between(s, 1, widest), .bias = chance(s, 0.3), .groups = 1};
		int k = random_between(s, 0, 4), kind = random_between(s, 0, 5);
		bool fits = true;
		for (int i = 0; i < 2; i++) {
			int side = i ? in->w : in->h;
			v.kernel[i] = kernel[k][i];
			v.stride[i] = chance(s, 0.6) ? 1 : random_between(s, 2, 3);
			v.padding[i] = chance(s, 0.5) ? v.kernel[i] / 2 : random_between(s, 0, 2);
			v.dilation[i] = chance(s, 0.8) ? 1 : 2;
			fits = fits && side + 2 * v.padding[i] > v.dilation[i] * (v.kernel[i] - 1);
		}
		if (kind == 3 && in->c % 2 == 0) {
			v.groups = 2;
			v.out += v.out % 2;
		}
		if (kind >= 4) { /* channel by channel, to as many or twice as many */
			v.groups = in->c;
			v.out = in->c * (2 * in->c <= widest ? kind - 3 : 1);
		}
		if (fits)
			return v;
	}
}

struct cop_conv_spec random_pool(struct cop_stream *s, const struct cop_node *in)
{
	struct cop_conv_spec v = {.out = 0};
	for (int i = 0; i < 2; i++)
		do {
			v.kernel[i] = random_between(s, 1, 4);
			v.stride[i] = random_between(s, 1, 3);
			v.padding[i] = random_between(s, 0, v.kernel[i] / 2);
		} while ((i ? in->w : in->h) + 2 * v.padding[i] < v.kernel[i]);
	return v;
}

/* What is being drawn. */
struct draft {
	struct cop_graph *g;
	struct cop_stream *s;
	int batch, fewest;
};

static int batch_norm(const struct draft *d, int x)
{
	const struct cop_node *in = &d->g->node[x];
	return d->batch * in->h * in->w >= d->fewest ? cop_graph_batch_norm(d->g, x, NULL) : x;
}

static int activation(const struct draft *d, int x)
{
	return chance(d->s, 0.5) ? cop_graph_relu(d->g, x) : cop_graph_relu6(d->g, x);
}

/* A convolution, mostly with batch norm, mostly with an activation; now and then two batch norms of one convolution. */
static int conv_piece(const struct draft *d, int x)
{
	struct cop_conv_spec v = random_conv(d->s, &d->g->node[x], 24);
	int y = cop_graph_conv(d->g, x, NULL, &v), z = y;
	if (chance(d->s, 0.7))
		z = batch_norm(d, y);
	if (z != y && chance(d->s, 0.15))
		z = cop_graph_add(d->g, z, batch_norm(d, y));
	return chance(d->s, 0.7) ? activation(d, z) : z;
}

/* A node of the same shape as x, other than x where there is one: the latest, or one drawn. */
static int partner(const struct draft *d, int x)
{
	const struct cop_node *a = &d->g->node[x];
	int found = x;
	for (int i = d->g->n - 1; i >= 0; i--) {
		const struct cop_node *b = &d->g->node[i];
		if (i == x || a->c != b->c || a->h != b->h || a->w != b->w)
			continue;
		found = i;
		if (chance(d->s, 0.6))
			break;
	}
	return found;
}

/* A residual block: two ways of the same shape, one of them x itself, through 1x1, or through a batch norm. */
static int block_piece(const struct draft *d, int x)
{
	const struct cop_conv_spec same = {.out = d->g->node[x].c, .kernel = {3, 3}, .padding = {1, 1}};
	const struct cop_conv_spec one = {.out = d->g->node[x].c, .kernel = {1, 1}};
	int y = activation(d, batch_norm(d, cop_graph_conv(d->g, x, NULL, &same)));
	y = batch_norm(d, cop_graph_conv(d->g, y, NULL, &same));
	int way = random_between(d->s, 0, 3), shortcut = x;
	if (way == 2)
		shortcut = batch_norm(d, cop_graph_conv(d->g, x, NULL, &one));
	if (way == 3)
		shortcut = batch_norm(d, x);
	int sum = cop_graph_add(d->g, chance(d->s, 0.5) ? y : shortcut, y == shortcut ? x : shortcut);
	if (chance(d->s, 0.3))
		sum = batch_norm(d, sum);
	return chance(d->s, 0.6) ? activation(d, sum) : sum;
}

static int pool_piece(const struct draft *d, int x)
{
	struct cop_conv_spec v = random_pool(d->s, &d->g->node[x]);
	int y = chance(d->s, 0.5) ? cop_graph_max_pool(d->g, x, &v) : cop_graph_avg_pool(d->g, x, &v);
	return chance(d->s, 0.4) ? activation(d, y) : y;
}

static int piece(const struct draft *d, int x)
{
	switch (random_between(d->s, 0, 11)) {
	case 0:
		return pool_piece(d, x);
	case 1:
		return activation(d, x);
	case 2:
		return batch_norm(d, batch_norm(d, x));
	case 3:
	case 4:
		return cop_graph_add(d->g, x, partner(d, x));
	case 5:
	case 6:
	case 7:
		return block_piece(d, x);
	default:
		return conv_piece(d, x);
	}
}

static bool has_reader(const struct cop_graph *g, int node)
{
	for (int k = node + 1; k < g->n; k++)
		for (int i = 0; i < g->node[k].ninputs; i++)
			if (g->node[k].input[i] == node)
				return true;
	return false;
}

/* Every loose end, its mean or itself flat, through a linear layer, and all of them added up. */
static int tie_ends(const struct draft *d, int classes)
{
	int sum = -1, until = d->g->n;
	for (int i = 1; i < until; i++) {
		if (has_reader(d->g, i))
			continue;
		bool flat = chance(d->s, 0.4) && d->g->node[i].c * d->g->node[i].h * d->g->node[i].w < 2000;
		int y = flat ? cop_graph_flatten(d->g, i) : cop_graph_global_avg_pool(d->g, i);
		y = cop_graph_linear(d->g, y, NULL, classes, chance(d->s, 0.5));
		sum = sum < 0 ? y : cop_graph_add(d->g, sum, y);
	}
	return sum;
}

int random_graph(struct cop_graph *g, struct cop_stream *s, int length, int batch, int fewest)
{
	static const int side[][2] = {{1, 1}, {1, 9}, {7, 5}, {8, 8}, {12, 12}, {6, 11}};
	const struct draft d = {g, s, batch, fewest};
	int k = random_between(s, 0, 5), classes = random_between(s, 2, 11);
	cop_graph_input(g, random_between(s, 1, 17), side[k][0], side[k][1]);
	int x = conv_piece(&d, 0);
	for (int i = 1; i < length; i++)
		x = piece(&d, chance(s, 0.75) ? x : random_between(s, 1, g->n - 1));
	tie_ends(&d, classes);
	return classes;
}
