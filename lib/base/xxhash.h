/*
 * XXH64 (Collet: XXH64 algorithm description, version 0.1.1), seed 0: 64 bits over a stream of bytes at the speed of
 * memory. Finds damage; no help against somebody who forges. cop_hash() names small things, this one checks whole
 * files.
 */
#ifndef COP_BASE_XXHASH_H
#define COP_BASE_XXHASH_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum { COP_XXH_STRIPE = 32 };

struct cop_xxh {
	uint64_t lane[4], total;
	unsigned char rest[COP_XXH_STRIPE]; /* what does not fill a stripe yet: total % 32 bytes */
};

void cop_xxh_begin(struct cop_xxh *h);
void cop_xxh_add(struct cop_xxh *h, const void *data, size_t n);
uint64_t cop_xxh_end(const struct cop_xxh *h); /* more may be added afterwards */

/* The hash of a whole file; where `to` is not NULL it is copied there on the way, to a file that must not exist yet. */
int cop_xxh_file(const char *path, const char *to, uint64_t *hash, struct cop_err *err) COP_CHECKED;

#endif
