/* What `plan` and `run` share; see planning.h. */
#include "planning.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct plan_args *a = state->input;
	switch (key) {
	case 'o':
		a->run = arg;
		return 0;
	case 's':
		a->set = cop_grow(a->set, &a->cap, a->nsets + 1, sizeof(*a->set));
		a->set[a->nsets++] = arg;
		return 0;
	case ARGP_KEY_ARG:
		if (a->experiment)
			argp_error(state, "one experiment at a time, not '%s' too", arg);
		a->experiment = arg;
		return 0;
	case ARGP_KEY_END:
		if (!a->experiment)
			argp_error(state, "an experiment file is needed");
		if (!a->run)
			argp_error(state, "the run's folder is needed: -o RUN");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* The keys of an experiment file, from the table that reads them, behind the options in --help. */
static char *help_filter(int key, const char *text, void *input)
{
	(void)input;
	if (key != ARGP_KEY_HELP_POST_DOC)
		return (char *)(uintptr_t)text;
	char *keys = cop_params_help(&cop_experiment_params);
	char *all = cop_xasprintf("Keys of an experiment file:\n%s", keys);
	free(keys);
	return all;
}

const struct argp *plan_argp(void)
{
	static const struct argp_option options[] = {
		{"output", 'o', "RUN", 0, "The run's folder", 0},
		{"set", 's', "KEY=VALUE", 0, "Override a key of the experiment; may be given many times", 0},
		{0},
	};
	static const struct argp argp = {.options = options, .parser = parse, .doc = "\v", .help_filter = help_filter};
	return &argp;
}

void plan_args_release(struct plan_args *a)
{
	free(a->set);
}

int plan_make(const struct plan_args *a, const struct cop_plan_consent *consent, struct cop_run *run,
	      struct cop_err *err)
{
	char *text = NULL;
	size_t len;
	struct cop_experiment e = {0};
	int rc = cop_read_file(a->experiment, &text, &len, err);
	if (!rc)
		rc = cop_experiment_load(&e, text, a->experiment, a->set, a->nsets, err);
	if (!rc)
		rc = cop_plan(&e, a->run, consent, err);
	if (!rc)
		rc = cop_run_open(run, a->run, err);
	cop_experiment_release(&e);
	free(text);
	return rc;
}
