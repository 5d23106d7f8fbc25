/* coppice cancel: ends what is queued or runs. */
#include "commands.h"
#include "sweep/submit.h"

#include <stdio.h>

int cmd_cancel(int argc, char **argv)
{
	const char *path = cop_parse_run(
		argc, argv,
		"End the run's jobs in the queue and its processes on this machine. What is done stays; what "
		"was under way goes on where it was after 'coppice redo'.");
	struct cop_err err = {0};
	struct cop_run run;
	size_t ended = 0;
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
