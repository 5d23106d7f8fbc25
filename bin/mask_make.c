/* Masks that are written: 'coppice mask make', 'apply' and 'shuffle'; see masks.h. */
#include "base/file.h"
#include "base/mem.h"
#include "base/param.h"
#include "masks.h"
#include "prune/criterion.h"
#include "prune/mask.h"
#include "store/checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The initial weights of the same network; NULL where none are wanted. */
static int read_first(const struct mask_options *o, const struct cop_checkpoint *c, struct cop_checkpoint *first,
		      struct cop_err *err)
{
	if (!o->init)
		return 0;
	int rc = cop_checkpoint_read(o->init, first, false, err);
	if (!rc)
		rc = mask_check_match(&c->params, o->file[0], &first->params, o->init, err);
	if (!rc && !cop_layout_same(&c->params, &first->params))
		rc = cop_fail(err, COP_EINPUT, "'%s' and '%s' do not hold the same tensors in the same order",
			      o->file[0], o->init);
	return rc;
}

/* So many of each tensor, the lowest by the criterion. */
static int prune_share(const struct mask_options *o, const struct cop_checkpoint *c, uint8_t *mask, double *threshold,
		       struct cop_err *err)
{
	struct cop_allocation a = {0};
	struct cop_checkpoint first = {0};
	int rc = read_first(o, c, &first, err);
	if (rc) {
		cop_checkpoint_release(&first);
		return rc;
	}
	rc = cop_allocate(&a, &c->params, o->scope, &o->rates, &o->value, 1, err);
	if (!rc && o->criterion == COP_CRITERION_MAGNITUDE) {
		rc = cop_prune_magnitudes(&c->params, &a, c->param, NULL, mask, threshold, err);
	} else if (!rc) {
		const struct cop_graph graph = {.params = c->params}; /* these criteria look at no more of it */
		const struct cop_scoring s = {.graph = &graph, .first = first.param, .last = c->param, .seed = o->seed};
		rc = cop_criterion_mask(&s, (enum cop_criterion)o->criterion, &a, mask, threshold, err);
	}
	cop_allocation_release(&a);
	cop_checkpoint_release(&first);
	return rc ? cop_context(err, "'%s'", o->file[0]) : 0;
}

/* That what the criterion looks at is given, and no more. */
static int check_criterion(const struct mask_options *o, struct cop_err *err)
{
	char name[COP_MASK_WORD];
	cop_choice_text(COP_CRITERION_CHOICES, o->criterion, name, sizeof(name));
	struct cop_criterion_needs needs = cop_criterion_needs((enum cop_criterion)o->criterion);
	if (needs.samples || o->criterion == COP_CRITERION_SYNFLOW)
		return cop_fail(err, COP_EINPUT,
				"criterion '%s' wants the network and its images: plan a sweep with "
				"--set sweep.criterion=%s",
				name, name);
	if (needs.first != (o->init != NULL))
		return cop_fail(err, COP_EINPUT, "criterion '%s' %s", name,
				o->init ? "looks at no initial weights: it goes without --init"
					: "wants the initial weights too: --init FILE");
	if (o->how == MASK_THRESHOLD && (o->rates.n || o->criterion != COP_CRITERION_MAGNITUDE))
		return cop_fail(err, COP_EINPUT,
				"--threshold cuts all layers by magnitude: it goes without --rate and --criterion");
	return 0;
}

static int prune(const struct mask_options *o, const struct cop_checkpoint *c, uint8_t *mask, struct cop_mask_file *m,
		 struct cop_err *err)
{
	size_t total = cop_layout_count(&c->params, true);
	if (total == 0)
		return cop_fail(err, COP_EINPUT, "'%s' has no prunable weights", o->file[0]);
	cop_choice_text(COP_SCOPE_CHOICES, o->scope, m->scope, sizeof(m->scope));
	cop_choice_text(COP_CRITERION_CHOICES, o->criterion, m->criterion, sizeof(m->criterion));
	m->quantile = m->threshold = o->value;
	if (o->how != MASK_THRESHOLD)
		return prune_share(o, c, mask, &m->threshold, err);
	if (cop_prune_below(&c->params, c->param, o->value, mask, err))
		return cop_context(err, "'%s'", o->file[0]);
	m->quantile = 1 - (double)cop_mask_nnz(&c->params, mask) / (double)total;
	return 0;
}

/* A file that is there is kept, above all one that is read. */
static int check_output(const struct mask_options *o, const char *path, struct cop_err *err)
{
	if (!o->force && cop_exists(path))
		return cop_fail(err, COP_EINPUT, "'%s' exists (--force replaces it)", path);
	return 0;
}

