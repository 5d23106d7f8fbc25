/* Submitting to a queue, within its limits; see submit_priv.h. */
#include "base/log.h"
#include "base/mem.h"
#include "sweep/batch.h"
#include "sweep/series.h"
#include "sweep/submit_priv.h"
#include "sweep/work.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void add_id(struct cop_str *ids, const char *id)
{
	cop_str_addf(ids, "%s%s", ids->len ? ":" : "", id);
}

/* How much fits: of an array, and of the queue, with room kept for the jobs that come behind the cells. */
static int read_limits(struct cop_sending *s, struct cop_err *err)
{
	enum { BEHIND = 2 };
	struct cop_limits limits = {0};
	int64_t most = s->run->experiment.slurm.max_submitted, ours = 0;
	int rc = s->o->scheduler->limits ? s->o->scheduler->limits(&limits, err) : 0;
	s->array_size = limits.array_size > 0 ? limits.array_size : INT64_MAX;
	s->room = limits.jobs > 0 ? limits.jobs - limits.in_queue - BEHIND : INT64_MAX;
	for (size_t i = 0; i < s->ledger->njobs; i++)
		if (s->ledger->job[i].tasks > 0)
			ours += s->ledger->job[i].in_queue;
	if (most > 0)
		s->room = least(s->room, most - ours);
	s->room = s->room > 0 ? s->room : 0;
	return rc;
}

/* Jobs of an earlier submission that go on: cells wait for them where max_running bounds all together. */
static void note_jobs_under_way(struct cop_sending *s)
{
	for (size_t i = 0; i < s->ledger->njobs; i++) {
		const struct cop_submitted *job = &s->ledger->job[i];
		if (job->in_queue && strcmp(job->role, "cells") == 0) {
			add_id(&s->cells, job->id);
			if (s->run->experiment.slurm.max_running > 0)
				add_id(&s->before, job->id);
		}
	}
}

/* Tasks of what the user no longer wants to wait for: redo submits their cells anew. */
static int cancel_never(const struct cop_sending *s, struct cop_err *err)
{
	const struct cop_ledger *l = s->ledger;
	int rc = 0;
	for (size_t i = 0; i < l->ndense + l->ncells && !rc; i++) {
		const struct cop_entry *e = i < l->ndense ? &l->dense[i] : &l->cell[i - l->ndense];
		if (e->fate == COP_FATE_NEVER && e->job[0] && s->o->scheduler->cancel)
			rc = s->o->scheduler->cancel(e->job, err);
	}
	return rc;
}

/* Sends the dense runs number[0..n-1] as one array; cells then wait for its tasks. */
static int send_dense_array(struct cop_sending *s, const int64_t *number, size_t n, struct cop_err *err)
{
	char name[64] = "", id[COP_JOB_ID];
	int rc = n < s->ledger->ndense ? cop_write_list(s->run, "dense", number, n, name, sizeof(name), err) : 0;
	struct cop_sent job = {.role = "dense",
			       .list = name,
			       .count = (int64_t)n,
			       .per_task = 1,
			       .at_once = s->run->experiment.slurm.max_running};
	if (!rc)
		rc = cop_send(s, &job, id, err);
	for (size_t k = 0; k < n && !rc; k++)
		snprintf(s->dense[number[k]], sizeof(s->dense[number[k]]), "%s_%zu", id, k);
	if (!rc) {
		add_id(&s->first, id);
		s->room -= s->room == INT64_MAX ? 0 : (int64_t)n;
		s->done->dense += n;
		s->ndense += n;
	}
	return rc;
}

static int send_dense(struct cop_sending *s, struct cop_err *err)
{
	const struct cop_ledger *l = s->ledger;
	int64_t *missing = cop_xcalloc(l->ndense, sizeof(*missing));
	size_t n = 0;
	int rc = 0;
	for (size_t k = 0; k < l->ndense && !rc; k++) {
		const struct cop_entry *e = &l->dense[k];
		bool rest = s->o->mode == COP_SUBMIT_REST;
		if (cop_fate_busy(e->fate) && !e->job[0])
			rc = cop_fail(err, COP_EINPUT,
				      "dense run %zu is running outside of the queue (process %" PRId64
				      " on '%s'): wait for its end, or 'coppice cancel' it there",
				      k, e->state.pid, e->state.host);
		else if (cop_fate_busy(e->fate)) {
			snprintf(s->dense[k], sizeof(s->dense[k]), "%s", e->job);
			s->ndense++;
		} else if (e->fate != COP_FATE_DONE && (!rest || e->fate == COP_FATE_WAITING)) {
			missing[n++] = (int64_t)k;
		}
	}
	for (size_t at = 0; at < n && !rc && s->room > 0;) {
		size_t part = (size_t)least(least((int64_t)(n - at), s->array_size), s->room);
		rc = send_dense_array(s, missing + at, part, err);
		at += part;
	}
	free(missing);
	return rc;
}

