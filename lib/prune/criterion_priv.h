/* Scores by derivatives (criterion_derivatives.c), for criterion.c. As cop_criterion_scores, but nothing is checked. */
#ifndef COP_PRUNE_CRITERION_PRIV_H
#define COP_PRUNE_CRITERION_PRIV_H

#include "prune/criterion.h"

/* s->watch, where there is one. */
int cop_scoring_watch(const struct cop_scoring *s, struct cop_err *err) COP_CHECKED;

/* snip: |w_0 g|; gradient-weight: |w_T g|. w: (params.total). */
int cop_score_gradient(const struct cop_scoring *s, const float *w, double *score, struct cop_err *err) COP_CHECKED;
int cop_score_grasp(const struct cop_scoring *s, double *score, struct cop_err *err) COP_CHECKED;

/* Synflow's scores for one mask after another. */
struct cop_flow;
int cop_flow_new(struct cop_flow **f, const struct cop_scoring *s, struct cop_err *err) COP_CHECKED;
void cop_flow_free(struct cop_flow *f);                                       /* NULL is allowed */
void cop_flow_scores(struct cop_flow *f, const uint8_t *mask, double *score); /* mask NULL: everything is there */

#endif
