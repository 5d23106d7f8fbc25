/* coppice collect: results.h5 and results.csv from the cells that are done. */
#include "base/mem.h"
#include "commands.h"
#include "gather.h"

#include <stdio.h>
#include <stdlib.h>

static error_t parse(int key, char *arg, struct argp_state *state)
{
	(void)arg;
	if (key != ARGP_KEY_INIT)
		return ARGP_ERR_UNKNOWN;
	state->child_inputs[0] = state->input;
	return 0;
}

int cmd_collect(int argc, char **argv)
{
	struct argp_child children[] = {{cop_run_argument(), 0, NULL, 0}, {0}};
	struct argp argp = {
		.parser = parse,
		.children = children,
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
