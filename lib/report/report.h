/* A run's report: the heat map on a stream, RUN/report.html beside RUN/results.h5. */
#ifndef COP_REPORT_REPORT_H
#define COP_REPORT_REPORT_H

#include "base/err.h"

#include <stdbool.h>
#include <stdio.h>

struct cop_report_options {
	const char *html; /* where the page goes; NULL: RUN/report.html */
	const char *svg;  /* the heat map of the first variant alone goes there too; NULL: nowhere */
	bool json;        /* the grid and what it took as JSON instead of the heat map */
	bool colour;
};

/*
 * Reads RUN/results.h5, prints the heat map and what it took to `out`, writes the page, and lastly prints the paths of
 * both. COP_EINPUT where there are no results, or those are damaged.
 */
int cop_report(const char *run, const struct cop_report_options *o, FILE *out, struct cop_err *err) COP_CHECKED;

/* The same with no wishes but the colours. */
int cop_report_run(const char *run, FILE *out, bool colour, struct cop_err *err) COP_CHECKED;

#endif
