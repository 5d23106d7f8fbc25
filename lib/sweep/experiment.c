/* The experiment; see experiment.h. */
#include "sweep/experiment.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/order.h"
#include "nn/models.h"
#include "nn/ranks.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(struct cop_experiment, field)
#define MOST 1e9

static const struct cop_param table[] = {
	{"name", COP_PARAM_STRING, AT(name), "\"experiment\"", 0, 0, NULL, "names jobs and the report", 0},
	{"model.name", COP_PARAM_CHOICE, AT(model.name), "\"lenet\"", 0, 0, COP_MODEL_CHOICES, "network",
	 COP_PARAM_COMPUTES},
	{"model.hidden", COP_PARAM_INTS, AT(model.hidden), "[300, 100]", 1, 1e6, NULL, "sizes of the hidden layers",
	 COP_PARAM_COMPUTES},
	{"model.depth", COP_PARAM_INT, AT(model.depth), "0", 0, 1000, NULL, "resnet, vgg: layers; 0: its own",
	 COP_PARAM_COMPUTES},
	{"model.width", COP_PARAM_REAL, AT(model.width), "1", 0.01, 64, NULL,
	 "resnet, vgg, mobilenet_v2: multiplies the channels", COP_PARAM_COMPUTES},
	{"model.dropout", COP_PARAM_REAL, AT(model.dropout), "0", 0, 0.99, NULL, "mobilenet_v2: before the last layer",
	 COP_PARAM_COMPUTES},
	{"model.layers", COP_PARAM_JSON, AT(model.layers), "[]", 0, 0, NULL, "graph: a list of its layers",
	 COP_PARAM_COMPUTES},
	{"model.init", COP_PARAM_CHOICE, AT(model.init), "\"kaiming_normal\"", 0, 0, COP_INIT_CHOICES, "initialisation",
	 COP_PARAM_COMPUTES},
	{"data.path", COP_PARAM_STRING, AT(data.path), "\"" COP_DATA_GLYPHS "\"", 0, 0, NULL,
	 "dataset made by 'coppice pack', or 'glyphs' for the built-in digits", 0},
	{"data.fingerprint", COP_PARAM_STRING, AT(data.fingerprint), "\"\"", 0, 0, NULL,
	 "of the dataset; filled in by 'plan'", COP_PARAM_COMPUTES},
	{"data.validation", COP_PARAM_INT, AT(data.validation), "0", 0, MOST, NULL, "images split off the training set",
	 COP_PARAM_COMPUTES},
	{"data.normalize", COP_PARAM_CHOICE, AT(data.normalize), "\"standard\"", 0, 0, COP_NORMALIZE_CHOICES,
	 "pixels: by mean and deviation of the channel, or 0..1", COP_PARAM_COMPUTES},
	{"data.augment.crop_padding", COP_PARAM_INT, AT(data.crop_padding), "0", 0, 64, NULL,
	 "pixels of padding to crop from", COP_PARAM_COMPUTES},
	{"data.augment.flip", COP_PARAM_BOOL, AT(data.flip), "false", 0, 0, NULL, "mirror half of the images",
	 COP_PARAM_COMPUTES},
	{"data.augment.resized_crop", COP_PARAM_BOOL, AT(data.resized_crop), "false", 0, 0, NULL,
	 "a random box of each image, stretched to the whole", COP_PARAM_COMPUTES},
	{"data.augment.scale_min", COP_PARAM_REAL, AT(data.scale_min), "0.08", 0.001, 1, NULL,
	 "resized_crop: the smallest area, as a part of the image's", COP_PARAM_COMPUTES},
	{"data.glyphs.train", COP_PARAM_INT, AT(glyphs.train), "12000", 1, MOST, NULL, "built-in digits to train on",
	 0},
	{"data.glyphs.test", COP_PARAM_INT, AT(glyphs.test), "2000", 1, MOST, NULL, "built-in digits to test on",
	 COP_PARAM_COMPUTES},
	{"data.glyphs.seed", COP_PARAM_INT, AT(glyphs.seed), "1", 0, MOST, NULL, "which of them", COP_PARAM_COMPUTES},
	{"train.epochs", COP_PARAM_INT, AT(train.epochs), "10", 0, 1e6, NULL, "epochs", COP_PARAM_COMPUTES},
	{"train.batch", COP_PARAM_INT, AT(train.batch), "60", 1, 1e6, NULL, "images a step", COP_PARAM_COMPUTES},
	{"train.optimizer.name", COP_PARAM_CHOICE, AT(train.optimizer), "\"sgd\"", 0, 0, COP_OPTIMIZER_CHOICES,
	 "optimizer", COP_PARAM_COMPUTES},
	{"train.optimizer.lr", COP_PARAM_REAL, AT(train.lr), "0.1", 0, 1e3, NULL, "learning rate", COP_PARAM_COMPUTES},
	{"train.optimizer.momentum", COP_PARAM_REAL, AT(train.momentum), "0.9", 0, 1, NULL, "sgd: momentum",
	 COP_PARAM_COMPUTES},
	{"train.optimizer.nesterov", COP_PARAM_BOOL, AT(train.nesterov), "false", 0, 0, NULL,
	 "sgd: Nesterov's momentum", COP_PARAM_COMPUTES},
	{"train.optimizer.weight_decay", COP_PARAM_REAL, AT(train.weight_decay), "0", 0, 1, NULL,
	 "added to the gradient", COP_PARAM_COMPUTES},
	{"train.optimizer.beta1", COP_PARAM_REAL, AT(train.beta1), "0.9", 0, 0.999999, NULL, "adam",
	 COP_PARAM_COMPUTES},
	{"train.optimizer.beta2", COP_PARAM_REAL, AT(train.beta2), "0.999", 0, 0.999999, NULL, "adam",
	 COP_PARAM_COMPUTES},
	{"train.optimizer.epsilon", COP_PARAM_REAL, AT(train.epsilon), "1e-8", 1e-12, 1, NULL, "adam",
	 COP_PARAM_COMPUTES},
	{"train.schedule.name", COP_PARAM_CHOICE, AT(train.schedule), "\"constant\"", 0, 0, COP_SCHEDULE_CHOICES,
	 "learning rate over time", COP_PARAM_COMPUTES},
	{"train.schedule.warmup", COP_PARAM_STRING, AT(train.warmup), "\"0ep\"", 0, 0, NULL,
	 "linear warm-up, '1ep' or '500it'", COP_PARAM_COMPUTES},
	{"train.schedule.milestones", COP_PARAM_STRINGS, AT(train.milestones), "[]", 0, 0, NULL,
	 "step: when the rate is multiplied by gamma", COP_PARAM_COMPUTES},
	{"train.schedule.gamma", COP_PARAM_REAL, AT(train.gamma), "0.1", 0, 1, NULL,
	 "step, exponential (an epoch): the factor", COP_PARAM_COMPUTES},
	{"train.schedule.final_lr", COP_PARAM_REAL, AT(train.final_lr), "0", 0, 1e3, NULL,
	 "cosine, linear: the last rate", COP_PARAM_COMPUTES},
	{"train.validate_every", COP_PARAM_STRING, AT(train.validate_every), "\"1ep\"", 0, 0, NULL,
	 "how often the validation split is measured, '1ep' or '100it'", COP_PARAM_COMPUTES | COP_PARAM_LATER},
	{"train.test_early_stop", COP_PARAM_BOOL, AT(train.test_early_stop), "false", 0, 0, NULL,
	 "the test split, too, whenever the validation loss is a new minimum", COP_PARAM_COMPUTES | COP_PARAM_LATER},
	{"train.seeds.init", COP_PARAM_INT, AT(train.seed_init), "1", 0, 9007199254740992.0, NULL, "initial weights",
	 COP_PARAM_COMPUTES},
	{"train.seeds.order", COP_PARAM_INT, AT(train.seed_order), "1", 0, 9007199254740992.0, NULL,
	 "order of the images", COP_PARAM_COMPUTES},
	{"train.seeds.augment", COP_PARAM_INT, AT(train.seed_augment), "1", 0, 9007199254740992.0, NULL, "augmentation",
	 COP_PARAM_COMPUTES},
	{"train.scale_lr", COP_PARAM_BOOL, AT(train.scale_lr), "false", 0, 0, NULL,
	 "the rates are for one rank's images: multiplied by the ranks", COP_PARAM_COMPUTES | COP_PARAM_LATER},
	{"sweep.quantiles", COP_PARAM_REALS, AT(sweep.quantiles), "[0.5, 0.8, 0.9]", 0, 1, NULL,
	 "fractions of weights to prune", 0},
	{"sweep.reset", COP_PARAM_STRINGS, AT(sweep.reset), "[\"0ep\"]", 0, 0, NULL,
	 "where to rewind to, '3ep' or '500it'", 0},
	{"sweep.replicates", COP_PARAM_INT, AT(sweep.replicates), "1", 1, 10000, NULL, "dense runs with other seeds",
	 0},
	{"sweep.rounds", COP_PARAM_INT, AT(sweep.rounds), "1", 1, 1000, NULL,
	 "more than 1: iterative pruning, each round from the one before", 0},
	{"sweep.scope", COP_PARAM_CHOICE, AT(sweep.scope), "\"global\"", 0, 0, COP_SCOPE_CHOICES,
	 "how many weights are cut of which layer", COP_PARAM_COMPUTES},
	{"sweep.rates", COP_PARAM_JSON, AT(sweep.rates), "{}", 0, 0, NULL,
	 "layers cut by themselves, at so many times the rate: {\"fc3\": 0.5}", COP_PARAM_COMPUTES | COP_PARAM_LATER},
	{"sweep.criterion", COP_PARAM_CHOICES, AT(sweep.criterion), "\"magnitude\"", 0, 0, COP_CRITERION_CHOICES,
	 "what is smallest, or several of them", COP_PARAM_ONCE},
	{"sweep.score_batches", COP_PARAM_INT, AT(sweep.score_batches), "10", 1, 1e6, NULL,
	 "training batches that snip, grasp and gradient-weight take gradients from", 0},
	{"sweep.retrain", COP_PARAM_CHOICES, AT(sweep.retrain), "\"rewind\"", 0, 0, COP_RETRAIN_CHOICES,
	 "what is retrained from what, or several of them", 0},
	{"sweep.controls", COP_PARAM_CHOICES, AT(sweep.controls), "[]", 0, 0, COP_RETRAIN_CHOICES,
	 "further cells with the masks of sweep.retrain's first", 0},
	{"sweep.fine_tune_lr", COP_PARAM_REAL, AT(sweep.fine_tune_lr), "0", 0, 1e3, NULL,
	 "fine-tune: the learning rate; 0: the schedule's last", 0},
	{"sweep.children", COP_PARAM_INT, AT(sweep.children), "1", 1, 100, NULL,
	 "of each cell, from one state, with another order of images each", 0},
	{"sweep.vary", COP_PARAM_CHOICES, AT(sweep.vary), "[\"init\", \"order\", \"augment\"]", 0, 0, COP_SEED_CHOICES,
	 "the seeds that replicate r adds r to", COP_PARAM_COMPUTES | COP_PARAM_LATER},
	{"sweep.keep_weights", COP_PARAM_BOOL, AT(sweep.keep_weights), "true", 0, 0, NULL,
	 "weights and masks in each cell's file", 0},
	{"device.kind", COP_PARAM_CHOICE, AT(device.choice.kind), "\"auto\"", 0, 0, "auto|cpu|cuda", "what trains", 0},
	{"device.threads", COP_PARAM_INT, AT(device.threads), "0", 0, 4096, NULL, "0: all that the process may use", 0},
	{"device.engine", COP_PARAM_CHOICE, AT(train.engine), "\"auto\"", 0, 0, COP_ENGINE_CHOICES,
	 "how a processor trains tickets: each layer by a rule or a trial, or all in one way", 0},
	{"device.ranks", COP_PARAM_INT, AT(train.ranks), "1", 1, COP_RANKS_MAX, NULL,
	 "GPUs of a node, or groups of the CPU's threads, that share each batch of a dense run",
	 COP_PARAM_COMPUTES | COP_PARAM_LATER},
	{"device.loader_threads", COP_PARAM_INT, AT(data.loader_threads), "0", -1, 256, NULL,
	 "that make batches ahead of the step; 0: automatic, -1: in the step", 0},
	{"device.data", COP_PARAM_CHOICE, AT(data.storage), "\"auto\"", 0, 0, COP_STORAGE_CHOICES,
	 "images in memory, or read from the file as they are wanted", 0},
	{"device.precision", COP_PARAM_CHOICE, AT(device.choice.precision), "\"fp32\"", 0, 0, "fp32|tf32|bf16",
	 "of the arithmetic; weights, statistics and sums are fp32 in each", COP_PARAM_COMPUTES},
	{"device.deterministic", COP_PARAM_BOOL, AT(device.choice.deterministic), "true", 0, 0, NULL,
	 "the same bits from run to run on a GPU", 0},
	{"device.checkpoint_minutes", COP_PARAM_REAL, AT(device.checkpoint_minutes), "5", 0, 1e6, NULL,
	 "how often the state under way is saved; 0: every step", 0},
	{"device.stage", COP_PARAM_STRING, AT(device.stage), "\"\"", 0, 0, NULL,
	 "node-local folder to copy what is read to, '$SLURM_TMPDIR'; empty: none", 0},
	{"slurm.time", COP_PARAM_STRING, AT(slurm.time), "\"02:00:00\"", 0, 0, NULL, "limit of each task", 0},
	{"slurm.cpus", COP_PARAM_INT, AT(slurm.cpus), "4", 1, 4096, NULL, "cores a task", 0},
	{"slurm.gpus", COP_PARAM_INT, AT(slurm.gpus), "0", 0, 64, NULL, "GPUs a task", 0},
	{"slurm.mem", COP_PARAM_STRING, AT(slurm.mem), "\"8G\"", 0, 0, NULL, "memory a task; empty: the site's default",
	 0},
	{"slurm.partition", COP_PARAM_STRING, AT(slurm.partition), "\"\"", 0, 0, NULL, "partition", 0},
	{"slurm.account", COP_PARAM_STRING, AT(slurm.account), "\"\"", 0, 0, NULL, "account", 0},
	{"slurm.max_running", COP_PARAM_INT, AT(slurm.max_running), "20", 0, 1e6, NULL, "cells at once; 0: no limit",
	 0},
	{"slurm.max_submitted", COP_PARAM_INT, AT(slurm.max_submitted), "0", 0, 1e6, NULL,
	 "tasks in the queue at once; 0: as many as the site takes", 0},
	{"slurm.cells_per_task", COP_PARAM_INT, AT(slurm.cells_per_task), "1", 1, 1e6, NULL,
	 "short cells share an array task", 0},
	{"slurm.concurrent", COP_PARAM_BOOL, AT(slurm.concurrent), "false", 0, 0, NULL,
	 "the cells of a task at the same time, not in turn", 0},
	{"slurm.max_attempts", COP_PARAM_INT, AT(slurm.max_attempts), "3", 1, 1000, NULL,
	 "a cell that failed in the same way so often has failed", 0},
	{"slurm.extra", COP_PARAM_STRINGS, AT(slurm.extra), "[]", 0, 0, NULL,
	 "further sbatch options, '--constraint=…'", 0},
	{"slurm.prologue", COP_PARAM_STRINGS, AT(slurm.prologue), "[]", 0, 0, NULL, "shell lines before the program",
	 0},
	{"cost.ask_hours", COP_PARAM_REAL, AT(cost.ask_hours), "10000", 0, 1e12, NULL,
	 "'plan' asks beyond so many core- or GPU-hours", 0},
	{"cost.carbon_g_per_kwh", COP_PARAM_REAL, AT(cost.carbon_g_per_kwh), "0", 0, 1e5, NULL,
	 "of the site's electricity, for the report; 0: not known", 0},
};

