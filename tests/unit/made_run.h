/* A run's folder made up for tests: a grid, and cells' files of a few kilobytes. */
#ifndef COP_TESTS_MADE_RUN_H
#define COP_TESTS_MADE_RUN_H

#include "sweep/run.h"

enum { MADE_EPOCHS = 30 };

/* A run of `cells` cells below a new folder, none of them done. Remove it. -1 where that fails. */
int made_run(struct cop_run *r, size_t cells);
int made_run_remove(struct cop_run *r);

/* Writes the file of cell `index`, holding what cell `as` of experiment `hash` would hold; `shade` changes its figures.
 */
void made_run_cell_as(const struct cop_run *r, int64_t index, int64_t as, const char *hash, double shade);
void made_run_cell(const struct cop_run *r, int64_t index);

/* Writes the result of a dense run. */
void made_run_dense(const struct cop_run *r, int64_t replicate, double shade);

/* Writes `len` bytes to a file, or fails the test. */
void made_run_text(const char *path, const char *text, size_t len);

#endif
