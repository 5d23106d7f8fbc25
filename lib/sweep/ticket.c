/* What a cell starts from; see ticket.h. */
#include "sweep/ticket.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "prune/mask.h"
#include "sweep/work.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of several cells that find it at the same time one moves it. */
static void move_aside(const char *path)
{
	char *aside = cop_xasprintf("%s.damaged", path);
	if (rename(path, aside) == 0)
		cop_debug("'%s' was moved to '%s'", path, aside);
	free(aside);
}

int cop_ticket_checkpoint(const struct cop_run *r, const struct cop_staging *s, const char *path, bool slots,
			  struct cop_checkpoint *c, struct cop_err *err)
{
	bool readable = access(path, R_OK) == 0;
	int rc = cop_staging_checkpoint(s, path, c, slots, err);
	if (rc == COP_EINPUT && readable) {
		move_aside(path);
		return cop_context(
			err,
			"a checkpoint of the dense run is damaged and was moved aside ('coppice redo' makes it again)");
	}
	if (rc)
		return cop_context(err, "the dense run's checkpoint is needed ('coppice train' makes it)");
	if (strcmp(c->hash, r->hash) != 0) {
		cop_checkpoint_release(c);
		return cop_fail(err, COP_EINPUT, "checkpoint '%s' belongs to another experiment", path);
	}
	return 0;
}

static int first_mask(const struct cop_run *r, const struct cop_staging *s, const struct cop_point *p, uint8_t **mask,
		      double *threshold, struct cop_err *err)
{
	struct cop_checkpoint c = {0};
	char *path = cop_run_final(r, p->replicate);
	int rc = cop_ticket_checkpoint(r, s, path, false, &c, err);
	free(path);
	if (!rc)
		rc = cop_alloc(mask, c.params.total, 1, "the mask", err);
	if (!rc && r->experiment.sweep.scope == COP_SCOPE_LAYER)
		rc = cop_prune_layers(&c.params, c.param, p->quantile, *mask, threshold, err);
	else if (!rc)
		rc = cop_prune_global(&c.params, c.param,
				      cop_prune_count(p->quantile, cop_layout_count(&c.params, true)), *mask, threshold,
				      err);
	cop_checkpoint_release(&c);
	return rc;
}

/* The weights and the mask that the round before ended with. */
static int read_round(const struct cop_run *r, int64_t index, struct cop_layout *l, float **param, uint8_t **mask,
		      struct cop_err *err)
{
	struct cop_h5 *f;
	char *path = cop_run_cell(r, index);
	int rc = cop_cell_done(r, index, err) ? cop_h5_open(&f, path, COP_CELL_FORMAT, err) : COP_EINPUT;
	if (rc) {
		free(path);
		return rc;
	}
	rc = cop_load_tensors(f, "params", l, param, err);
	if (!rc)
		rc = cop_alloc(mask, l->total, 1, "the mask", err);
	if (!rc)
		rc = cop_load_masks(f, l, *mask, err);
	cop_h5_close(f);
	free(path);
	return rc;
}

static int next_mask(const struct cop_run *r, const struct cop_point *p, uint8_t **mask, double *threshold,
		     struct cop_err *err)
{
	struct cop_layout l = {0};
	float *param = NULL;
	uint8_t *before = NULL;
	int rc = read_round(r, p->before, &l, &param, &before, err);
	if (rc)
		cop_context(err, "round %lld prunes what cell %lld left", (long long)p->round, (long long)p->before);
	if (!rc)
		rc = cop_alloc(mask, l.total, 1, "the mask", err);
	if (!rc)
		rc = cop_prune_survivors(&l, param, before, p->quantile, r->experiment.sweep.scope == COP_SCOPE_LAYER,
					 *mask, threshold, err);
	cop_layout_release(&l);
	free(param);
	free(before);
	return rc;
}

int cop_ticket_mask(const struct cop_run *r, const struct cop_staging *s, const struct cop_point *p, uint8_t **mask,
		    double *threshold, struct cop_err *err)
{
	return p->before < 0 ? first_mask(r, s, p, mask, threshold, err) : next_mask(r, p, mask, threshold, err);
}
