/* Radix selection; see select.h. */
#include "prune/select.h"

#include "base/mem.h"
#include "prune/tally.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

enum {
	THREADS_MAX = 16,         /* memory is the limit long before */
	COUNTER_BYTES = 24 << 20, /* for all threads' counters of a pass */
	DIGIT_MAX = 16,
	DIGIT_LEAST = 4,
	PIECE = 1 << 30 /* elements counted at once: fits a counter */
};

/* A rank that is asked for. */
struct target {
	uint64_t rank, below;
	uint64_t prefix; /* the key's highest bits; all of them where done */
	size_t slot;     /* the prefix's place among the pass's */
	bool done;
};

struct worker {
	struct cop_survey survey;
	void *key, *spare;
	uint32_t *hist;
};

struct cop_select {
	enum cop_float type;
	const struct cop_kernels *kernels;
	struct worker *worker;
	int threads;
	bool surveyed;
	uint64_t count, fed; /* elements in all; elements of this pass so far */

	double sum, carry; /* Neumaier's: added run by run, in order */
	double *run_sum;
	size_t run_cap;

	struct cop_level level;
	size_t slots, counters; /* prefixes of the pass; counters in use */
	uint64_t *total;        /* (slots, 1 << digit) */
	uint64_t pending;       /* elements that are in the workers' counters, not in `total` */
	uint64_t *prefix;
	uint32_t *first;
	uint8_t *wanted;

	struct target *target;
	size_t ntargets;
};

static int alloc_worker(struct worker *w, size_t width, struct cop_err *err)
{
	w->survey.min = UINT64_MAX;
	int rc = cop_alloc(&w->key, COP_RUN, width, "a run of keys", err);
	if (!rc)
		rc = cop_alloc(&w->spare, COP_RUN + 1, width, "a run of keys", err);
	return rc;
}

/* New counters, all zero; `copies` of them a thread. */
static int alloc_counters(struct cop_select *s, size_t counters, size_t copies, struct cop_err *err)
{
	free(s->total);
	s->total = NULL;
	s->counters = counters;
	int rc = cop_alloc(&s->total, counters, sizeof(*s->total), "a histogram", err);
	for (int t = 0; !rc && t < s->threads; t++) {
		free(s->worker[t].hist);
		s->worker[t].hist = NULL;
		rc = cop_alloc(&s->worker[t].hist, counters * copies, sizeof(uint32_t), "a histogram", err);
	}
	return rc;
}

int cop_select_new(struct cop_select **out, enum cop_float type, int threads, struct cop_err *err)
{
	struct cop_select *s = cop_xcalloc(1, sizeof(*s));
	s->type = type;
	s->kernels = cop_kernels_for(type);
	s->threads = threads > 0 ? threads : omp_get_max_threads();
	s->threads = s->threads < THREADS_MAX ? s->threads : THREADS_MAX;
	s->level = (struct cop_level){.left = s->kernels->bits, .digit = COP_TOP_BITS};
	s->slots = 1;
	s->worker = cop_xcalloc((size_t)s->threads, sizeof(*s->worker));
	int rc = alloc_counters(s, COP_TOP, COP_TOP_COPIES, err);
	for (int t = 0; !rc && t < s->threads; t++)
		rc = alloc_worker(&s->worker[t], s->kernels->width, err);
	if (rc) {
		cop_select_free(s);
		return rc;
	}
	*out = s;
	return 0;
}

void cop_select_free(struct cop_select *s)
{
	if (!s)
		return;
	for (int t = 0; t < s->threads; t++) {
		free(s->worker[t].key);
		free(s->worker[t].spare);
		free(s->worker[t].hist);
	}
	free(s->worker);
	free(s->run_sum);
	free(s->total);
	free(s->prefix);
	free(s->first);
	free(s->wanted);
	free(s->target);
	free(s);
}

/* Moves what the workers counted to `total`. */
static void flush(struct cop_select *s)
{
	size_t copies = s->surveyed ? 1 : COP_TOP_COPIES;
	for (int t = 0; t < s->threads; t++) {
		uint32_t *hist = s->worker[t].hist;
		for (size_t c = 0; c < copies; c++)
			for (size_t i = 0; i < s->counters; i++)
				s->total[i] += hist[c * s->counters + i];
		memset(hist, 0, s->counters * copies * sizeof(*hist));
	}
	s->pending = 0;
}

