/* coppice show: what is in a file. */
#include "commands.h"
#include "report/show.h"

#include <stdio.h>

enum { OPT_JSON = 0x100 };

struct arguments {
	const char *path;
	bool json;
};

static const struct argp_option options[] = {{"json", OPT_JSON, NULL, 0, "print one JSON object", 0}, {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	switch (key) {
	case OPT_JSON:
		a->json = true;
		return 0;
	case ARGP_KEY_ARG:
		if (a->path)
			argp_error(state, "one file at a time, not '%s' too", arg);
		a->path = arg;
		return 0;
	case ARGP_KEY_END:
		if (!a->path)
			argp_error(state, "which FILE?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int cmd_show(int argc, char **argv)
{
	static const struct argp argp = {
		options,
		parse,
		"FILE",
		"Shows what is in FILE: a dataset, a checkpoint, a mask, a cell, results, an experiment, a run's "
		"folder, or any other HDF5 file.",
		NULL,
		NULL,
		NULL};
	struct arguments a = {0};
	struct cop_sheet sheet = {0};
	struct cop_err err;
	cop_parse_args(&argp, argc, argv, &a);
	cop_console_start(false);
	int rc = cop_show(a.path, &sheet, &err);
	if (!rc)
		cop_sheet_print(&sheet, stdout, a.json);
	cop_sheet_release(&sheet);
	return cop_exit_code(rc, &err);
}
