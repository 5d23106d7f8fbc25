/* coppice collect: results.h5 and results.csv from the cells that are done. */
#include "base/mem.h"
#include "commands.h"
#include "gather.h"

#include <stdio.h>
#include <stdlib.h>

int cmd_collect(int argc, char **argv)
{
	const char *path = cop_parse_run(
		argc, argv,
		"Gather the cells that are done into RUN/results.h5 and RUN/results.csv, and name what is "
		"missing. Exit code 4 where cells are missing.");
	struct cop_err err = {0};
	struct cop_run run;
	cop_console_start(false);
	int rc = cop_run_open(&run, path, &err);
	if (rc)
		return cop_exit_code(rc, &err);
	rc = gather_run(&run, &err);
	cop_run_release(&run);
	return cop_exit_code(rc, &err);
}
