/* Validating the files of many cells at once. */
#ifndef COP_SWEEP_VALIDATE_H
#define COP_SWEEP_VALIDATE_H

#include "sweep/run.h"

/*
 * Opens the file of each of the `n` cells and looks at what tells whether it is complete and this cell's. Returns n
 * texts: NULL where the file is valid, else why it is not. The caller frees them and the list. The work is done by a
 * few processes: opening takes a core of its own or, on a shared file system, waiting for answers; and HDF5 crashes
 * over some files that are damaged.
 */
char **cop_validate(const struct cop_run *r, const int64_t *index, size_t n);

/*
 * The same for files of which nobody knows any more which cells they should be, as long as they are of the run's
 * experiment and say the number that their name has; run->cell is not looked at. who[k], where the answer is NULL:
 * which point of the grid the file says it is, without `reset`.
 */
char **cop_identify(const struct cop_run *run, const int64_t *index, size_t n, struct cop_point *who);

#endif
