/* What the commands share: errors, the log and progress on stderr, and the parsing of arguments. */
#include "base/log.h"
#include "base/str.h"
#include "commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct console {
	bool quiet, terminal;
	bool drawn; /* a progress line stands on the terminal */
	double last;
};

static struct console console;

static void wipe(struct console *c)
{
	if (c->drawn)
		fputs("\r\033[K", stderr);
	c->drawn = false;
}

static void print_line(enum cop_log_level level, const char *text, void *user)
{
	struct console *c = user;
	if (level == COP_LOG_DEBUG || (c->quiet && level != COP_LOG_WARNING))
		return;
	wipe(c);
	fprintf(stderr, "%s%s\n", level == COP_LOG_WARNING ? "coppice: warning: " : "", text);
}

static void draw_progress(const char *what, double done, double total, const char *note, void *user)
{
	enum { WIDTH = 24 };
	struct console *c = user;
	double now = cop_now();
	if (c->quiet || !c->terminal)
		return;
	if (done >= total) {
		wipe(c);
		return;
	}
	if (now - c->last < 1.0 / 6)
		return;
	c->last = now;
	char bar[WIDTH + 1];
	int filled = (int)(WIDTH * done / total);
	memset(bar, '.', WIDTH);
	memset(bar, '#', (size_t)(filled < 0 ? 0 : filled));
	bar[WIDTH] = '\0';
	fprintf(stderr, "\r\033[K%s [%s] %3.0f%% %s", what, bar, 100 * done / total, note);
	fflush(stderr);
	c->drawn = true;
}

static const struct cop_log_sink sink = {.line = print_line, .progress = draw_progress, .user = &console};

void cop_console_start(bool quiet)
{
	console = (struct console){.quiet = quiet, .terminal = isatty(STDERR_FILENO)};
	cop_log_set_sink(&sink);
}

int cop_report_error(const struct cop_err *err)
{
	wipe(&console);
	fprintf(stderr, "coppice: %s\n", err->msg);
	return err->code == COP_EFULL ? 1 : err->code < 0 ? -err->code : 1;
}

int cop_exit_code(int rc, const struct cop_err *err)
{
	return rc ? cop_report_error(err) : 0;
}

void cop_parse_args(const struct argp *argp, int argc, char **argv, void *input)
{
	/* no paragraph on long and short options below every help */
	setenv("ARGP_HELP_FMT", "no-dup-args-note", 0);
	error_t e = argp_parse(argp, argc, argv, 0, NULL, input);
	if (e) {
		fprintf(stderr, "coppice: cannot read the command line: %s\n", strerror(e));
		exit(-COP_EFAILED);
	}
}

static error_t parse_run(int key, char *arg, struct argp_state *state)
{
	const char **run = state->input;
	if (key == ARGP_KEY_ARG && *run)
		argp_error(state, "one run at a time, not '%s' too", arg);
	else if (key == ARGP_KEY_ARG)
		*run = arg;
	else if (key == ARGP_KEY_END && !*run)
		argp_error(state, "a run's folder is needed");
	else
		return key == ARGP_KEY_END ? 0 : ARGP_ERR_UNKNOWN;
	return 0;
}

const struct argp *cop_run_argument(void)
{
	static const struct argp argp = {.parser = parse_run};
	return &argp;
}

const char *cop_parse_run(int argc, char **argv, const char *about)
{
	struct argp argp = {.parser = parse_run, .args_doc = "RUN", .doc = about};
	const char *run = NULL;
	cop_parse_args(&argp, argc, argv, &run);
	return run;
}

long long cop_arg_int(struct argp_state *state, const char *option, const char *text, long long min, long long max)
{
	int64_t v;
	if (!cop_parse_i64(text, &v) || v < min || v > max)
		argp_error(state, "%s wants a whole number in %lld..%lld, not '%s'", option, min, max, text);
	return v;
}

double cop_arg_real(struct argp_state *state, const char *option, const char *text, double min, double max)
{
	double v;
	if (!cop_parse_f64(text, &v) || v < min || v > max)
		argp_error(state, "%s wants a number in %g..%g, not '%s'", option, min, max, text);
	return v;
}
