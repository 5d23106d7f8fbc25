/* The tables of Huffman codes; see jpeg_huffman.h. */
#include "data/jpeg_huffman.h"

/* Longer values, and sizes of 0 with a run but for 16 zeros, are not baseline JPEG's. */
static bool symbol_known(unsigned symbol, bool dc)
{
	unsigned size = symbol & 15, run = symbol >> 4;
	if (dc)
		return symbol <= 11;
	return size <= 10 && (size || run == 0 || run == 15);
}

/* Every look that begins with a code of `length` bits. */
static void fill(struct cop_huffman *h, uint32_t code, unsigned length, unsigned symbol)
{
	if (length > COP_HUFFMAN_LOOK)
		return;
	unsigned more = COP_HUFFMAN_LOOK - length;
	for (uint32_t i = 0; i < 1u << more; i++)
		h->look[(code << more) + i] = cop_huffman_code(symbol, length);
}

bool cop_huffman_build(struct cop_huffman *h, const uint8_t bits[17], const uint8_t symbol[256], bool dc)
{
	uint32_t code = 0;
	unsigned place = 0;
	memset(h->look, 0, sizeof(h->look));
	memcpy(h->symbol, symbol, sizeof(h->symbol));
	for (unsigned n = 1; n <= 16; n++) {
		h->offset[n] = (int32_t)place - (int32_t)code;
		if (place + bits[n] > 256 || code + bits[n] > 1u << n)
			return false;
		for (unsigned i = 0; i < bits[n]; i++, code++, place++) {
			if (!symbol_known(symbol[place], dc))
				return false;
			fill(h, code, n, symbol[place]);
		}
		h->end[n] = (int32_t)(code << (16 - n));
		code <<= 1;
	}
	return true;
}
