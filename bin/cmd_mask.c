/* coppice mask: make, apply, show and compare masks as files. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "commands.h"
#include "prune/mask.h"
#include "report/table.h"
#include "store/checkpoint.h"
#include "store/mask.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_SCOPE = 1000, KEY_JSON, KEY_FORCE, FILES_MAX = 3 };

enum how { HOW_NONE, HOW_QUANTILE, HOW_THRESHOLD, HOW_SPARSITY };

struct options {
	const char *file[FILES_MAX];
	int nfiles, wanted;
	enum how how;
	double value;
	bool layer, json, force;
};

static void choose_how(struct argp_state *state, struct options *o, enum how how, double value)
{
	if (o->how != HOW_NONE)
		argp_error(state, "one of --quantile, --threshold and --sparsity, not two");
	o->how = how;
	o->value = value;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	switch (key) {
	case 'q':
		choose_how(state, o, HOW_QUANTILE, cop_arg_real(state, "--quantile", arg, 0, 1));
		return 0;
	case 's':
		choose_how(state, o, HOW_SPARSITY, cop_arg_real(state, "--sparsity", arg, 0, 1));
		return 0;
	case 't':
		choose_how(state, o, HOW_THRESHOLD, cop_arg_real(state, "--threshold", arg, 0, HUGE_VAL));
		return 0;
	case KEY_SCOPE:
		if (strcmp(arg, "global") != 0 && strcmp(arg, "layer") != 0)
			argp_error(state, "--scope wants global or layer, not '%s'", arg);
		o->layer = strcmp(arg, "layer") == 0;
		return 0;
	case KEY_JSON:
		o->json = true;
		return 0;
	case KEY_FORCE:
		o->force = true;
		return 0;
	case ARGP_KEY_ARG:
		if (o->nfiles == o->wanted)
			argp_error(state, "'%s' is one file too many", arg);
		o->file[o->nfiles++] = arg;
		return 0;
	case ARGP_KEY_END:
		if (o->nfiles < o->wanted)
			argp_error(state, "which %s?", o->nfiles ? "other file" : "file");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option json_options[] = {{"json", KEY_JSON, NULL, 0, "print JSON", 0}, {0}};

static const struct argp_option apply_options[] = {{"force", KEY_FORCE, NULL, 0, "replace OUT.h5 where it exists", 0},
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
	{"scope", KEY_SCOPE, "global|layer", 0,
	 "count over all prunable weights together (the default), or in each tensor alone", 0},
	{"force", KEY_FORCE, NULL, 0, "replace MASK.h5 where it exists", 0},
	{"json", KEY_JSON, NULL, 0, "print JSON", 0},
	{0}};

/* What is printed of a tensor. */
static const struct cop_column show_columns[] = {
	{"tensor", COP_COLUMN_TEXT, 0},     {"shape", COP_COLUMN_TEXT, 0},   {"weights", COP_COLUMN_INT, 0},
	{"kept", COP_COLUMN_INT, 0},        {"density", COP_COLUMN_REAL, 4}, {"dead outputs", COP_COLUMN_INT, 0},
	{"dead inputs", COP_COLUMN_INT, 0},
};

static int fill_show(struct cop_table *t, const struct cop_layout *l, const uint8_t *mask, struct cop_err *err)
{
	char shape[128];
	size_t outputs, inputs, dead_outputs = 0, dead_inputs = 0;
	for (size_t i = 0; i < l->n; i++) {
		const struct cop_tensor *p = &l->tensor[i];
		if (!p->prunable)
			continue;
		size_t kept = cop_mask_kept(p, mask);
		int rc = cop_mask_dead(p, mask, &outputs, &inputs, err);
		if (rc)
			return rc;
		cop_table_text(t, p->name);
		cop_table_text(t, cop_shape_text(p, shape, sizeof(shape)));
		cop_table_int(t, (int64_t)p->count);
		cop_table_int(t, (int64_t)kept);
		cop_table_real(t, p->count ? (double)kept / (double)p->count : NAN);
		cop_table_int(t, (int64_t)outputs);
		cop_table_int(t, (int64_t)inputs);
		dead_outputs += outputs;
		dead_inputs += inputs;
	}
	size_t total = cop_layout_count(l, true), kept = cop_mask_nnz(l, mask);
	cop_table_text(t, "total");
	cop_table_none(t);
	cop_table_int(t, (int64_t)total);
	cop_table_int(t, (int64_t)kept);
	cop_table_real(t, total ? (double)kept / (double)total : NAN);
	cop_table_int(t, (int64_t)dead_outputs);
	cop_table_int(t, (int64_t)dead_inputs);
	return 0;
}

