/* coppice mask: make, apply, shuffle, show and compare masks as files. */
#include "base/mem.h"
#include "base/param.h"
#include "commands.h"
#include "masks.h"
#include "prune/criterion.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_SCOPE = 1000, KEY_RATE, KEY_CRITERION, KEY_INIT, KEY_SEED, KEY_ANEW, KEY_MEASURE, KEY_JSON, KEY_FORCE };

struct action {
	const char *name;
	size_t least, most; /* files */
	int (*run)(const struct mask_options *o, struct cop_err *err);
	struct argp argp;
};

struct parsing {
	const struct action *action;
	struct mask_options o;
};

static void choose_how(struct argp_state *state, struct mask_options *o, enum mask_how how, double value)
{
	if (o->how != MASK_NONE)
		argp_error(state, "one of --quantile, --threshold and --sparsity, not two");
	o->how = how;
	o->value = value;
}

/* The place of `arg` in "this|that". */
static int choose(struct argp_state *state, const char *option, const char *choices, const char *arg)
{
	int k = cop_choice_find(choices, arg);
	if (k < 0)
		argp_error(state, "%s wants one of %s, not '%s'", option, choices, arg);
	return k;
}

static void add_rate(struct argp_state *state, struct cop_rates *r, const char *arg)
{
	const char *eq = strrchr(arg, '=');
	if (!eq || eq == arg)
		argp_error(state, "--rate wants LAYER=FACTOR, not '%s'", arg);
	double factor = cop_arg_real(state, "--rate", eq + 1, 0, 1e300);
	r->rate = cop_xrealloc(r->rate, r->n + 1, sizeof(*r->rate));
	r->rate[r->n++] = (struct cop_rate){cop_xasprintf("%.*s", (int)(eq - arg), arg), factor};
}

