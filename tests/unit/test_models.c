/* Networks by name: parameters, statistics and multiply-accumulates against numbers that are known, and errors. */
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "nn/models.h"
#include "sweep/experiment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int64_t hidden[] = {300, 100};

/* What is known of networks, by the papers, by other builds of them, or by hand from the layers' sizes. */
static const struct known {
	struct cop_model_config model;
	int c, h, w, classes;
	size_t params, buffers, prunable;
	double macs;
} known[] = {
	/* Frankle & Carbin: 266K weights; 784*300 + 300*100 + 100*10 */
	{{.name = COP_MODEL_LENET, .hidden = {hidden, 2}}, 1, 28, 28, 10, 266610, 0, 266200, 266200},
	{{.name = COP_MODEL_LENET}, 3, 32, 32, 10, 30730, 0, 30720, 30720},
	/* Frankle & Carbin: 4.3M and 2.4M; for Conv-6 their table has 1.7M in all and 1.1M in the convolutions, and the
	   layers that it lists make 2.26M and 1.14M */
	{{.name = COP_MODEL_CONV2}, 3, 32, 32, 10, 4301642, 0, 4300992, 43780608},
	{{.name = COP_MODEL_CONV4}, 3, 32, 32, 10, 2425930, 0, 2425024, 98306560},
	{{.name = COP_MODEL_CONV6}, 3, 32, 32, 10, 2262602, 0, 2261184, 153881088},
	/* He et al.: 0.27M, 0.85M, 1.7M; 2,752 more for the projections; 40.55M multiply-accumulates and 0.26M more */
	{{.name = COP_MODEL_RESNET}, 3, 32, 32, 10, 272474, 1568, 270896, 40813184},
	{{.name = COP_MODEL_RESNET, .depth = 56}, 3, 32, 32, 10, 855770, 4256, 851504, 125747840},
	{{.name = COP_MODEL_RESNET, .depth = 110}, 3, 32, 32, 10, 1730714, 8288, 1722416, 253149824},
	/* the convolutions of torchvision's vgg11, vgg16 and vgg19 without their biases, 512*10 + 10, and batch norm */
	{{.name = COP_MODEL_VGG, .depth = 11}, 3, 32, 32, 10, 9228362, 5504, 9222848, 152769536},
	{{.name = COP_MODEL_VGG}, 3, 32, 32, 10, 14724042, 8448, 14715584, 313201664},
	{{.name = COP_MODEL_VGG, .depth = 19}, 3, 32, 32, 10, 20035018, 11008, 20024000, 398136320},
	/* 3,538,984 with the running statistics; the paper: 300M, at widths 0.5 and 1.4 97M and 585M */
	{{.name = COP_MODEL_MOBILENET_V2}, 3, 224, 224, 1000, 3504872, 34112, 3469760, 300774272},
	{{.name = COP_MODEL_MOBILENET_V2}, 3, 64, 64, 1000, 3504872, 34112, 3469760, 25728512},
	{{.name = COP_MODEL_MOBILENET_V2, .width = 0.5}, 3, 224, 224, 1000, 1968680, 18544, 1949136, 97131840},
	{{.name = COP_MODEL_MOBILENET_V2, .width = 1.4}, 3, 224, 224, 1000, 6108776, 47936, 6059840, 582195824},
};

static void test_counts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		const struct known *k = &known[i];
		struct cop_graph g = {0};
		struct cop_err err = {0};
		if (cop_model_build(&g, &k->model, k->c, k->h, k->w, k->classes, &err))
			fail_msg("network %zu: %s", i, err.msg);
		print_message("%s, depth %d, width %g\n", cop_model_name(k->model.name), (int)k->model.depth,
			      k->model.width);
		assert_int_equal(cop_layout_count(&g.params, false), k->params);
		assert_int_equal(cop_layout_count(&g.buffers, false), k->buffers);
		assert_int_equal(cop_layout_count(&g.params, true), k->prunable);
		assert_true(cop_graph_macs(&g) == k->macs);
		size_t params = 0, buffers = 0;
		for (int n = 0; n < g.n; n++) {
			params += cop_node_params(&g, n);
			buffers += cop_node_buffers(&g, n);
		}
		assert_int_equal(params, k->params);
		assert_int_equal(buffers, k->buffers);
		cop_graph_release(&g);
	}
}

