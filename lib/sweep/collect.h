/* Gathering: the cells' files into RUN/results.h5. */
#ifndef COP_SWEEP_COLLECT_H
#define COP_SWEEP_COLLECT_H

#include "store/results.h"
#include "sweep/run.h"

struct cop_collected {
	struct cop_row *row; /* of the cells that are done, by index */
	size_t ncells;
	int64_t *missing; /* the others */
	size_t nmissing;
	size_t read, kept; /* cells whose files were read; cells that the results of before had */
};

/*
 * Writes RUN/results.h5 from every cell that is done and every dense run's result. Only files that are new or have
 * changed since the results of before are read. A file that does not validate counts as missing, with a warning that
 * says why; one that looked valid and cannot be read also for the catalog, so that `redo` computes it again. Release
 * *out, which is empty after an error.
 */
int cop_collect(const struct cop_run *r, struct cop_collected *out, struct cop_err *err) COP_CHECKED;
void cop_collected_release(struct cop_collected *c);

#endif
