/* Threads that meet; see team.h. */
#include "nn/team.h"

#include "base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct member {
	struct cop_team *team;
	int number;
	pthread_t thread;
};

struct cop_team {
	struct cop_team_work work;
	struct member member[COP_TEAM_MAX];
	bool quit; /* written before all meet */

	pthread_mutex_t lock; /* of all that follows */
	pthread_cond_t complete;
	int n, here;
	int64_t meetings;
};

void cop_team_meet(struct cop_team *t)
{
	pthread_mutex_lock(&t->lock);
	int64_t meeting = t->meetings;
	if (++t->here == t->n) {
		t->here = 0;
		t->meetings++;
		pthread_cond_broadcast(&t->complete);
	}
	while (meeting == t->meetings)
		pthread_cond_wait(&t->complete, &t->lock);
	pthread_mutex_unlock(&t->lock);
}

static void *live(void *member)
{
	struct member *m = member;
	struct cop_team *t = m->team;
	cop_team_meet(t); /* all are there */
	t->work.begin(t->work.user, m->number);
	for (;;) {
		cop_team_meet(t);
		cop_team_meet(t); /* for a step, or for the end */
		if (t->quit)
			break;
		t->work.step(t->work.user, m->number);
	}
	t->work.end(t->work.user, m->number);
	return NULL;
}

static int start(struct cop_team *t, int n, struct cop_err *err)
{
	sigset_t all, before;
	int started = 1, rc = 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (; started < n && !rc; started += !rc) {
		t->member[started] = (struct member){.team = t, .number = started};
		errno = pthread_create(&t->member[started].thread, NULL, live, &t->member[started]);
		if (errno != 0)
			rc = cop_fail_errno(err, COP_EFAILED, "cannot start thread %d of %d", started, n);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_mutex_lock(&t->lock);
	t->n = started;
	pthread_mutex_unlock(&t->lock);
	return rc;
}

int cop_team_open(struct cop_team **out, int n, const struct cop_team_work *work, struct cop_err *err)
{
	struct cop_team *t = *out = cop_xcalloc(1, sizeof(*t));
	t->work = *work;
	t->n = COP_TEAM_MAX + 1; /* more than ever come, until it is known how many there are */
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->complete, NULL);
	int rc = start(t, n, err);
	cop_team_meet(t);
	t->work.begin(t->work.user, 0);
	cop_team_meet(t);
	if (!rc)
		return 0;
	cop_team_free(t);
	*out = NULL;
	return rc;
}

void cop_team_step(struct cop_team *t)
{
	cop_team_meet(t);
	t->work.step(t->work.user, 0);
	cop_team_meet(t);
}

void cop_team_free(struct cop_team *t)
{
	if (!t)
		return;
	t->quit = true;
	cop_team_meet(t);
	t->work.end(t->work.user, 0);
	for (int k = 1; k < t->n; k++)
		pthread_join(t->member[k].thread, NULL);
	pthread_cond_destroy(&t->complete);
	pthread_mutex_destroy(&t->lock);
	free(t);
}
