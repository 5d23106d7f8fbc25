/* Points and learning rates; see schedule.h. */
#include "nn/schedule.h"

#include "base/mem.h"
#include "base/order.h"
#include "base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int cop_point_parse(const char *key, const char *text, int64_t steps_per_epoch, int64_t *step, struct cop_err *err)
{
	size_t n = strlen(text);
	double v = -1;
	bool epochs = cop_str_ends(text, "ep"), steps = cop_str_ends(text, "it");
	if (epochs || steps) {
		char *number = cop_xasprintf("%.*s", (int)n - 2, text);
		if (!cop_parse_f64(number, &v))
			v = -1;
		free(number);
	}
	if (v < 0 || v > 1e12 || (steps && v != floor(v)))
		return cop_fail(err, COP_EINPUT,
				"'%s' holds '%s', which is no point in training (write '3ep' or '500it')", key, text);
	*step = epochs ? llround(v * (double)steps_per_epoch) : (int64_t)v;
	return 0;
}

int cop_validate_every(const struct cop_train_config *c, int64_t steps_per_epoch, int64_t *every, struct cop_err *err)
{
	static const char key[] = "train.validate_every";
	*every = steps_per_epoch;
	int rc = c->validate_every ? cop_point_parse(key, c->validate_every, steps_per_epoch, every, err) : 0;
	if (!rc && *every < 1)
		rc = cop_fail(err, COP_EINPUT, "'%s' is '%s', which is less than a step", key, c->validate_every);
	return rc;
}

int64_t cop_validations(int64_t every, int64_t from, int64_t total)
{
	return total / every - from / every + (total % every && from < total);
}

int cop_schedule_init(struct cop_schedule *s, const struct cop_train_config *c, int64_t steps_per_epoch,
		      struct cop_err *err)
{
	*s = (struct cop_schedule){
		.name = c->schedule,
		.lr = c->lr,
		.gamma = c->gamma,
		.final_lr = c->final_lr,
		.steps_per_epoch = steps_per_epoch,
		.total = c->epochs * steps_per_epoch,
	};
	int rc = cop_point_parse("train.schedule.warmup", c->warmup, steps_per_epoch, &s->warmup, err);
	if (!rc)
		rc = cop_validate_every(c, steps_per_epoch, &s->validate_every, err);
	s->milestone = cop_xcalloc(c->milestones.n, sizeof(*s->milestone));
	for (; s->nmilestones < c->milestones.n && !rc; s->nmilestones++)
		rc = cop_point_parse("train.schedule.milestones", c->milestones.v[s->nmilestones], steps_per_epoch,
				     &s->milestone[s->nmilestones], err);
	if (!rc && s->warmup > s->total)
		rc = cop_fail(err, COP_EINPUT, "'train.schedule.warmup' (%s) is longer than the training (%lldep)",
			      c->warmup, (long long)c->epochs);
	if (rc) {
		cop_schedule_release(s);
		return rc;
	}
	qsort(s->milestone, s->nmilestones, sizeof(*s->milestone), cop_compare_ints);
	s->after = c->more_lr > 0 ? c->more_lr : s->total > 0 ? cop_schedule_lr(s, s->total - 1) : s->lr;
	return 0;
}

void cop_schedule_release(struct cop_schedule *s)
{
	free(s->milestone);
	*s = (struct cop_schedule){0};
}

static int passed(const struct cop_schedule *s, int64_t t)
{
	int n = 0;
	for (size_t i = 0; i < s->nmilestones; i++)
		n += t >= s->milestone[i];
	return n;
}

double cop_schedule_lr(const struct cop_schedule *s, int64_t t)
{
	if (t >= s->total)
		return s->after;
	if (t < s->warmup)
		return s->lr * (double)(t + 1) / (double)s->warmup;
	double u = s->total > s->warmup ? (double)(t - s->warmup) / (double)(s->total - s->warmup) : 0;
	switch ((enum cop_schedule_name)s->name) {
	case COP_SCHEDULE_CONSTANT:
		return s->lr;
	case COP_SCHEDULE_STEP:
		return s->lr * pow(s->gamma, passed(s, t));
	case COP_SCHEDULE_COSINE:
		return s->final_lr + (s->lr - s->final_lr) * 0.5 * (1 + cos(M_PI * u));
	case COP_SCHEDULE_LINEAR:
		return s->lr + (s->final_lr - s->lr) * u;
	case COP_SCHEDULE_EXPONENTIAL:
		return s->lr * pow(s->gamma, (double)t / (double)s->steps_per_epoch);
	}
	COP_BUG("no such schedule");
}
