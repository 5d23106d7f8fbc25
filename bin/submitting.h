/* What `submit`, `redo` and `run` share: choosing a scheduler, progress of local cells, saying what was submitted. */
#ifndef COP_BIN_SUBMITTING_H
#define COP_BIN_SUBMITTING_H

#include "sweep/submit.h"

#include <argp.h>

/* The command behind `submit` (redo: false) and `redo`. */
int submit_command(int argc, char **argv, bool redo);

/* Runs what is missing on this machine, `jobs` cells at once (0: one a core, on a GPU one), with a bar on a terminal.
 */
int submit_locally(const struct cop_run *run, bool redo, int jobs, struct cop_submission *s, struct cop_err *err)
	COP_CHECKED;

#endif
