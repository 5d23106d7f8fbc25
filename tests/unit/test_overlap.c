/* What the masks of a set share, against counting byte by byte. */
#include "base/mem.h"
#include "base/rng.h"
#include "prune/overlap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MASKS = 7 };

/* Sizes around those of words and strips; `turned`: the same tensors in another order, with one more that is no mask's.
 */
static void make_layout(struct cop_layout *l, bool turned)
{
	const int64_t sizes[] = {1, 63, 64, 65, 1000, 64 * 512, 64 * 512 + 1, 100003};
	char name[32];
	*l = (struct cop_layout){0};
	for (int i = 0; i < 8; i++) {
		int k = turned ? 7 - i : i;
		snprintf(name, sizeof(name), "l%d/weight", k);
		cop_layout_add(l, name, 1, &sizes[k], true);
		if (turned && i == 3)
			cop_layout_add(l, "l9/bias", 1, &sizes[4], false);
	}
}

/* The same mask in another layout of the same tensors. */
static void carry(const struct cop_layout *l, const uint8_t *mask, const struct cop_layout *to, uint8_t *other)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct cop_tensor *t = cop_layout_find(to, l->tensor[i].name);
		memcpy(other + t->offset, mask + l->tensor[i].offset, t->count);
	}
}

static void fill(const struct cop_layout *l, uint8_t *mask, uint32_t seed)
{
	struct cop_stream s;
	cop_stream_init(&s, seed, COP_PURPOSE_TEST, 2, 0);
	memset(mask, 1, l->total);
	for (size_t i = 0; i < l->n; i++)
		for (size_t k = 0; k < l->tensor[i].count; k++)
			mask[l->tensor[i].offset + k] = seed == 0 ? 1 : seed == 1 ? 0 : cop_stream_below(&s, seed) == 0;
}

static void check_tensor(const struct cop_mask_set *s, const struct cop_layout *l, uint8_t *const *mask, size_t tensor)
{
	uint64_t both[MASKS * MASKS];
	cop_mask_set_overlaps(s, tensor, both);
	for (size_t i = 0; i < MASKS; i++)
		for (size_t j = 0; j < MASKS; j++) {
			struct cop_overlap want = {0};
			for (size_t t = 0; t < l->n; t++) {
				struct cop_overlap o = cop_mask_overlap(&l->tensor[t], mask[i], mask[j]);
				if (tensor < l->n && t != tensor)
					continue;
				want.total += o.total;
				want.a += o.a;
				want.b += o.b;
				want.both += o.both;
			}
			struct cop_overlap got = cop_mask_set_pair(both, MASKS, i, j, want.total);
			assert_memory_equal(&got, &want, sizeof(want));
			assert_int_equal(both[i * MASKS + j], both[j * MASKS + i]);
		}
}

/* The tensors' order does not matter, a single weight does. */
static void test_equal_masks(void **state)
{
	(void)state;
	struct cop_layout l, turned;
	struct cop_mask_set s = {0};
	struct cop_err err = {0};
	make_layout(&l, false);
	make_layout(&turned, true);
	uint8_t *mask = cop_xcalloc(l.total, 1), *same = cop_xcalloc(turned.total, 1);
	fill(&l, mask, 5);
	carry(&l, mask, &turned, same);
	assert_int_equal(cop_mask_set_add(&s, &l, mask, &err), 0);
	assert_int_equal(cop_mask_set_find_last(&s), 0);
	mask[l.tensor[7].offset + l.tensor[7].count - 1] ^= 1;
	assert_int_equal(cop_mask_set_add(&s, &l, mask, &err), 0);
	assert_int_equal(cop_mask_set_find_last(&s), 1);
	assert_int_equal(cop_mask_set_add(&s, &turned, same, &err), 0);
	assert_int_equal(cop_mask_set_find_last(&s), 0);
	cop_mask_set_drop(&s);
	assert_int_equal(s.n, 2);
	assert_int_equal(cop_mask_set_find_last(&s), 1);
	cop_mask_set_release(&s);
	cop_layout_release(&l);
	cop_layout_release(&turned);
	free(mask);
	free(same);
}

static void test_against_bytes(void **state)
{
	(void)state;
	struct cop_layout l, turned;
	struct cop_mask_set s = {0};
	struct cop_err err = {0};
	uint8_t *mask[MASKS];
	make_layout(&l, false);
	make_layout(&turned, true);
	for (uint32_t i = 0; i < MASKS; i++) {
		uint8_t *other = cop_xmalloc(turned.total);
		mask[i] = cop_xmalloc(l.total);
		fill(&l, mask[i], i);
		memset(other, 0, turned.total);
		carry(&l, mask[i], &turned, other);
		assert_int_equal(i % 2 ? cop_mask_set_add(&s, &turned, other, &err)
				       : cop_mask_set_add(&s, &l, mask[i], &err),
				 0);
		free(other);
	}
	for (size_t t = 0; t <= l.n; t++)
		check_tensor(&s, &l, mask, t);
	for (size_t i = 0; i < MASKS; i++)
		free(mask[i]);
	cop_mask_set_release(&s);
	cop_layout_release(&l);
	cop_layout_release(&turned);
}

static void test_other_networks(void **state)
{
	(void)state;
	struct cop_layout l, other = {0};
	struct cop_mask_set s = {0};
	struct cop_err err = {0};
	make_layout(&l, false);
	uint8_t *mask = cop_xmalloc(l.total);
	memset(mask, 1, l.total);
	assert_int_equal(cop_mask_set_add(&s, &l, mask, &err), 0);
	cop_layout_add(&other, "l0/weight", 1, (int64_t[]){1}, true);
	assert_int_equal(cop_mask_set_add(&s, &other, mask, &err), COP_EINPUT);
	assert_non_null(strstr(err.msg, "'1' tensors are not the 8"));
	cop_layout_add(&other, "l1/weight", 1, (int64_t[]){62}, true);
	assert_int_equal(cop_mask_set_add(&s, &other, mask, &err), COP_EINPUT);
	assert_non_null(strstr(err.msg, "'l1/weight'"));
	assert_int_equal(s.n, 1);
	free(mask);
	cop_mask_set_release(&s);
	cop_layout_release(&l);
	cop_layout_release(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_bytes),
		cmocka_unit_test(test_equal_masks),
		cmocka_unit_test(test_other_networks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
