/* coppice collect: results.h5 and results.csv from the cells that are done. */
#include "base/mem.h"
#include "commands.h"
#include "gather.h"

#include <stdio.h>
#include <stdlib.h>

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

int cmd_collect(int argc, char **argv)
{
	struct argp argp = {
		.parser = parse,
		.args_doc = "RUN",
		.doc = "Gather the cells that are done into RUN/results.h5 and RUN/results.csv, and name what is "
		       "missing. Exit code 4 where cells are missing."};
	const char *path = NULL;
	struct cop_err err = {0};
	struct cop_run run;
	cop_parse_args(&argp, argc, argv, &path);
	cop_console_start(false);
	int rc = cop_run_open(&run, path, &err);
	if (rc)
		return cop_exit_code(rc, &err);
	rc = gather_run(&run, &err);
	cop_run_release(&run);
	return cop_exit_code(rc, &err);
}
