/* Networks that are chains: lenet, conv2/4/6 and vgg; see models.h. */
#include "nn/models_priv.h"

#include <stdio.h>

static const struct cop_conv_spec halve = {.kernel = {2, 2}, .stride = {2, 2}};

/* Hidden linear layers with ReLU, then one for the classes: fc1, fc2, ... */
static void add_linears(struct cop_graph *g, int x, const int64_t *hidden, size_t n, int classes)
{
	char name[COP_NODE_NAME];
	const struct cop_node *d = x < 0 ? NULL : &g->node[x];
	if (d && (d->h != 1 || d->w != 1))
		x = cop_graph_flatten(g, x);
	for (size_t i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "fc%zu", i + 1);
		x = cop_graph_relu(g, cop_graph_linear(g, x, name, (int)hidden[i], true));
	}
	snprintf(name, sizeof(name), "fc%zu", n + 1);
	cop_graph_linear(g, x, name, classes, true);
}

void cop_build_lenet(struct cop_graph *g, const struct cop_model_config *m, int classes)
{
	add_linears(g, 0, m->hidden.v, m->hidden.n, classes);
}

/* Each pool halves the image, so a side of 2^pools gives one pixel at the end. */
static int check_side(struct cop_graph *g, const char *name, int pools)
{
	int least = 1 << pools, h = g->node[0].h, w = g->node[0].w;
	if (h >= least && w >= least)
		return 0;
	return cop_graph_fail(g, "'%s' halves the image %d times: it needs %d x %d pixels at least, not %d x %d", name,
			      pools, least, least, h, w);
}

void cop_build_conv(struct cop_graph *g, const struct cop_model_config *m, int classes)
{
	static const int64_t hidden[] = {256, 256};
	int pairs = m->name == COP_MODEL_CONV2 ? 1 : m->name == COP_MODEL_CONV4 ? 2 : 3, x = 0;
	if (check_side(g, cop_model_name(m->name), pairs))
		return;
	for (int i = 0; i < 2 * pairs; i++) {
		char name[COP_NODE_NAME];
		snprintf(name, sizeof(name), "conv%d", i + 1);
		struct cop_conv_spec s = {.out = 64 << i / 2, .kernel = {3, 3}, .padding = {1, 1}, .bias = true};
		x = cop_graph_relu(g, cop_graph_conv(g, x, name, &s));
		if (i % 2)
			x = cop_graph_max_pool(g, x, &halve);
	}
	add_linears(g, x, hidden, 2, classes);
}

/* How many convolutions each of the five stages has. */
static const int *vgg_stages(int64_t depth)
{
	static const int stages[][6] = {
		{11, 1, 1, 2, 2, 2}, {13, 2, 2, 2, 2, 2}, {16, 2, 2, 3, 3, 3}, {19, 2, 2, 4, 4, 4}};
	for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++)
		if (stages[i][0] == depth)
			return stages[i] + 1;
	COP_BUG("no such vgg");
}

/* In place of the fifth pool, and of the two hidden linear layers that ImageNet's VGG has, the mean of each channel. */
void cop_build_vgg(struct cop_graph *g, const struct cop_model_config *m, int classes)
{
	static const int channels[] = {64, 128, 256, 512, 512};
	const int *stage = vgg_stages(m->depth);
	char name[COP_NODE_NAME];
	int x = 0;
	if (check_side(g, "vgg", 4))
		return;
	for (int i = 0; i < 5; i++) {
		for (int k = 0; k < stage[i]; k++) {
			snprintf(name, sizeof(name), "stage%d_%d_", i + 1, k + 1);
			x = cop_graph_relu(g, cop_conv_bn(g, x, name, cop_widen(channels[i], m->width), 3, 1, 0));
		}
		x = i < 4 ? cop_graph_max_pool(g, x, &halve) : cop_graph_global_avg_pool(g, x);
	}
	cop_graph_linear(g, x, "fc", classes, true);
}