const struct cop_params cop_experiment_params = {table, sizeof(table) / sizeof(table[0])};

static int check_lists(const struct cop_experiment *e, const char *name, struct cop_err *err)
{
	const struct cop_sweep_config *s = &e->sweep;
	if (s->quantiles.n == 0 || s->reset.n == 0)
		return cop_fail(err, COP_EINPUT, "'%s': 'sweep.quantiles' and 'sweep.reset' need one value at least",
				name);
	for (size_t i = 0; i < s->quantiles.n; i++)
		for (size_t j = 0; j < i; j++)
			if (s->quantiles.v[i] == s->quantiles.v[j])
				return cop_fail(err, COP_EINPUT, "'%s': 'sweep.quantiles' holds %g twice", name,
						s->quantiles.v[i]);
	if (s->criterion.n == 0 || s->retrain.n == 0)
		return cop_fail(err, COP_EINPUT, "'%s': 'sweep.criterion' and 'sweep.retrain' need one word at least",
				name);
	for (size_t i = 0; i < s->controls.n; i++)
		for (size_t j = 0; j < s->retrain.n; j++)
			if (s->controls.v[i] == s->retrain.v[j]) {
				char word[32];
				return cop_fail(
					err, COP_EINPUT, "'%s': '%s' is in 'sweep.retrain' and in 'sweep.controls'",
					name,
					cop_choice_text(COP_RETRAIN_CHOICES, s->retrain.v[j], word, sizeof(word)));
			}
	return 0;
}

