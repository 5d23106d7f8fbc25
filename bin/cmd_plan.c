/* coppice plan: an experiment file and a folder become a run. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "commands.h"
#include "planning.h"
#include "sweep/cost.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct args {
	struct plan_args plan;
	bool json, no_timing;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct args *a = state->input;
	(void)arg;
	if (key == 'j')
		a->json = true;
	else if (key == 'n')
		a->no_timing = true;
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

static void print_grid(const struct cop_run *r)
{
	const struct cop_experiment *e = &r->experiment;
	printf("%s: %zu cells = %zu quantiles x %zu reset points x %" PRId64 " replicates\n", e->name, r->ncells,
	       e->sweep.quantiles.n, e->sweep.reset.n, e->sweep.replicates);
	printf("  quantiles   ");
	for (size_t i = 0; i < e->sweep.quantiles.n; i++)
		printf(" %g", e->sweep.quantiles.v[i]);
	printf("\n  reset points");
	for (size_t i = 0; i < e->sweep.reset.n; i++)
		printf(" %s (step %" PRId64 ")", e->sweep.reset.v[i], step_of(r, e->sweep.reset.v[i]));
	if (e->sweep.rounds > 1)
		printf("\n  %" PRId64 " rounds, each from the weights of the one before", e->sweep.rounds);
	size_t same = 0;
	for (size_t i = 0; i < r->ncells; i++)
		same += r->cell[i].same_as >= 0;
	if (same)
		printf("\n  %zu cells have the mask and reset point of another and are computed with it", same);
	printf("\n  %" PRId64 " epochs of %" PRId64 " steps, %" PRId64 " images a step\n", e->train.epochs,
	       r->steps_per_epoch, e->train.batch);
}

static void print_cost(const struct cop_run *r, const struct cop_cost *c)
{
	printf("  network      %" PRId64 " parameters, %" PRId64
	       " of them prunable, %.4gM multiply-accumulates an image\n",
	       c->params, c->prunable, c->macs * 1e-6);
	printf("  work         %" PRId64 " dense + %" PRId64 " cells = %" PRId64 " steps\n", c->dense, c->cells,
	       c->steps);
	if (isfinite(c->images_per_second))
		printf("  time         about %.3g core-hours (%.0f images/s here with %d threads)\n", c->core_hours,
		       c->images_per_second, c->threads);
	printf("  disk         about %.0f MB\n", c->bytes * 1e-6);
	printf("planned into %s\n", r->path);
}

static void print_json(const struct cop_run *r, const struct cop_cost *c)
{
	cJSON *j = cJSON_CreateObject();
	cJSON_AddStringToObject(j, "run", r->path);
	cJSON_AddStringToObject(j, "experiment_hash", r->hash);
	cop_json_add_num(j, "cells", (double)c->cells);
	cop_json_add_num(j, "dense", (double)c->dense);
	cop_json_add_num(j, "steps_per_epoch", (double)r->steps_per_epoch);
	cop_json_add_num(j, "steps", (double)c->steps);
	cop_json_add_num(j, "parameters", (double)c->params);
	cop_json_add_num(j, "prunable", (double)c->prunable);
	cop_json_add_num(j, "multiply_accumulates", c->macs);
	cop_json_add_num(j, "images_per_second", c->images_per_second);
	cop_json_add_num(j, "core_hours", c->core_hours);
	cop_json_add_num(j, "bytes", c->bytes);
	char *text = cJSON_Print(j);
	puts(text);
	cJSON_free(text);
	cJSON_Delete(j);
}

int cmd_plan(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{"json", 'j', NULL, 0, "Print the plan as JSON", 0},
		{"no-timing", 'n', NULL, 0, "Do not time a few steps for the estimate", 0},
		{0},
	};
	struct argp_child children[] = {{plan_argp(), 0, NULL, 0}, {0}};
	struct argp argp = {.options = options,
			    .parser = parse,
			    .args_doc = "EXPERIMENT.json -o RUN",
			    .doc = "Check an experiment, expand its grid and write the run's folder.",
			    .children = children};
	struct args a = {0};
	struct cop_err err = {0};
	struct cop_run run = {0};
	struct cop_cost cost;
	cop_parse_args(&argp, argc, argv, &a);
	cop_console_start(false);
	int rc = plan_make(&a.plan, &run, &err);
	if (!rc)
		rc = cop_plan_cost(&run, !a.no_timing, &cost, &err);
	if (!rc && a.json) {
		print_json(&run, &cost);
	} else if (!rc) {
		print_grid(&run);
		print_cost(&run, &cost);
	}
	cop_run_release(&run);
	plan_args_release(&a.plan);
	return cop_exit_code(rc, &err);
}
