/* The network 'graph': a list of layers in JSON, as docs/experiment.md describes it; see models.h. */
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "nn/models_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAYERS_MAX = 4096 };

enum {
	HAS_INPUT = 1,
	HAS_INPUTS = 2,
	HAS_OUT = 4,
	HAS_WINDOW = 8, /* kernel, stride, padding */
	HAS_CONV = 16,  /* dilation, groups */
	HAS_BIAS = 32,
	HAS_RATE = 64,
	HAS_MOMENTUM = 128 /* and epsilon */
};

/* Every key of a layer, and the layers that have it; 0: all. */
static const struct {
	const char *key;
	unsigned of;
} keys[] = {
	{"name", 0},
	{"op", 0},
	{"input", HAS_INPUT},
	{"inputs", HAS_INPUTS},
	{"out", HAS_OUT},
	{"kernel", HAS_WINDOW},
	{"stride", HAS_WINDOW},
	{"padding", HAS_WINDOW},
	{"dilation", HAS_CONV},
	{"groups", HAS_CONV},
	{"bias", HAS_BIAS},
	{"rate", HAS_RATE},
	{"momentum", HAS_MOMENTUM},
	{"epsilon", HAS_MOMENTUM},
};
enum { KEYS = sizeof(keys) / sizeof(keys[0]) };

static const unsigned keys_of[COP_OPS] = {
	[COP_OP_CONV] = HAS_INPUT | HAS_OUT | HAS_WINDOW | HAS_CONV | HAS_BIAS,
	[COP_OP_BATCH_NORM] = HAS_INPUT | HAS_MOMENTUM,
	[COP_OP_RELU] = HAS_INPUT,
	[COP_OP_RELU6] = HAS_INPUT,
	[COP_OP_ADD] = HAS_INPUTS,
	[COP_OP_MAX_POOL] = HAS_INPUT | HAS_WINDOW,
	[COP_OP_AVG_POOL] = HAS_INPUT | HAS_WINDOW,
	[COP_OP_GLOBAL_AVG_POOL] = HAS_INPUT,
	[COP_OP_FLATTEN] = HAS_INPUT,
	[COP_OP_DROPOUT] = HAS_INPUT | HAS_RATE,
	[COP_OP_LINEAR] = HAS_INPUT | HAS_OUT | HAS_BIAS,
};

/* One entry of the list. */
struct layer {
	struct cop_graph *g;
	const cJSON *v;
	int number; /* from 1: its place in the list, and its node */
	enum cop_op op;
	char name[COP_NODE_NAME]; /* its own, or operation and number */
	char shown[2 * COP_NODE_NAME];
	int classes;
};

static const cJSON *value(const struct layer *l, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(l->v, key);
}

static int refuse(const struct layer *l, const char *key, const char *wanted)
{
	return cop_graph_fail(l->g, "%s: '%s' %s", l->shown, key, wanted);
}

/* What was meant by `word`, as a question behind a message; "" where nothing is near. The caller frees. */
static char *guess(const char *word, const char *const *words, size_t n)
{
	const char *near = cop_str_nearest(word, words, n);
	return near ? cop_xasprintf(" (did you mean '%s'?)", near) : cop_xstrdup("");
}

static int read_name(struct layer *l)
{
	const cJSON *v = value(l, "name");
	if (!v)
		return 0;
	if (!cJSON_IsString(v) || strlen(v->valuestring) >= sizeof(l->name))
		return refuse(l, "name", "must be a string of 63 characters at most");
	snprintf(l->name, sizeof(l->name), "%s", v->valuestring);
	snprintf(l->shown, sizeof(l->shown), "layer %d of 'model.layers', '%s'", l->number, l->name);
	return 0;
}

static int read_op(struct layer *l)
{
	const char *words[COP_OPS];
	size_t n = 0;
	const cJSON *v = value(l, "op");
	if (!cJSON_IsString(v))
		return refuse(l, "op", v ? "must be a string" : "is missing");
	for (int op = 0; op < COP_OPS; op++) {
		if (op == COP_OP_INPUT)
			continue;
		if (strcmp(cop_op_name((enum cop_op)op), v->valuestring) == 0) {
			l->op = (enum cop_op)op;
			return 0;
		}
		words[n++] = cop_op_name((enum cop_op)op);
	}
	struct cop_str all = {0};
	for (size_t i = 0; i < n; i++)
		cop_str_addf(&all, "%s%s", i ? ", " : "", words[i]);
	char *meant = guess(v->valuestring, words, n);
	cop_graph_fail(l->g, "%s: 'op' is '%.40s', but must be one of %s%s", l->shown, v->valuestring, all.s, meant);
	free(meant);
	cop_str_release(&all);
	return -1;
}

