/* Scanning float tensors; see scan.h. */
#include "store/scan.h"

#include <inttypes.h>
#include <stdio.h>

char *cop_block_place(const struct cop_block *b, size_t i, char *buf, size_t size)
{
	uint64_t at[COP_SCAN_RANK];
	size_t n = (size_t)snprintf(buf, size, "[");
	for (int d = b->rank - 1; d >= 0; d--) {
		at[d] = b->start[d] + i % b->count[d];
		i /= b->count[d];
	}
	for (int d = 0; d < b->rank && n < size; d++)
		n += (size_t)snprintf(buf + n, size - n, "%s%" PRIu64, d ? ", " : "", at[d]);
	if (n < size)
		snprintf(buf + n, size - n, "]");
	return buf;
}