static void print_json(cJSON *j)
{
	char *text = cJSON_Print(j);
	puts(text);
	free(text);
	cJSON_Delete(j);
}

/* How a mask was made, and its table. */
static int print_mask(const char *path, const struct cop_mask_file *m, const struct cop_layout *l, const uint8_t *mask,
		      bool json, struct cop_err *err)
{
	struct cop_table t;
	cop_table_init(&t, show_columns, sizeof(show_columns) / sizeof(show_columns[0]));
	int rc = fill_show(&t, l, mask, err);
	if (!rc && json) {
		cJSON *j = cJSON_CreateObject();
		cJSON_AddStringToObject(j, "file", path);
		cop_json_add_num(j, "quantile", m->quantile);
		cop_json_add_num(j, "threshold", m->threshold);
		cJSON_AddStringToObject(j, "scope", m->scope);
		cJSON_AddStringToObject(j, "criterion", m->criterion);
		cop_json_add_num(j, "total", (double)cop_layout_count(l, true));
		cop_json_add_num(j, "nnz", (double)cop_mask_nnz(l, mask));
		cJSON_AddItemToObject(j, "tensors", cop_table_json(&t));
		print_json(j);
	} else if (!rc) {
		printf("quantile %.9g, threshold %.9g%s%s%s%s\n\n", m->quantile, m->threshold,
		       m->scope[0] ? ", scope " : "", m->scope, m->criterion[0] ? ", criterion " : "", m->criterion);
		cop_table_print(&t, stdout, false);
	}
	cop_table_release(&t);
	return rc;
}

static int prune(const struct options *o, const struct cop_checkpoint *c, uint8_t *mask, struct cop_mask_file *m,
		 struct cop_err *err)
{
	size_t total = cop_layout_count(&c->params, true);
	int rc;
	if (total == 0)
		return cop_fail(err, COP_EINPUT, "'%s' has no prunable weights", o->file[0]);
	snprintf(m->scope, sizeof(m->scope), "%s", o->layer ? "layer" : "global");
	snprintf(m->criterion, sizeof(m->criterion), "magnitude");
	m->quantile = m->threshold = o->value;
	if (o->how == HOW_THRESHOLD)
		rc = cop_prune_below(&c->params, c->param, o->value, mask, err);
	else if (o->layer)
		rc = cop_prune_layers(&c->params, c->param, o->value, mask, &m->threshold, err);
	else
		rc = cop_prune_global(&c->params, c->param, cop_prune_count(o->value, total), mask, &m->threshold, err);
	if (rc)
		return cop_context(err, "'%s'", o->file[0]);
	if (o->how == HOW_THRESHOLD)
		m->quantile = 1 - (double)cop_mask_nnz(&c->params, mask) / (double)total;
	return 0;
}

/* A file that is there is kept, above all one that is read. */
static int check_output(const struct options *o, const char *path, struct cop_err *err)
{
	if (!o->force && cop_exists(path))
		return cop_fail(err, COP_EINPUT, "'%s' exists (--force replaces it)", path);
	return 0;
}

static int make(const struct options *o, struct cop_err *err)
{
	struct cop_checkpoint c = {0};
	struct cop_mask_file m = {0};
	uint8_t *mask = NULL;
	int rc = check_output(o, o->file[1], err);
	if (!rc)
		rc = cop_checkpoint_read(o->file[0], &c, false, err);
	if (rc)
		return rc;
	rc = cop_alloc(&mask, c.params.total, 1, "a mask", err);
	if (!rc)
		rc = prune(o, &c, mask, &m, err);
	if (!rc)
		rc = cop_mask_file_write(o->file[1], &c.params, mask, &m, err);
	if (!rc)
		rc = print_mask(o->file[1], &m, &c.params, mask, o->json, err);
	free(mask);
	cop_checkpoint_release(&c);
	return rc;
}

