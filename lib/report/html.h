/*
 * RUN/report.html: one self-contained page (no network, no script, figures as SVG), light or dark as the reader's
 * system is, fit for a phone and for paper. Every text that comes from a file is escaped.
 */
#ifndef COP_REPORT_HTML_H
#define COP_REPORT_HTML_H

#include "report/stability.h"

/* The page as text, the caller frees. s: NULL where nothing is known; `when`: the date to show. */
char *cop_html_text(const struct cop_results *r, const struct cop_grid *g, const struct cop_stability *s,
		    const char *when);

/* Writes it atomically, dated now. COP_EFAILED. */
int cop_html_write(const char *path, const struct cop_results *r, const struct cop_grid *g,
		   const struct cop_stability *s, struct cop_err *err) COP_CHECKED;

#endif