/* Each key is one of this operation's, and there once. */
static int check_keys(const struct layer *l)
{
	const char *words[KEYS];
	size_t n = 0;
	for (size_t i = 0; i < KEYS; i++)
		if (!keys[i].of || (keys[i].of & keys_of[l->op]))
			words[n++] = keys[i].key;
	const cJSON *v;
	cJSON_ArrayForEach (v, l->v) {
		bool known = false;
		for (size_t i = 0; i < n; i++)
			known = known || strcmp(words[i], v->string) == 0;
		if (value(l, v->string) != v)
			return refuse(l, v->string, "is there twice");
		if (known)
			continue;
		char *meant = guess(v->string, words, n);
		cop_graph_fail(l->g, "%s: '%.40s' is no key of '%s'%s", l->shown, v->string, cop_op_name(l->op), meant);
		free(meant);
		return -1;
	}
	return 0;
}

static int whole(const struct layer *l, const char *key, const cJSON *v, int least, int *to)
{
	const double most = 1e9;
	char wanted[80];
	snprintf(wanted, sizeof(wanted), "must be a whole number, %d at least", least);
	if (!cJSON_IsNumber(v) || v->valuedouble != floor(v->valuedouble) || v->valuedouble < least ||
	    v->valuedouble > most)
		return refuse(l, key, wanted);
	*to = (int)v->valuedouble;
	return 0;
}

/* A number for height and width, or a list of the two; to[] stays what it is where the key is not there. */
static int read_pair(const struct layer *l, const char *key, int least, int to[2])
{
	const cJSON *v = value(l, key);
	if (!v)
		return 0;
	if (cJSON_IsArray(v) && cJSON_GetArraySize(v) != 2)
		return refuse(l, key, "must be a number, or a list of two: [height, width]");
	for (int i = 0; i < 2; i++)
		if (whole(l, key, cJSON_IsArray(v) ? cJSON_GetArrayItem(v, i) : v, least, &to[i]))
			return -1;
	return 0;
}

static int read_real(const struct layer *l, const char *key, double *to)
{
	const cJSON *v = value(l, key);
	if (v && !cJSON_IsNumber(v))
		return refuse(l, key, "must be a number");
	if (v)
		*to = v->valuedouble;
	return 0;
}

static int read_bias(const struct layer *l, bool *to)
{
	const cJSON *v = value(l, "bias");
	if (v && !cJSON_IsBool(v))
		return refuse(l, "bias", "must be true or false");
	*to = !v || cJSON_IsTrue(v);
	return 0;
}

static int read_out(const struct layer *l, int *to)
{
	const cJSON *v = value(l, "out");
	if (!v)
		return refuse(l, "out", "is missing");
	if (cJSON_IsString(v) && strcmp(v->valuestring, "classes") == 0) {
		*to = l->classes;
		return 0;
	}
	if (cJSON_IsString(v))
		return refuse(l, "out", "must be a whole number or \"classes\"");
	return whole(l, "out", v, 1, to);
}

/* Everything that a window can have; a pool moves by its own size where nothing else is said. */
static int read_window(const struct layer *l, struct cop_conv_spec *s)
{
	bool conv = l->op == COP_OP_CONV;
	if (!value(l, "kernel"))
		return refuse(l, "kernel", "is missing");
	if (read_pair(l, "kernel", 1, s->kernel))
		return -1;
	for (int i = 0; i < 2; i++)
		s->stride[i] = conv ? 1 : s->kernel[i];
	if (read_pair(l, "stride", 1, s->stride) || read_pair(l, "padding", 0, s->padding))
		return -1;
	if (!conv)
		return 0;
	const cJSON *groups = value(l, "groups");
	if (groups && whole(l, "groups", groups, 1, &s->groups))
		return -1;
	return read_pair(l, "dilation", 1, s->dilation) || read_out(l, &s->out) || read_bias(l, &s->bias) ? -1 : 0;
}

/* The node of that name among those before; -1 after an error, where `wanted` says what the key must be. */
static int node_called(const struct layer *l, const char *key, const cJSON *v, const char *wanted)
{
	const struct cop_graph *g = l->g;
	if (!cJSON_IsString(v))
		return refuse(l, key, wanted);
	const char **words = cop_xcalloc((size_t)g->n, sizeof(*words));
	int found = -1;
	for (int i = 0; i < g->n; i++) {
		words[i] = g->node[i].name;
		if (strcmp(words[i], v->valuestring) == 0)
			found = i;
	}
	if (found < 0) {
		char *meant = guess(v->valuestring, words, (size_t)g->n);
		cop_graph_fail(l->g, "%s: '%s' is '%.63s', and no layer before it has that name%s", l->shown, key,
			       v->valuestring, meant);
		free(meant);
	}
	free(words);
	return found;
}

