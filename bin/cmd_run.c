/* coppice run: the whole of it on this machine. */
#include "base/log.h"
#include "commands.h"
#include "gather.h"
#include "planning.h"
#include "report/heatmap.h"
#include "report/report.h"
#include "stop.h"
#include "submitting.h"
#include "sweep/work.h"

#include <inttypes.h>
#include <stdio.h>

struct args {
	struct plan_args plan;
	int jobs;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct args *a = state->input;
	if (key == 'j')
		a->jobs = (int)cop_arg_int(state, "--jobs", arg, 1, 4096);
	else if (key == ARGP_KEY_INIT)
		state->child_inputs[0] = &a->plan;
	else
		return ARGP_ERR_UNKNOWN;
	return 0;
}

/* The dense runs go one by one with all cores; the cells that follow go side by side. */
static int train_all(const struct cop_run *run, struct cop_err *err)
{
	struct cop_work_options o = {.stop = &cop_stop_asked};
	int rc = 0;
	for (int64_t r = 0; r < run->experiment.sweep.replicates && !rc; r++)
		rc = cop_dense_run(run, r, &o, err);
	return rc;
}

static int run_all(const struct cop_run *run, int jobs, struct cop_err *err)
{
	struct cop_submission s;
	double begun = cop_now();
	int rc = train_all(run, err);
	if (!rc)
		rc = submit_locally(run, true, jobs, &s, err);
	if (rc && rc != COP_EPARTIAL)
		return rc;
	rc = gather_run(run, err);
	if (rc && rc != COP_EPARTIAL)
		return rc;
	struct cop_err report = {0};
	if (cop_report_run(run->path, stdout, cop_colours_wanted(stdout), &report)) {
		*err = report;
		return report.code;
	}
	cop_info("%.0f seconds in all", cop_now() - begun);
	return rc;
}

int cmd_run(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{"jobs", 'j', "N", 0, "Cells at once (default: one a core; on a GPU one)", 0},
		{0},
	};
	struct argp_child children[] = {{plan_argp(), 0, NULL, 0}, {0}};
	struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "EXPERIMENT.json -o RUN",
		.doc = "Plan, train, run all cells, collect and report, on this machine. Begun again, it goes on "
		       "where it was.",
		.children = children};
	struct args a = {0};
	struct cop_err err = {0};
	struct cop_run run = {0};
	bool gpu;
	cop_parse_args(&argp, argc, argv, &a);
	cop_console_start(false);
	cop_stop_on_signals();
	int rc = plan_make(&a.plan, NULL, &run, &err);
	if (!rc) {
		cop_info("%s: %zu cells, %" PRId64 " steps each at most, into %s", run.experiment.name, run.ncells,
			 run.total_steps, run.path);
		rc = cop_backend_probe(&run.experiment.device.choice, &gpu, &err);
		if (!rc)
			rc = run_all(&run, a.jobs, &err);
	}
	int code = cop_exit_code(rc, &err);
	if (rc == COP_ESTOPPED)
		cop_info("the same command goes on from here");
	cop_run_release(&run);
	plan_args_release(&a.plan);
	return code;
}
