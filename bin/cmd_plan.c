/* coppice plan: an experiment file and a folder become a run. */
#include "base/json.h"
#include "base/log.h"
#include "commands.h"
#include "planning.h"
#include "report/text.h"
#include "sweep/batch.h"
#include "sweep/cost.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FROM_HISTORY = 256, YES };

/* What the run will cost is found out before it is written, and told afterwards. */
struct args {
	struct plan_args plan;
	bool json, yes;
	struct cop_cost_options how;
	struct cop_cost cost;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct args *a = state->input;
	if (key == 'j')
		a->json = true;
	else if (key == 'n')
		a->how.measure = false;
	else if (key == FROM_HISTORY)
		a->how.history = arg;
	else if (key == YES)
		a->yes = true;
	else if (key == ARGP_KEY_INIT)
		state->child_inputs[0] = &a->plan;
	else
		return ARGP_ERR_UNKNOWN;
	return 0;
}

/* Every reset point has cells; where a grid has grown they may stand anywhere. */
static int64_t step_of(const struct cop_run *r, const char *reset)
{
	size_t i = 0;
	while (i + 1 < r->ncells && strcmp(r->cell[i].reset, reset) != 0)
		i++;
	return r->cell[i].reset_step;
}

/* Where they are not what goes without saying: none, or the first choice alone. */
static void print_words(const char *what, const char *choices, const struct cop_ints *list)
{
	char word[32];
	if (list->n == 0 || (list->n == 1 && list->v[0] == 0))
		return;
	printf("\n  %s", what);
	for (size_t i = 0; i < list->n; i++)
		printf(" %s", cop_choice_text(choices, list->v[i], word, sizeof(word)));
}

static void print_grid(const struct cop_run *r)
{
	const struct cop_experiment *e = &r->experiment;
	const struct cop_sweep_config *s = &e->sweep;
	printf("%s: %zu cells = %zu quantiles x %zu reset points x %" PRId64 " replicates", e->name, r->ncells,
	       s->quantiles.n, s->reset.n, s->replicates);
	if (s->criterion.n > 1)
		printf(" x %zu criteria", s->criterion.n);
	if (s->retrain.n + s->controls.n > 1)
		printf(" x %zu ways to retrain", s->retrain.n + s->controls.n);
	if (s->children > 1)
		printf(" x %" PRId64 " children", s->children);
	printf("\n");
	printf("  quantiles   ");
	for (size_t i = 0; i < e->sweep.quantiles.n; i++)
		printf(" %g", e->sweep.quantiles.v[i]);
	printf("\n  reset points");
	for (size_t i = 0; i < e->sweep.reset.n; i++)
		printf(" %s (step %" PRId64 ")", e->sweep.reset.v[i], step_of(r, e->sweep.reset.v[i]));
	print_words("criteria    ", COP_CRITERION_CHOICES, &s->criterion);
	print_words("retrained by", COP_RETRAIN_CHOICES, &s->retrain);
	print_words("controls    ", COP_RETRAIN_CHOICES, &s->controls);
	if (e->sweep.rounds > 1)
		printf("\n  %" PRId64 " rounds, each from the weights of the one before", e->sweep.rounds);
	size_t same = 0;
	for (size_t i = 0; i < r->ncells; i++)
		same += r->cell[i].same_as >= 0;
	if (same)
		printf("\n  %zu cells have the mask and training of another and are computed with it", same);
	printf("\n  %" PRId64 " epochs of %" PRId64 " steps, %" PRId64 " images a step\n", e->train.epochs,
	       r->steps_per_epoch, e->train.batch);
}

static const char *hours_of(const struct cop_run *r)
{
	return r->experiment.slurm.gpus ? "GPU-hours" : "core-hours";
}

static void print_work(const struct cop_cost *c)
{
	printf("  work         %" PRId64 " dense run%s + %" PRId64 " cells", c->dense, c->dense == 1 ? "" : "s",
	       c->cells);
	if (c->dense_done || c->cells_done)
		printf(", of them %" PRId64 " and %" PRId64 " done already; left:", c->dense_done, c->cells_done);
	printf(" = %" PRId64 " steps\n", c->steps);
}

static void print_time(const struct cop_run *r, const struct cop_cost *c)
{
	char hours[COP_NUMBER_TEXT], wall[COP_NUMBER_TEXT];
	const struct cop_slurm_config *s = &r->experiment.slurm;
	if (!isfinite(c->core_hours)) {
		printf("  time         not known: no steps were timed\n");
		return;
	}
	if (isfinite(c->speed.images_per_second))
		printf("  speed        %.0f images/s with %d thread%s, %s\n", c->speed.images_per_second,
		       c->speed.threads, c->speed.threads == 1 ? "" : "s",
		       strcmp(c->speed.where, "here") == 0 ? "timed on this machine; a compute node may differ"
							   : c->speed.where);
	printf("  time         about %s %s; about %s with ", cop_text_hours(cop_cost_hours(r, c), hours), hours_of(r),
	       cop_text_duration(c->wall_seconds, wall));
	if (c->at_once)
		printf("%" PRId64, c->at_once);
	else
		printf("all");
	printf(" tasks of %" PRId64 " cores at once, plus waiting in the queue\n", s->cpus);
}

