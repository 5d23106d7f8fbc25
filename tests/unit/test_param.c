/* The experiment's table: what is refused and how, precedence, the resolved text, and what belongs to the hash. */
#include "base/mem.h"
#include "sweep/experiment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int load(struct cop_experiment *e, const char *text, const char *set, struct cop_err *err)
{
	const char *sets[] = {set};
	*err = (struct cop_err){0};
	return cop_experiment_load(e, text, "e.json", sets, set != NULL, err);
}

static void refused(const char *text, const char *set, const char *wanted)
{
	struct cop_experiment e;
	struct cop_err err;
	if (load(&e, text, set, &err) != COP_EINPUT)
		fail_msg("not refused: %s %s", text, set ? set : "");
	if (!strstr(err.msg, wanted))
		fail_msg("'%s' lacks '%s'", err.msg, wanted);
}

static void test_file_errors(void **state)
{
	(void)state;
	const char *const cases[][2] = {
		{"{\"train\": {\n\"epoch\": 3}}",
		 "'e.json' line 2: 'train.epoch' is no key that exists (did you mean 'train.epochs'?)"},
		{"{\"trian\": {}}", "'trian' is no key that exists (did you mean 'train'?)"},
		{"{\"optimizer\": {\"name\": \"sgd\"}}", "did you mean 'train.optimizer'?"},
		{"{\"train\": {\"lr\": 1}}", "did you mean 'train.optimizer.lr'?"},
		{"{\"train\": {\"optimizer\": {\"nam\": 1}}}", "did you mean 'train.optimizer.name'?"},
		{"{\"optimizer.name\": 1}", "did you mean 'train.optimizer.name'?"},
		{"{\"zzzzzzzzzzzz\": 1}", "line 1: 'zzzzzzzzzzzz' is no key that exists"},
		{"{\"name\": \"a\",\n\n\"name\": \"b\"}", "line 3: 'name' is there twice"},
		{"{\"train\": {\"epochs\": 1},\n\"train\": {\"batch\": 1}}", "line 2: 'train' is there twice"},
		{"{\"train\": {\"seeds\": {},\n\"seeds\": {}}}", "line 2: 'train.seeds' is there twice"},
		{"{\"train\": 3}", "'train' must be an object"},
		{"{\"train\": {\"epochs\": {}}}", "'train.epochs' must be a whole number"},
		{"{\"train\": {\"epochs\": 1.5}}", "'train.epochs' is 1.5, but must be a whole number"},
		{"{\"train\": {\"epochs\": 1e300}}", "must be a whole number"},
		{"{\"train\": {\"epochs\": -1}}", "'train.epochs' is -1, but must lie in 0..1e+06"},
		{"{\"train\": {\"batch\": 0}}", "'train.batch' is 0, but must lie in 1.."},
		{"{\"train\": {\"optimizer\": {\"lr\": 1e999}}}", "'train.optimizer.lr' is inf"},
		{"{\"train\": {\"optimizer\": {\"lr\": \"0.1\"}}}", "'train.optimizer.lr' must be a number"},
		{"{\"train\": {\"optimizer\": {\"nesterov\": 1}}}", "must be true or false"},
		{"{\"train\": {\"optimizer\": {\"name\": 3}}}", "must be one of sgd|adam"},
		{"{\"train\": {\"optimizer\": {\"name\": \"sg\"}}}", "is 'sg', but must be one of sgd|adam"},
		{"{\"train\": {\"optimizer\": {\"name\": \"\"}}}", "is '', but must be one of sgd|adam"},
		{"{\"name\": 3}", "'name' must be a string"},
		{"{\"model\": {\"hidden\": 300}}", "'model.hidden' must be a list"},
		{"{\"model\": {\"hidden\": [300, 0]}}", "'model.hidden' is 0, but must lie in 1..1e+06"},
		{"{\"model\": {\"hidden\": [3.5]}}", "'model.hidden' is 3.5, but must be a whole number"},
		{"{\"model\": {\"hidden\": [[1]]}}", "'model.hidden' must be a whole number"},
		{"{\"sweep\": {\"quantiles\": [0.5, 1.2]}}", "'sweep.quantiles' is 1.2, but must lie in 0..1"},
		{"{\"sweep\": {\"quantiles\": [0.5, null]}}", "'sweep.quantiles' must be a number"},
		{"{\"sweep\": {\"quantiles\": []}}", "need one value at least"},
		{"{\"sweep\": {\"quantiles\": [0.1, 0.10]}}", "'sweep.quantiles' holds 0.1 twice"},
		{"{\"sweep\": {\"reset\": [3]}}", "'sweep.reset' must be a list of strings"},
		{"{\"name\": \"two words\"}", "'name' is 'two words'"},
		{"{\"name\": \"a\\nb\"}", "holds a line break"},
		{"{\"slurm\": {\"extra\": [\"rm\"]}}", "'slurm.extra' holds 'rm', which is no sbatch option"},
		{"[]", "'e.json' line 1: must be an object"},
		{"{\n\"name\": \"a\"\n", "ends too early"},
		{"{\"train.epochs\": 3}", "'train.epochs'"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		refused(cases[i][0], NULL, cases[i][1]);
}

static void test_set_errors(void **state)
{
	(void)state;
	const char *const cases[][2] = {
		{"train.epochs", "--set wants KEY=VALUE, not 'train.epochs'"},
		{"=3", "--set wants KEY=VALUE, not '=3'"},
		{"train.epoch=3", "--set: 'train.epoch' is no key that exists (did you mean 'train.epochs'?)"},
		{"train=3", "--set: 'train' is a group of keys"},
		{"train.epochs=", "--set: 'train.epochs' must be a whole number"},
		{"train.epochs=three", "--set: 'train.epochs' must be a whole number"},
		{"train.optimizer.lr=nan", "--set: 'train.optimizer.lr' must be a number"},
		{"train.optimizer.momentum=1.1", "--set: 'train.optimizer.momentum' is 1.1, but must lie in 0..1"},
		{"model.hidden=300", "--set: 'model.hidden' must be a list"},
		{"sweep.quantiles=[0.5", "--set: 'sweep.quantiles' must be a list"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		refused("{}", cases[i][0], cases[i][1]);
}

static void test_precedence(void **state)
{
	(void)state;
	struct cop_experiment e;
	struct cop_err err = {0};
	const char *const sets[] = {"train.epochs=7",
				    "model.hidden=[5, 6, 7]",
				    "data.path=12",
				    "slurm.mem=\"4G\"",
				    "train.optimizer.name=adam",
				    "train.optimizer.nesterov=true",
				    "sweep.reset=[\"0ep\", \"4it\"]",
				    "name=a=b",
				    "train.epochs=8"};
	const char *text = "{\"train\": {\"epochs\": 5, \"batch\": 6}}";
	assert_int_equal(cop_experiment_load(&e, text, "e.json", sets, sizeof(sets) / sizeof(sets[0]), &err), 0);
	assert_int_equal(e.train.epochs, 8); /* the last --set, before the file, before the default */
	assert_int_equal(e.train.batch, 6);
	assert_int_equal(e.sweep.replicates, 1);
	assert_true(e.model.hidden.n == 3 && e.model.hidden.v[2] == 7);
	assert_string_equal(e.data.path, "12");
	assert_string_equal(e.slurm.mem, "4G");
	assert_string_equal(e.name, "a=b");
	assert_int_equal(e.train.optimizer, COP_OPTIMIZER_ADAM);
	assert_true(e.train.nesterov);
	assert_true(e.sweep.reset.n == 2);
	assert_string_equal(e.sweep.reset.v[1], "4it");
	cop_experiment_release(&e);
	assert_int_equal(load(&e, "{\"model\": {\"hidden\": []}}", NULL, &err), 0);
	assert_int_equal(e.model.hidden.n, 0);
	cop_experiment_release(&e);
}

/* The resolved text loads to the same text, whatever digits its numbers need. */
static void test_fixed_point(void **state)
{
	(void)state;
	struct cop_experiment e, again;
	struct cop_err err;
	char hash[COP_HASH_TEXT], hash_again[COP_HASH_TEXT];
	const char *text =
		"{\"name\": \"caf\\u00e9\", \"sweep\": {\"quantiles\": [0.1, 0.30000000000000004, 1e-300, 1]},"
		"\"train\": {\"optimizer\": {\"lr\": 0.0012000000000000001},"
		"\"seeds\": {\"init\": 9007199254740991}}, \"slurm\": {\"extra\": [\"--comment=a \\\"b\\\"\"]}}";
	assert_int_equal(load(&e, text, NULL, &err), 0);
	char *once = cop_experiment_text(&e);
	assert_int_equal(load(&again, once, NULL, &err), 0);
	char *twice = cop_experiment_text(&again);
	assert_string_equal(once, twice);
	for (size_t i = 0; i < 4; i++)
		assert_true(e.sweep.quantiles.v[i] == again.sweep.quantiles.v[i]);
	assert_int_equal(again.train.seed_init, 9007199254740991);
	cop_experiment_hash(&e, hash);
	cop_experiment_hash(&again, hash_again);
	assert_string_equal(hash, hash_again);
	assert_int_equal(strspn(hash, "0123456789abcdef"), 16);
	char keys[200];
	assert_true(cop_params_same(&cop_experiment_params, &e, &again, 0, keys, sizeof(keys)));
	again.train.epochs++;
	again.sweep.scope = COP_SCOPE_LAYER;
	assert_false(cop_params_same(&cop_experiment_params, &e, &again, 0, keys, sizeof(keys)));
	assert_string_equal(keys, "train.epochs, sweep.scope");
	free(once);
	free(twice);
	cop_experiment_release(&e);
	cop_experiment_release(&again);
}

/* An experiment in which the key may have other values. */
static const char *base_of(const char *key)
{
	if (strcmp(key, "model.depth") == 0)
		return "{\"model\": {\"name\": \"resnet\"}}";
	if (strcmp(key, "model.layers") == 0)
		return "{\"model\": {\"name\": \"graph\", \"layers\": [{\"op\": \"relu\"}]}}";
	if (strcmp(key, "model.width") == 0 || strcmp(key, "model.dropout") == 0)
		return "{\"model\": {\"name\": \"mobilenet_v2\"}}";
	return "{}";
}

/* Another good value for a key, as --set takes it; the caller frees. */
static char *other_value(const struct cop_param *d)
{
	if (strcmp(d->key, "model.depth") == 0)
		return cop_xstrdup("model.depth=32");
	if (strcmp(d->key, "model.name") == 0)
		return cop_xstrdup("model.name=vgg");
	switch (d->kind) {
	case COP_PARAM_INT:
		return cop_xasprintf("%s=3", d->key);
	case COP_PARAM_REAL:
		return cop_xasprintf("%s=0.25", d->key);
	case COP_PARAM_BOOL:
		return cop_xasprintf("%s=%s", d->key, strcmp(d->def, "true") == 0 ? "false" : "true");
	case COP_PARAM_STRING:
		return cop_xasprintf("%s=other", d->key);
	case COP_PARAM_CHOICE:
	case COP_PARAM_CHOICES:
		return strchr(d->choices, '|') ? cop_xasprintf("%s=%s", d->key, strrchr(d->choices, '|') + 1) : NULL;
	case COP_PARAM_INTS:
	case COP_PARAM_REALS:
		return cop_xasprintf("%s=[%s]", d->key, d->kind == COP_PARAM_INTS ? "3" : "0.25");
	case COP_PARAM_STRINGS:
		return cop_xasprintf("%s=[\"--other\"]", d->key);
	case COP_PARAM_JSON:
		if (strcmp(d->key, "sweep.rates") == 0)
			return cop_xstrdup("sweep.rates={\"fc3\": 0.5}");
		return cop_xasprintf("%s=[{\"op\": \"relu6\"}]", d->key);
	}
	return NULL;
}

/* Each key in turn: the hash changes where the key changes what is computed, and only there. */
static void test_hash(void **state)
{
	(void)state;
	struct cop_experiment e;
	struct cop_err err;
	char plain[COP_HASH_TEXT], changed[COP_HASH_TEXT];
	size_t tried = 0;
	for (size_t i = 0; i < cop_experiment_params.n; i++) {
		const struct cop_param *d = &cop_experiment_params.table[i];
		char *set = other_value(d);
		if (!set)
			continue;
		assert_int_equal(load(&e, base_of(d->key), NULL, &err), 0);
		cop_experiment_hash(&e, plain);
		cop_experiment_release(&e);
		if (load(&e, base_of(d->key), set, &err))
			fail_msg("%s: %s", set, err.msg);
		cop_experiment_hash(&e, changed);
		cop_experiment_release(&e);
		/* one shot or rounds is another computation; how many rounds is not */
		bool computes = (d->flags & COP_PARAM_COMPUTES) || strcmp(d->key, "sweep.rounds") == 0;
		if ((strcmp(plain, changed) != 0) != computes)
			fail_msg("%s: the hash %s", set, computes ? "stays" : "changes");
		free(set);
		tried++;
	}
	assert_true(tried > 40);
	assert_int_equal(load(&e, "{}", NULL, &err), 0);
	cop_experiment_hash(&e, plain);
	cop_experiment_release(&e);
	/* what must never be left out, and what never may be part of it */
	const char *const in[] = {"model.hidden=[9]",  "train.epochs=3",    "train.seeds.order=2",
				  "sweep.scope=layer", "data.validation=3", "data.fingerprint=0123456789abcdef"};
	const char *const out[] = {"name=x",         "slurm.cpus=9", "device.threads=3",      "device.kind=cpu",
				   "data.path=x.h5", "slurm.mem=1G", "sweep.quantiles=[0.3]", "sweep.reset=[\"1ep\"]"};
	for (size_t i = 0; i < sizeof(in) / sizeof(in[0]) + sizeof(out) / sizeof(out[0]); i++) {
		bool computes = i < sizeof(in) / sizeof(in[0]);
		const char *set = computes ? in[i] : out[i - sizeof(in) / sizeof(in[0])];
		assert_int_equal(load(&e, "{}", set, &err), 0);
		cop_experiment_hash(&e, changed);
		cop_experiment_release(&e);
		if ((strcmp(plain, changed) != 0) != computes)
			fail_msg("%s: the hash %s", set, computes ? "stays" : "changes");
	}
}

/* A key that came later leaves the hash of what there was before as it was. */
static void test_later(void **state)
{
	(void)state;
	struct cop_experiment e;
	struct cop_err err;
	char hash[COP_HASH_TEXT];
	const char *const same[] = {NULL, "device.ranks=1", "train.scale_lr=false", "sweep.rates={ }"};
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		assert_int_equal(load(&e, "{}", same[i], &err), 0);
		cop_experiment_hash(&e, hash);
		cop_experiment_release(&e);
		assert_string_equal(hash, "885c749f6e5d939c"); /* of version 0.1.0 */
	}
}

/* Rates and ranks as those who train see them, and the dense run's GPUs. */
static void test_training(void **state)
{
	(void)state;
	struct cop_experiment e;
	struct cop_err err;
	const char *text = "{\"train\": {\"batch\": 64, \"scale_lr\": true, \"optimizer\": {\"lr\": 0.125},"
			   "\"schedule\": {\"final_lr\": 0.0625}}, \"device\": {\"ranks\": 4}}";
	const struct cop_worker big = {.dense = true}, small = {0};
	for (int gpus = 0; gpus <= 8; gpus += 2) {
		assert_int_equal(load(&e, text, NULL, &err), 0);
		e.slurm.gpus = gpus;
		struct cop_train_config dense = cop_experiment_training(&e, &big),
					cell = cop_experiment_training(&e, &small);
		assert_int_equal(dense.ranks, 4);
		assert_int_equal(cell.ranks, 1);
		assert_true(dense.lr == 0.5 && cell.lr == 0.5 && dense.final_lr == 0.25 && cell.final_lr == 0.25);
		assert_int_equal(cop_experiment_dense_gpus(&e), gpus == 0 ? 0 : gpus < 4 ? 4 : gpus);
		e.train.scale_lr = false;
		dense = cop_experiment_training(&e, &big);
		assert_true(dense.lr == 0.125 && dense.final_lr == 0.0625);
		cop_experiment_release(&e);
	}
	refused("{\"train\": {\"batch\": 60}, \"device\": {\"ranks\": 8}}", NULL,
		"'e.json': 'train.batch' is 60, which 8 ranks ('device.ranks') cannot share evenly: take a multiple "
		"of 8");
}

/* What is cut of which tensor by the scope, the rates and, in rounds, all quantiles up to that of the cell. */
static void test_allocation(void **state)
{
	(void)state;
	struct cop_experiment e;
	struct cop_err err = {0};
	struct cop_allocation a;
	struct cop_layout l = {0};
	cop_layout_add(&l, "fc1/weight", 2, (int64_t[]){10, 20}, true);
	cop_layout_add(&l, "fc2/weight", 2, (int64_t[]){10, 10}, true);
	const char *rounds = "{\"sweep\": {\"rounds\": 3, \"quantiles\": [0.2], \"rates\": {\"fc2\": 0.5}}}";
	const size_t cut[] = {40, 10, 72, 19, 98, 27}; /* 0.2, 0.36, 0.488 of 200; 1 - 0.9^k of 100 */
	assert_int_equal(load(&e, rounds, NULL, &err), 0);
	for (size_t k = 0; k < 3; k++) {
		assert_int_equal(cop_experiment_allocate(&e, &l, e.sweep.quantiles.v[k], &a, &err), 0);
		assert_int_equal(a.cut[a.group[0]], cut[2 * k]);
		assert_int_equal(a.cut[a.group[1]], cut[2 * k + 1]);
		cop_allocation_release(&a);
	}
	cop_experiment_release(&e);
	assert_int_equal(load(&e, "{\"sweep\": {\"scope\": \"erk\"}}", NULL, &err), 0);
	assert_int_equal(cop_experiment_allocate(&e, &l, 0.5, &a, &err), 0);
	assert_int_equal(a.cut[0], 110); /* densities as 30/200 to 20/100: 90 and 60 stay */
	assert_int_equal(a.cut[1], 40);
	cop_allocation_release(&a);
	cop_experiment_release(&e);
	assert_int_equal(load(&e, "{\"sweep\": {\"rates\": {\"fc3\": 1}}}", NULL, &err), 0);
	assert_int_equal(cop_experiment_allocate(&e, &l, 0.5, &a, &err), COP_EINPUT);
	cop_experiment_release(&e);
	cop_layout_release(&l);
	refused("{}", "sweep.rates=3", "'sweep.rates': rates want an object");
	refused("{}", "sweep.rates={\"fc1\": -1}", "'sweep.rates': the rate of 'fc1' must be a number of 0 or more");
	refused("{\"sweep\": {\"scope\": \"most\"}}", NULL, "global|layer|uniform|erk");
}

/* Ways to retrain, controls, and the seeds that vary. */
static void test_ways(void **state)
{
	(void)state;
	struct cop_experiment e;
	struct cop_err err;
	char first[COP_HASH_TEXT], second[COP_HASH_TEXT];
	refused("{\"sweep\": {\"retrain\": [\"rewind\", \"rewind\"]}}", NULL, "'sweep.retrain' holds 'rewind' twice");
	refused("{\"sweep\": {\"retrain\": \"rewound\"}}", NULL,
		"'sweep.retrain' is 'rewound', but must be one of rewind|");
	refused("{\"sweep\": {\"retrain\": []}}", NULL, "'sweep.criterion' and 'sweep.retrain' need one word at least");
	refused("{\"sweep\": {\"controls\": [\"rewind\"]}}", NULL,
		"'rewind' is in 'sweep.retrain' and in 'sweep.controls'");
	refused("{\"sweep\": {\"rounds\": 2, \"quantiles\": [0.2], \"retrain\": [\"rewind\", \"random\"]}}", NULL,
		"with 'sweep.rounds' 'shuffle' and 'random' go into 'sweep.controls'");
	refused("{\"sweep\": {\"replicates\": 2, \"vary\": []}}", NULL, "'sweep.vary' is empty, so all 2 replicates");
	assert_int_equal(
		load(&e, "{\"sweep\": {\"rounds\": 2, \"quantiles\": [0.2], \"controls\": \"random\"}}", NULL, &err),
		0);
	assert_true(e.sweep.controls.n == 1 && e.sweep.controls.v[0] == COP_RETRAIN_RANDOM);
	cop_experiment_release(&e);
	/* the same seeds in another order are the same experiment, and so are all of them and the default */
	assert_int_equal(load(&e, "{}", NULL, &err), 0);
	cop_experiment_hash(&e, first);
	cop_experiment_release(&e);
	assert_int_equal(load(&e, "{}", "sweep.vary=[\"augment\", \"init\", \"order\"]", &err), 0);
	cop_experiment_hash(&e, second);
	assert_string_equal(first, second);
	cop_experiment_release(&e);
}

static void test_help(void **state)
{
	(void)state;
	char *help = cop_params_help(&cop_experiment_params);
	for (size_t i = 0; i < cop_experiment_params.n; i++)
		assert_non_null(strstr(help, cop_experiment_params.table[i].key));
	free(help);
}

struct small {
	int64_t needed;
};

static void test_required(void **state)
{
	(void)state;
	static const struct cop_param table[] = {{"needed", COP_PARAM_INT, offsetof(struct small, needed), NULL, 0, 9,
						  NULL, "how many", COP_PARAM_REQUIRED}};
	const struct cop_params p = {table, 1};
	const char *set[] = {"needed=4"};
	struct small s = {0};
	struct cop_err err = {0};
	assert_int_equal(cop_params_load(&p, &s, "{}", "s.json", NULL, 0, &err), COP_EINPUT);
	assert_string_equal(err.msg, "'s.json': 'needed' is missing (how many)");
	assert_int_equal(cop_params_load(&p, &s, NULL, NULL, set, 1, &err), 0);
	assert_int_equal(s.needed, 4);
}

struct raw {
	char *value;
	int64_t after;
};

/* Values of which the table says no more than that they are JSON: kept as text, loaded and written alike. */
static void test_json(void **state)
{
	(void)state;
	static const struct cop_param table[] = {
		{"a.raw", COP_PARAM_JSON, offsetof(struct raw, value), "[]", 0, 0, NULL, "anything",
		 COP_PARAM_COMPUTES},
		{"a.after", COP_PARAM_INT, offsetof(struct raw, after), "0", 0, 9, NULL, "a number", 0}};
	const struct cop_params p = {table, 2};
	const char *const values[][2] = {
		{"[]", "[]"},
		{"null", "null"},
		{"{ }", "{}"},
		{" [1, 0.1, 0.30000000000000004, -1e-300, 9007199254740993 ]",
		 "[1,0.1,0.30000000000000004,-1e-300,9007199254740992]"},
		{"{\"raw\": 1, \"a\": {\"after\": \"x\", \"zzz\": [true, {\"b\": null}]}, \"t\": \"\\u00e9\\\"\\n\"}",
		 "{\"raw\":1,\"a\":{\"after\":\"x\",\"zzz\":[true,{\"b\":null}]},\"t\":\"\u00e9\\\"\\n\"}"},
		{"\"word\"", "\"word\""},
	};
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct raw r = {0}, again = {0};
		struct cop_err err = {0};
		char keys[80];
		char *text = cop_xasprintf("{\"a\": {\"raw\": %s, \"after\": 7}}", values[i][0]);
		if (cop_params_load(&p, &r, text, "s.json", NULL, 0, &err))
			fail_msg("%s", err.msg);
		assert_string_equal(r.value, values[i][1]);
		assert_int_equal(r.after, 7);
		free(text);
		text = cop_params_text(&p, &r, 0);
		assert_int_equal(cop_params_load(&p, &again, text, "s.json", NULL, 0, &err), 0);
		assert_string_equal(again.value, values[i][1]);
		assert_true(cop_params_same(&p, &r, &again, COP_PARAM_COMPUTES, keys, sizeof(keys)));
		free(text);
		cop_params_release(&p, &again);
		again = (struct raw){0};
		text = cop_xasprintf("a.raw=%s", values[i][0]);
		assert_int_equal(cop_params_load(&p, &again, NULL, NULL, (const char *[]){text, "a.after=3"}, 2, &err),
				 0);
		assert_string_equal(again.value, values[i][1]);
		free(text);
		cop_params_release(&p, &again);
		assert_null(again.value);
		cop_params_release(&p, &r);
	}
	struct raw a = {0}, b = {0};
	struct cop_err err = {0};
	char keys[80];
	const char *one = "a.raw=[0.1]", *other = "a.raw=[0.10000000000000002]", *word = "a.raw=[1";
	assert_int_equal(cop_params_load(&p, &a, NULL, NULL, &one, 1, &err), 0);
	assert_int_equal(cop_params_load(&p, &b, NULL, NULL, &other, 1, &err), 0);
	assert_false(cop_params_same(&p, &a, &b, 0, keys, sizeof(keys)));
	assert_string_equal(keys, "a.raw");
	cop_params_release(&p, &a);
	a = (struct raw){0};
	assert_int_equal(cop_params_load(&p, &a, NULL, NULL, &word, 1, &err), 0);
	assert_string_equal(a.value, "\"[1\"");
	cop_params_release(&p, &a);
	cop_params_release(&p, &b);
	const char *twice = "{\"a\": {\"raw\": {\"x\": 1},\n\"raw\": 2}}";
	assert_int_equal(cop_params_load(&p, &a, twice, "s.json", NULL, 0, &err), COP_EINPUT);
	assert_string_equal(err.msg, "'s.json' line 2: 'a.raw' is there twice");
	const char *within = "{\"a\":\n{\"raw\": [{\"x\": 1}, {\"x\": {\"y\": 1, \"z\": 2, \"y\": 3}}]}}";
	assert_int_equal(cop_params_load(&p, &a, within, "s.json", NULL, 0, &err), COP_EINPUT);
	assert_string_equal(err.msg, "'s.json' line 2: 'a.raw' holds the key 'y' twice");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file_errors), cmocka_unit_test(test_set_errors),
		cmocka_unit_test(test_precedence),  cmocka_unit_test(test_fixed_point),
		cmocka_unit_test(test_hash),        cmocka_unit_test(test_later),
		cmocka_unit_test(test_training),    cmocka_unit_test(test_ways),
		cmocka_unit_test(test_help),        cmocka_unit_test(test_required),
		cmocka_unit_test(test_json),        cmocka_unit_test(test_allocation),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
