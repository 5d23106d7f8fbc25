/* coppice task: what a task of an array runs. */
#include "base/mem.h"
#include "commands.h"
#include "supervisor.h"
#include "tasks.h"

#include <inttypes.h>
#include <stdlib.h>

struct args {
	const char *run;
	struct task_share share; /* per_task 0: what the experiment says */
	bool concurrent, dense;
	int threads;
};

enum { OFFSET = 256, COUNT, PER_TASK, CONCURRENT, DENSE };

static const long long MOST = 1000000000;

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct args *a = state->input;
	switch (key) {
	case 'l':
		a->share.list = arg;
		return 0;
	case OFFSET:
		a->share.offset = cop_arg_int(state, "--offset", arg, 0, MOST);
		return 0;
	case COUNT:
		a->share.count = cop_arg_int(state, "--count", arg, 0, MOST);
		return 0;
	case PER_TASK:
		a->share.per_task = cop_arg_int(state, "--per-task", arg, 1, MOST);
		return 0;
	case CONCURRENT:
		a->concurrent = true;
		return 0;
	case DENSE:
		a->dense = true;
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

/* The cells or the replicate that are the task's. */
static int find_numbers(const struct cop_run *run, struct args *a, int64_t **number, size_t *n, struct cop_err *err)
{
	int64_t task, cells = (int64_t)run->ncells;
	struct task_share *s = &a->share;
	if (!task_number(&task))
		return cop_fail(err, COP_EINPUT, "this is no task of an array (SLURM_ARRAY_TASK_ID is not set)");
	int64_t all = a->dense ? run->experiment.sweep.replicates : cells;
	if (s->per_task == 0)
		s->per_task = a->dense ? 1 : run->experiment.slurm.cells_per_task;
	if (s->count < 0 && !s->list)
		s->count = s->offset < all ? all - s->offset : 0;
	int rc = task_cells(s, task, number, n, err);
	for (size_t i = 0; i < *n && !rc; i++)
		if ((*number)[i] < 0 || (*number)[i] >= all)
			rc = cop_fail(err, COP_EINPUT, "%s %" PRId64 " does not exist: '%s' has 0 to %" PRId64,
				      a->dense ? "replicate" : "cell", (*number)[i], run->path, all - 1);
	return rc;
}

static int run_task(const struct cop_run *run, struct args *a)
{
	struct cop_err err = {0};
	struct supervision s = {.run = run, .dense = a->dense, .concurrent = a->concurrent, .threads = a->threads};
	int64_t *number = NULL;
	int rc = find_numbers(run, a, &number, &s.n, &err);
	if (rc) {
		free(number);
		return cop_exit_code(rc, &err);
	}
	s.piece = cop_xcalloc(s.n, sizeof(*s.piece));
	size_t all = s.n;
	s.n = 0;
	/* a cell that is the same as another is written by that one's task */
	for (size_t i = 0; i < all; i++)
		if (a->dense || run->cell[number[i]].same_as < 0)
			s.piece[s.n++].number = number[i];
	free(number);
	int code = s.n ? supervise(&s) : 0;
	free(s.piece);
	return code;
}

int cmd_task(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{"list", 'l', "FILE", 0, "The array's cells are lines of FILE, one index a line (default: the grid)",
		 0},
		{"offset", OFFSET, "N", 0, "The array begins at line N of the list, or at cell N (default: 0)", 0},
		{"count", COUNT, "N", 0, "The array has N cells (default: all that there are)", 0},
		{"per-task", PER_TASK, "N", 0,
		 "Task T has the cells T*N to T*N+N-1 of them (default: slurm.cells_per_task)", 0},
		{"concurrent", CONCURRENT, NULL, 0, "The task's cells at the same time, its cores shared, not in turn",
		 0},
		{"dense", DENSE, NULL, 0,
		 "Dense runs instead of cells: the list holds replicates; without one, replicate T", 0},
		{"threads", 't', "N", 0, "Threads of each cell; the bits of the result do not depend on them", 0},
		{0},
	};
	struct argp_child children[] = {{cop_run_argument(), 0, NULL, 0}, {0}};
	struct argp argp = {
		.children = children,
		.options = options,
		.parser = parse,
		.args_doc = "RUN",
		.doc = "What a task of an array runs: its cells, each in a process of its own, so that one that fails "
		       "leaves the others alone. T is SLURM_ARRAY_TASK_ID. USR1 and TERM: save and end. Exit code 75: "
		       "something wants to be run again; 0: all else, where one cell is done at least."};
	struct args a = {.share.count = -1};
	struct cop_err err = {0};
	struct cop_run run;
	cop_parse_args(&argp, argc, argv, &a);
	cop_console_start(false);
	int rc = cop_run_open(&run, a.run, &err);
	if (rc)
		return cop_exit_code(rc, &err);
	int code = run_task(&run, &a);
	cop_run_release(&run);
	return code;
}