/* 1 - (1 - f)^k without the noise of its last digits, as it stands in files and tables. */
static double cut_after(double fraction, int64_t rounds)
{
	char text[32];
	snprintf(text, sizeof(text), "%.12g", rounds == 1 ? fraction : 1 - pow(1 - fraction, (double)rounds));
	return strtod(text, NULL);
}

/* One fraction of the survivors becomes what is cut after each round; a list of those must rise. */
static int settle_rounds(struct cop_experiment *e, const char *name, struct cop_err *err)
{
	struct cop_sweep_config *s = &e->sweep;
	if (s->rounds == 1)
		return 0;
	if (s->quantiles.n == 1) {
		double fraction = s->quantiles.v[0];
		free(s->quantiles.v);
		s->quantiles.n = (size_t)s->rounds;
		s->quantiles.v = cop_xcalloc(s->quantiles.n, sizeof(*s->quantiles.v));
		for (int64_t k = 0; k < s->rounds; k++)
			s->quantiles.v[k] = cut_after(fraction, k + 1);
	}
	if (s->quantiles.n != (size_t)s->rounds)
		return cop_fail(err, COP_EINPUT,
				"'%s': 'sweep.rounds' is %" PRId64
				", but 'sweep.quantiles' has %zu values: give one, the fraction of the survivors "
				"that each round cuts, or what is cut after each round",
				name, s->rounds, s->quantiles.n);
	for (size_t k = 1; k < s->quantiles.n; k++)
		if (!(s->quantiles.v[k] > s->quantiles.v[k - 1]))
			return cop_fail(err, COP_EINPUT,
					"'%s': with 'sweep.rounds' the values of 'sweep.quantiles' must rise, and %g "
					"follows %g",
					name, s->quantiles.v[k], s->quantiles.v[k - 1]);
	if (!s->keep_weights)
		return cop_fail(err, COP_EINPUT,
				"'%s': 'sweep.rounds' needs 'sweep.keep_weights': a round prunes the weights that the "
				"one before it left",
				name);
	return 0;
}

