/* Submitting; see submitting.h. */
#include "submitting.h"

#include "base/log.h"
#include "commands.h"
#include "gather.h"
#include "stop.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct args {
	const char *run, *scheduler; /* NULL: SLURM */
	int jobs;
	bool rest;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct args *a = state->input;
	switch (key) {
	case 'l':
		a->scheduler = "local";
		return 0;
	case 'p':
		a->scheduler = "print";
		return 0;
	case 'j':
		a->jobs = (int)cop_arg_int(state, "--jobs", arg, 1, 4096);
		return 0;
	case 'r':
		a->rest = true;
		return 0;
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &a->run;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* The bar over the cells that run on this machine. */
struct bar {
	const struct cop_submission *submission; /* its cells are those that are run now */
	size_t ended, failed;
	double begun;
};

static void cell_ended(int64_t index, int exit_code, void *user)
{
	struct bar *b = user;
	b->ended++;
	b->failed += exit_code != 0;
	if (exit_code && exit_code != -COP_ESTOPPED)
		cop_warn("cell %" PRId64 " failed with exit code %d ('coppice status' says why)", index, exit_code);
	size_t n = b->submission->cells;
	double left = (cop_now() - b->begun) / (double)b->ended * (double)(n - b->ended);
	cop_progress("cells", (double)b->ended, (double)n, "%zu of %zu, %zu failed, about %.0f s left", b->ended, n,
		     b->failed, left);
}

int submit_locally(const struct cop_run *run, bool redo, int jobs, struct cop_submission *s, struct cop_err *err)
{
	struct bar bar = {.submission = s, .begun = cop_now()};
	struct cop_submit_options o = {
		.mode = redo ? COP_SUBMIT_REDO : COP_SUBMIT_ALL, .jobs = jobs, .cell_ended = cell_ended, .user = &bar};
	int rc = cop_scheduler_find("local", &o.scheduler, err);
	cop_stop_on_signals();
	return rc ? rc : cop_submit(run, &o, s, err);
}

static void say_submitted(const struct cop_run *run, const struct cop_submission *s)
{
	if (s->stuck)
		printf("%zu cells cannot come: %s ('coppice redo', when that is mended)\n", s->stuck, s->why);
	if (s->jobs == 0 && s->rest == 0 && s->stuck == 0) {
		printf("nothing is missing: all %zu cells are done or in the queue\n", run->ncells);
		return;
	}
	if (s->jobs)
		printf("submitted %zu jobs (%s to %s): %zu dense, %zu cells%s\n", s->jobs, s->first, s->last, s->dense,
		       s->cells, s->rest ? "" : ", then collect");
	if (s->rest)
		printf("%zu cells wait for room in the queue: %s\n", s->rest,
		       s->next ? "a job that follows will submit them, or 'coppice submit' again"
			       : "'coppice submit' again later");
	printf("'coppice status %s' shows how far they are\n", run->path);
}

static int submit_remotely(const struct cop_run *run, const struct args *a, bool redo, struct cop_err *err)
{
	struct cop_submission s;
	struct cop_submit_options o = {.mode = a->rest ? COP_SUBMIT_REST : redo ? COP_SUBMIT_REDO : COP_SUBMIT_ALL};
	const char *name = a->scheduler ? a->scheduler : "slurm";
	bool print = strcmp(name, "print") == 0;
	int rc = cop_scheduler_find(name, &o.scheduler, err);
	if (print)
		cop_print_set_output(stdout);
	if (rc == COP_EMISSING && !a->scheduler)
		return cop_context(err, "cannot submit ('--local' runs the cells here, '--print' shows the commands)");
	if (!rc)
		rc = cop_submit(run, &o, &s, err);
	if (!rc && !print)
		say_submitted(run, &s);
	return rc;
}

int submit_command(int argc, char **argv, bool redo)
{
	static const struct argp_option options[] = {
		{"rest", 'r', NULL, 0, "Only what was never submitted: what the job runs that follows a full queue", 0},
		{"local", 'l', NULL, 0, "Run on this machine and wait", 0},
		{"print", 'p', NULL, 0, "Only print the commands that would submit", 0},
		{"jobs", 'j', "N", 0, "With --local: cells at once (default: one a core; on a GPU one)", 0},
		{0},
	};
	struct argp_child children[] = {{cop_run_argument(), 0, NULL, 0}, {0}};
	struct argp argp = {
		.children = children,
		.options = redo ? options + 1 : options, /* what was never submitted is submit's */
		.parser = parse,
		.args_doc = "RUN",
		.doc = redo ? "Submit exactly what is missing, failed or lost."
			    : "Submit the dense run, then the cells as an array, then collecting, each after the one "
			      "before. You can log out."};
	struct args a = {0};
	struct cop_err err = {0};
	struct cop_run run;
	struct cop_submission s;
	cop_parse_args(&argp, argc, argv, &a);
	cop_console_start(false);
	int rc = cop_run_open(&run, a.run, &err);
	if (rc)
		return cop_exit_code(rc, &err);
	if (a.scheduler && strcmp(a.scheduler, "local") == 0) {
		rc = submit_locally(&run, redo, a.jobs, &s, &err);
		/* what is there is worth gathering even where some cells failed */
		if (!rc || rc == COP_EPARTIAL)
			rc = gather_run(&run, &err);
	} else {
		rc = submit_remotely(&run, &a, redo, &err);
	}
	cop_run_release(&run);
	return cop_exit_code(rc, &err);
}
