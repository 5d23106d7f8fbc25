/* coppice bench: how fast this machine does what coppice does, each figure beside its floor. */
#include "base/cpu.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/version.h"
#include "bench.h"
#include "commands.h"
#include "compute/backend.h"
#include "report/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In the order in which they are listed. */
static const struct benchmark {
	const char *name;
	cop_bench_work *work;
	bool usual;    /* done where nothing is asked for */
	bool cpu, gpu; /* where it can be done */
} benchmarks[] = {
	{"lenet", cop_bench_networks, true, true, true},
	{"conv2", cop_bench_networks, false, true, true},
	{"conv4", cop_bench_networks, false, true, true},
	{"conv6", cop_bench_networks, false, true, true},
	{"resnet20", cop_bench_networks, true, true, true},
	{"vgg16", cop_bench_networks, false, true, true},
	{"mobilenet_v2", cop_bench_networks, true, true, true},
	{"convolutions", cop_bench_convolutions, true, true, false},
	{"kernels", cop_bench_kernels, true, false, true},
	{"memory", cop_bench_memory, true, true, true},
	{"quantile", cop_bench_quantiles, true, true, true},
	{"pack", cop_bench_packing, false, true, false},
};
enum { BENCHMARKS = sizeof(benchmarks) / sizeof(benchmarks[0]) };

struct wanted {
	const struct benchmark *benchmark;
	const char *folder; /* of 'pack' */
};

struct args {
	bool json;
	struct cop_bench_args of;
	struct wanted *wanted;
	size_t n, cap;
};

enum { KEY_STEPS = 256, KEY_ELEMENTS, KEY_BATCH, KEY_SIZE, KEY_DEVICE, KEY_PRECISION, KEY_SPARSE, KEY_CHECKPOINT };

static bool on_gpu(const struct args *a)
{
	return a->of.device.kind == COP_DEVICE_CUDA;
}

/* What --sparse does of a benchmark; NULL: nothing. */
static cop_bench_work *sparse_work(const struct benchmark *b)
{
	if (b->work == cop_bench_networks)
		return cop_bench_tickets;
	return b->work == cop_bench_convolutions ? cop_bench_break_even : NULL;
}

static bool can_be_done(const struct args *a, const struct benchmark *b)
{
	return on_gpu(a) ? b->gpu : b->cpu;
}

static void want(struct args *a, const struct benchmark *b)
{
	a->wanted = cop_grow(a->wanted, &a->cap, a->n + 1, sizeof(*a->wanted));
	a->wanted[a->n++] = (struct wanted){b, NULL};
}

static void want_usual(struct args *a)
{
	for (size_t i = 0; i < BENCHMARKS; i++)
		if (benchmarks[i].usual && can_be_done(a, &benchmarks[i]) &&
		    (!a->of.sparse || sparse_work(&benchmarks[i])))
			want(a, &benchmarks[i]);
}

static bool is_pack(const struct benchmark *b)
{
	return b->work == cop_bench_packing;
}

static const char *lacks_folder(const struct args *a)
{
	return a->n && is_pack(a->wanted[a->n - 1].benchmark) && !a->wanted[a->n - 1].folder
		       ? "'pack' wants a folder of images behind it"
		       : NULL;
}

static void want_named(struct args *a, const char *name, struct argp_state *state)
{
	struct cop_str known = {0};
	bool networks = strcmp(name, "networks") == 0;
	size_t before = a->n;
	if (lacks_folder(a)) {
		a->wanted[a->n - 1].folder = name;
		return;
	}
	for (size_t i = 0; i < BENCHMARKS; i++) {
		const struct benchmark *b = &benchmarks[i];
		if (networks ? b->work == cop_bench_networks : strcmp(name, b->name) == 0)
			want(a, b);
		cop_str_addf(&known, ", '%s'", b->name);
	}
	if (a->n == before)
		argp_error(state, "'%s' is no benchmark; there are 'networks'%s", name, known.s);
	cop_str_release(&known);
}

static int one_of(struct argp_state *state, const char *option, const char *arg, const char *const *names)
{
	int i = 0;
	while (names[i] && strcmp(names[i], arg) != 0)
		i++;
	if (!names[i])
		argp_error(state, "%s is one of %s, %s%s%s, not '%s'", option, names[0], names[1], names[2] ? ", " : "",
			   names[2] ? names[2] : "", arg);
	return i;
}