/* Masks of chance keep other weights in each round: there is nothing for a next one to go on from. */
static int settle_ways(struct cop_experiment *e, const char *name, struct cop_err *err)
{
	struct cop_sweep_config *s = &e->sweep;
	if (s->rounds > 1 &&
	    (cop_ints_hold(&s->retrain, COP_RETRAIN_SHUFFLE) || cop_ints_hold(&s->retrain, COP_RETRAIN_RANDOM)))
		return cop_fail(err, COP_EINPUT,
				"'%s': with 'sweep.rounds' 'shuffle' and 'random' go into 'sweep.controls', not into "
				"'sweep.retrain': no round can go on from a mask that is drawn anew",
				name);
	if (s->replicates > 1 && s->vary.n == 0)
		return cop_fail(err, COP_EINPUT,
				"'%s': 'sweep.vary' is empty, so all %" PRId64 " replicates would be the same", name,
				s->replicates);
	/* in whatever order they are given */
	if (s->vary.n > 1)
		qsort(s->vary.v, s->vary.n, sizeof(*s->vary.v), cop_compare_ints);
	return 0;
}

/* What is written into lines of batch scripts must stay one line. */
static int check_lines(const struct cop_experiment *e, const char *name, struct cop_err *err)
{
	const char *const texts[] = {e->name, e->slurm.time, e->slurm.mem, e->slurm.partition, e->slurm.account};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strpbrk(texts[i], "\n\r"))
			return cop_fail(err, COP_EINPUT, "'%s': '%.40s' holds a line break", name, texts[i]);
	const char *const words[] = {e->slurm.partition, e->slurm.account};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strpbrk(words[i], " \t;'\"\\$`#"))
			return cop_fail(err, COP_EINPUT, "'%s': '%s' is no name of a partition or an account", name,
					words[i]);
	for (size_t i = 0; i < e->slurm.extra.n; i++)
		if (strpbrk(e->slurm.extra.v[i], "\n\r") || e->slurm.extra.v[i][0] != '-')
			return cop_fail(err, COP_EINPUT, "'%s': 'slurm.extra' holds '%.60s', which is no sbatch option",
					name, e->slurm.extra.v[i]);
	if (!*e->name || strpbrk(e->name, "/ \t%\"'\\$`"))
		return cop_fail(err, COP_EINPUT,
				"'%s': 'name' is '%s', but names jobs and files: letters, digits, '-', '_' and '.'",
				name, e->name);
	return 0;
}