static void count_run(struct cop_select *s, struct worker *w, const char *at, enum cop_float type, size_t n,
		      double *sum)
{
	const struct cop_kernels *k = s->kernels;
	k->load(at, type, w->key, n);
	if (s->surveyed) {
		k->count_level(w->key, n, &s->level, w->spare, w->hist);
		return;
	}
	*sum = k->survey(w->key, n, &w->survey);
	k->count_top(w->key, n, w->hist);
}

static void add_sum(struct cop_select *s, double v)
{
	double sum = s->sum + v;
	s->carry += s->sum >= v ? (s->sum - sum) + v : (v - sum) + s->sum;
	s->sum = sum;
}

static int find_nan(const struct cop_select *s, const struct cop_block *b, struct cop_err *err)
{
	const struct cop_kernels *k = s->kernels;
	const char *data = b->data;
	char place[256];
	for (size_t i = 0; i < b->n; i++) {
		uint64_t wide = 0;
		uint32_t narrow = 0;
		void *key = k->width == sizeof(wide) ? (void *)&wide : (void *)&narrow;
		k->load(data + i * (size_t)b->type, b->type, key, 1);
		if ((k->width == sizeof(wide) ? wide : narrow) > k->largest)
			return cop_fail(err, COP_EINPUT, "'%s' holds NaN at %s", b->name,
					cop_block_place(b, i, place, sizeof(place)));
	}
	return cop_fail(err, COP_EFAILED, "'%s' changed while it was read", b->name);
}

static int count_piece(struct cop_select *s, const char *data, enum cop_float type, size_t n, struct cop_err *err)
{
	size_t runs = (n + COP_RUN - 1) / COP_RUN;
	int threads = runs / 4 < (size_t)s->threads ? (int)(runs / 4) + 1 : s->threads;
	threads = threads < s->threads ? threads : s->threads;
	if (runs > s->run_cap) {
		free(s->run_sum);
		s->run_sum = NULL;
		s->run_cap = 0;
		int rc = cop_alloc(&s->run_sum, runs, sizeof(*s->run_sum), "sums", err);
		if (rc)
			return rc;
		s->run_cap = runs;
	}
	if (s->pending + n > UINT32_MAX)
		flush(s);
	s->pending += n;
#pragma omp parallel for schedule(dynamic, 16) num_threads(threads)
	for (size_t r = 0; r < runs; r++) {
		size_t from = r * COP_RUN, size = n - from < COP_RUN ? n - from : COP_RUN;
		count_run(s, &s->worker[omp_get_thread_num()], data + from * (size_t)type, type, size, &s->run_sum[r]);
	}
	for (size_t r = 0; !s->surveyed && r < runs; r++)
		add_sum(s, s->run_sum[r]);
	return 0;
}

int cop_select_feed(struct cop_select *s, const struct cop_block *b, struct cop_err *err)
{
	if (b->type > s->type)
		COP_BUG("a block is wider than the selection");
	const char *data = b->data;
	for (size_t from = 0; from < b->n; from += PIECE) {
		size_t n = b->n - from < PIECE ? b->n - from : PIECE;
		int rc = count_piece(s, data + from * (size_t)b->type, b->type, n, err);
		if (rc)
			return rc;
	}
	s->fed += b->n;
	for (int t = 0; !s->surveyed && t < s->threads; t++)
		if (s->worker[t].survey.max > s->kernels->largest)
			return find_nan(s, b, err);
	return 0;
}

static struct cop_survey survey_of(const struct cop_select *s)
{
	struct cop_survey all = {.min = UINT64_MAX};
	for (int t = 0; t < s->threads; t++) {
		const struct cop_survey *w = &s->worker[t].survey;
		all.min = w->min < all.min ? w->min : all.min;
		all.max = w->max > all.max ? w->max : all.max;
		all.zeros += w->zeros;
	}
	return all;
}

/* Each open target's next digit. Targets ascend, so those of one slot are neighbours and share the walk. */
static int descend(struct cop_select *s, struct cop_err *err)
{
	unsigned digit_bits = s->level.digit;
	size_t size = (size_t)1 << digit_bits, slot = SIZE_MAX, digit = 0;
	uint64_t below = 0;
	for (size_t i = 0; i < s->ntargets; i++) {
		struct target *t = &s->target[i];
		if (t->done)
			continue;
		if (t->slot != slot) {
			slot = t->slot;
			digit = 0;
			below = 0;
		}
		const uint64_t *hist = s->total + slot * size;
		while (digit < size && below + hist[digit] <= t->rank - t->below)
			below += hist[digit++];
		if (digit == size)
			return cop_fail(err, COP_EFAILED, "the data changed between two readings");
		t->prefix = t->prefix << digit_bits | digit;
		t->below += below;
	}
	return 0;
}

