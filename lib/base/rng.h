/*
 * Random numbers without state: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2,
 * 3", SC 2011). The key is a seed; the counter says what for (purpose), when (epoch) and for which item, so a value
 * can be had again at any time, by any thread.
 */
#ifndef COP_BASE_RNG_H
#define COP_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

enum cop_purpose {
	COP_PURPOSE_INIT = 1,    /* epoch: the tensor's number */
	COP_PURPOSE_ORDER = 2,   /* epoch: the epoch */
	COP_PURPOSE_AUGMENT = 3, /* epoch: the epoch, item: the image */
	COP_PURPOSE_SPLIT = 4,
	COP_PURPOSE_GLYPHS = 5,
	COP_PURPOSE_DROPOUT = 6, /* epoch: the step, item: the feature */
	COP_PURPOSE_PRUNE = 7,   /* epoch: the tensor */
	COP_PURPOSE_MASK = 8,    /* epoch: the prunable tensor's number, item: 0 shuffled, 1 anew */
	COP_PURPOSE_TEST = 99
};

void cop_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* A sequence for one (seed, purpose, epoch, item); 2^32 blocks of four words long. */
struct cop_stream {
	uint32_t key[2], counter[4], block[4];
	int left;
};

void cop_stream_init(struct cop_stream *s, uint64_t seed, enum cop_purpose purpose, uint32_t epoch, uint32_t item);
uint32_t cop_stream_u32(struct cop_stream *s);
uint32_t cop_stream_below(struct cop_stream *s, uint32_t n); /* uniform on 0..n-1, unbiased (Lemire 2019); n > 0 */
double cop_stream_uniform(struct cop_stream *s);             /* [0,1), 53 bits */
double cop_stream_normal(struct cop_stream *s);              /* mean 0, variance 1 (Box and Muller 1958) */

/* A permutation of 0..n-1 into perm, drawn for (seed, purpose, epoch) by Fisher and Yates's shuffle. */
void cop_permutation(uint32_t *perm, size_t n, uint64_t seed, enum cop_purpose purpose, uint32_t epoch);

#endif
