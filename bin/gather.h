/* What `collect` and `run` share: gathering the cells and saying what came out. */
#ifndef COP_BIN_GATHER_H
#define COP_BIN_GATHER_H

#include "sweep/run.h"

/* Writes results.h5 and results.csv and prints what is there and missing. COP_EPARTIAL where cells are missing. */
int gather_run(const struct cop_run *run, struct cop_err *err) COP_CHECKED;

#endif