/*
 * How many tasks of an array may run, so that with the dense runs that go on beside it there are no more than
 * max_running in all. Where these take more than half of the places it is better to wait for them: *wait.
 */
static int64_t places(const struct cop_sending *s, const struct cop_series *series, bool *wait)
{
	const struct cop_slurm_config *c = &s->run->experiment.slurm;
	int64_t beside = (int64_t)s->ndense - (series->wait.needed && series->wait.dense >= 0);
	int64_t each = c->concurrent ? c->cells_per_task : 1;
	*wait = c->max_running > 0 && beside > 0 && 2 * beside > c->max_running;
	if (c->max_running == 0 || *wait || beside <= 0)
		return cop_batch_at_once(c);
	return c->max_running - beside < each ? 1 : (c->max_running - beside) / each;
}

static void after_dense(const struct cop_sending *s, struct cop_str *ids)
{
	for (size_t k = 0; k < s->ledger->ndense; k++)
		if (s->dense[k][0])
			add_id(ids, s->dense[k]);
}

/* The first arrays of chains from..from+n-1 of a series. *sent: how many of them went. */
static int send_chunk(struct cop_sending *s, const struct cop_series *series, size_t from, size_t n, size_t arrays,
		      size_t *sent, struct cop_err *err)
{
	const struct cop_run *r = s->run;
	char name[64] = "", (*id)[COP_JOB_ID] = cop_xcalloc(series->arrays, sizeof(*id));
	bool wait, whole = series->arrays == 1 && n == r->ncells;
	struct cop_str after = {0}, chunk = {0};
	int64_t *list = cop_xcalloc(n * series->arrays, sizeof(*list));
	for (size_t k = 0; k < series->arrays; k++)
		memcpy(list + k * n, series->cell + k * series->chains + from, n * sizeof(*list));
	int rc = whole ? 0 : cop_write_list(r, "cells", list, n * series->arrays, name, sizeof(name), err);
	int64_t at_once = places(s, series, &wait);
	if (s->before.len)
		cop_str_add(&after, s->before.s);
	if (series->wait.job[0])
		add_id(&after, series->wait.job);
	if (wait)
		after_dense(s, &after);
	for (size_t k = 0; k < arrays && !rc; k++) {
		int corr = series->after[k];
		/* a chain has one task under way: what does not follow the array before waits for all of it */
		bool turn = k && corr != (int)k - 1 && r->experiment.slurm.max_running > 0;
		struct cop_sent job = {.role = "cells",
				       .list = name,
				       .offset = (int64_t)(k * n),
				       .count = (int64_t)n,
				       .per_task = r->experiment.slurm.cells_per_task,
				       .at_once = at_once,
				       .after_ok = k == 0 && series->wait.needed && series->wait.dense >= 0
							   ? s->dense[series->wait.dense]
							   : NULL,
				       .after_corr = corr >= 0 ? id[corr] : NULL,
				       .after_any = turn                  ? id[k - 1]
						    : k == 0 && after.len ? after.s
									  : NULL};
		rc = cop_send(s, &job, id[k], err);
		if (!rc) {
			add_id(&chunk, id[k]);
			add_id(&s->cells, id[k]);
			s->done->cells += n;
			++*sent;
		}
	}
	/* the next ones begin where these have ended */
	if (chunk.len && r->experiment.slurm.max_running > 0) {
		s->before.len = 0;
		cop_str_add(&s->before, chunk.s);
	}
	if (chunk.len && !s->first.len)
		cop_str_add(&s->first, chunk.s);
	cop_str_release(&after);
	cop_str_release(&chunk);
	free(list);
	free(id);
	return rc;
}

/* How many chains go into one array now. */
static size_t fitting(const struct cop_sending *s, const struct cop_series *series, size_t left)
{
	const struct cop_slurm_config *c = &s->run->experiment.slurm;
	int64_t arrays = (int64_t)series->arrays, tasks = least(s->array_size, s->room / arrays);
	/* of several arrays each has a task under way, so they must not hold more than may run */
	if (arrays > 1 && c->max_running > 0)
		tasks = least(tasks, cop_batch_at_once(c));
	return tasks < (int64_t)left / c->cells_per_task + 1 ? (size_t)least(tasks * c->cells_per_task, (int64_t)left)
							     : left;
}