static void print_cost(const struct cop_run *r, const struct cop_cost *c)
{
	char bytes[COP_NUMBER_TEXT];
	printf("  network      %" PRId64 " parameters, %" PRId64
	       " of them prunable, %.4gM multiply-accumulates an image\n",
	       c->params, c->prunable, c->macs * 1e-6);
	print_work(c);
	print_time(r, c);
	printf("  disk         about %s\n", cop_text_bytes(c->bytes, bytes));
	printf("planned into %s\n", r->path);
}

static void print_json(const struct cop_run *r, const struct cop_cost *c)
{
	const struct {
		const char *name;
		double v;
	} facts[] = {{"cells", (double)c->cells},
		     {"dense", (double)c->dense},
		     {"computed_with_another", (double)c->same},
		     {"cells_done", (double)c->cells_done},
		     {"dense_done", (double)c->dense_done},
		     {"steps_per_epoch", (double)r->steps_per_epoch},
		     {"steps", (double)c->steps},
		     {"parameters", (double)c->params},
		     {"prunable", (double)c->prunable},
		     {"multiply_accumulates", c->macs},
		     {"images_per_second", c->speed.images_per_second},
		     {"threads", c->speed.threads},
		     {"tasks", (double)c->tasks},
		     {"tasks_at_once", (double)c->at_once},
		     {"core_hours", c->core_hours},
		     {"gpu_hours", c->gpu_hours},
		     {"wall_seconds", c->wall_seconds},
		     {"bytes", c->bytes}};
	cJSON *j = cJSON_CreateObject();
	cJSON_AddStringToObject(j, "run", r->path);
	cJSON_AddStringToObject(j, "experiment_hash", r->hash);
	for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++)
		cop_json_add_num(j, facts[i].name, facts[i].v);
	cJSON_AddStringToObject(j, "speed_from", c->speed.where);
	char *text = cJSON_Print(j);
	puts(text);
	cJSON_free(text);
	cJSON_Delete(j);
}

/* Whether the user says yes to the question on the terminal. */
static bool says_yes(void)
{
	char answer[16] = "";
	fflush(stderr);
	if (!fgets(answer, sizeof(answer), stdin))
		return false;
	char first = answer[strspn(answer, " \t")];
	return first == 'y' || first == 'Y';
}

/* Of what has no known speed nothing can be said but that; a limit of 0 asks about any work. */
static bool is_beyond(const struct cop_run *r, double hours, double most)
{
	char limit[COP_NUMBER_TEXT];
	if (!isnan(hours) || most <= 0)
		return !(hours <= most);
	cop_warn("the limit of %s %s ('cost.ask_hours') was not checked: no speed is known",
		 cop_text_hours(most, limit), hours_of(r));
	return false;
}

/* Work beyond cost.ask_hours wants a word of agreement. */
static int agree(const struct cop_run *r, void *user, struct cop_err *err)
{
	struct args *a = user;
	char about[COP_NUMBER_TEXT + 16] = "an unknown number of", number[COP_NUMBER_TEXT], limit[COP_NUMBER_TEXT],
				     wall[COP_NUMBER_TEXT], lasts[COP_NUMBER_TEXT + 32] = "";
	int rc = cop_cost_estimate(r, &a->how, &a->cost, err);
	double most = r->experiment.cost.ask_hours, hours = cop_cost_hours(r, &a->cost);
	if (rc || a->yes || !is_beyond(r, hours, most))
		return rc;
	if (!isnan(hours)) {
		snprintf(about, sizeof(about), "about %s", cop_text_hours(hours, number));
		snprintf(lasts, sizeof(lasts), " and lasts %s at least", cop_text_duration(a->cost.wall_seconds, wall));
	}
	cop_text_hours(most, limit);
	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
		return cop_fail(err, COP_EINPUT,
				"'%s' takes %s %s, and beyond %s ('cost.ask_hours') somebody has to agree: --yes does",
				r->experiment.name, about, hours_of(r), limit);
	fprintf(stderr, "this sweep takes %s %s%s; beyond %s ('cost.ask_hours') it wants a yes: go on? [y/N] ", about,
		hours_of(r), lasts, limit);
	return says_yes() ? 0 : cop_fail(err, COP_EFAILED, "nothing was planned");
}

int cmd_plan(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{"json", 'j', NULL, 0, "Print the plan as JSON", 0},
		{"no-timing", 'n', NULL, 0, "Do not time a few steps for the estimate", 0},
		{"from-history", FROM_HISTORY, "RUN", 0, "Take the speed from an earlier run of the same network", 0},
		{"yes", YES, NULL, 0, "Do not ask, whatever it costs", 0},
		{0},
	};
	struct argp_child children[] = {{plan_argp(), 0, NULL, 0}, {0}};
	struct argp argp = {.options = options,
			    .parser = parse,
			    .args_doc = "EXPERIMENT.json -o RUN",
			    .doc = "Check an experiment, expand its grid, tell what it will cost and write the run's "
				   "folder. A sweep of more than cost.ask_hours is asked about first.",
			    .children = children};
	struct args a = {.how.measure = true};
	struct cop_err err = {0};
	struct cop_run run = {0};
	cop_parse_args(&argp, argc, argv, &a);
	cop_console_start(false);
	struct cop_plan_consent consent = {agree, &a};
	int rc = plan_make(&a.plan, &consent, &run, &err);
	if (!rc)
		cop_batch_advise_gpus(&run.experiment);
	if (!rc && a.json) {
		print_json(&run, &a.cost);
	} else if (!rc) {
		print_grid(&run);
		print_cost(&run, &a.cost);
	}
	cop_run_release(&run);
	plan_args_release(&a.plan);
	return cop_exit_code(rc, &err);
}
