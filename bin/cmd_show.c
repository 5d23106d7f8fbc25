/* coppice show: what is in a file. */
#include "base/mem.h"
#include "base/str.h"
#include "commands.h"
#include "report/show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPT_JSON = 0x100, OPT_INPUT, OPT_CLASSES };

struct arguments {
	const char *path;
	bool json;
	struct cop_show_images images;
};

static const struct argp_option options[] = {
	{"input", OPT_INPUT, "CxHxW", 0, "show the network for such images instead of the dataset's: 3x64x64", 0},
	{"classes", OPT_CLASSES, "N", 0, "show the network for so many classes", 0},
	{"json", OPT_JSON, NULL, 0, "print one JSON object", 0},
	{0},
};

/* "3x64x64" */
static void parse_input(struct argp_state *state, const char *arg, struct cop_show_images *to)
{
	int *const side[] = {&to->channels, &to->height, &to->width};
	char *copy = cop_xstrdup(arg), *rest = copy;
	for (int i = 0; i < 3; i++) {
		int64_t v = 0;
		const char *part = strsep(&rest, "x");
		if (!part || !cop_parse_i64(part, &v) || v < 1 || v > 65535)
			argp_error(state, "--input is CHANNELSxHEIGHTxWIDTH, like 3x64x64, not '%s'", arg);
		*side[i] = (int)v;
	}
	if (rest)
		argp_error(state, "--input is CHANNELSxHEIGHTxWIDTH, like 3x64x64, not '%s'", arg);
	free(copy);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	switch (key) {
	case OPT_JSON:
		a->json = true;
		return 0;
	case OPT_INPUT:
		parse_input(state, arg, &a->images);
		return 0;
	case OPT_CLASSES:
		a->images.classes = (int)cop_arg_int(state, "--classes", arg, 2, 1000000);
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
		"Shows what is in FILE: a dataset, a checkpoint, a mask, a cell, a line of connect, results, an "
		"experiment, a run's "
		"folder, or any other HDF5 file. Of experiments and runs it shows the network too, layer by layer.",
		NULL,
		NULL,
		NULL};
	struct arguments a = {0};
	struct cop_sheet sheet = {0};
	struct cop_err err;
	cop_parse_args(&argp, argc, argv, &a);
	cop_console_start(false);
	int rc = cop_show(a.path, &a.images, &sheet, &err);
	if (!rc)
		cop_sheet_print(&sheet, stdout, a.json);
	cop_sheet_release(&sheet);
	return cop_exit_code(rc, &err);
}
