/* See arena.h. */
#include "nn/arena.h"

#include "base/mem.h"

#include <stdbool.h>
#include <stdlib.h>

static bool meet(const struct cop_life *a, const struct cop_life *b)
{
	return a->from <= b->to && b->from <= a->to;
}

static int by_size(const void *a, const void *b)
{
	const struct cop_life *x = *(struct cop_life *const *)a, *y = *(struct cop_life *const *)b;
	if (x->size != y->size)
		return x->size < y->size ? 1 : -1;
	return (x > y) - (x < y);
}

/* The lowest place beside those that are placed already and live at the same time. */
static size_t lowest(struct cop_life *const *placed, size_t n, const struct cop_life *b)
{
	size_t at = 0;
	for (bool moved = true; moved;) {
		moved = false;
		for (size_t i = 0; i < n; i++) {
			const struct cop_life *o = placed[i];
			if (meet(o, b) && at < o->offset + o->size && o->offset < at + b->size) {
				at = (o->offset + o->size + 15) & ~(size_t)15;
				moved = true;
			}
		}
	}
	return at;
}

size_t cop_arena_place(struct cop_life *b, size_t n)
{
	struct cop_life **order = cop_xcalloc(n + 1, sizeof(struct cop_life *));
	size_t total = 0, placed = 0;
	for (size_t i = 0; i < n; i++)
		order[i] = &b[i];
	qsort(order, n, sizeof(struct cop_life *), by_size);
	for (size_t i = 0; i < n; i++) {
		struct cop_life *o = order[i];
		if (o->from > o->to || o->size == 0) {
			o->offset = 0;
			continue;
		}
		o->offset = lowest(order, placed, o);
		order[placed++] = o;
		total = o->offset + o->size > total ? o->offset + o->size : total;
	}
	free(order);
	return total;
}
