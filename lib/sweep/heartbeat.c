/*
 * Who may go on. SLURM can start a task anew while a process of its last attempt still runs, on a node that was lost
 * from sight or under a slurmd that died: two processes then have one piece of work. Each writes its name into the
 * state file when it begins and, every few seconds, looks whether it still stands there before it writes again. One
 * that finds another's name ends, and writes nothing more into the state. Of any number one is left: the last to write
 * finds its own name whenever it looks, for those that stopped have stopped writing.
 *
 * Between a look and a write another may begin, and lose its place again: then that one ends at its next look. Results
 * have the same bits whoever writes them, so two that finish within one such moment do no harm.
 */
#include "base/file.h"
#include "base/log.h"
#include "sweep/work_priv.h"

#include <stdlib.h>

enum { STATE_SECONDS = 5 };

void cop_work_note(struct cop_job_work *w)
{
	struct cop_err err = {0};
	if (cop_state_write(w->state_path, &w->state, &err))
		cop_warn("%s", err.msg);
	w->noted = cop_now();
}

/* Whether the result file is another one than when this process last looked, or is there for the first time. */
static bool result_changed(struct cop_job_work *w)
{
	char *path = w->dense ? cop_run_dense_result(w->run, w->number) : cop_run_cell(w->run, w->number);
	double before = w->result_changed;
	w->result_changed = cop_changed(path);
	free(path);
	return w->result_changed != before;
}

static bool is_done(const struct cop_job_work *w)
{
	return w->dense ? cop_dense_done(w->run, w->number) : cop_cell_done(w->run, w->number, NULL);
}

int cop_work_check(struct cop_job_work *w, struct cop_err *err)
{
	struct cop_state there;
	cop_state_read(w->state_path, &there);
	bool gone = there.state == COP_WORK_NONE; /* who is done removes it */
	if ((result_changed(w) || gone) && is_done(w)) {
		w->claim = COP_CLAIM_DONE;
		return cop_fail(err, COP_EFAILED, "%s is done: another process has finished it meanwhile", w->what);
	}
	if (gone || cop_state_same_owner(&there, &w->state))
		return 0;
	w->claim = COP_CLAIM_LOST;
	return cop_fail(err, COP_EFAILED,
			"%s was taken over by process %lld on %s%s%s; this one ends and leaves it alone", w->what,
			(long long)there.pid, there.host, *there.job ? ", job " : "", there.job);
}

int cop_work_heartbeat(const struct cop_trainer *t, void *user, struct cop_err *err)
{
	struct cop_job_work *w = user;
	if (cop_now() - w->noted < STATE_SECONDS)
		return 0;
	w->state.step = t->step;
	w->state.speed = cop_trainer_speed(t);
	int rc = cop_work_check(w, err);
	if (!rc)
		cop_work_note(w);
	return rc;
}
