/* coppice quantile: exact quantiles of the magnitudes in any HDF5 file. */
#include "base/cpu.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "commands.h"
#include "prune/quantile.h"
#include "report/table.h"
#include "store/scan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUANTILES_MAX = 10000, KEY_GRID = 1000, KEY_SCOPE, KEY_PER_TENSOR, KEY_THREADS, KEY_JSON };

struct options {
	const char *path;
	double *q;
	size_t nq, cap;
	bool all, per_tensor, json;
	int threads;
};

static const struct argp_option options[] = {
	{"quantiles", 'q', "Q,Q,…", 0, "the quantiles, each in 0..1 (default 0.5,0.6,0.7,0.8,0.9,0.95,0.98,0.99)", 0},
	{"grid", KEY_GRID, "FROM:TO:STEP", 0, "quantiles at even steps, TO included; adds to -q", 0},
	{"scope", KEY_SCOPE, "prunable|all", 0,
	 "which tensors: in coppice's own files, parameters marked prunable (the default), or all parameters and "
	 "buffers; "
	 "in other files, those marked prunable or, where none is marked, those of rank 2 and more; or every float "
	 "tensor",
	 0},
	{"per-tensor", KEY_PER_TENSOR, NULL, 0, "also each tensor by itself", 0},
	{"threads", KEY_THREADS, "N", 0, "threads that count (default: one a processor)", 0},
	{"json", KEY_JSON, NULL, 0, "print JSON", 0},
	{0}};

static void add_quantile(struct argp_state *state, struct options *o, double q)
{
	if (o->nq == QUANTILES_MAX)
		argp_error(state, "more than %d quantiles", QUANTILES_MAX);
	o->q = cop_grow(o->q, &o->cap, o->nq + 1, sizeof(*o->q));
	o->q[o->nq++] = q;
}

static void parse_list(struct argp_state *state, struct options *o, const char *text)
{
	char *copy = cop_xstrdup(text), *rest = copy, *word;
	while ((word = strsep(&rest, ",")))
		add_quantile(state, o, cop_arg_real(state, "-q", word, 0, 1));
	free(copy);
}

/* The decimal number that is meant by what arithmetic made of it: 0.15, not 0.15000000000000002. */
static double nearest_decimal(double v)
{
	char text[32];
	snprintf(text, sizeof(text), "%.12g", v);
	return strtod(text, NULL);
}

