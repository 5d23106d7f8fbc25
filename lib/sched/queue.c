/* The queue's rows as tasks; see queue.h. */
#include "sched/queue.h"

#include "base/mem.h"
#include "base/str.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_one_of(const char *word, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(word, *list) == 0)
			return true;
	return false;
}

static enum cop_phase phase_of(const char *state, const char *reason)
{
	static const char *const waiting[] = {"PENDING",      "REQUEUED",      "REQUEUE_FED", "REQUEUE_HOLD",
					      "SPECIAL_EXIT", "RESV_DEL_HOLD", NULL};
	static const char *const running[] = {"RUNNING",  "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED",
					      "RESIZING", "SIGNALING",  "STAGE_OUT",   NULL};
	static const char *const never[] = {"DependencyNeverSatisfied", "BadConstraints", NULL};
	if (is_one_of(state, waiting))
		return is_one_of(reason, never) ? COP_PHASE_STUCK : COP_PHASE_QUEUED;
	return is_one_of(state, running) ? COP_PHASE_RUNNING : COP_PHASE_ENDED;
}

static void add_task(struct cop_queue *q, const struct cop_slurm_record *row, int64_t number)
{
	const char *reason = row->reason && strcmp(row->reason, "None") != 0 ? row->reason : "";
	q->task = cop_grow(q->task, &q->cap, q->n + 1, sizeof(*q->task));
	struct cop_task *t = &q->task[q->n++];
	*t = (struct cop_task){.task = number, .phase = phase_of(row->state, reason)};
	snprintf(t->job, sizeof(t->job), "%u", row->job);
	snprintf(t->state, sizeof(t->state), "%s", row->state);
	snprintf(t->reason, sizeof(t->reason), "%s", reason);
	snprintf(t->node, sizeof(t->node), "%s", row->node ? row->node : "");
}

/* Reads digits at *s and goes past them. */
static bool read_number(const char **s, int64_t *v)
{
	enum { MOST = 4000000 }; /* SLURM's own limit on MaxArraySize */
	*v = 0;
	if (!isdigit((unsigned char)**s))
		return false;
	for (; isdigit((unsigned char)**s) && *v <= MOST; ++*s)
		*v = *v * 10 + (**s - '0');
	return *v <= MOST;
}

/* "3", "2-9" or "0-8:2" at *s. */
static bool read_range(const char **s, int64_t *first, int64_t *last, int64_t *step)
{
	*step = 1;
	if (!read_number(s, first))
		return false;
	*last = *first;
	if (**s == '-') {
		++*s;
		if (!read_number(s, last) || *last < *first)
			return false;
	}
	if (**s == ':') {
		++*s;
		if (!read_number(s, step) || *step == 0)
			return false;
	}
	return **s == '\0' || **s == ',' || **s == '%';
}

int cop_queue_add(struct cop_queue *q, const struct cop_slurm_record *row, struct cop_err *err)
{
	const char *s = row->tasks;
	if (!s) {
		add_task(q, row, -1);
		return 0;
	}
	for (;;) {
		int64_t first, last, step;
		if (!read_range(&s, &first, &last, &step))
			return cop_fail(err, COP_EFAILED,
					"SLURM names the tasks of job %u as '%s', which is not understood", row->job,
					row->tasks);
		for (int64_t i = first; i <= last; i += step)
			add_task(q, row, i);
		/* behind "%" stands how many may run at once */
		if (*s != ',')
			return 0;
		s++;
	}
}

int cop_queue_add_line(struct cop_queue *q, char *line, struct cop_err *err)
{
	char *field[5], *rest = line;
	for (int i = 0; i < 4; i++)
		if (!(field[i] = strsep(&rest, "|")) || !rest)
			return cop_fail(err, COP_EFAILED, "cannot read '%s' of squeue", line);
	field[4] = rest; /* the reason may hold anything */
	int64_t job;
	if (!cop_parse_i64(field[0], &job) || job <= 0 || job > UINT32_MAX)
		return cop_fail(err, COP_EFAILED, "cannot read job '%s' of squeue", field[0]);
	struct cop_slurm_record row = {.job = (uint32_t)job,
				       .tasks = strcmp(field[1], "N/A") == 0 ? NULL : field[1],
				       .state = field[2],
				       .node = field[3],
				       .reason = field[4]};
	return cop_queue_add(q, &row, err);
}
