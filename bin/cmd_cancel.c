/* coppice cancel: ends what is queued or runs. */
#include "commands.h"
#include "sweep/submit.h"

#include <stdio.h>

static error_t parse(int key, char *arg, struct argp_state *state)
{
	(void)arg;
	if (key != ARGP_KEY_INIT)
		return ARGP_ERR_UNKNOWN;
	state->child_inputs[0] = state->input;
	return 0;
}

int cmd_cancel(int argc, char **argv)
{
	struct argp_child children[] = {{cop_run_argument(), 0, NULL, 0}, {0}};
	struct argp argp = {
		.parser = parse,
		.children = children,
		.args_doc = "RUN",
		.doc = "End the run's jobs in the queue and its processes on this machine. What is done stays; what "
		       "was under way goes on where it was after 'coppice redo'."};
	const char *path = NULL;
	struct cop_err err = {0};
	struct cop_run run;
	size_t ended = 0;
	cop_parse_args(&argp, argc, argv, &path);
	cop_console_start(false);
	int rc = cop_run_open(&run, path, &err);
	if (rc)
		return cop_exit_code(rc, &err);
	rc = cop_cancel(&run, &ended, &err);
	if (!rc)
		printf("ended %zu jobs and processes\n", ended);
	cop_run_release(&run);
	return cop_exit_code(rc, &err);
}