/* Names, order and shapes of the tensors, as files have them. */
static void has_tensors(int name, int c, int side, const char *const *wanted, size_t n)
{
	struct cop_graph g = {0};
	struct cop_err err = {0};
	const struct cop_model_config m = {.name = name, .hidden = {hidden, name == COP_MODEL_LENET ? 2 : 0}};
	assert_int_equal(cop_model_build(&g, &m, c, side, side, 10, &err), 0);
	assert_string_equal(g.node[0].name, "input");
	for (size_t i = 0; i < n; i++) {
		char text[200], shape[80];
		const struct cop_tensor *t = &g.params.tensor[i];
		snprintf(text, sizeof(text), "%s %s%s", t->name, cop_shape_text(t, shape, sizeof(shape)),
			 t->prunable ? " *" : "");
		assert_string_equal(text, wanted[i]);
	}
	cop_graph_release(&g);
}

static void test_tensors(void **state)
{
	(void)state;
	const char *const lenet[] = {"fc1/weight 300x784 *", "fc1/bias 300",        "fc2/weight 100x300 *",
				     "fc2/bias 100",         "fc3/weight 10x100 *", "fc3/bias 10"};
	const char *const conv2[] = {
		"conv1/weight 64x3x3x3 *", "conv1/bias 64", "conv2/weight 64x64x3x3 *", "conv2/bias 64",
		"fc1/weight 256x16384 *",  "fc1/bias 256",  "fc2/weight 256x256 *",     "fc2/bias 256",
		"fc3/weight 10x256 *",     "fc3/bias 10"};
	const char *const resnet[] = {"stem_conv/weight 16x3x3x3 *", "stem_bn/weight 16", "stem_bn/bias 16",
				      "stage1_block1_1_conv/weight 16x16x3x3 *"};
	const char *const mobilenet[] = {"stem_conv/weight 32x3x3x3 *", "stem_bn/weight 32", "stem_bn/bias 32",
					 "block1_depthwise_conv/weight 32x1x3x3 *"};
	has_tensors(COP_MODEL_LENET, 1, 28, lenet, 6);
	has_tensors(COP_MODEL_CONV2, 3, 32, conv2, 10);
	has_tensors(COP_MODEL_RESNET, 3, 32, resnet, 4);
	has_tensors(COP_MODEL_MOBILENET_V2, 3, 64, mobilenet, 4);
}

/* Every network by its usual images, and a word for each that the configuration takes too. */
static void test_names(void **state)
{
	(void)state;
	char layers[] = "[{\"op\": \"flatten\"}, {\"op\": \"linear\", \"out\": \"classes\"}]";
	const char *choice = COP_MODEL_CHOICES;
	for (int name = 0; *choice; name++) {
		size_t n = strcspn(choice, "|");
		assert_int_equal(strlen(cop_model_name(name)), n);
		assert_memory_equal(cop_model_name(name), choice, n);
		choice += n + (choice[n] == '|');
		struct cop_graph g = {0};
		struct cop_err err = {0};
		const struct cop_model_config m = {.name = name, .layers = name == COP_MODEL_GRAPH ? layers : NULL};
		const int *u = cop_model_usual(name);
		assert_int_equal(cop_model_build(&g, &m, u[0], u[1], u[2], u[3], &err), 0);
		cop_graph_release(&g);
	}
}

static void refused(const struct cop_model_config *m, int side, int classes, const char *wanted)
{
	struct cop_graph g = {0};
	struct cop_err err = {0};
	assert_int_equal(cop_model_build(&g, m, 3, side, side, classes, &err), COP_EINPUT);
	if (!strstr(err.msg, wanted))
		fail_msg("'%s' lacks '%s'", err.msg, wanted);
	assert_null(g.node);
}

