/* coppice redo: what is missing or failed, again. */
#include "commands.h"
#include "submitting.h"

int cmd_redo(int argc, char **argv)
{
	return submit_command(argc, argv, true);
}
