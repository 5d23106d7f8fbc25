/* Pruning what an earlier mask kept; see mask.h. */
#include "base/mem.h"
#include "prune/mask.h"

#include <stdlib.h>
#include <string.h>

/* The weights that a mask keeps, tensor by tensor and in their order, as a network of their own. */
struct survivors {
	struct cop_layout layout;
	size_t *tensor; /* of the whole layout, for each of this one */
	float *weight;
	uint8_t *mask;
};

static void release(struct survivors *s)
{
	cop_layout_release(&s->layout);
	free(s->tensor);
	free(s->weight);
	free(s->mask);
}

static void add_tensor(struct survivors *s, const struct cop_layout *l, size_t i, const uint8_t *before)
{
	int64_t kept = (int64_t)cop_mask_kept(&l->tensor[i], before);
	if (!l->tensor[i].prunable || kept == 0)
		return;
	s->tensor[s->layout.n] = i;
	cop_layout_add(&s->layout, l->tensor[i].name, 1, &kept, true);
}

/* Gathers tensors first .. end-1. */
static int gather(struct survivors *s, const struct cop_layout *l, size_t first, size_t end, const float *weights,
		  const uint8_t *before, struct cop_err *err)
{
	*s = (struct survivors){.tensor = cop_xcalloc(l->n, sizeof(*s->tensor))};
	for (size_t i = first; i < end; i++)
		add_tensor(s, l, i, before);
	int rc = cop_alloc(&s->weight, s->layout.total, sizeof(float), "survivors", err);
	if (!rc)
		rc = cop_alloc(&s->mask, s->layout.total, 1, "the survivors' mask", err);
	for (size_t k = 0; k < s->layout.n && !rc; k++) {
		const struct cop_tensor *t = &l->tensor[s->tensor[k]];
		float *to = s->weight + s->layout.tensor[k].offset;
		for (size_t i = t->offset; i < t->offset + t->count; i++)
			if (before[i])
				*to++ = weights[i];
	}
	return rc;
}

static void scatter(const struct survivors *s, const struct cop_layout *l, const uint8_t *before, uint8_t *mask)
{
	for (size_t k = 0; k < s->layout.n; k++) {
		const struct cop_tensor *t = &l->tensor[s->tensor[k]];
		const uint8_t *from = s->mask + s->layout.tensor[k].offset;
		for (size_t i = t->offset; i < t->offset + t->count; i++)
			if (before[i])
				mask[i] = *from++;
	}
}

/* Of tensors first .. end-1 together, `cut` weights in all, those that are cut already among them. */
static int prune_range(const struct cop_layout *l, size_t first, size_t end, const float *weights,
		       const uint8_t *before, size_t cut, uint8_t *mask, double *threshold, struct cop_err *err)
{
	struct survivors s;
	size_t all = 0;
	double bound = 0;
	for (size_t i = first; i < end; i++)
		all += l->tensor[i].prunable ? l->tensor[i].count : 0;
	int rc = gather(&s, l, first, end, weights, before, err);
	size_t gone = rc ? 0 : all - cop_layout_count(&s.layout, true);
	if (!rc && cut < gone)
		rc = cop_fail(err, COP_EINPUT, "cannot cut '%zu' of %zu weights: %zu are cut already", cut, all, gone);
	if (!rc && s.layout.n)
		rc = cop_prune_global(&s.layout, s.weight, cut - gone, s.mask, &bound, err);
	if (!rc) {
		scatter(&s, l, before, mask);
		*threshold = bound > *threshold ? bound : *threshold;
	}
	release(&s);
	return rc;
}

int cop_prune_survivors(const struct cop_layout *l, const float *weights, const uint8_t *before, double q,
			bool by_layer, uint8_t *mask, double *threshold, struct cop_err *err)
{
	int rc = 0;
	memcpy(mask, before, l->total);
	*threshold = 0;
	if (!by_layer)
		return prune_range(l, 0, l->n, weights, before, cop_prune_count(q, cop_layout_count(l, true)), mask,
				   threshold, err);
	for (size_t i = 0; i < l->n && !rc; i++)
		if (l->tensor[i].prunable)
			rc = prune_range(l, i, i + 1, weights, before, cop_prune_count(q, l->tensor[i].count), mask,
					 threshold, err);
	return rc;
}
