/*
 * Reading the results of many cells, in order, by a few processes: reading takes a core of its own or, on a shared file
 * system, waiting for answers; and HDF5 crashes over some files that are damaged.
 */
#ifndef COP_SWEEP_FETCH_H
#define COP_SWEEP_FETCH_H

#include "sweep/run.h"

struct cop_fetch;

/*
 * Begins reading the files of the `n` cells; cell -1 - k is the result of replicate k's dense run. `index` must stay
 * until the end. End it.
 */
struct cop_fetch *cop_fetch_begin(const struct cop_run *r, const int64_t *index, size_t n);

/*
 * The next cell of them; release it. COP_EINPUT says why its file cannot be read, or that it is not of this experiment
 * and cell; the ones after it can be asked for all the same.
 */
int cop_fetch_next(struct cop_fetch *f, struct cop_cell *c, struct cop_err *err) COP_CHECKED;
void cop_fetch_end(struct cop_fetch *f);

/* One cell; *c is empty where that fails. */
int cop_fetch_one(const struct cop_run *r, int64_t index, struct cop_cell *c, struct cop_err *err) COP_CHECKED;

/*
 * For processes that do nothing but read HDF5 files: before each of them. One that takes seconds of a processor from
 * then on ends the process as a crash would, since the library may also go round in circles over a damaged file.
 */
void cop_reader_begin(void);
/* Whether such a process ended because of a damaged file, and not because somebody wanted it to. */
bool cop_reader_crashed(int status);

#endif
