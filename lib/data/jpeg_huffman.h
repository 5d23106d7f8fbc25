/*
 * Reading the entropy-coded part of a baseline JPEG (ITU-T T.81, annex F): bits, and Huffman codes by a table that
 * mostly gives the run and the lengths of code and value at one look. In a header, so that they melt into the loop over
 * blocks; not for other files than jpeg_scan.c.
 */
#ifndef COP_DATA_JPEG_HUFFMAN_H
#define COP_DATA_JPEG_HUFFMAN_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
	COP_HUFFMAN_LOOK = 10,   /* bits that one look sees */
	COP_HUFFMAN_END = 64,    /* the step of 'end of block': beyond any place */
	COP_HUFFMAN_BAD = 128,   /* the step of what is no code */
	COP_HUFFMAN_BEYOND = 512 /* bytes that may be read behind the last, so that a block need not ask at each code */
};

/*
 * What stands at the front of the bits, in one word: the bits of code and value (0..5; the lowest, so that it can be
 * shifted by as it is), of the code (8..12), of the value (16..19), and the step to the place of the value (24..31):
 * run
 * + 1, COP_HUFFMAN_END or COP_HUFFMAN_BAD. 0: a look does not see all of the code.
 */
struct cop_huffman {
	uint32_t look[1 << COP_HUFFMAN_LOOK];
	int32_t end[17];    /* by length: one above the last code, moved to the left of 16 bits */
	int32_t offset[17]; /* by length: the place in `symbol` of what would be code 0 */
	uint8_t symbol[256];
};

/* `bits` (by length) and `symbol` as a DHT segment has them. False: that is no code, or not one of baseline JPEGs. */
bool cop_huffman_build(struct cop_huffman *h, const uint8_t bits[17], const uint8_t symbol[256], bool dc);

/* The bits from `at` on, first bit highest; `held` of them are in `word`, and COP_HUFFMAN_BEYOND bytes may be read. */
struct cop_bits {
	const uint8_t *at;
	uint64_t word;
	unsigned held;
};

/* Afterwards 56 bits or more are held. */
static inline void cop_bits_fill(struct cop_bits *b)
{
	uint64_t next;
	memcpy(&next, b->at, sizeof(next));
	b->word |= be64toh(next) >> b->held;
	b->at += (63 - b->held) >> 3;
	b->held |= 56;
}

static inline uint32_t cop_huffman_code(unsigned symbol, unsigned length)
{
	unsigned size = symbol & 15, step = symbol ? (symbol >> 4) + 1 : COP_HUFFMAN_END;
	return (length + size) | length << 8 | (63 - size) << 16 | step << 24;
}

/* A code that is longer than a look. */
static inline uint32_t cop_huffman_long(const struct cop_huffman *h, uint64_t word)
{
	int32_t top = (int32_t)(word >> 48);
	unsigned n = COP_HUFFMAN_LOOK + 1;
	while (n <= 16 && top >= h->end[n])
		n++;
	if (n > 16)
		return (uint32_t)COP_HUFFMAN_BAD << 24;
	return cop_huffman_code(h->symbol[(h->offset[n] + (top >> (16 - n))) & 255], n);
}

/*
 * The step of the next code, at most 27 bits with its value, which is found without a branch: the top half of so many
 * bits is positive, the rest are counted from below (T.81's EXTEND).
 */
static inline __attribute__((always_inline)) unsigned cop_huffman_next(const struct cop_huffman *h, struct cop_bits *b,
								       int *value)
{
	uint32_t c = h->look[b->word >> (64 - COP_HUFFMAN_LOOK)];
	if (__builtin_expect(c == 0, 0))
		c = cop_huffman_long(h, b->word);
	uint64_t rest = b->word << (c >> 8 & 63);
	/* -1 for what is counted from below */
	int64_t below = ~((int64_t)rest >> 63);
	*value = (int)((int64_t)((rest ^ (uint64_t)below) >> 1 >> (c >> 16 & 63)) ^ below) - (int)below;
	b->word <<= c & 63;
	b->held -= c & 63;
	return c >> 24;
}

#endif