static bool same_shape(const struct cop_tensor *a, const struct cop_tensor *b)
{
	return a->rank == b->rank && memcmp(a->dim, b->dim, sizeof(a->dim)) == 0;
}

/* Every tensor of `a` that is prunable must be in `b` too, with its shape. */
static int check_covered(const struct cop_layout *a, const char *a_path, const struct cop_layout *b, const char *b_path,
			 struct cop_err *err)
{
	char one[128], other[128];
	for (size_t i = 0; i < a->n; i++) {
		const struct cop_tensor *s = &a->tensor[i], *t = cop_layout_find(b, s->name);
		if (!s->prunable)
			continue;
		if (!t)
			return cop_fail(err, COP_EINPUT, "'%s' has '%s', '%s' does not", a_path, s->name, b_path);
		if (!same_shape(s, t))
			return cop_fail(err, COP_EINPUT, "'%s' is %s in '%s' and %s in '%s'", s->name,
					cop_shape_text(s, one, sizeof(one)), a_path,
					cop_shape_text(t, other, sizeof(other)), b_path);
	}
	return 0;
}

static int check_match(const struct cop_layout *a, const char *a_path, const struct cop_layout *b, const char *b_path,
		       struct cop_err *err)
{
	int rc = check_covered(a, a_path, b, b_path, err);
	return rc ? rc : check_covered(b, b_path, a, a_path, err);
}

/* The bytes of a file's masks in another layout of the same tensors; what it does not hold is kept. */
static int spread_mask(const struct cop_mask_file *m, const struct cop_layout *l, uint8_t **mask, struct cop_err *err)
{
	int rc = cop_alloc(mask, l->total, 1, "a mask", err);
	if (rc)
		return rc;
	memset(*mask, 1, l->total);
	for (size_t i = 0; i < m->layout.n; i++) {
		const struct cop_tensor *from = &m->layout.tensor[i], *to = cop_layout_find(l, from->name);
		memcpy(*mask + to->offset, m->mask + from->offset, from->count);
	}
	return 0;
}

static int apply(const struct options *o, struct cop_err *err)
{
	struct cop_mask_file m;
	struct cop_checkpoint c = {0};
	uint8_t *mask = NULL;
	int rc = check_output(o, o->file[2], err);
	if (!rc)
		rc = cop_mask_file_read(o->file[0], &m, err);
	if (rc)
		return rc;
	rc = cop_checkpoint_read(o->file[1], &c, true, err);
	if (!rc)
		rc = check_match(&m.layout, o->file[0], &c.params, o->file[1], err);
	if (!rc)
		rc = spread_mask(&m, &c.params, &mask, err);
	if (!rc) {
		cop_mask_apply(&c.params, mask, c.param);
		for (size_t s = 0; s < c.nslots; s++)
			cop_mask_apply(&c.params, mask, c.slot[s]);
		rc = cop_checkpoint_write(o->file[2], &c, err);
	}
	if (!rc)
		rc = print_mask(o->file[0], &m, &m.layout, m.mask, o->json, err);
	free(mask);
	cop_checkpoint_release(&c);
	cop_mask_file_release(&m);
	return rc;
}

static int show(const struct options *o, struct cop_err *err)
{
	struct cop_mask_file m;
	int rc = cop_mask_file_read(o->file[0], &m, err);
	if (rc)
		return rc;
	rc = print_mask(o->file[0], &m, &m.layout, m.mask, o->json, err);
	cop_mask_file_release(&m);
	return rc;
}

static const struct cop_column compare_columns[] = {
	{"tensor", COP_COLUMN_TEXT, 0},   {"weights", COP_COLUMN_INT, 0}, {"kept by A", COP_COLUMN_INT, 0},
	{"kept by B", COP_COLUMN_INT, 0}, {"by both", COP_COLUMN_INT, 0}, {"overlap", COP_COLUMN_REAL, 4},
	{"jaccard", COP_COLUMN_REAL, 4},
};

