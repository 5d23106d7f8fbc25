/* A grid whose list, RUN/cells.json, is lost or damaged: results say themselves which cells they are. */
#ifndef COP_SWEEP_RECOVER_H
#define COP_SWEEP_RECOVER_H

#include "sweep/cells.h"

/*
 * The grid of experiment `e` in the folder `run`: cells with a readable result have the number of its file, the others
 * what numbers are left. *known: how many have one. COP_EINPUT as cop_cells_make. Release *g.
 */
int cop_cells_recover(struct cop_cells *g, const struct cop_experiment *e, const char *run, int64_t steps_per_epoch,
		      size_t *known, struct cop_err *err) COP_CHECKED;

#endif
