/* coppice bench: how fast this machine does what coppice does, each figure beside its floor. */
#include "base/cpu.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/version.h"
#include "commands.h"
#include "compute/backend.h"
#include "nn/bench.h"
#include "prune/bench.h"
#include "report/table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct args {
	bool json;
	int threads, steps, batch;
	long long elements;
	const char *what; /* NULL: all */
};

enum { KEY_STEPS = 256, KEY_ELEMENTS, KEY_BATCH };

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct args *a = state->input;
	switch (key) {
	case 'j':
		a->json = true;
		return 0;
	case 't':
		a->threads = (int)cop_arg_int(state, "--threads", arg, 0, 4096);
		return 0;
	case KEY_STEPS:
		a->steps = (int)cop_arg_int(state, "--steps", arg, 1, 10000000);
		return 0;
	case KEY_BATCH:
		a->batch = (int)cop_arg_int(state, "--batch", arg, 1, 4096);
		return 0;
	case KEY_ELEMENTS:
		a->elements = cop_arg_int(state, "--elements", arg, 1, 4000000000LL);
		return 0;
	case ARGP_KEY_ARG:
		if (a->what || (strcmp(arg, "lenet") != 0 && strcmp(arg, "quantile") != 0))
			argp_error(state, "'%s' is no benchmark; there are 'lenet' and 'quantile'", arg);
		a->what = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct cop_column columns[] = {
	{"benchmark", COP_COLUMN_TEXT, 0}, {"threads", COP_COLUMN_INT, 0}, {"seconds", COP_COLUMN_GENERAL, 4},
	{"rate", COP_COLUMN_GENERAL, 6},   {"unit", COP_COLUMN_TEXT, 0},   {"floor_seconds", COP_COLUMN_GENERAL, 4},
	{"share", COP_COLUMN_PERCENT, 0},
};

static void add_row(struct cop_table *t, const char *name, int threads, double seconds, double rate, const char *unit,
		    double floor)
{
	cop_table_text(t, name);
	cop_table_int(t, threads);
	cop_table_real(t, seconds);
	cop_table_real(t, rate);
	cop_table_text(t, unit);
	cop_table_real(t, floor);
	cop_table_real(t, floor / seconds);
}

/* LeNet-300-100, SGD with momentum: the floor is its arithmetic at the rate of large products. */
static int bench_lenet(const struct args *a, int threads, const struct cop_cpu_peak *peak, struct cop_table *t,
		       struct cop_err *err)
{
	int64_t hidden[] = {300, 100};
	struct cop_model_config model = {.hidden = {.v = hidden, .n = 2}};
	struct cop_train_config train = {.epochs = 1000000,
					 .batch = a->batch ? a->batch : 60,
					 .optimizer = COP_OPTIMIZER_SGD,
					 .lr = 0.01,
					 .momentum = 0.9,
					 .weight_decay = 1e-4,
					 .warmup = (char[]){"0ep"},
					 .seed_order = 1};
	struct cop_bench_step s;
	char name[80];
	int rc = cop_bench_train(&model, &train, 28, 1, 10, a->steps ? a->steps : 2000, &s, err);
	if (rc)
		return rc;
	snprintf(name, sizeof(name), "lenet-300-100 training step, batch %lld", (long long)train.batch);
	add_row(t, name, threads, s.seconds, s.images_per_second, "images/s", s.flops / (peak->gflops * 1e9));
	return 0;
}

static int bench_quantile(const struct args *a, int threads, const struct cop_cpu_peak *peak, struct cop_table *t,
			  struct cop_err *err)
{
	size_t n = a->elements ? (size_t)a->elements : 100000000;
	double seconds;
	char name[80];
	int rc = cop_bench_quantile(n, 5, &seconds, err);
	if (rc)
		return rc;
	snprintf(name, sizeof(name), "nine quantiles of %.3g float32", (double)n);
	add_row(t, name, threads, seconds, (double)n / seconds, "elements/s", 8.0 * (double)n / (peak->read_gbs * 1e9));
	return 0;
}

static void print_json(const struct cop_cpu_peak *peak, int threads, const struct cop_table *t)
{
	char cpu[128];
	cJSON *j = cJSON_CreateObject();
	cJSON_AddStringToObject(j, "coppice", cop_version());
	cJSON_AddStringToObject(j, "processor", cop_cpu_name(cpu, sizeof(cpu)));
	cJSON_AddNumberToObject(j, "threads", threads);
	cop_json_add_num(j, "gflops", peak->gflops);
	cop_json_add_num(j, "read_gbs", peak->read_gbs);
	cop_json_add_num(j, "peak_memory_bytes", (double)cop_memory_peak());
	cJSON_AddItemToObject(j, "benchmarks", cop_table_json(t));
	char *text = cJSON_Print(j);
	puts(text);
	cJSON_free(text);
	cJSON_Delete(j);
}

int cmd_bench(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{"json", 'j', NULL, 0, "Print as JSON", 0},
		{"threads", 't', "N", 0, "Threads (default: all that the process may use)", 0},
		{"steps", KEY_STEPS, "N", 0, "Timed training steps (default 2000)", 0},
		{"batch", KEY_BATCH, "N", 0, "Images a training step (default 60)", 0},
		{"elements", KEY_ELEMENTS, "N", 0, "Elements to take quantiles of (default 100000000)", 0},
		{0},
	};
	struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "[lenet|quantile]",
		.doc = "Time the pieces of the work beside their floors, which are measured in the same run: the "
		       "arithmetic at the rate of large products, the memory at the rate of reading it."};
	struct args a = {0};
	struct cop_err err = {0};
	struct cop_cpu_peak peak;
	struct cop_table t;
	cop_parse_args(&argp, argc, argv, &a);
	cop_console_start(false);
	int threads = cop_cpu_set_threads(a.threads);
	cop_table_init(&t, columns, sizeof(columns) / sizeof(columns[0]));
	int rc = cop_cpu_measure(&peak, &err);
	if (!rc && (!a.what || strcmp(a.what, "lenet") == 0))
		rc = bench_lenet(&a, threads, &peak, &t, &err);
	if (!rc && (!a.what || strcmp(a.what, "quantile") == 0))
		rc = bench_quantile(&a, threads, &peak, &t, &err);
	if (!rc && a.json)
		print_json(&peak, threads, &t);
	else if (!rc) {
		printf("floors: %.0f GFLOP/s of large products, %.1f GB/s read, by %d threads\n\n", peak.gflops,
		       peak.read_gbs, threads);
		cop_table_print(&t, stdout, false);
	}
	cop_table_release(&t);
	return cop_exit_code(rc, &err);
}
