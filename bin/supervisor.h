/*
 * What an array task runs: one child process for each piece of its work (a cell, or a dense run), in turn or all at
 * once, so that one that dies leaves its neighbours alone. Cells that run at once on a GPU are one process, which reads
 * each batch once for all of them. One that fails is to be run again until it has failed
 * slurm.max_attempts times in a row in the same way; its state file counts.
 */
#ifndef COP_BIN_SUPERVISOR_H
#define COP_BIN_SUPERVISOR_H

#include "sweep/run.h"

#include <sys/types.h>

enum piece_end {
	PIECE_WAITING, /* not begun */
	PIECE_RUNNING,
	PIECE_DONE,
	PIECE_STOPPED, /* saved on request */
	PIECE_AGAIN,   /* failed, and has attempts left */
	PIECE_FAILED,
	PIECE_ENDS
};

struct piece {
	int64_t number; /* of the cell, or the replicate */
	pid_t pid;
	enum piece_end end;
	int code; /* the exit code of one that failed */
};

struct supervision {
	const struct cop_run *run;
	bool dense;      /* the pieces are dense runs, not cells */
	bool concurrent; /* all at once, not in turn */
	int threads;     /* of each piece; 0: what the experiment says, or their share of the cores where concurrent */
	struct piece *piece;
	size_t n;
};

/*
 * Runs the pieces and returns the task's exit code: 75 where one wants to be run again, else 0 where one is done at
 * least, else the code of the first that failed. Call it before any thread was started. USR1, TERM and INT are passed
 * on to the children, and no more are begun then.
 */
int supervise(struct supervision *s);

#endif
