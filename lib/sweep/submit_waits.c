/* What cells wait for; see submit_priv.h. */
#include "base/mem.h"
#include "sweep/submit_priv.h"
#include "sweep/ticket.h"
#include "sweep/work.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The dense run's checkpoints, each looked for once. */
struct known {
	struct {
		int64_t replicate, step;
		bool there;
	} * point;
	size_t n, cap;
};

static bool has_checkpoint(struct known *k, const struct cop_run *r, int64_t replicate, int64_t step)
{
	/* what is asked for was often asked for last */
	for (size_t i = k->n; i > 0; i--)
		if (k->point[i - 1].replicate == replicate && k->point[i - 1].step == step)
			return k->point[i - 1].there;
	k->point = cop_grow(k->point, &k->cap, k->n + 1, sizeof(*k->point));
	k->point[k->n].replicate = replicate;
	k->point[k->n].step = step;
	k->point[k->n].there = cop_dense_has(r, replicate, step);
	return k->point[k->n++].there;
}

/*
 * Whether a dense run that is not under way will be: with the next room in the queue. What began and came to nothing a
 * job that submits the rest leaves to the user, and may not wait for.
 */
static bool dense_follows(const struct cop_sending *s, int64_t replicate)
{
	return s->o->mode != COP_SUBMIT_REST || s->ledger->dense[replicate].fate == COP_FATE_WAITING;
}

static void leave_cell(struct cop_sending *s, size_t i, bool follows)
{
	struct cop_submission *done = s->done;
	int64_t replicate = s->run->cell[i].replicate;
	const struct cop_entry *dense = &s->ledger->dense[replicate];
	s->wanted[i] = false;
	done->rest += follows;
	done->stuck += !follows;
	if (!follows && !done->why[0])
		snprintf(done->why, sizeof(done->why), "dense run %" PRId64 " %s%s: %s", replicate,
			 dense->fate == COP_FATE_FAILED ? "" : "is ", cop_fate_names[dense->fate], dense->reason);
}

void cop_find_waits(struct cop_sending *s, struct cop_wait *wait)
{
	const struct cop_run *r = s->run;
	struct known known = {0};
	for (size_t i = 0; i < r->ncells; i++) {
		const struct cop_point *p = &r->cell[i];
		int64_t before = cop_cell_before(r, (int64_t)i);
		wait[i] = (struct cop_wait){.dense = -1};
		if (!s->wanted[i] || (before >= 0 && s->wanted[before]))
			continue;
		/* with its run under way a checkpoint that is there may just be made anew */
		const char *dense = s->dense[p->replicate];
		bool ready = (before >= 0 || has_checkpoint(&known, r, p->replicate, r->total_steps)) &&
			     has_checkpoint(&known, r, p->replicate, p->reset_step) &&
			     (!cop_ticket_needs_first(p) || has_checkpoint(&known, r, p->replicate, 0));
		if (!ready && !*dense) {
			leave_cell(s, i, dense_follows(s, p->replicate));
			continue;
		}
		if (!ready)
			wait[i] = (struct cop_wait){.needed = true, .dense = p->replicate};
		if (before >= 0 && cop_fate_busy(s->ledger->cell[before].fate)) {
			const char *job = s->ledger->cell[before].job;
			wait[i].needed = true;
			snprintf(wait[i].job, sizeof(wait[i].job), "%.*s", (int)strcspn(job, "_"), job);
		}
	}
	free(known.point);
	/* a cell that cannot come takes the rounds behind it along */
	for (size_t i = 0; i < r->ncells; i++) {
		int64_t before = cop_cell_before(r, (int64_t)i);
		if (s->wanted[i] && before >= 0 && !s->wanted[before] &&
		    s->ledger->cell[before].fate != COP_FATE_DONE && !cop_fate_busy(s->ledger->cell[before].fate))
			leave_cell(s, i, dense_follows(s, r->cell[i].replicate));
	}
}
