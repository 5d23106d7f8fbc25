/* coppice connect: linear mode connectivity of the children of cells. */
#include "base/json.h"
#include "base/log.h"
#include "commands.h"
#include "report/places.h"
#include "report/table.h"
#include "stop.h"
#include "sweep/connect.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct args {
	const char *run;
	struct cop_connect_options options;
	bool json;
};

enum { KEY_POINTS = 256, KEY_BATCHES, KEY_TRAIN, POINTS = 30, BATCHES = 100 };

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct args *a = state->input;
	switch (key) {
	case 'j':
		a->json = true;
		return 0;
	case 't':
		a->options.threads = (int)cop_arg_int(state, "--threads", arg, 0, 4096);
		return 0;
	case KEY_POINTS:
		a->options.points = cop_arg_int(state, "--points", arg, 2, 10000);
		return 0;
	case KEY_BATCHES:
		a->options.batches = cop_arg_int(state, "--batches", arg, 0, 1000000000);
		return 0;
	case KEY_TRAIN:
		a->options.train = true;
		a->options.train_images = arg ? cop_arg_int(state, "--train", arg, 1, 1000000000) : 0;
		return 0;
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &a->run;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option options[] = {
	{"points", KEY_POINTS, "N", 0, "Points of each line, its ends included (default: 30)", 0},
	{"train", KEY_TRAIN, "N", OPTION_ARG_OPTIONAL,
	 "Measure the training split as well, or its first N images (default: only the test split)", 0},
	{"batches", KEY_BATCHES, "N", 0,
	 "Batches of training that batch norm's running statistics are estimated from at each point; 0: they are "
	 "interpolated as weights are (default: 100)",
	 0},
	{"threads", 't', "N", 0, "Threads (default: the experiment's)", 0},
	{"json", 'j', NULL, 0, "Print as JSON, with every point of every line", 0},
	{0},
};

/* The last column is there where training images were measured. */
static const struct cop_column pair_columns[] = {
	{"replicate", COP_COLUMN_INT, 0},     {"criterion", COP_COLUMN_TEXT, 0},
	{"retrain", COP_COLUMN_TEXT, 0},      {"quantile", COP_COLUMN_GENERAL, 4},
	{"left %", COP_COLUMN_PERCENT, 1},    {"reset", COP_COLUMN_TEXT, 0},
	{"pair", COP_COLUMN_TEXT, 0},         {"ends %", COP_COLUMN_PERCENT, 2},
	{"highest %", COP_COLUMN_PERCENT, 2}, {"instability", COP_COLUMN_PERCENT, 2},
	{"stable", COP_COLUMN_BOOL, 0},       {"in training", COP_COLUMN_PERCENT, 2},
};
enum { PAIR_COLUMNS = sizeof(pair_columns) / sizeof(pair_columns[0]) };

static struct cop_barrier barrier(const struct cop_connection *c, enum cop_connect_column k)
{
	return cop_barrier_of(c->column[k], c->points);
}

static void add_pair(struct cop_table *t, const struct cop_connection *c)
{
	char pair[48];
	const struct cop_barrier b = barrier(c, COP_CONNECT_TEST_ERROR);
	snprintf(pair, sizeof(pair), "%" PRId64 "-%" PRId64, c->first_child, c->second_child);
	cop_table_int(t, c->replicate);
	cop_table_text(t, c->criterion);
	cop_table_text(t, c->retrain);
	cop_table_real(t, c->quantile);
	cop_table_real(t, cop_place_left(c));
	cop_table_text(t, c->reset);
	cop_table_text(t, pair);
	cop_table_real(t, b.ends);
	cop_table_real(t, b.highest);
	cop_table_real(t, b.instability);
	cop_table_bool(t, cop_connect_is_stable(b.instability));
	if (t->ncolumns == PAIR_COLUMNS)
		cop_table_real(t, barrier(c, COP_CONNECT_TRAIN_ERROR).instability);
}

static void print_pairs(const struct cop_connected *c, bool train)
{
	struct cop_table t;
	cop_table_init(&t, pair_columns, train ? PAIR_COLUMNS : PAIR_COLUMNS - 1);
	for (size_t i = 0; i < c->n; i++)
		add_pair(&t, &c->pair[i]);
	cop_table_print(&t, stdout, false);
	cop_table_release(&t);
}

static void add_barrier(cJSON *j, const struct cop_connection *c, enum cop_connect_column k)
{
	const struct cop_barrier b = barrier(c, k);
	cJSON *o = cJSON_AddObjectToObject(j, cop_connect_names[k]), *points = cJSON_CreateArray();
	cop_json_add_num(o, "ends", b.ends);
	cop_json_add_num(o, "highest", b.highest);
	cop_json_add_num(o, "instability", b.instability);
	for (int64_t i = 0; i < c->points; i++)
		cJSON_AddItemToArray(points, cop_json_number(c->column[k][i]));
	cJSON_AddItemToObject(o, "points", points);
}

static cJSON *pair_json(const struct cop_connection *c)
{
	cJSON *j = cJSON_CreateObject(), *alpha = cJSON_CreateArray();
	cop_json_add_num(j, "first", (double)c->first);
	cop_json_add_num(j, "second", (double)c->second);
	cop_json_add_num(j, "replicate", (double)c->replicate);
	cop_place_json(j, c);
	cop_json_add_num(j, "first_child", (double)c->first_child);
	cop_json_add_num(j, "second_child", (double)c->second_child);
	cJSON_AddStringToObject(j, "statistics", c->statistics);
	cJSON_AddBoolToObject(j, "stable", cop_connect_is_stable(barrier(c, COP_CONNECT_TEST_ERROR).instability));
	for (int64_t i = 0; i < c->points; i++)
		cJSON_AddItemToArray(alpha, cop_json_number(c->column[COP_CONNECT_ALPHA][i]));
	cJSON_AddItemToObject(j, "alpha", alpha);
	for (int k = COP_CONNECT_TEST_ERROR; k < (c->train_images ? COP_CONNECT_COLUMNS : COP_CONNECT_TRAIN_ERROR); k++)
		add_barrier(j, c, (enum cop_connect_column)k);
	return j;
}

static void print_json(const struct cop_connected *c, const struct cop_connect_place *place, size_t n)
{
	cJSON *j = cJSON_CreateObject(), *pairs = cJSON_AddArrayToObject(j, "pairs");
	for (size_t i = 0; i < c->n; i++)
		cJSON_AddItemToArray(pairs, pair_json(&c->pair[i]));
	cJSON_AddItemToObject(j, "places", cop_places_json(place, n));
	cJSON *missing = cJSON_AddArrayToObject(j, "missing");
	for (size_t i = 0; i < c->nmissing; i++)
		cJSON_AddItemToArray(missing, cJSON_CreateNumber((double)c->missing[i]));
	char *text = cJSON_Print(j);
	puts(text);
	free(text);
	cJSON_Delete(j);
}

static void print_text(const struct cop_connected *c, const struct cop_connect_place *place, size_t n, bool train)
{
	if (c->n)
		print_pairs(c, train);
	if (c->n > n) {
		putchar('\n');
		cop_places_print(place, n, stdout);
	}
	if (c->nmissing)
		printf("%smissing:", c->n ? "\n" : "");
	for (size_t i = 0; i < c->nmissing; i++)
		printf(" %" PRId64, c->missing[i]);
	if (c->nmissing)
		putchar('\n');
}

static int print(const struct cop_connected *c, const struct args *a, struct cop_err *err)
{
	struct cop_connect_place *place;
	size_t n;
	cop_connect_places(c, &place, &n);
	if (a->json)
		print_json(c, place, n);
	else
		print_text(c, place, n, a->options.train);
	free(place);
	if (!c->lacking)
		return 0;
	return cop_fail(err, COP_EPARTIAL,
			"%zu of %zu pairs lack a cell ('coppice status' says why, 'coppice redo' does them)",
			c->lacking, c->n + c->lacking);
}

int cmd_connect(int argc, char **argv)
{
	const struct argp_child children[] = {{cop_run_argument(), 0, NULL, 0}, {0}};
	const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "RUN",
		.doc = "Measure the test error along the straight line between the weights of each two children of a "
		       "cell (sweep.children), and how far it rises above the mean of the ends: their instability, in "
		       "points of percent, stable below 2. Each line goes into RUN/connect/FIRST-SECOND.h5; what is "
		       "there already, with as many points and batches, is not measured again. Exit code 4 where cells "
		       "are missing.",
		.children = children};
	struct args a = {.options = {.points = POINTS, .batches = BATCHES, .stop = &cop_stop_asked}};
	struct cop_connected c;
	struct cop_err err = {0};
	struct cop_run run;
	cop_parse_args(&argp, argc, argv, &a);
	cop_console_start(false);
	cop_stop_on_signals();
	int rc = cop_run_open(&run, a.run, &err);
	if (rc)
		return cop_exit_code(rc, &err);
	cop_run_sweep(&run);
	rc = cop_connect(&run, &a.options, &c, &err);
	if (!rc) {
		cop_info("%zu pairs measured, %zu were there", c.computed, c.n - c.computed);
		rc = print(&c, &a, &err);
		cop_connected_release(&c);
	}
	cop_run_release(&run);
	return cop_exit_code(rc, &err);
}