static void test_errors(void **state)
{
	(void)state;
	static int64_t wide[] = {1000000, 1000000};
	const struct {
		struct cop_model_config m;
		int side, classes;
		const char *wanted;
	} cases[] = {
		{{.name = COP_MODEL_RESNET, .depth = 21},
		 32,
		 10,
		 "'model.depth' is 21, but must be 20, 32, 44, 56 or 110 for 'resnet'"},
		{{.name = COP_MODEL_VGG, .depth = 20}, 32, 10, "must be 11, 13, 16 or 19 for 'vgg'"},
		{{.name = COP_MODEL_LENET, .depth = 20},
		 32,
		 10,
		 "'model.depth' is for the networks resnet, vgg; 'lenet' has 'model.hidden', so leave it out"},
		{{.name = COP_MODEL_RESNET, .hidden = {wide, 1}},
		 32,
		 10,
		 "'model.hidden' is for the network lenet; 'resnet' has 'model.depth', 'model.width', so leave"},
		{{.name = COP_MODEL_CONV4, .width = 2}, 32, 10, "'conv4' has no keys of its own"},
		{{.name = COP_MODEL_VGG, .dropout = 0.5}, 32, 10, "'model.dropout' is for the network mobilenet_v2"},
		{{.name = COP_MODEL_VGG}, 15, 10, "'vgg' halves the image 4 times: it needs 16 x 16 pixels at least"},
		{{.name = COP_MODEL_CONV6}, 7, 10, "'conv6' halves the image 3 times: it needs 8 x 8 pixels"},
		{{.name = COP_MODEL_LENET, .hidden = {wide, 2}}, 8, 10, "'fc2' cannot have 1000000 inputs"},
		{{.name = COP_MODEL_RESNET}, 32, 1, "two classes at least, not 1"},
		{{.name = COP_MODEL_RESNET}, 0, 10, "an image of 3 x 0 x 0 is no input"},
		{{.name = COP_MODEL_RESNET}, 20000, 10, "an image of 3 x 20000 x 20000 is no input"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		refused(&cases[i].m, cases[i].side, cases[i].classes, cases[i].wanted);
}

/* The network of a list of layers. */
static int build_layers(struct cop_graph *g, const char *layers, struct cop_err *err)
{
	char *text = cop_xstrdup(layers);
	const struct cop_model_config m = {.name = COP_MODEL_GRAPH, .layers = text};
	*g = (struct cop_graph){0};
	*err = (struct cop_err){0};
	int rc = cop_model_build(g, &m, 3, 12, 16, 10, err);
	free(text);
	return rc;
}

#define LAST "{\"op\": \"linear\", \"out\": \"classes\"}]"

static void test_layers(void **state)
{
	(void)state;
	struct cop_graph g;
	struct cop_err err;
	const char *text = "[{\"op\": \"conv\", \"name\": \"c1\", \"out\": 6, \"kernel\": [3, 1], \"stride\": [1, 2], "
			   "\"bias\": false,"
			   "  \"padding\": [1, 0]},"
			   " {\"op\": \"batch_norm\", \"name\": \"b1\", \"momentum\": 0.2, \"epsilon\": 0.001},"
			   " {\"op\": \"relu6\"},"
			   " {\"op\": \"conv\", \"name\": \"c2\", \"out\": 6, \"kernel\": 3, \"padding\": 2, "
			   "\"dilation\": 2, \"groups\": 3},"
			   " {\"op\": \"add\", \"name\": \"sum\", \"inputs\": [\"c2\", \"b1\"]},"
			   " {\"op\": \"max_pool\", \"kernel\": 2},"
			   " {\"op\": \"avg_pool\", \"kernel\": 3, \"stride\": 1, \"padding\": 1},"
			   " {\"op\": \"global_avg_pool\", \"name\": \"mean\"},"
			   " {\"op\": \"flatten\"}, {\"op\": \"dropout\"}, {\"op\": \"dropout\", \"rate\": 0.25}, "
			   "{\"op\": \"relu\"}," LAST;
	if (build_layers(&g, text, &err))
		fail_msg("%s", err.msg);
	const struct {
		const char *name;
		int c, h, w, input;
	} wanted[] = {{"input", 3, 12, 16, 0},    {"c1", 6, 12, 8, 0},        {"b1", 6, 12, 8, 1},
		      {"relu6_3", 6, 12, 8, 2},   {"c2", 6, 12, 8, 3},        {"sum", 6, 12, 8, 4},
		      {"max_pool_6", 6, 6, 4, 5}, {"avg_pool_7", 6, 6, 4, 6}, {"mean", 6, 1, 1, 7},
		      {"flatten_9", 6, 1, 1, 8},  {"dropout_10", 6, 1, 1, 9}, {"dropout_11", 6, 1, 1, 10},
		      {"relu_12", 6, 1, 1, 11},   {"linear_13", 10, 1, 1, 12}};
	assert_int_equal(g.n, sizeof(wanted) / sizeof(wanted[0]));
	for (int i = 0; i < g.n; i++) {
		const struct cop_node *d = &g.node[i];
		assert_string_equal(d->name, wanted[i].name);
		assert_true(d->c == wanted[i].c && d->h == wanted[i].h && d->w == wanted[i].w);
		assert_int_equal(d->input[0], wanted[i].input);
	}
	assert_int_equal(g.node[5].input[1], 2);
	assert_true(g.node[2].momentum == 0.2 && g.node[2].epsilon == 0.001);
	assert_true(g.node[10].rate == 0.5 && g.node[11].rate == 0.25);
	assert_true(!g.node[1].bias && g.node[4].bias && g.node[13].bias);
	assert_int_equal(g.node[4].conv.groups, 3);
	assert_int_equal(cop_node_params(&g, 4), 6 * 2 * 9 + 6);
	cop_graph_release(&g);
}

static void test_layers_errors(void **state)
{
	(void)state;
	const char *const cases[][2] = {
		{"[]", "'graph' needs 'model.layers', a list of its layers"},
		{"3", "'model.layers' must be a list of layers"},
		{"{\"op\":\"relu\"}", "'model.layers' must be a list of layers"},
		{"[", "'model.layers' line 1: the JSON ends too early"},
		{"[3]", "layer 1 of 'model.layers' must be an object"},
		{"[{}]", "layer 1 of 'model.layers': 'op' is missing"},
		{"[{\"op\": 3}]", "layer 1 of 'model.layers': 'op' must be a string"},
		{"[{\"op\": \"input\"}]", "'op' is 'input', but must be one of conv, batch_norm, relu"},
		{"[{\"name\": \"c1\", \"op\": \"cnov\"}]",
		 "layer 1 of 'model.layers', 'c1': 'op' is 'cnov', but must be one of conv, batch_norm, relu, relu6, "
		 "add, "
		 "max_pool, avg_pool, global_avg_pool, flatten, dropout, linear (did you mean 'conv'?)"},
		{"[{\"name\": 3, \"op\": \"relu\"}]", "'name' must be a string"},
		{"[{\"name\": \"a/b\", \"op\": \"relu\"}," LAST, "'a/b' is no name for a layer"},
		{"[{\"name\": \"input\", \"op\": \"relu\"}," LAST, "two layers are called 'input'"},
		{"[{\"name\": \"relu_2\", \"op\": \"relu\"}, {\"op\": \"relu\"}," LAST,
		 "two layers are called 'relu_2'"},
		{"[{\"op\": \"conv\", \"kernal\": 3}]",
		 "layer 1 of 'model.layers': 'kernal' is no key of 'conv' (did you mean 'kernel'?)"},
		{"[{\"op\": \"relu\", \"kernel\": 3}]", "'kernel' is no key of 'relu'"},
		{"[{\"op\": \"relu\", \"inputs\": [\"a\"]}]", "'inputs' is no key of 'relu' (did you mean 'input'?)"},
		{"[{\"op\": \"max_pool\", \"dilation\": 2, \"kernel\": 2}]", "'dilation' is no key of 'max_pool'"},
		{"[{\"op\": \"relu\", \"op\": \"conv\"}]", "'op' is there twice"},
		{"[{\"op\": \"conv\", \"out\": 3, \"kernel\": 3, \"out\": 4}]", "'out' is there twice"},
		{"[{\"op\": \"conv\", \"out\": 3}]", "'kernel' is missing"},
		{"[{\"op\": \"conv\", \"kernel\": 3}]", "'out' is missing"},
		{"[{\"op\": \"conv\", \"out\": 3, \"kernel\": 0}]", "'kernel' must be a whole number, 1 at least"},
		{"[{\"op\": \"conv\", \"out\": 3, \"kernel\": 2.5}]", "'kernel' must be a whole number"},
		{"[{\"op\": \"conv\", \"out\": 3, \"kernel\": 1e10}]", "'kernel' must be a whole number"},
		{"[{\"op\": \"conv\", \"out\": 3, \"kernel\": 1e999}]", "'kernel' must be a whole number"},
		{"[{\"op\": \"conv\", \"out\": 3, \"kernel\": \"3\"}]", "'kernel' must be a whole number"},
		{"[{\"op\": \"conv\", \"out\": 3, \"kernel\": [3]}]", "a list of two: [height, width]"},
		{"[{\"op\": \"conv\", \"out\": 3, \"kernel\": [3, \"1\"]}]", "'kernel' must be a whole number"},
		{"[{\"op\": \"conv\", \"out\": 3, \"kernel\": 5000}]", "'conv_1': kernel 5000, stride 1"},
		{"[{\"op\": \"conv\", \"out\": 3, \"kernel\": 3, \"stride\": 0}]",
		 "'stride' must be a whole number, 1"},
		{"[{\"op\": \"conv\", \"out\": 3, \"kernel\": 3, \"padding\": -1}]",
		 "'padding' must be a whole number, 0"},
		{"[{\"op\": \"conv\", \"out\": 3, \"kernel\": 3, \"dilation\": 0}]",
		 "'dilation' must be a whole number"},
		{"[{\"op\": \"conv\", \"out\": 3, \"kernel\": 3, \"groups\": 0}]",
		 "'groups' must be a whole number, 1"},
		{"[{\"op\": \"conv\", \"out\": 4, \"kernel\": 3, \"groups\": 2}]",
		 "'conv_1': 3 channels to 4 cannot be cut into 2 groups"},
		{"[{\"op\": \"conv\", \"out\": 3, \"kernel\": 3, \"bias\": 1}]", "'bias' must be true or false"},
		{"[{\"op\": \"conv\", \"out\": 3, \"kernel\": 13}]", "a window of 13 does not fit into 12 pixels"},
		{"[{\"op\": \"linear\", \"out\": \"many\"}]", "'out' must be a whole number or \"classes\""},
		{"[{\"op\": \"linear\", \"out\": 10}]", "'linear_1' reads 3x12x16: flatten it first"},
		{"[{\"op\": \"flatten\"}, {\"op\": \"linear\", \"out\": 9}]",
		 "gives 9x1x1, not one number for each of 10"},
		{"[{\"op\": \"flatten\", \"input\": 3}]", "'input' must be a layer's name"},
		{"[{\"op\": \"relu\", \"name\": \"conv_a\"}, {\"op\": \"flatten\", \"input\": \"cnv_a\"}]",
		 "layer 2 of 'model.layers': 'input' is 'cnv_a', and no layer before it has that name (did you mean "
		 "'conv_a'?)"},
		{"[{\"op\": \"add\"}]", "'inputs' is missing"},
		{"[{\"op\": \"add\", \"inputs\": \"input\"}]", "'inputs' must be a list of two layers' names"},
		{"[{\"op\": \"add\", \"inputs\": [\"input\"]}]", "'inputs' must be a list of two layers' names"},
		{"[{\"op\": \"add\", \"inputs\": [\"input\", 3]}]", "'inputs' must be a list of two layers' names"},
		{"[{\"op\": \"add\", \"inputs\": [\"input\", \"later\"]}]", "'inputs' is 'later', and no layer before"},
		{"[{\"op\": \"add\", \"input\": \"input\"}]", "'input' is no key of 'add' (did you mean 'inputs'?)"},
		{"[{\"op\": \"dropout\", \"rate\": \"half\"}]", "'rate' must be a number"},
		{"[{\"op\": \"dropout\", \"rate\": 1}]", "a rate of 1 is out of range"},
		{"[{\"op\": \"batch_norm\", \"momentum\": \"x\"}]", "'momentum' must be a number"},
		{"[{\"op\": \"batch_norm\", \"epsilon\": 0}]", "epsilon 0 is out of range"},
		{"[{\"op\": \"relu\"}, {\"op\": \"relu\", \"input\": \"input\"}, {\"op\": \"flatten\"}," LAST,
		 "nobody reads layer 'relu_1'"},
		{"[{\"op\": \"relu\"}]", "not one number for each of 10 classes"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cop_graph g;
		struct cop_err err;
		if (build_layers(&g, cases[i][0], &err) != COP_EINPUT)
			fail_msg("not refused: %s", cases[i][0]);
		if (!strstr(err.msg, cases[i][1]))
			fail_msg("'%s' lacks '%s'", err.msg, cases[i][1]);
		assert_null(g.node);
	}
	struct cop_str many = {0};
	for (int i = 0; i < 4097; i++)
		cop_str_add(&many, i ? ",{\"op\":\"relu\"}" : "[{\"op\":\"relu\"}");
	cop_str_add(&many, "]");
	struct cop_graph g;
	struct cop_err err;
	assert_int_equal(build_layers(&g, many.s, &err), COP_EINPUT);
	assert_non_null(strstr(err.msg, "holds 4097 layers, but may hold 4096 at most"));
	cop_str_release(&many);
}

/* Lists of layers with a few bytes changed are built or refused, and nothing else. */
static void test_layers_mutated(void **state)
{
	(void)state;
	static const char letters[] = "0123456789-.e\"\\:,{}[]ntf abcdefgimopsuvx_/\001\377";
	const char *good =
		"[{\"op\":\"conv\",\"name\":\"a\",\"out\":6,\"kernel\":[3,1],\"stride\":2,\"groups\":3,\"padding\":1},"
		"{\"op\":\"batch_norm\",\"momentum\":0.2},{\"op\":\"add\",\"inputs\":[\"a\",\"batch_norm_2\"]},"
		"{\"op\":\"max_pool\",\"kernel\":2},{\"op\":\"flatten\"},{\"op\":\"dropout\",\"rate\":0.5}," LAST;
	size_t n = strlen(good), built = 0;
	for (uint64_t seed = 0; seed < 20000; seed++) {
		struct cop_stream s;
		struct cop_graph g;
		struct cop_err err;
		cop_stream_init(&s, seed, COP_PURPOSE_INIT, 0, 0);
		char *text = cop_xstrdup(good);
		for (uint32_t k = cop_stream_below(&s, 4); k > 0; k--)
			text[cop_stream_below(&s, (uint32_t)n)] = letters[cop_stream_below(&s, sizeof(letters) - 1)];
		int rc = build_layers(&g, text, &err);
		if (rc ? rc != COP_EINPUT || !err.msg[0] || g.node : g.n < 2)
			fail_msg("seed %d: %s", (int)seed, text);
		built += !rc;
		cop_graph_release(&g);
		free(text);
	}
	assert_true(built > 5000 && built < 15000);
}

/* What an experiment says, and what its resolved file loads again. */
static void test_experiment(void **state)
{
	(void)state;
	const char *const texts[] = {
		"{}",
		"{\"model\": {\"name\": \"resnet\"}}",
		"{\"model\": {\"name\": \"vgg\", \"depth\": 19, \"width\": 0.5}}",
		"{\"model\": {\"name\": \"mobilenet_v2\", \"width\": 1.4, \"dropout\": 0.2}}",
		"{\"model\": {\"name\": \"conv6\", \"hidden\": []}}",
		"{\"model\": {\"name\": \"graph\", \"layers\": [{\"op\": \"dropout\", \"rate\": 0.30000000000000004},"
		"{\"op\": \"flatten\"}," LAST "}}",
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct cop_experiment e, again;
		struct cop_err err = {0};
		assert_int_equal(cop_experiment_load(&e, texts[i], "e.json", NULL, 0, &err), 0);
		char *once = cop_experiment_text(&e);
		assert_int_equal(cop_experiment_load(&again, once, "e.json", NULL, 0, &err), 0);
		char *twice = cop_experiment_text(&again);
		assert_string_equal(once, twice);
		if (e.model.name == COP_MODEL_RESNET)
			assert_int_equal(e.model.depth, 20);
		if (e.model.name == COP_MODEL_GRAPH)
			assert_string_equal(again.model.layers,
					    "[{\"op\":\"dropout\",\"rate\":0.30000000000000004},{\"op\":\"flatten\"},"
					    "{\"op\":\"linear\",\"out\":\"classes\"}]");
		free(once);
		free(twice);
		cop_experiment_release(&e);
		cop_experiment_release(&again);
	}
	struct cop_experiment e;
	struct cop_err err = {0};
	const char *text = "{\"model\": {\"name\": \"resnet\", \"depth\": 21}}";
	assert_int_equal(cop_experiment_load(&e, text, "e.json", NULL, 0, &err), COP_EINPUT);
	assert_non_null(strstr(err.msg, "'e.json': 'model.depth' is 21"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts),         cmocka_unit_test(test_tensors),
		cmocka_unit_test(test_names),          cmocka_unit_test(test_errors),
		cmocka_unit_test(test_layers),         cmocka_unit_test(test_layers_errors),
		cmocka_unit_test(test_layers_mutated), cmocka_unit_test(test_experiment),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
