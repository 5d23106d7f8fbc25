/* Where the surviving weights of a layer stand; see sparse.h. */
#include "compute/sparse.h"

#include "base/mem.h"

#include <limits.h>
#include <stdlib.h>

/* What a list is made from. NULL: all channels as they are. */
struct source {
	const uint8_t *mask;
	const struct cop_channels *rows, *columns;
	int in_g; /* inputs of a row of the mask */
};

static int channel_of(const struct cop_channels *some, int i)
{
	return some && some->channel ? some->channel[i] : i;
}

/* The r-th row's survivors into `out`, NULL: they are only counted. Returns how many. */
static int64_t take_row(const struct cop_sparse *s, const struct source *from, int r, int k, struct cop_survivor *out)
{
	int row = channel_of(from->rows, r), columns = from->columns ? from->columns->n : from->in_g;
	const uint8_t *mask = from->mask + (size_t)row * (size_t)from->in_g * (size_t)s->taps;
	int first = r / (s->groups > 1 ? s->out_c / s->groups : s->out_c + s->watched) * from->in_g;
	int64_t n = 0;
	for (int c = 0; c < columns; c++) {
		int column = channel_of(from->columns, c);
		for (int t = 0; t < s->taps; t++) {
			if (!mask[(size_t)column * (size_t)s->taps + (size_t)t])
				continue;
			if (out)
				out[k + n] = (struct cop_survivor){.tap = t, .row = first + c, .at = k + (int)n};
			n++;
		}
	}
	return n;
}

static int64_t count_kept(const struct cop_sparse *s, const struct source *from)
{
	int64_t kept = 0;
	for (int r = 0; r < s->out_c + s->watched; r++)
		kept += take_row(s, from, r, 0, NULL);
	return kept;
}

static void fill_out(struct cop_sparse *s, const struct source *from)
{
	int k = 0;
	for (int r = 0; r < s->out_c + s->watched; r++) {
		s->out_begin[r] = k;
		k += (int)take_row(s, from, r, k, s->out);
	}
	s->out_begin[s->out_c + s->watched] = k;
	s->count = s->out_begin[s->out_c];
}

/* The same by input channel, in the order of outputs; nothing goes back from rows that are only watched. */
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
	for (int k = 0; k < s->out_begin[s->out_c + s->watched]; k++)
		wanted[s->out[k].row] = true;
	s->read = runs_of(wanted, s->in_c);
	for (int o = 0; o < out_g; o++) {
		wanted[o] = false;
		for (int g = 0; g < s->groups; g++)
			wanted[o] = wanted[o] || s->out_begin[g * out_g + o] < s->out_begin[g * out_g + o + 1];
	}
	s->written = runs_of(wanted, out_g);
	free(wanted);
}

static int make(struct cop_sparse *s, const struct source *from, struct cop_err *err)
{
	int64_t kept = count_kept(s, from);
	if (kept > INT_MAX / 2)
		return cop_fail(err, COP_EFAILED, "%lld surviving weights in one layer are too many to list",
				(long long)kept);
	int rc = cop_alloc(&s->out_begin, (size_t)(s->out_c + s->watched) + 1, sizeof(int), "a sparse layer", err);
	if (!rc)
		rc = cop_alloc(&s->in_begin, (size_t)s->in_c + 1, sizeof(int), "a sparse layer", err);
	if (!rc)
		rc = cop_alloc(&s->out, (size_t)kept + 1, sizeof(*s->out), "a sparse layer", err);
	if (!rc)
		rc = cop_alloc(&s->in, (size_t)kept + 1, sizeof(*s->in), "a sparse layer", err);
	if (rc) {
		cop_sparse_release(s);
		return rc;
	}
	fill_out(s, from);
	fill_in(s);
	find_runs(s);
	return 0;
}

int cop_sparse_init(struct cop_sparse *s, int out_c, int in_c, int taps, int groups, const uint8_t *mask,
		    struct cop_err *err)
{
	struct source from = {.mask = mask, .in_g = in_c / groups};
	*s = (struct cop_sparse){.out_c = out_c, .in_c = in_c, .taps = taps, .groups = groups};
	return make(s, &from, err);
}

int cop_sparse_select(struct cop_sparse *s, const struct cop_channels *rows, int watched,
		      const struct cop_channels *columns, int in_c, int taps, const uint8_t *mask, struct cop_err *err)
{
	struct source from = {mask, rows, columns, in_c};
	*s = (struct cop_sparse){
		.out_c = rows->n - watched, .watched = watched, .in_c = columns->n, .taps = taps, .groups = 1};
	return make(s, &from, err);
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