static void add_overlap(struct cop_table *t, const char *name, const struct cop_overlap *o)
{
	cop_table_text(t, name);
	cop_table_int(t, (int64_t)o->total);
	cop_table_int(t, (int64_t)o->a);
	cop_table_int(t, (int64_t)o->b);
	cop_table_int(t, (int64_t)o->both);
	cop_table_real(t, cop_overlap_fraction(o));
	cop_table_real(t, cop_overlap_jaccard(o));
}

static void print_overlap(const struct options *o, const struct cop_layout *l, const uint8_t *a, const uint8_t *b)
{
	struct cop_table t;
	struct cop_overlap all = {0};
	cop_table_init(&t, compare_columns, sizeof(compare_columns) / sizeof(compare_columns[0]));
	for (size_t i = 0; i < l->n; i++) {
		struct cop_overlap one = cop_mask_overlap(&l->tensor[i], a, b);
		add_overlap(&t, l->tensor[i].name, &one);
		all.total += one.total;
		all.a += one.a;
		all.b += one.b;
		all.both += one.both;
	}
	add_overlap(&t, "total", &all);
	if (o->json) {
		cJSON *j = cJSON_CreateObject();
		cJSON_AddStringToObject(j, "a", o->file[0]);
		cJSON_AddStringToObject(j, "b", o->file[1]);
		cop_json_add_num(j, "overlap", cop_overlap_fraction(&all));
		cop_json_add_num(j, "jaccard", cop_overlap_jaccard(&all));
		cJSON_AddItemToObject(j, "tensors", cop_table_json(&t));
		print_json(j);
	} else {
		cop_table_print(&t, stdout, false);
	}
	cop_table_release(&t);
}

static int compare(const struct options *o, struct cop_err *err)
{
	struct cop_mask_file a, b = {0};
	uint8_t *mask = NULL;
	int rc = cop_mask_file_read(o->file[0], &a, err);
	if (rc)
		return rc;
	rc = cop_mask_file_read(o->file[1], &b, err);
	if (!rc)
		rc = check_match(&a.layout, o->file[0], &b.layout, o->file[1], err);
	if (!rc)
		rc = spread_mask(&b, &a.layout, &mask, err);
	if (!rc)
		print_overlap(o, &a.layout, a.mask, mask);
	free(mask);
	cop_mask_file_release(&a);
	cop_mask_file_release(&b);
	return rc;
}

struct action {
	const char *name;
	int files;
	int (*run)(const struct options *o, struct cop_err *err);
	struct argp argp;
};

#define ARGS(table, args, text)                                                         \
	{                                                                               \
		.options = table, .parser = parse_option, .args_doc = args, .doc = text \
	}

static const struct action actions[] = {
	{"make", 2, make,
	 ARGS(make_options, "CHECKPOINT MASK.h5", "Cut a checkpoint's weights by magnitude into a mask.")},
	{"apply", 3, apply,
	 ARGS(apply_options, "MASK CHECKPOINT OUT.h5",
	      "Write the checkpoint with the parameters and the optimizer's state that the mask cuts at 0. MASK may be "
	      "a "
	      "cell's file.")},
	{"show", 1, show,
	 ARGS(json_options, "MASK",
	      "Show what a mask (or the masks of a cell's file) keeps, by tensor. Dead outputs and inputs are units "
	      "that "
	      "keep no weight.")},
	{"compare", 2, compare,
	 ARGS(json_options, "A B",
	      "Compare two masks of one network: overlap is |A and B| / min(|A|, |B|), jaccard |A and B| / |A or B|.")},
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
	struct options o = {.wanted = a->files};
	struct cop_err err = {0};
	argv[1] = cop_xasprintf("coppice mask %s", a->name);
	cop_parse_args(&a->argp, argc - 1, argv + 1, &o);
	int rc = 0;
	if (a->run == make && o.how == HOW_NONE)
		rc = cop_fail(&err, COP_EINPUT, "'mask make' wants --quantile, --threshold or --sparsity");
	if (!rc)
		rc = a->run(&o, &err);
	return cop_exit_code(rc, &err);
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
