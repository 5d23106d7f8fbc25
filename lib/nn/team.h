/*
 * A team: a few threads that do the same things at the same time, each with a number, and meet in between. The first is
 * the caller's own. Signals are for the program's first thread.
 */
#ifndef COP_NN_TEAM_H
#define COP_NN_TEAM_H

#include "base/err.h"

enum { COP_TEAM_MAX = 16 };

struct cop_team;

/* What each member does on its thread; `user` is shared by all. */
struct cop_team_work {
	void (*begin)(void *user, int member); /* once, before all else */
	void (*step)(void *user, int member);
	void (*end)(void *user, int member); /* once, whatever came before */
	void *user;
};

/*
 * Returns when all have begun. *team is set before any of them does. COP_EFAILED where threads cannot be had: those
 * that were have begun and ended, and *team is NULL.
 */
int cop_team_open(struct cop_team **team, int n, const struct cop_team_work *work, struct cop_err *err) COP_CHECKED;
void cop_team_free(struct cop_team *team); /* NULL is allowed; returns when all have ended */

/* All do a step; returns when all have. */
void cop_team_step(struct cop_team *team);

/* Within begin, step or end, by each member: waits for all. What each wrote before, all can read after. */
void cop_team_meet(struct cop_team *team);

#endif
