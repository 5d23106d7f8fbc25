/* coppice train: the dense runs of a planned folder. */
#include "commands.h"
#include "stop.h"
#include "sweep/work.h"
#include "tasks.h"

#include <inttypes.h>

struct args {
	const char *run;
	long long replicate; /* -1: all */
	int threads;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct args *a = state->input;
	switch (key) {
	case 'r':
		a->replicate = cop_arg_int(state, "--replicate", arg, 0, 9999);
		return 0;
	case 't':
		a->threads = (int)cop_arg_int(state, "--threads", arg, 0, 4096);
		return 0;
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &a->run;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int cmd_train(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{"replicate", 'r', "N", 0,
		 "Only this one; otherwise the one that the task's environment names, or all in turn", 0},
		{"threads", 't', "N", 0,
		 "Threads; the bits of the result do not depend on them (default: the experiment's)", 0},
		{0},
	};
	struct argp_child children[] = {{cop_run_argument(), 0, NULL, 0}, {0}};
	struct argp argp = {
		.children = children,
		.options = options,
		.parser = parse,
		.args_doc = "RUN",
		.doc = "Train the dense network with a checkpoint at initialisation, at each reset point and at the "
		       "end. What was killed goes on where it was."};
	struct args a = {.replicate = -1};
	struct cop_err err = {0};
	struct cop_run run;
	int64_t task;
	cop_parse_args(&argp, argc, argv, &a);
	cop_console_start(false);
	cop_stop_on_signals();
	int rc = cop_run_open(&run, a.run, &err);
	if (rc)
		return cop_exit_code(rc, &err);
	if (a.replicate < 0 && task_number(&task))
		a.replicate = task;
	struct cop_work_options o = {.threads = a.threads, .stop = &cop_stop_asked};
	int64_t n = run.experiment.sweep.replicates;
	if (a.replicate >= n)
		rc = cop_fail(&err, COP_EINPUT, "replicate %lld does not exist: '%s' has %" PRId64, a.replicate,
			      run.path, n);
	for (int64_t r = 0; r < n && !rc; r++)
		if (a.replicate < 0 || a.replicate == r)
			rc = cop_dense_run(&run, r, &o, &err);
	cop_run_release(&run);
	return cop_exit_code(rc, &err);
}