static void parse_grid(struct argp_state *state, struct options *o, const char *text)
{
	char *copy = cop_xstrdup(text), *rest = copy;
	const char *word[3];
	for (size_t i = 0; i < 3; i++)
		word[i] = strsep(&rest, ":");
	if (rest || !word[2])
		argp_error(state, "--grid wants FROM:TO:STEP, not '%s'", text);
	double from = cop_arg_real(state, "--grid's FROM", word[0], 0, 1);
	double to = cop_arg_real(state, "--grid's TO", word[1], from, 1);
	double step = cop_arg_real(state, "--grid's STEP", word[2], 1e-9, 1);
	double steps = floor((to - from) / step + 1e-6);
	if (steps >= QUANTILES_MAX)
		argp_error(state, "--grid '%s' has more than %d quantiles", text, QUANTILES_MAX);
	for (double i = 0; i <= steps; i++)
		add_quantile(state, o, fmin(nearest_decimal(from + i * step), to));
	free(copy);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	switch (key) {
	case 'q':
		parse_list(state, o, arg);
		return 0;
	case KEY_GRID:
		parse_grid(state, o, arg);
		return 0;
	case KEY_SCOPE:
		if (strcmp(arg, "all") != 0 && strcmp(arg, "prunable") != 0)
			argp_error(state, "--scope wants prunable or all, not '%s'", arg);
		o->all = strcmp(arg, "all") == 0;
		return 0;
	case KEY_PER_TENSOR:
		o->per_tensor = true;
		return 0;
	case KEY_THREADS:
		o->threads = (int)cop_arg_int(state, "--threads", arg, 1, 1024);
		return 0;
	case KEY_JSON:
		o->json = true;
		return 0;
	case ARGP_KEY_ARG:
		if (o->path)
			argp_error(state, "one FILE, not '%s' too", arg);
		o->path = arg;
		return 0;
	case ARGP_KEY_END:
		if (!o->path)
			argp_error(state, "which FILE?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "FILE",
	.doc = "Exact quantiles of the magnitudes of the float tensors in FILE, any HDF5 file (coppice's, Keras's, "
	       "h5py's), "
	       "with linear interpolation like numpy.quantile's, in bounded memory.\vPruning at quantile q cuts the "
	       "weights "
	       "whose magnitude is below the value that is shown for q. Infinities count as the largest magnitudes; "
	       "NaN "
	       "is an error that says where it is.",
};

/* The tensors that are looked at: all of the file's, or a part. */
struct choice {
	const struct cop_scan *scan;
	size_t *tensor;
	size_t n;
};

struct result {
	struct cop_summary sum;
	double *value; /* by quantile */
};

static int read_choice(void *user, cop_block_fn *visit, void *to, struct cop_err *err)
{
	const struct choice *c = user;
	int rc = 0;
	for (size_t i = 0; i < c->n && !rc; i++)
		rc = cop_scan_read(c->scan, c->tensor[i], visit, to, err);
	return rc;
}

static int compute(const struct choice *choice, const struct options *o, struct result *r, struct cop_err *err)
{
	struct choice c = *choice;
	struct cop_source source = {.type = COP_FLOAT16, .read = read_choice, .user = &c};
	for (size_t i = 0; i < c.n; i++) {
		enum cop_float type = c.scan->tensor[c.tensor[i]].type;
		source.type = type > source.type ? type : source.type;
	}
	r->value = cop_xcalloc(o->nq, sizeof(*r->value));
	return cop_quantile(&source, o->q, o->nq, o->threads, &r->sum, r->value, err);
}

static int list_tensors(struct cop_scan *scan, bool all, struct cop_err *err)
{
	int rc;
	if (strncmp(cop_h5_format(scan->file), "coppice-", 8) != 0)
		return cop_scan_list(scan, "/", err);
	rc = cop_scan_list(scan, "/params", err);
	return rc || !all ? rc : cop_scan_list(scan, "/buffers", err);
}

static int choose_tensors(const struct cop_scan *scan, bool all, struct choice *c, struct cop_err *err)
{
	const char *path = cop_h5_path(scan->file);
	*c = (struct choice){.scan = scan, .tensor = cop_xcalloc(scan->n, sizeof(size_t))};
	if (scan->skipped)
		cop_warn("'%s': left out %zu dataset%s of numbers wider than float64", path, scan->skipped,
			 scan->skipped == 1 ? "" : "s");
	if (!all && !scan->marked && scan->n)
		cop_info("no tensor of '%s' is marked prunable: taking those of rank 2 and more", path);
	for (size_t i = 0; i < scan->n; i++)
		if (all || (scan->marked ? scan->tensor[i].prunable : scan->tensor[i].rank >= 2))
			c->tensor[c->n++] = i;
	if (scan->n == 0)
		return cop_fail(err, COP_EINPUT, "'%s' holds no float tensors", path);
	if (c->n == 0)
		return cop_fail(err, COP_EINPUT, "none of the %zu float tensors of '%s' is prunable (try --scope all)",
				scan->n, path);
	return 0;
}

static const struct cop_column summary_columns[] = {
	{"tensor", COP_COLUMN_TEXT, 0}, {"count", COP_COLUMN_INT, 0},   {"zeros", COP_COLUMN_INT, 0},
	{"min", COP_COLUMN_GENERAL, 9}, {"max", COP_COLUMN_GENERAL, 9}, {"mean", COP_COLUMN_GENERAL, 9},
};

static const struct cop_column value_columns[] = {
	{"tensor", COP_COLUMN_TEXT, 0}, {"quantile", COP_COLUMN_GENERAL, 9}, {"magnitude", COP_COLUMN_GENERAL, 9}};

/* Row i of `n`: a tensor, or, last, the total. */
static const char *row_name(const struct choice *c, size_t i)
{
	return i < c->n ? c->scan->tensor[c->tensor[i]].name : "total";
}

static void print_text(const struct choice *c, const struct options *o, const struct result *r)
{
	struct cop_table t;
	cop_table_init(&t, summary_columns, 6);
	for (size_t i = o->per_tensor ? 0 : c->n; i <= c->n; i++) {
		const struct cop_summary *s = &r[i].sum;
		cop_table_text(&t, row_name(c, i));
		cop_table_int(&t, (int64_t)s->count);
		cop_table_int(&t, (int64_t)s->zeros);
		cop_table_real(&t, s->min);
		cop_table_real(&t, s->max);
		cop_table_real(&t, s->mean);
	}
	cop_table_print(&t, stdout, false);
	cop_table_release(&t);
	putchar('\n');
	cop_table_init(&t, value_columns, 3);
	for (size_t i = o->per_tensor ? 0 : c->n; i <= c->n; i++)
		for (size_t k = 0; k < o->nq; k++) {
			cop_table_text(&t, row_name(c, i));
			cop_table_real(&t, o->q[k]);
			cop_table_real(&t, r[i].value[k]);
		}
	cop_table_print(&t, stdout, false);
	cop_table_release(&t);
}

static cJSON *result_json(const char *name, const struct options *o, const struct result *r)
{
	cJSON *j = cJSON_CreateObject(), *list = cJSON_CreateArray();
	if (name)
		cJSON_AddStringToObject(j, "tensor", name);
	cop_json_add_num(j, "count", (double)r->sum.count);
	cop_json_add_num(j, "zeros", (double)r->sum.zeros);
	cop_json_add_num(j, "min", r->sum.min);
	cop_json_add_num(j, "max", r->sum.max);
	cop_json_add_num(j, "mean", r->sum.mean);
	for (size_t k = 0; k < o->nq; k++) {
		cJSON *pair = cJSON_CreateObject();
		cop_json_add_num(pair, "quantile", o->q[k]);
		cop_json_add_num(pair, "magnitude", r->value[k]);
		cJSON_AddItemToArray(list, pair);
	}
	cJSON_AddItemToObject(j, "quantiles", list);
	return j;
}

static void print_json(const struct choice *c, const struct options *o, const struct result *r)
{
	cJSON *j = cJSON_CreateObject();
	cJSON_AddStringToObject(j, "file", o->path);
	cJSON_AddStringToObject(j, "scope", o->all ? "all" : "prunable");
	cJSON_AddItemToObject(j, "total", result_json(NULL, o, &r[c->n]));
	if (o->per_tensor) {
		cJSON *list = cJSON_AddArrayToObject(j, "tensors");
		for (size_t i = 0; i < c->n; i++)
			cJSON_AddItemToArray(list, result_json(row_name(c, i), o, &r[i]));
	}
	char *text = cJSON_Print(j);
	puts(text);
	free(text);
	cJSON_Delete(j);
}

static int run(const struct options *o, struct cop_err *err)
{
	struct cop_scan scan = {0};
	struct choice c = {0};
	struct result *r = NULL;
	int rc = cop_h5_open(&scan.file, o->path, NULL, err);
	if (rc)
		return rc;
	rc = list_tensors(&scan, o->all, err);
	if (!rc)
		rc = choose_tensors(&scan, o->all, &c, err);
	r = cop_xcalloc(c.n + 1, sizeof(*r));
	for (size_t i = 0; o->per_tensor && i < c.n && !rc; i++)
		rc = compute(&(struct choice){&scan, &c.tensor[i], 1}, o, &r[i], err);
	if (!rc)
		rc = compute(&c, o, &r[c.n], err);
	if (!rc)
		(o->json ? print_json : print_text)(&c, o, r);
	for (size_t i = 0; i <= c.n; i++)
		free(r[i].value);
	free(r);
	free(c.tensor);
	cop_scan_release(&scan);
	cop_h5_close(scan.file);
	return rc;
}

int cmd_quantile(int argc, char **argv)
{
	static const double usual[] = {0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99};
	struct options o = {.threads = cop_cpu_count()};
	struct cop_err err = {0};
	cop_console_start(false);
	cop_parse_args(&argp, argc, argv, &o);
	if (o.nq == 0) {
		o.nq = sizeof(usual) / sizeof(usual[0]);
		o.q = cop_xmalloc(sizeof(usual));
		memcpy(o.q, usual, sizeof(usual));
	}
	int code = cop_exit_code(run(&o, &err), &err);
	free(o.q);
	return code;
}