/* Whether an sbatch option is one of the script's own: "--array=3", "-a3". */
static bool is_own_option(const char *option)
{
	static const char *const own[] = {"--array",  "--dependency", "--job-name",  "--open-mode",
					  "--output", "--signal",     "--no-requeue"};
	size_t n = strcspn(option, "= ");
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (strlen(own[i]) == n && strncmp(option, own[i], n) == 0)
			return true;
	return option[0] == '-' && option[1] && strchr("adJo", option[1]);
}

static int check_slurm(const struct cop_experiment *e, const char *name, struct cop_err *err)
{
	if (e->slurm.concurrent && e->slurm.max_running > 0 && e->slurm.cells_per_task > e->slurm.max_running)
		return cop_fail(err, COP_EINPUT,
				"'%s': a task runs 'slurm.cells_per_task' = %" PRId64
				" cells at once, more than 'slurm.max_running' = %" PRId64 " allows",
				name, e->slurm.cells_per_task, e->slurm.max_running);
	for (size_t i = 0; i < e->slurm.extra.n; i++)
		if (is_own_option(e->slurm.extra.v[i]))
			return cop_fail(err, COP_EINPUT,
					"'%s': 'slurm.extra' holds '%.60s', but the batch scripts need their own", name,
					e->slurm.extra.v[i]);
	return 0;
}

