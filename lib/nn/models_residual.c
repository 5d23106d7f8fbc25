/* Networks with shortcuts: resnet and mobilenet_v2; see models.h. */
#include "nn/models_priv.h"

#include <stdio.h>

/* relu(bn(conv(relu(bn(conv(x))))) + x), where x goes through 1x1 convolution and batch norm if shapes change. */
static int basic_block(struct cop_graph *g, int x, int stage, int block, int out, int stride)
{
	char part[COP_NODE_NAME];
	if (x < 0)
		return -1;
	int in = g->node[x].c;
	snprintf(part, sizeof(part), "stage%d_block%d_1_", stage, block);
	int y = cop_graph_relu(g, cop_conv_bn(g, x, part, out, 3, stride, 0));
	snprintf(part, sizeof(part), "stage%d_block%d_2_", stage, block);
	y = cop_conv_bn(g, y, part, out, 3, 1, 0);
	snprintf(part, sizeof(part), "stage%d_block%d_shortcut_", stage, block);
	if (stride != 1 || in != out)
		x = cop_conv_bn(g, x, part, out, 1, stride, 0);
	return cop_graph_relu(g, cop_graph_add(g, y, x));
}

void cop_build_resnet(struct cop_graph *g, const struct cop_model_config *m, int classes)
{
	int blocks = (int)(m->depth - 2) / 6;
	int x = cop_graph_relu(g, cop_conv_bn(g, 0, "stem_", cop_widen(16, m->width), 3, 1, 0));
	for (int stage = 0; stage < 3; stage++)
		for (int k = 0; k < blocks; k++)
			x = basic_block(g, x, stage + 1, k + 1, cop_widen(16 << stage, m->width),
					stage > 0 && k == 0 ? 2 : 1);
	cop_graph_linear(g, cop_graph_global_avg_pool(g, x), "fc", classes, true);
}

/* The multiple of 8 nearest to channels * width, at least 8, and never below nine tenths of it. */
static int eights(int channels, double width)
{
	double wanted = channels * width;
	int near = (int)(wanted + 4) / 8 * 8;
	if (near < 8)
		near = 8;
	return near < 0.9 * wanted ? near + 8 : near;
}

/* Expand by 1x1 to `factor` times the channels, 3x3 channel by channel, project by 1x1; a shortcut where shapes stay.
 */
static int inverted_residual(struct cop_graph *g, int x, int number, int factor, int out, int stride)
{
	char part[COP_NODE_NAME];
	if (x < 0)
		return -1;
	int in = g->node[x].c, y = x;
	snprintf(part, sizeof(part), "block%d_expand_", number);
	if (factor != 1)
		y = cop_graph_relu6(g, cop_conv_bn(g, y, part, in * factor, 1, 1, 0));
	snprintf(part, sizeof(part), "block%d_depthwise_", number);
	y = cop_graph_relu6(g, cop_conv_bn(g, y, part, in * factor, 3, stride, in * factor));
	snprintf(part, sizeof(part), "block%d_project_", number);
	y = cop_conv_bn(g, y, part, out, 1, 1, 0);
	return stride == 1 && in == out ? cop_graph_add(g, y, x) : y;
}

void cop_build_mobilenet_v2(struct cop_graph *g, const struct cop_model_config *m, int classes)
{
	/* table 2 of the paper */
	static const struct {
		int factor, channels, repeats, stride;
	} rows[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
		    {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
	int number = 0, x = cop_graph_relu6(g, cop_conv_bn(g, 0, "stem_", eights(32, m->width), 3, 2, 0));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (int k = 0; k < rows[i].repeats; k++)
			x = inverted_residual(g, x, ++number, rows[i].factor, eights(rows[i].channels, m->width),
					      k == 0 ? rows[i].stride : 1);
	/* a narrow network keeps the last, wide layer */
	x = cop_graph_relu6(g, cop_conv_bn(g, x, "head_", eights(1280, m->width > 1 ? m->width : 1), 1, 1, 0));
	x = cop_graph_global_avg_pool(g, x);
	if (m->dropout > 0)
		x = cop_graph_dropout(g, x, m->dropout);
	cop_graph_linear(g, x, "fc", classes, true);
}