int mask_make(const struct mask_options *o, struct cop_err *err)
{
	struct cop_checkpoint c = {0};
	struct cop_mask_file m = {0};
	uint8_t *mask = NULL;
	if (o->how == MASK_NONE)
		return cop_fail(err, COP_EINPUT, "'mask make' wants --quantile, --threshold or --sparsity");
	int rc = check_criterion(o, err);
	if (!rc)
		rc = check_output(o, o->file[1], err);
	if (!rc)
		rc = cop_checkpoint_read(o->file[0], &c, false, err);
	if (rc)
		return rc;
	rc = cop_alloc(&mask, c.params.total, 1, "a mask", err);
	if (!rc)
		rc = prune(o, &c, mask, &m, err);
	if (!rc)
		rc = cop_mask_file_write(o->file[1], &c.params, mask, &m, err);
	if (!rc)
		rc = mask_print(o->file[1], &m, &c.params, mask, o->json, err);
	free(mask);
	cop_checkpoint_release(&c);
	return rc;
}

static bool same_shape(const struct cop_tensor *a, const struct cop_tensor *b)
{
	return a->rank == b->rank && memcmp(a->dim, b->dim, sizeof(a->dim)) == 0;
}

/* Every tensor of `a` that is prunable must be in `b` too, with its shape. */
static int check_covered(const struct cop_layout *a, const char *a_path, const struct cop_layout *b, const char *b_path,
			 struct cop_err *err)
{
	char one[128], other[128];
	for (size_t i = 0; i < a->n; i++) {
		const struct cop_tensor *s = &a->tensor[i], *t = cop_layout_find(b, s->name);
		if (!s->prunable)
			continue;
		if (!t)
			return cop_fail(err, COP_EINPUT, "'%s' has '%s', '%s' does not", a_path, s->name, b_path);
		if (!same_shape(s, t))
			return cop_fail(err, COP_EINPUT, "'%s' is %s in '%s' and %s in '%s'", s->name,
					cop_shape_text(s, one, sizeof(one)), a_path,
					cop_shape_text(t, other, sizeof(other)), b_path);
	}
	return 0;
}

int mask_check_match(const struct cop_layout *a, const char *a_path, const struct cop_layout *b, const char *b_path,
		     struct cop_err *err)
{
	int rc = check_covered(a, a_path, b, b_path, err);
	return rc ? rc : check_covered(b, b_path, a, a_path, err);
}

int mask_spread(const struct cop_mask_file *m, const struct cop_layout *l, uint8_t **mask, struct cop_err *err)
{
	int rc = cop_alloc(mask, l->total, 1, "a mask", err);
	if (rc)
		return rc;
	memset(*mask, 1, l->total);
	for (size_t i = 0; i < m->layout.n; i++) {
		const struct cop_tensor *from = &m->layout.tensor[i], *to = cop_layout_find(l, from->name);
		memcpy(*mask + to->offset, m->mask + from->offset, from->count);
	}
	return 0;
}

int mask_apply(const struct mask_options *o, struct cop_err *err)
{
	struct cop_mask_file m;
	struct cop_checkpoint c = {0};
	uint8_t *mask = NULL;
	int rc = check_output(o, o->file[2], err);
	if (!rc)
		rc = cop_mask_file_read(o->file[0], &m, err);
	if (rc)
		return rc;
	rc = cop_checkpoint_read(o->file[1], &c, true, err);
	if (!rc)
		rc = mask_check_match(&m.layout, o->file[0], &c.params, o->file[1], err);
	if (!rc)
		rc = mask_spread(&m, &c.params, &mask, err);
	if (!rc) {
		cop_mask_apply(&c.params, mask, c.param);
		for (size_t s = 0; s < c.nslots; s++)
			cop_mask_apply(&c.params, mask, c.slot[s]);
		rc = cop_checkpoint_write(o->file[2], &c, err);
	}
	if (!rc)
		rc = mask_print(o->file[0], &m, &m.layout, m.mask, o->json, err);
	free(mask);
	cop_checkpoint_release(&c);
	cop_mask_file_release(&m);
	return rc;
}

int mask_shuffle(const struct mask_options *o, struct cop_err *err)
{
	struct cop_mask_file m;
	int rc = check_output(o, o->file[1], err);
	if (!rc)
		rc = cop_mask_file_read(o->file[0], &m, err);
	if (rc)
		return rc;
	if (o->anew)
		cop_mask_random(&m.layout, NULL, m.mask, o->seed);
	else
		cop_mask_shuffle(&m.layout, m.mask, o->seed);
	char *criterion = cop_xasprintf("%s%s%s", m.criterion, *m.criterion ? ", " : "",
					o->anew ? "drawn anew" : "shuffled");
	snprintf(m.criterion, sizeof(m.criterion), "%s", criterion);
	free(criterion);
	m.threshold = NAN;
	rc = cop_mask_file_write(o->file[1], &m.layout, m.mask, &m, err);
	if (!rc)
		rc = mask_print(o->file[1], &m, &m.layout, m.mask, o->json, err);
	cop_mask_file_release(&m);
	return rc;
}
