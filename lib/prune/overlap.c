/* What the masks of a set share; see overlap.h. */
#include "prune/overlap.h"

#include "base/clones.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum {
	BITS = 64,
	STRIP = 512 /* words of each mask that are compared before the next ones are: 4 KiB */
};

static void start(struct cop_mask_set *s, const struct cop_layout *l)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->tensor[i].prunable)
			cop_layout_add(&s->layout, l->tensor[i].name, l->tensor[i].rank, l->tensor[i].dim, true);
	s->word = cop_xcalloc(s->layout.n + 1, sizeof(*s->word));
	for (size_t i = 0; i < s->layout.n; i++)
		s->word[i + 1] = s->word[i] + (s->layout.tensor[i].count + BITS - 1) / BITS;
}

static int check_same(const struct cop_mask_set *s, const struct cop_layout *l, struct cop_err *err)
{
	size_t prunable = 0;
	for (size_t i = 0; i < l->n; i++) {
		const struct cop_tensor *t = &l->tensor[i], *known = cop_layout_find(&s->layout, t->name);
		if (!t->prunable)
			continue;
		prunable++;
		if (!known || known->count != t->count)
			return cop_fail(err, COP_EINPUT, "'%s' is not the same in both networks", t->name);
	}
	if (prunable != s->layout.n)
		return cop_fail(err, COP_EINPUT, "'%zu' tensors are not the %zu of the other network", prunable,
				s->layout.n);
	return 0;
}

/* bits: ((n + 63) / 64), zero before. Not by threads: it is little beside reading the mask. */
static void pack(const uint8_t *mask, size_t n, uint64_t *bits)
{
	for (size_t w = 0; w < (n + BITS - 1) / BITS; w++) {
		size_t end = n - w * BITS < BITS ? n - w * BITS : BITS;
		for (size_t i = 0; i < end; i++)
			bits[w] |= (uint64_t)(mask[w * BITS + i] != 0) << i;
	}
}

int cop_mask_set_add(struct cop_mask_set *s, const struct cop_layout *l, const uint8_t *mask, struct cop_err *err)
{
	if (!s->word)
		start(s, l);
	uint64_t *bits;
	int rc = check_same(s, l, err);
	if (!rc)
		rc = cop_alloc(&bits, s->word[s->layout.n], sizeof(*bits), "a mask's bits", err);
	if (rc)
		return rc;
	for (size_t i = 0; i < s->layout.n; i++) {
		const struct cop_tensor *t = cop_layout_find(l, s->layout.tensor[i].name);
		pack(mask + t->offset, t->count, bits + s->word[i]);
	}
	s->bits = cop_grow(s->bits, &s->cap, s->n + 1, sizeof(*s->bits));
	s->bits[s->n++] = bits;
	return 0;
}

void cop_mask_set_release(struct cop_mask_set *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->bits[i]);
	free(s->bits);
	free(s->word);
	cop_layout_release(&s->layout);
	*s = (struct cop_mask_set){0};
}

size_t cop_mask_set_find_last(const struct cop_mask_set *s)
{
	size_t i = 0, bytes = s->word[s->layout.n] * sizeof(**s->bits);
	while (i + 1 < s->n && memcmp(s->bits[i], s->bits[s->n - 1], bytes) != 0)
		i++;
	return i;
}

void cop_mask_set_drop(struct cop_mask_set *s)
{
	free(s->bits[--s->n]);
}

/* Adds to both[j], for j = 0..i, the weights that masks i and j share among `words` words from `at`. */
COP_CLONES static void count_row(uint64_t *const *bits, size_t i, size_t at, size_t words, uint64_t *both)
{
	const uint64_t *a = bits[i] + at;
	for (size_t j = 0; j <= i; j++) {
		const uint64_t *b = bits[j] + at;
		uint64_t n = 0;
		for (size_t w = 0; w < words; w++)
			n += (uint64_t)__builtin_popcountll(a[w] & b[w]);
		both[j] += n;
	}
}

/* Strip by strip, so that what all pairs read stays near the processor. */
void cop_mask_set_overlaps(const struct cop_mask_set *s, size_t tensor, uint64_t *both)
{
	size_t n = s->n, tensors = s->layout.n;
	if (n == 0)
		return;
	size_t from = tensor < tensors ? s->word[tensor] : 0, to = s->word[tensor < tensors ? tensor + 1 : tensors];
	memset(both, 0, n * n * sizeof(*both));
	/* each thread has the same rows in all strips, so none waits for another */
#pragma omp parallel
	for (size_t at = from; at < to; at += STRIP) {
		size_t words = to - at < STRIP ? to - at : STRIP;
#pragma omp for schedule(static, 1) nowait
		for (size_t i = 0; i < n; i++)
			count_row(s->bits, i, at, words, both + i * n);
	}
	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++)
			both[i * n + j] = both[j * n + i];
}

struct cop_overlap cop_mask_set_pair(const uint64_t *both, size_t n, size_t i, size_t j, size_t total)
{
	return (struct cop_overlap){
		.total = total, .a = both[i * n + i], .b = both[j * n + j], .both = both[i * n + j]};
}
