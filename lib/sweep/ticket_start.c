/* From where a cell is trained; see ticket.h. The ways are described in docs/method.md. */
#include "base/mem.h"
#include "sweep/ticket.h"
#include "sweep/work.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

bool cop_ticket_needs_first(const struct cop_point *p)
{
	return cop_criterion_needs((enum cop_criterion)p->criterion).first || p->retrain == COP_RETRAIN_REINIT_SIGN;
}

int64_t cop_ticket_step(const struct cop_point *p, int64_t total_steps)
{
	if (p->retrain == COP_RETRAIN_FINE_TUNE)
		return total_steps;
	return cop_retrain_is_anew(p->retrain) ? 0 : p->reset_step;
}

int64_t cop_ticket_steps(const struct cop_point *p, int64_t total_steps)
{
	return cop_retrain_is_anew(p->retrain) ? total_steps : total_steps - p->reset_step;
}

struct cop_train_config cop_ticket_training(const struct cop_run *r, const struct cop_point *p)
{
	const struct cop_experiment *e = &r->experiment;
	struct cop_train_config c = cop_experiment_training(
		e, &(struct cop_worker){.replicate = p->replicate, .child = p->child});
	if (p->retrain == COP_RETRAIN_FINE_TUNE) {
		c.more_steps = r->total_steps - p->reset_step;
		c.more_lr = e->sweep.fine_tune_lr * (e->train.scale_lr ? (double)e->train.ranks : 1);
	}
	return c;
}

/* What the optimizer's corrections are counted from goes for all that are side by side, and so does the last step. */
bool cop_ticket_beside(const struct cop_point *a, const struct cop_point *b)
{
	if (a->replicate != b->replicate || a->child != b->child)
		return false;
	return cop_retrain_goes_on(a->retrain) || cop_retrain_goes_on(b->retrain)
		       ? a->retrain == b->retrain && a->reset_step == b->reset_step
		       : true;
}

/* Everything is the reset point's. */
static int rewind_all(const struct cop_run *r, const struct cop_staging *s, const struct cop_point *p,
		      const uint8_t *mask, struct cop_trainer *t, struct cop_err *err)
{
	struct cop_checkpoint c = {0};
	char *path = cop_run_checkpoint(r, p->replicate, p->reset_step);
	int rc = cop_ticket_checkpoint(r, s, path, true, &c, err);
	if (!rc && c.step != p->reset_step)
		rc = cop_fail(err, COP_EINPUT, "'%s' is of step %" PRId64 ", not %" PRId64, path, c.step,
			      p->reset_step);
	if (!rc)
		rc = cop_trainer_rewind(t, &c, mask, err);
	cop_checkpoint_release(&c);
	free(path);
	return rc;
}

/* The weights with which a dense run ended, or began. */
static int put_dense(const struct cop_run *r, const struct cop_staging *s, int64_t replicate, int64_t step,
		     struct cop_trainer *t, struct cop_err *err)
{
	struct cop_checkpoint c = {0};
	char *path = cop_run_checkpoint(r, replicate, step);
	int rc = cop_ticket_checkpoint(r, s, path, false, &c, err);
	if (!rc)
		rc = cop_trainer_put(t, &c.params, c.param, c.buffer, err);
	cop_checkpoint_release(&c);
	free(path);
	return rc;
}

/* Those with which the round before ended. */
static int put_round(const struct cop_run *r, int64_t index, struct cop_trainer *t, struct cop_err *err)
{
	const struct cop_layout *buffers = &t->net.graph.buffers;
	struct cop_layout l = {0};
	float *param = NULL, *buffer = NULL;
	struct cop_h5 *f;
	char *path = cop_run_cell(r, index);
	int rc = cop_cell_done(r, index, err) ? cop_h5_open(&f, path, COP_CELL_FORMAT, err) : COP_EINPUT;
	free(path);
	if (rc)
		return cop_context(err, "the weights of cell %" PRId64 " of the round before are needed", index);
	rc = cop_load_tensors(f, "params", &l, &param, err);
	if (!rc)
		rc = cop_alloc(&buffer, buffers->total + 1, sizeof(float), "running statistics", err);
	if (!rc && buffers->n)
		rc = cop_load_known(f, "buffers", buffers, buffer, err);
	if (!rc)
		rc = cop_trainer_put(t, &l, param, buffer, err);
	cop_h5_close(f);
	cop_layout_release(&l);
	free(param);
	free(buffer);
	return rc;
}

/* New weights: those of a seed that no replicate has. */
static void draw_anew(const struct cop_run *r, struct cop_trainer *t)
{
	static const uint64_t other = UINT64_C(1) << 54;
	cop_trainer_draw(t, r->experiment.model.init, (uint64_t)t->config->seed_init + other);
}

/* As drawn anew, each weight with the sign that it had at first (Zhou et al. 2019). A weight of 0 had none. */
static int draw_signed(const struct cop_run *r, const struct cop_staging *s, const struct cop_point *p,
		       struct cop_trainer *t, struct cop_err *err)
{
	const struct cop_layout *l = &t->net.graph.params;
	struct cop_checkpoint c = {0};
	char *path = cop_run_checkpoint(r, p->replicate, 0);
	int rc = cop_ticket_checkpoint(r, s, path, false, &c, err);
	free(path);
	if (!rc && !cop_layout_same(&c.params, l))
		rc = cop_fail(err, COP_EINPUT, "the checkpoint is of another network");
	if (!rc)
		draw_anew(r, t);
	for (size_t i = 0; i < l->n && !rc; i++)
		for (size_t k = l->tensor[i].offset; k < l->tensor[i].offset + l->tensor[i].count; k++)
			if (l->tensor[i].prunable && c.param[k] != 0)
				t->param[k] = copysignf(t->param[k], c.param[k]);
	cop_checkpoint_release(&c);
	return rc;
}

int cop_ticket_start(const struct cop_run *r, const struct cop_staging *s, const struct cop_point *p,
		     const uint8_t *mask, struct cop_trainer *t, struct cop_err *err)
{
	int rc = 0;
	switch ((enum cop_retrain)p->retrain) {
	case COP_RETRAIN_LR_REWIND:
	case COP_RETRAIN_FINE_TUNE:
		rc = p->before >= 0 ? put_round(r, p->before, t, err)
				    : put_dense(r, s, p->replicate, r->total_steps, t, err);
		break;
	case COP_RETRAIN_REINIT:
		draw_anew(r, t);
		break;
	case COP_RETRAIN_REINIT_SIGN:
		rc = draw_signed(r, s, p, t, err);
		break;
	default:
		return rewind_all(r, s, p, mask, t, err);
	}
	cop_trainer_begin_at(t, cop_ticket_step(p, r->total_steps));
	return rc ? rc : cop_trainer_cut(t, mask, err);
}