static int check_augmentation(const struct cop_experiment *e, const char *name, struct cop_err *err)
{
	if (e->data.resized_crop && e->data.crop_padding)
		return cop_fail(err, COP_EINPUT,
				"'%s': 'data.augment.resized_crop' and 'data.augment.crop_padding' both move images: "
				"choose one",
				name);
	return 0;
}

static int check_rates(const struct cop_experiment *e, const char *name, struct cop_err *err)
{
	struct cop_rates rates;
	if (cop_rates_parse(&rates, e->sweep.rates, err))
		return cop_context(err, "'%s': 'sweep.rates'", name);
	cop_rates_release(&rates);
	return 0;
}

static int check_ranks(const struct cop_experiment *e, const char *name, struct cop_err *err)
{
	return cop_ranks_check(e->train.batch, e->train.ranks, err) ? cop_context(err, "'%s'", name) : 0;
}

int cop_experiment_load(struct cop_experiment *e, const char *text, const char *name, const char *const *sets,
			size_t nsets, struct cop_err *err)
{
	*e = (struct cop_experiment){0};
	int rc = cop_params_load(&cop_experiment_params, e, text, name, sets, nsets, err);
	if (rc)
		return rc;
	rc = settle_rounds(e, name, err);
	if (!rc)
		rc = check_lists(e, name, err);
	if (!rc)
		rc = settle_ways(e, name, err);
	if (!rc)
		rc = check_lines(e, name, err);
	if (!rc)
		rc = check_slurm(e, name, err);
	if (!rc)
		rc = check_augmentation(e, name, err);
	if (!rc)
		rc = check_ranks(e, name, err);
	if (!rc)
		rc = check_rates(e, name, err);
	if (!rc && cop_model_settle(&e->model, err))
		rc = cop_context(err, "'%s'", name);
	if (rc)
		cop_experiment_release(e);
	return rc;
}

