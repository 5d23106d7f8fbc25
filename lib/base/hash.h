/* FNV-1a, 64 bits (Fowler, Noll, Vo; draft-eastlake-fnv): names a configuration or a dataset, guards against nobody. */
#ifndef COP_BASE_HASH_H
#define COP_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define COP_HASH_START UINT64_C(0xcbf29ce484222325)

/* The hash of what `h` has seen so far, followed by `n` bytes. */
uint64_t cop_hash(uint64_t h, const void *data, size_t n);

#endif
