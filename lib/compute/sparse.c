/* Where the surviving weights of a layer stand; see sparse.h. */
#include "compute/sparse.h"

#include "base/mem.h"

#include <limits.h>
#include <stdlib.h>

static int64_t count_kept(const uint8_t *mask, size_t n)
{
	int64_t kept = 0;
	for (size_t i = 0; i < n; i++)
		kept += mask[i] != 0;
	return kept;
}

static void fill_out(struct cop_sparse *s, const uint8_t *mask)
{
	int in_g = s->in_c / s->groups, out_g = s->out_c / s->groups, k = 0;
	for (int o = 0; o < s->out_c; o++) {
		s->out_begin[o] = k;
		for (int c = 0; c < in_g; c++)
			for (int t = 0; t < s->taps; t++)
				if (*mask++) {
					s->out[k] = (struct cop_survivor){
						.tap = t, .row = o / out_g * in_g + c, .at = k};
					k++;
				}
	}
	s->out_begin[s->out_c] = k;
}

/* The same by input channel, in the order of outputs. */
static void fill_in(struct cop_sparse *s)
{
	int out_g = s->out_c / s->groups, padded = (out_g + COP_ROWS - 1) / COP_ROWS * COP_ROWS;
	for (int k = 0; k < s->count; k++)
		s->in_begin[s->out[k].row + 1]++;
	for (int c = 0; c < s->in_c; c++)
		s->in_begin[c + 1] += s->in_begin[c];
	int *next = cop_xcalloc((size_t)s->in_c + 1, sizeof(*next));
	for (int c = 0; c < s->in_c; c++)
		next[c] = s->in_begin[c];
	for (int o = 0; o < s->out_c; o++)
		for (int k = s->out_begin[o]; k < s->out_begin[o + 1]; k++)
			s->in[next[s->out[k].row]++] = (struct cop_survivor){
				.tap = s->out[k].tap, .row = o / out_g * padded + o % out_g, .at = k};
	free(next);
}

static struct cop_runs runs_of(const bool *wanted, int n)
{
	struct cop_runs r = {0, cop_xcalloc((size_t)n / 2 + 1, sizeof(struct cop_range))};
	for (int i = 0; i < n; i++) {
		if (!wanted[i])
			continue;
		if (r.n && r.run[r.n - 1].to == i)
			r.run[r.n - 1].to++;
		else
			r.run[r.n++] = (struct cop_range){i, i + 1};
	}
	return r;
}

static void find_runs(struct cop_sparse *s)
{
	int out_g = s->out_c / s->groups;
	bool *wanted = cop_xcalloc((size_t)(s->in_c > s->out_c ? s->in_c : s->out_c), sizeof(*wanted));
	for (int c = 0; c < s->in_c; c++)
		wanted[c] = s->in_begin[c] < s->in_begin[c + 1];
	s->read = runs_of(wanted, s->in_c);
	for (int o = 0; o < out_g; o++) {
		wanted[o] = false;
		for (int g = 0; g < s->groups; g++)
			wanted[o] = wanted[o] || s->out_begin[g * out_g + o] < s->out_begin[g * out_g + o + 1];
	}
	s->written = runs_of(wanted, out_g);
	free(wanted);
}

int cop_sparse_init(struct cop_sparse *s, int out_c, int in_c, int taps, int groups, const uint8_t *mask,
		    struct cop_err *err)
{
	size_t weights = (size_t)out_c * (size_t)(in_c / groups) * (size_t)taps;
	int64_t kept = count_kept(mask, weights);
	*s = (struct cop_sparse){.out_c = out_c, .in_c = in_c, .taps = taps, .groups = groups};
	if (kept > INT_MAX / 2)
		return cop_fail(err, COP_EFAILED, "%lld surviving weights in one layer are too many to list",
				(long long)kept);
	s->count = (int)kept;
	int rc = cop_alloc(&s->out_begin, (size_t)out_c + 1, sizeof(int), "a sparse layer", err);
	if (!rc)
		rc = cop_alloc(&s->in_begin, (size_t)in_c + 1, sizeof(int), "a sparse layer", err);
	if (!rc)
		rc = cop_alloc(&s->out, (size_t)kept + 1, sizeof(*s->out), "a sparse layer", err);
	if (!rc)
		rc = cop_alloc(&s->in, (size_t)kept + 1, sizeof(*s->in), "a sparse layer", err);
	if (rc) {
		cop_sparse_release(s);
		return rc;
	}
	fill_out(s, mask);
	fill_in(s);
	find_runs(s);
	return 0;
}

void cop_sparse_release(struct cop_sparse *s)
{
	free(s->out_begin);
	free(s->in_begin);
	free(s->out);
	free(s->in);
	free(s->read.run);
	free(s->written.run);
	*s = (struct cop_sparse){0};
}

/* The first row before which at least `share` of the work lies. */
static int row_at(const int *begin, int rows, int row_cost, double share)
{
	int low = 0, high = rows;
	while (low < high) {
		int middle = low + (high - low) / 2;
		if ((double)(begin[middle] - begin[0]) + (double)middle * row_cost < share)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct cop_range cop_sparse_part(const int *begin, int rows, int row_cost, int parts, int k)
{
	double all = (double)(begin[rows] - begin[0]) + (double)rows * row_cost;
	int from = k == 0 ? 0 : row_at(begin, rows, row_cost, all * k / parts);
	int to = k == parts - 1 ? rows : row_at(begin, rows, row_cost, all * (k + 1) / parts);
	return (struct cop_range){from, to > from ? to : from};
}
