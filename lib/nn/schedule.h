/* Points in training ("3ep", "500it") and the learning rate at each step. */
#ifndef COP_NN_SCHEDULE_H
#define COP_NN_SCHEDULE_H

#include "nn/config.h"

/* The step that `text` names: epochs ("3ep", "0.5ep") or steps ("500it"). COP_EINPUT, naming `key`. */
int cop_point_parse(const char *key, const char *text, int64_t steps_per_epoch, int64_t *step, struct cop_err *err)
	COP_CHECKED;

/*
 * How many steps lie between two looks at the validation split: train.validate_every. COP_EINPUT where that is no
 * point, or less than a step.
 */
int cop_validate_every(const struct cop_train_config *c, int64_t steps_per_epoch, int64_t *every, struct cop_err *err)
	COP_CHECKED;

/* How many looks there are after step `from` up to `total`, where training ends and is always looked at. */
int64_t cop_validations(int64_t every, int64_t from, int64_t total);

struct cop_schedule {
	int name;
	double lr, gamma, final_lr;
	double after; /* the rate of steps beyond the last */
	int64_t warmup, total, steps_per_epoch;
	int64_t validate_every; /* steps */
	int64_t *milestone;     /* steps, ascending */
	size_t nmilestones;
};

int cop_schedule_init(struct cop_schedule *s, const struct cop_train_config *c, int64_t steps_per_epoch,
		      struct cop_err *err) COP_CHECKED;
void cop_schedule_release(struct cop_schedule *s);

/*
 * The learning rate of step t (from 0). Warm-up: lr (t+1)/W for t < W. Then with u = (t-W)/(T-W):
 * constant: lr; step: lr gamma^(milestones passed); cosine: final + (lr-final)(1+cos(pi u))/2 (Loshchilov & Hutter
 * 2017); linear: lr + (final-lr) u, with a warm-up the one cycle of Smith 2018; exponential: lr gamma^(t/steps per
 * epoch). Of a step beyond the last, t >= T: the configuration's more_lr, or that of step T-1.
 */
double cop_schedule_lr(const struct cop_schedule *s, int64_t t);

#endif
