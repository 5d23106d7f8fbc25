/* Layouts; see layout.h. */
#include "base/layout.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cop_layout_add(struct cop_layout *l, const char *name, int rank, const int64_t *dim, bool prunable)
{
	if (rank < 0 || rank > COP_RANK_MAX || strlen(name) >= COP_TENSOR_NAME)
		COP_BUG("a tensor's rank or name is too long");
	l->tensor = cop_grow(l->tensor, &l->cap, l->n + 1, sizeof(*l->tensor));
	struct cop_tensor *t = &l->tensor[l->n++];
	*t = (struct cop_tensor){.rank = rank, .count = 1, .offset = l->total, .prunable = prunable};
	snprintf(t->name, sizeof(t->name), "%s", name);
	for (int i = 0; i < rank; i++) {
		t->dim[i] = dim[i];
		t->count *= (size_t)dim[i];
	}
	l->total += (t->count + 15) & ~(size_t)15;
}

void cop_layout_copy(struct cop_layout *to, const struct cop_layout *from)
{
	*to = *from;
	to->cap = from->n;
	to->tensor = cop_xrealloc(NULL, from->n, sizeof(*to->tensor));
	if (from->n)
		memcpy(to->tensor, from->tensor, from->n * sizeof(*to->tensor));
}

void cop_layout_release(struct cop_layout *l)
{
	free(l->tensor);
	*l = (struct cop_layout){0};
}

const struct cop_tensor *cop_layout_find(const struct cop_layout *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->tensor[i].name, name) == 0)
			return &l->tensor[i];
	return NULL;
}

size_t cop_layout_count(const struct cop_layout *l, bool prunable_only)
{
	size_t n = 0;
	for (size_t i = 0; i < l->n; i++)
		if (l->tensor[i].prunable || !prunable_only)
			n += l->tensor[i].count;
	return n;
}

bool cop_layout_same(const struct cop_layout *a, const struct cop_layout *b)
{
	if (a->n != b->n || a->total != b->total)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		const struct cop_tensor *s = &a->tensor[i], *t = &b->tensor[i];
		if (strcmp(s->name, t->name) != 0 || s->rank != t->rank || s->offset != t->offset ||
		    memcmp(s->dim, t->dim, sizeof(s->dim)) != 0)
			return false;
	}
	return true;
}

char *cop_shape_text(const struct cop_tensor *t, char *buf, size_t size)
{
	size_t n = 0;
	buf[0] = '\0';
	for (int i = 0; i < t->rank && n < size; i++)
		n += (size_t)snprintf(buf + n, size - n, "%s%" PRId64, i ? "x" : "", t->dim[i]);
	return buf;
}
