/*
 * How much faster cells were trained than the dense run of their replicate, as measured: images a second within steps.
 * Held beside each other only where device, threads and GPUs were the same, as the results say.
 */
#ifndef COP_REPORT_SPEED_H
#define COP_REPORT_SPEED_H

#include "base/str.h"
#include "report/grid.h"

#include <stdio.h>

struct cJSON;

/* Times the dense run's speed; NaN where that is not known, or a copy of another cell's result. */
double cop_speed_of(const struct cop_row *row, const struct cop_results *r);

/* A line for each quantile, a section of the page, a list; nothing, or an empty list, where no speed is known. */
void cop_speed_print(const struct cop_grid *g, FILE *out);
void cop_speed_html(struct cop_str *b, const struct cop_grid *g);
struct cJSON *cop_speed_json(const struct cop_grid *g);

#endif