static void check_sparse(const struct args *a, struct argp_state *state)
{
	size_t networks = 0;
	if (a->of.checkpoint && !a->of.sparse)
		argp_error(state, "--checkpoint goes with --sparse");
	if (a->of.sparse && on_gpu(a))
		argp_error(state, "--sparse is of the CPU: on a GPU masked networks are computed dense");
	for (size_t i = 0; i < a->n && a->of.sparse; i++) {
		if (!sparse_work(a->wanted[i].benchmark))
			argp_error(state, "'%s' has nothing sparse: --sparse goes with networks and 'convolutions'",
				   a->wanted[i].benchmark->name);
		networks += a->wanted[i].benchmark->work == cop_bench_networks;
	}
	if (a->of.checkpoint && networks != 1)
		argp_error(state, "--checkpoint is of one network: name it");
}

/* All have been read: the device is known. */
static void check_wanted(struct args *a, struct argp_state *state)
{
	if (lacks_folder(a))
		argp_error(state, "%s", lacks_folder(a));
	if (a->of.device.precision != COP_FP32 && !on_gpu(a))
		argp_error(state, "the CPU computes in fp32 only: --precision goes with --device cuda");
	for (size_t i = 0; i < a->n; i++)
		if (!can_be_done(a, a->wanted[i].benchmark))
			argp_error(state, "'%s' is a benchmark of %s", a->wanted[i].benchmark->name,
				   on_gpu(a) ? "the CPU" : "a GPU: add --device cuda");
	check_sparse(a, state);
	if (a->n == 0)
		want_usual(a);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct args *a = state->input;
	switch (key) {
	case 'j':
		a->json = true;
		return 0;
	case 't':
		a->of.threads = (int)cop_arg_int(state, "--threads", arg, 0, 4096);
		return 0;
	case KEY_STEPS:
		a->of.steps = (int)cop_arg_int(state, "--steps", arg, 1, 10000000);
		return 0;
	case KEY_BATCH:
		a->of.batch = (int)cop_arg_int(state, "--batch", arg, 1, 4096);
		return 0;
	case KEY_ELEMENTS:
		a->of.elements = cop_arg_int(state, "--elements", arg, 1, 4000000000LL);
		return 0;
	case KEY_SIZE:
		a->of.size = (int)cop_arg_int(state, "--size", arg, 1, 4096);
		return 0;
	case KEY_DEVICE:
		a->of.device.kind = COP_DEVICE_CPU +
				    one_of(state, "--device", arg, (const char *const[]){"cpu", "cuda", NULL});
		return 0;
	case KEY_PRECISION:
		a->of.device.precision = one_of(state, "--precision", arg,
						(const char *const[]){"fp32", "tf32", "bf16", NULL});
		return 0;
	case KEY_SPARSE:
		a->of.sparse = true;
		return 0;
	case KEY_CHECKPOINT:
		a->of.checkpoint = arg;
		return 0;
	case ARGP_KEY_ARG:
		want_named(a, arg, state);
		return 0;
	case ARGP_KEY_END:
		check_wanted(a, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct cop_column columns[] = {
	{"benchmark", COP_COLUMN_TEXT, 0},    {"threads", COP_COLUMN_INT, 0},  {"seconds", COP_COLUMN_GENERAL, 4},
	{"rate", COP_COLUMN_GENERAL, 6},      {"unit", COP_COLUMN_TEXT, 0},    {"floor_seconds", COP_COLUMN_GENERAL, 4},
	{"share", COP_COLUMN_PERCENT, 0},     {"memory", COP_COLUMN_SHORT, 0}, {"arena", COP_COLUMN_SHORT, 0},
	{"data_wait", COP_COLUMN_PERCENT, 1},
};

/* With --sparse: what masks leave of networks, and layers by shape. Else `rows` alone. */
struct tables {
	struct cop_table rows, tickets, layers;
};

static void add_ticket(const struct cop_bench_row *r, void *user)
{
	cop_bench_ticket_row(r, &((struct tables *)user)->tickets);
}

static void add_layer(const struct cop_bench_row *r, void *user)
{
	cop_bench_even_row(r, &((struct tables *)user)->layers);
}

static void add_row(const struct cop_bench_row *r, void *user)
{
	struct cop_table *t = &((struct tables *)user)->rows;
	cop_table_text(t, r->name);
	cop_table_int(t, r->threads);
	cop_table_real(t, r->seconds);
	cop_table_real(t, r->rate);
	cop_table_text(t, r->unit);
	cop_table_real(t, r->floor);
	cop_table_real(t, r->floor / r->seconds);
	cop_table_real(t, r->memory);
	cop_table_real(t, r->arena);
	cop_table_real(t, r->data_wait);
}

static void add_peak(cJSON *j, const struct cop_bench_run *run)
{
	const struct cop_cpu_peak *peak = &run->peak;
	if (run->args->device.kind == COP_DEVICE_CUDA) {
		cJSON_AddStringToObject(j, "gpu", run->gpu.name);
		cop_json_add_num(j, "gpu_copy_gbs", run->gpu.copy_gbs);
		return;
	}
	cop_json_add_num(j, "gflops", peak->gflops);
	cop_json_add_num(j, "library_gflops", peak->library_gflops);
	cop_json_add_num(j, "kernel_gflops", peak->kernel_gflops);
	cop_json_add_num(j, "read_gbs", peak->read_gbs);
	cop_json_add_num(j, "copy_gbs", peak->copy_gbs);
}

static void print_json(const struct cop_bench_run *run, const struct tables *t)
{
	char cpu[192];
	cJSON *j = cJSON_CreateObject();
	cJSON_AddStringToObject(j, "coppice", cop_version());
	cJSON_AddStringToObject(j, "processor", cop_cpu_describe(cpu, sizeof(cpu)));
	cJSON_AddStringToObject(j, "kernels", cop_kernels()->name);
	cJSON_AddNumberToObject(j, "threads", run->args->threads);
	add_peak(j, run);
	cJSON_AddItemToObject(j, "benchmarks", cop_table_json(run->args->sparse ? &t->tickets : &t->rows));
	if (run->args->sparse)
		cJSON_AddItemToObject(j, "layers", cop_table_json(&t->layers));
	char *text = cJSON_Print(j);
	puts(text);
	cJSON_free(text);
	cJSON_Delete(j);
}

/* One table, or those of --sparse that have rows. */
static void print_tables(const struct cop_bench_run *run, const struct tables *t)
{
	bool both = cop_table_rows(&t->tickets) && cop_table_rows(&t->layers);
	if (!run->args->sparse)
		cop_table_print(&t->rows, stdout, false);
	if (cop_table_rows(&t->tickets))
		cop_table_print(&t->tickets, stdout, false);
	if (both)
		puts("");
	if (cop_table_rows(&t->layers))
		cop_table_print(&t->layers, stdout, false);
}

static void print_text(const struct cop_bench_run *run, const struct tables *t)
{
	char cpu[192];
	const struct cop_cpu_peak *peak = &run->peak;
	int threads = run->args->threads;
	if (run->args->device.kind == COP_DEVICE_CUDA) {
		printf("%s\nmemory: %.1f GB/s copied\n\n", run->gpu.name, run->gpu.copy_gbs);
		print_tables(run, t);
		return;
	}
	printf("%s, %d thread%s\n", cop_cpu_describe(cpu, sizeof(cpu)), threads, threads == 1 ? "" : "s");
	printf("speed of large products: %.0f GFLOP/s (OpenBLAS %.0f, the kernels %.0f)\n", peak->gflops,
	       peak->library_gflops, peak->kernel_gflops);
	printf("memory: %.1f GB/s read, %.1f GB/s copied\n\n", peak->read_gbs, peak->copy_gbs);
	print_tables(run, t);
}

static int run_one(const struct args *a, struct cop_bench_run *run, const struct benchmark *b, struct tables *t,
		   struct cop_err *err)
{
	if (!a->of.sparse)
		return cop_bench_apart(run, b->work, add_row, t, err);
	return cop_bench_apart(run, sparse_work(b), b->work == cop_bench_networks ? add_ticket : add_layer, t, err);
}

static int run_all(const struct args *a, struct cop_bench_run *run, struct tables *t, struct cop_err *err)
{
	run->name = "peak";
	int rc = cop_bench_measure(run, err);
	for (size_t i = 0; i < a->n && !rc; i++) {
		run->name = a->wanted[i].benchmark->name;
		run->folder = a->wanted[i].folder;
		cop_progress("bench", (double)i, (double)a->n, "%s", run->name);
		rc = run_one(a, run, a->wanted[i].benchmark, t, err);
	}
	cop_progress("bench", 1, 1, " ");
	return rc;
}

static const struct argp_option options[] = {
	{"device", KEY_DEVICE, "WHICH", 0, "'cpu' (the default) or 'cuda', a GPU", 0},
	{"precision", KEY_PRECISION, "WHICH", 0, "Of a GPU: 'fp32' (the default), 'tf32' or 'bf16'", 0},
	{"json", 'j', NULL, 0, "Print as JSON", 0},
	{"threads", 't', "N", 0, "Threads (default: all that the process may use)", 0},
	{"steps", KEY_STEPS, "N", 0, "Timed training steps (default: three seconds' worth, 5 at least)", 0},
	{"batch", KEY_BATCH, "N", 0,
	 "Images a training step or a convolution (default: what each network is trained with)", 0},
	{"elements", KEY_ELEMENTS, "N", 0, "Elements to take quantiles of (default 100000000)", 0},
	{"sparse", KEY_SPARSE, NULL, 0, "Training with masks, beside the dense engine, and layers by sparsity", 0},
	{"checkpoint", KEY_CHECKPOINT, "FILE", 0,
	 "With --sparse: weights that masks are made from (default: some seconds of training)", 0},
	{"size", KEY_SIZE, "N", 0, "Side of the images that 'pack' makes (default 64)", 0},
	{0},
};

int cmd_bench(int argc, char **argv)
{
	struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "[WHAT...]",
		.doc = "Time the pieces of the work beside their floors, which are measured in the same run: "
		       "arithmetic at "
		       "the rate of large products, memory at the rate of reading or copying it.\v"
		       "WHAT: training steps of lenet, conv2, conv4, conv6, resnet20, vgg16, mobilenet_v2 or all "
		       "networks; convolutions by shape; kernels (a GPU's, by family); memory; quantile; pack DIR "
		       "(decoding a folder's images). "
		       "Without WHAT: lenet, "
		       "resnet20, mobilenet_v2, convolutions (a GPU's kernels), memory and quantile. On a GPU the "
		       "floor of a "
		       "step is 8 passes over what its convolutions give.\n\n"
		       "Each benchmark runs in a process of its own: 'memory' is the peak of that process in bytes, or "
		       "of the GPU's memory that it took, "
		       "'arena' what of it holds activations, their gradients and workspace, 'data_wait' the share of "
		       "the steps that goes to making batches or waiting for them. Figures are medians.\n\n"
		       "--sparse times networks with masks of 0 to 99%, by magnitude over all weights ('global') and "
		       "at random in each tensor ('uniform'), in turn with the dense engine, and says what the parts "
		       "of the step take; 'convolutions' are then 1x1 ones dense and as lists, and the sparsity at "
		       "which lists become faster. Without WHAT: lenet, resnet20, mobilenet_v2 and convolutions."};
	struct args a = {.of = {.device = {.kind = COP_DEVICE_CPU, .deterministic = true}}};
	struct cop_err err = {0};
	struct tables t;
	cop_parse_args(&argp, argc, argv, &a);
	cop_console_start(false);
	a.of.threads = cop_cpu_set_threads(a.of.threads);
	struct cop_bench_run run = {.args = &a.of};
	cop_table_init(&t.rows, columns, sizeof(columns) / sizeof(columns[0]));
	cop_bench_ticket_table(&t.tickets);
	cop_bench_even_table(&t.layers);
	int rc = run_all(&a, &run, &t, &err);
	if (!rc && a.json)
		print_json(&run, &t);
	else if (!rc)
		print_text(&run, &t);
	cop_table_release(&t.rows);
	cop_table_release(&t.tickets);
	cop_table_release(&t.layers);
	free(a.wanted);
	return cop_exit_code(rc, &err);
}
