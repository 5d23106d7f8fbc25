/* Masks; see mask.h. */
#include "prune/mask.h"

#include "base/mem.h"
#include "prune/allocation.h"
#include "prune/quantile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

size_t cop_prune_count(double q, size_t total)
{
	double n = floor(q * (double)total + 0.5);
	if (!(n > 0))
		return 0;
	return n < (double)total ? (size_t)n : total;
}

int cop_prune_global(const struct cop_layout *l, const float *weights, size_t cut, uint8_t *mask, double *threshold,
		     struct cop_err *err)
{
	struct cop_allocation a = {cop_xcalloc(l->n, sizeof(*a.group)), &cut, 1};
	for (size_t i = 0; i < l->n; i++)
		a.group[i] = l->tensor[i].prunable ? 0 : -1;
	int rc = cop_prune_magnitudes(l, &a, weights, NULL, mask, threshold, err);
	free(a.group);
	return rc;
}

/* NaN is refused. */
static int check_weights(const struct cop_tensor *t, const float *weights, struct cop_err *err)
{
	struct cop_array array = {t->name, weights + t->offset, t->count, t->rank, t->dim};
	struct cop_arrays all = {&array, 1};
	struct cop_source source = cop_source_arrays(&all);
	return cop_order_find(&source, NULL, 0, 0, err);
}

int cop_prune_below(const struct cop_layout *l, const float *weights, double threshold, uint8_t *mask,
		    struct cop_err *err)
{
	int rc = 0;
	memset(mask, 1, l->total);
	for (size_t i = 0; !rc && i < l->n; i++) {
		const struct cop_tensor *t = &l->tensor[i];
		if (!t->prunable)
			continue;
		rc = check_weights(t, weights, err);
		for (size_t j = t->offset; j < t->offset + t->count; j++)
			mask[j] = fabs((double)weights[j]) > threshold;
	}
	return rc;
}

size_t cop_mask_kept(const struct cop_tensor *t, const uint8_t *mask)
{
	size_t kept = 0;
	for (size_t i = 0; i < t->count; i++)
		kept += mask[t->offset + i];
	return kept;
}

size_t cop_mask_nnz(const struct cop_layout *l, const uint8_t *mask)
{
	size_t kept = 0;
	for (size_t i = 0; i < l->n; i++)
		if (l->tensor[i].prunable)
			kept += cop_mask_kept(&l->tensor[i], mask);
	return kept;
}

struct cop_overlap cop_mask_overlap(const struct cop_tensor *t, const uint8_t *a, const uint8_t *b)
{
	struct cop_overlap o = {.total = t->count};
	for (size_t i = t->offset; i < t->offset + t->count; i++) {
		o.a += a[i];
		o.b += b[i];
		o.both += a[i] & b[i];
	}
	return o;
}

double cop_overlap_fraction(const struct cop_overlap *o)
{
	size_t least = o->a < o->b ? o->a : o->b;
	return least ? (double)o->both / (double)least : NAN;
}

double cop_overlap_jaccard(const struct cop_overlap *o)
{
	size_t either = o->a + o->b - o->both;
	return either ? (double)o->both / (double)either : NAN;
}

static size_t count_unset(const uint8_t *alive, size_t n)
{
	size_t dead = 0;
	for (size_t i = 0; i < n; i++)
		dead += !alive[i];
	return dead;
}

int cop_mask_dead(const struct cop_tensor *t, const uint8_t *mask, size_t *outputs, size_t *inputs, struct cop_err *err)
{
	size_t rows = t->rank > 0 ? (size_t)t->dim[0] : 1, columns = t->rank > 1 ? (size_t)t->dim[1] : 0;
	size_t row = rows ? t->count / rows : 0, column = rows && columns ? row / columns : 0;
	uint8_t *alive = NULL;
	int rc = cop_alloc(&alive, rows + columns, 1, "units", err);
	for (size_t i = 0; i < t->count && !rc; i++) {
		alive[i / row] |= mask[t->offset + i];
		if (columns)
			alive[rows + i % row / column] |= mask[t->offset + i];
	}
	if (!rc) {
		*outputs = count_unset(alive, rows);
		*inputs = count_unset(alive + rows, columns);
	}
	free(alive);
	return rc;
}

void cop_mask_apply(const struct cop_layout *l, const uint8_t *mask, float *arena)
{
	for (size_t i = 0; i < l->total; i++)
		arena[i] = mask[i] ? arena[i] : 0.0f;
}
