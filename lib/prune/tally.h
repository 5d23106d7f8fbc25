/*
 * The inner loops of select.h, over runs of at most COP_RUN elements that stay in the first-level cache. A key is an
 * element's bits with the sign cleared: 31 bits of a float32 (float16 is widened to it), 63 of a float64. Both kinds
 * have the same functions; a pointer to keys points to uint32_t or uint64_t.
 */
#ifndef COP_PRUNE_TALLY_H
#define COP_PRUNE_TALLY_H

#include "store/scan.h"

enum {
	COP_RUN = 4096,
	COP_TOP_BITS = 15, /* the first digit: all of a float32's exponent and 7 bits more */
	COP_TOP = 1 << COP_TOP_BITS,
	COP_TOP_COPIES = 2 /* histograms side by side, so that equal neighbours do not wait for each other's counter */
};

/* What one thread has learnt; starts as {.min = UINT64_MAX}. */
struct cop_survey {
	uint64_t zeros, min, max; /* min and max are keys */
};

/* A pass below the first digit: what is counted, and where. */
struct cop_level {
	unsigned left, digit;  /* key bits below the prefix; how many of them this pass counts */
	const uint8_t *wanted; /* (COP_TOP): 1 where some prefix starts with these bits */
	const uint32_t
		*first; /* (COP_TOP + 1): the prefixes that start with these bits are first[t] .. first[t + 1] - 1 */
	const uint64_t *prefix; /* ascending */
};

struct cop_kernels {
	unsigned bits;    /* of a key */
	size_t width;     /* of a key, in bytes */
	uint64_t largest; /* the key of infinity; above are NaNs */
	double (*value)(uint64_t key);
	/* n elements of `type` from `in` become keys */
	void (*load)(const void *in, enum cop_float type, void *key, size_t n);
	/* the sum of the magnitudes, added in an order that depends on n alone */
	double (*survey)(const void *key, size_t n, struct cop_survey *s);
	/* hist: (COP_TOP_COPIES, COP_TOP) */
	void (*count_top)(const void *key, size_t n, uint32_t *hist);
	/* hist: (prefixes, 1 << digit); `spare` has room for n + 1 keys */
	void (*count_level)(const void *key, size_t n, const struct cop_level *l, void *spare, uint32_t *hist);
};

/* For elements of `type` or narrower. */
const struct cop_kernels *cop_kernels_for(enum cop_float type);

#endif
