/* Networks by name; see models.h. */
#include "nn/models.h"

#include "base/str.h"
#include "nn/models_priv.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { DEPTHS = 6 };

enum { KEY_HIDDEN = 1, KEY_DEPTH = 2, KEY_WIDTH = 4, KEY_DROPOUT = 8, KEY_LAYERS = 16 };

/* The keys that not every network knows. */
static const struct {
	unsigned bit;
	const char *key;
} keys[] = {
	{KEY_HIDDEN, "model.hidden"},   {KEY_DEPTH, "model.depth"},   {KEY_WIDTH, "model.width"},
	{KEY_DROPOUT, "model.dropout"}, {KEY_LAYERS, "model.layers"},
};
enum { KEYS = sizeof(keys) / sizeof(keys[0]) };

static const struct network {
	const char *name;
	void (*build)(struct cop_graph *g, const struct cop_model_config *m, int classes);
	unsigned keys;
	int depth[DEPTHS]; /* those that exist, then 0; the default is `own` */
	int own;
	int usual[4]; /* channels, height, width, classes */
} networks[] = {
	[COP_MODEL_LENET] = {"lenet", cop_build_lenet, KEY_HIDDEN, {0}, 0, {1, 28, 28, 10}},
	[COP_MODEL_CONV2] = {"conv2", cop_build_conv, 0, {0}, 0, {3, 32, 32, 10}},
	[COP_MODEL_CONV4] = {"conv4", cop_build_conv, 0, {0}, 0, {3, 32, 32, 10}},
	[COP_MODEL_CONV6] = {"conv6", cop_build_conv, 0, {0}, 0, {3, 32, 32, 10}},
	[COP_MODEL_RESNET] =
		{"resnet", cop_build_resnet, KEY_DEPTH | KEY_WIDTH, {20, 32, 44, 56, 110}, 20, {3, 32, 32, 10}},
	[COP_MODEL_VGG] = {"vgg", cop_build_vgg, KEY_DEPTH | KEY_WIDTH, {11, 13, 16, 19}, 16, {3, 32, 32, 10}},
	[COP_MODEL_MOBILENET_V2] =
		{"mobilenet_v2", cop_build_mobilenet_v2, KEY_WIDTH | KEY_DROPOUT, {0}, 0, {3, 64, 64, 1000}},
	[COP_MODEL_GRAPH] = {"graph", cop_build_layers, KEY_LAYERS, {0}, 0, {3, 32, 32, 10}},
};
enum { NETWORKS = sizeof(networks) / sizeof(networks[0]) };

static const struct network *network_of(int name)
{
	if (name < 0 || name >= NETWORKS)
		COP_BUG("no such network");
	return &networks[name];
}

const char *cop_model_name(int name)
{
	return network_of(name)->name;
}

const int *cop_model_usual(int name)
{
	return network_of(name)->usual;
}

/* The keys whose value is not the default. */
static unsigned keys_set(const struct cop_model_config *m)
{
	bool plain = m->hidden.n == 0 || (m->hidden.n == 2 && m->hidden.v[0] == 300 && m->hidden.v[1] == 100);
	unsigned set = plain ? 0 : KEY_HIDDEN;
	if (m->depth != 0)
		set |= KEY_DEPTH;
	if (m->width != 0 && m->width != 1)
		set |= KEY_WIDTH;
	if (m->dropout != 0)
		set |= KEY_DROPOUT;
	if (m->layers && strcmp(m->layers, "[]") != 0)
		set |= KEY_LAYERS;
	return set;
}

/* The first network's key that was given to another: says whose it is, and which keys this one has. */
static int refuse_key(const struct network *own, size_t key, struct cop_err *err)
{
	struct cop_str owners = {0}, known = {0};
	for (size_t i = 0; i < NETWORKS; i++)
		if (networks[i].keys & keys[key].bit)
			cop_str_addf(&owners, "%s%s", owners.len ? ", " : "", networks[i].name);
	for (size_t i = 0; i < KEYS; i++)
		if (own->keys & keys[i].bit)
			cop_str_addf(&known, "%s'%s'", known.len ? ", " : "", keys[i].key);
	int rc = cop_fail(err, COP_EINPUT, "'%s' is for the network%s %s; '%s' %s%s, so leave it out", keys[key].key,
			  strchr(owners.s, ',') ? "s" : "", owners.s, own->name,
			  known.len ? "has " : "has no keys of its own", known.len ? known.s : "");
	cop_str_release(&owners);
	cop_str_release(&known);
	return rc;
}

static int check_depth(const struct network *own, int64_t depth, struct cop_err *err)
{
	struct cop_str known = {0};
	int n = 0;
	for (; n < DEPTHS && own->depth[n]; n++)
		if (own->depth[n] == depth)
			break;
	if (n < DEPTHS && own->depth[n])
		n = -1;
	for (int i = 0; i < n; i++)
		cop_str_addf(&known, "%s%d", i == 0 ? "" : i == n - 1 ? " or " : ", ", own->depth[i]);
	int rc = n < 0 ? 0
		       : cop_fail(err, COP_EINPUT, "'model.depth' is %" PRId64 ", but must be %s for '%s'", depth,
				  known.s, own->name);
	cop_str_release(&known);
	return rc;
}

int cop_model_settle(struct cop_model_config *m, struct cop_err *err)
{
	const struct network *own = network_of(m->name);
	unsigned set = keys_set(m), strange = set & ~own->keys;
	for (size_t i = 0; i < KEYS; i++)
		if (strange & keys[i].bit)
			return refuse_key(own, i, err);
	if ((own->keys & KEY_LAYERS) && !(set & KEY_LAYERS))
		return cop_fail(err, COP_EINPUT, "'%s' needs 'model.layers', a list of its layers", own->name);
	if (m->width == 0)
		m->width = 1;
	if (m->depth == 0)
		m->depth = own->own;
	return own->own ? check_depth(own, m->depth, err) : 0;
}

int cop_model_build(struct cop_graph *g, const struct cop_model_config *m, int channels, int height, int width,
		    int classes, struct cop_err *err)
{
	struct cop_model_config settled = *m;
	int rc = cop_model_settle(&settled, err);
	if (rc)
		return rc;
	cop_graph_name(g, cop_graph_input(g, channels, height, width), "input");
	if (!g->error.code)
		network_of(m->name)->build(g, &settled, classes);
	rc = cop_graph_finish(g, classes, err);
	if (rc)
		cop_graph_release(g);
	return rc;
}

int cop_widen(int channels, double width)
{
	long long wide = llround(channels * width);
	return wide < 1 ? 1 : wide > 1000000 ? 1000000 : (int)wide;
}

int cop_conv_bn(struct cop_graph *g, int x, const char *name, int out, int kernel, int stride, int groups)
{
	char full[COP_NODE_NAME];
	struct cop_conv_spec s = {.out = out, .groups = groups};
	for (int i = 0; i < 2; i++) {
		s.kernel[i] = kernel;
		s.stride[i] = stride;
		s.padding[i] = (kernel - 1) / 2;
	}
	snprintf(full, sizeof(full), "%sconv", name);
	x = cop_graph_conv(g, x, full, &s);
	snprintf(full, sizeof(full), "%sbn", name);
	return cop_graph_batch_norm(g, x, full);
}
