/* coppice cell: one cell of the grid. */
#include "commands.h"
#include "stop.h"
#include "sweep/work.h"
#include "tasks.h"

struct args {
	const char *run, *list;
	long long index; /* -1: not given */
	int threads, together;
};

enum { TOGETHER = 256 };

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct args *a = state->input;
	switch (key) {
	case 'l':
		a->list = arg;
		return 0;
	case 't':
		a->threads = (int)cop_arg_int(state, "--threads", arg, 0, 4096);
		return 0;
	case TOGETHER:
		a->together = (int)cop_arg_int(state, "--together", arg, 1, 100000);
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num == 0)
			a->run = arg;
		else if (state->arg_num == 1)
			a->index = cop_arg_int(state, "INDEX", arg, 0, 1000000000);
		else
			argp_error(state, "one cell at a time, not '%s' too", arg);
		return 0;
	case ARGP_KEY_END:
		if (!a->run)
			argp_error(state, "a run's folder is needed");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* INDEX itself, else the task's number, as it stands or as a line of the list. */
static int find_index(const struct args *a, int64_t *index, struct cop_err *err)
{
	*index = a->index;
	if (a->index >= 0)
		return 0;
	if (!task_number(index))
		return cop_fail(err, COP_EINPUT,
				"no INDEX was given, and this is no task of an array (SLURM_ARRAY_TASK_ID is not set)");
	return a->list ? task_list_line(a->list, *index, index, err) : 0;
}

int cmd_cell(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{"list", 'l', "FILE", 0, "The task's number is a line of FILE (from 0), which holds the cell's index",
		 0},
		{"threads", 't', "N", 0,
		 "Threads; the bits of the result do not depend on them (default: the experiment's)", 0},
		{"together", TOGETHER, "N", 0,
		 "So many cells run at the same time and share the GPUs: count a part of these (default: 1)", 0},
		{0},
	};
	struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "RUN [INDEX]",
		.doc = "Prune, rewind, retrain and test one cell. Without INDEX it is the one that the array task's "
		       "environment names. What was killed goes on where it was."};
	struct args a = {.index = -1};
	struct cop_err err = {0};
	struct cop_run run;
	int64_t index;
	cop_parse_args(&argp, argc, argv, &a);
	cop_console_start(false);
	cop_stop_on_signals();
	int rc = find_index(&a, &index, &err);
	if (!rc)
		rc = cop_run_open(&run, a.run, &err);
	if (rc)
		return cop_exit_code(rc, &err);
	struct cop_work_options o = {.threads = a.threads, .together = a.together, .stop = &cop_stop_asked};
	rc = cop_cell_run(&run, index, &o, &err);
	cop_run_release(&run);
	return cop_exit_code(rc, &err);
}
