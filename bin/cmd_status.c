/* coppice status: one line a state, one row a troubled cell. */
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "commands.h"
#include "report/table.h"
#include "stop.h"
#include "sweep/ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct args {
	const char *run;
	bool json, failed;
	int watch; /* seconds; 0: once */
};

enum { KEY_FAILED = 256 };

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct args *a = state->input;
	switch (key) {
	case 'j':
		a->json = true;
		return 0;
	case KEY_FAILED:
		a->failed = true;
		return 0;
	case 'w':
		a->watch = arg ? (int)cop_arg_int(state, "--watch", arg, 1, 86400) : 10;
		return 0;
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &a->run;
		return 0;
	case ARGP_KEY_END:
		if (a->json && a->watch)
			argp_error(state, "--json and --watch do not go together");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* With "ticket" where cells are more than tickets by magnitude that are rewound. */
static const struct cop_column columns[] = {
	{"work", COP_COLUMN_TEXT, 0},     {"state", COP_COLUMN_TEXT, 0},        {"quantile", COP_COLUMN_GENERAL, 4},
	{"reset", COP_COLUMN_TEXT, 0},    {"ticket", COP_COLUMN_TEXT, 0},       {"epoch", COP_COLUMN_REAL, 1},
	{"images/s", COP_COLUMN_REAL, 0}, {"minutes left", COP_COLUMN_REAL, 1}, {"attempts", COP_COLUMN_INT, 0},
	{"where", COP_COLUMN_TEXT, 0},    {"why", COP_COLUMN_TEXT, 0},
};
enum { COLUMNS = sizeof(columns) / sizeof(columns[0]), TICKET = 4 };

static bool has_variants(const struct cop_run *run)
{
	char text[COP_POINT_TEXT];
	for (size_t i = 0; i < run->ncells; i++)
		if (*cop_point_variant(&run->cell[i], text))
			return true;
	return false;
}

static void choose_columns(struct cop_column column[COLUMNS], bool tickets)
{
	int n = 0;
	for (int i = 0; i < COLUMNS; i++)
		if (i != TICKET || tickets)
			column[n++] = columns[i];
}

static void add_real(struct cop_table *t, bool there, double v)
{
	if (there)
		cop_table_real(t, v);
	else
		cop_table_none(t);
}

static void add_entry(struct cop_table *t, const struct cop_run *run, const struct cop_entry *e, const char *work,
		      const struct cop_point *p, bool tickets)
{
	char ticket[COP_POINT_TEXT];
	const struct cop_state *s = &e->state;
	double images = (double)(s->total - s->step) * (double)run->experiment.train.batch;
	cop_table_text(t, work);
	cop_table_text(t, cop_fate_names[e->fate]);
	if (p) {
		cop_table_real(t, p->quantile);
		cop_table_text(t, p->reset);
	} else {
		cop_table_none(t);
		cop_table_none(t);
	}
	if (tickets)
		cop_table_text(t, p && *cop_point_variant(p, ticket) ? ticket : NULL);
	add_real(t, s->attempts && s->total > 0, (double)s->step / (double)run->steps_per_epoch);
	add_real(t, s->speed > 0, s->speed);
	add_real(t, e->fate == COP_FATE_RUNNING && s->speed > 0, images / s->speed / 60);
	cop_table_int(t, s->attempts);
	const char *where = e->job[0] ? e->job : s->job[0] ? s->job : s->host;
	cop_table_text(t, *where ? where : NULL);
	cop_table_text(t, e->reason[0] ? e->reason : NULL);
}

/*
 * Whether an entry gets a row of its own: all that is neither done nor patiently waiting. In rounds that is also what
 * waits for a cell that has failed.
 */
static bool worth_a_row(const struct cop_entry *e, bool later_round, bool failed_only)
{
	switch (e->fate) {
	case COP_FATE_FAILED:
	case COP_FATE_LOST:
	case COP_FATE_NEVER:
		return true;
	case COP_FATE_RUNNING:
	case COP_FATE_PREEMPTED:
	case COP_FATE_STOPPED:
		return !failed_only;
	case COP_FATE_WAITING:
		return later_round && e->reason[0];
	default:
		return false;
	}
}

static void fill_table(struct cop_table *t, const struct cop_ledger *l, bool tickets, bool all, bool failed_only)
{
	char work[40];
	for (size_t k = 0; k < l->ndense; k++) {
		snprintf(work, sizeof(work), "dense %zu", k);
		if (all || worth_a_row(&l->dense[k], false, failed_only))
			add_entry(t, l->run, &l->dense[k], work, NULL, tickets);
	}
	for (size_t i = 0; i < l->ncells; i++) {
		snprintf(work, sizeof(work), "cell %zu", i);
		if (all || worth_a_row(&l->cell[i], l->run->cell[i].before >= 0, failed_only))
			add_entry(t, l->run, &l->cell[i], work, &l->run->cell[i], tickets);
	}
}

/* What keeps those of a fate in the queue, where that is the same for all. */
static const char *common_reason(const struct cop_entry *e, size_t n, enum cop_fate fate)
{
	const char *reason = NULL;
	for (size_t i = 0; i < n; i++) {
		if (e[i].fate != fate)
			continue;
		if (reason && strcmp(reason, e[i].reason) != 0)
			return "";
		reason = e[i].reason;
	}
	return reason ? reason : "";
}

static void print_fates(const char *what, const struct cop_entry *e, size_t n)
{
	for (int f = 0; f < COP_FATES; f++) {
		size_t count = cop_ledger_count(e, n, (enum cop_fate)f);
		const char *why = f == COP_FATE_QUEUED || f == COP_FATE_WAITING ? common_reason(e, n, f) : "";
		if (count || f == COP_FATE_DONE)
			printf("%8zu of %zu %s %s%s%s%s\n", count, n, what, cop_fate_names[f], *why ? " (" : "", why,
			       *why ? ")" : "");
	}
}

static void print_counts(const struct cop_ledger *l)
{
	printf("%s: %s\n", l->run->experiment.name, l->run->path);
	print_fates("dense runs", l->dense, l->ndense);
	print_fates("cells", l->cell, l->ncells);
	size_t waiting = cop_ledger_count(l->cell, l->ncells, COP_FATE_WAITING), asked = 0, idle = 0;
	/* those that wait without a reason were never submitted */
	for (size_t i = 0; i < l->ncells; i++)
		idle += l->cell[i].fate == COP_FATE_WAITING && !l->cell[i].reason[0];
	for (size_t i = 0; i < l->njobs; i++)
		asked += strcmp(l->job[i].role, "next") == 0 && l->job[i].in_queue;
	if (waiting && asked)
		printf("a job that follows will submit what waits\n");
	else if (idle && l->njobs && l->queue_known)
		printf("no job in the queue will submit %zu cells that wait: 'coppice submit' does\n", idle);
	if (!l->queue_known)
		printf("the queue could not be asked (%s): this is what the files know\n", l->queue_error);
}

static void print_json(const struct cop_ledger *l, const struct cop_table *t)
{
	cJSON *j = cJSON_CreateObject(), *counts = cJSON_CreateObject();
	cJSON_AddStringToObject(j, "run", l->run->path);
	cJSON_AddBoolToObject(j, "queue_known", l->queue_known);
	for (int f = 0; f < COP_FATES; f++)
		cJSON_AddNumberToObject(counts, cop_fate_names[f],
					(double)cop_ledger_count(l->cell, l->ncells, (enum cop_fate)f));
	cJSON_AddItemToObject(j, "cells", counts);
	cJSON_AddItemToObject(j, "work", cop_table_json(t));
	char *text = cJSON_Print(j);
	puts(text);
	cJSON_free(text);
	cJSON_Delete(j);
}

/* Whether what is shown will stay so: nothing is under way or in the queue, and the queue could be asked. */
static bool nothing_moves(const struct cop_ledger *l)
{
	for (size_t i = 0; i < l->ndense + l->ncells; i++)
		if (cop_fate_busy(i < l->ndense ? l->dense[i].fate : l->cell[i - l->ndense].fate))
			return false;
	for (size_t i = 0; i < l->njobs; i++)
		if (l->job[i].in_queue)
			return false;
	return l->queue_known && !l->submitting;
}

static int show_once(const struct cop_run *run, const struct args *a, bool *settled, struct cop_err *err)
{
	struct cop_ledger l;
	struct cop_table t;
	struct cop_column column[COLUMNS];
	int rc = cop_ledger_open(&l, run, err);
	if (rc)
		return rc;
	bool tickets = has_variants(run);
	choose_columns(column, tickets);
	cop_table_init(&t, column, COLUMNS - !tickets);
	fill_table(&t, &l, tickets, a->json && !a->failed, a->failed);
	if (a->json) {
		print_json(&l, &t);
	} else {
		print_counts(&l);
		if (cop_table_rows(&t)) {
			printf("\n");
			cop_table_print(&t, stdout, false);
		}
	}
	*settled = nothing_moves(&l);
	cop_table_release(&t);
	cop_ledger_release(&l);
	return 0;
}

int cmd_status(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{"watch", 'w', "SECONDS", OPTION_ARG_OPTIONAL,
		 "Show again every SECONDS (default 10) until nothing is queued or runs", 0},
		{"failed", KEY_FAILED, NULL, 0, "Rows for what failed, is lost or waits for ever only", 0},
		{"json", 'j', NULL, 0, "All work as JSON", 0},
		{0},
	};
	struct argp_child children[] = {{cop_run_argument(), 0, NULL, 0}, {0}};
	struct argp argp = {
		.options = options,
		.children = children,
		.parser = parse,
		.args_doc = "RUN",
		.doc = "What is done, running, queued, preempted, failed or lost, and why. Files decide; the queue is "
		       "asked once."};
	struct args a = {0};
	struct cop_err err = {0};
	struct cop_run run;
	bool done = false;
	cop_parse_args(&argp, argc, argv, &a);
	cop_console_start(false);
	int rc = cop_run_open(&run, a.run, &err);
	if (rc)
		return cop_exit_code(rc, &err);
	cop_stop_on_signals();
	for (;;) {
		if (a.watch && isatty(STDOUT_FILENO))
			printf("\033[H\033[J");
		rc = show_once(&run, &a, &done, &err);
		fflush(stdout);
		if (rc || !a.watch || done || cop_stop_asked)
			break;
		sleep((unsigned)a.watch);
		if (cop_stop_asked)
			break;
	}
	cop_run_release(&run);
	return cop_exit_code(rc, &err);
}
