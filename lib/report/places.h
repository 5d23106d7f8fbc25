/*
 * What 'coppice connect' measured, by place: a variant's quantile, round and reset point, whose pairs and replicates
 * are gathered.
 */
#ifndef COP_REPORT_PLACES_H
#define COP_REPORT_PLACES_H

#include "base/json.h"
#include "sweep/connect.h"

#include <stdio.h>

/* The part of the weights that is left; what the quantile says where they were not counted. */
double cop_place_left(const struct cop_connection *c);

/* Where a line lies in the grid, into j. */
void cop_place_json(cJSON *j, const struct cop_connection *c);

/* An object for each place; a row of a table for each, with the 95% intervals of the instabilities. */
cJSON *cop_places_json(const struct cop_connect_place *place, size_t n);
void cop_places_print(const struct cop_connect_place *place, size_t n, FILE *out);

#endif
