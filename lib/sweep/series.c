/* Cells that are submitted together; see series.h. */
#include "sweep/series.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

int64_t cop_cell_before(const struct cop_run *run, int64_t index)
{
	int64_t before = run->cell[index].before;
	return before >= 0 && run->cell[before].same_as >= 0 ? run->cell[before].same_as : before;
}

struct building {
	struct cop_series *series;
	size_t n, cap;
	size_t *room; /* of each series, in chains */
};

static bool same_wait(const struct cop_wait *a, const struct cop_wait *b)
{
	return a->needed == b->needed && (!a->needed || (a->dense == b->dense && strcmp(a->job, b->job) == 0));
}

static size_t find_series(struct building *b, const struct cop_wait *wait, size_t rounds)
{
	for (size_t k = 0; k < b->n; k++)
		if (b->series[k].rounds == rounds && same_wait(&b->series[k].wait, wait))
			return k;
	size_t cap = b->cap;
	b->series = cop_grow(b->series, &b->cap, b->n + 1, sizeof(*b->series));
	b->room = cop_grow(b->room, &cap, b->n + 1, sizeof(*b->room));
	b->series[b->n] = (struct cop_series){.wait = *wait, .rounds = rounds};
	b->room[b->n] = 0;
	return b->n++;
}

/* Chains are kept one after another here; cop_series_make turns them round. */
static void add_chain(struct building *b, const int64_t *chain, size_t rounds, const struct cop_wait *wait)
{
	size_t k = find_series(b, wait, rounds);
	struct cop_series *s = &b->series[k];
	if (s->chains == b->room[k]) {
		size_t room = b->room[k] ? 2 * b->room[k] : 64;
		int64_t *cell = cop_xcalloc(room * rounds, sizeof(*cell));
		if (s->chains)
			memcpy(cell, s->cell, s->chains * rounds * sizeof(*cell));
		free(s->cell);
		s->cell = cell;
		b->room[k] = room;
	}
	memcpy(s->cell + s->chains++ * rounds, chain, rounds * sizeof(*chain));
}

static void turn_round(struct cop_series *s)
{
	int64_t *turned = cop_xcalloc(s->chains * s->rounds, sizeof(*turned));
	for (size_t c = 0; c < s->chains; c++)
		for (size_t r = 0; r < s->rounds; r++)
			turned[r * s->chains + c] = s->cell[c * s->rounds + r];
	free(s->cell);
	s->cell = turned;
}

void cop_series_make(const struct cop_run *run, const bool *wanted, const struct cop_wait *wait, struct cop_series **s,
		     size_t *n)
{
	struct building b = {0};
	size_t most = (size_t)run->experiment.sweep.rounds;
	int64_t *next = cop_xcalloc(run->ncells, sizeof(*next)), *chain = cop_xcalloc(most, sizeof(*chain));
	for (size_t i = 0; i < run->ncells; i++)
		next[i] = -1;
	for (size_t i = 0; i < run->ncells; i++) {
		int64_t before = cop_cell_before(run, (int64_t)i);
		/* of several that follow the same cell (copies among them) the first is the chain's next */
		if (wanted[i] && before >= 0 && wanted[before] && next[before] < 0)
			next[before] = (int64_t)i;
	}
	for (size_t i = 0; i < run->ncells; i++) {
		int64_t before = cop_cell_before(run, (int64_t)i);
		if (!wanted[i] || (before >= 0 && wanted[before]))
			continue;
		size_t rounds = 0;
		for (int64_t c = (int64_t)i; c >= 0 && rounds < most; c = next[c])
			chain[rounds++] = c;
		add_chain(&b, chain, rounds, &wait[i]);
	}
	for (size_t k = 0; k < b.n; k++)
		turn_round(&b.series[k]);
	free(next);
	free(chain);
	free(b.room);
	*s = b.series;
	*n = b.n;
}

void cop_series_free(struct cop_series *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(s[i].cell);
	free(s);
}
