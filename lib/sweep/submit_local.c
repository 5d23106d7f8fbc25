/* Submitting to this machine: dense runs, then the cells round by round; see submit_priv.h. */
#include "base/cpu.h"
#include "base/mem.h"
#include "compute/backend.h"
#include "sweep/series.h"
#include "sweep/submit_priv.h"
#include "sweep/ticket.h"
#include "sweep/work.h"

#include <stdio.h>
#include <stdlib.h>

/* Dense runs go one by one, each with all cores; one that is done returns at once. */
static int send_dense(struct cop_sending *s, struct cop_err *err)
{
	const struct cop_ledger *l = s->ledger;
	char id[COP_JOB_ID];
	s->done->dense = l->ndense - cop_ledger_count(l->dense, l->ndense, COP_FATE_DONE);
	const char *command[] = {s->program, "train", s->run->path, NULL};
	struct cop_sent job = {.role = "dense",
			       .list = "",
			       .count = (int64_t)l->ndense,
			       .per_task = 1,
			       .at_once = 1,
			       .command = command};
	return s->done->dense ? cop_send(s, &job, id, err) : 0;
}

/* Whether what a cell starts from is there, after a dense run or an earlier round may have failed. */
static bool can_begin(const struct cop_run *r, size_t i)
{
	const struct cop_point *p = &r->cell[i];
	int64_t before = cop_cell_before(r, (int64_t)i);
	return (before < 0 ? cop_dense_has(r, p->replicate, r->total_steps) : cop_cell_done(r, before, NULL)) &&
	       cop_dense_has(r, p->replicate, p->reset_step) &&
	       (!cop_ticket_needs_first(p) || cop_dense_has(r, p->replicate, 0));
}

/* One a core, but on a GPU one: processes take it in turns, and each has a copy of the data there. */
static int cells_at_once(const struct cop_sending *s)
{
	bool gpu = false;
	if (s->o->jobs)
		return s->o->jobs;
	/* where there is none that there should be, each cell says so */
	if (cop_backend_probe(&s->run->experiment.device.choice, &gpu, NULL))
		gpu = false;
	return gpu ? 1 : cop_cpu_count();
}

static int send_cells(struct cop_sending *s, const int64_t *index, size_t n, struct cop_err *err)
{
	char name[64] = "", threads[16] = "0", together[16], id[COP_JOB_ID];
	int cores = cop_cpu_count(), jobs = cells_at_once(s);
	jobs = jobs > (int)n ? (int)n : jobs;
	cop_local_set_jobs(jobs);
	snprintf(together, sizeof(together), "%d", jobs);
	if (s->run->experiment.device.threads == 0)
		snprintf(threads, sizeof(threads), "%d", cores / jobs > 1 ? cores / jobs : 1);
	int rc = cop_write_list(s->run, "cells", index, n, name, sizeof(name), err);
	if (rc)
		return rc;
	char *list = cop_xasprintf("%s/jobs/%s", s->run->path, name);
	const char *command[] = {s->program,   "cell",   s->run->path, "--threads", threads,
				 "--together", together, "--list",     list,        NULL};
	struct cop_sent job = {.role = "cells",
			       .list = name,
			       .count = (int64_t)n,
			       .per_task = 1,
			       .at_once = jobs,
			       .command = command,
			       .index = index};
	rc = cop_send(s, &job, id, err);
	free(list);
	return rc;
}

int cop_send_locally(struct cop_sending *s, struct cop_err *err)
{
	const struct cop_run *r = s->run;
	int64_t *index = cop_xcalloc(r->ncells, sizeof(*index));
	s->done->cells = s->nwanted;
	int rc = s->nwanted ? send_dense(s, err) : 0;
	bool partial = rc == COP_EPARTIAL;
	for (int64_t round = 1; round <= r->experiment.sweep.rounds && (!rc || partial); round++) {
		size_t n = 0;
		/* a failure leaves out what needs what failed, and nothing else */
		for (size_t i = 0; i < r->ncells; i++)
			if (s->wanted[i] && r->cell[i].round == round && ((round == 1 && !partial) || can_begin(r, i)))
				index[n++] = (int64_t)i;
		rc = n ? send_cells(s, index, n, err) : 0;
		if (rc && rc != COP_EPARTIAL)
			break;
		partial = partial || rc;
	}
	free(index);
	return rc ? rc : partial ? COP_EPARTIAL : 0;
}
