/* Masks; see mask.h. */
#include "prune/mask.h"

#include "base/mem.h"

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

/* Keeps magnitudes above `bound`, or at it too. */
static void keep_above(const float *w, size_t n, float bound, bool at_bound, uint8_t *mask)
{
#pragma omp parallel for schedule(static)
	for (size_t i = 0; i < n; i++) {
		float m = fabsf(w[i]);
		mask[i] = (uint8_t)((m > bound) | (at_bound & (m == bound)));
	}
}

/* Cuts the first of those that equal `bound`, at most `left` of them; returns how many are left to cut. */
static size_t cut_equals(const float *w, size_t n, float bound, uint8_t *mask, size_t left)
{
	for (size_t i = 0; left && i < n; i++) {
		if (fabsf(w[i]) != bound)
			continue;
		mask[i] = 0;
		left--;
	}
	return left;
}

static struct cop_array array_of(const struct cop_tensor *t, const float *weights)
{
	return (struct cop_array){t->name, weights + t->offset, t->count, t->rank, t->dim};
}

/* Cuts `cut` of the tensors' weights; nothing else of `mask` is touched. */
static int prune_tensors(const struct cop_tensor *const *t, size_t n, const float *weights, size_t cut, uint8_t *mask,
			 double *threshold, struct cop_err *err)
{
	struct cop_array *array = cop_xcalloc(n, sizeof(*array));
	for (size_t i = 0; i < n; i++)
		array[i] = array_of(t[i], weights);
	struct cop_arrays all = {array, n};
	struct cop_source source = cop_source_arrays(&all);
	struct cop_order last = {.rank = cut - 1};
	int rc = cop_order_find(&source, &last, 1, 0, err);
	if (!rc) {
		size_t equals = cut - last.below;
		for (size_t i = 0; i < n; i++) {
			uint8_t *m = mask + t[i]->offset;
			keep_above(array[i].data, array[i].n, (float)last.value, true, m);
			equals = cut_equals(array[i].data, array[i].n, (float)last.value, m, equals);
		}
		*threshold = last.value > *threshold ? last.value : *threshold;
	}
	free(array);
	return rc;
}

/* NaN is refused even where nothing is cut. */
static int check_weights(const struct cop_tensor *t, const float *weights, struct cop_err *err)
{
	struct cop_array array = array_of(t, weights);
	struct cop_arrays all = {&array, 1};
	struct cop_source source = cop_source_arrays(&all);
	return cop_order_find(&source, NULL, 0, 0, err);
}

int cop_prune_global(const struct cop_layout *l, const float *weights, size_t cut, uint8_t *mask, double *threshold,
		     struct cop_err *err)
{
	const struct cop_tensor **t = cop_xcalloc(l->n, sizeof(*t));
	size_t n = 0;
	int rc = 0;
	for (size_t i = 0; i < l->n; i++)
		if (l->tensor[i].prunable)
			t[n++] = &l->tensor[i];
	memset(mask, 1, l->total);
	*threshold = 0;
	if (cut > cop_layout_count(l, true))
		rc = cop_fail(err, COP_EINPUT, "cannot cut '%zu' of %zu weights", cut, cop_layout_count(l, true));
	else if (cut)
		rc = prune_tensors(t, n, weights, cut, mask, threshold, err);
	else
		for (size_t i = 0; !rc && i < n; i++)
			rc = check_weights(t[i], weights, err);
	free(t);
	return rc;
}

int cop_prune_layers(const struct cop_layout *l, const float *weights, double q, uint8_t *mask, double *threshold,
		     struct cop_err *err)
{
	int rc = 0;
	memset(mask, 1, l->total);
	*threshold = 0;
	for (size_t i = 0; !rc && i < l->n; i++) {
		const struct cop_tensor *t = &l->tensor[i];
		size_t cut = cop_prune_count(q, t->count);
		if (!t->prunable)
			continue;
		if (cut)
			rc = prune_tensors(&t, 1, weights, cut, mask, threshold, err);
		else
			rc = check_weights(t, weights, err);
	}
	return rc;
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
