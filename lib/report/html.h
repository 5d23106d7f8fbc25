/*
 * RUN/report.html: one self-contained page (no network, no script, figures as SVG), light or dark as the reader's
 * system is, fit for a phone and for paper. Every text that comes from a file is escaped.
 */
#ifndef COP_REPORT_HTML_H
#define COP_REPORT_HTML_H

#include "report/overlaps.h"
#include "report/stability.h"

/* What a page shows; the last two are NULL where nothing is known. */
struct cop_html_parts {
	const struct cop_results *results;
	const struct cop_grid *grid;
	const struct cop_stability *stability;
	const struct cop_overlaps *overlaps;
};

/* The page as text, the caller frees; `when`: the date to show. */
char *cop_html_text(const struct cop_html_parts *of, const char *when);

/* Writes it atomically, dated now. COP_EFAILED. */
int cop_html_write(const char *path, const struct cop_html_parts *of, struct cop_err *err) COP_CHECKED;

#endif
