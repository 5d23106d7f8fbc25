/*
 * What is in a file: datasets, checkpoints, masks, cells and results as coppice writes them, any other HDF5 file as a
 * list of its datasets, an experiment (JSON) or a run's folder as the resolved experiment.
 */
#ifndef COP_REPORT_SHOW_H
#define COP_REPORT_SHOW_H

#include "base/err.h"
#include "report/sheet.h"

/* Adds what `path` holds to *s, which the caller releases whatever happens. COP_EINPUT where it cannot be read. */
int cop_show(const char *path, struct cop_sheet *s, struct cop_err *err) COP_CHECKED;

#endif
