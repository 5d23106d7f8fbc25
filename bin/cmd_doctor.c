/* coppice doctor: what was found on this machine, and what is missing. */
#include "base/cpu.h"
#include "base/energy.h"
#include "base/json.h"
#include "base/module.h"
#include "base/version.h"
#include "commands.h"
#include "compute/cuda.h"
#include "report/table.h"
#include "sched/sched.h"
#include "store/h5.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static error_t parse(int key, char *arg, struct argp_state *state)
{
	bool *json = state->input;
	if (key == 'j')
		*json = true;
	else if (key == ARGP_KEY_ARG)
		argp_error(state, "doctor takes no argument, not '%s'", arg);
	else
		return ARGP_ERR_UNKNOWN;
	return 0;
}

static void add(struct cop_table *t, const char *what, bool found, const char *fmt, ...) COP_PRINTF(4, 5);
static void add(struct cop_table *t, const char *what, bool found, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	cop_table_text(t, what);
	cop_table_bool(t, found);
	cop_table_text(t, text);
}

static void add_machine(struct cop_table *t)
{
	char cpu[128], blas[256], h5[64], energy[256];
	add(t, "coppice", true, "%s", cop_version());
	add(t, "processor", true, "%s, %d cores for this process", cop_cpu_name(cpu, sizeof(cpu)), cop_cpu_count());
	add(t, "memory", true, "%.1f GiB, %.1f GiB of them for this process", (double)cop_memory_total() / (1 << 30),
	    (double)cop_memory_limit() / (1 << 30));
	add(t, "kernels", true, "%s, of our own: convolutions and what is between them", cop_kernels()->name);
	add(t, "OpenBLAS", true, "%s", cop_cpu_library(blas, sizeof(blas)));
	bool counted = cop_energy_describe(energy, sizeof(energy)) > 0;
	add(t, "energy", counted, "%s", energy);
	add(t, "HDF5", true, "%s", cop_h5_library(h5, sizeof(h5)));
}

static void add_gpu(struct cop_table *t)
{
	const struct cop_cuda_module *cuda;
	struct cop_cuda_found found = {0};
	struct cop_err err = {0};
	if (cop_cuda_load(&cuda, &err) || cuda->find(&found, &err)) {
		add(t, "GPU", false, "%s", err.msg);
		return;
	}
	if (found.devices == 1)
		add(t, "GPU", true, "%s", found.device);
	else
		add(t, "GPU", true, "%d, the first: %s", found.devices, found.device);
	add(t, "CUDA", true, "%s; %s", found.driver, found.library);
}

static void add_slurm(struct cop_table *t)
{
	char how[64] = "";
	const struct cop_scheduler *slurm;
	struct cop_limits limits = {0};
	struct cop_err err = {0};
	if (!cop_slurm_here(how, sizeof(how)) || cop_scheduler_find("slurm", &slurm, &err)) {
		add(t, "SLURM", false, "%s", err.msg[0] ? err.msg : "not configured here: sweeps run on this machine");
		return;
	}
	if (slurm->limits(&limits, &err)) {
		add(t, "SLURM", false, "%s", err.msg);
		return;
	}
	add(t, "SLURM", true, "%s, cluster '%s', through %s", limits.version, limits.cluster, how);
	add(t, "SLURM's limits", true, "arrays of %" PRId64 " tasks, %" PRId64 " jobs", limits.array_size, limits.jobs);
}

int cmd_doctor(int argc, char **argv)
{
	static const struct argp_option options[] = {{"json", 'j', NULL, 0, "Print as JSON", 0}, {0}};
	static const struct cop_column columns[] = {
		{"what", COP_COLUMN_TEXT, 0}, {"found", COP_COLUMN_BOOL, 0}, {"details", COP_COLUMN_TEXT, 0}};
	struct argp argp = {
		.options = options, .parser = parse, .doc = "What was found on this machine, and what is missing."};
	bool json = false;
	struct cop_table t;
	cop_parse_args(&argp, argc, argv, &json);
	cop_console_start(false);
	cop_table_init(&t, columns, 3);
	add_machine(&t);
	add_gpu(&t);
	add_slurm(&t);
	cop_table_print(&t, stdout, json);
	cop_table_release(&t);
	return 0;
}