static int read_input(const struct layer *l)
{
	const cJSON *v = value(l, "input");
	return v ? node_called(l, "input", v, "must be a layer's name") : l->g->n - 1;
}

static int add_sum(const struct layer *l)
{
	static const char wanted[] = "must be a list of two layers' names";
	const cJSON *v = value(l, "inputs");
	if (!cJSON_IsArray(v) || cJSON_GetArraySize(v) != 2)
		return refuse(l, "inputs", v ? wanted : "is missing");
	int a = node_called(l, "inputs", cJSON_GetArrayItem(v, 0), wanted);
	int b = a < 0 ? -1 : node_called(l, "inputs", cJSON_GetArrayItem(v, 1), wanted);
	return b < 0 ? -1 : cop_graph_add(l->g, a, b);
}

static int add_windowed(const struct layer *l, int x)
{
	struct cop_conv_spec s = {0};
	if (read_window(l, &s))
		return -1;
	if (l->op == COP_OP_CONV)
		return cop_graph_conv(l->g, x, l->name, &s);
	return l->op == COP_OP_MAX_POOL ? cop_graph_max_pool(l->g, x, &s) : cop_graph_avg_pool(l->g, x, &s);
}

static int add_linear(const struct layer *l, int x)
{
	int out = 0;
	bool bias = true;
	if (read_out(l, &out) || read_bias(l, &bias))
		return -1;
	return cop_graph_linear(l->g, x, l->name, out, bias);
}

static int add_batch_norm(const struct layer *l, int x)
{
	double momentum = 0.1, epsilon = 1e-5;
	if (read_real(l, "momentum", &momentum) || read_real(l, "epsilon", &epsilon))
		return -1;
	return cop_graph_batch_norm_with(l->g, x, l->name, momentum, epsilon);
}

static int add_dropout(const struct layer *l, int x)
{
	double rate = 0.5;
	return read_real(l, "rate", &rate) ? -1 : cop_graph_dropout(l->g, x, rate);
}

static int add_node(const struct layer *l)
{
	if (l->op == COP_OP_ADD)
		return add_sum(l);
	int x = read_input(l);
	if (x < 0)
		return -1;
	switch (l->op) {
	case COP_OP_CONV:
	case COP_OP_MAX_POOL:
	case COP_OP_AVG_POOL:
		return add_windowed(l, x);
	case COP_OP_BATCH_NORM:
		return add_batch_norm(l, x);
	case COP_OP_RELU:
		return cop_graph_relu(l->g, x);
	case COP_OP_RELU6:
		return cop_graph_relu6(l->g, x);
	case COP_OP_GLOBAL_AVG_POOL:
		return cop_graph_global_avg_pool(l->g, x);
	case COP_OP_FLATTEN:
		return cop_graph_flatten(l->g, x);
	case COP_OP_DROPOUT:
		return add_dropout(l, x);
	case COP_OP_LINEAR:
		return add_linear(l, x);
	default:
		COP_BUG("a layer of no kind");
	}
}

static int add_layer(struct cop_graph *g, const cJSON *v, int classes)
{
	struct layer l = {.g = g, .v = v, .number = g->n, .classes = classes};
	snprintf(l.shown, sizeof(l.shown), "layer %d of 'model.layers'", l.number);
	if (!cJSON_IsObject(v))
		return cop_graph_fail(g, "%s must be an object, like {\"op\": \"relu\"}", l.shown);
	if (read_name(&l) || read_op(&l) || check_keys(&l))
		return -1;
	if (!value(&l, "name"))
		snprintf(l.name, sizeof(l.name), "%s_%d", cop_op_name(l.op), l.number);
	int node = add_node(&l);
	if (node >= 0)
		cop_graph_name(g, node, l.name);
	return g->error.code ? -1 : 0;
}

void cop_build_layers(struct cop_graph *g, const struct cop_model_config *m, int classes)
{
	cJSON *list = NULL;
	struct cop_err err;
	int n = 0;
	if (cop_json_parse(m->layers, "model.layers", &list, &err))
		cop_graph_fail(g, "%s", err.msg);
	else if (!cJSON_IsArray(list))
		cop_graph_fail(g, "'model.layers' must be a list of layers");
	else if ((n = cJSON_GetArraySize(list)) > LAYERS_MAX)
		cop_graph_fail(g, "'model.layers' holds %d layers, but may hold %d at most", n, LAYERS_MAX);
	const cJSON *v;
	if (!g->error.code)
		cJSON_ArrayForEach (v, list)
			if (add_layer(g, v, classes))
				break;
	cJSON_Delete(list);
}
