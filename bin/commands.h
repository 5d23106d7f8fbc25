/* The commands of the program: one function each, in cmd_NAME.c, and what they share. */
#ifndef COP_BIN_COMMANDS_H
#define COP_BIN_COMMANDS_H

#include "base/err.h"

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>

/* One row of the table in coppice.c. `run` gets its own argv (argv[0] is "coppice NAME") and returns an exit code. */
struct cop_command {
	const char *name;
	const char *about; /* one line */
	int (*run)(int argc, char **argv);
};

int cmd_pack(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_train(int argc, char **argv);
int cmd_quantile(int argc, char **argv);
int cmd_mask(int argc, char **argv);
int cmd_cell(int argc, char **argv);
int cmd_task(int argc, char **argv);
int cmd_submit(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_cancel(int argc, char **argv);
int cmd_redo(int argc, char **argv);
int cmd_collect(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_connect(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_bench(int argc, char **argv);

/* Prints "coppice: MESSAGE" to stderr and returns the exit code of the error. */
int cop_report_error(const struct cop_err *err);

/* 0, or the printed error's exit code. */
int cop_exit_code(int rc, const struct cop_err *err);

/* Sends the library's log and progress to stderr: lines plain, progress on a terminal only, six times a second. */
void cop_console_start(bool quiet);

/* Runs a command's argp over argv; usage errors end the program with exit code 2. */
void cop_parse_args(const struct argp *argp, int argc, char **argv, void *input);

/* A child parser for commands that take one run: its input is the const char * that becomes the folder's name. */
const struct argp *cop_run_argument(void);

/* The run's folder that a command without options of its own was given; `about`: what it does, for --help. */
const char *cop_parse_run(int argc, char **argv, const char *about);

/* Numbers from an option's text; bad ones end the program with exit code 2 and name the option. */
long long cop_arg_int(struct argp_state *state, const char *option, const char *text, long long min, long long max);
double cop_arg_real(struct argp_state *state, const char *option, const char *text, double min, double max);

#endif
