/*
 * Digests: the attribute `digest` of an object, 16 hex digits over what is read of it. HDF5 has checksums for data in
 * chunks only, not for small datasets, attributes, and its own notes of what lies where.
 */
#ifndef COP_STORE_DIGEST_H
#define COP_STORE_DIGEST_H

#include "base/layout.h"
#include "store/h5.h"

int cop_digest_store(struct cop_h5 *f, const char *object, uint64_t digest, struct cop_err *err) COP_CHECKED;

/* COP_EINPUT "'FILE' is damaged" where `digest`, of what was read, is not the one that is stored, or none is. */
int cop_digest_check(struct cop_h5 *f, const char *object, uint64_t digest, struct cop_err *err) COP_CHECKED;

/* Whether coppice wrote the file. Others, who may make checkpoints too, know of no digests. */
bool cop_digest_wanted(struct cop_h5 *f);

/* Of tensors with names, shapes and what is prunable (XXH64); what lies between them in the arena does not count. */
uint64_t cop_digest_tensors(const struct cop_layout *l, const float *arena);

#endif
