/* What a cell starts from: the mask of its ticket, and the dense run's checkpoints. */
#ifndef COP_SWEEP_TICKET_H
#define COP_SWEEP_TICKET_H

#include "store/checkpoint.h"
#include "sweep/run.h"
#include "sweep/staging.h"

/*
 * Reads one of the dense run's checkpoints, or its copy in the stage (NULL: none); release it. COP_EINPUT where there
 * is none, or where it is of another experiment. One that is damaged is moved aside (PATH.damaged), so that the dense
 * run makes it again.
 */
int cop_ticket_checkpoint(const struct cop_run *r, const struct cop_staging *s, const char *path, bool slots,
			  struct cop_checkpoint *c, struct cop_err *err) COP_CHECKED;

/*
 * The mask of a point, from the weights at the end of the dense run or of the round before. *threshold: the largest
 * magnitude that it cuts. The caller frees *mask (the parameters' layout).
 */
int cop_ticket_mask(const struct cop_run *r, const struct cop_staging *s, const struct cop_point *p, uint8_t **mask,
		    double *threshold, struct cop_err *err) COP_CHECKED;

#endif
