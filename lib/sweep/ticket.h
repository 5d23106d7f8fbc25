/* What a cell starts from: the mask of its ticket, and the weights and the step from which it is trained. */
#ifndef COP_SWEEP_TICKET_H
#define COP_SWEEP_TICKET_H

#include "nn/trainer.h"
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
 * The mask of a point by its criterion, from the dense run or the round before. t: for its network and its data.
 * *threshold: the largest score that it cuts. Where the cell is a control by another mask it is that one. While
 * derivatives are scored t->stop is asked (COP_ESTOPPED) and t->heartbeat called. The caller frees *mask (the
 * parameters' layout).
 */
int cop_ticket_mask(const struct cop_run *r, const struct cop_staging *s, const struct cop_point *p,
		    struct cop_trainer *t, uint8_t **mask, double *threshold, struct cop_err *err) COP_CHECKED;

/* Whether a cell reads the dense run's checkpoint of step 0, whatever its reset point. */
bool cop_ticket_needs_first(const struct cop_point *p);

/* How cell `p` is trained: with the seeds of its child, and after its end where it is fine-tuned. */
struct cop_train_config cop_ticket_training(const struct cop_run *r, const struct cop_point *p);

/* The training's first step and how many it makes, of `total_steps` that the dense run has. */
int64_t cop_ticket_step(const struct cop_point *p, int64_t total_steps);
int64_t cop_ticket_steps(const struct cop_point *p, int64_t total_steps);

/* Whether two cells of a run make the same steps on the same batches: a device may train them side by side. */
bool cop_ticket_beside(const struct cop_point *a, const struct cop_point *b);

/*
 * Weights, running statistics, optimizer state and step of the trainer become what the cell starts from, cut by the
 * mask. COP_EINPUT: a checkpoint is missing or of another step, or the mask lets nothing of an image through.
 */
int cop_ticket_start(const struct cop_run *r, const struct cop_staging *s, const struct cop_point *p,
		     const uint8_t *mask, struct cop_trainer *t, struct cop_err *err) COP_CHECKED;

#endif
