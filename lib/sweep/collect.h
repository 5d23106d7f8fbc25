/* Gathering: the cells' files into RUN/results.h5 and results.csv. */
#ifndef COP_SWEEP_COLLECT_H
#define COP_SWEEP_COLLECT_H

#include "store/results.h"
#include "sweep/run.h"

/*
 * Reads every cell that is done and every dense run's result. A file that does not validate counts as missing, with a
 * warning that says why. Release `out`.
 */
void cop_collect(const struct cop_run *r, struct cop_results *out);

#endif