/* As many bits as spare a pass and leave the counters within their memory, spread evenly over the passes to come. */
static unsigned choose_digit(const struct cop_select *s)
{
	size_t room = COUNTER_BYTES / ((size_t)s->threads * sizeof(uint32_t) + sizeof(uint64_t));
	for (unsigned passes = 1;; passes++) {
		unsigned digit = (s->level.left + passes - 1) / passes;
		if (digit <= DIGIT_LEAST || (digit <= DIGIT_MAX && s->slots << digit <= room))
			return digit;
	}
}

/* The tables that tell a key's slot. */
static void index_prefixes(struct cop_select *s)
{
	unsigned beyond = s->kernels->bits - s->level.left - COP_TOP_BITS; /* bits of a prefix below its first digit */
	memset(s->wanted, 0, COP_TOP);
	size_t at = 0;
	for (size_t top = 0; top < COP_TOP; top++) {
		s->first[top] = (uint32_t)at;
		for (; at < s->slots && s->prefix[at] >> beyond == top; at++)
			s->wanted[top] = 1;
	}
	s->first[COP_TOP] = (uint32_t)at;
	s->level.prefix = s->prefix;
	s->level.first = s->first;
	s->level.wanted = s->wanted;
}

/* Lays out the next pass over what is still open; a target whose key is complete is done. */
static int prepare_level(struct cop_select *s, struct cop_err *err)
{
	s->slots = 0;
	for (size_t i = 0; i < s->ntargets; i++) {
		struct target *t = &s->target[i];
		t->done = t->done || s->level.left == 0;
		if (t->done)
			continue;
		if (s->slots == 0 || s->prefix[s->slots - 1] != t->prefix)
			s->prefix[s->slots++] = t->prefix;
		t->slot = s->slots - 1;
	}
	if (s->slots == 0)
		return 0;
	index_prefixes(s);
	s->level.digit = choose_digit(s);
	return alloc_counters(s, s->slots << s->level.digit, 1, err);
}

int cop_select_end(struct cop_select *s, struct cop_err *err)
{
	flush(s);
	uint64_t fed = s->fed;
	s->fed = 0;
	if (!s->surveyed) {
		s->surveyed = true;
		s->count = fed;
		return 0;
	}
	if (fed != s->count)
		return cop_fail(err, COP_EFAILED, "the data changed between two readings");
	int rc = descend(s, err);
	s->level.left -= s->level.digit;
	return rc ? rc : prepare_level(s, err);
}

struct cop_summary cop_select_summary(const struct cop_select *s)
{
	struct cop_survey all = survey_of(s);
	if (s->count == 0)
		return (struct cop_summary){.min = NAN, .max = NAN, .mean = NAN};
	struct cop_summary r = {.count = s->count, .zeros = all.zeros};
	r.min = s->kernels->value(all.min);
	r.max = s->kernels->value(all.max);
	r.mean = isinf(r.max) || isinf(s->sum) ? INFINITY : (s->sum + s->carry) / (double)s->count;
	return r;
}

int cop_select_want(struct cop_select *s, const uint64_t *rank, size_t n, struct cop_err *err)
{
	struct cop_survey all = survey_of(s);
	int rc = cop_alloc(&s->target, n, sizeof(*s->target), "ranks", err);
	if (!rc)
		rc = cop_alloc(&s->prefix, n, sizeof(*s->prefix), "ranks", err);
	if (!rc)
		rc = cop_alloc(&s->first, COP_TOP + 1, sizeof(*s->first), "ranks", err);
	if (!rc)
		rc = cop_alloc(&s->wanted, COP_TOP, sizeof(*s->wanted), "ranks", err);
	if (rc)
		return rc;
	s->ntargets = n;
	for (size_t i = 0; i < n; i++) {
		struct target *t = &s->target[i];
		if (rank[i] >= s->count || (i && rank[i] < rank[i - 1]))
			COP_BUG("a rank out of range or order");
		/* what the survey tells saves passes: zeros above all, half a pruned network */
		bool smallest = rank[i] == 0 || rank[i] < all.zeros || all.min == all.max;
		*t = (struct target){.rank = rank[i], .done = smallest, .prefix = smallest ? all.min : 0};
	}
	rc = descend(s, err);
	s->level.left -= s->level.digit;
	return rc ? rc : prepare_level(s, err);
}

bool cop_select_open(const struct cop_select *s)
{
	return s->slots > 0;
}

double cop_select_value(const struct cop_select *s, size_t i, uint64_t *below)
{
	if (below)
		*below = s->target[i].below;
	return s->kernels->value(s->target[i].prefix);
}
