/* coppice: the table of commands, and the way into each. */
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/version.h"
#include "commands.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct cop_command commands[] = {
	{"run", "plan, train, all cells, collect and report on this machine", cmd_run},
	{"pack", "images, IDX files or synthetic glyphs into one HDF5 dataset", cmd_pack},
	{"plan", "check an experiment and write a run's folder", cmd_plan},
	{"train", "the dense run with its checkpoints", cmd_train},
	{"cell", "one cell of the grid", cmd_cell},
	{"task", "what a task of an array runs: its cells, or a dense run", cmd_task},
	{"submit", "send dense -> cells -> collect to a scheduler", cmd_submit},
	{"status", "what is done, running, queued, failed or lost", cmd_status},
	{"cancel", "end what runs", cmd_cancel},
	{"redo", "submit only what is missing or failed", cmd_redo},
	{"collect", "gather the cells into results.h5 and results.csv", cmd_collect},
	{"report", "heat map in the terminal, and report.html", cmd_report},
	{"connect", "error on the line between children: are they linearly connected?", cmd_connect},
	{"quantile", "exact magnitude quantiles of any HDF5 file", cmd_quantile},
	{"mask", "make, apply, show and compare masks", cmd_mask},
	{"show", "what is in a file of coppice's", cmd_show},
	{"doctor", "what was found on this machine, and what is missing", cmd_doctor},
	{"bench", "the benchmarks, each beside its floor", cmd_bench},
};

enum { NCOMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void print_usage(FILE *to)
{
	fprintf(to, "Usage: coppice COMMAND [ARGUMENTS]\n\nPruning sweeps: train once, cut, rewind, retrain, for every "
		    "threshold and reset point.\n\n");
	for (size_t i = 0; i < NCOMMANDS; i++)
		fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].about);
	fprintf(to,
		"\n'coppice COMMAND --help' tells a command's options. Exit codes: 0 done, 1 failed, 2 bad usage or "
		"input,\n"
		"3 a needed capability is missing, 4 some cells failed, 75 checkpointed and wants to be run again.\n");
}

static int unknown_command(const char *word)
{
	const char *words[NCOMMANDS];
	for (size_t i = 0; i < NCOMMANDS; i++)
		words[i] = commands[i].name;
	const char *near = cop_str_nearest(word, words, NCOMMANDS);
	fprintf(stderr, "coppice: '%s' is no command", word);
	if (near)
		fprintf(stderr, " (did you mean '%s'?)", near);
	fprintf(stderr, "; 'coppice --help' lists them\n");
	return -COP_EINPUT;
}

/* Ends the program as the signal would have, but leaves no half-written file behind. */
static void end_by_signal(int sig)
{
	cop_temporaries_remove();
	signal(sig, SIG_DFL);
	raise(sig);
}

/* A command that can stop in good order sets its own handler over this one. */
static void catch_signals(void)
{
	static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = end_by_signal, .sa_flags = SA_NODEFER}, before;
	for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]); i++)
		if (sigaction(ending[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL)
			sigaction(ending[i], &action, NULL);
}

/*
 * The program ends here or there where memory is wanting: in ours, which says so, or in a library. HDF5 then exits with
 * -1 and without a word.
 */
static void at_the_end(int code, void *unused)
{
	(void)unused;
	cop_temporaries_remove();
	if (code >= 0)
		return;
	fprintf(stderr, "coppice: a library has ended the program, as HDF5 does where it finds no memory\n");
	_exit(-COP_EFAILED);
}

int main(int argc, char **argv)
{
	argp_err_exit_status = -COP_EINPUT;
	/* `coppice show FILE | head` is no failure worth a message */
	signal(SIGPIPE, SIG_DFL);
	catch_signals();
	on_exit(at_the_end, NULL);
	if (argc < 2) {
		print_usage(stderr);
		return -COP_EINPUT;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0 || strcmp(argv[1], "-h") == 0) {
		print_usage(stdout);
		return 0;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("coppice %s\n", cop_version());
		return 0;
	}
	for (size_t i = 0; i < NCOMMANDS; i++) {
		if (strcmp(argv[1], commands[i].name) != 0)
			continue;
		argv[1] = cop_xasprintf("coppice %s", commands[i].name);
		int code = commands[i].run(argc - 1, argv + 1);
		if (fflush(stdout) != 0 || ferror(stdout)) {
			fprintf(stderr, "coppice: cannot write to standard output\n");
			return code ? code : -COP_EFAILED;
		}
		return code;
	}
	return unknown_command(argv[1]);
}
