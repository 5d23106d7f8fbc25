/* Masks of chance; see allocation.h. */
#include "base/err.h"
#include "base/rng.h"
#include "prune/allocation.h"
#include "prune/mask.h"

/* Which mask is drawn: a counter's `item`. */
enum { CHANCE_SHUFFLE, CHANCE_RANDOM };

/*
 * Selection sampling (Fan, Muller & Rezucha 1962; Knuth's algorithm S): each of the `of` weights to come is one of the
 * `kept` with the chance kept/of. Integers alone decide.
 */
static void draw(struct cop_stream *s, uint8_t *mask, size_t n, size_t *kept, size_t *of)
{
	for (size_t i = 0; i < n; i++) {
		mask[i] = cop_stream_below(s, (uint32_t)(*of)--) < *kept;
		*kept -= mask[i];
	}
}

void cop_mask_shuffle(const struct cop_layout *l, uint8_t *mask, uint64_t seed)
{
	struct cop_stream s;
	uint32_t number = 0;
	for (size_t i = 0; i < l->n; i++) {
		const struct cop_tensor *t = &l->tensor[i];
		if (!t->prunable)
			continue;
		size_t kept = cop_mask_kept(t, mask), of = t->count;
		if (of > UINT32_MAX)
			COP_BUG("a tensor is too large to be shuffled");
		cop_stream_init(&s, seed, COP_PURPOSE_MASK, number++, CHANCE_SHUFFLE);
		draw(&s, mask + t->offset, t->count, &kept, &of);
	}
}

static bool takes_part(const struct cop_layout *l, const struct cop_allocation *a, size_t i)
{
	return l->tensor[i].prunable && (!a || a->group[i] >= 0);
}

void cop_mask_random(const struct cop_layout *l, const struct cop_allocation *a, uint8_t *mask, uint64_t seed)
{
	struct cop_stream s;
	size_t kept = 0, of = 0;
	for (size_t i = 0; i < l->n; i++)
		if (takes_part(l, a, i)) {
			kept += cop_mask_kept(&l->tensor[i], mask);
			of += l->tensor[i].count;
		}
	if (of > UINT32_MAX)
		COP_BUG("a network is too large for a mask of chance");
	cop_stream_init(&s, seed, COP_PURPOSE_MASK, 0, CHANCE_RANDOM);
	for (size_t i = 0; i < l->n; i++)
		if (takes_part(l, a, i))
			draw(&s, mask + l->tensor[i].offset, l->tensor[i].count, &kept, &of);
}
