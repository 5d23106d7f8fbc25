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

/* Cells that follow wanted cells, as lists in the order of their numbers; -1 ends one. */
struct followers {
	int64_t *first, *next; /* (cells): the first that follows a cell; the next that follows the same one */
};

static void list_followers(const struct cop_run *run, const bool *wanted, struct followers *f)
{
	f->first = cop_xcalloc(run->ncells, sizeof(*f->first));
	f->next = cop_xcalloc(run->ncells, sizeof(*f->next));
	for (size_t i = 0; i < run->ncells; i++)
		f->first[i] = f->next[i] = -1;
	for (size_t i = run->ncells; i-- > 0;) {
		int64_t before = cop_cell_before(run, (int64_t)i);
		if (!wanted[i] || before < 0 || !wanted[before])
			continue;
		f->next[i] = f->first[before];
		f->first[before] = (int64_t)i;
	}
}

/* A chain: its cells, each behind the one that it follows, which is the cell after[k] of the chain. */
struct chain {
	int64_t *cell;
	int *after;
	size_t n;
};

/* One follower is right behind its cell, so that a round comes as soon as it can; c holds as many as there are cells.
 */
static void walk_chain(const struct followers *f, int64_t root, struct chain *c)
{
	c->cell[0] = root;
	c->after[0] = -1;
	c->n = 1;
	for (int at = 0; at >= 0;) {
		int64_t next = f->first[c->cell[at]];
		/* those behind this cell, or else behind what it follows; what is listed already is passed over */
		for (size_t k = (size_t)at + 1; k < c->n && next >= 0; k++)
			if (c->after[k] == at)
				next = f->next[c->cell[k]];
		if (next < 0) {
			at = c->after[at];
			continue;
		}
		c->cell[c->n] = next;
		c->after[c->n] = at;
		at = (int)c->n++;
	}
}

static size_t find_series(struct building *b, const struct cop_wait *wait, const struct chain *c)
{
	for (size_t k = 0; k < b->n; k++)
		if (b->series[k].arrays == c->n && same_wait(&b->series[k].wait, wait) &&
		    memcmp(b->series[k].after, c->after, c->n * sizeof(*c->after)) == 0)
			return k;
	size_t cap = b->cap;
	b->series = cop_grow(b->series, &b->cap, b->n + 1, sizeof(*b->series));
	b->room = cop_grow(b->room, &cap, b->n + 1, sizeof(*b->room));
	b->series[b->n] = (struct cop_series){.wait = *wait, .arrays = c->n};
	b->series[b->n].after = cop_xcalloc(c->n, sizeof(*c->after));
	memcpy(b->series[b->n].after, c->after, c->n * sizeof(*c->after));
	b->room[b->n] = 0;
	return b->n++;
}

/* Chains are kept one after another here; cop_series_make turns them round. */
static void add_chain(struct building *b, const struct chain *c, const struct cop_wait *wait)
{
	size_t k = find_series(b, wait, c);
	struct cop_series *s = &b->series[k];
	if (s->chains == b->room[k]) {
		size_t room = b->room[k] ? 2 * b->room[k] : 64;
		int64_t *cell = cop_xcalloc(room * c->n, sizeof(*cell));
		if (s->chains)
			memcpy(cell, s->cell, s->chains * c->n * sizeof(*cell));
		free(s->cell);
		s->cell = cell;
		b->room[k] = room;
	}
	memcpy(s->cell + s->chains++ * c->n, c->cell, c->n * sizeof(*c->cell));
}

static void turn_round(struct cop_series *s)
{
	int64_t *turned = cop_xcalloc(s->chains * s->arrays, sizeof(*turned));
	for (size_t c = 0; c < s->chains; c++)
		for (size_t r = 0; r < s->arrays; r++)
			turned[r * s->chains + c] = s->cell[c * s->arrays + r];
	free(s->cell);
	s->cell = turned;
}

void cop_series_make(const struct cop_run *run, const bool *wanted, const struct cop_wait *wait, struct cop_series **s,
		     size_t *n)
{
	struct building b = {0};
	struct followers f;
	struct chain c = {.cell = cop_xcalloc(run->ncells, sizeof(*c.cell)),
			  .after = cop_xcalloc(run->ncells, sizeof(*c.after))};
	list_followers(run, wanted, &f);
	for (size_t i = 0; i < run->ncells; i++) {
		int64_t before = cop_cell_before(run, (int64_t)i);
		if (!wanted[i] || (before >= 0 && wanted[before]))
			continue;
		walk_chain(&f, (int64_t)i, &c);
		add_chain(&b, &c, &wait[i]);
	}
	for (size_t k = 0; k < b.n; k++)
		turn_round(&b.series[k]);
	free(f.first);
	free(f.next);
	free(c.cell);
	free(c.after);
	free(b.room);
	*s = b.series;
	*n = b.n;
}

void cop_series_free(struct cop_series *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(s[i].after);
		free(s[i].cell);
	}
	free(s);
}
