/* coppice report: the heat map in the terminal, and report.html. */
#include "commands.h"
#include "report/heatmap.h"
#include "report/report.h"

#include <stdio.h>
#include <string.h>

enum { OPT_JSON = 0x100, OPT_SVG, OPT_COLOR };

struct arguments {
	const char *run;
	struct cop_report_options options;
};

static const struct argp_option options[] = {
	{"output", 'o', "FILE", 0, "where the page goes (default: RUN/report.html)", 0},
	{"svg", OPT_SVG, "FILE", 0, "also write the heat map alone as a picture", 0},
	{"json", OPT_JSON, NULL, 0, "print the grid, and what it took, as JSON instead of the heat map", 0},
	{"color", OPT_COLOR, "WHEN", 0, "auto, always or never (default: auto, colours on a terminal)", 0},
	{0},
};

static bool wants_colour(const char *when, struct argp_state *state)
{
	if (strcmp(when, "auto") != 0 && strcmp(when, "always") != 0 && strcmp(when, "never") != 0)
		argp_error(state, "--color wants auto, always or never, not '%s'", when);
	return strcmp(when, "always") == 0 || (strcmp(when, "auto") == 0 && cop_colours_wanted(stdout));
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	switch (key) {
	case 'o':
		a->options.html = arg;
		return 0;
	case OPT_SVG:
		a->options.svg = arg;
		return 0;
	case OPT_JSON:
		a->options.json = true;
		return 0;
	case OPT_COLOR:
		a->options.colour = wants_colour(arg, state);
		return 0;
	case ARGP_KEY_ARG:
		if (a->run)
			argp_error(state, "one run at a time, not '%s' too", arg);
		a->run = arg;
		return 0;
	case ARGP_KEY_END:
		if (!a->run)
			argp_error(state, "which RUN?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int cmd_report(int argc, char **argv)
{
	static const struct argp argp = {
		options,
		parse,
		"RUN",
		"Prints the heat map of RUN (quantile down, reset point across, mean test top-1 in percent), says how "
		"much faster than the dense run its cells were, where they ran on the same device with as many "
		"threads, and writes "
		"RUN/report.html, one page that needs nothing else.",
		NULL,
		NULL,
		NULL};
	struct arguments a = {.options = {.colour = cop_colours_wanted(stdout)}};
	struct cop_err err;
	cop_parse_args(&argp, argc, argv, &a);
	cop_console_start(false);
	return cop_exit_code(cop_report(a.run, &a.options, stdout, &err), &err);
}
