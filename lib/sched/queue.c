/* The queue's rows as tasks; see queue.h. */
#include "sched/queue.h"

#include "base/file.h"
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

/* Where the script of a row's job lies, seen from the folder that was asked for. */
struct place {
	const char *command; /* its name in the folder and its arguments; NULL: it lies elsewhere */
	bool alike;          /* elsewhere, in a folder of the same name */
};

static void add_task(struct cop_queue *q, const struct cop_slurm_record *row, const struct place *place, int64_t number)
{
	const char *reason = row->reason && strcmp(row->reason, "None") != 0 ? row->reason : "";
	struct cop_answer *a = &q->answer;
	a->task = cop_grow(a->task, &q->cap, a->ntasks + 1, sizeof(*a->task));
	struct cop_task *t = &a->task[a->ntasks++];
	*t = (struct cop_task){.task = number,
			       .phase = phase_of(row->state, reason),
			       .exit_code = row->exit_code,
			       .alike = place->alike};
	if (place->command)
		snprintf(t->script, sizeof(t->script), "%.*s", (int)strcspn(place->command, " "), place->command);
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

void cop_answer_release(struct cop_answer *a)
{
	for (size_t i = 0; i < a->nfound; i++)
		free(a->found[i].command);
	free(a->found);
	free(a->task);
	*a = (struct cop_answer){0};
}

static bool is_asked_for(const struct cop_question *q, uint32_t job)
{
	char id[COP_JOB_ID];
	snprintf(id, sizeof(id), "%u", job);
	for (size_t i = 0; i < q->n; i++)
		if (strcmp(q->ids[i], id) == 0)
			return true;
	return false;
}

/* Of "FOLDER/SCRIPT ARGUMENTS..." what follows the folder, however that is spelt. */
static struct place place_of(const char *command, const char *folder)
{
	size_t n = folder ? strlen(folder) : 0;
	if (!command || !folder)
		return (struct place){0};
	if (strncmp(command, folder, n) == 0 && command[n] == '/')
		return (struct place){.command = command + n + 1};
	const char *end = strstr(command, ".sbatch"),
		   *slash = end ? memrchr(command, '/', (size_t)(end - command)) : NULL;
	if (!slash)
		return (struct place){0};
	char *spelt = strndup(command, (size_t)(slash - command)), *real = NULL;
	/* the file system is asked only where the names are alike */
	bool alike = spelt && strcmp(cop_name_of(spelt), cop_name_of(folder)) == 0;
	if (alike)
		real = realpath(spelt, NULL);
	bool same = real && strcmp(real, folder) == 0;
	free(real);
	free(spelt);
	return (struct place){.command = same ? slash + 1 : NULL, .alike = alike && !same};
}

/* Notes the job of a row that is in the queue for the asked folder's sake. */
static bool is_found(struct cop_queue *q, const struct cop_slurm_record *row, const struct place *place)
{
	struct cop_answer *a = &q->answer;
	char id[COP_JOB_ID];
	if (!place->command || phase_of(row->state, row->reason ? row->reason : "") == COP_PHASE_ENDED)
		return false;
	snprintf(id, sizeof(id), "%u", row->job);
	for (size_t i = a->nfound; i > 0; i--)
		if (strcmp(a->found[i - 1].job, id) == 0)
			return true;
	a->found = cop_grow(a->found, &q->found_cap, a->nfound + 1, sizeof(*a->found));
	struct cop_found *f = &a->found[a->nfound++];
	snprintf(f->job, sizeof(f->job), "%s", id);
	f->command = cop_xstrdup(place->command);
	return true;
}

int cop_queue_add(struct cop_queue *q, const struct cop_slurm_record *row, struct cop_err *err)
{
	const char *s = row->tasks;
	struct place place = place_of(row->command, q->question ? q->question->folder : NULL);
	if (q->question && !is_found(q, row, &place) && !is_asked_for(q->question, row->job))
		return 0;
	if (!s) {
		add_task(q, row, &place, -1);
		return 0;
	}
	for (;;) {
		int64_t first, last, step;
		if (!read_range(&s, &first, &last, &step))
			return cop_fail(err, COP_EFAILED,
					"SLURM names the tasks of job %u as '%s', which is not understood", row->job,
					row->tasks);
		for (int64_t i = first; i <= last; i += step)
			add_task(q, row, &place, i);
		/* behind "%" stands how many may run at once */
		if (*s != ',')
			return 0;
		s++;
	}
}

int cop_queue_add_line(struct cop_queue *q, char *line, struct cop_err *err)
{
	char *field[6], *rest = line;
	bool others = q->question && q->question->folder;
	for (int i = 0; i < 5; i++)
		if (!(field[i] = strsep(&rest, "|")) || !rest)
			return others ? 0 : cop_fail(err, COP_EFAILED, "cannot read '%s' of squeue", line);
	field[5] = rest; /* the command may hold anything */
	int64_t job;
	if (!cop_parse_i64(field[0], &job) || job <= 0 || job > UINT32_MAX)
		return others ? 0 : cop_fail(err, COP_EFAILED, "cannot read job '%s' of squeue", field[0]);
	struct cop_slurm_record row = {.job = (uint32_t)job,
				       .tasks = strcmp(field[1], "N/A") == 0 ? NULL : field[1],
				       .state = field[2],
				       .node = field[3],
				       .reason = field[4],
				       .command = field[5]};
	return cop_queue_add(q, &row, err);
}
