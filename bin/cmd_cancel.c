/* coppice cancel: ends what is queued or runs. */
#include "commands.h"
#include "sweep/submit.h"

#include <stdio.h>

static error_t parse(int key, char *arg, struct argp_state *state)
{
	const char **run = state->input;
	if (key == ARGP_KEY_ARG && state->arg_num == 0)
		*run = arg;
	else if (key == ARGP_KEY_ARG)
		argp_error(state, "one run at a time, not '%s' too", arg);
	else if (key == ARGP_KEY_END && !*run)
		argp_error(state, "a run's folder is needed");
	else
		return ARGP_ERR_UNKNOWN;
	return 0;
}

int cmd_cancel(int argc, char **argv)
{
	struct argp argp = {
		.parser = parse,
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
