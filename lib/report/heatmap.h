/*
 * The heat map in a terminal: quantiles down, reset points across, in each place the mean test top-1 of the replicates
 * in percent, and of several ± half the width of its 95% interval. With colours each place has a background from the
 * palette, between the smallest and the largest mean; without them it is plain text that survives a log file.
 */
#ifndef COP_REPORT_HEATMAP_H
#define COP_REPORT_HEATMAP_H

#include "report/grid.h"

#include <stdbool.h>
#include <stdio.h>

enum cop_colours { COP_COLOURS_NONE, COP_COLOURS_256, COP_COLOURS_TRUE };

/* Whether `out` is a terminal that shows colours and the user has not refused them (NO_COLOR, TERM=dumb). */
bool cop_colours_wanted(FILE *out);

/* 24 bits where COLORTERM says so, else 256 colours. */
enum cop_colours cop_colours_known(void);

/* Columns of the terminal behind `out`; 80 where it is none. */
int cop_terminal_width(FILE *out);

/*
 * Prints the map under a heading, one for each variant that the grid has, then one line that explains it. More reset
 * points than fit in `width` columns follow in further blocks. A write that fails shows in ferror(out).
 */
void cop_heatmap_print(const struct cop_grid *g, const char *name, FILE *out, enum cop_colours colours, int width);

#endif