void cop_experiment_release(struct cop_experiment *e)
{
	cop_params_release(&cop_experiment_params, e);
}

bool cop_retrain_is_anew(int retrain)
{
	return retrain == COP_RETRAIN_REINIT || retrain == COP_RETRAIN_REINIT_SIGN;
}

bool cop_retrain_goes_on(int retrain)
{
	return retrain == COP_RETRAIN_LR_REWIND || retrain == COP_RETRAIN_FINE_TUNE;
}

bool cop_retrain_moves_mask(int retrain)
{
	return retrain == COP_RETRAIN_SHUFFLE || retrain == COP_RETRAIN_RANDOM;
}

struct cop_train_config cop_experiment_training(const struct cop_experiment *e, const struct cop_worker *w)
{
	/* beyond any seed of the file and replicate of it */
	static const int64_t sibling = INT64_C(1) << 54;
	struct cop_train_config c = e->train;
	if (c.scale_lr) {
		c.lr *= (double)c.ranks;
		c.final_lr *= (double)c.ranks;
	}
	c.scale_lr = false;
	if (!w->dense)
		c.ranks = 1;
	c.seed_init += cop_ints_hold(&e->sweep.vary, COP_SEED_INIT) ? w->replicate : 0;
	c.seed_order += (cop_ints_hold(&e->sweep.vary, COP_SEED_ORDER) ? w->replicate : 0) + w->child * sibling;
	c.seed_augment += (cop_ints_hold(&e->sweep.vary, COP_SEED_AUGMENT) ? w->replicate : 0) + w->child * sibling;
	return c;
}

int64_t cop_experiment_dense_gpus(const struct cop_experiment *e)
{
	int64_t gpus = e->slurm.gpus;
	return gpus > 0 && gpus < e->train.ranks ? e->train.ranks : gpus;
}

int cop_experiment_allocate(const struct cop_experiment *e, const struct cop_layout *l, double q,
			    struct cop_allocation *a, struct cop_err *err)
{
	const struct cop_reals *all = &e->sweep.quantiles;
	struct cop_rates rates;
	size_t rounds = 1;
	*a = (struct cop_allocation){0};
	while (e->sweep.rounds > 1 && rounds < all->n && all->v[rounds - 1] < q)
		rounds++;
	int rc = cop_rates_parse(&rates, e->sweep.rates, err);
	if (!rc)
		rc = cop_allocate(a, l, (enum cop_scope)e->sweep.scope, &rates, e->sweep.rounds > 1 ? all->v : &q,
				  rounds, err);
	cop_rates_release(&rates);
	return rc;
}

char *cop_experiment_text(const struct cop_experiment *e)
{
	return cop_params_text(&cop_experiment_params, e, 0);
}

void cop_experiment_hash(const struct cop_experiment *e, char hash[COP_HASH_TEXT])
{
	char *text = cop_params_text(&cop_experiment_params, e, COP_PARAM_COMPUTES);
	uint64_t value = cop_hash(COP_HASH_START, text, strlen(text));
	/* how many rounds there are changes nothing for those that are done, but one shot is another thing */
	if (e->sweep.rounds > 1)
		value = cop_hash(value, "rounds", strlen("rounds"));
	snprintf(hash, COP_HASH_TEXT, "%016" PRIx64, value);
	free(text);
}