static void add_file(struct argp_state *state, const struct parsing *p, struct mask_options *o, const char *arg)
{
	if (o->nfiles == p->action->most)
		argp_error(state, "'%s' is one file too many", arg);
	o->file = cop_xrealloc(o->file, o->nfiles + 1, sizeof(*o->file));
	o->file[o->nfiles++] = arg;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct parsing *p = state->input;
	struct mask_options *o = &p->o;
	switch (key) {
	case 'q':
		choose_how(state, o, MASK_QUANTILE, cop_arg_real(state, "--quantile", arg, 0, 1));
		return 0;
	case 's':
		choose_how(state, o, MASK_SPARSITY, cop_arg_real(state, "--sparsity", arg, 0, 1));
		return 0;
	case 't':
		choose_how(state, o, MASK_THRESHOLD, cop_arg_real(state, "--threshold", arg, 0, HUGE_VAL));
		return 0;
	case KEY_SCOPE:
		o->scope = (enum cop_scope)choose(state, "--scope", COP_SCOPE_CHOICES, arg);
		return 0;
	case KEY_RATE:
		add_rate(state, &o->rates, arg);
		return 0;
	case KEY_CRITERION:
		o->criterion = choose(state, "--criterion", COP_CRITERION_CHOICES, arg);
		return 0;
	case KEY_INIT:
		o->init = arg;
		return 0;
	case KEY_SEED:
		o->seed = (uint64_t)cop_arg_int(state, "--seed", arg, 0, INT64_MAX);
		return 0;
	case KEY_ANEW:
		o->anew = true;
		return 0;
	case KEY_MEASURE:
		o->overlap = choose(state, "--measure", "jaccard|overlap", arg) == 1;
		return 0;
	case KEY_JSON:
		o->json = true;
		return 0;
	case KEY_FORCE:
		o->force = true;
		return 0;
	case ARGP_KEY_ARG:
		add_file(state, p, o, arg);
		return 0;
	case ARGP_KEY_END:
		if (o->nfiles < p->action->least)
			argp_error(state, "which %s?", o->nfiles ? "other file" : "file");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option show_options[] = {{"json", KEY_JSON, NULL, 0, "print JSON", 0}, {0}};

static const struct argp_option compare_options[] = {
	{"quantile", 'q', "Q", 0, "of a run: only the cells that cut so much (default: one table a quantile)", 0},
	{"measure", KEY_MEASURE, "jaccard|overlap", 0,
	 "what a table of several masks shows: |A and B| / |A or B| (the default), or |A and B| / min(|A|, |B|)", 0},
	{"json", KEY_JSON, NULL, 0, "print JSON, with both measures", 0},
	{0}};

static const struct argp_option apply_options[] = {{"force", KEY_FORCE, NULL, 0, "replace OUT.h5 where it exists", 0},
						   {"json", KEY_JSON, NULL, 0, "print JSON", 0},
						   {0}};

static const struct argp_option shuffle_options[] = {
	{"seed", KEY_SEED, "N", 0, "of the draw (default: 1)", 0},
	{"anew", KEY_ANEW, NULL, 0, "draw among all prunable weights, not within each tensor", 0},
	{"force", KEY_FORCE, NULL, 0, "replace OUT.h5 where it exists", 0},
	{"json", KEY_JSON, NULL, 0, "print JSON", 0},
	{0}};

static const struct argp_option make_options[] = {
	{"quantile", 'q', "Q", 0,
	 "cut the magnitudes below the Q-quantile: exactly round(Q*P) of the P weights, equal magnitudes in order of "
	 "position",
	 0},
	{"sparsity", 's', "S", 0,
	 "the same said from the other side: the fraction of prunable weights that is 0 afterwards. Both give exact "
	 "counts",
	 0},
	{"threshold", 't', "T", 0,
	 "cut every magnitude up to T itself; how many those are is up to the weights, and the scope does not matter",
	 0},
	{"scope", KEY_SCOPE, COP_SCOPE_CHOICES, 0,
	 "how many go of which layer: all weights compete (the default), the same part of each, the same part of each "
	 "but the first, or densities of the Erdos-Renyi kernel",
	 0},
	{"rate", KEY_RATE, "LAYER=FACTOR", 0,
	 "cut a layer by itself, at so many times the rate of the others; LAYER may have wildcards; again for others",
	 0},
	{"criterion", KEY_CRITERION, "NAME", 0,
	 "what is smallest: magnitude (the default), change or magnitude-same-sign (with --init), random, or "
	 "random-layerwise: as many of each tensor as magnitude cuts. Those that want training images take a sweep",
	 0},
	{"init", KEY_INIT, "FILE", 0, "change, magnitude-same-sign: the checkpoint of the initial weights", 0},
	{"seed", KEY_SEED, "N", 0, "random, random-layerwise: of the draw (default: 1)", 0},
	{"force", KEY_FORCE, NULL, 0, "replace MASK.h5 where it exists", 0},
	{"json", KEY_JSON, NULL, 0, "print JSON", 0},
	{0}};

#define ARGS(table, args, text)                                                         \
	{                                                                               \
		.options = table, .parser = parse_option, .args_doc = args, .doc = text \
	}

static const struct action actions[] = {
	{"make", 2, 2, mask_make, ARGS(make_options, "CHECKPOINT MASK.h5", "Cut a checkpoint's weights into a mask.")},
	{"apply", 3, 3, mask_apply,
	 ARGS(apply_options, "MASK CHECKPOINT OUT.h5",
	      "Write the checkpoint with the parameters and the optimizer's state that the mask cuts at 0. MASK may be "
	      "a cell's file.")},
	{"shuffle", 2, 2, mask_shuffle,
	 ARGS(shuffle_options, "MASK OUT.h5",
	      "Write a mask of chance that keeps as many weights of each tensor as MASK does. MASK may be a cell's "
	      "file.")},
	{"show", 1, SIZE_MAX, mask_show,
	 ARGS(show_options, "MASK...",
	      "Show what a mask (or the masks of a cell's file) keeps, by tensor; of several masks the densities side "
	      "by side. Dead outputs and inputs are units that keep no weight; a tensor that keeps none has "
	      "collapsed.")},
	{"compare", 1, SIZE_MAX, mask_compare,
	 ARGS(compare_options, "A B...|RUN",
	      "Compare masks of one network: two by tensor, several each with each, or those of a run's cells of equal "
	      "quantile. Overlap is |A and B| / min(|A|, |B|), jaccard |A and B| / |A or B|.")},
};

enum { NACTIONS = sizeof(actions) / sizeof(actions[0]) };

static void print_usage(FILE *to)
{
	fprintf(to, "Usage: coppice mask ACTION [ARGUMENTS]\n\n");
	for (size_t i = 0; i < NACTIONS; i++)
		fprintf(to, "  %-8s %-24s %s\n", actions[i].name, actions[i].argp.args_doc, actions[i].argp.doc);
	fprintf(to, "\n'coppice mask ACTION --help' tells an action's options.\n");
}

static int run_action(const struct action *a, int argc, char **argv)
{
	struct parsing p = {.action = a, .o = {.seed = 1}};
	struct cop_err err = {0};
	argv[1] = cop_xasprintf("coppice mask %s", a->name);
	cop_parse_args(&a->argp, argc - 1, argv + 1, &p);
	int rc = cop_exit_code(a->run(&p.o, &err), &err);
	cop_rates_release(&p.o.rates);
	free(p.o.file);
	return rc;
}

int cmd_mask(int argc, char **argv)
{
	cop_console_start(false);
	if (argc < 2) {
		print_usage(stderr);
		return -COP_EINPUT;
	}
	for (size_t i = 0; i < NACTIONS; i++)
		if (strcmp(argv[1], actions[i].name) == 0)
			return run_action(&actions[i], argc, argv);
	if (strcmp(argv[1], "--help") == 0) {
		print_usage(stdout);
		return 0;
	}
	fprintf(stderr, "coppice: 'mask' has no action '%s'; 'coppice mask --help' lists them\n", argv[1]);
	return -COP_EINPUT;
}