/* A series in as many arrays as it needs and the queue takes; *full once it takes no more. */
static int send_series(struct cop_sending *s, const struct cop_series *series, bool *full, struct cop_err *err)
{
	int64_t each = s->run->experiment.slurm.cells_per_task;
	size_t at = 0, most = series->chains;
	while (at < series->chains && !*full) {
		size_t left = series->chains - at, n = fitting(s, series, left < most ? left : most), sent = 0;
		size_t arrays = series->arrays;
		/* where a whole chain never fits its first cells must do */
		if (n == 0 && s->room > 0 && !s->cells.len) {
			n = (size_t)least(each, (int64_t)left);
			arrays = (size_t)s->room;
		}
		if (n == 0) {
			*full = true;
			break;
		}
		int rc = send_chunk(s, series, at, n, arrays, &sent, err);
		if (rc && rc != COP_EFULL)
			return rc;
		if (s->room != INT64_MAX)
			s->room -= ((int64_t)n + each - 1) / each * (int64_t)sent;
		if (rc == COP_EFULL && sent == 0 && n > (size_t)each) {
			most = n / 2; /* a limit that only shows when it is met */
			continue;
		}
		*full = rc == COP_EFULL || arrays < series->arrays;
		at += sent ? n : 0;
	}
	return 0;
}

/* Whether a job that will submit the rest is in the queue already; the one that is doing so does not count. */
static bool has_next(const struct cop_ledger *l)
{
	char own[64];
	cop_job_name(own, sizeof(own));
	for (size_t i = 0; i < l->njobs; i++)
		if (strcmp(l->job[i].role, "next") == 0 && l->job[i].in_queue && strcmp(l->job[i].id, own) != 0)
			return true;
	return false;
}

/* Behind the cells: gathering, or where some are left the job that submits those. */
static int send_behind(struct cop_sending *s, struct cop_err *err)
{
	char id[COP_JOB_ID];
	struct cop_str ids = {0};
	struct cop_err why = {0};
	struct cop_sent job = {.role = s->done->rest ? "next" : "collect", .list = "", .per_task = 1};
	bool again = s->o->mode == COP_SUBMIT_REST; /* by a job, which may look again later */
	if (s->done->rest && has_next(s->ledger)) {
		s->done->next = true;
		return 0;
	}
	if (s->done->rest && s->first.len)
		cop_str_add(&ids, s->first.s);
	else if (s->cells.len)
		cop_str_add(&ids, s->cells.s);
	if (!s->done->rest || !ids.len)
		after_dense(s, &ids);
	if (s->done->rest && !ids.len)
		return cop_fail(
			err, again ? COP_ESTOPPED : COP_EFULL,
			"the queue takes no more jobs now, and none of '%s' is in it: nothing was submitted; %s "
			"again when it is shorter",
			s->run->path, again ? "to be tried" : "try");
	job.after_any = ids.len ? ids.s : NULL;
	int rc = cop_send(s, &job, id, &why);
	if (rc == COP_EFULL && again)
		rc = cop_fail(err, COP_ESTOPPED, "the queue takes no more jobs now; to be tried again: %s", why.msg);
	else if (rc == COP_EFULL)
		cop_warn("the queue takes no more jobs now: %s", s->done->rest
									 ? "'coppice submit' again later for the rest"
									 : "'coppice collect' when all is done");
	else if (rc)
		rc = cop_fail(err, why.code, "%s", why.msg);
	s->done->next = s->done->rest && !rc;
	cop_str_release(&ids);
	return rc == COP_EFULL ? 0 : rc;
}

int cop_send_remotely(struct cop_sending *s, struct cop_err *err)
{
	const struct cop_run *r = s->run;
	struct cop_wait *wait = cop_xcalloc(r->ncells, sizeof(*wait));
	struct cop_series *series = NULL;
	size_t n = 0, before = 0;
	bool full = false;
	int rc = read_limits(s, err);
	note_jobs_under_way(s);
	if (!rc && s->o->mode == COP_SUBMIT_REDO)
		rc = cancel_never(s, err);
	if (!rc)
		rc = send_dense(s, err);
	if (rc == COP_EFULL)
		rc = 0; /* what could not go is told below */
	if (!rc) {
		cop_find_waits(s, wait);
		cop_series_make(r, s->wanted, wait, &series, &n);
	}
	for (size_t k = 0; k < n && !rc; k++) {
		before += series[k].chains * series[k].arrays;
		if (!full)
			rc = send_series(s, &series[k], &full, err);
	}
	if (!rc) {
		s->done->rest += before - s->done->cells;
		if (s->done->jobs || s->done->rest || !s->followed)
			rc = send_behind(s, err);
	}
	cop_series_free(series, n);
	free(wait);
	return rc;
}
