/* coppice submit: a planned run to a scheduler. */
#include "commands.h"
#include "submitting.h"

int cmd_submit(int argc, char **argv)
{
	return submit_command(argc, argv, false);
}
